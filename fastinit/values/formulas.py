# SPDX-License-Identifier: MIT
"""Formulas: elementwise arithmetic of float64 arrays, each operation correctly rounded.

They are what `mapped` and `table` compute; docs/stream.md, section 17, defines them.  A formula
is a list of steps that was read from a text (schemes/formulas.py); here it is computed with arrays
and with intervals, which prove that no value is infinite or missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fastinit.numerics import elementary
from fastinit.numerics.doubles import DoubleArray
from fastinit.values.intervals import INTERVALS, Interval, NotFiniteError

Step: TypeAlias = "tuple[str, float] | tuple[str, str] | tuple[str, int] | tuple[str, int, int]"
"""("number", its value), ("variable", its name), or an operation and the steps it takes."""

TILE = 2**14
"""Elements that are computed at a time, so that what lies between the steps stays in the cache."""

MOST_BOXES = 2_000
"""Into how many parts the ranges of variables are cut to prove that all values are finite."""


def _power(base: DoubleArray, exponent: DoubleArray) -> DoubleArray:
    """Powers; those that IEEE 754 rounds correctly by itself take one operation."""
    if exponent.size == 1:
        simple = SIMPLE_POWERS.get(float(exponent.reshape(-1)[0]))
        if simple is not None:
            return simple(base)
    base, exponent = np.broadcast_arrays(base, exponent)
    return elementary.power(base, exponent)


SIMPLE_POWERS: dict[float, Callable[[DoubleArray], DoubleArray]] = {
    -1.0: lambda base: 1.0 / base,
    0.0: np.ones_like,
    1.0: lambda base: base,
    2.0: lambda base: base * base,
}

OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "floor_divide": lambda a, b: np.floor_divide(a, b) + 0.0,
    "remainder": lambda a, b: np.mod(a, b) + 0.0,
    "power": _power,
    "negative": np.negative,
    "exp": elementary.exp,
    "expm1": elementary.expm1,
    "log": elementary.log,
    "log1p": elementary.log1p,
    "sqrt": np.sqrt,
    "sin": elementary.sin,
    "cos": elementary.cos,
    "abs": np.abs,
    "minimum": lambda a, b: np.where(a < b, a, b),
    "maximum": lambda a, b: np.where(a > b, a, b),
}
"""What each operation does with arrays of one axis, or of one element."""


@dataclass(frozen=True)
class Formula:
    """Steps in the order in which they are computed; the last one is the result."""

    steps: tuple[Step, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that it has, sorted."""
        return tuple(sorted({str(step[1]) for step in self.steps if step[0] == "variable"}))

    def values(self, variables: Mapping[str, DoubleArray]) -> DoubleArray:
        """The results for arrays of one axis and one length, or of length 1; at least length 1."""
        found: list[DoubleArray] = []
        for name, *rest in self.steps:
            if name == "number":
                found.append(np.full(1, rest[0], np.float64))
            elif name == "variable":
                found.append(variables[str(rest[0])])
            else:
                found.append(OPERATIONS[name](*(found[number] for number in _numbers(rest))))
        return found[-1]

    def fill(self, out: DoubleArray, variables: Mapping[str, DoubleArray]) -> None:
        """Write the results to `out`, a tile at a time; variables are as long as it, or 1."""
        for first in range(0, out.size, TILE):
            place = slice(first, first + TILE)
            tile = {k: v if v.size == 1 else v[place] for k, v in variables.items()}
            out[place] = self.values(tile)

    def interval(self, variables: Mapping[str, Interval]) -> Interval:
        """An interval that holds the result wherever the variables lie in theirs.

        Raises:
            NotFiniteError: some step may have no finite value there.
        """
        found: list[Interval] = []
        for name, *rest in self.steps:
            if name == "number":
                value = float(rest[0])
                found.append((value, value))
            elif name == "variable":
                found.append(variables[str(rest[0])])
            else:
                low, high = INTERVALS[name](*(found[number] for number in _numbers(rest)))
                if not (math.isfinite(low) and math.isfinite(high)):
                    raise NotFiniteError(name, [found[number] for number in _numbers(rest)])
                found.append((low, high))
        return found[-1]


def _numbers(rest: Sequence[Any]) -> list[int]:
    return [int(number) for number in rest]


def proven(formula: Formula, ranges: Mapping[str, Interval], whole: bool = False) -> Interval:
    """An interval that holds all results, once it is proven that all steps are finite.

    Where one interval for each variable does not prove it, they are cut in halves.  Variables that
    are `whole` take whole numbers only.

    Raises:
        NotFiniteError: it cannot be proven; `at` says for which values of the variables.
    """
    open_boxes = [dict(ranges)]
    low, high, boxes = math.inf, -math.inf, 0
    while open_boxes:
        box = open_boxes.pop()
        boxes += 1
        try:
            found = formula.interval(box)
        except NotFiniteError as error:
            halves = _halves(box, whole)
            if not halves or boxes > MOST_BOXES:
                error.at = box
                raise
            open_boxes += halves
        else:
            low, high = min(low, found[0]), max(high, found[1])
    return low, high


def _halves(box: dict[str, Interval], whole: bool) -> list[dict[str, Interval]]:
    """The box cut in two across its widest side, the lower half last; none if it is a point."""
    name = max(box, key=lambda each: box[each][1] - box[each][0], default=None)
    if name is None or box[name][0] == box[name][1]:
        return []
    low, high = box[name]
    below = above = low / 2 + high / 2
    if whole:
        below, above = math.floor(below), math.floor(below) + 1
    elif not low < below < high:  # neighbours
        below, above = low, high
    return [{**box, name: (above, high)}, {**box, name: (low, below)}]
