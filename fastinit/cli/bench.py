# SPDX-License-Identifier: MIT
"""The command `bench`: how fast this machine is."""

from __future__ import annotations

import click

from fastinit.cli.options import with_json, with_threads
from fastinit.cli.output import json_text
from fastinit.program import put


@click.command()
@click.option("--size", help="Bytes per large buffer.  [default: 256 MiB, or less where needed]")
@with_threads
@with_json
def bench(size: str | None, threads: int | None, as_json: bool) -> None:
    """Measure this machine: fastinit against memset and the generators that are installed.

    It takes up to half a minute.
    """
    from fastinit.bench import command

    found = command.run(size, threads, (lambda line: None) if as_json else put)
    if as_json:
        put(json_text(found))
