# SPDX-License-Identifier: MIT
"""Normal matrices of which each column has the same number of zeros, at random rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastinit.numerics.dtypes import DType
from fastinit.values.distributions import Normal
from fastinit.values.matrices.matrix import Matrix
from fastinit.values.rows import numbers, table
from fastinit.values.samplers import Bytes, Generator, LazySampler, Sampler
from fastinit.values.stream import Stream

CHOICE = 2**63
"""Element i is chosen to be zero or not by word CHOICE + i of its stream: no value uses that."""

TOGETHER = 2**25
"""Words of some columns that are looked at together: 128 MiB, twice."""

NEAR = 4096
"""Up to this step between rows, what lies between them is drawn too: a call costs as many words."""

DRAWN = 2**18
"""About as many words are drawn at once with what lies between rows, for a cache's sake."""

RawWords = npt.NDArray[np.uint32]


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

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values; the first draw looks at every word once."""
        inner = self.normal.sampler(dtype, stream, generator)
        choices = _Choices(stream, generator)
        return LazySampler(dtype, lambda: self._ready(inner, choices))

    def _ready(self, inner: Sampler, choices: _Choices) -> Sampler:
        if not self.zeros:
            return inner
        rows, columns = self.shape
        limits, kept = np.empty(columns, np.uint32), []
        width = max(1, TOGETHER // rows)
        for left in range(0, columns, width):
            words = choices.of_rows(left, columns, rows, min(width, columns - left))
            limits[left : left + width], ties = _limits(words, self.zeros)
            kept += [row * columns + left + column for row, column in ties]
            del words  # or the next ones would need memory beside them
        return _SparseSampler(inner.dtype, inner, choices, limits, np.array(sorted(kept), np.int64))


@dataclass(slots=True, eq=False, repr=False)
class _Choices:
    """The words by which elements are chosen to be zero."""

    stream: Stream
    generator: Generator

    def draw(self, out: RawWords, start: int) -> None:
        """The words of consecutive elements from `start` on."""
        self.generator.words(out, CHOICE + start, self.stream)

    def of_rows(self, start: int, start_step: int, rows: int, count: int) -> RawWords:
        """The words of rows of `count` elements, `start_step` apart, of shape (count, rows)."""
        words = np.empty((count, rows), np.uint32)
        step = start_step if start_step <= NEAR else count  # what is drawn for a row
        together = max(1, DRAWN // step) if start_step <= NEAR else 1
        memory = np.empty(together * step, np.uint32)
        for row in range(0, rows, together):
            some = min(together, rows - row)
            self.draw(memory[: some * step], start + row * start_step)
            words[:, row : row + some] = memory.reshape(-1, step)[:some, :count].T
        return words


@dataclass(slots=True, eq=False, repr=False)
class _SparseSampler(Sampler):
    dtype: DType
    inner: Sampler
    choices: _Choices
    limits: RawWords  # of each column: the largest word of a zero
    kept: npt.NDArray[np.int64]  # elements that have that word too and are no zeros

    def draw(self, out: Bytes, start: int) -> None:
        """Normals, then the zeros among them."""
        self.inner.draw(out, start)
        elements = np.frombuffer(out, self.dtype.words)
        words = np.empty(elements.size, np.uint32)
        self.choices.draw(words, start)
        zero = words <= self._limits_from(start, words.size)
        first, last = np.searchsorted(self.kept, [start, start + words.size])
        zero[self.kept[first:last] - start] = False
        elements[zero] = 0

    def _limits_from(self, start: int, count: int) -> RawWords:
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
        words = self.choices.of_rows(start, start_step, rows, count).T
        zero = words <= self.limits[places % self.limits.size]
        zero &= ~np.isin(places, self.kept)
        table(out, self.dtype, rows, count, out_step)[zero] = 0


def _limits(words: RawWords, zeros: int) -> tuple[RawWords, list[tuple[int, int]]]:
    """The largest word of a zero in each column; row and column of others that have that word."""
    limits = np.partition(words, zeros - 1, axis=1)[:, zeros - 1]
    at_most = (words <= limits[:, np.newaxis]).sum(axis=1)
    ties = []
    for column in np.flatnonzero(at_most > zeros):
        equal = np.flatnonzero(words[column] == limits[column])
        spare = int(at_most[column]) - zeros
        ties += [(int(row), int(column)) for row in equal[len(equal) - spare :]]
    return limits, ties
