# SPDX-License-Identifier: MIT
"""A figure of the distributions: what fastinit draws, against the exact density.

    python docs/pictures/gallery.py [--samples 10_000_000] [--out docs/figures/distributions.png]

Needs matplotlib and scipy.  A panel is one entry of `PANELS`; to add a distribution, add its entry.
The figure is for eyes: tests/values/test_statistics.py compares the same things by numbers.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

import fastinit as fi
from fastinit.numerics.dtypes import resolve

mpl.use("Agg")
from matplotlib import pyplot as plt

Array = npt.NDArray[Any]
Density = Callable[[Array], Array]

SEED = 0
TENSOR = 2**22  # values of a tensor where its shape does not matter
BINS = 100
INFINITY = math.inf
SIGMA = r"$\sigma$"
OUT = Path(__file__).parents[1] / "figures" / "distributions.png"

DRAWN, EXACT, ATOM = "#c3d2e0", "#1d3557", "#b5532a"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
}


# ---- densities, in units of sigma ---------------------------------------------------------------


def gauss(x: Array) -> Array:
    """The standard normal density."""
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def flat(x: Array) -> Array:
    """The uniform density of standard deviation 1."""
    return np.where(np.abs(x) <= math.sqrt(3), 1 / math.sqrt(12), 0.0)


def inside(low: float, high: float, mass: float = 1.0, widened: float = 1.0) -> Density:
    """A bell `widened` times as wide, kept from low to high of its sigmas, holding 1 / mass."""

    def density(x: Array) -> Array:
        z = x / widened
        return np.where((z >= low) & (z <= high), gauss(z) / (widened * mass), 0.0)

    return density


def haar_entry(size: int) -> Density:
    """An element of a Haar-distributed square matrix, a beta density; its sigma is size ** -0.5."""
    peak = math.exp(math.lgamma(size / 2) - math.lgamma((size - 1) / 2)) / math.sqrt(math.pi * size)

    def density(x: Array) -> Array:
        return peak * np.clip(1 - x * x / size, 0, None) ** ((size - 3) / 2)

    return density


def kept(share: float) -> Density:
    """The standard normal density of that share of the values."""
    return lambda x: share * gauss(x)


def between(low: float, high: float) -> float:
    """The chance of a standard normal between two bounds, from the smaller tails."""
    return float(ndtr(-low) - ndtr(-high) if low > 0 else ndtr(high) - ndtr(low))


TWO_SIGMA = 1 / 0.8796256610342398  # widens a normal truncated at 2 sigma to a std of 1
CLIPPED_TWO = 1 / 0.9594461594877893  # the same for a clipped one


# ---- panels -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """One distribution: how it is drawn, and what is exact.

    Attributes:
        scheme: its text form is the title.
        sigma: what the horizontal axis counts in, in the units of the weights.
        span: where the axis begins and ends, in sigma.
        density: the exact density per sigma, of atoms freed.
        atoms: (place in sigma, probability) of values that have some.
        shape: of each tensor drawn; tensors are drawn until there are enough values.
        dtype: a narrow one shows the probability of each of its numbers.
        logarithmic: the vertical axis is, to show the tails.
        factor: multiple of the usual number of values; noted if it is not 1.
    """

    scheme: fi.Scheme
    sigma: float
    span: tuple[float, float]
    density: Density
    atoms: tuple[tuple[float, float], ...] = ()
    shape: tuple[int, ...] = (TENSOR,)
    dtype: str = "float32"
    logarithmic: bool = False
    factor: float = 1

    @property
    def title(self) -> str:
        """The scheme's text form, and the dtype and the shape where they matter."""
        more = [self.dtype] if self.dtype != "float32" else []
        more += [" x ".join(map(str, self.shape))] if len(self.shape) > 1 else []
        return ", ".join([str(self.scheme), *more])


