# SPDX-License-Identifier: MIT
"""Cutting a fill into chunks: pieces of an array that one call draws.  No bit depends on the cut.

A chunk is rows of consecutive elements wherever the array and the region allow it; where the
elements lie scattered, a block is drawn apart and copied.  Nothing here knows what is drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit import _native
from fastinit.regions import Axis, Region
from fastinit.samplers import Sampler

SHARE = 4
"""Chunks a thread gets, at most, of what is too small for full ones."""

LEAST = 2**17
"""Chunks are not cut smaller than so many elements: 100 microseconds, against 5 to claim one."""

BLOCK = 2**18
"""Elements of a block, at most: its float32 values fit the L2 cache."""

TURN = 1024
"""Elements of a block, if there are so many, along the axis where the output is densest."""

STREAM_SIZE = 2**25
"""From so many bytes on, a block's values go straight to memory, past the caches."""

FAR_APART = 128
"""From this step on, elements are drawn one by one rather than with all that lie between them."""

Words = npt.NDArray[Any]  # unsigned integers of the elements' size
Axes = tuple[Axis, ...]


@dataclass(slots=True)
class Rows:
    """Rows of consecutive elements, at equal distances both in memory and in the tensor."""

    memory: npt.NDArray[np.uint8]  # from the first row's first byte to the last row's last
    start: int
    start_step: int
    rows: int
    count: int
    out_step: int

    def draw(self, source: Sampler) -> None:
        """Draw it, in one call."""
        source.draw_rows(
            self.memory, self.start, self.start_step, self.rows, self.count, self.out_step
        )


@dataclass(slots=True)
class Block:
    """Elements that lie scattered: drawn apart, with what lies between them, then copied."""

    out: Words
    start: int
    axes: Axes
    stream: bool

    def draw(self, source: Sampler) -> None:
        """Draw it into memory of its own and copy what is wanted."""
        inner = self.axes[-1]
        whole = (*self.axes[:-1], Axis(_span(inner), 1))
        block = np.empty([axis.count for axis in whole], self.out.dtype)
        out, start, axes = _merged(block, self.start, whole)
        if axes[-1].step != 1:
            out, axes = _one_by_one(out, axes)
        for rows in _rows(out, start, axes, BLOCK):
            rows.draw(source)
        _native.copy(self.out, block[..., :: inner.step], self.stream)


