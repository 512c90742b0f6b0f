# SPDX-License-Identifier: MIT
"""From a tail probability to a distance in sigma.  Which probability a word has is not known here.

docs/stream.md, sections 5 and 10, defines every bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastinit.numba.arithmetic import fused, minus, over, plus, square_root, times
from fastinit.numba.bits import bits_of_float32, float32_of_bits
from fastinit.numba.compiling import exact
from fastinit.numba.logarithms import minus_log_of_normal
from fastinit.numba.octaves import octave_table

u32, u64, f32 = np.uint32, np.uint64, np.float32

_TABLE = np.ascontiguousarray(octave_table().T)
C0, C1, C2, C3, C4, C5, C6, C7 = _TABLE
"""A column each, by row.  Numba freezes globals into the code."""

FIRST_ROW = u64(30 + 127)
"""The row of numbers whose biased exponent is 0, if there were as many."""


@exact
def quantile(f: Any, octave: Any) -> Any:
    """How many sigma out a tail of probability f * 2**-(32 + octave) begins; 1/2 <= f < 2**31."""
    bits = bits_of_float32(f)
    row = FIRST_ROW + u64(octave) - u64(bits >> u32(23))  # unsigned: no test for wraparound
    d = minus(float32_of_bits(u32((bits & u32(0x007FFFFF)) | u32(0x3F800000))), f32(1.5))
    z = C7[row]
    z = fused(z, d, C6[row])
    z = fused(z, d, C5[row])
    z = fused(z, d, C4[row])
    z = fused(z, d, C3[row])
    z = fused(z, d, C2[row])
    z = fused(z, d, C1[row])
    return fused(z, d, C0[row])


_A = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_B = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_C = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_D = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)
_E = (
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
)
_F = (
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
)
"""Wichura (1988), Algorithm AS 241, PPND16, Applied Statistics 37, doi:10.2307/2347330."""


@exact
def _polynomial(a: Any, r: Any) -> Any:
    x = plus(times(a[7], r), a[6])
    x = plus(times(x, r), a[5])
    x = plus(times(x, r), a[4])
    x = plus(times(x, r), a[3])
    x = plus(times(x, r), a[2])
    x = plus(times(x, r), a[1])
    return plus(times(x, r), a[0])


@exact
def _ratio(a: Any, b: Any, r: Any) -> Any:
    return over(_polynomial(a, r), _polynomial(b, r))


@exact
def is_far64(p: Any) -> Any:
    """Whether a tail probability, 0 < p <= 1/2, is so small that its quantile takes a logarithm."""
    return minus(0.425, minus(0.5, p)) < 0.0


@exact
def near_quantile64(p: Any) -> Any:
    """How many sigma out a tail of probability p begins, if it is not far."""
    q = minus(0.5, p)
    return times(q, _ratio(_A, _B, minus(0.180625, times(q, q))))


@exact
def tail_root64(p: Any) -> Any:
    """What the quantile of a far tail of probability p is a function of."""
    return square_root(minus_log_of_normal(p))


@exact
def is_beyond64(r: Any) -> Any:
    """Whether a `tail_root64` is beyond the first of the two ratios: a tail of 1.4e-11 or less."""
    return minus(5.0, r) < 0.0


@exact
def tail_quantile64(r: Any) -> Any:
    """How many sigma out a tail begins whose `tail_root64` is r, if that is not beyond."""
    return _ratio(_C, _D, minus(r, 1.6))


@exact
def far_quantile64(r: Any) -> Any:
    """How many sigma out a tail begins whose `tail_root64` is r."""
    if is_beyond64(r):
        return _ratio(_E, _F, minus(r, 5.0))
    return tail_quantile64(r)


@exact
def quantile64(p: Any) -> Any:
    """How many sigma out a tail of probability p begins, in float64; 0 < p <= 1/2."""
    if is_far64(p):
        return far_quantile64(tail_root64(p))
    return near_quantile64(p)
