# SPDX-License-Identifier: MIT
"""Geometry of views: which elements of a tensor another tensor in the same storage has.

Index arithmetic only: nothing here looks at a tensor's memory, dtype or names.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch

from fastinit.memory.regions import Axis, Region


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the elements of a tensor lie in its storage; all numbers count elements."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Geometry:
        """The geometry of a strided tensor.

        >>> import torch
        >>> Geometry.of(torch.empty(3, 4)[1:, 2])
        Geometry(offset=6, shape=(2,), strides=(4,))
        """
        return cls(tensor.storage_offset(), tuple(tensor.shape), tensor.stride())

    @classmethod
    def dense(cls, shape: tuple[int, ...]) -> Geometry:
        """The geometry of a row-major tensor of this shape.

        >>> Geometry.dense((3, 4))
        Geometry(offset=0, shape=(3, 4), strides=(4, 1))
        """
        return cls(0, shape, tuple(_row_major(shape)))

    @property
    def count(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """The place in the storage behind its last element."""
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((dim - 1) * stride for dim, stride in steps) + 1

    @property
    def contiguous(self) -> bool:
        """Whether its elements follow each other in row-major order."""
        step = 1
        for dim, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if dim != 1 and stride != step:
                return False
            step *= dim
        return True

    def part(self, box: Iterable[range]) -> Geometry:
        """The geometry of the elements with the indices `box`, a range of positive step per axis.

        >>> Geometry(0, (3, 4), (4, 1)).part((range(1, 3), range(0, 4, 2)))
        Geometry(offset=4, shape=(2, 2), strides=(4, 2))
        """
        box = tuple(box)
        strides = tuple(along.step * s for along, s in zip(box, self.strides, strict=True))
        corner = sum(along.start * stride for along, stride in zip(box, self.strides, strict=True))
        return Geometry(self.offset + corner, tuple(map(len, box)), strides)


class Slices(NamedTuple):
    """A view as slices of its base.

    The view has the elements of ``base[box].reshape(split).permute(order).reshape(shape)``, where
    `shape` is the view's; none of these steps copies.
    """

    box: tuple[range, ...]
    """The indices along each axis of the base; a range ends behind its last element."""
    split: tuple[int, ...]
    """The axes of the slices, those that are split in their parts; axes of one element left out."""
    order: tuple[int, ...]
    """The parts in the order in which the view has them."""


class Numbering(NamedTuple):
    """The elements of a view, with axes split where necessary, by their numbers in the base."""

    shape: tuple[int, ...]
    """Its product is the number of elements of the view; the order of the elements is the same."""
    strides: tuple[int, ...]
    """Of the view's elements in the storage."""
    region: Region
    """Of the shape `shape`: the row-major numbers of the elements in the base."""


@dataclass(frozen=True, slots=True)
class _Step:
    """`count` elements of a view, which lie `step` apart along one axis of the base."""

    axis: int
    count: int
    step: int


class _Walk(NamedTuple):
    """A view as steps along the axes of its base, from the view's first element on."""

    start: tuple[int, ...]
    steps: tuple[_Step, ...]  # in the view's order


def slices_of(view: Geometry, base: Geometry) -> Slices | None:
    """The slices of `base` that make up `view`, in the same storage, or None if none do.

    The view may have axes in another order, without or with additional axes of one element, and
    axes that merge or split those of the base, as long as its elements are those of one slice per
    axis.

    >>> base = Geometry(0, (6, 4), (4, 1))
    >>> slices_of(Geometry(8, (4, 3), (1, 4)), base)  # base[2:5].T
    Slices(box=(range(2, 5), range(0, 4)), split=(3, 4), order=(1, 0))
    >>> slices_of(Geometry(0, (4,), (5,)), base) is None  # base.diagonal()
    True
    """
    if not view.count:
        return _nothing(base)
    walk = _walk(view, base)
    if walk is None:
        return None
    parts = [_along(walk.steps, axis) for axis in range(len(base.shape))]
    split = [step for steps in parts for step in steps]
    return Slices(
        tuple(map(_range, walk.start, parts)),
        tuple(step.count for step in split),
        tuple(map(split.index, walk.steps)),
    )


def moved(view: Geometry, base: Geometry, target: Geometry) -> Geometry | None:
    """Where the elements of `view`, a part of `base`, lie in `target`, which has base's shape.

    The result has them in the order of the view, but more axes where the view's are split, and none
    of one element.  It is None if the view is not a slice along each axis of the base.

    Two layouts of a matrix:

    >>> base, target = Geometry.dense((6, 4)), Geometry(0, (6, 4), (1, 6))
    >>> moved(base.part((range(1, 3), range(4))), base, target)
    Geometry(offset=1, shape=(2, 4), strides=(1, 6))
    """
    walk = _walk(view, base) if view.count else None
    if walk is None:
        return None
    offset = target.offset + sum(map(operator.mul, walk.start, target.strides))
    strides = tuple(step.step * target.strides[step.axis] for step in walk.steps)
    return Geometry(offset, tuple(step.count for step in walk.steps), strides)


