# SPDX-License-Identifier: MIT
"""What the values of a distribution are like once they are rounded: their moments and bounds.

It draws nothing.  Values of up to 16 bits have exact probabilities: those of what is rounded to
each.  float32 and float64 are so fine that rounding changes no moment that could be noticed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fastinit.machine.floats import default_floats
from fastinit.numerics.doubles import DoubleArray
from fastinit.numerics.dtypes import DType
from fastinit.values.distributions import (
    FURTHEST,
    ClippedNormal,
    Constant,
    Distribution,
    Independent,
    Normal,
    TruncatedNormal,
    Uniform,
    reach_of,
    unit_of,
)
from fastinit.values.renamed import Renamed

INFINITY = math.inf

NOTICED = 2.0**-14
"""Standard deviations: what values below add to any moment is less than 1e-9 of it."""

SMALLEST_STD = {4: 2.0**-100, 8: 2.0**-960}
"""By the size of the float that is drawn: below it, the steps between values may be denormal, so
that they are coarser than their law (docs/stream.md, section 4)."""

COARSEST = 2.0**-10
"""Standard deviations between neighbouring floats, above which rounding might change a moment of
float32 and float64 noticeably."""

STEPS = 2**14
"""Even steps that stand for float32 and float64; the kurtosis is then right to about 1e-7."""


@dataclass(frozen=True)
class Expected:
    """Moments of independent values, and the closed interval that no value leaves.

    `skewness` and `kurtosis` are the third and fourth standardised moments; of values that are all
    equal, both are 0.
    """

    mean: float
    std: float
    skewness: float
    kurtosis: float
    low: float
    high: float


def expected(distribution: Distribution, dtype: DType) -> Expected | None:
    """What values of `dtype` are like; None where they depend on their place or on each other.

    It is also None for formulas and custom distributions, because their tails may be so heavy that
    samples tell little of their moments.

    Raises:
        ValueError: the values, or all values in the interval, do not exist in `dtype`, or are
            drawn in steps that are too coarse for their law.
    """
    own = _original(distribution)
    if not isinstance(own, Constant | Uniform | Normal | ClippedNormal | TruncatedNormal):
        return None
    return _expected(own, dtype)


def _original(distribution: Distribution) -> Distribution:
    """The distribution of a tensor that has the values of another one."""
    while isinstance(distribution, Renamed):
        distribution = distribution.original
    return distribution


@lru_cache(maxsize=256)
@default_floats
def _expected(distribution: Independent, dtype: DType) -> Expected:
    numbers = distribution.numbers(dtype)
    low, high = numbers.low, numbers.high
    if isinstance(distribution, Constant):
        low = high = dtype.round(distribution.value)
    elif isinstance(distribution, Normal):
        reach = reach_of(dtype) * distribution.sigma
        ends = distribution.centre - reach, distribution.centre + reach
        low, high = (dtype.round(min(max(low, end), high)) for end in ends)  # float8 saturates
    if low == high:
        return Expected(low, 0.0, 0.0, 0.0, low, high)
    _check_steps(distribution, dtype)
    shown = _exactly if dtype.size <= 2 else _finely
    return shown(distribution, dtype, low, high)


def _check_steps(distribution: Distribution, dtype: DType) -> None:
    """Raise ValueError if values are drawn in steps that are too coarse for their law."""
    if distribution.std < SMALLEST_STD[max(dtype.size, 4)]:
        raise ValueError("no law: its values are so small that they are drawn in denormal steps")
    if dtype.size > 2:
        step = float(np.spacing(np.abs(dtype.numpy.type(distribution.mean))))
        if step > distribution.std * COARSEST:
            raise ValueError(
                f"no law: {dtype.name} numbers near {distribution.mean:.6g} are too far apart for "
                f"a standard deviation of {distribution.std:.3g}"
            )


def shares_between(
    distribution: Distribution, dtype: DType, edges: DoubleArray
) -> DoubleArray | None:
    """The probabilities of values between neighbouring `edges`; None as for `expected`.

    Values beyond the first and the last edge count to the outermost intervals.
    """
    law = expected(distribution, dtype)
    if law is None or law.std == 0:
        return None
    own = _original(distribution)
    if dtype.size > 2:
        return _chances(own, np.concatenate([[-INFINITY], edges[1:-1], [INFINITY]]))
    values, chances = _rounded(own, dtype, law.low, law.high)
    shares, _ = np.histogram(values.clip(edges[0], edges[-1]), edges, weights=chances)
    return shares


def _exactly(distribution: Independent, dtype: DType, low: float, high: float) -> Expected:
    """From the probability of each number of the dtype."""
    return _moments(*_rounded(distribution, dtype, low, high), low, high)


def _rounded(
    distribution: Distribution, dtype: DType, low: float, high: float
) -> tuple[DoubleArray, DoubleArray]:
    """The numbers of a dtype from `low` to `high`, and their probabilities.

    Most numbers are far smaller than a standard deviation: all those but the ends count as 0.
    """
    numbers, least = _finite_numbers(dtype), distribution.std * NOTICED
    within = numbers[(numbers >= low) & (numbers <= high)]
    seen = (within == 0) | (np.abs(within) >= least)
    seen[[0, -1]] = True  # a far larger standard deviation makes all values one of these
    values = within[seen]
    edges = np.concatenate([[-INFINITY], values[:-1] / 2 + values[1:] / 2, [INFINITY]])
    return values, _chances(distribution, edges)


def _finely(distribution: Independent, dtype: DType, low: float, high: float) -> Expected:
    """Mean and standard deviation in closed form, and the others from even steps."""
    span = _span(distribution, dtype)
    ends = max(low, span[0]), min(high, span[1])
    values = np.linspace(ends[0] / 2, ends[1] / 2, STEPS + 1) * 2  # whose range may be infinite
    edges = np.concatenate([[-INFINITY], values[:-1] / 2 + values[1:] / 2, [INFINITY]])
    rough = _moments(values, _chances(distribution, edges), low, high)
    mean, std = distribution.mean, distribution.std
    return Expected(mean, std, rough.skewness, rough.kurtosis, low, high)


def _span(distribution: Independent, dtype: DType) -> tuple[float, float]:
    """Where practically all values lie."""
    match distribution:
        case Normal(sigma, centre):
            return centre - reach_of(dtype) * sigma, centre + reach_of(dtype) * sigma
        case ClippedNormal(sigma, centre, low, high) | TruncatedNormal(sigma, centre, low, high):
            reach = reach_of(dtype) if low <= 0 <= high else FURTHEST
            ends = max(low, min(high, -reach)), min(high, max(low, reach))
            return centre + ends[0] * sigma, centre + ends[1] * sigma
    return -math.inf, math.inf


@lru_cache(maxsize=8)
def _finite_numbers(dtype: DType) -> DoubleArray:
    """All finite numbers of a dtype of up to 16 bits, ascending."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        magnitudes = np.arange(2 ** (8 * dtype.size - 1)).astype(dtype.words)
        numbers = magnitudes.view(dtype.numpy).astype(np.float64)
    positive = numbers[np.isfinite(numbers)]
    return np.concatenate([-positive[:0:-1], positive])


