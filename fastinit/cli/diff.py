# SPDX-License-Identifier: MIT
"""The command `diff`: where two checkpoints differ."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator

import click

import fastinit
from fastinit import program
from fastinit.checkpoints import DiffReport, TensorDiff
from fastinit.checkpoints.advice import given
from fastinit.cli.bars import bar
from fastinit.cli.options import with_json, with_threads
from fastinit.cli.output import in_bytes, in_rate, json_text, put_table
from fastinit.cli.verify import size_on_disk
from fastinit.program import put
from fastinit.texts import printable

DIFF_TITLES = (
    "tensor",
    "dtype",
    "elements",
    "differ",
    "first",
    "values",
    "largest",
    "relative",
    "rms",
)


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@with_threads
@with_json
def diff(a: str, b: str, names: tuple[str, ...], threads: int | None, as_json: bool) -> None:
    """Compare the checkpoints A and B, or only tensors that match a NAME such as '*.weight'.

    Formats and shards may differ.  Values of one dtype are compared bit by bit.  The exit code is 0
    if all are the same, 1 if anything differs, and 2 if that cannot be said.
    """
    one, other = given(a), given(b)
    with program.unwinding(), bar(size_on_disk(one), "comparing") as progress:
        report = fastinit.diff(one, other, names or None, threads=threads, progress=progress)
    if as_json:
        put(json_text({**dataclasses.asdict(report), "equal": report.equal}))
    else:
        _show(report)
    if not report.equal:
        sys.exit(program.FAILED)


def _show(report: DiffReport) -> None:
    if report.different:
        put_table([DIFF_TITLES, *map(_row, report.different)])
    for line in _lines(report):
        put(line)
    differ = f"{len(report.different):,} differ, " if report.different else ""
    put(
        f"{report.same:,} tensors are the same, {differ}{in_bytes(report.size)}, "
        f"{report.seconds:.2f} s, {in_rate(report.size, report.seconds)}"
    )


def _lines(report: DiffReport) -> Iterator[str]:
    """What is not a difference of elements."""
    for name, (one, other) in report.shapes.items():
        yield f"{printable(name)}: shape {one} in A, {other} in B"
    for name, codes in report.not_compared.items():
        yield f"{printable(name)}: not compared, {codes[0]} in A, {codes[1]} in B"
    for side, names in (("A", report.only_a), ("B", report.only_b)):
        for name in names:
            yield f"{printable(name)}: only in {side}"


def _row(tensor: TensorDiff) -> tuple[str, ...]:
    dtypes = tensor.dtypes
    values = tensor.values and tuple(f"{value:.9g}" for value in tensor.values)
    place = "" if tensor.position is None else ", ".join(map(str, tensor.position))
    return (
        tensor.name,
        dtypes[0] if dtypes[0] == dtypes[1] else f"{dtypes[0]} and {dtypes[1]}",
        f"{tensor.count:,}",
        f"{tensor.differing:,}",
        f"[{place}]" if place else "",
        f"{values[0]} and {values[1]}" if values else "",
        f"{tensor.largest:.4g}",
        f"{tensor.relative:.4g}",
        f"{tensor.rms:.4g}" + (f", {tensor.not_finite:,} not finite" if tensor.not_finite else ""),
    )
