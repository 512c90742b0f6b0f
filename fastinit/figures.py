# SPDX-License-Identifier: MIT
"""What our figures share: their style, and Matplotlib, which is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

COLORS = ("#1d3557", "#b5532a", "#4c8c6b", "#8d5a97", "#c29a2b", "#5b7c99")
FIGURE_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def check_matplotlib() -> None:
    """Raise ImportError, with what to install, if there is no Matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(f"a figure needs matplotlib: pip install matplotlib ({error})") from error


@contextmanager
def figure(width: float, height: float) -> Iterator[Any]:
    """An empty figure of that many inches, in our style.

    Raises:
        ImportError: matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not pyplot, which would choose a window system

    with rc_context(FIGURE_STYLE):
        yield Figure(figsize=(width, height))
