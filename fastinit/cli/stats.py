# SPDX-License-Identifier: MIT
"""The command `stats`: what the tensors of a checkpoint are like, beside what is planned."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import click

import fastinit
from fastinit import program
from fastinit.checkpoints import StatsReport, TensorStats
from fastinit.checkpoints.advice import given
from fastinit.checkpoints.analysis.judging import FALSE_ALARMS
from fastinit.checkpoints.analysis.stats_figure import check_figure, plot_stats
from fastinit.cli.bars import bar
from fastinit.cli.options import trusted_in, with_json, with_threads, with_trust
from fastinit.cli.output import in_bytes, in_rate, json_text, put_table, stop
from fastinit.cli.plan import LAYER
from fastinit.cli.verify import size_on_disk
from fastinit.program import put
from fastinit.texts import listed, printable

STATS_TITLES = ("tensor", "dtype", "tensors", "elements", "mean", "std", "planned std", "least")
MORE_TITLES = ("greatest", "kurtosis", "zeros", "z mean", "z std", "differs")


@click.command()
@click.argument("folder", metavar="DIR")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--check", is_flag=True, help="End with exit code 1 if any tensor differs.")
@click.option(
    "--all", "every", is_flag=True, help="Print one row per tensor instead of grouping layers."
)
@click.option(
    "--plot", metavar="FILE.png", help="Draw histograms and standard deviations by layer."
)
@with_threads
@with_trust
@with_json
def stats(
    folder: str,
    names: tuple[str, ...],
    check: bool,
    every: bool,
    plot: str | None,
    threads: int | None,
    modules: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure the tensors of the checkpoint in DIR, or those that match a NAME such as '*.weight'.

    Beside the recipe's plan, if there is one, z says by how many standard errors a mean or a
    standard deviation differs from it.  A trained checkpoint differs, as it should.
    """
    path = given(folder)
    custom = trusted_in(modules)
    if plot is not None:
        check_figure(plot)
    try:
        with program.unwinding(), bar(size_on_disk(path), "measuring") as progress:
            report = fastinit.stats(
                path, names or None, threads=threads, progress=progress, custom=custom
            )
    except fastinit.errors.InvalidCheckpointError as error:
        stop(str(error), program.FAILED)
    if as_json:
        put(json_text(_fields(report)))
    else:
        _show(report, every)
    if plot is not None:  # after the report, which is not lost if there is nothing to draw
        with program.unwinding():
            plot_stats(report, plot, custom=custom)
    if check and report.differing:
        names_of = listed([tensor.name for tensor in report.differing])
        count = len(report.differing)
        stop(f"{printable(path)}: {count:,} tensors differ: {names_of}", program.FAILED)


def _fields(report: StatsReport) -> dict[str, object]:
    return {**dataclasses.asdict(report), "differing": [t.name for t in report.differing]}


def _show(report: StatsReport, every: bool) -> None:
    groups: dict[tuple[str, str, str], list[TensorStats]] = defaultdict(list)
    for tensor in report.tensors:
        name = tensor.name if every else LAYER.sub("*", tensor.name)
        groups[name, tensor.dtype, tensor.init].append(tensor)
    put_table(
        [(*STATS_TITLES, *MORE_TITLES), *(_row(*key[:2], group) for key, group in groups.items())]
    )
    for name, code in report.unreadable.items():
        put(f"{printable(name)}: not measured, {code} is packed or complex")
    for note, count in _notes(report.tensors):
        put(f"{count:,} tensors: {note}")
    judged = any(tensor.scores for tensor in report.tensors)
    put(
        f"{len(report.tensors):,} tensors, {in_bytes(report.size)}, "
        f"{len(report.differing):,} differ from planned or are not finite; "
        f"{_threshold(report.threshold) if judged else ''}"
        f"{report.seconds:.2f} s, {in_rate(report.size, report.seconds)}"
    )


def _threshold(limit: float) -> str:
    rate = f"one false alarm in {1 / FALSE_ALARMS:,.0f} checkpoints"
    return f"a |z| above {limit:.2f} counts, {rate}; "


def _notes(tensors: Iterable[TensorStats]) -> Iterator[tuple[str, int]]:
    """Why tensors are not compared with a plan, and how many each is."""
    counts: dict[str, int] = defaultdict(int)
    for tensor in tensors:
        if tensor.note:
            counts[tensor.note] += 1
    yield from counts.items()


def _row(name: str, dtype: str, group: list[TensorStats]) -> tuple[str, ...]:
    """A row for tensors that differ only in numbers of layers and experts."""
    moments = [tensor.moments for tensor in group]
    planned = [tensor.planned.std for tensor in group if tensor.planned]
    scored = [tensor.scores for tensor in group if tensor.scores]
    differs = [text for tensor in group for text in tensor.differs]
    more = f" and {len(differs) - 1:,} more" if len(differs) > 1 else ""
    return (
        name,
        dtype,
        f"{len(group):,}",
        f"{sum(found.count for found in moments):,}",
        _range([found.mean for found in moments]),
        _range([found.std for found in moments]),
        _range(planned),
        _end([found.low for found in moments], min),
        _end([found.high for found in moments], max),
        _range([found.kurtosis for found in moments]),
        f"{sum(found.zeros for found in moments):,}",
        _furthest([scores.mean for scores in scored]),
        _furthest([scores.std for scores in scored]),
        differs[0] + more if differs else "",
    )


def _range(numbers: list[float]) -> str:
    """One number, or the least and the greatest of them."""
    known = sorted(number for number in numbers if number == number)
    texts = [f"{number:.4g}" for number in (known[0], known[-1])] if known else [""]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def _end(numbers: list[float], end: Callable[[list[float]], float]) -> str:
    """The least or the greatest of those that exist: tensors without a finite element have none."""
    known = [number for number in numbers if number == number]
    return f"{end(known):.4g}" if known else ""


def _furthest(numbers: list[float]) -> str:
    return f"{max(numbers, key=abs):+.1f}" if numbers else ""
