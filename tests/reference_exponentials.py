# SPDX-License-Identifier: MIT
"""exp, expm1, cos_turns, sin_turns, arctan and sign_and_tail in plain NumPy.

Written from docs/stream.md, section 22, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
from reference import Array

H = float.fromhex


def _of_either(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The float64 function for float32 too, whose result is rounded."""

    def both(x: Array) -> Array:
        with np.errstate(all="ignore"):
            found = function(x.astype(np.float64)).astype(x.dtype)
        result: Array = np.where(np.isnan(x), x.dtype.type(np.nan), found)
        return result

    return both


def _scaled(x: Array, k: Array) -> Array:
    result: Array = np.ldexp(x, k.astype(np.int64))  # exact but for denormals, so rounded once
    return result


def _parts(x: Array) -> tuple[Array, Array]:
    a = np.clip(np.where(np.isnan(x), 0.0, x), -1000.0, 1000.0)
    k = np.floor(a * H("0x1.71547652b82fep+0") + 0.5)
    r = (a - k * H("0x1.62e42feep-1")) - k * H("0x1.a39ef35793c76p-33")
    p = np.full_like(r, 1 / factorial(13))
    for n in range(12, 1, -1):
        p = p * r + 1 / factorial(n)
    return k, r + (r * r) * p


@_of_either
def exp(x: Array) -> Array:
    k, q = _parts(x)
    half = np.floor(k / 2)
    return _scaled(_scaled(1 + q, half), k - half)


@_of_either
def expm1(x: Array) -> Array:
    k, q = _parts(x)
    j = np.clip(k, -60, 60)
    return np.where(k > 60, exp(x), _scaled(q, j) + (_scaled(np.ones_like(q), j) - 1))


def _alternating(y: Array, last: int, least: int, of: Callable[[int], float]) -> Array:
    p = np.full_like(y, 1 / of(last))
    for m in range(last - 2, least - 1, -2):
        p = 1 / of(m) - y * p
    return p


def _turned(v: Array, shift: int) -> Array:
    f = v - np.rint(v)
    n = np.rint(4 * f)
    x = (f - 0.25 * n) * H("0x1.921fb54442d18p+2")
    y = x * x
    sine = x - x * (y * _alternating(y, 17, 3, factorial))
    cosine = 1 - y * _alternating(y, 16, 2, factorial)
    quarter = (n - 4 * np.floor(0.25 * n) + shift) % 4
    rows = [quarter == 0, quarter == 1, quarter == 2, quarter == 3]
    return np.select(rows, [cosine, -sine, -cosine, sine], np.nan)


@_of_either
def cos_turns(v: Array) -> Array:
    return _turned(v, 0)


@_of_either
def sin_turns(v: Array) -> Array:
    return _turned(v, 3)  # S, C, -S, -C is the cosines' row from its last on


@_of_either
def arctan(x: Array) -> Array:
    s = np.abs(x)
    a = np.where(s > 1, 1 / s, s)
    outer = a > H("0x1.a827999fcef32p-2")
    b = np.where(outer, (a - 1) / (a + 1), a)
    y = b * b
    t = b - b * (y * _alternating(y, 41, 3, float))
    t = np.where(outer, H("0x1.921fb54442d18p-1") + (t + H("0x1.1a62633145c07p-55")), t)
    t = np.where(s > 1, H("0x1.921fb54442d18p+0") - (t - H("0x1.1a62633145c07p-54")), t)
    return np.where(x < 0, -t, t)


def sign_and_tail(w: Array) -> tuple[Array, Array]:
    wide = w.dtype == np.uint64
    real, top = (np.float64, 63) if wide else (np.float32, 31)
    t = w & w.dtype.type((1 << top) - 1)
    p = (t.astype(real) + real(0.5)) * real(2.0**-top)
    sign = np.where(w >> w.dtype.type(top), real(-1), real(1))
    return sign, np.minimum(p, real(1) - np.finfo(real).epsneg)


FUNCTIONS = {
    "exp": exp,
    "expm1": expm1,
    "cos_turns": cos_turns,
    "sin_turns": sin_turns,
    "arctan": arctan,
}
