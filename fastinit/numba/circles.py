# SPDX-License-Identifier: MIT
"""`cos_turns`, `sin_turns` and `arctan`, with the same bits everywhere.  No other function.

docs/stream.md, section 22.2, defines every bit.  Everything is float64; what is taken as float32 is
rounded to float32 at the end.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
from numba import types

from fastinit.numba.arithmetic import minus, nearest_float32, negative, over, plus, times
from fastinit.numba.compiling import chosen_by_type, exact

f64 = np.float64

TWO_PI = float.fromhex("0x1.921fb54442d18p+2")
HALF_PI = float.fromhex("0x1.921fb54442d18p+0")
HALF_PI_LOW = float.fromhex("0x1.1a62633145c07p-54")
QUARTER_PI = float.fromhex("0x1.921fb54442d18p-1")
QUARTER_PI_LOW = float.fromhex("0x1.1a62633145c07p-55")
"""Pi / 2 and pi / 4 with what float64 leaves out of them."""

TANGENT = float.fromhex("0x1.a827999fcef32p-2")
"""tan(pi / 8), from which on arctan is taken from pi / 4."""

S3, S5, S7, S9, S11, S13, S15, S17 = (1.0 / factorial(n) for n in range(3, 18, 2))
C2, C4, C6, C8, C10, C12, C14, C16 = (1.0 / factorial(n) for n in range(2, 17, 2))
"""Taylor's coefficients 1/n! of the sine and the cosine, whose signs alternate, up to pi / 4."""


@exact
def _sine(x: Any, y: Any) -> Any:
    p = minus(S15, times(y, S17))
    p = minus(S13, times(y, p))
    p = minus(S11, times(y, p))
    p = minus(S9, times(y, p))
    p = minus(S7, times(y, p))
    p = minus(S5, times(y, p))
    p = minus(S3, times(y, p))
    return minus(x, times(x, times(y, p)))


@exact
def _cosine(y: Any) -> Any:
    p = minus(C14, times(y, C16))
    p = minus(C12, times(y, p))
    p = minus(C10, times(y, p))
    p = minus(C8, times(y, p))
    p = minus(C6, times(y, p))
    p = minus(C4, times(y, p))
    p = minus(C2, times(y, p))
    return minus(1.0, times(y, p))


@exact
def _quarters(v: Any) -> Any:
    """The nearest quarter of a turn, 0 to 3, and cosine and sine of what v lies beyond it."""
    f = minus(v, np.rint(v))
    n = np.rint(times(4.0, f))
    x = times(minus(f, times(0.25, n)), TWO_PI)
    y = times(x, x)
    quarter = minus(n, times(4.0, np.floor(times(0.25, n))))
    return quarter, _cosine(y), _sine(x, y)


@exact
def cos_turns64(v: Any) -> Any:
    """`cos_turns` of float64."""
    quarter, cosine, sine = _quarters(v)
    found = negative(sine) if quarter == 1.0 else cosine
    found = negative(cosine) if quarter == 2.0 else found
    found = sine if quarter == 3.0 else found
    return found if abs(v) < np.inf else np.nan


@exact
def sin_turns64(v: Any) -> Any:
    """`sin_turns` of float64."""
    quarter, cosine, sine = _quarters(v)
    found = cosine if quarter == 1.0 else sine
    found = negative(sine) if quarter == 2.0 else found
    found = negative(cosine) if quarter == 3.0 else found
    return found if abs(v) < np.inf else np.nan


_ODD = tuple(1.0 / n for n in range(3, 42, 2))
A3, A5, A7, A9, A11, A13, A15, A17, A19, A21, A23, A25, A27, A29, A31, A33, A35, A37, A39, A41 = (
    _ODD
)
"""Coefficients 1/n of arctan's series, whose signs alternate, up to tan(pi / 8)."""


