# SPDX-License-Identifier: MIT
"""From words to values: one function a class of numbers.  None rounds to a narrow type.

docs/stream.md defines every bit: sections 4 to 9 for float32, section 10 for float64.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np

from fastinit.numba.arithmetic import fused, larger, minus, negative, plus, smaller, times
from fastinit.numba.bits import bits_of_float32, bits_of_float64, float32_of_bits, float64_of_bits
from fastinit.numba.compiling import exact
from fastinit.numba.conversions import float64_of_signed
from fastinit.numba.numbers import (
    ClippedNumbers,
    ConstantNumbers,
    NormalNumbers,
    TruncatedNumbers,
    UniformNumbers,
)
from fastinit.numba.quantiles import quantile, quantile64

u32, u64, i32, i64, f32, f64 = np.uint32, np.uint64, np.int32, np.int64, np.float32, np.float64

TOP_BIT = u32(0x80000000)
GREATEST_TAIL = f32(float.fromhex("0x1.fffffep+30"))

# ---- float32 ------------------------------------------------------------------------------------


@exact
def _flipped(z: Any, sign: Any) -> Any:
    return float32_of_bits(u32(bits_of_float32(z) ^ sign))


@exact
def _tail(w: Any) -> Any:
    return plus(f32(i32(w & u32(0x7FFFFFFF))), f32(0.5))


@exact
def standard_normal(w: SupportsIndex) -> Any:
    """The standard normal of a word, in float32.

    Args:
        w: a word, 0 <= w < 2**32.

    Returns:
        A float32 z, 1.6e-8 <= ``|z|`` <= 6.3380; w ^ 2**31 gives -z.

    >>> round(standard_normal(0), 4), round(standard_normal(2**31), 4)
    (6.338, -6.338)
    """
    v = u32(w)
    f = smaller(_tail(v), GREATEST_TAIL)
    return _flipped(quantile(f, u32(0)), u32(v & TOP_BIT))


@exact
def signed_uniform(w: SupportsIndex) -> Any:
    """An odd multiple of 2**-24 in (-1, 1), in float32: exact, symmetric and never 0.

    Args:
        w: a word, 0 <= w < 2**32; each of the 2**24 results has 2**8 of them.

    >>> float(signed_uniform(0)) == 2.0**-24, float(signed_uniform(2**32 - 1)) == -(2.0**-24)
    (True, True)
    """
    return times(f32((i32(u32(w)) >> i32(7)) | i32(1)), f32(2.0**-24))


@exact
def _inside(x: Any, low: Any, high: Any) -> Any:
    return smaller(larger(x, low), high)


@exact
def _uniform32(n: Any, w: Any) -> Any:
    x = fused(f32((i32(w) >> i32(7)) | i32(1)), n.scale, n.shift)
    return _inside(x, n.low, n.high)


@exact
def plain_tail(n: Any, w: Any) -> Any:
    """The tail probability f of a word, and in bit 31 the sign of its z."""
    return smaller(_tail(w), GREATEST_TAIL), u32(w & TOP_BIT)


@exact
def symmetric_tail(n: Any, w: Any) -> Any:
    """The same for a truncated normal whose bounds are equally far: both tails are one."""
    return smaller(fused(_tail(w), n.slope, n.base), GREATEST_TAIL), u32(w & TOP_BIT)


@exact
def truncated_tail(n: Any, w: Any) -> Any:
    """The same for a truncated normal."""
    upper = w & TOP_BIT == u32(0)
    g = fused(_tail(w), n.slope0 if upper else n.slope1, n.base0 if upper else n.base1)
    past = u32(bits_of_float32(minus(f32(2147483648.0), g)) & TOP_BIT)
    f = larger(smaller(g, minus(f32(4294967296.0), g)), f32(0.5))
    sign = u32((w & n.sign_and) ^ n.sign_xor ^ past)
    return smaller(f, GREATEST_TAIL), sign


@exact
def placed(n: Any, z: Any, sign: Any) -> Any:
    """The value of a z of that sign, where there is no interval."""
    return fused(_flipped(z, sign), n.scale, n.shift)


@exact
def bounded(n: Any, z: Any, sign: Any) -> Any:
    """The value of a z of that sign, inside the interval."""
    return _inside(fused(_flipped(z, sign), n.scale, n.shift), n.low, n.high)


@exact
def _normal32(n: Any, w: Any) -> Any:
    f, sign = plain_tail(n, w)
    return placed(n, quantile(f, u32(0)), sign)


@exact
def _clipped32(n: Any, w: Any) -> Any:
    f, sign = plain_tail(n, w)
    return bounded(n, quantile(f, u32(0)), sign)


@exact
def _truncated32(n: Any, w: Any) -> Any:
    f, sign = truncated_tail(n, w)
    return bounded(n, quantile(f, n.octave), sign)


# ---- float64: nothing is fused ------------------------------------------------------------------


@exact
def _count(w: Any) -> Any:
    return plus(float64_of_signed(i64(w & u64(0x7FFFFFFFFFFFFFFF))), 0.5)


@exact
def standard_normal64(w: SupportsIndex) -> Any:
    """The standard normal of 64 bits, in float64.

    Args:
        w: what `word64` gives, 0 <= w < 2**64.

    Returns:
        A float64 z, ``|z|`` <= 9.1553; w ^ 2**63 gives -z.

    >>> import numpy as np
    >>> round(standard_normal64(np.uint64(0)), 4), round(standard_normal64(np.uint64(2**63)), 4)
    (9.1553, -9.1553)
    """
    v = u64(w)
    z = quantile64(times(_count(v), 2.0**-64))
    return negative(z) if v >> u64(63) != u64(0) else z


@exact
def signed_uniform64(w: SupportsIndex) -> Any:
    """An odd multiple of 2**-53 in (-1, 1), in float64: exact, symmetric and never 0.

    Args:
        w: what `word64` gives, 0 <= w < 2**64.

    >>> import numpy as np
    >>> last = np.uint64(2**64 - 1)
    >>> signed_uniform64(np.uint64(0)) == 2.0**-53, signed_uniform64(last) == -(2.0**-53)
    (True, True)
    """
    return times(f64((i64(u64(w)) >> i64(10)) | i64(1)), 2.0**-53)


@exact
def plain_tail64(n: Any, w: Any) -> Any:
    """The tail probability p of a word, and in bit 63 the sign of its z."""
    return times(_count(w), 2.0**-64), w


@exact
def truncated_tail64(n: Any, w: Any) -> Any:
    """The same for a truncated normal."""
    upper = w >> u64(63) == u64(0)
    product = times(_count(w), n.slope0 if upper else n.slope1)
    g = plus(product, n.base0 if upper else n.base1)
    top = u32((u32(w >> u64(32)) & n.sign_and) ^ n.sign_xor)
    sign = (u64(top) << u64(32)) ^ bits_of_float64(minus(0.5, g))
    return smaller(g, minus(1.0, g)), sign


@exact
def placed64(n: Any, z: Any, sign: Any) -> Any:
    """The value of a z, whose sign is changed by bit 63 of `sign`, where there is no interval."""
    flipped = float64_of_bits(u64(bits_of_float64(z) ^ (sign & u64(1 << 63))))
    return plus(times(flipped, n.scale), n.shift)


@exact
def bounded64(n: Any, z: Any, sign: Any) -> Any:
    """The same inside the interval."""
    return _inside(placed64(n, z, sign), n.low, n.high)


@exact
def _uniform64(n: Any, w: Any) -> Any:
    x = float64_of_signed((i64(w) >> i64(10)) | i64(1))
    return _inside(plus(times(x, n.scale), n.shift), n.low, n.high)


@exact
def _normal64(n: Any, w: Any) -> Any:
    p, sign = plain_tail64(n, w)
    return placed64(n, quantile64(p), sign)


@exact
def _clipped64(n: Any, w: Any) -> Any:
    return _inside(_normal64(n, w), n.low, n.high)


@exact
def _truncated64(n: Any, w: Any) -> Any:
    p, sign = truncated_tail64(n, w)
    return bounded64(n, quantile64(p), sign)


@exact
def _constant(n: Any, w: Any) -> Any:
    return n.value


VALUES = {
    UniformNumbers: (_uniform32, _uniform64),
    NormalNumbers: (_normal32, _normal64),
    ClippedNumbers: (_clipped32, _clipped64),
    TruncatedNumbers: (_truncated32, _truncated64),
    ConstantNumbers: (_constant, _constant),
}
"""The function of each class, for float32 and for float64 numbers."""
