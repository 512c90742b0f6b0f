# SPDX-License-Identifier: MIT
"""Boxes: a range of indices per axis.  Index arithmetic only."""

from __future__ import annotations

import math
from typing import TypeAlias

IndexBox: TypeAlias = tuple[range, ...]


def whole(shape: tuple[int, ...]) -> IndexBox:
    """The box of all elements."""
    return tuple(map(range, shape))


def overlap(first: IndexBox, second: IndexBox) -> IndexBox | None:
    """The elements that both boxes have, or None if there is none."""
    common = tuple(map(_common, first, second))
    return None if any(not part for part in common) else common


def within(box: IndexBox, outer: IndexBox) -> bool:
    """Whether all elements of `box` are in `outer`."""
    return overlap(box, outer) == box


def count(box: IndexBox) -> int:
    """How many elements a box has."""
    return math.prod(map(len, box))


def _common(first: range, second: range) -> range:
    """The common elements of two ranges with positive steps."""
    low, high = max(first[0], second[0]), min(first[-1], second[-1])
    step = math.lcm(first.step, second.step)
    # The first number from `low` on that both contain: at most second.step candidates of `first`.
    start = first[0] + -(-(low - first[0]) // first.step) * first.step
    for candidate in range(start, min(high, start + step - 1) + 1, first.step):
        if (candidate - second[0]) % second.step == 0:
            return _canonical(range(candidate, high + 1, step))
    return range(0)


def _canonical(numbers: range) -> range:
    """The one of all equal ranges that ends where its last element does."""
    if len(numbers) < 2:
        return range(numbers[0], numbers[0] + 1) if numbers else range(0)
    return range(numbers[0], numbers[-1] + 1, numbers.step)


def canonical(box: IndexBox) -> IndexBox:
    """The one of all equal boxes whose ranges end where their last element does."""
    return tuple(map(_canonical, box))


def covered(outer: IndexBox, boxes: list[IndexBox]) -> bool:
    """Whether the boxes, all inside `outer`, leave none of its elements out."""
    if any(outer == box for box in boxes):
        return True
    left = [outer]
    for box in boxes:
        left = [piece for old in left for piece in _without(old, box)]
    return not left


def _without(old: IndexBox, box: IndexBox) -> list[IndexBox]:
    """What is left of `old`, cut along one axis after the other."""
    common = overlap(old, box)
    if common is None:
        return [old]
    pieces: list[IndexBox] = []
    for axis, (have, cut) in enumerate(zip(old, common, strict=True)):
        parts = (range(have.start, cut.start), range(cut.stop, have.stop))
        pieces += [(*common[:axis], part, *old[axis + 1 :]) for part in parts if part]
    return pieces
