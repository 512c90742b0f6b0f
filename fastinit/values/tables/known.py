# SPDX-License-Identifier: MIT
"""What all tables share: float64 values by the numbers of elements, rounded once."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastinit.numerics.doubles import DoubleArray
from fastinit.numerics.dtypes import DType, wide
from fastinit.values.distributions import check_fits
from fastinit.values.formulas import TILE
from fastinit.values.intervals import Interval
from fastinit.values.matrices.matrix import Matrix, unit_of
from fastinit.values.rows import ElementNumbers, numbers, table
from fastinit.values.samplers import Bytes, Generator, Sampler, Words
from fastinit.values.stream import Stream


@dataclass(frozen=True)
class KnownTable(Matrix):
    """A tensor without randomness: the same values in every stream."""

    @abstractmethod
    def values_of(self, elements: ElementNumbers) -> DoubleArray:
        """The values of the elements of these numbers; both have shape (count,)."""

    @abstractmethod
    def bounds(self) -> Interval:
        """An interval that holds all values."""

    def _moments(self) -> tuple[float, float]:
        """By all values; that takes as long as drawing them."""
        unit = unit_of(*self.bounds())
        mean = self._mean_of(lambda values: values / unit)
        square = self._mean_of(lambda values: (values / unit - mean) ** 2)
        return mean * unit, math.sqrt(square) * unit

    def _mean_of(self, function: Callable[[DoubleArray], DoubleArray]) -> float:
        tiles = (np.arange(n, min(n + TILE, self.count)) for n in range(0, self.count, TILE))
        total = math.fsum(math.fsum(function(self.values_of(tile)).tolist()) for tile in tiles)
        return total / max(self.count, 1)

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values; the stream is not looked at."""
        low, high = self.bounds()
        for kind in (wide(dtype), dtype):
            check_fits(kind, "the table", low, high)
        return _KnownSampler(dtype, self)


@dataclass(slots=True, eq=False, repr=False)
class _KnownSampler(Sampler):
    dtype: DType
    known: KnownTable

    def draw(self, out: Bytes, start: int) -> None:
        """A tile at a time."""
        words = np.frombuffer(out, self.dtype.words)
        for first in range(0, words.size, TILE):
            some = words[first : first + TILE]
            some[:] = self._words(np.arange(start + first, start + first + some.size))

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        words = table(out, self.dtype, rows, count, out_step)
        together = max(1, TILE // count)
        for row in range(0, rows, together):
            some = words[row : row + together]
            elements = numbers(start + row * start_step, start_step, len(some), count)
            some[:] = self._words(elements.reshape(-1)).reshape(some.shape)

    def _words(self, elements: ElementNumbers) -> Words:
        with np.errstate(all="ignore"):
            values = self.known.values_of(elements).astype(wide(self.dtype).numpy, copy=False)
            return self.dtype.cast(values).view(self.dtype.words)


def indices_along(shape: tuple[int, ...], axis: int, elements: ElementNumbers) -> ElementNumbers:
    """The index along one axis of each element."""
    found: ElementNumbers = elements // math.prod(shape[axis + 1 :])
    return found if axis == 0 else found % shape[axis]
