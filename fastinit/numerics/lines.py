# SPDX-License-Identifier: MIT
"""Evenly spaced numbers, each rounded once.  It knows no tensors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fastinit.numerics.doubles import DoubleArray, both_roundings, two_product, two_sum
from fastinit.numerics.elementary import settled

USUAL = (2.0**-800, 2.0**800)
"""Magnitudes of the ends between which no product here leaves float64."""

LINE_ERROR = 2.0**-98
"""Of a number, in units of the larger end."""


def line(start: float, end: float, index: DoubleArray, count: int) -> DoubleArray:
    """start + (end - start) * index / (count - 1), rounded once; a single number is `start`."""
    if count == 1 or start == end:
        return np.full_like(index, start)
    last = float(count - 1)

    def exactly(i: float) -> float:
        number = (Fraction(start) * int(last - i) + Fraction(end) * int(i)) / int(last)
        return number.numerator / number.denominator

    largest = max(abs(start), abs(end))
    least = min(abs(each) for each in (start, end) if each)
    if not USUAL[0] < least <= largest < USUAL[1]:
        return settled((np.zeros_like(index), np.full_like(index, np.nan)), exactly, index)
    before, before_low = two_product(np.full_like(index, start), last - index)
    after, after_low = two_product(np.full_like(index, end), index)
    total, low = two_sum(before, after)
    total, low = two_sum(total, low + (before_low + after_low))
    quotient = total / last
    product, lost = two_product(quotient, np.full_like(index, last))
    rest = ((total - product) - lost + low) / last
    return settled(both_roundings(quotient, rest, largest * LINE_ERROR), exactly, index)
