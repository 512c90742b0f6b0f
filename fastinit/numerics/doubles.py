# SPDX-License-Identifier: MIT
"""Numbers of twice float64's precision: unevaluated sums of two float64 numbers, high + low.

The building blocks of elementary.py, without any function that is not a sum or a product.  Each
line is NumPy operations that IEEE 754 rounds once, so every machine has the same bits; nothing is
fused, because NumPy never fuses two operations of its own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

DoubleArray: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = tuple[Any, Any]
"""High and low, |low| at most about a unit in the last place of high."""

_SPLITTER = 2.0**27 + 1


def two_sum(a: Any, b: Any) -> Pair:
    """A + b exactly, as its rounded sum and what was lost (Knuth, TAOCP 2, 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def fast_two_sum(a: Any, b: Any) -> Pair:
    """A + b exactly where ``|a| >= |b|`` or a is 0 (Dekker, Numer. Math. 18, 1971)."""
    total = a + b
    return total, b - (total - a)


def split(a: Any) -> Pair:
    """Halves of 26 bits whose sum is a, ``|a| < 2**996`` (Dekker 1971)."""
    spread = _SPLITTER * a
    high = spread - (spread - a)
    return high, a - high


def two_product(a: Any, b: Any) -> Pair:
    """A * b exactly, if neither it nor what is lost of it leaves float64's normal range."""
    product = a * b
    a_high, a_low = split(a)
    b_high, b_low = split(b)
    lost = a_high * b_high - product
    lost += a_high * b_low
    lost += a_low * b_high
    lost += a_low * b_low
    return product, lost


def pair_of(number: Decimal) -> tuple[float, float]:
    """The two float64 numbers nearest to a number: 106 bits of it or more."""
    high = float(number)
    return high, float(number - Decimal(high))


def both_roundings(high: Any, low: Any, error: Any) -> tuple[Any, Any]:
    """The least and the greatest float64 that high + low may round to (Ziv, 1991).

    The true number is within ``error`` of high + low.  Where the two results are equal, the true
    number rounds to them.
    """
    high, low = fast_two_sum(high, low)
    return high + (low - error), high + (low + error)