def _moments(values: DoubleArray, chances: DoubleArray, low: float, high: float) -> Expected:
    unit = unit_of(float(np.abs(values).max()))
    scaled = values / unit
    mean = float((chances * scaled).sum())
    d = scaled - mean
    variance, cubes, fourths = (float((chances * d**power).sum()) for power in (2, 3, 4))
    if variance == 0:
        return Expected(mean * unit, 0.0, 0.0, 0.0, low, high)
    std = math.sqrt(variance)
    return Expected(mean * unit, std * unit, cubes / std**3, fourths / variance**2, low, high)


def _chances(distribution: Distribution, edges: DoubleArray) -> DoubleArray:
    """The probabilities between edges, which end at infinity on either side."""
    match distribution:
        case Uniform(low, high):
            half = high / 2 - low / 2
            return np.diff((np.clip(edges, low, high) / 2 - low / 2) / half)
        case TruncatedNormal(sigma, centre, low, high):
            places = np.clip((edges - centre) / sigma, low, high)
        case _:
            assert isinstance(distribution, Normal | ClippedNormal)
            places = (edges - distribution.centre) / distribution.sigma
    tails = np.array([math.erfc(x) / 2 for x in (np.abs(places) * math.sqrt(0.5)).tolist()])
    left, right = places[:-1], places[1:]
    apart = np.abs(np.diff(tails))  # of places on one side of 0, where tails keep their digits
    chances = np.where(left * right < 0, 1.0 - tails[:-1] - tails[1:], apart)
    result: DoubleArray = chances / math.fsum(chances)
    return result
