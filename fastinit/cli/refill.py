# SPDX-License-Identifier: MIT
"""The command `refill`: named tensors of a checkpoint, drawn anew."""

from __future__ import annotations

import dataclasses
from functools import partial

import click

import fastinit
from fastinit import program
from fastinit.checkpoints import RefillReport
from fastinit.checkpoints.advice import given
from fastinit.cli.bars import bar
from fastinit.cli.options import (
    trusted_in,
    with_durability,
    with_json,
    with_threads,
    with_trust,
)
from fastinit.cli.output import in_bytes, in_rate, json_text, put_report
from fastinit.program import put
from fastinit.texts import printable


@click.command()
@click.argument("folder", metavar="DIR")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--scheme", metavar="SCHEME", help="How to draw them.  [default: as the recipe says]")
@click.option("--seed", type=int, help="0 <= seed < 2**64.  [default: the recipe's]")
@with_threads
@click.option("--dry-run", is_flag=True, help="Print what would be drawn, and write nothing.")
@with_durability
@with_trust
@with_json
def refill(
    folder: str,
    names: tuple[str, ...],
    scheme: str | None,
    seed: int | None,
    threads: int | None,
    dry_run: bool,
    durability: str,
    modules: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw the tensors NAME of the checkpoint in DIR anew.

    DIR is a folder or a file of any safetensors checkpoint, and NAME a name or a pattern such as
    '*.bias'.  All other values stay.  Without --scheme and --seed, this repairs damaged tensors.
    After an interruption, run the same command again.
    """
    run = partial(
        fastinit.refill,
        given(folder),
        names,
        scheme=scheme,
        seed=seed,
        threads=threads,
        durability=durability,
        custom=trusted_in(modules),
    )
    if dry_run:
        _show(run(dry_run=True), as_json)
        return
    planned = run(dry_run=True)
    with program.unwinding(), bar(planned.size + planned.copied, "refilling") as progress:
        report = run(progress=progress)
    line = (
        f"{printable(report.path)}: {len(report.tensors):,} tensors, {in_bytes(report.size)}, "
        f"drawn and {in_bytes(report.copied)} copied in {len(report.files)} files, "
        f"{report.seconds:.2f} s, "
        f"{in_rate(report.size + report.copied, report.seconds)}"
    )
    text = json_text(dataclasses.asdict(report)) if as_json else line
    put_report(text, "the tensors are drawn")


def _show(report: RefillReport, as_json: bool) -> None:
    """Print what would be done: a line for each tensor, and what it takes."""
    if as_json:
        put(json_text(dataclasses.asdict(report)))
        return
    for one in report.tensors:
        old = "no recipe" if one.old_init is None else f"{one.old_init}, seed {one.old_seed}"
        place = f"{one.file}  bytes {one.start:,} to {one.start + one.size:,}"
        line = (
            f"{place}  {one.name}  {one.dtype}  {one.shape}  {old} -> {one.init}, seed {one.seed}"
        )
        put(printable(line))
    put(
        f"would draw {len(report.tensors):,} tensors, {in_bytes(report.size)}, and copy "
        f"{in_bytes(report.copied)}, in {len(report.files)} files; needs {report.space:,} bytes of "
        "free space"
    )