def chunks(out: Words, part: Region, workers: int, most: int) -> Iterator[Rows | Block]:
    """The chunks of `out`, which holds the region `part`, for so many threads.

    Both have the same, non-empty shape.  A chunk has at most `most` elements.
    """
    share = 2 ** (part.count // (SHARE * workers)).bit_length()
    most = max(LEAST, min(share, most))
    if part.consecutive and out.flags.c_contiguous:  # nearly always: no need to look closer
        yield from _rows(out.reshape(-1), part.start, (Axis(part.count, 1),), most)
        return
    out, start, axes = _merged(*_forwards(out, part))
    if axes[-1].step >= FAR_APART:
        out, axes = _one_by_one(out, axes)
        most = min(most, LEAST)  # each costs as much as a whole tile
    consecutive = axes[-1].step == 1 and out.strides[-1] == out.itemsize
    if consecutive or axes[-1].count == 1:
        yield from _rows(out, start, axes, most)
    else:
        yield from _blocks(out, start, axes, min(most, BLOCK))


def _span(axis: Axis) -> int:
    """How many consecutive elements an axis reaches over."""
    return (axis.count - 1) * axis.step + 1


def _one_by_one(out: Words, axes: Axes) -> tuple[Words, Axes]:
    """The same elements as rows of one element each."""
    return out[..., np.newaxis], (*axes, Axis(1, 1))


def _forwards(out: Words, part: Region) -> tuple[Words, int, Axes]:
    """The same region with no negative step: such axes are walked from their other end."""
    backwards = [number for number, axis in enumerate(part.axes) if axis.step < 0]
    start = part.start + sum((axis.count - 1) * min(axis.step, 0) for axis in part.axes)
    axes = tuple(Axis(axis.count, abs(axis.step)) for axis in part.axes)
    return np.flip(out, tuple(backwards)), start, axes


def _merged(out: Words, start: int, axes: Axes) -> tuple[Words, int, Axes]:
    """Neighbouring axes that are one run in the tensor and in memory alike, made one axis.

    Axes of one element go; one axis at least is left.
    """
    kept: list[tuple[Axis, int]] = []
    for axis, stride in zip(axes, out.strides, strict=True):
        if axis.count == 1:
            continue
        last, last_stride = kept[-1] if kept else (Axis(0, 0), 0)
        if kept and last.step == axis.step * axis.count and last_stride == stride * axis.count:
            kept[-1] = Axis(last.count * axis.count, axis.step), stride
        else:
            kept.append((axis, stride))
    kept = kept or [(Axis(1, 1), out.itemsize)]
    shape, strides = [axis.count for axis, _ in kept], [stride for _, stride in kept]
    out = np.lib.stride_tricks.as_strided(out, shape, strides)
    return out, start, tuple(axis for axis, _ in kept)


def _rows(out: Words, start: int, axes: Axes, most: int) -> Iterator[Rows | Block]:
    """Chunks of an array whose last axis is consecutive both in the tensor and in memory."""
    count, outer = axes[-1].count, axes[0]
    row_size = count * out.itemsize
    if len(axes) == 1:
        yield from _run(out, start, count, most)
    elif len(axes) == 2 and out.strides[0] < row_size and count < most:  # rows run backwards
        yield from _blocks(out, start, axes, min(most, BLOCK))
    elif len(axes) > 2 or count >= most:
        for index in range(outer.count):
            yield from _rows(out[index], start + index * outer.step, axes[1:], most)
    else:
        step = max(1, most // count)
        for first in range(0, outer.count, step):
            some = min(step, outer.count - first)
            size = (some - 1) * out.strides[0] + row_size
            row = out[first].view(np.uint8)
            memory = np.lib.stride_tricks.as_strided(row, (size,), (1,))
            yield Rows(memory, start + first * outer.step, outer.step, some, count, out.strides[0])


def _run(out: Words, start: int, count: int, most: int) -> Iterator[Rows]:
    """Chunks of consecutive elements that lie side by side.

    Cut where the address is a multiple of the chunk's size.  So no two share a cache line, nor, if
    they are full ones, a huge page, which only one thread at a time can get from the system.
    """
    memory = out.view(np.uint8)
    first = 0
    while first < count:
        place = out.ctypes.data // out.itemsize + first if count > most else 0
        some = min(most - place % most, count - first)
        piece = memory[first * out.itemsize : (first + some) * out.itemsize]
        yield Rows(piece, start + first, 0, 1, some, piece.size)
        first += some


def _blocks(out: Words, start: int, axes: Axes, most: int) -> Iterator[Block]:
    """Blocks small enough to be drawn apart, of up to `most` elements each."""
    stream = math.prod(out.shape) * out.itemsize >= STREAM_SIZE
    sides = _sides(out, axes, most)
    corners = (range(0, axis.count, side) for axis, side in zip(axes, sides, strict=True))
    for corner in itertools.product(*corners):
        piece = out[tuple(slice(at, at + side) for at, side in zip(corner, sides, strict=True))]
        first = start + sum(at * axis.step for at, axis in zip(corner, axes, strict=True))
        within = tuple(
            Axis(count, axis.step) for count, axis in zip(piece.shape, axes, strict=True)
        )
        yield Block(piece, first, within, stream)


def _sides(out: Words, axes: Axes, most: int) -> list[int]:
    """How many elements a block has along each axis.

    Long runs in the tensor, which are cheap to draw, and in memory, which are cheap to copy to:
    first some of the axis where the output is densest, then what fits of the others, last first.
    """
    dense = min(range(len(axes)), key=lambda axis: abs(out.strides[axis]))
    last = len(axes) - 1
    drawn = [1] * len(axes)  # as `sides`, but along the last axis with what lies between
    drawn[dense] = min(axes[dense].count, TURN) if dense != last else 1
    sides = list(drawn)
    for axis in reversed(range(len(axes))):
        step = axes[axis].step if axis == last else 1
        fitting = max(1, most // (math.prod(drawn) // drawn[axis]))
        sides[axis] = min(axes[axis].count, (fitting - 1) // step + 1)
        drawn[axis] = _span(Axis(sides[axis], step))
    return sides
