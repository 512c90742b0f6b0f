# SPDX-License-Identifier: MIT
"""From counts to p-values, each under the hypothesis that values have the expected distribution.

A p-value close to 1 is as suspicious as one close to 0 where the test says so: such values would be
more even than random ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from counts import LAGS, Counts
from laws import Array, Chances, lower_borders
from scipy import special, stats

BINS = 512
SIGMAS = (3.0, 4.0, 5.0, 6.0)


@dataclass(frozen=True)
class Result:
    """One test: its statistic, its p-value, and whether too good a p-value fails as well."""

    test: str
    statistic: float
    p: float
    both_sides: bool = True

    def fails(self, rate: float) -> bool:
        """Whether the test fails, which it does for a true hypothesis at most at this rate."""
        return bool(not rate / 2 <= self.p or (self.both_sides and self.p > 1 - rate / 2))


def z_test(test: str, z: float) -> Result:
    """A statistic that is standard normal; one near 0 is not suspicious."""
    return Result(test, z, float(2 * stats.norm.sf(abs(z))), both_sides=False)


def results(counts: Counts, expected: Chances, sigmas: tuple[float, ...] = ()) -> list[Result]:
    """All tests of one sample; `sigmas` are the bounds beyond which values are counted."""
    return [
        *moments(counts, expected),
        kolmogorov_smirnov(counts, expected),
        anderson_darling(counts, expected),
        chi_square(counts, expected),
        impossible(counts, expected),
        *tails(counts, expected, sigmas),
        *lags(counts),
    ]


# ---- values -------------------------------------------------------------------------------------


def moments(counts: Counts, expected: Chances) -> Iterator[Result]:
    """The first four moments in standard units: each is asymptotically normal."""
    m = expected.moments
    for n, test in enumerate(("mean", "variance", "skewness", "kurtosis"), start=1):
        error = math.sqrt((m[2 * n] - m[n] ** 2) / counts.count)
        yield z_test(test, (counts.powers[n - 1] / counts.count - m[n]) / error)


def empirical(counts: Counts) -> Array:
    """The empirical distribution function at the borders between cells."""
    return np.cumsum(counts.ascending)[:-1] / counts.count


def kolmogorov_smirnov(counts: Counts, expected: Chances) -> Result:
    """sqrt(n) D, with D over the borders between cells: Kolmogorov's limit distribution."""
    d = np.max(np.abs(empirical(counts) - expected.below[1:-1]))
    statistic = math.sqrt(counts.count) * d
    return Result("Kolmogorov-Smirnov", statistic, float(special.kolmogorov(statistic)))


def anderson_darling(counts: Counts, expected: Chances) -> Result:
    """A^2 = n times the integral of (F_n - F)^2 / (F (1 - F)) dF, by the trapezoidal rule."""
    f = expected.below[1:-1]
    inside = (f > 0) & (f < 1)
    f, found = f[inside], empirical(counts)[inside]
    integrand = (found - f) ** 2 / (f * (1 - f))
    statistic = counts.count * float(np.trapezoid(integrand, f))
    return Result("Anderson-Darling", statistic, anderson_darling_tail(statistic))


def chi_square(counts: Counts, expected: Chances, bins: int = BINS) -> Result:
    """Chi-square over bins of whole cells that are about equally probable."""
    cuts = np.unique(np.searchsorted(expected.below, np.arange(bins) / bins))
    cuts = cuts[cuts < len(expected.cells)]
    found = np.add.reduceat(counts.ascending, cuts)
    mean = counts.count * np.add.reduceat(expected.cells, cuts)
    found, mean = found[mean > 0], mean[mean > 0]
    statistic = float(np.sum((found - mean) ** 2 / mean))
    return Result("chi-square", statistic, float(stats.chi2.sf(statistic, len(mean) - 1)))


def impossible(counts: Counts, expected: Chances) -> Result:
    """Values in cells of chance 0, or in none: a single one fails."""
    number = int(counts.ascending[expected.cells == 0].sum()) + counts.lost
    return Result("impossible values", number, float(number == 0), both_sides=False)


def tails(counts: Counts, expected: Chances, sigmas: tuple[float, ...]) -> Iterator[Result]:
    """How many values lie at or beyond a bound, on both sides together: binomial."""
    borders = lower_borders()
    for bound in sigmas:
        outside = (borders >= bound) | (borders < -np.float32(bound))
        number = int(counts.ascending[outside].sum())
        law = stats.binom(counts.count, float(expected.cells[outside].sum()))
        p = min(1.0, 2 * min(law.cdf(number), law.sf(number - 1)))
        yield Result(f"beyond {bound:g} sigma", number, float(p), both_sides=False)


def lags(counts: Counts) -> Iterator[Result]:
    """Correlations at lags, of values and of their squares: each is asymptotically normal."""
    spread = counts.powers[3] / counts.count - 1  # of a square, in standard units
    for place, lag in enumerate(LAGS):
        if counts.pairs[place]:
            error = math.sqrt(counts.pairs[place])
            yield z_test(f"lag {lag}", counts.products[place] / error)
            yield z_test(f"lag {lag}, squares", counts.squares[place] / (error * spread))


# ---- limit distributions that SciPy lacks -------------------------------------------------------


def upper_tail(x: float, log_characteristic: Callable[[Array], Array], spread: float) -> float:
    """P(X > x) by Gil-Pelaez's inversion (Biometrika 38, 1951), to about 1e-10.

    The integrand is cut where the characteristic function is below 1e-13; `spread` is about X's
    standard deviation.
    """
    end = 1.0 / spread
    while np.real(log_characteristic(np.array([end]))[0]) > -30:
        end *= 1.5
    nodes, weights = np.polynomial.legendre.leggauss(64)
    parts = max(32, math.ceil(end * (abs(x) + 10 * spread) / 8))
    edges = np.linspace(0, end, parts + 1)
    t = ((nodes + 1) / 2 * np.diff(edges)[:, np.newaxis] + edges[:-1, np.newaxis]).ravel()
    w = np.tile(weights / 2, parts) * np.repeat(np.diff(edges), len(nodes))
    values = np.imag(np.exp(log_characteristic(t) - 1j * t * x)) / t
    return float(np.clip(0.5 + w @ values / math.pi, 0, 1))


def log_anderson_darling(t: Array) -> Array:
    """Log of the characteristic function of A^2's limit (Anderson and Darling, 1952), t > 0.

    sqrt(-2 pi i t / cos z) with z = pi / 2 sqrt(1 + 8 i t); the cosine from its larger exponential,
    so that the logarithm is continuous.
    """
    z = np.pi / 2 * np.sqrt(1 + 8j * t)
    log_cosine = -1j * z + np.log1p(np.exp(2j * z)) - math.log(2)
    return (np.log(2 * np.pi * t) - 0.5j * np.pi - log_cosine) / 2


def anderson_darling_tail(x: float) -> float:
    """P(A^2 > x) in the limit of many values."""
    if x > 60:  # below 1e-26
        return 0.0
    return upper_tail(x, log_anderson_darling, 0.76)
