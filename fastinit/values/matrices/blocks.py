# SPDX-License-Identifier: MIT
"""A tensor cut along one axis into parts of different distributions.

The sampler here cuts any tensor that has a period; overlays.py nests it, axis in axis.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from fastinit.numerics.dtypes import DType
from fastinit.values.distributions import Independent
from fastinit.values.matrices.matrix import Matrix, mixture
from fastinit.values.samplers import Bytes, Generator, Range, Sampler, SamplerRows
from fastinit.values.stream import Stream


@dataclass(frozen=True)
class Blocks(Matrix):
    """`sizes` indices of `axis`, in turn, have the distributions `parts`.

    Every element keeps the word it has in the whole tensor.
    """

    axis: int
    sizes: tuple[int, ...]
    parts: tuple[Independent, ...]

    def _moments(self) -> tuple[float, float]:
        total = max(sum(self.sizes), 1)
        rows = zip(self.sizes, self.parts, strict=True)
        return mixture([(size / total, part.mean, part.std) for size, part in rows])

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values."""
        inner = math.prod(self.shape[self.axis + 1 :])
        ends = tuple(accumulate(size * inner for size in self.sizes))
        parts = tuple(part.sampler(dtype, stream, generator) for part in self.parts)
        return BlockSampler(dtype, ends, parts)


@dataclass(slots=True, eq=False, repr=False)
class BlockSampler(Sampler):
    """Runs of elements that repeat with a period, each drawn by a sampler of the whole tensor."""

    dtype: DType
    ends: tuple[int, ...]  # of each run of a period, in elements
    parts: tuple[Sampler, ...]
    tolerance: float = 0.0

    @property
    def chunk(self) -> int:
        """As many as the parts are drawn best with."""
        return min(part.chunk for part in self.parts)

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """The ranges of the parts, run by run."""
        least, most = np.empty((2, count), dtype.numpy)
        done = 0
        while done < count:
            part, room = self._at(start + done)
            run = min(room, count - done)
            place = slice(done, done + run)
            least[place], most[place] = part.between(start + done, run, dtype)
            done += run
        return least, most

    def split(self, start: int, count: int) -> Iterator[SamplerRows]:
        """The rows of each part in all whole periods; run by run what is before and after."""
        period, end = self.ends[-1], start + count
        first, last = -(-start // period) * period, end // period * period
        if last - first <= period:
            yield from self._split_runs(start, end)
            return
        yield from self._split_runs(start, first)
        for part, begin, stop in zip(self.parts, (0, *self.ends), self.ends, strict=False):
            if stop > begin:
                periods = (last - first) // period
                yield SamplerRows(part, first + begin, period, periods, stop - begin)
        yield from self._split_runs(last, end)

    def _split_runs(self, start: int, end: int) -> Iterator[SamplerRows]:
        while start < end:
            part, room = self._at(start)
            run = min(room, end - start)
            yield from part.split(start, run)
            start += run

    def draw(self, out: Bytes, start: int) -> None:
        """Whole periods part by part, in one call each; run by run what is before and after."""
        size, period = self.dtype.size, self.ends[-1]
        end = start + len(out) // size
        first, last = -(-start // period) * period, end // period * period
        if first >= last:
            self._draw_runs(out, start)
            return
        head, tail = (first - start) * size, (last - start) * size
        self._draw_runs(out[:head], start)
        self._draw_periods(out[head:tail], first, (last - first) // period)
        self._draw_runs(out[tail:], last)

    def _draw_periods(self, out: Bytes, start: int, periods: int) -> None:
        size, period = self.dtype.size, self.ends[-1]
        for part, begin, end in zip(self.parts, (0, *self.ends), self.ends, strict=False):
            if end > begin:
                rest = out[begin * size : len(out) - (period - end) * size]
                count = end - begin
                part.draw_rows(rest, start + begin, period, periods, count, period * size)

    def _draw_runs(self, out: Bytes, start: int) -> None:
        size = self.dtype.size
        done, count = 0, len(out) // size
        while done < count:
            part, room = self._at(start + done)
            run = min(room, count - done)
            part.draw(out[done * size : (done + run) * size], start + done)
            done += run

    def _at(self, element: int) -> tuple[Sampler, int]:
        """The part of an element, and how many elements it has from there on."""
        place = element % self.ends[-1]
        number = bisect_right(self.ends, place)
        return self.parts[number], self.ends[number] - place

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Rows that begin alike are cut alike; else those that follow each other in one part."""
        period = self.ends[-1]
        alike = period // math.gcd(period, start_step)  # rows until one begins at the same place
        changes = -(-(rows * start_step + count) // period) * len(self.parts)
        if rows == 1 or count > period:
            Sampler.draw_rows(self, out, start, start_step, rows, count, out_step)
        elif alike * (len(self.parts) + 1) < min(rows, changes):
            for row in range(alike):
                part = out[row * out_step :]
                some = len(range(row, rows, alike))
                step = start_step * alike
                self._draw_alike(
                    part, start + row * start_step, step, some, count, out_step * alike
                )
        else:
            self._draw_in_turn(out, start, start_step, rows, count, out_step)

    def _draw_alike(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Rows that all begin at one place of the period."""
        size, done = self.dtype.size, 0
        end = (rows - 1) * out_step
        while done < count:
            part, room = self._at(start + done)
            run = min(room, count - done)
            rest = out[done * size : end + (done + run) * size]
            part.draw_rows(rest, start + done, start_step, rows, run, out_step)
            done += run

    def _draw_in_turn(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """One call for as many rows as lie in one part; each row across parts for itself."""
        size, row = count * self.dtype.size, 0
        while row < rows:
            place, first = row * out_step, start + row * start_step
            part, room = self._at(first)
            if room < count:
                self.draw(out[place : place + size], first)
                row += 1
                continue
            some = min(rows - row, (room - count) // start_step + 1)
            rest = out[place : place + (some - 1) * out_step + size]
            part.draw_rows(rest, first, start_step, some, count, out_step)
            row += some
