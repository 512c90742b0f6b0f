# SPDX-License-Identifier: MIT
"""Tensors of zeros with one value at a few places: identity and dirac."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastinit.numerics.dtypes import DType
from fastinit.values.matrices.matrix import Matrix
from fastinit.values.rows import ElementNumbers, starts, table
from fastinit.values.samplers import Bytes, Generator, Sampler
from fastinit.values.stream import Stream

Loops = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Points(Matrix):
    """`value` at offset + the sum of step * index, over all indices of each loop; zero elsewhere.

    A loop is (step, count).  Sorted by falling step they must be nested: each step is larger than
    all that the loops after it add up to.  Then the points of one index of a loop lie before all
    of the next, and neither finding the points of a region nor counting them takes a search.
    """

    offset: int
    loops: Loops
    value: float

    def __post_init__(self) -> None:
        loops = sorted((loop for loop in self.loops if loop[1] != 1), reverse=True)
        object.__setattr__(self, "loops", tuple(loops))
        if not self._number():
            return
        reach = 0
        for step, count in reversed(loops):
            if step <= reach:
                raise ValueError(
                    f"loops {tuple(loops)}: the points of one lie among those of another; need "
                    f"steps larger than all later loops' reach, here {step} > {reach}"
                )
            reach += step * (count - 1)

    def _number(self) -> int:
        """How many points there are."""
        return math.prod(count for _, count in self.loops) if self.count else 0

    def _moments(self) -> tuple[float, float]:
        share = self._number() / self.count if self.count else 0.0
        return self.value * share, abs(self.value) * math.sqrt(share * (1 - share))

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values; the stream is not looked at."""
        word = dtype.word(self.value, "gain")
        return _PointSampler(dtype, self.offset, self.loops, self._number(), word)


@dataclass(slots=True, eq=False, repr=False)
class _PointSampler(Sampler):
    dtype: DType
    offset: int
    loops: Loops
    number: int
    word: Any

    def draw(self, out: Bytes, start: int) -> None:
        """Zeros, then the values whose positions lie inside."""
        words = np.frombuffer(out, self.dtype.words)
        words.fill(0)
        if self.number:
            first, last = self._before(np.array([start, start + words.size]))
            if first < last:
                words[self._position(np.arange(first, last)) - start] = self.word

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """The same of all rows together."""
        if rows == 1:
            self.draw(out, start)
            return
        words = table(out, self.dtype, rows, count, out_step)
        words.fill(0)
        if not self.number:
            return
        begins = starts(start, start_step, rows)
        first, last = self._before(np.stack([begins, begins + count]))
        found = last - first
        row = np.repeat(np.arange(rows), found)
        ends = np.cumsum(found)
        point = np.arange(ends[-1]) + (first - (ends - found))[row]
        words[row, self._position(point) - begins[row]] = self.word

    def _before(self, position: ElementNumbers) -> ElementNumbers:
        """How many points lie before each position."""
        left, number = position - self.offset, np.zeros_like(position)
        inside = self.number
        for step, count in self.loops:
            inside //= count
            index = (left - 1) // step  # the last that begins before it, if there is one
            np.minimum(np.maximum(index, 0, out=index), count - 1, out=index)
            left -= index * step
            number += index * inside
        return number + (left > 0)

    def _position(self, point: ElementNumbers) -> ElementNumbers:
        """Where each point lies; they are counted in the order of their positions."""
        position, inside = np.full_like(point, self.offset), self.number
        for step, count in self.loops:
            inside //= count
            index, point = np.divmod(point, inside) if inside > 1 else (point, point)
            position += step * index
        return position
