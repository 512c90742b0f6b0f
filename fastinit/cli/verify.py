# SPDX-License-Identifier: MIT
"""The command `verify`: whether a checkpoint is what its recipe says."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

import click

import fastinit
from fastinit import program
from fastinit.checkpoints import VerifyReport
from fastinit.checkpoints.advice import given
from fastinit.checkpoints.formats import FORMATS
from fastinit.cli.bars import bar
from fastinit.cli.options import trusted_in, with_json, with_threads, with_trust
from fastinit.cli.output import in_bytes, in_rate, json_text, put_report, stop
from fastinit.texts import printable


@click.command()
@click.argument("folder", metavar="DIR")
@with_threads
@with_trust
@with_json
def verify(folder: str, threads: int | None, modules: tuple[str, ...], as_json: bool) -> None:
    """Draw every value of the checkpoint in DIR again and compare every byte.

    The exit code is 1 if anything differs, is missing or is damaged.
    """
    path = given(folder)
    custom = trusted_in(modules)
    try:
        with program.unwinding(), bar(size_on_disk(path), "verifying") as progress:
            report = fastinit.verify(path, threads=threads, progress=progress, custom=custom)
    except fastinit.errors.InvalidCheckpointError as error:
        stop(str(error), program.FAILED)
    rounded = f" ({report.rounded:,} by linear algebra, to rounding)" if report.rounded else ""
    if report.not_portable:
        rounded += (
            f" ({report.not_portable:,} by custom distributions that are not portable, to a few "
            "units in the last place)"
        )
    line = (
        f"{printable(path)}: {_what(report)}, stream {report.stream}, to the last byte{rounded}; "
        f"{report.seconds:.2f} s, {in_rate(report.size, report.seconds)}"
    )
    text = json_text(dataclasses.asdict(report)) if as_json else line
    put_report(text, "the checkpoint is right")


def _what(report: VerifyReport) -> str:
    """What the tensors are: those of a plan, or those that were refilled in another's files."""
    tensors = f"{report.tensors:,} tensors, {in_bytes(report.size)}"
    refilled = len(report.refilled)
    if not report.digest:
        return (
            f"{tensors}, are as they were refilled, and no recipe says what the other "
            f"{report.unknown:,} are"
        )
    more = f", {refilled:,} of them refilled since" if refilled else ""
    return f"all {tensors}, are plan {report.plan!r}, seed {report.seed}{more}"


def size_on_disk(path: Path) -> int:
    """Bytes of the weight files, as far as they can be seen; `verify` says what is wrong."""
    with suppress(OSError):
        suffixes = tuple(form.suffix for form in FORMATS.values())
        files = path.iterdir() if path.is_dir() else [path]
        return sum(f.stat().st_size for f in files if f == path or f.name.endswith(suffixes))
    return 0
