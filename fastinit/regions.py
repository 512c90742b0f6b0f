# SPDX-License-Identifier: MIT
"""Regions: which elements of a whole tensor are meant.  Index arithmetic only, no memory."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import EllipsisType
from typing import SupportsIndex

Index = int | slice | EllipsisType
RegionLike = None | range | Index | tuple[Index, ...]


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

    @property
    def consecutive(self) -> bool:
        """Whether its elements, in row-major order, follow each other in the tensor too."""
        step = 1
        for axis in reversed(self.axes):
            if axis.count != 1 and axis.step != step:
                return False
            step *= axis.count
        return True


def region_of(shape: tuple[int, ...], region: RegionLike) -> Region:
    """The region `region` of a whole tensor of `shape`, both as a user writes them.

    Args:
        shape: of the whole tensor.
        region: None for all of it; a range, for a run of row-major element numbers; or what one
            would index an array with, built of slices, integers and ``...`` (``np.s_[3:7, :]``).

    Raises:
        IndexError: the region leaves the tensor.  Slices are not cut short, as NumPy would.
        TypeError: an index of another kind.
    """
    if region is None:
        return _everything(shape)
    if isinstance(region, range):
        return _run(shape, region)
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
            f"region {run} leaves the tensor: shape {shape} has elements 0 to {count - 1}"
        )
    return Region(run.start if len(run) else 0, (Axis(len(run), run.step),))


def _expanded(shape: tuple[int, ...], indices: Iterable[Index]) -> list[Index]:
    """One index for every axis: ``...`` and missing trailing ones become full slices."""
    given = list(indices)
    dots = [position for position, index in enumerate(given) if index is Ellipsis]
    if len(dots) > 1:
        raise IndexError("region has more than one '...'")
    missing = len(shape) - (len(given) - len(dots))
    if missing < 0:
        raise IndexError(f"region has {len(given)} indices, but shape {shape} {len(shape)} axes")
    full: list[Index] = [slice(None)] * missing
    where = dots[0] if dots else len(given)
    return given[:where] + full + given[where + 1 :]


def _along(shape: tuple[int, ...], axis: int, index: Index) -> tuple[int, Axis | None]:
    """The first element along one axis, and the axis that is left; None for an integer."""
    dim = shape[axis]
    if isinstance(index, slice):
        step = 1 if index.step is None else _whole(index.step)
        if step == 0:
            raise IndexError(f"region steps by 0 along axis {axis}")
        for bound in (index.start, index.stop):
            if bound is not None and not -dim <= _whole(bound) <= dim:
                raise IndexError(
                    f"region {_written(index)} leaves axis {axis} of shape {shape}: "
                    f"need bounds from {-dim} to {dim}"
                )
        picked = range(*index.indices(dim))
        return (picked[0] if picked else 0), Axis(len(picked), step)
    position = _whole(index)
    if not -dim <= position < dim:
        raise IndexError(f"region {position} leaves axis {axis} of shape {shape}")
    return position % dim, None


def _whole(value: object) -> int:
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with contextlib.suppress(TypeError):  # an array has the method, and refuses
            return operator.index(value)
    raise TypeError(
        f"region has an index {value!r}: need slices, integers, '...' or one range; "
        "a list of indices or a mask is not a rectangular region"
    )


def _written(index: slice) -> str:
    parts = ["" if part is None else str(part) for part in (index.start, index.stop, index.step)]
    return ":".join(parts[:2] if index.step is None else parts)
