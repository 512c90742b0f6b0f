# SPDX-License-Identifier: MIT
"""Options that several commands have, and the modules that --trust imports."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from typing import get_args

import click

from fastinit.checkpoints.writable import Durability
from fastinit.values.custom import DrawFunction

with_threads = click.option(
    "--threads", type=int, help="Number of threads.  [default: the number that `info` prints]"
)
with_trust = click.option(
    "--trust",
    "modules",
    metavar="MODULE",
    multiple=True,
    help="Import this module first: its custom distributions may be named.  May be repeated.",
)
with_durability = click.option(
    "--durability",
    type=click.Choice(get_args(Durability)),
    default="full",
    show_default=True,
    help="What is flushed to disk: nothing, the files, or the files and their folder.",
)
with_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def trusted_in(modules: tuple[str, ...]) -> list[DrawFunction]:
    """The custom distributions that the modules define; imports these and no others."""
    return [function for module in modules for function in _defined(module)]


def _defined(module: str) -> list[DrawFunction]:
    try:
        with redirect_stdout(sys.stderr):  # what it prints would be part of --json
            names = vars(import_module(module))
    except (Exception, SystemExit) as error:  # whatever the module's own code raises
        raise ValueError(
            f"--trust {module}: it cannot be imported ({type(error).__name__}: {error}): give its "
            "name with dots, and if it lies in this folder, run python -m fastinit"
        ) from error
    found = {value for value in names.values() if isinstance(value, DrawFunction)}
    own = [function for function in found if function.label.partition(":")[0] == module]
    if not own:
        raise ValueError(
            f"--trust {module}: it defines no custom distribution; name the module with the "
            "functions under @fastinit.numba.distribution"
        )
    return own
