# SPDX-License-Identifier: MIT
"""`exp` and `expm1`, with the same bits everywhere.  No other function.

docs/stream.md, section 22.1, defines every bit.  Everything is float64; what is taken as float32 is
rounded to float32 at the end.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
from numba import types

from fastinit.numba.arithmetic import minus, nearest_float32, plus, times
from fastinit.numba.bits import bits_of_float64, float64_of_bits
from fastinit.numba.compiling import chosen_by_type, exact

u64, f64 = np.uint64, np.float64

LOG2_E = float.fromhex("0x1.71547652b82fep+0")
"""1 / ln(2)."""

LN_2_HIGH = float.fromhex("0x1.62e42feep-1")
LN_2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
"""ln(2) as a sum; the first has 32 bits, so that its product with an exponent is exact."""

T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13 = (1.0 / factorial(n) for n in range(2, 14))
"""Taylor's coefficients 1/n!, which are enough up to ln(2) / 2."""

BEYOND_ALL = 1000.0
"""Beyond this either way results are infinite, 0 or -1 in any case."""

WHOLLY_EXP = 60.0
"""From here on, in powers of two, taking 1 away changes nothing."""


BIASED = 1.5 * 2.0**52 + 1023.0
"""Added to a whole number, it leaves that with the exponent's bias in the last bits of the sum.

AVX2 has no instruction that makes an integer of a float64 number."""


@exact
def _power_of_two(k: Any) -> Any:
    """2**k for a whole float64 number from -1022 to 1023."""
    return float64_of_bits(u64(bits_of_float64(plus(k, BIASED)) << u64(52)))


@exact
def _scaled(x: Any, first: Any, second: Any) -> Any:
    """X times two powers of two, so that neither overflows."""
    return times(times(x, _power_of_two(first)), _power_of_two(second))


@exact
def _reduced(x: Any) -> Any:
    """K and expm1(r), where x = k ln(2) + r and abs(r) <= ln(2) / 2, for numbers but NaN."""
    a = BEYOND_ALL if x > BEYOND_ALL else x
    a = -BEYOND_ALL if a < -BEYOND_ALL else a
    k = np.floor(plus(times(a, LOG2_E), 0.5))
    r = minus(minus(a, times(k, LN_2_HIGH)), times(k, LN_2_LOW))
    p = T13
    p = plus(times(p, r), T12)
    p = plus(times(p, r), T11)
    p = plus(times(p, r), T10)
    p = plus(times(p, r), T9)
    p = plus(times(p, r), T8)
    p = plus(times(p, r), T7)
    p = plus(times(p, r), T6)
    p = plus(times(p, r), T5)
    p = plus(times(p, r), T4)
    p = plus(times(p, r), T3)
    p = plus(times(p, r), T2)
    return k, plus(r, times(times(r, r), p))


@exact
def exp64(x: Any) -> Any:
    """`exp` of float64."""
    k, q = _reduced(0.0 if x != x else x)
    half = np.floor(times(k, 0.5))
    found = _scaled(plus(1.0, q), half, minus(k, half))
    return x if x != x else found


@exact
def expm1_64(x: Any) -> Any:
    """`expm1` of float64."""
    k, q = _reduced(0.0 if x != x else x)
    half = np.floor(times(k, 0.5))
    large = _scaled(plus(1.0, q), half, minus(k, half))
    near = WHOLLY_EXP if k > WHOLLY_EXP else k
    near = -WHOLLY_EXP if near < -WHOLLY_EXP else near
    scale = _power_of_two(near)
    small = plus(times(scale, q), minus(scale, 1.0))
    found = large if k > WHOLLY_EXP else small
    return x if x != x else found


def _exp(x: Any) -> Any:
    """The one for the type of x."""


@chosen_by_type(_exp)
def _exp_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: nearest_float32(exp64(f64(x)))
    return lambda x: exp64(f64(x))


def _expm1(x: Any) -> Any:
    """The one for the type of x."""


@chosen_by_type(_expm1)
def _expm1_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: nearest_float32(expm1_64(f64(x)))
    return lambda x: expm1_64(f64(x))


@exact
def exp(x: Any) -> Any:
    """The exponential function, with the same bits on every machine.

    Args:
        x: float32, for a float32 result within 0.5001 units in its last place; anything else is
            taken as float64, for a float64 result within 1 unit in its last place.

    Returns:
        1 for 0, infinity and 0 for the infinities, and a NaN for NaNs.

    >>> import numpy as np
    >>> round(float(exp(1.0)), 15), float(exp(np.float32(1))), float(exp(-1000.0))
    (2.718281828459046, 2.7182817459106445, 0.0)
    """
    return _exp(x)


@exact
def expm1(x: Any) -> Any:
    """``exp(x) - 1`` without cancellation, with the same bits on every machine.

    Args:
        x: float32, for a float32 result within 0.5001 units in its last place; anything else is
            taken as float64, for a float64 result within 2 units in its last place.

    Returns:
        +0 for zeros, infinity and -1 for the infinities, and a NaN for NaNs.

    >>> float(expm1(1e-10)), float(expm1(-1000.0))
    (1.00000000005e-10, -1.0)
    """
    return _expm1(x)
