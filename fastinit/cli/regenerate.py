# SPDX-License-Identifier: MIT
"""The command `regenerate`: what is lost or damaged of a checkpoint, made again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

import click

import fastinit
from fastinit import program
from fastinit.checkpoints import RegenerateReport
from fastinit.checkpoints.advice import given
from fastinit.cli.bars import bar
from fastinit.cli.options import (
    trusted_in,
    with_durability,
    with_json,
    with_threads,
    with_trust,
)
from fastinit.cli.output import in_bytes, json_text, put_report, stop
from fastinit.cli.sources import GivenSource
from fastinit.cli.verify import size_on_disk
from fastinit.program import put
from fastinit.texts import printable


@click.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--plan",
    "source",
    metavar="SOURCE",
    help="What DIR was written from.  [default: the preset that the recipes name]",
)
@click.option("--dtype", help="The --dtype that was given to write.  [default: as files show it]")
@click.option("--rules", metavar="FILE.toml", help="The --rules that were given to write.")
@with_threads
@click.option("--dry-run", is_flag=True, help="Print what would be made, and write nothing.")
@with_durability
@with_trust
@with_json
def regenerate(
    folder: str,
    source: str | None,
    dtype: str | None,
    rules: str | None,
    threads: int | None,
    dry_run: bool,
    durability: str,
    modules: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make again what is lost or damaged of the checkpoint in DIR.

    Tensors are drawn again if they are not what their recipe says, files are written again from
    the plan if they are missing or broken, and so is the index.  The exit code is 1 if something
    cannot be made again.
    """
    path = given(folder)
    if rules is not None and source is None:
        raise ValueError("--rules is given without --plan: give the SOURCE that they were for, too")
    plan = None if source is None else GivenSource(source, dtype, rules, modules, {}).plan()
    run = partial(
        fastinit.regenerate,
        path,
        plan=plan,
        dtype=dtype,
        threads=threads,
        durability=durability,
        dry_run=dry_run,
        custom=trusted_in(modules),
    )
    try:
        with program.unwinding(), bar(size_on_disk(path), "regenerating") as progress:
            report = run(progress=progress)
    except fastinit.errors.InvalidCheckpointError as error:
        stop(str(error), program.FAILED)
    text = json_text(dataclasses.asdict(report)) if as_json else "\n".join(_lines(report))
    if dry_run:
        put(text)
    else:
        put_report(text, "the checkpoint is right")


def _lines(report: RegenerateReport) -> Iterator[str]:
    """A line for everything that was made or would be, and one for all of it."""
    for why in report.tensors.values():
        yield printable(f"drawn again: {why}")
    for file, why in report.files.items():
        yield printable(f"written again: {file}: {why}")
    if report.index:
        yield printable(f"made again: {report.index}")
    forgotten = (
        "; if tensors of the files written again had been refilled, they are as at first"
        if report.files
        else ""
    )
    done = "would make again" if report.dry_run else "made again"
    index = ", and the index" if report.index else ""
    yield (
        f"{printable(report.path)}: {done} {len(report.tensors):,} tensors and "
        f"{len(report.files):,} files{index}, {in_bytes(report.size)}{forgotten}"
    )
