# SPDX-License-Identifier: MIT
"""Boxes of a tensor, and samplers that give elements other numbers than the one they draw from.

An element of a box has a number in the whole tensor, and another in the tensor that the box cuts
out.  How a box is written is for schemes/regions.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import DType
from fastinit.properties import cached_property
from fastinit.values.matrices.blocks import BlockSampler
from fastinit.values.rows import ElementNumbers, starts
from fastinit.values.samplers import Bytes, Range, Sampler

DRAWN_FOR_ONE = 2**13
"""For ranges of spaced elements: how many are drawn for the sake of one; a call costs as much."""

N = TypeVar("N", int, ElementNumbers)


@dataclass(frozen=True)
class Box:
    """Which indices along each axis: ranges with steps above 0; `dropped` axes have one index."""

    ranges: tuple[range, ...]
    dropped: tuple[bool, ...]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor that it cuts out."""
        rows = zip(self.ranges, self.dropped, strict=True)
        return tuple(len(indices) for indices, dropped in rows if not dropped)

    @property
    def count(self) -> int:
        """How many elements it has."""
        return math.prod(map(len, self.ranges))

    @property
    def name(self) -> str:
        """How the box is called in the name of a stream: ``[0:768,5,0:10:2]``."""
        rows = zip(self.ranges, self.dropped, strict=True)
        return f"[{','.join(self._index(*row) for row in rows)}]"

    @staticmethod
    def _index(indices: range, dropped: bool) -> str:
        step = f":{indices.step}" if indices.step > 1 else ""
        stop = indices[-1] + 1 if step and indices else indices.start + len(indices)
        return str(indices.start) if dropped else f"{indices.start}:{stop}{step}"

    def inside(self, shape: Shape, elements: N) -> N:
        """The numbers, in the tensor that it cuts out, of elements of a tensor of `shape`."""
        found, step = 0 * elements, 1
        for dim, indices in zip(reversed(shape), reversed(self.ranges), strict=True):
            index = elements % dim
            elements = elements // dim
            found += (index - indices.start) // indices.step * step
            step *= len(indices)
        return found

    def walk(self, shape: Shape) -> Walk:
        """The numbers that its elements, in their order, have in a tensor of `shape`."""
        first, step = 0, 1
        axes: list[tuple[int, int]] = []
        for dim, indices in zip(reversed(shape), reversed(self.ranges), strict=True):
            first += indices.start * step
            count, between = len(indices), indices.step * step
            if axes and axes[-1][0] * axes[-1][1] == between:
                axes[-1] = (axes[-1][0] * count, axes[-1][1])
            elif count != 1:
                axes.append((count, between))
            step *= dim
        return Walk(first, tuple(reversed(axes)))


@dataclass(frozen=True)
class Walk:
    """Numbers in nested steps: `first`, and for each axis a count and a step, the last innermost.

    No axis goes on where the one inside it ends.
    """

    first: int
    axes: tuple[tuple[int, int], ...]

    def numbers(self, places: N) -> N:
        """The numbers at some places, counted from 0."""
        found = self.first + 0 * places
        for count, step in reversed(self.axes):
            found += places % count * step
            places = places // count
        return found


def part_of(whole: Sampler, shape: Shape, box: Box) -> Sampler:
    """A sampler of the elements of a box, from one of the tensor of `shape` that it is a box of."""
    walk = box.walk(shape)
    if not box.count or (walk.first == 0 and walk.axes in ((), ((box.count, 1),))):
        return whole
    run, spacing = walk.axes[-1] if walk.axes else (1, 1)
    part = RenumberedSampler(whole.dtype, whole, walk.numbers, whole.tolerance, spacing)
    return part if run == box.count else BlockSampler(whole.dtype, (run,), (part,), part.tolerance)


@dataclass(slots=True, eq=False, repr=False)
class RenumberedSampler(Sampler):
    """Elements of another sampler, under other numbers.

    A run of elements that is asked for is one of the other sampler, or, of one, every element
    number `spacing`.
    """

    dtype: DType
    inner: Sampler
    renumbered: Callable[[Any], Any]  # from numbers here to those of `inner`
    tolerance: float
    spacing: int = 1

    @property
    def chunk(self) -> int:
        """As many as the other sampler draws best."""
        return self.inner.chunk

    def draw(self, out: Bytes, start: int) -> None:
        """Draw the run."""
        self._draw_row(out, self.renumbered(start))

    def _draw_row(self, out: Bytes, first: int) -> None:
        size = self.dtype.size
        if self.spacing == 1:
            self.inner.draw(out, first)
        else:
            self.inner.draw_rows(out, first, self.spacing, len(out) // size, 1, size)

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """The ranges of the run, and where it is spaced, those of what lies between, left out."""
        first, spacing = self.renumbered(start), self.spacing
        if spacing == 1:
            return self.inner.between(first, count, dtype)
        found = np.empty((2, count), dtype.numpy)
        together = max(1, DRAWN_FOR_ONE // spacing)
        for done in range(0, count, together):
            some = min(together, count - done)
            ends = self.inner.between(first + done * spacing, (some - 1) * spacing + 1, dtype)
            found[:, done : done + some] = [end[::spacing] for end in ends]
        return found[0], found[1]

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """One call for rows whose numbers in the other sampler are equally far apart."""
        size = count * self.dtype.size
        numbers = self.renumbered(starts(start, start_step, rows))
        for some in _equally_apart(numbers):
            step = int(numbers[some[1]] - numbers[some[0]]) if len(some) > 1 else 0
            rest = out[some[0] * out_step : some[-1] * out_step + size]
            self._draw_alike(
                rest, int(numbers[some[0]]), step, len(some), count, some.step * out_step
            )

    def _draw_alike(
        self, out: Bytes, first: int, step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Rows that begin `step` apart in the other sampler."""
        size = self.dtype.size
        if self.spacing == 1 or count == 1:
            self.inner.draw_rows(out, first, step, rows, count, out_step)
        elif rows > count:  # column by column
            for column in range(count):
                place, end = column * size, len(out) - (count - column - 1) * size
                number = first + column * self.spacing
                self.inner.draw_rows(out[place:end], number, step, rows, 1, out_step)
        else:
            for row in range(rows):
                place = row * out_step
                self._draw_row(out[place : place + count * size], first + row * step)


def _equally_apart(numbers: ElementNumbers) -> Iterator[range]:
    """Ranges of places that together are all, so that the numbers in each are equally far apart.

    Numbers of nested steps are cut into runs, or by their places in the inner steps, whichever
    makes fewer ranges.
    """
    steps = np.diff(numbers)
    changes = np.flatnonzero(steps[1:] != steps[:-1])
    period = int(changes[2] - changes[0]) if changes.size > 2 else 0
    if 0 < period < changes.size // 2:
        turns = numbers[period:] - numbers[:-period]
        if (turns == turns[0]).all():
            yield from (range(place, numbers.size, period) for place in range(period))
            return
    begin = 0
    for change in [*changes.tolist(), numbers.size - 2]:  # steps[change] is the last of its kind
        if change >= begin:
            yield range(begin, change + 2)
            begin = change + 2
    if begin < numbers.size:
        yield range(begin, numbers.size)
