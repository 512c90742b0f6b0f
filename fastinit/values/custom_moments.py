# SPDX-License-Identifier: MIT
"""Mean and standard deviation of a function of one draw, by quadrature, or why they are not known.

Draws are cut at 1/2, 1/4, 1/8, ... of the way to each place where values may be infinite: the ends
of a uniform number, and the middle of one that is signed, or of a normal.  So a tail shows how it
falls: each cut of a power's tail is a fixed share of the one before.  A sum that would not converge
is found by that, and what lies beyond the last cut is added by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastinit.numerics import elementary
from fastinit.numerics.doubles import DoubleArray
from fastinit.numerics.quadrature import measured

Values = Callable[[DoubleArray], DoubleArray]

CUTS_TO_ZERO, CUTS_TO_ONE = 60, 44
"""Near 1 float64 numbers are 2**-53 apart, so the last of more cuts would hold a few of them."""

STEADY = 8
"""The last cuts, from which the ratio of one to the next is taken."""

STEEPEST = 0.99
"""A ratio from here on belongs to a sum that does not converge, or so slowly that none can tell."""

MOST_BEYOND = 2.0**-10
"""The share of a moment that may lie beyond the last cut."""

MOST_UNSETTLED = 1e-6
"""The share of a moment that quadrature may leave open."""

NORMAL_REACH = 38
"""Standard deviations; float64's density is 0 soon after."""


def mean_of(kinds: tuple[str, ...], values: Values) -> float:
    """The mean of `values` of the one draw.

    Bounded values and exponential tails are right to about 1e-12 of their magnitude, powers' tails
    to 1e-6.

    Raises:
        ValueError: there are several draws, or one that is no number; the mean does not exist, or
            too much of it lies in the tails.
    """
    return _expectation(_tails(kinds, values), lambda x: x)


def std_of(kinds: tuple[str, ...], values: Values) -> float:
    """The standard deviation; errors and accuracy are those of `mean_of`."""
    tails = _tails(kinds, values)
    mean = _expectation(tails, lambda x: x)
    return math.sqrt(_expectation(tails, lambda x: (x - mean) ** 2))


@dataclass(frozen=True)
class _Tail:
    """Draws by their distance from a place: the values, the density, and where it is cut."""

    values: Values
    density: Values
    cuts: tuple[float, ...]
    extends: bool  # whether anything lies beyond the last cut


def _expectation(tails: tuple[_Tail, ...], of: Values) -> float:
    """The mean of a function of the values."""
    rows = [
        [
            measured(lambda d, t=tail: of(t.values(d)) * t.density(d), min(ends), max(ends))  # type: ignore[misc]
            for ends in pairwise(tail.cuts)
        ]
        for tail in tails
    ]
    whole = math.fsum(piece.magnitude for row in rows for piece in row)
    if not math.isfinite(whole):
        raise ValueError("some of its values are not finite numbers")
    if math.fsum(piece.unsettled for row in rows for piece in row) > MOST_UNSETTLED * whole:
        raise ValueError("it is infinite or undefined, or its function is too rough for quadrature")
    beyond = [
        _beyond([piece.total for piece in row], [piece.magnitude for piece in row], tail, whole)
        for row, tail in zip(rows, tails, strict=True)
    ]
    return math.fsum([*beyond, *(piece.total for row in rows for piece in row)])


def _beyond(sums: list[float], sizes: list[float], tail: _Tail, whole: float) -> float:
    """What is to be added for draws beyond the last cut.

    Raises:
        ValueError: that cannot be told.
    """
    last, before = sizes[-1], sizes[-1 - STEADY]
    if last <= whole * 2.0**-60:
        return 0.0
    ratio = (last / before) ** (1 / STEADY) if before else 1.0
    if not tail.extends or ratio >= STEEPEST:
        raise ValueError("it is infinite or undefined, or a sum that hardly converges")
    if last * ratio / (1 - ratio) > MOST_BEYOND * whole:
        raise ValueError("too much of it lies in values too rare to be counted")
    return sums[-1] * ratio / (1 - ratio)


def _halvings(first: float, count: int) -> tuple[float, ...]:
    return tuple(first * 2.0**-n for n in range(count + 1))


def _bell(z: DoubleArray) -> DoubleArray:
    return elementary.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _half(places: DoubleArray) -> DoubleArray:
    return np.full_like(places, 0.5)


def _tails(kinds: tuple[str, ...], values: Values) -> tuple[_Tail, ...]:
    """The tails that are all draws together."""
    if len(kinds) != 1:
        raise ValueError(f"it has {len(kinds)} draws, and quadrature takes one")
    if kinds == ("w",):
        raise ValueError("its draw is a raw word, on whose bits values may depend in any way")
    far, near = _halvings(0.5, CUTS_TO_ONE), _halvings(0.5, CUTS_TO_ZERO)
    if kinds == ("u",):
        return (
            _Tail(values, np.ones_like, near, True),
            _Tail(lambda d: values(1 - d), np.ones_like, far, True),
        )
    both = values, lambda d: values(-d)
    if kinds == ("s",):
        return (
            *(_Tail(side, _half, near, True) for side in both),
            *(_Tail(lambda d, f=side: f(1 - d), _half, far, True) for side in both),  # type: ignore[misc]
        )
    outward = tuple(map(float, range(1, NORMAL_REACH + 1)))
    inward = _halvings(1.0, CUTS_TO_ZERO)
    return (
        *(_Tail(side, _bell, inward, True) for side in both),
        *(_Tail(side, _bell, outward, False) for side in both),
    )
