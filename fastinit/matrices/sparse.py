# SPDX-License-Identifier: MIT
"""Normal matrices of which each column has the same number of zeros, at random rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastinit import _native
from fastinit.distributions import Normal
from fastinit.dtypes import DType
from fastinit.matrices.matrix import Matrix
from fastinit.rows import numbers, table
from fastinit.samplers import Bytes, LazySampler, Sampler
from fastinit.stream import Stream

CHOICE = 2**63
"""Element i is chosen to be zero or not by word CHOICE + i of its stream: no value uses that."""

BLOCK = 2**25
"""Words of some columns that are looked at together: 128 MiB, twice."""

NEAR = 4096
"""Up to this step between rows, what lies between them is drawn too: a call costs as many words."""

DRAWN = 2**18
"""About as many words are drawn at once with what lies between rows, for a cache's sake."""

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class SparseNormal(Matrix):
    """Normal but for `zeros` elements of each column: those of the smallest words.

    Among equal words, the upper rows come first.
    """

    zeros: int
    normal: Normal

    def _moments(self) -> tuple[float, float]:
        kept = 1 - self.zeros / max(self.shape[0], 1)
        return 0.0, self.normal.std * math.sqrt(kept)

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values; the first draw looks at every word once."""
        inner = self.normal.sampler(dtype, stream)
        return LazySampler(dtype, lambda: self._ready(inner, stream))

    def _ready(self, inner: Sampler, stream: Stream) -> Sampler:
        if not self.zeros:
            return inner
        rows, columns = self.shape
        limits, kept = np.empty(columns, np.uint32), []
        width = max(1, BLOCK // rows)
        for left in range(0, columns, width):
            words = _words(stream, left, columns, rows, min(width, columns - left))
            limits[left : left + width], ties = _limits(words, self.zeros)
            kept += [row * columns + left + column for row, column in ties]
            del words  # or the next ones would need memory beside them
        return _SparseSampler(inner.dtype, inner, stream, limits, np.array(sorted(kept), np.int64))


@dataclass(frozen=True, slots=True)
class _SparseSampler(Sampler):
    dtype: DType
    inner: Sampler
    stream: Stream
    limits: Words  # of each column: the largest word of a zero
    kept: npt.NDArray[np.int64]  # elements that have that word too and are no zeros

    def draw(self, out: Bytes, start: int) -> None:
        """Normals, then the zeros among them."""
        self.inner.draw(out, start)
        elements = np.frombuffer(out, self.dtype.words)
        words = np.empty(elements.size, np.uint32)
        _draw_words(words, self.stream, start)
        zero = words <= self._limits_from(start, words.size)
        first, last = np.searchsorted(self.kept, [start, start + words.size])
        zero[self.kept[first:last] - start] = False
        elements[zero] = 0

    def _limits_from(self, start: int, count: int) -> Words:
        """The limits of the columns of `count` elements."""
        first = start % self.limits.size
        rows = -(-(first + count) // self.limits.size)
        limits = np.tile(self.limits, rows) if rows > 1 else self.limits
        return limits[first : first + count]

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        self.inner.draw_rows(out, start, start_step, rows, count, out_step)
        places = numbers(start, start_step, rows, count)
        words = _words(self.stream, start, start_step, rows, count).T
        zero = words <= self.limits[places % self.limits.size]
        zero &= ~np.isin(places, self.kept)
        table(out, self.dtype, rows, count, out_step)[zero] = 0


def _draw_words(out: Words, stream: Stream, start: int) -> None:
    _native.words(out, CHOICE + start, stream.seed, stream.subsequence)


def _words(stream: Stream, start: int, start_step: int, rows: int, count: int) -> Words:
    """The words of rows of `count` elements, `start_step` apart, of shape (count, rows)."""
    words = np.empty((count, rows), np.uint32)
    step = start_step if start_step <= NEAR else count  # what is drawn for a row
    together = max(1, DRAWN // step) if start_step <= NEAR else 1
    memory = np.empty(together * step, np.uint32)
    for row in range(0, rows, together):
        some = min(together, rows - row)
        _draw_words(memory[: some * step], stream, start + row * start_step)
        words[:, row : row + some] = memory.reshape(-1, step)[:some, :count].T
    return words


def _limits(words: Words, zeros: int) -> tuple[Words, list[tuple[int, int]]]:
    """The largest word of a zero in each column; row and column of others that have that word."""
    limits = np.partition(words, zeros - 1, axis=1)[:, zeros - 1]
    at_most = (words <= limits[:, np.newaxis]).sum(axis=1)
    ties = []
    for column in np.flatnonzero(at_most > zeros):
        equal = np.flatnonzero(words[column] == limits[column])
        spare = int(at_most[column]) - zeros
        ties += [(int(row), int(column)) for row in equal[len(equal) - spare :]]
    return limits, ties
