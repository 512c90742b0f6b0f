# SPDX-License-Identifier: MIT
"""Regions: which elements of a whole tensor are meant.  Index arithmetic only, no memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import EllipsisType

from fastinit.integers import integer_of
from fastinit.properties import cached_property
from fastinit.texts import quoted

AxisIndex = int | slice | EllipsisType


@dataclass(frozen=True, slots=True)
class Axis:
    """`count` elements, `step` elements of the whole tensor apart; `step` may be negative."""

    count: int
    step: int


@dataclass(frozen=True)
class Region:
    """The elements ``start + sum(index[d] * axes[d].step)`` of a row-major whole tensor."""

    start: int
    axes: tuple[Axis, ...]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array that holds just this region."""
        return tuple(axis.count for axis in self.axes)

    @cached_property
    def count(self) -> int:
        """How many elements the region has."""
        return math.prod(self.shape)

    def piece(self, first: Iterable[int], counts: Iterable[int]) -> Region:
        """The region of `counts` elements along each axis, of which `first` are the indices."""
        corner = sum(at * axis.step for at, axis in zip(first, self.axes, strict=True))
        axes = (Axis(count, axis.step) for count, axis in zip(counts, self.axes, strict=True))
        return Region(self.start + corner, tuple(axes))

    def permuted(self, order: Iterable[int]) -> Region:
        """The same elements with the axes in another order."""
        return Region(self.start, tuple(self.axes[axis] for axis in order))

    @property
    def backwards(self) -> tuple[int, ...]:
        """The axes along which the element numbers fall."""
        return tuple(number for number, axis in enumerate(self.axes) if axis.step < 0)

    def reversed(self, reverse: Iterable[int]) -> Region:
        """The same elements, with these axes reversed."""
        start, axes = self.start, list(self.axes)
        for number in reverse:
            axis = axes[number]
            start += (axis.count - 1) * axis.step
            axes[number] = Axis(axis.count, -axis.step)
        return Region(start, tuple(axes))

    def forwards(self) -> Region:
        """The same elements, with the axes of negative steps reversed."""
        return self.reversed(self.backwards)

    @property
    def consecutive(self) -> bool:
        """Whether its elements, in row-major order, follow each other in the tensor too."""
        step = 1
        for axis in reversed(self.axes):
            if axis.count != 1 and axis.step != step:
                return False
            step *= axis.count
        return True


RegionLike = None | range | AxisIndex | tuple[AxisIndex, ...] | Region


def region_of(shape: tuple[int, ...], region: RegionLike) -> Region:
    """The region `region` of a whole tensor of `shape`, both as a user writes them.

    Args:
        shape: of the whole tensor.
        region: None for all of it; a range, for a run of row-major element numbers; what one
            would index an array with, built of slices, integers and ``...`` (``np.s_[3:7, :]``);
            or a `Region`, which stays what it is.

    Raises:
        IndexError: the region leaves the tensor.  Slices are not cut short, as NumPy would.
        TypeError: an index of another kind.
    """
    if region is None:
        return _everything(shape)
    if isinstance(region, range):
        return _run(shape, region)
    if isinstance(region, Region):
        return _inside(shape, region)
    strides = _strides(shape)
    indices = region if isinstance(region, tuple) else (region,)
    start, axes = 0, []
    for axis, index in enumerate(_expanded(shape, indices)):
        first, found = _along(shape, axis, index)
        start += first * strides[axis]
        if found is not None:
            axes.append(Axis(found.count, found.step * strides[axis]))
    found_region = Region(start, tuple(axes))
    return found_region if found_region.count else Region(0, found_region.axes)


@lru_cache(maxsize=256)  # asked for by every fill of a whole tensor
def _everything(shape: tuple[int, ...]) -> Region:
    return Region(0, tuple(map(Axis, shape, _strides(shape))))


def _strides(shape: Sequence[int]) -> list[int]:
    """How many elements one step along each axis skips, in row-major order."""
    strides, step = [], 1
    for dim in reversed(shape):
        strides.append(step)
        step *= max(dim, 1)
    return strides[::-1]


def _run(shape: tuple[int, ...], run: range) -> Region:
    count = math.prod(shape)
    if run and not (min(run[0], run[-1]) >= 0 and max(run[0], run[-1]) < count):
        raise IndexError(
            f"region {quoted(run)} leaves the tensor: shape {shape} has elements 0 to {count - 1}"
        )
    return Region(run.start if len(run) else 0, (Axis(len(run), run.step),))


def _inside(shape: tuple[int, ...], region: Region) -> Region:
    reach = [(axis.count - 1) * axis.step for axis in region.axes if region.count]
    first = region.start + sum(min(steps, 0) for steps in reach)
    last = region.start + sum(max(steps, 0) for steps in reach)
    if region.count and not (first >= 0 and last < math.prod(shape)):
        raise IndexError(
            f"region has elements {first} to {last}, but shape {shape} has elements 0 to "
            f"{math.prod(shape) - 1}"
        )
    return region


def _expanded(shape: tuple[int, ...], indices: Iterable[AxisIndex]) -> list[AxisIndex]:
    """One index for every axis: ``...`` and missing trailing ones become full slices."""
    given = list(indices)
    dots = [position for position, index in enumerate(given) if index is Ellipsis]
    if len(dots) > 1:
        raise IndexError("region has more than one '...'")
    missing = len(shape) - (len(given) - len(dots))
    if missing < 0:
        raise IndexError(
            f"region has {len(given)} indices, but shape {shape} has {len(shape)} axes"
        )
    full: list[AxisIndex] = [slice(None)] * missing
    where = dots[0] if dots else len(given)
    return given[:where] + full + given[where + 1 :]


def _along(shape: tuple[int, ...], axis: int, index: AxisIndex) -> tuple[int, Axis | None]:
    """The first element along one axis, and the axis that is left; None for an integer."""
    dim = shape[axis]
    if isinstance(index, slice):
        step = 1 if index.step is None else _whole(index.step)
        if step == 0:
            raise IndexError(f"region steps by 0 along axis {axis}")
        for bound in (index.start, index.stop):
            if bound is not None and not -dim <= _whole(bound) <= dim:
                raise IndexError(
                    f"region {_slice(index)} leaves axis {axis} of shape {shape}: "
                    f"need bounds from {-dim} to {dim}"
                )
        picked = range(*index.indices(dim))
        return (picked[0] if picked else 0), Axis(len(picked), step)
    position = _whole(index)
    if not -dim <= position < dim:
        raise IndexError(f"region {quoted(position)} leaves axis {axis} of shape {shape}")
    return position % dim, None


def _whole(value: object) -> int:
    number = integer_of(value)
    if number is None:
        raise TypeError(
            f"region has an index {quoted(value)}: need slices, integers, '...' or one range; "
            "a list of indices or a mask is not a rectangular region"
        )
    return number


def _slice(index: slice) -> str:
    parts = ["" if part is None else quoted(part) for part in (index.start, index.stop, index.step)]
    return ":".join(parts[:2] if index.step is None else parts)


def boxes(shape: Sequence[int], most: int) -> Iterator[tuple[range, ...]]:
    """Boxes of at most `most` elements that make up `shape`, as long as can be along late axes.

    So each is one run of memory where the shape has the order of memory.
    """
    sides, count = list(shape), 1
    for axis in reversed(range(len(shape))):
        sides[axis] = max(1, min(shape[axis], most // count))
        count *= sides[axis]
    along = (
        [range(first, min(first + side, dim)) for first in range(0, dim, side)]
        for dim, side in zip(shape, sides, strict=True)
    )
    return itertools.product(*along)
