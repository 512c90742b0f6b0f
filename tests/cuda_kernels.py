# SPDX-License-Identifier: MIT
"""CUDA kernels over the functions of fastinit.numba, as users write them.  No test; imports Numba.

They are plain functions, for `numba.cuda.jit` in the simulator and `numba.cuda.compile` without a
card.  Each thread takes every n-th element, so that a launch of few threads does all.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda, njit

import fastinit.numba as fn


@njit(forceinline=True)
def same(x):
    """No rounding: for the dtypes in which values are computed."""
    return x


@cache
def of_words(function, rounding=same):
    """A kernel that maps words to values with numbers, and rounds them."""

    def kernel(out, numbers, words):
        for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
            out[i] = rounding(function(numbers, words[i]))

    return kernel


@cache
def of_one(function):
    """A kernel that maps words or numbers one by one."""

    def kernel(out, x):
        for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
            out[i] = function(x[i])

    return kernel


def elements(out, numbers, key, subsequence, start):
    """Elements of a tensor from `start` on."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = fn.element(numbers, key, subsequence, np.uint64(start) + np.uint64(i))


def words(out, key, subsequence, start):
    """Words of a stream from `start` on."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = fn.word(key, subsequence, np.uint64(start) + np.uint64(i))


def wide_words(out, key, subsequence, start):
    """The 64 bits of float64 elements from `start` on."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = fn.word64(key, subsequence, np.uint64(start) + np.uint64(i))


def blocks(out, key, subsequence, first):
    """The words of blocks from `first` on."""
    for b in range(cuda.grid(1), out.size // 4, cuda.gridsize(1)):
        w0, w1, w2, w3 = fn.block(key, subsequence, np.uint64(first) + np.uint64(b))
        out[4 * b], out[4 * b + 1], out[4 * b + 2], out[4 * b + 3] = w0, w1, w2, w3


def philox(out, counter, key):
    """One block of Philox, of the words of two arrays."""
    for k in range(cuda.grid(1), 4, cuda.gridsize(1)):
        four = (counter[0], counter[1], counter[2], counter[3])
        out[k] = fn.philox4x32(four, (key[0], key[1]))[k]


def unguarded(out, x):
    """What NVVM does to the operators of Python: it fuses a product and a sum."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = x[i] * x[i] + x[i]
