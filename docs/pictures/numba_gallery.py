# SPDX-License-Identifier: MIT
"""A figure of `fastinit.numba.gallery`: what it draws, against SciPy's exact density.

    python docs/pictures/numba_gallery.py [--samples 4_000_000] [--out docs/figures/gallery.png]

Needs matplotlib, numba and scipy.  How a panel looks is gallery.py's affair; to add a distribution,
add its entry to `PANELS`.  tests/compiled/test_gallery_statistics.py compares by numbers.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gallery import Array, Density, Panel, draw_figure, gauss
from scipy import stats

from fastinit.numba import gallery

OUT = Path(__file__).parents[1] / "figures" / "gallery.png"
ABSMEAN = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class GalleryPanel(Panel):
    """A panel whose title leaves out the module."""

    @property
    def title(self) -> str:
        """The scheme's text form after the colon."""
        return str(self.scheme).partition(":")[2]


def of(frozen: Any, sigma: float) -> Density:
    """The density per sigma of a distribution of SciPy."""
    return lambda x: frozen.pdf(x * sigma) * sigma


def mixture(parts: list[tuple[float, float]]) -> Density:
    """Normal distributions: share and standard deviation of each."""
    return lambda x: sum((share * gauss(x / std) / std for share, std in parts), np.zeros_like(x))


def kumaraswamy(a: float, b: float, sigma: float) -> Density:
    """The derivative of 1 - (1 - x**a)**b."""

    def density(x: Array) -> Array:
        y = np.clip(x * sigma, 1e-9, 1 - 1e-9)
        inside = (x > 0) & (x * sigma < 1)
        return np.where(inside, a * b * y ** (a - 1) * (1 - y**a) ** (b - 1) * sigma, 0.0)

    return density


def no_density(x: Array) -> Array:
    """Of a distribution that has atoms alone."""
    return np.zeros_like(x)


def continuous(scheme: Any, density: Any, span: tuple[float, float], **more: Any) -> GalleryPanel:
    """A panel in units of the scheme's own sigma; `density` is SciPy's, or is made of sigma."""
    sigma = scheme.distribution((4,)).std
    found = density(sigma) if callable(density) else of(density, sigma)
    return GalleryPanel(scheme, sigma, span, found, **more)


def discrete(scheme: Any, atoms: list[tuple[float, float]]) -> GalleryPanel:
    """A panel of values between -1 and 1, and their probabilities."""
    sigma = scheme.distribution((4,)).std
    places = tuple((value / sigma, chance) for value, chance in atoms)
    return GalleryPanel(scheme, sigma, (-1.4 / sigma, 1.4 / sigma), no_density, places)


TAIL = float(stats.norm.sf(0.5 * ABSMEAN))
PANELS: list[Panel] = [
    continuous(gallery.laplace(scale=0.02), stats.laplace(scale=0.02), (-6, 6)),
    continuous(gallery.logistic(scale=0.02), stats.logistic(scale=0.02), (-6, 6)),
    continuous(gallery.student_t(nu=3, scale=0.02), stats.t(3, scale=0.02), (-6, 6)),
    continuous(gallery.exponential(scale=0.02), stats.expon(scale=0.02), (-0.2, 6)),
    continuous(gallery.lognormal(mu=-4, sigma=0.5), stats.lognorm(0.5, scale=math.exp(-4)), (0, 6)),
    continuous(gallery.kumaraswamy(a=2, b=5), lambda sigma: kumaraswamy(2, 5, sigma), (-0.2, 5.4)),
    continuous(
        gallery.normal_mixture(std=0.02, std2=0.1, share2=0.25),
        lambda sigma: mixture([(0.75, 0.02 / sigma), (0.25, 0.1 / sigma)]),
        (-6, 6),
    ),
    GalleryPanel(
        gallery.spike_and_slab(std=1, share=0.25),
        0.5,
        (-8.4, 8.4),
        mixture([(0.25, 1 / 0.5)]),
        ((0.0, 0.75),),
    ),
    continuous(gallery.von_mises(kappa=2), stats.vonmises(2), (-3.9, 3.9)),
    discrete(gallery.ternary(scale=1), [(-1, TAIL), (0, 1 - 2 * TAIL), (1, TAIL)]),
    discrete(gallery.sign(scale=1), [(-1, 0.5), (1, 0.5)]),
    discrete(
        gallery.quantised_uniform(levels=9), [(x, 1 / 9) for x in np.linspace(-1, 1, 9).tolist()]
    ),
]


def main() -> None:
    """Draw the figure and say where it is."""
    parser = argparse.ArgumentParser(description="Draws the gallery against its densities.")
    parser.add_argument("--samples", type=int, default=4_000_000, help="values in each panel")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    draw_figure(PANELS, options.samples, options.out)
    print(options.out)


if __name__ == "__main__":
    main()
