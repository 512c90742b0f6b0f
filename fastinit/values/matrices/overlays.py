# SPDX-License-Identifier: MIT
"""A tensor whose boxes have distributions of their own, later boxes over earlier ones.

An overlay becomes samplers of blocks (blocks.py), one axis in the other, so a region costs what it
would cost without the boxes.  What a box is, is in boxes.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, groupby, pairwise
from typing import TypeAlias

import numpy as np

from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import DType
from fastinit.properties import cached_property
from fastinit.values.distributions import Distribution
from fastinit.values.mapped import Elementwise
from fastinit.values.matrices.blocks import BlockSampler
from fastinit.values.matrices.boxes import Box, RenumberedSampler
from fastinit.values.matrices.matrix import Matrix, mixture
from fastinit.values.samplers import Bytes, Generator, Range, Sampler
from fastinit.values.stream import Stream


@dataclass(frozen=True)
class Overlay(Matrix):
    """The first part is the whole tensor; each later one lies over those before it.

    Elements that come from their own words keep the words of the whole tensor.  What depends on
    places, or on other elements, is drawn as a tensor of its own, whose name is the whole's name
    and the box's.
    """

    parts: tuple[tuple[Box, Distribution], ...]

    def _moments(self) -> tuple[float, float]:
        total = max(self.count, 1)
        rows = zip(self._visible(), self.parts, strict=True)
        return mixture([(seen / total, part.mean, part.std) for seen, (_, part) in rows if seen])

    @cached_property
    def _tree(self) -> _Node:
        return _Tree(self.shape, tuple(box for box, _ in self.parts)).node()

    def _visible(self) -> list[int]:
        """How many elements of each part no later part hides."""
        seen = [0] * len(self.parts)
        if self.count:
            _count(self._tree, self.shape, 0, 1, seen)
        return seen

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values."""

        def drawn_as(kind: DType) -> list[Sampler]:
            return [self._part(n, kind, stream, generator) for n in range(len(self.parts))]

        parts = drawn_as(dtype)
        if not self.count:
            return parts[0]
        tolerance = max(part.tolerance for part in parts)
        if tolerance:
            narrow = lru_cache(drawn_as)
            parts = [
                part if part.tolerance else _Exact(dtype, part, number, narrow)
                for number, part in enumerate(parts)
            ]
        return _sampler_of(self._tree, self.shape, dtype, parts, tolerance)

    def _part(self, number: int, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """A part's sampler, which takes the numbers that elements have in the whole tensor."""
        box, distribution = self.parts[number]
        if not number or isinstance(distribution, Elementwise):
            return distribution.sampler(dtype, stream, generator)
        own = Stream(stream.seed, stream.name + box.name)
        inner = distribution.sampler(dtype, own, generator)
        return RenumberedSampler(dtype, inner, partial(box.inside, self.shape), inner.tolerance)


# ---- which part an element belongs to -----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Leaf:
    """All elements belong to one part."""

    part: int


@dataclass(frozen=True, eq=False)
class _Cut:
    """Runs of so many indices of an axis, and what is in them."""

    axis: int
    lengths: tuple[int, ...]
    inside: tuple[_Node, ...]


_Node: TypeAlias = _Leaf | _Cut
_Parts: TypeAlias = tuple[int, ...]


class _Tree:
    """Cuts a tensor, axis by axis, until each piece belongs to one part."""

    def __init__(self, shape: Shape, boxes: tuple[Box, ...]) -> None:
        self.shape = shape
        self.boxes = boxes
        self.known: dict[tuple[int, _Parts], _Node] = {}

    def node(self) -> _Node:
        """The whole tensor."""
        return self._node(0, tuple(n for n, box in enumerate(self.boxes) if box.count))

    def _node(self, axis: int, parts: _Parts) -> _Node:
        """The pieces that have indices in all of `parts`, a later one over an earlier one."""
        full = max(n for n in parts if self._is_full(n, axis))
        parts = parts[parts.index(full) :]
        if (axis, parts) not in self.known:
            leaf = len(parts) == 1
            self.known[axis, parts] = _Leaf(full) if leaf else self._cut(axis, parts)
        return self.known[axis, parts]

    def _is_full(self, part: int, axis: int) -> bool:
        """Whether a part has all indices of an axis and of those after it."""
        ranges = self.boxes[part].ranges[axis:]
        return all(
            len(indices) == dim for indices, dim in zip(ranges, self.shape[axis:], strict=True)
        )

    def _cut(self, axis: int, parts: _Parts) -> _Node:
        runs = [
            (self._node(axis + 1, found), length)
            for found, length in _runs([self.boxes[n].ranges[axis] for n in parts], parts)
        ]
        lengths, inside = [], []
        for node, group in groupby(runs, key=lambda run: run[0]):
            inside.append(node)
            lengths.append(sum(length for _, length in group))
        return inside[0] if len(inside) == 1 else _Cut(axis, tuple(lengths), tuple(inside))


def _runs(ranges: list[range], parts: _Parts) -> Iterator[tuple[_Parts, int]]:
    """Neighbouring indices that belong to the same parts: which, and how many.

    The first range has all indices.
    """
    edges = {0, len(ranges[0])}
    for indices in ranges:
        edges |= {indices[0], indices[-1] + 1}
    for begin, end in pairwise(sorted(edges)):
        inside = [n for n, indices in enumerate(ranges) if indices[0] <= begin <= indices[-1]]
        places = np.arange(begin, end)[: None if any(ranges[n].step > 1 for n in inside) else 1]
        member = np.array([(places - ranges[n][0]) % ranges[n].step == 0 for n in inside])
        changes = np.flatnonzero((member[:, 1:] != member[:, :-1]).any(axis=0)) + 1
        for first, last in pairwise([0, *changes.tolist(), end - begin]):
            found = member[:, first].tolist()
            yield (
                tuple(parts[n] for n, here in zip(inside, found, strict=True) if here),
                last - first,
            )


def _count(node: _Node, shape: Shape, axis: int, times: int, seen: list[int]) -> None:
    """Add the elements of each part to `seen`; the node is about the axes from `axis` on."""
    if isinstance(node, _Leaf):
        seen[node.part] += times * math.prod(shape[axis:])
        return
    times *= math.prod(shape[axis : node.axis])
    for length, inside in zip(node.lengths, node.inside, strict=True):
        _count(inside, shape, node.axis + 1, times * length, seen)


# ---- samplers -----------------------------------------------------------------------------------


def _sampler_of(
    node: _Node, shape: Shape, dtype: DType, parts: list[Sampler], tolerance: float
) -> Sampler:
    if isinstance(node, _Leaf):
        return parts[node.part]
    made: dict[_Node, Sampler] = {}
    for each in node.inside:
        if each not in made:
            made[each] = _sampler_of(each, shape, dtype, parts, tolerance)
    inner = math.prod(shape[node.axis + 1 :])
    ends = tuple(accumulate(length * inner for length in node.lengths))
    return BlockSampler(dtype, ends, tuple(made[each] for each in node.inside), tolerance)


@dataclass(slots=True, eq=False, repr=False)
class _Exact(Sampler):
    """A part with the same bits everywhere, beside others that are equal to rounding only."""

    dtype: DType
    inner: Sampler
    number: int
    narrow: Callable[[DType], list[Sampler]]  # the parts of the overlay as another dtype

    @property
    def chunk(self) -> int:
        """As many as the part is drawn best with."""
        return self.inner.chunk

    def draw(self, out: Bytes, start: int) -> None:
        """Draw the part."""
        self.inner.draw(out, start)

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Draw the part."""
        self.inner.draw_rows(out, start, start_step, rows, count, out_step)

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """The values themselves, drawn as `dtype`: rounding wider ones may leave an interval."""
        values = np.empty(count, dtype.numpy)
        self.narrow(dtype)[self.number].draw(values.view(np.uint8), start)
        return values, values
