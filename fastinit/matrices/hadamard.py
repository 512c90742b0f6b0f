# SPDX-License-Identifier: MIT
"""The upper left part of a Hadamard matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fastinit.dtypes import DType
from fastinit.matrices.matrix import Matrix, pattern
from fastinit.samplers import Bytes, Sampler
from fastinit.stream import Stream


@dataclass(frozen=True)
class Hadamard(Matrix):
    """value * (-1)**popcount(i & j) at row i and column j: Sylvester's matrices."""

    value: float

    def _moments(self) -> tuple[float, float]:
        rows, columns = self.shape
        mean = self.value * _sum_of_signs(rows, columns) / max(rows * columns, 1)
        return mean, float(np.sqrt(self.value**2 - mean**2)) if self.count else 0.0

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values; the stream is not looked at."""
        words = pattern(dtype, self.value, "value"), pattern(dtype, -self.value, "value")
        return _HadamardSampler(dtype, self.shape[1], np.array(words))


@dataclass(frozen=True, slots=True)
class _HadamardSampler(Sampler):
    dtype: DType
    columns: int
    words: Any  # of the value and of minus the value

    def draw(self, out: Bytes, start: int) -> None:
        """All rows that it touches, or the touched part of a single row."""
        words = np.frombuffer(out, self.dtype.words)
        row, column = divmod(start, self.columns)
        last = (start + words.size - 1) // self.columns
        rows = np.arange(row, last + 1, dtype=np.uint64)
        if row == last:
            columns, column = np.arange(column, column + words.size, dtype=np.uint64), 0
        else:
            columns = np.arange(self.columns, dtype=np.uint64)
        if max(row + rows.size, self.columns) <= 2**32:  # narrow ones are faster
            rows, columns = rows.astype(np.uint32), columns.astype(np.uint32)
        odd = np.bitwise_count(np.bitwise_and.outer(rows, columns)).reshape(-1) & 1
        words[:] = self.words[odd[column : column + words.size]]


@lru_cache(maxsize=1024)  # a few sizes for each power of two, asked for again and again
def _sum_of_signs(rows: int, columns: int) -> int:
    """The sum of (-1)**popcount(i & j) over i < rows and j < columns."""
    if not rows or not columns:
        return 0
    half = 1 << (max(rows, columns) - 1).bit_length() >> 1  # the larger one's highest bit
    if not half:
        return 1
    low_rows, low_columns = min(rows, half), min(columns, half)
    total = _sum_of_signs(low_rows, low_columns)
    total += _sum_of_signs(rows - low_rows, low_columns)
    total += _sum_of_signs(low_rows, columns - low_columns)
    return total - _sum_of_signs(rows - low_rows, columns - low_columns)
