# SPDX-License-Identifier: MIT
"""What each operation of a formula does with intervals: bounds of its correctly rounded results.

Rounding is monotone, so the rounded result at an end bounds the rounded results inside; nothing
needs to be widened.  What the operations do with numbers is in formulas.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from fastinit.numerics import undecided

Interval: TypeAlias = tuple[float, float]

NOWHERE: Interval = (-math.inf, math.inf)
"""What is returned where some number of the interval has no finite result."""

WHOLE = 2.0**53
"""Below it in magnitude, all whole numbers are float64 numbers."""


class NotFiniteError(ValueError):
    """An operation may have no finite result; `at` are the variables' intervals, once known."""

    def __init__(self, operation: str, intervals: list[Interval]) -> None:
        self.operation = operation
        self.intervals = intervals
        self.at: dict[str, Interval] = {}
        super().__init__(f"{operation} of {' and '.join(map(shown, intervals))} is not finite")


def shown(interval: Interval) -> str:
    """An interval in a message; a point as a number."""
    low, high = interval
    return f"{low:.6g}" if low == high else f"a number from {low:.6g} to {high:.6g}"


def _hull(*ends: float) -> Interval:
    """From the least to the greatest; nowhere if one is a NaN."""
    return NOWHERE if any(map(math.isnan, ends)) else (min(ends), max(ends))


def _multiply(a: Interval, b: Interval) -> Interval:
    return _hull(*(x * y for x in a for y in b))


def _divide(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0 <= b[1]:
        return NOWHERE
    return _hull(*(x / y for x in a for y in b))


def _floor_divide(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0 <= b[1] or _beyond(a, b):
        return NOWHERE
    return _hull(*(float(x // y) for x in a for y in b))


def _remainder(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0 <= b[1] or _beyond(a, b):
        return NOWHERE
    return (0.0, b[1]) if b[0] > 0 else (b[0], 0.0)


def _beyond(*intervals: Interval) -> bool:
    """Whether there may be whole numbers that float64 does not hold."""
    return max(abs(end) for interval in intervals for end in interval) > WHOLE


def _power(a: Interval, b: Interval) -> Interval:
    if b[0] == b[1] and b[0] == math.floor(b[0]):
        return _whole_power(a, b[0])
    if a[0] < 0 or (a[0] == 0 and b[0] <= 0):
        return NOWHERE
    # monotone in either argument, where the other is fixed
    return _hull(*(undecided.power(x, y) for x in a for y in b))


def _whole_power(a: Interval, exponent: float) -> Interval:
    if exponent < 0 and a[0] <= 0 <= a[1]:
        return NOWHERE
    ends = [undecided.power(x, exponent) for x in a]
    if exponent % 2 == 0 and a[0] < 0 < a[1]:
        ends.append(undecided.power(0.0, exponent))
    return _hull(*ends)


def _increasing(function: Callable[[float], float], above: float) -> Callable[[Interval], Interval]:
    """An increasing function, which has finite values for numbers above `above`."""

    def interval(a: Interval) -> Interval:
        return (function(a[0]), function(a[1])) if a[0] > above else NOWHERE

    return interval


def _sqrt(a: Interval) -> Interval:
    return (math.sqrt(a[0]), math.sqrt(a[1])) if a[0] >= 0 else NOWHERE


def _abs(a: Interval) -> Interval:
    least = 0.0 if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))
    return least, max(abs(a[0]), abs(a[1]))


def _sin(a: Interval) -> Interval:
    if a[0] == a[1] or (a[0] > -1.57 and a[1] < 1.57):
        return undecided.sin(a[0]), undecided.sin(a[1])
    return -1.0, 1.0


def _cos(a: Interval) -> Interval:
    if a[0] == a[1] or (a[0] >= 0 and a[1] < 3.14):
        return undecided.cos(a[1]), undecided.cos(a[0])
    return -1.0, 1.0


INTERVALS: dict[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "multiply": _multiply,
    "divide": _divide,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "power": _power,
    "negative": lambda a: (-a[1], -a[0]),
    "exp": _increasing(undecided.exp, -math.inf),
    "expm1": _increasing(undecided.expm1, -math.inf),
    "log": _increasing(undecided.log, 0.0),
    "log1p": _increasing(undecided.log1p, -1.0),
    "sqrt": _sqrt,
    "sin": _sin,
    "cos": _cos,
    "abs": _abs,
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
}
"""An interval for each operation of `formulas.OPERATIONS`."""
