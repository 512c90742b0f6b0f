# SPDX-License-Identifier: MIT
"""`minus_log`: the natural logarithm, negated, with the same bits everywhere.  No other function.

docs/stream.md defines every bit: section 20 for float32, sections 10 and 20 for float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from fastinit.numba.arithmetic import fused, minus, negative, over, plus, times
from fastinit.numba.bits import bits_of_float32, bits_of_float64, float32_of_bits, float64_of_bits
from fastinit.numba.compiling import chosen_by_type, exact

u32, u64, i32, i64, f32, f64 = np.uint32, np.uint64, np.int32, np.int64, np.float32, np.float64

_A = np.array(
    [
        *(0x3F000000, 0xBEAAAAAA, 0x3E800113, 0xBE4CD00F, 0x3E2A3947),
        *(0xBE116C7F, 0x3E06C0F0, 0xBE02AFF0, 0x3D9C674D),
    ],
    np.uint32,
).view(np.float32)
A0, A1, A2, A3, A4, A5, A6, A7, A8 = _A
"""Of the polynomial for (d - log(1 + d)) / d**2, fitted by least squares towards a minimax."""

LOG_2_HIGH = f32(float.fromhex("0x1.62e4p-1"))
LOG_2_LOW = f32(float.fromhex("0x1.7f7d1cp-20"))
LOG_2 = float.fromhex("0x1.62e42fefa39efp-1")
"""ln(2): as two float32 numbers, and as one float64 number."""

ROOT_HALF32 = u32(0x3F3504F3)
ROOT_HALF64 = u64(0x3FE6A09E667F3BCD)
"""The bits of sqrt(1/2), where the mantissa begins."""


@exact
def _minus_log32(x: Any) -> Any:
    u = bits_of_float32(x)
    denormal = u < u32(0x00800000)
    v = u32(
        (bits_of_float32(times(x, f32(2.0**24))) if denormal else u)
        + (u32(0x3F800000) - ROOT_HALF32)
    )
    d = minus(float32_of_bits(u32((v & u32(0x007FFFFF)) + ROOT_HALF32)), f32(1.0))
    k = f32(i32(127) - i32(v >> u32(23)) + (i32(24) if denormal else i32(0)))
    a = fused(A8, d, A7)
    a = fused(a, d, A6)
    a = fused(a, d, A5)
    a = fused(a, d, A4)
    a = fused(a, d, A3)
    a = fused(a, d, A2)
    a = fused(a, d, A1)
    a = fused(a, d, A0)
    found = fused(k, LOG_2_HIGH, fused(k, LOG_2_LOW, fused(times(d, d), a, negative(d))))
    found = f32(-np.inf) if u == u32(0x7F800000) else found
    found = f32(np.nan) if u > u32(0x7F800000) else found
    return f32(np.inf) if u & u32(0x7FFFFFFF) == u32(0) else found


@exact
def minus_log_of_normal(p: Any) -> Any:
    """Section 10's minus_log, of a positive float64 number that is not denormal."""
    v = u64(bits_of_float64(p) + (u64(0x3FF0000000000000) - ROOT_HALF64))
    k = i32(v >> u64(52)) - i32(1023)  # in 32 bits, which more machines convert in vectors
    m = float64_of_bits(u64((v & u64(0x000FFFFFFFFFFFFF)) + ROOT_HALF64))
    s = over(minus(m, 1.0), plus(m, 1.0))
    y = times(s, s)
    a = plus(times(1.0 / 21.0, y), 1.0 / 19.0)
    a = plus(times(a, y), 1.0 / 17.0)
    a = plus(times(a, y), 1.0 / 15.0)
    a = plus(times(a, y), 1.0 / 13.0)
    a = plus(times(a, y), 1.0 / 11.0)
    a = plus(times(a, y), 1.0 / 9.0)
    a = plus(times(a, y), 1.0 / 7.0)
    a = plus(times(a, y), 1.0 / 5.0)
    a = plus(times(a, y), 1.0 / 3.0)
    a = plus(times(a, y), 1.0)
    return minus(times(f64(i32(0) - k), LOG_2), times(plus(s, s), a))


@exact
def _minus_log64(x: Any) -> Any:
    u = bits_of_float64(x)
    denormal = u < u64(0x0010000000000000)
    found = minus_log_of_normal(times(x, 2.0**54) if denormal else x)
    found = plus(found, 54.0 * LOG_2) if denormal else found
    found = -np.inf if u == u64(0x7FF0000000000000) else found
    found = np.nan if u > u64(0x7FF0000000000000) else found
    return np.inf if u & u64(0x7FFFFFFFFFFFFFFF) == u64(0) else found


def _minus_log(x: Any) -> Any:
    """The one for the type of x."""


@chosen_by_type(_minus_log)
def _minus_log_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: _minus_log32(x)
    return lambda x: _minus_log64(f64(x))


@exact
def minus_log(x: Any) -> Any:
    """The natural logarithm of `x`, negated: ``-log(x)``, with the same bits on every machine.

    NumPy's, Numba's and the C library's logarithms differ from machine to machine in the last
    place; a value made by one of them could not be promised elsewhere.

    Args:
        x: float32, for a float32 result within 0.94 units in its last place; anything else is
            taken as float64, for a float64 result within 2e-15 of its magnitude.

    Returns:
        +0 for 1, infinity for 0, minus infinity for infinity, and a NaN for negative numbers and
        NaNs.  Denormal arguments count.

    In Numba a literal such as ``1.0`` is float64 and makes the expression around it float64; write
    ``np.float32(1.0)`` to stay in float32, which is several times faster.

    >>> import numpy as np
    >>> float(minus_log(np.float32(0.5))), float(minus_log(0.5)), float(minus_log(np.float32(1)))
    (0.6931471824645996, 0.6931471805599453, 0.0)
    """
    return _minus_log(x)
