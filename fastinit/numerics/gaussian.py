# SPDX-License-Identifier: MIT
"""Tail probabilities and moments of the normal distribution, correctly rounded.  No sampling.

These numbers become scales, and a scale that differed in its last bit between two C libraries
would change every weight.  So they are computed with `decimal`, whose arithmetic is the same on
every machine, to more digits than are needed, and rounded to float64 once.
"""

from __future__ import annotations

import math
from decimal import Decimal, getcontext, localcontext
from functools import lru_cache
from typing import NamedTuple

from fastinit.machine.floats import exact_decimals

_GUARD = 60
"""Digits: 17 of the result, up to 24 that cancel besides those of `_digits`, and 19 to spare."""

_FAR = 8
"""From this x on, a tail comes from a continued fraction; below, it is 1/2 minus a series."""

_NOWHERE = 60
"""A tail that begins further out is 0: it is below 10^-784, the least variance above 10^-648."""


def _digits(low: float, high: float) -> int:
    """Decimal digits for bounds w apart: 3 log10(1/w) more than usual, where w < 1.

    A variance is of the order of w^2.  And beside 0 the deviation is w / 2, which may lie half way
    between two float64 numbers, less something of the order of w^2.  The number grows in steps of
    50, because pi is cached per number of digits.
    """
    halvings = -math.frexp(high - low)[1]
    return _GUARD + 50 * max(0, math.ceil(3 * 0.30103 / 50 * halvings))


@lru_cache(maxsize=32)
def _root_of_two_pi(digits: int) -> Decimal:
    """By Machin (1706), pi = 16 arctan(1/5) - 4 arctan(1/239)."""

    def arctan_inverse(n: int) -> Decimal:
        power = total = Decimal(1) / n
        divisor, sign = 1, 1
        while power > total.scaleb(-digits - 2):
            power /= n * n
            divisor, sign = divisor + 2, -sign
            total += sign * power / divisor
        return total

    with localcontext(exact_decimals(digits + 2)):
        return (32 * arctan_inverse(5) - 8 * arctan_inverse(239)).sqrt()


class _Place(NamedTuple):
    """The standard normal distribution at x >= 0.

    Beyond `_NOWHERE` x is stored as 0, so that x phi(x) and x Q(x) are 0, which is their limit.
    """

    x: Decimal
    density: Decimal  # phi(x)
    inside: Decimal  # 1/2 - Q(x), the probability from 0 to x
    outside: Decimal  # Q(x), the probability above x

    @property
    def edge(self) -> Decimal:
        """x phi(x)."""
        return self.x * self.density

    @property
    def excess(self) -> Decimal:
        """E max(z - x, 0), z standard normal."""
        return self.density - self.x * self.outside

    @property
    def square_excess(self) -> Decimal:
        """E max(z - x, 0)^2."""
        return (1 + self.x * self.x) * self.outside - self.edge

    @property
    def square_inside(self) -> Decimal:
        """E min(max(z, 0), x)^2."""
        return self.x * self.x * self.outside + self.inside - self.edge


def _at(bound: float) -> _Place:
    """The place of |bound|."""
    x, half = Decimal(abs(bound)), Decimal("0.5")
    if x > _NOWHERE:
        return _Place(Decimal(0), Decimal(0), half, Decimal(0))
    density = (-x * x / 2).exp() / _root_of_two_pi(getcontext().prec)
    if x < _FAR:
        inside = density * _series(x)
        return _Place(x, density, inside, half - inside)
    outside = density / _fraction(x)
    return _Place(x, density, half - outside, outside)


def _series(x: Decimal) -> Decimal:
    """x + x^3/3 + x^5/(3 5) + ..., all terms of one sign."""
    term = total = x
    n, square, least = 1, x * x, Decimal(10) ** (-getcontext().prec - 2)
    while term > total * least:
        n += 2
        term *= square / n
        total += term
    return total


def _fraction(x: Decimal) -> Decimal:
    """x + 1/(x + 2/(x + 3/(x + ...))): after k steps the error is about exp(-2 x sqrt(2 k))."""
    steps = math.ceil((getcontext().prec * 2.3026 / (2 * float(x))) ** 2 / 2) + 10
    fraction = x
    for n in range(steps, 0, -1):
        fraction = x + n / fraction
    return fraction


@lru_cache(maxsize=1024)
def tail(x: float) -> float:
    """The probability of a standard normal above `x`, which may be infinite."""
    with localcontext(exact_decimals(_GUARD)):
        place = _at(x)
        return float(place.outside if x >= 0 else Decimal("0.5") + place.inside)


def _between(low: float, a: _Place, high: float, b: _Place) -> Decimal:
    """The probability between bounds at places a and b."""
    if low < 0 < high:
        return a.inside + b.inside
    return abs(a.outside - b.outside)


@lru_cache(maxsize=1024)
def mass(low: float, high: float) -> float:
    """The probability of a standard normal between `low` and `high`."""
    with localcontext(exact_decimals(_digits(low, high))):
        return float(_between(low, _at(low), high, _at(high)))


@lru_cache(maxsize=1024)
def truncated_moments(low: float, high: float) -> tuple[float, float]:
    r"""Mean and standard deviation of a standard normal truncated to [low, high].

    With a, b the bounds and Z = Phi(b) - Phi(a), the mean is (phi(a) - phi(b)) / Z and the
    variance 1 + (a phi(a) - b phi(b)) / Z - mean^2 (Johnson, Kotz, Balakrishnan 1994,
    "Continuous univariate distributions" 1, section 13.10.1).
    """
    with localcontext(exact_decimals(_digits(low, high))):
        a, b = _at(low), _at(high)
        z = _between(low, a, high, b)
        mean = (a.density - b.density) / z
        edges = a.edge.copy_sign(Decimal(low)) - b.edge.copy_sign(Decimal(high))
        return float(mean), float((1 + edges / z - mean * mean).sqrt())


@lru_cache(maxsize=1024)
def clipped_moments(low: float, high: float) -> tuple[float, float]:
    r"""Mean and standard deviation of min(max(z, low), high), z standard normal.

    Exact for all bounds, however far out or close together, or infinite: how many digits cancel is
    known beforehand.  A standard deviation below the smallest float64 is 0: beyond 54 sigma, or in
    an interval as narrow as that number.
    """
    if high <= 0:
        mirrored, std = clipped_moments(-high, -low)
        return 0.0 - mirrored, std
    with localcontext(exact_decimals(_digits(low, high))):
        mean, variance = (_around_zero if low < 0 else _beyond_zero)(_at(low), _at(high))
        return float(Decimal(max(low, 0.0)) + mean), float(variance.sqrt())


def _around_zero(a: _Place, b: _Place) -> tuple[Decimal, Decimal]:
    """Mean and variance for bounds on both sides of 0; each side adds its mean square."""
    mean = a.excess - b.excess
    return mean, a.square_inside + b.square_inside - mean * mean


def _beyond_zero(a: _Place, b: _Place) -> tuple[Decimal, Decimal]:
    """Mean minus a, and variance, for 0 <= a < b; squares are of the distance from a."""
    mean = a.excess - b.excess
    square = a.square_excess - b.square_excess - 2 * (b.x - a.x) * b.excess
    return mean, square - mean * mean
