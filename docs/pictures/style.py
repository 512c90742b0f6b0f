# SPDX-License-Identifier: MIT
"""How pictures look that are also read on a telephone: few panels, large type, labels on the lines.

It knows nothing of what they show.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from fastinit.figures import FIGURE_STYLE

FIGURES = Path(__file__).parents[1] / "figures"
WIDTH = 6.4  # inches, or 896 pixels
DPI = 140

# Okabe and Ito (2008), "Color Universal Design", https://jfly.uni-koeln.de/color/: people who see
# red and green alike can tell these apart.
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#aa4d83"
BLACK, GREY, PALE = "#222222", "#767676", "#dfe3e8"

STYLE: dict[str, Any] = {
    **FIGURE_STYLE,
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.labelsize": 12,
    "axes.linewidth": 0.8,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 12,
    "lines.linewidth": 2,
    "figure.facecolor": "white",
    "text.color": BLACK,
    "axes.labelcolor": BLACK,
}


@contextmanager
def picture(out: Path, height: float) -> Iterator[Any]:
    """An empty figure, `height` inches high, that is saved as `out` at the end."""
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(WIDTH, height))
        try:
            yield figure
            out.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(out, dpi=DPI)
        finally:
            plt.close(figure)
    print(out)


def label(axes: Any, x: float, y: float, text: str, color: str, **options: Any) -> None:
    """A word beside a line, in its colour, and on white where it crosses another one."""
    box = {"facecolor": "white", "linewidth": 0, "pad": 0.6, "alpha": 0.85}
    words = axes.text(x, y, text, **{"color": color, "va": "center", "bbox": box, **options})
    words.set(in_layout=False, zorder=5)
