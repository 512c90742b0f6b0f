# SPDX-License-Identifier: MIT
"""The figure of `propagation`: variances of activations and gradients by depth, on log scales.

It measures nothing.  Matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastinit import figures
from fastinit.figures import COLORS
from fastinit.texts import quoted
from fastinit.torch.propagation import Propagation, Signal

NAMED = 40
"""Layers up to which each has its name below the axis."""


def plot_propagations(results: Mapping[str, Propagation], path: str | os.PathLike[str]) -> None:
    """Draw one figure of several results: how the variance changes with depth, in both directions.

    The upper panel has the variance of each layer's output, the lower one that of the gradient with
    respect to it.  Layers stand in the order of execution; a full dot is a layer with parameters, a
    ring one without.  What has no positive, finite variance is left out of its line.

    Args:
        results: by what the legend calls them, such as the scheme.
        path: of the figure: .png, .svg or .pdf.  Its folder must exist.

    Raises:
        TypeError: `results` is not a mapping of results of `propagation`.
        ValueError: it is empty.
        ImportError: matplotlib is not installed.
    """
    _check(results)
    longest = max(results.values(), key=lambda result: len(result.signals)).signals
    with figures.figure(max(5.6, min(10.2, 1.5 + 0.24 * len(longest))), 5.4) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, direction in zip(panels, ("activation", "gradient"), strict=True):
            for color, (name, result) in zip(_cycle(len(results)), results.items(), strict=True):
                _draw_line(axes, result.signals, direction, color, name)
            axes.set(yscale="log", ylabel=f"variance of the {direction}s")
            axes.grid(axis="y")
        panels[0].set_title("Activations: variance of each layer's output")
        panels[1].set_title("Gradients: variance of d loss / d output of each layer")
        _draw_names(panels[1], results, longest)
        _draw_legend(figure, results)
        figure.savefig(Path(path), dpi=160)


def _check(results: Any) -> None:
    if not isinstance(results, Mapping) or not all(
        isinstance(result, Propagation) for result in results.values()
    ):
        raise TypeError(
            f"results is {quoted(results)}: need a mapping from what the legend says to what "
            "propagation returned"
        )
    if not results:
        raise ValueError("results is empty: pass at least one result of propagation")


def _cycle(count: int) -> list[str]:
    return [COLORS[place % len(COLORS)] for place in range(count)]


def _variance(signal: Signal, direction: str) -> float:
    """The height of a dot; NaN, which is not drawn, for what a log scale cannot show."""
    found = signal.activation if direction == "activation" else signal.gradient
    return found.variance if found and 0 < found.variance < float("inf") else float("nan")


def _draw_line(
    axes: Any, signals: tuple[Signal, ...], direction: str, color: str, name: str
) -> None:
    heights = [_variance(signal, direction) for signal in signals]
    axes.plot(range(len(signals)), heights, color=color, linewidth=1.0, label=name, zorder=2)
    for weighted, face in ((True, color), (False, "white")):
        places = [place for place, signal in enumerate(signals) if signal.weighted == weighted]
        axes.plot(
            places,
            [heights[place] for place in places],
            linestyle="",
            marker="o",
            markersize=3.6,
            color=color,
            markerfacecolor=face,
            zorder=3,
        )


def _draw_names(axes: Any, results: Mapping[str, Propagation], longest: tuple[Signal, ...]) -> None:
    """Names below the axis, if all results have the same layers and there are not too many."""
    names = [signal.label for signal in longest]
    same = all([signal.label for signal in r.signals] == names for r in results.values())
    if same and len(names) <= NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_xlabel("layer, in order of execution")
    else:
        axes.set_xlabel("number of the layer, in order of execution")


def _draw_legend(figure: Any, results: Mapping[str, Propagation]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=color, linewidth=1.4, label=name)
        for color, name in zip(_cycle(len(results)), results, strict=True)
        if name
    ]
    dot: dict[str, Any] = {"color": "#555555", "linestyle": "", "marker": "o", "markersize": 4}
    lines.append(Line2D([], [], label="layer with parameters", **dot))
    lines.append(Line2D([], [], label="layer without", markerfacecolor="white", **dot))
    figure.legend(handles=lines, loc="outside upper center", ncols=min(4, len(lines)))
