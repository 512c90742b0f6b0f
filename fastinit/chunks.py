# SPDX-License-Identifier: MIT
"""Cutting a fill into chunks: pieces of an array that one call draws.  No bit depends on the cut.

A chunk is rows of consecutive elements wherever the array and the region allow it; where the
elements lie scattered, a block is drawn apart and copied.  Nothing here knows what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.regions import Axis, Region
from fastinit.samplers import Sampler

CHUNK = 2**18
"""Elements of a chunk: a fraction of a millisecond, and its float32 values fit the L2 cache."""

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

    def draw(self, source: Sampler) -> None:
        """Draw it into memory of its own and copy what is wanted."""
        inner = self.axes[-1]
        whole = (*self.axes[:-1], Axis(_span(inner), 1))
        block = np.empty([axis.count for axis in whole], self.out.dtype)
        out, start, axes = _merged(block, self.start, whole)
        if axes[-1].step != 1:
            out, axes = _one_by_one(out, axes)
        for rows in _rows(out, start, axes):
            rows.draw(source)
        self.out[...] = block[..., :: inner.step]


def chunks(out: Words, part: Region) -> Iterator[Rows | Block]:
    """The chunks of `out`, which holds the region `part`; both have the same, non-empty shape."""
    if part.consecutive and out.flags.c_contiguous:  # nearly always: no need to look closer
        yield from _rows(out.reshape(-1), part.start, (Axis(part.count, 1),))
        return
    out, start, axes = _merged(*_forwards(out, part))
    if axes[-1].step >= FAR_APART:
        out, axes = _one_by_one(out, axes)
    consecutive = axes[-1].step == 1 and out.strides[-1] == out.itemsize
    if consecutive or axes[-1].count == 1:
        yield from _rows(out, start, axes)
    else:
        yield from _blocks(out, start, axes)


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


def _rows(out: Words, start: int, axes: Axes) -> Iterator[Rows | Block]:
    """Chunks of an array whose last axis is consecutive both in the tensor and in memory."""
    count, outer = axes[-1].count, axes[0]
    row_size = count * out.itemsize
    if len(axes) == 1:
        memory = out.view(np.uint8)
        for first in range(0, count, CHUNK):
            some = min(CHUNK, count - first)
            place = memory[first * out.itemsize : (first + some) * out.itemsize]
            yield Rows(place, start + first, 0, 1, some, place.size)
    elif len(axes) == 2 and out.strides[0] < row_size and count < CHUNK:  # rows run backwards
        yield from _blocks(out, start, axes)
    elif len(axes) > 2 or count >= CHUNK:
        for index in range(outer.count):
            yield from _rows(out[index], start + index * outer.step, axes[1:])
    else:
        step = max(1, CHUNK // count)
        for first in range(0, outer.count, step):
            some = min(step, outer.count - first)
            size = (some - 1) * out.strides[0] + row_size
            row = out[first].view(np.uint8)
            memory = np.lib.stride_tricks.as_strided(row, (size,), (1,))
            yield Rows(memory, start + first * outer.step, outer.step, some, count, out.strides[0])


def _blocks(out: Words, start: int, axes: Axes) -> Iterator[Block]:
    """Blocks small enough to be drawn apart."""
    outer = axes[0]
    # Elements drawn for one index along the first axis.
    each = math.prod(axis.count for axis in axes[1:-1]) * _span(axes[-1])
    if len(axes) == 1:
        each = outer.step
    if each > CHUNK and len(axes) > 1:
        for index in range(outer.count):
            yield from _blocks(out[index], start + index * outer.step, axes[1:])
        return
    step = max(1, CHUNK // each)
    for first in range(0, outer.count, step):
        piece = out[first : first + step]
        axis = Axis(len(piece), outer.step)
        yield Block(piece, start + first * outer.step, (axis, *axes[1:]))
