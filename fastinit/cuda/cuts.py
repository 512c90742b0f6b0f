# SPDX-License-Identifier: MIT
"""Cuts a region of a tensor into what one launch can fill.  No bit depends on the cut.

A piece is a run of consecutive elements, rows of such runs, or elements that lie scattered in the
tensor or in memory.  How a kernel fills each is in src_c/kernels/device.h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastinit.cuda.arrays import DeviceArray, dense_strides
from fastinit.memory.merging import Strided, merged
from fastinit.memory.regions import Axis, Region
from fastinit.numerics.dtypes import DType

MOST_SCATTERED_AXES = 6
"""Axes that a launch of scattered elements takes: FI_DEVICE_AXES."""

MOST_SCATTERED = 2**31 - 1
"""Elements of such a launch: what its division by a multiplication is right for."""

SHORTEST_ROW = 512
"""Elements of a row below which scattered elements are faster: a row keeps 256 threads busy."""

LEAST_PER_LAUNCH = 2**20
"""Elements for which another launch of rows costs less than scattering them all."""


class DeviceRun(NamedTuple):
    """`count` elements from number `start` on that lie side by side from `pointer` on.

    Their block numbers have the same upper 32 bits.
    """

    pointer: int
    start: int
    count: int


class DeviceRows(NamedTuple):
    """`rows` such runs, `out_step` bytes and `start_step` elements apart."""

    pointer: int
    start: int
    start_step: int
    count: int
    rows: int
    out_step: int


class DeviceAxes(NamedTuple):
    """Elements along axes, those with the smallest stride in memory first."""

    pointer: int
    start: int
    axes: tuple[Strided, ...]

    @property
    def total(self) -> int:
        """How many elements."""
        return math.prod(axis.count for axis, _ in self.axes)


DevicePiece = DeviceRun | DeviceRows | DeviceAxes


def cut(out: DeviceArray, part: Region, dtype: DType) -> Iterator[DevicePiece]:
    """The pieces of the region `part`, which has the shape of `out`, in memory of `dtype`."""
    if part.count == 0:
        return
    if part.consecutive and out.strides == dense_strides(out.shape, dtype.size):  # the usual case
        yield from _runs(out.pointer, part.start, part.count, dtype)
        return
    pointer, strides = out.pointer, list(out.strides)
    for axis in part.backwards:
        pointer += (out.shape[axis] - 1) * strides[axis]
        strides[axis] = -strides[axis]
    ahead = part.forwards()
    axes = sorted(zip(ahead.axes, strides, strict=True), key=_step, reverse=True)
    grid = merged(axes) or [(Axis(1, 1), dtype.size)]
    if (grid[-1][0].step, grid[-1][1]) == (1, dtype.size):
        *outer, (run, _) = grid
        yield from _rows(pointer, ahead.start, outer, run.count, dtype)
    else:
        yield from _scattered(pointer, ahead.start, grid)


def blocks_apart(dtype: DType) -> int:
    """The first element number at which the upper 32 bits of the block number differ from 0."""
    return 2**33 if dtype.name == "float64" else 2**34


def _step(axis: Strided) -> int:
    return axis[0].step


def _stride(axis: Strided) -> int:
    return abs(axis[1])


def _rows(
    pointer: int, start: int, outer: Sequence[Strided], count: int, dtype: DType
) -> Iterator[DevicePiece]:
    """Rows of `count` elements along the axes `outer`."""
    if not outer:
        yield from _runs(pointer, start, count, dtype)
        return
    longest = max(outer, key=lambda axis: axis[0].count)
    others = [axis for axis in outer if axis is not longest]
    launches = math.prod(axis.count for axis, _ in others)
    if count < SHORTEST_ROW or (launches > 1 and count * longest[0].count < LEAST_PER_LAUNCH):
        yield from _scattered(pointer, start, [*outer, (Axis(count, 1), dtype.size)])
        return
    for place, first in _corners(pointer, start, others):
        yield from _uncrossed(place, first, longest, count, dtype)


def _corners(pointer: int, start: int, axes: Sequence[Strided]) -> Iterator[tuple[int, int]]:
    """The address and the number of the element at each index of the axes."""
    if not axes:
        yield pointer, start
        return
    (axis, stride), *inner = axes
    for index in range(axis.count):
        yield from _corners(pointer + index * stride, start + index * axis.step, inner)


def _uncrossed(
    pointer: int, start: int, rows: Strided, count: int, dtype: DType
) -> Iterator[DeviceRun | DeviceRows]:
    """Rows whose block numbers each have the same upper 32 bits; other rows are runs."""
    axis, stride = rows
    first = 0
    for row in [*_crossing(start, axis, count, blocks_apart(dtype)), axis.count]:
        place, number = pointer + first * stride, start + first * axis.step
        if row > first:
            yield DeviceRows(place, number, axis.step, count, row - first, stride)
        if row < axis.count:
            yield from _runs(pointer + row * stride, start + row * axis.step, count, dtype)
        first = row + 1


def _crossing(start: int, rows: Axis, count: int, apart: int) -> list[int]:
    """The rows in which a multiple of `apart` lies, other than as the first element."""
    last = start + (rows.count - 1) * rows.step + count - 1
    bounds = range(start // apart + 1, last // apart + 1)
    if not bounds or (rows.step and len(bounds) < rows.count):
        found: set[int] = set()
        for bound in bounds:
            after = bound * apart - start  # elements from `start` up to the bound
            first, last_row = -((count - 1 - after) // rows.step), (after - 1) // rows.step
            found.update(range(max(0, first), min(rows.count, last_row + 1)))
        return sorted(found)
    firsts = ((row, start + row * rows.step) for row in range(rows.count))
    return [row for row, first in firsts if first // apart != (first + count - 1) // apart]


def _runs(pointer: int, start: int, count: int, dtype: DType) -> Iterator[DeviceRun]:
    """A run, cut where the upper 32 bits of the block number change."""
    apart, end = blocks_apart(dtype), start + count
    while start < end:
        some = min(end - start, apart - start % apart)
        yield DeviceRun(pointer, start, some)
        pointer, start = pointer + some * dtype.size, start + some


def _scattered(pointer: int, start: int, grid: Sequence[Strided]) -> Iterator[DeviceAxes]:
    """Pieces of at most `MOST_SCATTERED` elements and `MOST_SCATTERED_AXES` axes."""
    axes = sorted(grid, key=_stride)
    total = math.prod(axis.count for axis, _ in axes)
    if len(axes) <= MOST_SCATTERED_AXES and total <= MOST_SCATTERED:
        yield DeviceAxes(pointer, start, tuple(axes))
        return
    if len(axes) > MOST_SCATTERED_AXES:
        most, outer = 1, min(axes, key=lambda axis: axis[0].count)
    else:
        outer = axes[-1]
        most = max(1, MOST_SCATTERED // (total // outer[0].count))
    inner = [axis for axis in axes if axis is not outer]
    along, stride = outer
    for first in range(0, along.count, most):
        some = [(Axis(min(most, along.count - first), along.step), stride)]
        place, number = pointer + first * stride, start + first * along.step
        yield from _scattered(place, number, inner + some if most > 1 else inner)
