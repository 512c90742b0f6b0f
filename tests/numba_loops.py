# SPDX-License-Identifier: MIT
"""Loops over the functions of fastinit.numba, as users write them.  No test; it imports Numba."""

from __future__ import annotations

import numba
import numpy as np
import reference as ref
from twins import scheme_of

import fastinit.numba as fn

ROUNDINGS = {
    "bfloat16": fn.to_bfloat16,
    "float16": fn.to_float16,
    "float8_e4m3fn": fn.to_float8_e4m3fn,
    "float8_e5m2": fn.to_float8_e5m2,
}


def _values(out, numbers, words):
    for i in range(words.size):
        out[i] = fn.value(numbers, words[i])


def _elements(out, numbers, key, subsequence, start):
    for i in range(out.size):
        out[i] = fn.element(numbers, key, subsequence, np.uint64(start) + np.uint64(i))


def _blocks(out, numbers, key, subsequence):
    for b in range(out.size // 4):
        w0, w1, w2, w3 = fn.block(key, subsequence, b)
        out[4 * b], out[4 * b + 1] = fn.value(numbers, w0), fn.value(numbers, w1)
        out[4 * b + 2], out[4 * b + 3] = fn.value(numbers, w2), fn.value(numbers, w3)


def _parallel_elements(out, numbers, key, subsequence, start):
    for i in numba.prange(out.size):
        out[i] = fn.element(numbers, key, subsequence, np.uint64(start) + np.uint64(i))


def _logarithms(out, x):
    for i in range(x.size):
        out[i] = fn.minus_log(x[i])


values = numba.njit(_values)
elements = numba.njit(_elements)
blocks = numba.njit(_blocks)
logarithms = numba.njit(_logarithms)

HOSTILE = {
    "fastmath": {"fastmath": True},
    "python's errors": {"error_model": "python", "boundscheck": True},
    "debug": {"debug": True},
}
"""Options of a caller that must not change a bit."""


def under(name, loop):
    """A loop compiled with hostile options."""
    return numba.njit(**HOSTILE[name])(loop)


fast_parallel_elements = numba.njit(parallel=True, fastmath=True)(_parallel_elements)


def rounding_loop(function):
    """A loop that rounds float32 numbers."""

    @numba.njit
    def run(out, x):
        for i in range(x.size):
            out[i] = function(x[i])

    return run


_LOOPS = {}


def rounded(x, dtype):
    """Numbers as the library computes them, rounded to `dtype` by compiled code."""
    if dtype not in ROUNDINGS:
        return x
    if dtype not in _LOOPS:
        _LOOPS[dtype] = rounding_loop(ROUNDINGS[dtype])
    out = np.empty(x.size, f"u{ref.DTYPES[dtype].itemsize}")
    _LOOPS[dtype](out, x)
    return out.view(ref.DTYPES[dtype])


def real_of(dtype):
    """The type in which values of `dtype` are computed."""
    return np.float64 if dtype == "float64" else np.float32


def mapped(words, distribution, dtype, loop=values):
    """What compiled code makes of chosen words; two each for float64."""
    wide = words.view(np.uint64) if dtype == "float64" else words
    out = np.empty(wide.size, real_of(dtype))
    loop(out, fn.numbers(scheme_of(distribution), (8,), dtype=dtype), wide)
    return rounded(out, dtype)


def drawn(seed, name, distribution, start, count, dtype, loop=elements):
    """Elements of a tensor, by compiled code."""
    out = np.empty(count, real_of(dtype))
    numbers = fn.numbers(scheme_of(distribution), (8,), dtype=dtype)
    loop(out, numbers, *fn.stream(seed, name), np.uint64(start))
    return rounded(out, dtype)
