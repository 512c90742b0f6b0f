# SPDX-License-Identifier: MIT
"""What is kept of endless values: counts in cells, sums of powers and of products at lags.

Memory does not grow with the number of values.  What should have been counted is known in laws.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
from laws import CELLS, Array, Chances, ascending, keys

LAGS = (1, 2, 3, 4, 8, 64, 512, 4096)
PART = 2**16
"""Values whose products are summed together: their arrays stay in the cache."""


@dataclass
class Counts:
    """What is known of a sample; two of them can be added."""

    count: int = 0
    cells: Array = field(default_factory=lambda: np.zeros(CELLS, np.int64))
    powers: Array = field(default_factory=lambda: np.zeros(4))
    """Sums of the first four powers of the values in standard units."""
    pairs: Array = field(default_factory=lambda: np.zeros(len(LAGS)))
    products: Array = field(default_factory=lambda: np.zeros(len(LAGS)))
    """Sums of products of values in standard units at each lag."""
    squares: Array = field(default_factory=lambda: np.zeros(len(LAGS)))
    """The same of their squares less 1."""

    def add(self, values: Array, expected: Chances) -> None:
        """Count values of any dtype; standard units are those of `expected`."""
        narrow = values.astype(np.float32)
        self.count += values.size
        self.cells += np.bincount(keys(narrow), minlength=CELLS)
        for start in range(0, values.size, PART):
            part = values[start : start + PART].astype(np.float64)
            self._sum((part - expected.mean) / expected.std)

    def _sum(self, x: Array) -> None:
        square = x * x
        self.powers += x.sum(), square.sum(), inner(square, x), inner(square, square)
        square -= 1
        for place, lag in enumerate(LAGS):
            if lag < x.size:
                self.pairs[place] += x.size - lag
                self.products[place] += inner(x[:-lag], x[lag:])
                self.squares[place] += inner(square[:-lag], square[lag:])

    def __iadd__(self, other: Counts) -> Counts:
        self.count += other.count
        for name in ("cells", "powers", "pairs", "products", "squares"):
            getattr(self, name).__iadd__(getattr(other, name))
        return self

    @property
    def ascending(self) -> Array:
        """Counts from the lowest cell to the highest."""
        return ascending(self.cells)

    @property
    def lost(self) -> int:
        """Values in none of these cells: NaNs and those of a magnitude beyond `laws.LARGEST`."""
        return int(self.count - self.ascending.sum())


def inner(x: Array, y: Array) -> float:
    """The sum of products, on one thread: BLAS would start others."""
    return float(np.einsum("i,i->", x, y))


def as_numpy(dtype: str) -> np.dtype:
    """The NumPy type of a dtype's name."""
    return np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
