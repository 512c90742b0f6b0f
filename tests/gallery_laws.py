# SPDX-License-Identifier: MIT
"""The gallery with numbers, and SciPy's distribution for each.  No test; it imports Numba."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from fastinit.numba import gallery


@dataclass(frozen=True)
class Power:
    """What has the distribution `of`, to the power `exponent`."""

    of: Any
    exponent: float

    def ppf(self, q: Any) -> Any:
        return self.of.ppf(q) ** self.exponent

    def cdf(self, x: Any) -> Any:
        return self.of.cdf(np.asarray(x) ** (1 / self.exponent))


@dataclass(frozen=True)
class NormalMixture:
    """Normal distributions of mean 0: (share, std) each; std is never 0."""

    parts: tuple[tuple[float, float], ...]

    def cdf(self, x: Any) -> Any:
        return sum(share * stats.norm.cdf(x, scale=std) for share, std in self.parts)

    def ppf(self, q: Any) -> Any:
        """By bisection, in the sigmas of the widest."""
        low = np.full(np.shape(q), -40.0 * max(std for _, std in self.parts))
        high = -low
        for _ in range(80):
            middle = (low + high) / 2
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high


@dataclass(frozen=True)
class VonMises:
    """SciPy's, whose quantiles are those of its cdf; beyond 50 SciPy's cdf is an approximation."""

    kappa: float

    def cdf(self, x: Any) -> Any:
        return stats.vonmises.cdf(x, self.kappa)

    def ppf(self, q: Any) -> Any:
        """By bisection: SciPy's search takes minutes for many."""
        low, high = np.full(np.shape(q), -math.pi), np.full(np.shape(q), math.pi)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high


CONTINUOUS: dict[str, tuple[Any, Any]] = {
    "laplace": (gallery.laplace(scale=0.5), stats.laplace(scale=0.5)),
    "logistic": (gallery.logistic(scale=0.5), stats.logistic(scale=0.5)),
    "cauchy": (gallery.student_t(nu=1), stats.cauchy()),
    "student_t 2.5": (gallery.student_t(nu=2.5, scale=0.5), stats.t(2.5, scale=0.5)),
    "student_t 5": (gallery.student_t(), stats.t(5)),
    "student_t 2**20": (gallery.student_t(nu=2.0**20), stats.t(2**20)),
    "exponential": (gallery.exponential(scale=0.25), stats.expon(scale=0.25)),
    "lognormal": (gallery.lognormal(mu=-1, sigma=0.5), stats.lognorm(0.5, scale=math.exp(-1))),
    "kumaraswamy 1/2 1/2": (gallery.kumaraswamy(a=0.5, b=0.5), Power(stats.beta(1, 0.5), 2)),
    "kumaraswamy 2 5": (gallery.kumaraswamy(a=2, b=5), Power(stats.beta(1, 5), 0.5)),
    "normal_mixture 2": (
        gallery.normal_mixture(std=1, std2=4, share2=0.25),
        NormalMixture(((0.75, 1.0), (0.25, 4.0))),
    ),
    "normal_mixture 3": (
        gallery.normal_mixture(std=1, std2=0.125, share2=0.5, std3=8, share3=0.125),
        NormalMixture(((0.375, 1.0), (0.5, 0.125), (0.125, 8.0))),
    ),
    "spike_and_slab": (
        gallery.spike_and_slab(std=1, spike=0.03125, share=0.25),
        NormalMixture(((0.25, 1.0), (0.75, 0.03125))),
    ),
    "von_mises 0": (gallery.von_mises(kappa=0), stats.uniform(-math.pi, 2 * math.pi)),
    "von_mises 1/4": (gallery.von_mises(kappa=0.25), VonMises(0.25)),
    "von_mises 4": (gallery.von_mises(kappa=4), VonMises(4)),
    "von_mises 40": (gallery.von_mises(kappa=40), VonMises(40)),
    "von_mises 10**4": (gallery.von_mises(kappa=1e4), VonMises(1e4)),
}
"""A scheme, and the distribution that it must have."""


def _levels(low: float, high: float, levels: int) -> list[tuple[float, float]]:
    return [(x, 1 / levels) for x in np.linspace(low, high, levels).tolist()]


ABSMEAN = math.sqrt(2 / math.pi)


def _ternary(scale: float, threshold: float) -> list[tuple[float, float]]:
    tail = float(stats.norm.sf(threshold * ABSMEAN))
    return [(-scale, tail), (0.0, 1 - 2 * tail), (scale, tail)]


DISCRETE: dict[str, tuple[Any, list[tuple[float, float]]]] = {
    "ternary 0.5": (gallery.ternary(scale=0.25), _ternary(0.25, 0.5)),
    "ternary 0.75": (gallery.ternary(scale=0.25, threshold=0.75), _ternary(0.25, 0.75)),
    "sign": (gallery.sign(scale=0.25), [(-0.25, 0.5), (0.25, 0.5)]),
    "quantised_uniform 16": (
        gallery.quantised_uniform(low=-1.5, high=2.25, levels=16),
        _levels(-1.5, 2.25, 16),
    ),
    "quantised_uniform 3": (gallery.quantised_uniform(levels=3), _levels(-1, 1, 3)),
    "block_mask": (
        gallery.block_mask(rows=1, columns=1, density=0.25),
        [(0.0, 0.75), (1.0, 0.25)],
    ),
}
"""A scheme, and the values it must have, with their probabilities."""
