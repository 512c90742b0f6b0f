# SPDX-License-Identifier: MIT
"""Draws what bench_peers.py found: a dot for each generator, a panel for each kind of values.

It measures nothing; see bench_peers.py --plot.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from fastinit.figures import FIGURE_STYLE

COLUMNS = (("float32",), ("bfloat16", "float64"))
"""The dtypes whose panels stand below one another, in each column of the figure."""

OURS, PEER, CEILING, GRID = "#b5532a", "#1d3557", "#7d7d7d", "#e4e8ec"
STYLE: dict[str, Any] = {
    **FIGURE_STYLE,
    "axes.spines.left": False,
    "xtick.minor.size": 0,
    "xtick.labelsize": 7.5,
    "ytick.major.size": 0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "figure.constrained_layout.h_pad": 0.03,
}
ROW, BETWEEN = 0.17, 0.5
"""Inches that a row takes, and what a panel takes beside its rows."""

Panel = dict[str, dict[str, float]]
"""For each name: millions of samples a second, by memory, "warm" or "fresh"."""


def panels(found: dict[str, Any]) -> dict[str, dict[str, Panel]]:
    """By dtype and then by kind: the speeds of whoever ran."""
    made: dict[str, dict[str, Panel]] = {}
    for one in found["races"]:
        panel = made.setdefault(one["dtype"], {}).setdefault(one["kind"], {})
        for row in one["rows"]:
            if "error" not in row:
                speeds = panel.setdefault(row["name"], {})
                speeds[one["memory"]] = row["msamples_per_second"]
    return made


def shown(speeds: dict[str, float]) -> float:
    """The speed that is written beside the dots."""
    return speeds.get("warm") or speeds["fresh"]


def draw_panel(axes: Any, title: str, panel: Panel) -> None:
    """One panel: a row for each generator, the fastest above; memset as lines."""
    ceiling = panel["memset"]
    names = sorted(panel.keys() - {"memset"}, key=lambda name: shown(panel[name]))
    for place, name in enumerate(names):
        color = OURS if name == "fastinit" else PEER
        warm, fresh = panel[name].get("warm"), panel[name].get("fresh")
        if warm and fresh:
            axes.plot([warm, fresh], [place, place], color=color, linewidth=0.8, zorder=2)
        if fresh:
            axes.plot(fresh, place, "o", markersize=4.6, markerfacecolor="white", color=color)
        if warm:
            axes.plot(warm, place, "o", markersize=5, color=color)
        axes.annotate(
            f"{shown(panel[name]):,.0f}",
            (max(panel[name].values()), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=color,
            bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5},
            zorder=3,
        )
    axes.axvline(ceiling["warm"], color=CEILING, linewidth=1)
    axes.axvline(ceiling["fresh"], color=CEILING, linewidth=1, linestyle=(0, (3, 2)))
    axes.set(xscale="log", ylim=(-0.7, len(names) - 0.3), title=title)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        if label.get_text() == "fastinit":
            label.set(color=OURS, fontweight="bold")
    axes.grid(axis="x")


def height(panel: Panel) -> float:
    """Inches that the rows of a panel take; memset has none."""
    return ROW * (len(panel) - 1)


def draw_legend(figure: Any) -> None:
    """One legend for all panels, above them."""
    ring = {"marker": "o", "color": PEER, "linestyle": ""}
    figure.legend(
        handles=[
            Line2D([], [], label="warm memory", markersize=5, **ring),
            Line2D([], [], label="fresh memory", markersize=4.6, markerfacecolor="white", **ring),
            Line2D([], [], label="memset, warm", color=CEILING, linewidth=1),
            Line2D(
                [],
                [],
                label="memset, fresh",
                color=CEILING,
                linewidth=1,
                linestyle=(0, (3, 2)),
            ),
        ],
        loc="outside upper center",
        ncols=4,
    )


def draw(found: dict[str, Any], out: Path) -> None:
    """Draw the results of a run of bench_peers.py as the picture `out`."""
    made = panels(found)
    speeds = [
        speed
        for kinds in made.values()
        for panel in kinds.values()
        for row in panel.values()
        for speed in row.values()
    ]
    columns = [
        [
            (f"{kind} {dtype}", panel)
            for dtype in dtypes
            for kind, panel in made[dtype].items()
            if len(panel) > 2  # some peer makes such values
        ]
        for dtypes in COLUMNS
    ]
    sizes = [sum(height(panel) + BETWEEN for _, panel in column) for column in columns]
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(10.2, max(sizes) + 0.5))
        parts = figure.subfigures(1, len(columns))
        for part, column, size in zip(parts, columns, sizes, strict=True):
            ratios = [*(height(panel) for _, panel in column), max(sizes) - size + 1e-3]
            grid = part.subplots(len(ratios), 1, gridspec_kw={"height_ratios": ratios})
            for axes, (title, panel) in zip(grid, column, strict=False):
                draw_panel(axes, title, panel)
                axes.set_xlim(min(speeds) / 1.3, max(speeds) * 1.3)
            grid[len(column) - 1].set_xlabel("million samples a second")
            grid[-1].set_axis_off()  # room to stand at the same height as the other column
        draw_legend(figure)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=160)
        plt.close(figure)