@exact
def _arctan_series(b: Any) -> Any:
    y = times(b, b)
    p = minus(A39, times(y, A41))
    p = minus(A37, times(y, p))
    p = minus(A35, times(y, p))
    p = minus(A33, times(y, p))
    p = minus(A31, times(y, p))
    p = minus(A29, times(y, p))
    p = minus(A27, times(y, p))
    p = minus(A25, times(y, p))
    p = minus(A23, times(y, p))
    p = minus(A21, times(y, p))
    p = minus(A19, times(y, p))
    p = minus(A17, times(y, p))
    p = minus(A15, times(y, p))
    p = minus(A13, times(y, p))
    p = minus(A11, times(y, p))
    p = minus(A9, times(y, p))
    p = minus(A7, times(y, p))
    p = minus(A5, times(y, p))
    p = minus(A3, times(y, p))
    return minus(b, times(b, times(y, p)))


@exact
def arctan64(x: Any) -> Any:
    """`arctan` of float64."""
    size = abs(x)
    a = over(1.0, size) if size > 1.0 else size
    outer = a > TANGENT
    found = _arctan_series(over(minus(a, 1.0), plus(a, 1.0)) if outer else a)
    found = plus(QUARTER_PI, plus(found, QUARTER_PI_LOW)) if outer else found
    found = minus(HALF_PI, minus(found, HALF_PI_LOW)) if size > 1.0 else found
    return negative(found) if x < 0.0 else found


def _cos_turns(v: Any) -> Any:
    """The one for the type of v."""


def _sin_turns(v: Any) -> Any:
    """The one for the type of v."""


def _arctan(x: Any) -> Any:
    """The one for the type of x."""


@chosen_by_type(_cos_turns)
def _cos_turns_of(v: Any) -> Any:
    if v == types.float32:
        return lambda v: nearest_float32(cos_turns64(f64(v)))
    return lambda v: cos_turns64(f64(v))


@chosen_by_type(_sin_turns)
def _sin_turns_of(v: Any) -> Any:
    if v == types.float32:
        return lambda v: nearest_float32(sin_turns64(f64(v)))
    return lambda v: sin_turns64(f64(v))


@chosen_by_type(_arctan)
def _arctan_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: nearest_float32(arctan64(f64(x)))
    return lambda x: arctan64(f64(x))


@exact
def cos_turns(v: Any) -> Any:
    """The cosine of `v` turns, ``cos(2 pi v)``, with the same bits on every machine.

    Args:
        v: in turns, so that 1 is a full circle and whole turns cost no accuracy.  For float32 the
            result is float32, within 0.5001 units in its last place; anything else is taken as
            float64, for a float64 result within 2 units in its last place.

    Returns:
        A number from -1 to 1; NaN for infinities and NaNs.

    >>> float(cos_turns(0.0)), float(cos_turns(-0.5)), abs(float(cos_turns(1e15 + 0.25)))
    (1.0, -1.0, 0.0)
    """
    return _cos_turns(v)


@exact
def sin_turns(v: Any) -> Any:
    """The sine of `v` turns, ``sin(2 pi v)``, with the same bits on every machine.

    Args:
        v: as for `cos_turns`, with the same accuracy.

    Returns:
        A number from -1 to 1; NaN for infinities and NaNs.

    >>> float(sin_turns(0.25)), float(sin_turns(0.75)), abs(float(sin_turns(7.0)))
    (1.0, -1.0, 0.0)
    """
    return _sin_turns(v)


@exact
def arctan(x: Any) -> Any:
    """The arctangent of `x`, in radians, with the same bits on every machine.

    Args:
        x: float32, for a float32 result within 0.5001 units in its last place; anything else is
            taken as float64, for a float64 result within 2.5 units in its last place.

    Returns:
        A number from -pi / 2 to pi / 2, +0 or -0 for zeros; NaN for NaNs.

    >>> 4 * float(arctan(1.0)), float(arctan(0.0))
    (3.141592653589793, 0.0)
    """
    return _arctan(x)
