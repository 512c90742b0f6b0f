# SPDX-License-Identifier: MIT
"""Which standard normals in bfloat16 do torch, JAX and fastinit draw?

    python docs/pictures/bfloat16.py [--samples 16_777_216] [--out docs/figures/bfloat16.png]

Needs torch, JAX, matplotlib and scipy.  The exact law gives each number of bfloat16 the probability
of the values that round to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import style
from ml_dtypes import bfloat16
from scipy.stats import norm

import fastinit as fi

OUT = style.FIGURES / "bfloat16.png"
SEED = 0
NEAR = 0.0625  # the end of the panels around zero
BINS = 32
TAIL = np.linspace(0, 5.6, 225)
Values = npt.NDArray[np.float32]


def by_torch(count: int) -> Values:
    """On the CPU."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    found: Values = (
        torch.empty(count, dtype=torch.bfloat16).normal_(generator=generator).float().numpy()
    )
    return found


def by_jax(count: int) -> Values:
    """With JAX's default generator, threefry."""
    import jax

    return np.asarray(jax.random.normal(jax.random.key(SEED), (count,), "bfloat16")).astype(
        "float32"
    )


def by_fastinit(count: int) -> Values:
    """As any tensor."""
    scheme = fi.normal(std=1.0)
    return fi.array((count,), scheme, seed=SEED, name="w", dtype="bfloat16").astype("float32")


LIBRARIES: dict[str, tuple[Callable[[int], Values], str, str]] = {
    "fastinit": (by_fastinit, style.VERMILION, f"fastinit {fi.__version__}"),
    "torch": (by_torch, style.BLUE, f"torch {version('torch').partition('+')[0]}"),
    "JAX": (by_jax, style.GREEN, f"JAX {version('jax')}"),
}


def numbers() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The numbers of bfloat16 from -NEAR to NEAR, and their probabilities."""
    bits = np.arange(np.array(NEAR, bfloat16).view("u2") + 2, dtype="u2")
    positive = bits.view(bfloat16).astype("f8")
    both = np.concatenate((-positive[:0:-1], positive))
    return both[1:-1], np.diff(norm.cdf((both[1:] + both[:-1]) / 2))


def draw_near(axes: Any, values: Values, color: str, name: str) -> None:
    """The share of values in each bin around zero, in units of that of the exact law."""
    counts, edges = np.histogram(values, BINS, (-NEAR, NEAR))
    places, chances = numbers()
    exact, _ = np.histogram(places, edges, weights=chances)
    axes.stairs(counts / len(values) / exact, edges, fill=True, color=color, linewidth=0)
    axes.axhline(1, color=style.BLACK, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set(xlim=(-NEAR, NEAR), ylim=(0, 7), yticks=(0, 1, 5), xticks=(-0.05, 0, 0.05))
    style.label(axes, -0.06, 6.2, name, color)


def draw_tail(axes: Any, found: dict[str, Values]) -> None:
    """The share of values above x."""
    axes.plot(TAIL, norm.sf(TAIL), color=style.BLACK, linewidth=5, alpha=0.25)
    for name, values in found.items():
        shares = 1 - np.searchsorted(np.sort(values), TAIL, side="right") / len(values)
        _, color, _ = LIBRARIES[name]
        dashes = (0, (3, 2)) if name == "torch" else "-"
        axes.plot(TAIL, np.where(shares > 0, shares, np.nan), color=color, linestyle=dashes)
        end = TAIL[np.flatnonzero(shares)[-1]]
        axes.plot(end, shares[shares > 0][-1], "o", color=color)
    axes.set(yscale="log", xlim=(0, 5.6), ylim=(3e-8, 1), xlabel=r"x / $\sigma$")
    axes.grid(axis="y")
    style.label(
        axes, 1.05, 4e-4, f"JAX ends\nat {found['JAX'].max():.2f}", style.GREEN, ha="center"
    )
    style.label(axes, 2.9, 1e-6, "torch and\nfastinit", style.BLUE, ha="center")
    axes.set_title("share of values above x")


def main() -> None:
    """Draw, and print how many numbers each library uses, and their moments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2**24, help="values of each library")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    found = {name: draw(options.samples) for name, (draw, _, _) in LIBRARIES.items()}
    for name, values in found.items():
        moments = f"mean {values.mean(dtype='f8'):+.5f}, std {values.std(dtype='f8'):.5f}"
        span = f"from {values.min()} to {values.max()}"
        print(f"{name}: {len(np.unique(values)):,} different numbers {span}, {moments}")
    with style.picture(options.out, 4.6) as figure:
        near, tail = figure.subfigures(1, 2, width_ratios=(1, 1))
        panels = near.subplots(len(found), 1, sharex=True)
        for (name, values), axes in zip(found.items(), panels, strict=True):
            _, color, title = LIBRARIES[name]
            draw_near(axes, values, color, title)
        panels[0].set_title("near zero: drawn / exact")
        panels[-1].set_xlabel(r"value / $\sigma$")
        draw_tail(tail.subplots(), found)


if __name__ == "__main__":
    main()