PANELS = [
    Panel(fi.uniform(-0.05, 0.05), 0.05 / math.sqrt(3), (-2.2, 2.2), flat),
    Panel(fi.normal(std=0.02), 0.02, (-4.2, 4.2), gauss),
    Panel(fi.normal(std=0.02), 0.02, (-6.6, 6.6), gauss, logarithmic=True, factor=100),
    Panel(
        fi.truncated_normal(std=0.02, corrected=True),
        0.02,
        (-2.8, 2.8),
        inside(-2, 2, between(-2, 2), TWO_SIGMA),
    ),
    Panel(
        fi.truncated_normal(std=0.02, low=-0.5, high=INFINITY),
        0.02,
        (-1.2, 4.2),
        inside(-0.5, INFINITY, between(-0.5, INFINITY)),
    ),
    Panel(
        fi.clipped_normal(std=0.02, corrected=True),
        0.02,
        (-2.8, 2.8),
        inside(-2, 2, widened=CLIPPED_TWO),
        atoms=((-2 * CLIPPED_TWO, float(ndtr(-2))), (2 * CLIPPED_TWO, float(ndtr(-2)))),
    ),
    Panel(
        fi.truncated_normal(std=0.02, low=3, high=5),
        0.02,
        (2.8, 5.2),
        inside(3, 5, between(3, 5)),
    ),
    Panel(
        fi.truncated_normal(std=0.02, low=6, high=8),
        0.02,
        (5.9, 7.3),
        inside(6, 8, between(6, 8)),
    ),
    Panel(
        fi.clipped_normal(std=0.02, low=0, high=INFINITY),
        0.02,
        (-0.8, 4.2),
        inside(0, INFINITY),
        atoms=((0.0, 0.5),),
    ),
    Panel(fi.normal(std=0.02), 0.02, (0.59, 0.98), gauss, dtype="bfloat16"),
    Panel(fi.normal(std=1.0), 1.0, (-3.9, 3.9), gauss, dtype="float8_e4m3fn"),
    Panel(fi.normal(std=1.0), 1.0, (-3.9, 3.9), gauss, dtype="float8_e5m2"),
    Panel(
        fi.orthogonal(batch_axis=0),
        0.5,
        (-2.4, 2.4),
        haar_entry(4),
        shape=(10_000, 4, 4),
        factor=0.1,
    ),
    Panel(fi.orthogonal(), 1 / 64, (-4.2, 4.2), haar_entry(4096), shape=(4096, 4096)),
    Panel(
        fi.sparse(0.25, std=0.02),
        0.02,
        (-4.2, 4.2),
        kept(0.75),
        atoms=((0.0, 0.25),),
        shape=(2048, 2048),
    ),
]


# ---- what is drawn ------------------------------------------------------------------------------


def tensors(panel: Panel, samples: int) -> Iterator[Array]:
    """Whole tensors of the panel's scheme, in sigma, of shape (count,), `samples` values or so."""
    count = math.prod(panel.shape)
    for number in range(math.ceil(samples * panel.factor / count)):
        values = fi.array(
            panel.shape, panel.scheme, seed=SEED, name=f"gallery.{number}", dtype=panel.dtype
        )
        yield values.reshape(-1).astype(np.float32) / np.float32(panel.sigma)


def histogram(panel: Panel, samples: int, edges: Array) -> tuple[Array, list[float]]:
    """The share of values in each bin, of shape (bins,), and on each atom."""
    counts, total = np.zeros(len(edges) - 1), 0
    on_atoms = np.zeros(len(panel.atoms))
    for values in tensors(panel, samples):
        total += len(values)
        for k, (place, _) in enumerate(panel.atoms):
            there = np.isclose(values, place, rtol=1e-6, atol=1e-9)
            on_atoms[k] += np.count_nonzero(there)
            values = values[~there]
        counts += count_in(values, edges)
    return counts / total, list(on_atoms / total)


def count_in(values: Array, edges: Array) -> Array:
    """How many values lie in each bin; bins of equal width by a multiplication, for speed."""
    steps = np.diff(edges)
    if not np.allclose(steps, steps[0]):
        return np.histogram(values, edges)[0]
    bins = len(steps)
    places = np.clip((values - np.float32(edges[0])) / np.float32(steps[0]), -1, bins) + 1
    return np.bincount(places.astype(np.intp), minlength=bins + 2)[1:-1]


def cells(panel: Panel) -> tuple[Array, Array]:
    """The numbers of a narrow dtype within the span and the edges of what rounds to them."""
    kind = resolve(panel.dtype)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        numbers = np.arange(256**kind.size).astype(kind.words).view(kind.numpy).astype(np.float64)
    numbers = np.unique(numbers[np.isfinite(numbers)] + 0.0) / panel.sigma
    middles = (numbers[1:] + numbers[:-1]) / 2
    first, last = np.searchsorted(middles, panel.span)
    return numbers[first + 1 : last], middles[first:last]


