# SPDX-License-Identifier: MIT
"""The history as a figure: small multiples, one line a row, releases from left to right.

Counts of float16 and bfloat16 but for the normal are in the JSON only.  A line breaks where two
releases were measured on machines, or with compilers, between which its unit cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from tracking.comparison import gate_of
from tracking.results import Results, Row

mpl.use("Agg")
from matplotlib import pyplot as plt

PANELS = (
    # How a row's key begins, and of which words its name holds one.
    ("kernels avx512", ("",)),
    ("kernels avx2", ("",)),
    ("kernels neon", ("",)),
    ("kernels scalar", ("",)),
    ("instructions avx2", ("words", "float32")),
    ("instructions avx2", ("normal",)),
    ("instructions neon", ("words", "float32")),
    ("instructions neon", ("normal",)),
    ("memory", ("",)),
    ("instructions scalar", ("words", "float32")),
    ("instructions scalar", ("normal",)),
    ("instructions sm_90", ("",)),
    ("calls", ("",)),
    ("custom", ("",)),
    ("dtypes", ("normal",)),
    ("dtypes", ("uniform",)),
)
NOTE = """Smaller is better.

cycles: one thread, a buffer of 64 KiB
instructions: counted, not timed
times: by the time of what ran next to it,
   on all threads but for one new array of 1,000

A line breaks where the machine or the compiler
is another, so that the unit cannot be compared."""
COLUMNS = 3
LABEL_GAP = 0.072  # of a panel's height, between the names at the ends of its lines
COLOURS = ("#1d3557", "#b5532a", "#3a7d5c", "#8a5a9e", "#c08a1e", "#4a90b8", "#7a7a7a")
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
}


def draw(known: Sequence[Results], out: Path) -> None:
    """Draw the runs, oldest first, into the PNG `out`."""
    panels = [(title, rows) for title, rows in (panel(known, *p) for p in PANELS) if rows]
    with mpl.rc_context(STYLE):
        lines = -(-(len(panels) + 1) // COLUMNS)
        size = (4.0 * COLUMNS, 2.6 * lines + 0.4)
        figure, axes = plt.subplots(lines, COLUMNS, figsize=size, squeeze=False)
        for ax, (title, rows) in zip(axes.flat, panels, strict=False):
            draw_panel(ax, known, title, rows)
        for ax in axes.flat[len(panels) :]:
            ax.set_axis_off()
        axes.flat[-1].text(0, 0.9, NOTE, va="top", linespacing=1.5)
        dates = " to ".join(sorted({known[0].date[:10], known[-1].date[:10]}))
        figure.suptitle(f"fastinit, release by release, {dates}", fontsize=10)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=120, metadata={"Software": None})
        plt.close(figure)


def panel(known: Sequence[Results], start: str, words: Sequence[str]) -> tuple[str, dict[str, Row]]:
    """The title of a panel and its rows, the latest of each."""
    found = {
        key: row
        for results in known
        for key, row in results.rows.items()
        if key.startswith(start) and any(word in row.name for word in words)
    }
    groups = " and ".join(sorted({row.group for row in found.values()}))
    return f"{groups}: {words[-1]}".removesuffix(": "), found


def draw_panel(ax: Any, known: Sequence[Results], title: str, rows: Mapping[str, Row]) -> None:
    """One panel: a line a row, its name and last figure at its end."""
    ends = []
    for colour, (key, row) in zip(COLOURS * len(rows), rows.items(), strict=False):
        for points in unbroken(known, key):
            ax.plot(*zip(*points, strict=True), "o-", color=colour, ms=3, lw=1.2)
        last = f"{row.figure:.2f}" if key in known[-1].rows else "gone"
        ends.append((row.figure, f"{row.name}  {last}", colour))
    ax.set_xlim(-0.3, len(known) - 0.7)
    ax.set_ylim(0, ax.dataLim.y1 * 1.08)
    ax.set_xticks(range(len(known)), [one.name for one in known])
    if len(known) > 4:
        ax.tick_params("x", rotation=45)
    ax.set_title(title, loc="left")
    units = {row.unit for row in rows.values()}
    ax.set_ylabel(units.pop() if len(units) == 1 else "times its yardstick")
    label(ax, ends)


def unbroken(known: Sequence[Results], key: str) -> Iterator[list[tuple[int, float]]]:
    """The places and figures of one row, a list for each stretch that can be compared."""
    stretch: list[tuple[int, float]] = []
    before: Results | None = None
    for place, results in enumerate(known):
        if key not in results.rows:
            continue
        row = results.rows[key]
        if before and gate_of(row.unit, before.machine, results.machine, 0)[1]:
            yield stretch
            stretch = []
        stretch.append((place, row.figure))
        before = results
    yield stretch


def label(ax: Any, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right edge, moved apart where lines end close together."""
    top = ax.get_ylim()[1]
    ends = sorted(ends)
    places = apart([figure / top for figure, *_ in ends], LABEL_GAP)
    for place, (_, text, colour) in zip(places, ends, strict=True):
        ax.text(1.02, place, text, color=colour, fontsize=7, va="center", transform=ax.transAxes)


def apart(places: list[float], gap: float) -> list[float]:
    """Sorted places, moved as little as it takes for neighbours to be `gap` apart."""
    moved = list(places)
    for _ in range(200):
        for i in range(len(moved) - 1):
            missing = gap - (moved[i + 1] - moved[i])
            if missing > 0:
                moved[i] -= missing / 2
                moved[i + 1] += missing / 2
    return moved
