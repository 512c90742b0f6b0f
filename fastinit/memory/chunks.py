# SPDX-License-Identifier: MIT
"""Cuts a fill into chunks: pieces of an array that one call draws.  No bit depends on the cut.

Where memory has the order of the tensor, a chunk is drawn into its place; elsewhere it is drawn
into a buffer and copied.  Nothing here depends on which values are drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastinit.backends.selection import active
from fastinit.memory.merging import merged
from fastinit.memory.regions import Axis, Region
from fastinit.values.samplers import Sampler, Words

CHUNKS_PER_THREAD = 4
"""Chunks per thread, at most, when the fill is too small for full-size chunks."""

LEAST = 2**17
"""Minimum elements per chunk: drawing them takes 100 microseconds, and claiming a chunk takes 5."""

APART = 2**18
"""Maximum elements drawn into a buffer at a time: their float32 values fit the L2 cache."""

TURN = 1024
"""Elements that such a chunk takes first, along the axis with the smallest output stride."""

BYPASS_SIZE = 2**25
"""Output size in bytes from which copies bypass the caches, which cannot hold so much."""

Grid = tuple[Axis, ...]


@dataclass(slots=True)
class Direct:
    """A chunk whose elements are drawn directly into their places."""

    out: Words
    start: int
    axes: Grid

    def draw(self, source: Sampler) -> None:
        """Draw the chunk, in one call."""
        source.draw_array(self.out, self.start, tuple(axis.step for axis in self.axes))


@dataclass(slots=True)
class Copied:
    """A chunk that is drawn into a buffer, in the order of the tensor, and then copied."""

    out: Words
    start: int
    axes: Grid
    bypass_cache: bool

    def draw(self, source: Sampler) -> None:
        """Draw the chunk and copy it."""
        apart = np.empty(self.out.shape, self.out.dtype)
        Direct(*_merged(apart, self.start, self.axes)).draw(source)
        active().copy(self.out, apart, bypass_cache=self.bypass_cache)


def chunks(out: Words, part: Region, workers: int, most: int) -> Iterator[Direct | Copied]:
    """Cut `out`, which holds the region `part`, into chunks for `workers` threads.

    `out` and `part` have the same, non-empty shape.  A chunk has at most `most` elements.
    """
    share = 2 ** (part.count // (CHUNKS_PER_THREAD * workers)).bit_length()
    most = max(LEAST, min(share, most))
    if part.consecutive and out.flags.c_contiguous:  # the usual case: look no closer
        yield from _run(out.reshape(-1), part.start, most)
        return
    ahead = part.forwards()
    out, start, axes = _merged(np.flip(out, part.backwards), ahead.start, ahead.axes)
    in_order = abs(out.strides[-1]) == min(map(abs, out.strides))
    if in_order and (out.strides[-1] == out.itemsize or axes[-1].step != 1):
        yield from _direct(out, start, axes, most)
    else:
        yield from _copied(out, start, axes, min(most, APART))


def _merged(out: Words, start: int, axes: Grid) -> tuple[Words, int, Grid]:
    """The same elements with as few axes as can be, but at least one."""
    kept = merged(zip(axes, out.strides, strict=True)) or [(Axis(1, 1), out.itemsize)]
    shape, strides = [axis.count for axis, _ in kept], [stride for _, stride in kept]
    out = np.lib.stride_tricks.as_strided(out, shape, strides)
    return out, start, tuple(axis for axis, _ in kept)


def _run(out: Words, start: int, most: int) -> Iterator[Direct]:
    """Chunks of consecutive elements that lie side by side.

    The cuts lie where the address is a multiple of the chunk's size.  So no two chunks share a
    cache line, and no two full-size chunks share a huge page, which the system gives to only one
    thread at a time.
    """
    first = 0
    while first < out.size:
        place = out.ctypes.data // out.itemsize + first if out.size > most else 0
        some = min(most - place % most, out.size - first)
        yield Direct(out[first : first + some], start + first, (Axis(some, 1),))
        first += some


def _direct(out: Words, start: int, axes: Grid, most: int) -> Iterator[Direct]:
    """Chunks of whole slices along the first axis; a slice that is too large is cut itself."""
    outer, inner = axes[0], math.prod(out.shape[1:])
    if outer.step == 1 and out.strides == (out.itemsize,):
        yield from _run(out, start, most)
    elif inner >= most:
        for index in range(outer.count):
            yield from _direct(out[index], start + index * outer.step, axes[1:], most)
    else:
        step = most // inner
        for first in range(0, outer.count, step):
            some = min(step, outer.count - first)
            within = (Axis(some, outer.step), *axes[1:])
            yield Direct(out[first : first + some], start + first * outer.step, within)


def _copied(out: Words, start: int, axes: Grid, most: int) -> Iterator[Copied]:
    """Chunks small enough to be drawn into a buffer."""
    bypass_cache = math.prod(out.shape) * out.itemsize >= BYPASS_SIZE
    sides = _sides(out, most)
    corners = (range(0, axis.count, side) for axis, side in zip(axes, sides, strict=True))
    for corner in itertools.product(*corners):
        piece = out[tuple(slice(at, at + side) for at, side in zip(corner, sides, strict=True))]
        first = start + sum(at * axis.step for at, axis in zip(corner, axes, strict=True))
        within = tuple(
            Axis(count, axis.step) for count, axis in zip(piece.shape, axes, strict=True)
        )
        yield Copied(piece, first, within, bypass_cache)


def _sides(out: Words, most: int) -> list[int]:
    """The shape of a chunk that is copied, with at most `most` elements.

    Long runs in the tensor are cheap to draw, and long runs in memory are cheap to copy to.  So a
    chunk first takes elements along the axis with the smallest output stride, and then as many as
    fit along each axis, last axis first.
    """
    dense = min(range(out.ndim), key=lambda axis: abs(out.strides[axis]))
    sides = [1] * out.ndim
    sides[dense] = min(out.shape[dense], TURN)
    for axis in reversed(range(out.ndim)):
        fitting = max(1, most // (math.prod(sides) // sides[axis]))
        sides[axis] = min(out.shape[axis], fitting)
    return sides
