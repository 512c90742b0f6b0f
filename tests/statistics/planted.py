# SPDX-License-Identifier: MIT
"""Values with a defect, by the name of the test that must notice it."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
from laws import Array
from scipy.special import ndtri

COUNT = 2**21


def normals(count: int = COUNT) -> Array:
    """Good ones, float64, of NumPy."""
    return np.random.default_rng(11).standard_normal(count)


def repeated() -> Array:
    """Every block of four values twice."""
    return np.repeat(normals(COUNT // 2).reshape(-1, 1, 4), 2, axis=1).reshape(-1)


def too_even() -> Array:
    """One value in each of as many equal parts, shuffled."""
    generator = np.random.default_rng(12)
    even = (np.arange(COUNT) + generator.random(COUNT)) / COUNT
    generator.shuffle(even)
    return ndtri(even)


def bursts() -> Array:
    """Uncorrelated neighbours whose magnitudes are not independent."""
    scales = np.tile(np.repeat([0.95, np.sqrt(2 - 0.95**2)], 16), COUNT // 32)
    return normals() * scales


def cut() -> Array:
    """No value beyond 3.9 sigma, as if its word had 13 bits."""
    return normals().clip(-3.9, 3.9)


def narrow_box_muller() -> Array:
    """Box and Muller's normals with every step in bfloat16, as some kernels draw them."""
    generator, half = np.random.default_rng(13), ml_dtypes.bfloat16
    u, v = ((generator.integers(256, size=(2, COUNT // 2)) + 1) / 256).astype(half)
    radius = np.sqrt((-2 * np.log(u)).astype(half)).astype(half)
    angle = (2 * np.pi * v.astype(np.float32)).astype(half).astype(np.float32)
    both = [(radius * turn(angle).astype(half)).astype(half) for turn in (np.cos, np.sin)]
    return np.concatenate(both)


def chopped() -> Array:
    """Normals cut off to bfloat16 instead of rounded."""
    bits = normals().astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(ml_dtypes.bfloat16)


def a_nan() -> Array:
    """One value that is not a number."""
    values = normals()
    values[12_345] = np.nan
    return values


DEFECTS: list[tuple[str, Callable[[], Array], str]] = [
    ("variance", lambda: 1.003 * normals(), "float64"),
    ("mean", lambda: normals() + 0.006, "float64"),
    ("Kolmogorov-Smirnov", lambda: normals() + 0.008, "float64"),
    ("Anderson-Darling", lambda: 1.01 * normals(), "float64"),
    ("skewness", lambda: normals() + 0.005 * (normals() ** 2 - 1), "float64"),
    ("kurtosis", lambda: normals() + 0.001 * normals() ** 3, "float64"),
    ("lag 4", repeated, "float64"),
    ("lag 4, squares", repeated, "float64"),
    ("lag 1, squares", bursts, "float64"),
    ("lag 1", lambda: normals() + 0.006 * np.roll(normals(), 1), "float64"),
    ("chi-square", too_even, "float64"),
    ("Kolmogorov-Smirnov", too_even, "float64"),
    ("Anderson-Darling", too_even, "float64"),
    ("chi-square", lambda: np.tile(normals(COUNT // 16), 16), "float64"),
    ("beyond 4 sigma", cut, "float64"),
    ("beyond 3 sigma", lambda: 1.01 * normals(), "float64"),
    ("impossible values", a_nan, "float64"),
    ("chi-square", narrow_box_muller, "bfloat16"),
    ("beyond 4 sigma", narrow_box_muller, "bfloat16"),
    ("chi-square", chopped, "bfloat16"),
]
"""(test, values, dtype): the test that must fail on the values."""
