# SPDX-License-Identifier: MIT
"""What is the difference between a truncated and a clipped normal?

    python docs/pictures/truncated_clipped.py [--samples 10_000_000]
        [--out docs/figures/truncated_clipped.png]

Needs matplotlib and scipy.  Both are cut at 2 sigma and drawn by fastinit, against the exact law.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import style
from scipy.stats import norm, truncnorm

import fastinit as fi

OUT = style.FIGURES / "truncated_clipped.png"
BOUND = 2.0
BINS = 80
X = np.linspace(-BOUND, BOUND, 401)


def draw_values(axes: Any, scheme: fi.Scheme, samples: int) -> float:
    """A histogram of the values that do not lie on a bound; returns the share of those that do."""
    values = fi.array((samples,), scheme, seed=0, name="w")
    inside = np.abs(values) < BOUND
    counts, edges = np.histogram(values[inside], BINS, (-BOUND, BOUND))
    axes.stairs(counts / samples / np.diff(edges), edges, fill=True, color=style.PALE)
    axes.plot(X, norm.pdf(X), color=style.GREY, linewidth=1.5, linestyle=(0, (4, 3)))
    std = rf"std {values.std(dtype=np.float64):.3f} $\sigma$"
    axes.text(0.5, 0.98, std, transform=axes.transAxes, ha="center", va="top")
    axes.set(xlim=(-2.6, 2.6), ylim=(0, 0.56), xlabel=r"value / $\sigma$")
    axes.set_xticks(range(-2, 3))
    return 1 - float(inside.mean())


def main() -> None:
    """Draw both, and print how many values lie on the bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000_000, help="values of each kind")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    tail = norm.sf(BOUND)
    with style.picture(options.out, 4.0) as figure:
        truncated, clipped = figure.subplots(1, 2, sharey=True)
        beyond = draw_values(truncated, fi.truncated_normal(std=1.0), options.samples)
        truncated.plot(X, truncnorm.pdf(X, -BOUND, BOUND), color=style.BLUE)
        style.label(truncated, -2.5, 0.35, "normal", style.GREY)
        truncated.plot([-1.35, -0.72], [0.34, 0.31], color=style.GREY, linewidth=1)
        truncated.set(title="truncated", ylabel=r"density (1/$\sigma$)")
        print(f"truncated: {beyond:.4%} of the values lie on a bound")

        beyond = draw_values(clipped, fi.clipped_normal(std=1.0), options.samples)
        clipped.plot(X, norm.pdf(X), color=style.VERMILION)
        clipped.vlines([-BOUND, BOUND], 0, 0.34, color=style.VERMILION, linewidth=5)
        for x in (-BOUND, BOUND):
            style.label(clipped, x, 0.37, f"{100 * tail:.1f} %", style.VERMILION, ha="center")
        clipped.set_title("clipped")
        print(
            f"clipped: {beyond:.4%} of the values lie on a bound, and {2 * tail:.4%} are expected"
        )


if __name__ == "__main__":
    main()