def masses(density: Density, edges: Array) -> Array:
    """The probability of each cell, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    found: Array = half * (density(middle[:, None] + half[:, None] * nodes) @ weights)
    return found


# ---- how it looks -------------------------------------------------------------------------------


def draw_density(axes: Any, panel: Panel, samples: int) -> None:
    """The histogram of values as an area, the exact density as a line, atoms as stems."""
    x = np.linspace(*panel.span, 20001)
    density = panel.density(x)
    if not density.any():  # a few values, and no others
        _, on_atoms = histogram(panel, samples, np.linspace(*panel.span, BINS + 1))
        axes.set_yticks([])
        draw_atoms(axes.twinx(), panel, on_atoms)
        return
    held = x[density > 0]
    edges = np.linspace(held[0], held[-1], BINS + 1)  # so that no bin lies across a bound
    shares, on_atoms = histogram(panel, samples, edges)
    axes.stairs(shares / np.diff(edges), edges, fill=True, color=DRAWN, linewidth=0)
    axes.plot(x, density, color=EXACT, linewidth=1.1)
    axes.set_ylabel(rf"density (1/{SIGMA})")
    if panel.logarithmic:
        axes.set_yscale("log")
        axes.set_ylim(1e-9, 1)
    else:
        axes.set_ylim(0, 1.12 * float(density.max()))
    if panel.atoms:
        draw_atoms(axes.twinx(), panel, on_atoms)


def draw_atoms(axes: Any, panel: Panel, on_atoms: list[float]) -> None:
    """A stem as high as the exact probability, and a ring at the share of values that was drawn."""
    for (place, chance), share in zip(panel.atoms, on_atoms, strict=True):
        axes.vlines(place, 0, chance, color=ATOM, linewidth=1.4)
        axes.plot(place, share, "o", color=ATOM, markersize=4.5, fillstyle="none")
    axes.set_ylim(0, 1.25 * max(chance for _, chance in panel.atoms))
    axes.set_ylabel("probability of a value", color=ATOM)
    axes.tick_params(axis="y", colors=ATOM)
    axes.spines["right"].set(visible=True, color=ATOM)


def draw_numbers(axes: Any, panel: Panel, samples: int) -> None:
    """The share of values on each number as steps, the exact probability as dots."""
    numbers, edges = cells(panel)
    shares, _ = histogram(panel, samples, edges)
    axes.stairs(shares, edges, fill=True, color=DRAWN, linewidth=0)
    exact = masses(panel.density, edges)
    axes.plot(numbers, exact, ".", color=EXACT, markersize=3, markeredgewidth=0)
    axes.set_ylim(0, 1.12 * float(exact.max()))
    axes.set_ylabel("probability of a number")


def draw_panel(axes: Any, panel: Panel, samples: int) -> None:
    """One panel, with its title and its horizontal axis."""
    draw = draw_density if panel.dtype == "float32" else draw_numbers
    draw(axes, panel, samples)
    axes.set_title(panel.title, pad=6)
    axes.set_xlim(*panel.span)
    if panel.factor != 1:
        note = f"{samples * panel.factor:,.0f} values"
        axes.text(0.5, 0.1, note, transform=axes.transAxes, ha="center", fontsize=7.5)
    axes.set_xlabel(rf"value / {SIGMA}   ({SIGMA} = {panel.sigma:.3g})")


def draw_legend(figure: Any, samples: int) -> None:
    """One legend for all panels, above them."""
    handles = [
        mpl.patches.Patch(color=DRAWN, label=f"drawn ({samples:,} values or more)"),
        mpl.lines.Line2D([], [], color=EXACT, linewidth=1.1, label="exact density"),
        mpl.lines.Line2D(
            [], [], color=EXACT, linestyle="", marker=".", markersize=5, label="exact probability"
        ),
        mpl.lines.Line2D(
            [],
            [],
            color=ATOM,
            marker="o",
            fillstyle="none",
            label="one value: exact (stem), drawn (ring)",
        ),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def draw_figure(panels: list[Panel], samples: int, out: Path) -> None:
    """All panels, three in a row, saved as `out`."""
    rows = -(-len(panels) // 3)
    with mpl.rc_context(STYLE):
        figure, grid = plt.subplots(rows, 3, figsize=(10.2, 2.45 * rows + 0.4), squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            draw_panel(axes, panel, samples)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        draw_legend(figure, samples)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=160)
        plt.close(figure)


def main() -> None:
    """Draw the figure and say where it is."""
    parser = argparse.ArgumentParser(description="Draws every distribution against its density.")
    parser.add_argument("--samples", type=int, default=10_000_000, help="values in each panel")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    draw_figure(PANELS, options.samples, options.out)
    print(options.out)


if __name__ == "__main__":
    main()
