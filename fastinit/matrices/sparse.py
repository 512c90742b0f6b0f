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
from fastinit.samplers import Bytes, LazySampler, Sampler
from fastinit.stream import Stream

CHOICE = 2**63
"""Element i is chosen to be zero or not by word CHOICE + i of its stream: no value uses that."""

BLOCK = 2**24
"""Words of some columns that are looked at together: 64 MiB, twice."""

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
            some = slice(left, min(left + width, columns))
            limits[some], ties = _limits(_words(stream, self.shape, some), self.zeros)
            kept += [row * columns + left + column for row, column in ties]
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


def _draw_words(out: Words, stream: Stream, start: int) -> None:
    _native.words(out, CHOICE + start, stream.seed, stream.subsequence)


def _words(stream: Stream, shape: tuple[int, ...], some: slice) -> Words:
    """The words of some columns, of shape (columns, rows)."""
    rows, columns = shape
    words = np.empty((rows, some.stop - some.start), np.uint32)
    if words.shape == shape:
        _draw_words(words.reshape(-1), stream, 0)
    else:
        for row in range(rows):
            _draw_words(words[row], stream, row * columns + some.start)
    return np.ascontiguousarray(words.T)


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
