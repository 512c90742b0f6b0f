# SPDX-License-Identifier: MIT
"""The figure of `stats`: histograms of some tensors, and standard deviations by layer.

It measures nothing but histograms.  Matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from fastinit import figures
from fastinit.checkpoints.analysis.measuring import dtype_of, sample
from fastinit.checkpoints.analysis.stats import Plans, StatsReport, TensorStats
from fastinit.checkpoints.read import Checkpoint
from fastinit.figures import COLORS
from fastinit.schemes.custom import Trusted, trusted
from fastinit.texts import printable, quoted
from fastinit.values.custom import DrawFunction
from fastinit.values.expected import shares_between

FIGURE_SUFFIXES = ".png", ".svg", ".pdf"
HISTOGRAMS = 8
"""Of the groups with most elements; a group is what differs in numbers of layers alone."""
BINS = 64
SAMPLE_SIZE = 2**20
"""Elements of which a histogram is made."""
WIDEST_DRAWN = 2.0**1000
"""The range of a tensor, in which sums of bounds do not overflow; a wider one is not drawn."""
LINES = 12
"""Groups whose standard deviations are drawn."""
ASIDE = 0.06
"""Layers between the markers of two groups at the same layer, so that none hides another."""

_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


def check_figure(path: str | os.PathLike[str]) -> None:
    """Raise for a figure that cannot be drawn, before anything is measured.

    Raises:
        ValueError: its name does not end in .png, .svg or .pdf, or its folder does not exist.
        ImportError: matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        raise ValueError(
            f"{quoted(str(path))} is not the name of a figure: end it in "
            f"{', '.join(FIGURE_SUFFIXES)}"
        )
    if not Path(path).parent.is_dir():
        raise ValueError(f"{printable(path)} has no folder: make {printable(Path(path).parent)}")
    figures.check_matplotlib()


