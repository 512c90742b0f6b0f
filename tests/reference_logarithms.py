# SPDX-License-Identifier: MIT
"""minus_log in plain NumPy, written from docs/stream.md, section 20, and from nothing else."""

from __future__ import annotations

import re

import numpy as np
from reference import PAGE, Array, fused
from reference import minus_log as minus_log_of_normal

COEFFICIENTS = np.array(
    [int(c, 16) for c in re.findall(r"^a0 to a8:((?: [0-9a-f]{8}){9})$", PAGE, re.M)[0].split()],
    np.uint32,
).view(np.float32)
"""Read out of the page, so that the page is what is tested."""


def minus_log(x: Array) -> Array:
    """Of an array of float32 or of float64, of its shape and dtype."""
    ordinary = (x > 0) & (x < np.inf)
    one = np.where(ordinary, x, x.dtype.type(1))
    found = _of_float32(one) if x.dtype == np.float32 else _of_float64(one)
    found = np.where(x == 0, x.dtype.type(np.inf), found)
    found = np.where(x == np.inf, x.dtype.type(-np.inf), found)
    result: Array = np.where((x < 0) | np.isnan(x), x.dtype.type(np.nan), found)
    return result


def _of_float32(x: Array) -> Array:
    denormal = x.view(np.uint32) < 0x00800000
    scaled = x * np.where(denormal, np.float32(2.0**24), np.float32(1))
    u = scaled.view(np.uint32).astype(np.int64)
    v = u + 0x3F800000 - 0x3F3504F3
    m = ((v & 0x007FFFFF) + 0x3F3504F3).astype(np.uint32).view(np.float32)
    d = m - np.float32(1)
    k = (127 - (v >> 23) + np.where(denormal, 24, 0)).astype(np.float32)
    a = np.full_like(d, COEFFICIENTS[8])
    for coefficient in COEFFICIENTS[7::-1]:
        a = fused(a, d, coefficient)
    inner = fused(d * d, a, -d)
    inner = fused(k, np.float32(float.fromhex("0x1.7f7d1cp-20")), inner)
    return fused(k, np.float32(float.fromhex("0x1.62e4p-1")), inner)


def _of_float64(x: Array) -> Array:
    denormal = x < 2.0**-1022
    found = minus_log_of_normal(x * np.where(denormal, 2.0**54, 1.0))
    return np.where(denormal, found + 54 * float.fromhex("0x1.62e42fefa39efp-1"), found)