def numbers_of(view: Geometry, base: Geometry) -> Numbering | None:
    """The row-major numbers in `base` of the elements of `view`, or None if no steps make them up.

    Every view inside a contiguous base has them, also such as `slices_of` does not know: a
    diagonal, or a run that ends in the middle of a row.

    >>> base = Geometry(0, (6, 4), (4, 1))
    >>> numbers_of(Geometry(0, (4,), (5,)), base).region.axes  # base.diagonal()
    (Axis(count=4, step=5),)
    """
    if not view.count:
        region = Region(0, tuple(Axis(dim, 1) for dim in view.shape))
        return Numbering(view.shape, view.strides, region)
    if base.contiguous:
        return _shifted(view, base)
    walk = _walk(view, base)
    if walk is None:
        return None
    numbers = _row_major(base.shape)
    first = sum(map(operator.mul, walk.start, numbers))
    axes = tuple(Axis(step.count, step.step * numbers[step.axis]) for step in walk.steps)
    strides = tuple(step.step * base.strides[step.axis] for step in walk.steps)
    return Numbering(tuple(axis.count for axis in axes), strides, Region(first, axes))


def _nothing(base: Geometry) -> Slices | None:
    """A view without elements; a base without axes has no slice without elements."""
    count = len(base.shape)
    return Slices((range(0),) * count, (0,) * count, tuple(range(count))) if count else None


def _shifted(view: Geometry, base: Geometry) -> Numbering | None:
    """The numbers in a contiguous base: places in the storage are numbers, up to the offset."""
    first = view.offset - base.offset
    last = first + sum((dim - 1) * s for dim, s in zip(view.shape, view.strides, strict=True))
    if first < 0 or last >= base.count:
        return None
    axes = tuple(map(Axis, view.shape, view.strides))
    return Numbering(view.shape, view.strides, Region(first, axes))


def _walk(view: Geometry, base: Geometry) -> _Walk | None:
    """The view as steps along the axes of the base, if these make up one slice per axis."""
    nested = _nested(base)
    start = None if nested is None else _start(view.offset - base.offset, base, nested)
    if nested is None or start is None:
        return None
    axes = [(dim, s) for dim, s in zip(view.shape, view.strides, strict=True) if dim != 1]
    for some in (axes, _merged(axes)):
        steps = _steps(some, base, nested, start)
        if steps is not None and _are_slices(steps, base, start):
            return _Walk(start, tuple(steps))
    return None


def _nested(base: Geometry) -> list[int] | None:
    """The axes of more than one element, least stride first; None if elements may overlap."""
    axes = [axis for axis, dim in enumerate(base.shape) if dim != 1]
    axes.sort(key=lambda axis: base.strides[axis])
    reach = 1
    for axis in axes:
        if base.strides[axis] < reach:
            return None
        reach += (base.shape[axis] - 1) * base.strides[axis]
    return axes


def _start(place: int, base: Geometry, nested: list[int]) -> tuple[int, ...] | None:
    """The indices in the base of the element at `place`, counted from its first one."""
    start = [0] * len(base.shape)
    for axis in reversed(nested):
        start[axis], place = divmod(place, base.strides[axis])
        if not 0 <= start[axis] < base.shape[axis]:
            return None
    return None if place else tuple(start)


def _merged(axes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Axes as (count, stride), with those merged over which one stride goes on."""
    merged: list[tuple[int, int]] = []
    for dim, stride in axes:
        if merged and merged[-1][1] == dim * stride:
            dim *= merged.pop()[0]
        merged.append((dim, stride))
    return merged


def _steps(
    axes: list[tuple[int, int]], base: Geometry, nested: list[int], start: tuple[int, ...]
) -> list[_Step] | None:
    """Axes of a view, as (count, stride), as steps along those of the base."""
    found: list[_Step] = []
    for dim, stride in axes:
        steps = _steps_of(dim, stride, base, nested, start)
        if steps is None:
            return None
        found += steps
    return found


def _steps_of(
    count: int, stride: int, base: Geometry, nested: list[int], start: tuple[int, ...]
) -> list[_Step] | None:
    """One axis of a view as steps along axes of the base, outermost first.

    It steps along the axis of the base with the largest stride that is not larger than its own.  If
    it goes on beyond the end, it continues along the axis outside, which must lie right behind, and
    it must have stepped to the same places of every turn.
    """
    steps: list[_Step] = []
    inside = [axis for axis in nested if base.strides[axis] <= stride]
    turn = len(inside) - 1
    while 0 <= turn < len(nested) and stride % base.strides[nested[turn]] == 0:
        axis = nested[turn]
        dim, step = base.shape[axis], stride // base.strides[axis]
        if start[axis] + (count - 1) * step < dim:
            return [_Step(axis, count, step), *steps]
        places, left = divmod(dim, step)
        if left or start[axis] >= step or count % places:
            return None
        steps.insert(0, _Step(axis, places, step))
        count, stride, turn = count // places, stride * places, turn + 1
        if turn < len(nested) and base.strides[nested[turn]] != stride:
            return None
    return None


def _along(steps: Iterable[_Step], axis: int) -> list[_Step]:
    """The steps along one axis of the base, largest first."""
    return sorted((step for step in steps if step.axis == axis), key=lambda one: -one.step)


def _are_slices(steps: list[_Step], base: Geometry, start: tuple[int, ...]) -> bool:
    """Whether the steps along each axis of the base make up a slice of it."""
    for axis, dim in enumerate(base.shape):
        along = _along(steps, axis)
        if any(outer.step != inner.count * inner.step for outer, inner in pairwise(along)):
            return False
        if _range(start[axis], along)[-1] >= dim:
            return False
    return True


def _range(start: int, along: list[_Step]) -> range:
    """The indices to which the steps along one axis lead, largest steps first."""
    if not along:
        return range(start, start + 1)
    step, count = along[-1].step, math.prod(one.count for one in along)
    return range(start, start + (count - 1) * step + 1, step)


def _row_major(shape: tuple[int, ...]) -> list[int]:
    """How many numbers one step along each axis skips."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
