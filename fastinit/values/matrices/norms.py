# SPDX-License-Identifier: MIT
"""Euclidean norms of the slices of another tensor, as weight normalisation needs them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import DType, wide
from fastinit.numerics.norms import Sum, exact_sum_of_squares, sums_of_squares
from fastinit.values.distributions import check_fits
from fastinit.values.mapped import Elementwise, power_means, support
from fastinit.values.matrices.matrix import Matrix
from fastinit.values.samplers import Bytes, Generator, Range, Sampler
from fastinit.values.stream import Stream

DRAWN_AT_ONCE = 2**20
"""Elements of the other tensor that are drawn at a time."""


@dataclass(frozen=True)
class Norms(Matrix):
    """The norms of the tensor `of` over all of its axes but `kept`, whose numbers rise."""

    of: str
    whole: Shape
    kept: tuple[int, ...]
    original: Elementwise

    @property
    def length(self) -> int:
        """How many elements each norm is of."""
        return math.prod(dim for axis, dim in enumerate(self.whole) if axis not in self.kept)

    def _moments(self) -> tuple[float, float]:
        """To first order in 1 / length, from the second and the fourth moment of the elements."""
        square, fourth = power_means(self.original)
        if not square or not self.length:
            return 0.0, 0.0
        excess = fourth / square**2 - 1
        mean = math.sqrt(self.length * square) * (1 - excess / (8 * self.length))
        return mean, math.sqrt(square * excess) / 2

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values, from the other tensor's of the same dtype."""
        kind = wide(dtype)
        largest = max(map(abs, support(self.original, kind))) * math.sqrt(self.length)
        check_fits(kind, "a norm", 0.0, largest)
        check_fits(dtype, "a norm", 0.0, largest)
        inner = self.original.sampler(dtype, Stream(stream.seed, self.of), generator)
        return _NormSampler(dtype, inner, self.whole, self.kept, inner.tolerance)


@dataclass(slots=True, eq=False, repr=False)
class _NormSampler(Sampler):
    dtype: DType
    inner: Sampler
    whole: Shape
    kept: tuple[int, ...]
    tolerance: float  # in units of a value, as that of the elements is

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """The norms, less and more the share of their elements' tolerance."""
        values = np.empty(count, self.dtype.numpy)
        self.draw(values.view(np.uint8), start)
        with np.errstate(all="ignore"):
            margin = 2 * values * values.dtype.type(self.tolerance) + np.spacing(values)
            return dtype.cast(values - margin), dtype.cast(values + margin)

    def draw(self, out: Bytes, start: int) -> None:
        """The norms from number `start` on: a few along the last of the kept axes at a time."""
        words = np.frombuffer(out, self.dtype.words)
        strides = [math.prod(self.whole[axis + 1 :]) for axis in range(len(self.whole))]
        dims = [self.whole[axis] for axis in self.kept] or [1]
        steps = [strides[axis] for axis in self.kept] or [0]
        others = [axis for axis in range(len(self.whole)) if axis not in self.kept]
        rest = [(self.whole[axis], strides[axis]) for axis in others]
        together = max(1, DRAWN_AT_ONCE // max(1, math.prod(dim for dim, _ in rest)))
        done = 0
        while done < words.size:
            number, place = start + done, 0
            for dim, step in zip(reversed(dims), reversed(steps), strict=True):
                number, index = divmod(number, dim)
                place += index * step
            room = dims[-1] - (start + done) % dims[-1]
            some = min(room, together, words.size - done)
            with np.errstate(all="ignore"):
                words[done : done + some] = self._norms(place, some, steps[-1], rest)
            done += some

    def _norms(
        self, start: int, rows: int, step: int, rest: list[tuple[int, int]]
    ) -> npt.NDArray[Any]:
        """The words of some norms; their first elements are `step` numbers apart."""
        sums = [Sum()] * rows
        for values in self._slices(start, rows, step, rest):
            added = sums_of_squares(values)
            sums = [total + more for total, more in zip(sums, added, strict=True)]
        roots = [total.root() for total in sums]
        for row in [row for row, root in enumerate(roots) if root is None]:
            total = Sum()
            for values in self._slices(start + row * step, 1, step, rest):
                total += exact_sum_of_squares(values[0])
            roots[row] = total.root()
        found = np.array(roots, np.float64)
        return self.dtype.cast(found.astype(wide(self.dtype).numpy)).view(self.dtype.words)

    def _slices(
        self, start: int, rows: int, step: int, rest: list[tuple[int, int]]
    ) -> Iterator[npt.NDArray[Any]]:
        """The elements that some norms are of, a few columns at a time; of shape (rows, count)."""
        first = 0  # the axes before it are walked, index by index
        while math.prod(dim for dim, _ in rest[first:]) * rows > DRAWN_AT_ONCE and first < len(
            rest
        ):
            first += 1
        walked, drawn = rest[:first], rest[first:]
        shape, steps = [rows, *(dim for dim, _ in drawn)], [step, *(s for _, s in drawn)]
        if walked:  # a run of the last axis that is walked
            dim, last = walked.pop()
            run = max(1, DRAWN_AT_ONCE // math.prod(shape))
            pieces = [(begin * last, min(run, dim - begin)) for begin in range(0, dim, run)]
            shape, steps = [rows, 0, *shape[1:]], [step, last, *steps[1:]]
        else:
            pieces = [(0, 0)]
        for index in itertools.product(*(range(dim) for dim, _ in walked)):
            place = start + sum(i * s for i, (_, s) in zip(index, walked, strict=True))
            for offset, count in pieces:
                if count:
                    shape[1] = count
                values = np.empty(shape, self.dtype.words)
                if values.size:
                    self.inner.draw_array(values, place + offset, steps)
                yield values.view(self.dtype.numpy).reshape(rows, math.prod(shape[1:]))
