# SPDX-License-Identifier: MIT
"""A matrix placed at one tap of a convolution's kernel, in a tensor of zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastinit.numerics.dtypes import DType
from fastinit.values.matrices.matrix import Matrix, mixture
from fastinit.values.rows import starts, table
from fastinit.values.samplers import Bytes, Generator, Range, Sampler
from fastinit.values.stream import Stream


@dataclass(frozen=True)
class Placed(Matrix):
    """Element m of `matrix` is element offset + m * step of the tensor; all others are zero."""

    matrix: Matrix
    offset: int
    step: int

    def _moments(self) -> tuple[float, float]:
        share = self.matrix.count / self.count if self.count else 0.0
        return mixture([(share, self.matrix.mean, self.matrix.std), (1 - share, 0.0, 0.0)])

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values: the matrix's are those of a tensor of its own shape."""
        inner = self.matrix.sampler(dtype, stream, generator)
        return _PlacedSampler(
            dtype, inner, self.matrix.count, self.offset, self.step, inner.tolerance
        )


@dataclass(slots=True, eq=False, repr=False)
class _PlacedSampler(Sampler):
    dtype: DType
    inner: Sampler
    count: int
    offset: int
    step: int
    tolerance: float

    def draw(self, out: Bytes, start: int) -> None:
        """Zeros, then the elements of the matrix that lie inside."""
        words = np.frombuffer(out, self.dtype.words)
        words.fill(0)
        first = self._from(start)
        inside = np.empty(self._from(start + words.size) - first, self.dtype.words)
        if inside.size:
            self.inner.draw(inside.view(np.uint8), first)
            words[self.offset + first * self.step - start :: self.step][: inside.size] = inside

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """Zeros, which are exact, and the range of the matrix's elements."""
        first = self._from(start)
        number = self._from(start + count) - first
        least, most = np.zeros((2, count), dtype.numpy)
        place = self.offset + first * self.step - start
        inside = self.inner.between(first, number, dtype)
        for whole, part in zip((least, most), inside, strict=True):
            whole[place :: self.step][:number] = part
        return least, most

    def _from(self, position: int) -> int:
        """The first element of the matrix at `position` of the tensor or later."""
        return min(max(0, -((self.offset - position) // self.step)), self.count)

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Column by column."""
        words = table(out, self.dtype, rows, count, out_step)
        words.fill(0)
        for column in range(count):
            self._draw_column(words[:, column], start + column, start_step)

    def _draw_column(self, words: Any, start: int, step: int) -> None:
        """Elements every `step`: those of the matrix among them are as regular."""
        number, left = np.divmod(starts(start - self.offset, step, words.size), self.step)
        here = np.flatnonzero((left == 0) & (number >= 0) & (number < self.count))
        if here.size:
            found = number[here]
            apart = int(found[1] - found[0]) if found.size > 1 else 0
            inside = np.empty(found.size, self.dtype.words)
            memory = inside.view(np.uint8)
            self.inner.draw_rows(memory, int(found[0]), apart, found.size, 1, self.dtype.size)
            words[here] = inside
