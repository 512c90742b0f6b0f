# SPDX-License-Identifier: MIT
"""The upper left part of a Hadamard matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fastinit.numerics.dtypes import DType
from fastinit.values.matrices.matrix import Matrix
from fastinit.values.rows import numbers, table
from fastinit.values.samplers import Bytes, Generator, Sampler
from fastinit.values.stream import Stream


@dataclass(frozen=True)
class Hadamard(Matrix):
    """value * (-1)**popcount(i & j) at row i and column j: Sylvester's matrices."""

    value: float

    def _moments(self) -> tuple[float, float]:
        rows, columns = self.shape
        mean = self.value * _sum_of_signs(rows, columns) / max(rows * columns, 1)
        square = self.value**2 if self.count else 0.0
        return mean, math.sqrt(max(square - mean**2, 0.0))  # rounding may fall below 0

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values; the stream is not looked at."""
        word = dtype.word(self.value, "value")
        change = word ^ dtype.word(-self.value, "value")
        return _HadamardSampler(dtype, self.shape[1], word, change)


@dataclass(slots=True, eq=False, repr=False)
class _HadamardSampler(Sampler):
    dtype: DType
    columns: int
    word: Any  # of the value
    change: Any  # to minus the value, by exclusive or

    def draw(self, out: Bytes, start: int) -> None:
        """The end of a row, whole rows, the beginning of a row: whatever of it there is."""
        words = np.frombuffer(out, self.dtype.words)
        row, column = divmod(start, self.columns)
        if column:
            head = min(self.columns - column, words.size)
            self._draw_table(words[:head], row, 1, column, head)
            words, row = words[head:], row + 1
        whole, tail = divmod(words.size, self.columns)
        if whole:
            self._draw_table(words[: words.size - tail], row, whole, 0, self.columns)
        if tail:
            self._draw_table(words[words.size - tail :], row + whole, 1, 0, tail)

    def _draw_table(self, out: Any, row: int, rows: int, column: int, columns: int) -> None:
        """Neighbouring rows of neighbouring columns."""
        # Narrow indices are faster, where they are enough.
        kind = np.uint32 if max(row + rows, column + columns) <= 2**32 else np.uint64
        row_indices = np.arange(row, row + rows, dtype=kind)
        column_indices = np.arange(column, column + columns, dtype=kind)
        both = np.bitwise_and.outer(row_indices, column_indices)
        self._write(out.reshape(rows, columns), both)

    def _write(self, out: Any, both: Any) -> None:
        """Words of the elements whose row and column have the ones `both`."""
        odd = np.bitwise_count(both)
        odd &= 1
        np.multiply(odd, self.change, out=out, dtype=out.dtype)
        out ^= self.word

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        row, column = np.divmod(numbers(start, start_step, rows, count), self.columns)
        self._write(table(out, self.dtype, rows, count, out_step), row & column)


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
