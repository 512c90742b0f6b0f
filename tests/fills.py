# SPDX-License-Identifier: MIT
"""What the tests of `fill` and `array` share."""

from __future__ import annotations

import numpy as np

import fastinit as fi
from fastinit.numerics import dtypes
from fastinit.schemes import sampling
from fastinit.values.stream import checked

SEED = 11
NAME = "w"
NORMAL = fi.normal(std=0.02)
DTYPES = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]
BIG = 3 * 2**20 + 5  # past the sizes that one thread or one chunk takes


def made(shape, scheme=NORMAL, **options):
    return fi.array(shape, scheme, seed=SEED, name=NAME, **options)


def filled(out, scheme=NORMAL, **options):
    return fi.fill(out, scheme, seed=SEED, name=NAME, **options)


def sampler_of(scheme, shape, dtype="float32", name=NAME, seed=SEED):
    """What draws the tensor."""
    return sampling.sampler(scheme, shape, checked(seed, name), dtypes.resolve(dtype))


def same(ours, theirs):
    """Equal bits, dtype and shape."""
    ours, theirs = np.ascontiguousarray(ours), np.ascontiguousarray(theirs)
    return (
        ours.dtype == theirs.dtype
        and ours.shape == theirs.shape
        and ours.tobytes() == theirs.tobytes()
    )
