# SPDX-License-Identifier: MIT
"""From float32 to the narrow dtypes, as bits.  Nothing else is rounded here.

To nearest, ties to even, denormals kept: docs/stream.md, section 9.  Integer operations do it, so
flushing denormals changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastinit.numba.arithmetic import nearest_float32, plus
from fastinit.numba.bits import bits_of_float32, float32_of_bits
from fastinit.numba.compiling import exact
from fastinit.numba.conversions import half_of_float32
from fastinit.numba.targets import HAS_HALF

u8, u16, u32, f32 = np.uint8, np.uint16, np.uint32, np.float32

MAGNITUDE, INFINITE = u32(0x7FFFFFFF), u32(0x7F800000)


@exact
def to_bfloat16(x: Any) -> Any:
    """The bits of `x`, a float32 number, rounded to bfloat16: a uint16.

    Beyond bfloat16's finite numbers they are infinity's, and a NaN stays a NaN.

    >>> hex(to_bfloat16(1.00390625)), hex(to_bfloat16(-3.4e38))
    ('0x3f80', '0xff80')
    """
    b = bits_of_float32(nearest_float32(x))
    rounded = u32(b + u32(0x7FFF) + ((b >> u32(16)) & u32(1))) >> u32(16)
    return u16(u32((b >> u32(16)) | u32(0x40)) if b & MAGNITUDE > INFINITE else rounded)


@exact
def to_float16(x: Any) -> Any:
    """The bits of `x`, a float32 number, rounded to float16: a uint16.

    From 65520 on they are infinity's, and a NaN stays a NaN.

    >>> hex(to_float16(1.0)), hex(to_float16(65520.0)), hex(to_float16(2.0**-24))
    ('0x3c00', '0x7c00', '0x1')
    """
    b = bits_of_float32(nearest_float32(x))
    size = b & MAGNITUDE
    normal = u32(size - u32(112 << 23) + u32(0xFFF) + ((size >> u32(13)) & u32(1))) >> u32(13)
    small = u32(bits_of_float32(plus(float32_of_bits(size), f32(0.5))) - u32(0x3F000000))
    half = u32(0x7C00) if size >= u32(0x47800000) else small if size < u32(0x38800000) else normal
    half = u32(0x7E00) if size > INFINITE else half
    return u16(half | ((b >> u32(16)) & u32(0x8000)))


@exact
def _to_float8(x: Any, fraction: int, bias: int, beyond: int) -> Any:
    """The code of a float8 type; `beyond` is that of numbers too large for it, below NaN's.

    A sum with `adder`, whose last place is the type's least denormal, rounds denormals.
    """
    least, adder = u32((128 - bias) << 23), u32((128 - bias + 23 - fraction) << 23)
    shift = u32(23 - fraction)
    b = bits_of_float32(nearest_float32(x))
    size = b & MAGNITUDE
    half = u32((1 << (22 - fraction)) - 1 - ((127 - bias) << 23))
    normal = u32(size + half + ((size >> shift) & u32(1))) >> shift
    small = u32(bits_of_float32(plus(float32_of_bits(size), float32_of_bits(adder))) - adder)
    code = small if size < least else normal
    code = code if code < u32(beyond) else u32(beyond)
    code = u32(0x7F) if size > INFINITE else code
    return u8(code | ((b >> u32(24)) & u32(0x80)))


@exact
def to_float8_e4m3fn(x: Any) -> Any:
    """The bits of `x`, a float32 number, rounded to float8_e4m3fn: a uint8.

    The type has no infinity: beyond 464 they are a NaN's.  Values of fastinit's distributions never
    go there, as their interval ends at 448.

    >>> hex(to_float8_e4m3fn(448.0)), hex(to_float8_e4m3fn(-2.0**-9)), hex(to_float8_e4m3fn(1e9))
    ('0x7e', '0x81', '0x7f')
    """
    return _to_float8(x, 3, 7, 0x7F)


@exact
def to_float8_e5m2(x: Any) -> Any:
    """The bits of `x`, a float32 number, rounded to float8_e5m2: a uint8.

    From 61440 on they are infinity's, and a NaN stays a NaN.

    >>> hex(to_float8_e5m2(57344.0)), hex(to_float8_e5m2(61440.0)), hex(to_float8_e5m2(2.0**-16))
    ('0x7b', '0x7c', '0x1')
    """
    return _to_float8(x, 2, 15, 0x7C)


# ---- numbers that are neither a NaN nor beyond the dtype ----------------------------------------

# The values of every distribution are such numbers.  A loop over these functions is vectorised with
# fewer steps; each of them says that it has 32 bits, as Numba would make 64 of them.


@exact
def finite_to_bfloat16(x: Any) -> Any:
    """What `to_bfloat16` makes of them."""
    b = bits_of_float32(x)
    odd = u32(u32(b >> u32(16)) & u32(1))
    return u16(u32(u32(b + u32(0x7FFF)) + odd) >> u32(16))


@exact
def _finite_to_float8(x: Any, fraction: int, bias: int) -> Any:
    """The code of a float8 type; the steps of `_to_float8`."""
    least, adder = u32((128 - bias) << 23), u32((128 - bias + 23 - fraction) << 23)
    shift = u32(23 - fraction)
    b = bits_of_float32(x)
    size = u32(b & MAGNITUDE)
    half = u32(((1 << (22 - fraction)) - 1 - ((127 - bias) << 23)) & 0xFFFFFFFF)
    odd = u32(u32(size >> shift) & u32(1))
    normal = u32(u32(u32(size + half) + odd) >> shift)
    small = u32(bits_of_float32(plus(float32_of_bits(size), float32_of_bits(adder))) - adder)
    code = small if size < least else normal
    return u8(code | u32(u32(b >> u32(24)) & u32(0x80)))


@exact
def finite_to_float8_e4m3fn(x: Any) -> Any:
    """What `to_float8_e4m3fn` makes of them."""
    return _finite_to_float8(x, 3, 7)


@exact
def finite_to_float8_e5m2(x: Any) -> Any:
    """What `to_float8_e5m2` makes of them."""
    return _finite_to_float8(x, 2, 15)


finite_to_float16 = half_of_float32 if HAS_HALF else to_float16
"""What `to_float16` makes of them: one instruction where there is one."""
