# SPDX-License-Identifier: MIT
"""The command `info`: versions, the backend in force, and the presets."""

from __future__ import annotations

import platform

import click

import fastinit
from fastinit import plans
from fastinit.backends.selection import summary
from fastinit.cli.options import with_json
from fastinit.cli.output import json_text
from fastinit.machine.parallel import default_threads
from fastinit.numerics.dtypes import DTYPES
from fastinit.program import put
from fastinit.values.stream import VERSION


@click.command()
@with_json
def info(as_json: bool) -> None:
    """Print the versions, the backend in force and why, and the presets."""
    import ml_dtypes
    import numpy as np

    from fastinit import cuda  # which no other command needs

    threads = default_threads()
    found = {
        "fastinit": fastinit.__version__,
        "stream": VERSION,
        **summary(),
        "cuda": cuda.summary(),
        "threads": threads.number,
        "threads from": threads.reason,
        "dtypes": list(DTYPES),
        "presets": list(plans.presets()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ml_dtypes": ml_dtypes.__version__,
        "platform": platform.platform(),
    }
    if as_json:
        put(json_text(found))
        return
    for key, value in found.items():
        put(f"{key:16} {', '.join(value) if isinstance(value, list) else value}")
