# SPDX-License-Identifier: MIT
"""Custom distributions as users write them, in a module.  No test; it imports Numba."""

from __future__ import annotations

import math

import numba
import numpy as np

import fastinit.numba as fn

SHIFT = 0.25


@numba.njit
def halved(x):
    return x * np.float32(0.5)


@fn.distribution
def laplace(s, scale=1.0):
    magnitude = fn.minus_log(np.float32(1.0) - abs(s)) * scale
    return magnitude if s > 0 else -magnitude


@fn.distribution
def ternary(s, scale):
    third = np.float32(1 / 3)
    return scale if s > third else -scale if s < -third else scale * 0


@fn.distribution
def exponential(u, rate=1.0):
    return fn.minus_log(u) / rate


@fn.distribution
def student(z, u):
    return z * np.sqrt(1 / np.sqrt(u))


@fn.distribution(mean=0.0, std=lambda size: size)
def signs(w, w2, size=1.0):
    return size if (w ^ w2) & 1 else -size


@fn.distribution
def scaled(z, std=1.0):
    return z * std


@fn.distribution
def moved(z, z2):
    return halved(z + z2) + SHIFT


@fn.distribution
def reciprocal(s, scale=1.0):
    return scale / s


@fn.distribution
def logarithmic(s, scale=1.0):
    magnitude = -np.log(np.float32(1.0) - abs(s)) * scale
    return magnitude if s > 0 else -magnitude


@fn.distribution
def of_a_constant(z):
    return z * math.log(2.0)


@fn.distribution
def nowhere(s, scale=1.0):
    return scale / (s * 0)


@fn.distribution
def pareto(u, a=3.0):
    return math.exp(fn.minus_log(u) / a)


@fn.distribution
def picky(s, limit=0.5):
    if s > limit:
        raise KeyError("above the limit")
    return s


PORTABLE = (
    laplace(scale=0.02),
    ternary(scale=0.1),
    exponential(rate=2),
    student(),
    signs(size=0.5),
    scaled(std=0.1),
    moved(),
)
"""One choice of numbers of each whose bits are the same everywhere."""
