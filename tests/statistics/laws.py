# SPDX-License-Identifier: MIT
"""Distributions, and the exact chance of each cell of float32 numbers under them.

A cell holds the float32 numbers that share their sign, exponent and upper 10 bits of the fraction.
So every border is a number of each narrow dtype or lies between two of them, and no value is split.
There are two kinds of chances:

- those of the ideal distribution, rounded to nearest in a dtype: `rounded`;
- those of fastinit's stream, the number of 32-bit words that give a value in each cell over 2**32:
  `of_words`.  They come from tests/reference.py, and not from the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import reference as ref
from scipy import stats

Array = npt.NDArray[Any]

SHIFT = 13  # bits of the fraction that a cell does not see
CELLS = 2 ** (32 - SHIFT)
LEAST, LARGEST = np.float32(2.0**-16), np.float32(16.0)
"""Magnitudes below the least share a cell for each sign; no value of any distribution is larger."""


@dataclass(frozen=True)
class Law:
    """A distribution: as SciPy has it, as the reference has it, and as a scheme's text."""

    name: str
    ideal: Any
    reference: ref.Distribution
    scheme: str


NORMAL = Law("normal", stats.norm(), ref.Normal(1.0, 0.0), "normal(std=1)")
UNIFORM = Law("uniform", stats.uniform(), ref.Uniform(0.0, 1.0), "uniform(low=0, high=1)")
TRUNCATED = Law(
    "truncated to [-2, 2]",
    stats.truncnorm(-2, 2),
    ref.Truncated(1.0, 0.0, -2.0, 2.0),
    "truncated_normal(std=1, low=-2, high=2)",
)
TAIL = Law(
    "truncated to [3, 5]",
    stats.truncnorm(3, 5),
    ref.Truncated(1.0, 0.0, 3.0, 5.0),
    "truncated_normal(std=1, low=3, high=5)",
)


# ---- cells --------------------------------------------------------------------------------------


def keys(values: Array) -> Array:
    """The cell of each float32 value, as its upper bits; a zero has no sign."""
    return (values + np.float32(0)).view(np.uint32) >> np.uint32(SHIFT)


def key_of(bound: np.float32) -> int:
    """The key of the cell that begins at a power of 2."""
    return int(bound.view(np.uint32)) >> SHIFT


@lru_cache(maxsize=1)
def lower_borders() -> Array:
    """The least float32 number of each cell, from the lowest cell to the highest."""
    upper = (np.arange(key_of(LEAST), key_of(LARGEST), dtype=np.uint32) << SHIFT).view(np.float32)
    # Of a negative cell the number of least magnitude is the greatest: the next cell begins above.
    lower = np.nextafter(-upper, np.float32(np.inf))[::-1]
    return np.concatenate([[np.float32(-LARGEST)], lower, [np.float32(0)], upper])


def ascending(counts: Array) -> Array:
    """Counts by key as counts by cell, from the lowest cell to the highest."""
    least, largest = key_of(LEAST), key_of(LARGEST)
    positive, negative = counts[: CELLS // 2], counts[CELLS // 2 :]
    middle = [negative[:least].sum(), positive[:least].sum()]
    return np.concatenate([negative[least:largest][::-1], middle, positive[least:largest]])


def middles(dtype: str) -> Array:
    """For each border the least real number that rounds to it or above, ties aside."""
    borders = lower_borders()
    if dtype in ("float32", "float64"):  # float64 values are rounded to float32 before counting
        below = np.nextafter(borders, np.float32(-np.inf))
        return (below.astype(np.float64) + borders) / 2
    numbers = ref.finite_numbers(dtype)
    above = np.searchsorted(numbers, borders.astype(np.float64))
    return (numbers[above - 1] + numbers[above]) / 2


@dataclass(frozen=True)
class Chances:
    """The chance of each cell, and what follows: moments in standard units."""

    dtype: str
    below: Array
    """Of shape (cells + 1,): the chance of a value below each border; the last is 1."""

    @cached_property
    def cells(self) -> Array:
        """The chance of each cell."""
        return np.diff(self.below)

    @cached_property
    def points(self) -> Array:
        """Where the mass of each cell lies: at the number that is in it, or in the middle."""
        borders = np.append(lower_borders(), LARGEST).astype(np.float64)
        if self.dtype in ("float32", "float64"):
            return (borders[1:] + borders[:-1]) / 2
        # The only number of the cell is the one with no further bits: that of least magnitude.
        upper = np.nextafter(borders[1:].astype(np.float32), np.float32(-np.inf))
        return np.where(borders[:-1] < 0, upper.astype(np.float64), borders[:-1])

    @cached_property
    def mean(self) -> float:
        """The mean of the values."""
        return float(self.cells @ self.points)

    @cached_property
    def std(self) -> float:
        """The standard deviation of the values."""
        return float(np.sqrt(self.cells @ (self.points - self.mean) ** 2))

    @cached_property
    def moments(self) -> list[float]:
        """Moments 0 to 8 of the values in standard units."""
        standard = (self.points - self.mean) / self.std
        return [float(self.cells @ standard**n) for n in range(9)]


@lru_cache(maxsize=32)
def rounded(law: Law, dtype: str) -> Chances:
    """The chances of the ideal distribution, whose values are rounded to nearest."""
    below = law.ideal.cdf(middles(dtype))
    return Chances(dtype, np.append(below, 1.0))


def ranked(ranks: Array) -> Array:
    """The word whose normal, truncated or not, has the given rank among those of all words.

    Words with S = 1 give the lower half, in which values rise with t; in the upper half they fall.
    """
    lower = ranks < 2**31
    return np.where(lower, ranks + 2**31, 2**32 - 1 - ranks).astype(np.uint32)


def ranked_uniform(ranks: Array) -> Array:
    """The same for uniforms, which rise with the word as a signed number."""
    return ((ranks + 2**31) % 2**32).astype(np.uint32)


@lru_cache(maxsize=32)
def of_words(law: Law, dtype: str) -> Chances:
    """The chances of fastinit's values: how many of the 2**32 words give one below each border.

    By bisection over the words in the order of their values.  (At the edges of octaves normals
    of near words may be out of order by 2**-21, and a count there wrong by 2**-22 of all words.)
    """
    borders = lower_borders().astype(np.float64)
    word_of = ranked_uniform if isinstance(law.reference, ref.Uniform) else ranked
    least, most = np.zeros(len(borders), np.int64), np.full(len(borders), 2**32, np.int64)
    while np.any(least < most):
        middle = (least + most) // 2
        words = word_of(np.minimum(middle, 2**32 - 1))
        values = ref.map_words(words, law.reference, dtype).astype(np.float64)
        is_below = (values < borders) & (least < most)
        least, most = np.where(is_below, middle + 1, least), np.where(is_below, most, middle)
    return Chances(dtype, np.append(least / 2**32, 1.0))


def distance(law: Law, dtype: str) -> float:
    """The largest difference of the stream's distribution function from the ideal, at a border."""
    return float(np.max(np.abs(of_words(law, dtype).below - rounded(law, dtype).below)))
