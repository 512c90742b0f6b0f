# SPDX-License-Identifier: MIT
"""Sums of squares that no order of adding changes, and their roots, rounded correctly.

Squares are cut into layers of so few bits that each layer adds up exactly, in any order (as in
Rump, Ogita and Oishi, SIAM J. Sci. Comput. 31, 2008).  It knows no tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.numerics.doubles import DoubleArray, two_product

LAYERS = 3
"""96 bits or more; what is left of a sum beyond them nearly never decides how its root rounds."""

MOST_ADDED = 2**20
"""How many numbers may be added up together, for layers of 30 bits or more."""


@dataclass(frozen=True)
class Sum:
    """A sum of squares, from `least` to `most` times 2**exponent."""

    least: int = 0
    most: int = 0
    exponent: int = 0

    def __add__(self, other: Sum) -> Sum:
        low = min(self.exponent, other.exponent)
        a, b = self.exponent - low, other.exponent - low
        least = (self.least << a) + (other.least << b)
        return Sum(least, (self.most << a) + (other.most << b), low)

    def root(self) -> float | None:
        """The root, rounded once to float64; None if the sum is not known well enough.

        A root beyond float64 is infinite.
        """
        least = _root(self.least, self.exponent)
        return least if least == _root(self.most, self.exponent) else None


def _root(square: int, exponent: int) -> float:
    """The root of square * 2**exponent.  What isqrt drops is kept as a last bit that is 1."""
    shift = max(0, 140 - square.bit_length())
    shift += (exponent - shift) % 2
    square <<= shift
    root = math.isqrt(square)
    root = 2 * root + (root * root != square)
    power = (exponent - shift) // 2 - 1
    try:
        return root / (1 << -power) if power < 0 else float(root << power)
    except OverflowError:
        return math.inf


def sums_of_squares(rows: npt.NDArray[Any]) -> list[Sum]:
    """The sum of each row's squares, to 90 bits or more; rows have up to `MOST_ADDED` elements."""
    values: DoubleArray = rows.astype(np.float64)
    largest = np.abs(values).max(axis=1, initial=0.0)
    exponents = np.frexp(largest)[1]
    values = np.ldexp(values, -exponents[:, np.newaxis])  # below 1 in magnitude
    squares, rest = values * values, None
    if rows.dtype == np.float64:  # of narrower types the squares are exact
        squares, rest = two_product(values, values)
        squares = np.concatenate([squares, rest], axis=1)
    count = squares.shape[1]
    bits = 51 - max(count - 1, 1).bit_length()
    totals = [0] * len(rows)
    for layer in range(1, LAYERS + 1):
        shift = 1.5 * 2.0 ** (52 - layer * bits)
        part = (squares + shift) - shift  # a multiple of 2**-(layer * bits)
        squares -= part
        layers = np.ldexp(part.sum(axis=1), layer * bits).tolist()
        totals = [(total << bits) + int(added) for total, added in zip(totals, layers, strict=True)]
    left: list[bool] = np.any(squares, axis=1).tolist()
    return [
        Sum(total - count * more, total + count * more, 2 * exponent - LAYERS * bits)
        for total, more, exponent in zip(totals, left, exponents.tolist(), strict=True)
    ]


def exact_sum_of_squares(row: npt.NDArray[Any]) -> Sum:
    """The sum of a row's squares, by whole numbers."""
    mantissas, exponents = np.frexp(row.astype(np.float64))
    low = int(exponents.min(initial=0)) - 53
    total = 0
    whole = np.ldexp(mantissas, 53).astype(np.int64).tolist()
    for mantissa, exponent in zip(whole, exponents.tolist(), strict=True):
        total += (mantissa << (exponent - 53 - low)) ** 2
    return Sum(total, total, 2 * low)
