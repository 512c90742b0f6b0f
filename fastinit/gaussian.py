# SPDX-License-Identifier: MIT
"""Tail probabilities and moments of the normal distribution, correctly rounded.  No sampling.

These numbers become scales, and a scale that differed in its last bit between two C libraries
would change every weight.  So they are computed with `decimal`, whose arithmetic is the same on
every machine, to more digits than are needed, and rounded to float64 once.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, getcontext, localcontext
from functools import lru_cache

_NOWHERE = 39.0  # a tail that begins further out is below the smallest float64
_GUARD = 60  # digits beyond those that the subtractions below can cancel


def _digits(*bounds: float) -> int:
    """Enough decimal digits for the tails that begin at `bounds`, and some to spare."""
    furthest = max((abs(x) for x in bounds if abs(x) <= _NOWHERE), default=0.0)
    return _GUARD + math.ceil(3 * furthest * furthest / 2 / math.log(10))


def _pi() -> Decimal:
    """Pi to the precision in force: Machin (1706), pi = 16 arctan(1/5) - 4 arctan(1/239)."""

    def arctan_inverse(n: int) -> Decimal:
        power = total = Decimal(1) / n
        divisor, sign = 1, 1
        while power > total.scaleb(-getcontext().prec - 2):
            power /= n * n
            divisor, sign = divisor + 2, -sign
            total += sign * power / divisor
        return total

    return 16 * arctan_inverse(5) - 4 * arctan_inverse(239)


def _density(x: float) -> Decimal:
    """The standard normal density at x; 0 too far out."""
    if abs(x) > _NOWHERE:
        return Decimal(0)
    square = Decimal(x) * Decimal(x)
    return (-square / 2).exp() / (2 * _pi()).sqrt()


def _cumulative(x: float) -> Decimal:
    """Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...), all terms of one sign."""
    if abs(x) > _NOWHERE:
        return Decimal(0 if x < 0 else 1)
    exact = Decimal(x)
    term = total = exact
    n = 1
    while abs(term) > abs(total).scaleb(-getcontext().prec - 2):
        n += 2
        term *= exact * exact / n
        total += term
    return Decimal("0.5") + _density(x) * total


@lru_cache(maxsize=1024)
def tail(x: float) -> float:
    """The probability of a standard normal above `x`, which may be infinite."""
    with localcontext(Context(prec=_digits(x))):
        return float(1 - _cumulative(x)) if x <= 0 else float(_cumulative(-x))


@lru_cache(maxsize=1024)
def mass(low: float, high: float) -> float:
    """The probability of a standard normal between `low` and `high`."""
    with localcontext(Context(prec=_digits(low, high))):
        return float(_cumulative(high) - _cumulative(low))


def _edge(x: float) -> Decimal:
    """x phi(x), and its limit 0 at infinity."""
    return Decimal(0) if abs(x) > _NOWHERE else Decimal(x) * _density(x)


@lru_cache(maxsize=1024)
def truncated_moments(low: float, high: float) -> tuple[float, float]:
    r"""Mean and standard deviation of a standard normal truncated to [low, high].

    With a, b the bounds and Z = Phi(b) - Phi(a), the mean is (phi(a) - phi(b)) / Z and the
    variance 1 + (a phi(a) - b phi(b)) / Z - mean^2 (Johnson, Kotz, Balakrishnan 1994,
    "Continuous univariate distributions" 1, section 13.10.1).
    """
    with localcontext(Context(prec=_digits(low, high))):
        z = _cumulative(high) - _cumulative(low)
        mean = (_density(low) - _density(high)) / z
        variance = 1 + (_edge(low) - _edge(high)) / z - mean * mean
        return float(mean), float(variance.sqrt())


@lru_cache(maxsize=1024)
def clipped_moments(low: float, high: float) -> tuple[float, float]:
    r"""Mean and standard deviation of min(max(z, low), high), z standard normal.

    The mass outside sits on the bounds: E x = a Phi(a) + phi(a) - phi(b) + b (1 - Phi(b)) and
    E x^2 = a^2 Phi(a) + Z + a phi(a) - b phi(b) + b^2 (1 - Phi(b)).
    """
    with localcontext(Context(prec=_digits(low, high))):
        below, above = _cumulative(low), 1 - _cumulative(high)
        # An infinite or hopelessly far bound holds no mass.
        a = Decimal(low) if below else Decimal(0)
        b = Decimal(high) if above else Decimal(0)
        mean = a * below + _density(low) - _density(high) + b * above
        square = a * a * below + (1 - below - above) + _edge(low) - _edge(high) + b * b * above
        return float(mean), float((square - mean * mean).sqrt())
