# SPDX-License-Identifier: MIT
"""A tensor cut along one axis into parts of different distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from fastinit.distributions import Independent
from fastinit.dtypes import DType
from fastinit.matrices.matrix import Matrix
from fastinit.samplers import Bytes, Sampler
from fastinit.stream import Stream


@dataclass(frozen=True)
class Blocks(Matrix):
    """`sizes` indices of `axis`, in turn, have the distributions `parts`.

    Every element keeps the word it has in the whole tensor.
    """

    axis: int
    sizes: tuple[int, ...]
    parts: tuple[Independent, ...]

    def _moments(self) -> tuple[float, float]:
        shares = [size / max(sum(self.sizes), 1) for size in self.sizes]
        rows = list(zip(shares, self.parts, strict=True))
        mean = sum(share * part.mean for share, part in rows)
        square = sum(share * (part.std**2 + (part.mean - mean) ** 2) for share, part in rows)
        return mean, math.sqrt(square)

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values."""
        inner = math.prod(self.shape[self.axis + 1 :])
        ends = tuple(accumulate(size * inner for size in self.sizes))
        return _BlockSampler(dtype, ends, tuple(p.sampler(dtype, stream) for p in self.parts))


@dataclass(frozen=True, slots=True)
class _BlockSampler(Sampler):
    dtype: DType
    ends: tuple[int, ...]  # of each part, in elements of one index of the axes before
    parts: tuple[Sampler, ...]

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
        done, count, period = 0, len(out) // size, self.ends[-1]
        while done < count:
            place = (start + done) % period
            number = next(n for n, end in enumerate(self.ends) if place < end)
            run = min(self.ends[number] - place, count - done)
            self.parts[number].draw(out[done * size : (done + run) * size], start + done)
            done += run