def plot_stats(
    report: StatsReport, path: str | os.PathLike[str], *, custom: Iterable[DrawFunction] = ()
) -> None:
    """Draw histograms of a report's tensors, and their standard deviations by layer.

    Of the groups with most elements, one tensor each is shown: the one furthest from its plan.
    Planned shares and standard deviations are lines.  Values are read again for the histograms.

    Args:
        report: what `stats` returned.
        path: of the figure: .png, .svg or .pdf.  Its folder must exist.
        custom: the custom distributions that the recipe may name.

    Raises:
        ValueError: the path is not that of a figure, or no tensor has elements that differ.
        ImportError: matplotlib is not installed.
        CheckpointError: the checkpoint cannot be read any more.
    """
    check_figure(path)
    groups = _groups(report)
    if not groups:
        raise ValueError("no tensor has elements that differ: there is nothing to draw")
    shown = [max(group, key=_surprise) for group in list(groups.values())[:HISTOGRAMS]]
    layered = {name: group for name, group in groups.items() if len(group) > 1}
    rows = -(-len(shown) // 4)
    with figures.figure(10.2, 2.3 * rows + (3.2 if layered else 0.3)) as figure:
        upper, lower = figure, None
        if layered:
            upper, lower = figure.subfigures(2, 1, height_ratios=(2.3 * rows, 3.2))
        panels = list(upper.subplots(rows, min(4, len(shown)), squeeze=False).flat)
        checkpoint, functions = Checkpoint(report.path), trusted(custom)
        for axes, tensor in zip(panels, shown, strict=False):
            _draw_histogram(axes, checkpoint, tensor, functions)
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        if lower is not None:
            _draw_layers(lower.subplots(), layered)
        figure.savefig(Path(path), dpi=160)


def _groups(report: StatsReport) -> dict[str, list[TensorStats]]:
    """Tensors whose elements differ, by group; those with most elements first."""
    groups = defaultdict[str, list[TensorStats]](list)
    for tensor in report.tensors:
        if 0 < tensor.moments.high - tensor.moments.low < WIDEST_DRAWN:
            groups[_LAYER.sub("*", tensor.name)].append(tensor)
    size = {name: sum(tensor.moments.count for tensor in group) for name, group in groups.items()}
    return dict(sorted(groups.items(), key=lambda row: -size[row[0]]))


def _surprise(tensor: TensorStats) -> tuple[int, float]:
    scores = tensor.scores
    return len(tensor.differs), max(abs(scores.mean), abs(scores.std)) if scores else 0.0


def _draw_histogram(
    axes: Any, checkpoint: Checkpoint, tensor: TensorStats, functions: Trusted
) -> None:
    stored = checkpoint.header(tensor.file).tensors[tensor.name]
    values = sample(checkpoint, tensor.file, stored, SAMPLE_SIZE)
    values = values[np.isfinite(values)]
    moments, planned = tensor.moments, tensor.planned
    low, high = moments.low, moments.high
    if planned is not None:  # a planned interval that was left by far would hide the rest
        low = min(low, planned.mean - 4.5 * planned.std)
        high = max(high, planned.mean + 4.5 * planned.std)
        low, high = max(low, planned.low), min(high, planned.high)
        low, high = min(low, moments.low), max(high, moments.high)
    edges = np.linspace(low, high, BINS + 1)
    shares = np.histogram(values, edges)[0] / max(values.size, 1)
    axes.stairs(shares, edges, fill=True, color=COLORS[0], alpha=0.35, label="measured")
    law = None
    if planned is not None and planned.std > 0:
        kind = dtype_of(checkpoint.form, stored.dtype)
        plans = Plans(checkpoint, tensor.file, functions)
        assert kind is not None
        distribution = plans.distribution(tensor.name, tensor.init, stored.shape)
        law = shares_between(distribution, kind, edges)
    if law is not None:
        axes.stairs(law, edges, color=COLORS[1], linewidth=1.0, baseline=None, label="planned")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(lambda place, _: f"{place:g}")
    axes.locator_params(axis="x", nbins=4)
    axes.set_title(_short(tensor.name), fontsize=7.5)
    axes.set_xlabel(_caption(tensor), fontsize=6.8)
    if axes.get_subplotspec().num1 == 0:
        axes.legend(fontsize=6.8, loc="upper left", handlelength=1.2, borderaxespad=0.1)


def _short(name: str) -> str:
    """A name as a label; Matplotlib would read what is between two dollar signs as a formula."""
    return printable(name, 34).replace("$", r"\$")


def _caption(tensor: TensorStats) -> str:
    beside = f", planned {tensor.planned.std:.4g}" if tensor.planned else ""
    z = f", z {tensor.scores.std:+.1f}" if tensor.scores else ""
    return f"{tensor.dtype}, std {tensor.moments.std:.4g}{beside}{z}"


def _draw_layers(axes: Any, groups: Mapping[str, list[TensorStats]]) -> None:
    """Standard deviations by the place of a layer in its group, and planned ones as dashes."""
    markers, lines = cycle("osD^vP"), []
    names = [_short(name) for name in list(groups)[:LINES]]
    for number, group in enumerate(list(groups.values())[:LINES]):
        color = COLORS[number % len(COLORS)]
        places = np.arange(len(group)) + (number - min(len(groups), LINES) / 2 + 0.5) * ASIDE
        found = [tensor.moments.std for tensor in group]
        planned = [tensor.planned.std if tensor.planned else np.nan for tensor in group]
        axes.plot(places, planned, color=color, linestyle="--", linewidth=0.8, zorder=2)
        marker = next(markers)
        lines += axes.plot(
            places,
            found,
            color=color,
            linestyle="",
            marker=marker,
            markersize=3.4,
            markerfacecolor=color if number < len(COLORS) else "white",
            zorder=3,
        )
    axes.set(yscale="log", xlabel="layer", ylabel="standard deviation")
    axes.margins(y=0.15)
    axes.set_title("Standard deviation by layer; dashes: planned")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y")
    # Names are not the lines' labels: Matplotlib leaves out those that begin with "_".
    axes.legend(lines, names, fontsize=6.8, loc="center left", bbox_to_anchor=(1.0, 0.5))
