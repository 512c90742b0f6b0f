# SPDX-License-Identifier: MIT
"""Elementary functions of arrays, correctly rounded: exp, log, expm1, log1p, sin, cos, powers.

Each comes out as a sum of two float64 numbers with a known bound on its error (doubles.py).  That
settles nearly every number; undecided.py settles the rest.  No C library and no fused operation has
a say, so every machine has the same bits.  Arguments are float64 arrays of one axis or more,
without NaNs; a result beyond float64 is infinite, and one that does not exist a NaN.

Where the bounds come from: a rounded operation errs by 2**-53 of its result at most.  In each
function the terms of the series that are not exact, or pairs, begin with the third power of an
argument below 2**-7 (the fourth below 2**-8 in log), so they are a small part of the result and so
are their errors: 2**-80 of the result for exp and log, 2**-71 for expm1, 2**-69 for sin and cos.
The bounds that are used leave a factor of 8 at least, and a test measures the errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastinit.machine.floats import exact_decimals
from fastinit.numerics import undecided
from fastinit.numerics.doubles import (
    DoubleArray,
    Pair,
    both_roundings,
    fast_two_sum,
    pair_of,
    two_product,
    two_sum,
)

EXP_ERROR = 2.0**-74
EXPM1_ERROR = 2.0**-67
LOG_ERROR = 2.0**-74
POWER_ERROR = 2.0**-64
SINE_ERROR = 2.0**-65
SINE_REST = 2.0**-96
"""Bounds of the relative errors before the last rounding; `SINE_REST` is an absolute one."""

DIGITS = 60
"""Of constants and tables; a pair has 32."""

TINY = 2.0**-54
"""Below it in magnitude, expm1(x) and log1p(x) round to x."""

Exactly = Callable[..., float]


def settled(both: tuple[Any, Any], exactly: Exactly, *arguments: Any) -> DoubleArray:
    """The results whose two roundings are equal; the others, unless NaN, are made by `exactly`."""
    least, most = both
    for place in np.flatnonzero((least != most) & ~np.isnan(least)):
        least[place] = exactly(*(float(argument[place]) for argument in arguments))
    found: DoubleArray = least
    return found


def _pairs(numbers: list[Decimal]) -> tuple[DoubleArray, DoubleArray]:
    rows = np.array([pair_of(number) for number in numbers])
    return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])


def _parts(number: Decimal, *widths: int) -> tuple[float, ...]:
    """Parts of a number above 0 that add up to it: of so many bits each, then a float64 number."""
    found = []
    for width in widths:
        unit = Decimal(math.ldexp(1.0, math.frexp(float(number))[1] - width))
        part = number // unit * unit
        found.append(float(part))
        number -= part
    return (*found, float(number))


# ---- exp and expm1 ------------------------------------------------------------------------------

OCTAVE = 256
"""How many powers 2**(j / OCTAVE), from 1 to below 2, the table of exp has."""

GREATEST_EXPONENT = 709.7827128933841
LEAST_EXPONENT = -745.1332191019412
"""Beyond them exp(x) is infinite, or rounds to 0."""


class _Powers(NamedTuple):
    high: DoubleArray
    low: DoubleArray
    step: tuple[float, ...]  # ln(2) / OCTAVE: 34 bits, 34 bits, the rest
    per_unit: float  # OCTAVE / ln(2)


@lru_cache(maxsize=1)
def _powers() -> _Powers:
    with localcontext(exact_decimals(DIGITS)):
        step = Decimal(2).ln() / OCTAVE
        table = _pairs([(step * j).exp() for j in range(OCTAVE)])
        return _Powers(*table, _parts(step, 34, 34), float(1 / step))


def _exp_parts(x: Any, more: Any) -> tuple[Pair, Any, Any, Any]:
    """E and T, j, k with exp(x + more) = T (1 + E) 2**k, T = 2**(j / OCTAVE): E is a pair.

    ``|E|`` < 2**-9.4.  Its error is below 2**-81, of which a factor ``|E|**2`` is part.
    """
    table = _powers()
    number = np.rint(x * table.per_unit)
    whole = number.astype(np.int64)
    first, second, third = table.step
    rest, lost = two_sum(x, -(number * first))  # number has 19 bits: the product is exact
    rest, more_lost = two_sum(rest, -(number * second))
    high, low = two_sum(rest, lost + more_lost - number * third + more)
    square, square_low = two_product(high, high)
    tail = high * (1 / 5040) + 1 / 720
    tail *= high
    tail += 1 / 120
    tail *= high
    tail += 1 / 24
    tail *= high
    tail += 1 / 6
    tail *= square * high
    tail += 0.5 * square_low + high * low + low
    high, low = fast_two_sum(high, 0.5 * square)
    pair = fast_two_sum(high, low + tail)
    return pair, table.high[whole & OCTAVE - 1], table.low[whole & OCTAVE - 1], whole >> 8


def _exp_pair(x: Any, more: Any) -> tuple[Any, Any, Any]:
    """high, low and k with exp(x + more) = 2**k (high + low), 0.99 < high < 2."""
    (growth, growth_low), table, table_low, k = _exp_parts(x, more)
    product, lost = two_product(table, growth)
    lost += table * growth_low + table_low * growth + table_low
    high, low = fast_two_sum(table, product)
    return high, low + lost, k


def _scaled(pair: tuple[Any, Any, Any], error: float) -> tuple[Any, Any]:
    """Both roundings of 2**k (high + low); those that are denormal are rounded where they are."""
    high, low, k = pair
    margin = high * error
    least, most = both_roundings(high, low, margin)
    denormal = k < -1022
    if denormal.any():
        unit = np.ldexp(1.0, np.maximum(-1074 - k, -53))  # the smallest float64 is 2**k units
        shift = 2.0**52 * unit  # a sum with it is rounded to a whole number of units
        total, left = fast_two_sum(shift, high)
        bounds = [total + (left + (low - margin)), total + (left + (low + margin))]
        least, most = (
            np.where(denormal, (bound - shift) / unit * 5e-324, whole)
            for bound, whole in zip(bounds, (least, most), strict=True)
        )
        k = np.where(denormal, 0, k)
    return _raised(least, k), _raised(most, k)


def _raised(number: Any, k: Any) -> Any:
    """number * 2**k, -1022 <= k <= 1024; 2**1024 itself is no float64 number."""
    above = k > 1023
    return number * (k - above + 1023 << 52).view(np.float64) * (1.0 + above)


def exp(x: DoubleArray) -> DoubleArray:
    """E to the x."""
    inside = np.clip(x, LEAST_EXPONENT, GREATEST_EXPONENT)
    found = settled(_scaled(_exp_pair(inside, 0.0), EXP_ERROR), undecided.exp, inside)
    beyond = x != inside
    if beyond.any():
        found = np.where(x > GREATEST_EXPONENT, np.inf, np.where(x < LEAST_EXPONENT, 0.0, found))
    return found


def expm1(x: DoubleArray) -> DoubleArray:
    """E to the x, minus 1."""
    inside = np.clip(x, -50.0, GREATEST_EXPONENT)
    (growth, growth_low), table, table_low, k = _exp_parts(inside, 0.0)
    product, lost = two_product(table, growth)
    lost += table * growth_low + table_low * growth + table_low
    high, low = fast_two_sum(table, product)
    high, less = two_sum(_raised(high, k), -1.0)
    low = less + _raised(low + lost, k)
    small = (k == 0) & (table == 1)
    high, low = np.where(small, growth, high), np.where(small, growth_low, low)
    both = both_roundings(high, low, np.abs(high) * EXPM1_ERROR)
    tiny = np.abs(x) < TINY
    both = np.where(tiny, x, both[0]), np.where(tiny, x, both[1])
    found = settled(both, undecided.expm1, inside)
    if (x != inside).any():
        found = np.where(x > GREATEST_EXPONENT, np.inf, np.where(x < -50.0, -1.0, found))
    return found


# ---- log and log1p ------------------------------------------------------------------------------

GRID = 256
"""The table of log has the inverses of i / GRID, from sqrt(1/2) to sqrt(2)."""


class _Logarithms(NamedTuple):
    inverse: DoubleArray  # of i / GRID, to 12 bits; 1 for i = GRID
    high: DoubleArray  # -ln(inverse), as pairs
    low: DoubleArray
    two: tuple[float, ...]  # ln(2): 42 bits, the rest
    third: tuple[float, float]


@lru_cache(maxsize=1)
def _logarithms() -> _Logarithms:
    inverse = [round(4096 * GRID / max(i, 1)) / 4096 for i in range(2 * GRID)]
    with localcontext(exact_decimals(DIGITS)):
        table = _pairs([-Decimal(number).ln() for number in inverse])
        two = _parts(Decimal(2).ln(), 42)
        return _Logarithms(np.array(inverse), *table, two, pair_of(Decimal(1) / 3))


def _log_pair(x: Any, more: Any) -> Pair:
    """The logarithm of x + more, ``|more|`` a few units in x's last place at most."""
    table = _logarithms()
    m, k = np.frexp(x)
    below = m < math.sqrt(0.5)
    m, k = np.where(below, m + m, m), k - below
    more = np.ldexp(more, -k)
    i = np.rint(m * GRID).astype(np.int64)
    c = table.inverse[i]
    # r = (m + more) c - 1.  c has 12 bits, so the products with either half of m are exact.
    upper = m.view(np.int64) & ~0xFFFFFFFF
    half = upper.view(np.float64)
    r, lost = two_sum(half * c - 1, (m - half) * c)
    r, r_low = fast_two_sum(*two_sum(r, lost + more * c))
    square, square_low = two_product(r, r)
    square_low += 2 * r * r_low
    cube, cube_low = two_product(square, r)
    cube_low += square_low * r + square * r_low
    third, third_low = two_product(cube, table.third[0])
    third_low += cube * table.third[1] + cube_low * table.third[0]
    tail = r * (1 / 11) - 1 / 10
    for n in range(9, 3, -1):
        tail *= r
        tail += (1 / n) if n % 2 else (-1 / n)
    tail *= square * square
    # The terms by size: k ln(2), -ln(c), r, r**2 / 2, r**3 / 3; what each sum loses is kept.
    total, rest = two_sum(k * table.two[0], table.high[i])
    for term in (r, -0.5 * square, third):
        total, lost = two_sum(total, term)
        rest += lost
    rest += k * table.two[1] + table.low[i] + r_low - 0.5 * square_low + third_low + tail
    return fast_two_sum(total, rest)


def log(x: DoubleArray, more: Any = 0.0) -> DoubleArray:
    """The natural logarithm of x, or of the exact number x + more."""
    valid = (x > 0) & (x < np.inf)
    inside = np.where(valid, x, 1.0)
    high, low = _log_pair(inside, np.where(valid, more, 0.0))
    both = both_roundings(high, low, np.abs(high) * LOG_ERROR)
    found = settled(both, _log_of_pair, inside, np.broadcast_to(np.asarray(more), x.shape))
    return found if valid.all() else np.where(valid, found, _log_of_the_rest(x))


def _log_of_pair(x: float, more: float) -> float:
    return undecided.log(undecided.Fraction(x) + undecided.Fraction(more))


def _log_of_the_rest(x: Any) -> Any:
    """Minus infinity for 0, infinity for infinity, else a NaN."""
    return np.where(x == 0, -np.inf, np.where(x == np.inf, np.inf, np.nan))


def log1p(x: DoubleArray) -> DoubleArray:
    """The natural logarithm of 1 + x."""
    high, low = two_sum(np.ones_like(x), x)
    finite = np.isfinite(x) & (x > -1)
    found = log(np.where(finite, high, 1.0 + x), np.where(finite, low, 0.0))
    return np.where(np.abs(x) < TINY, x, found)


# ---- powers -------------------------------------------------------------------------------------


def power(base: DoubleArray, exponent: DoubleArray) -> DoubleArray:
    """Base to the exponent, for arrays of one shape.

    Anything to the exponent 0 is 1, and 0 to a positive exponent is +0.  A negative base needs a
    whole exponent.
    """
    size = np.abs(base)
    exists = (base > 0) | ((base < 0) & (exponent == np.rint(exponent)))
    usual = exists & np.isfinite(base) & (np.abs(exponent) < 2.0**900) & (exponent != 0)
    high, low = _log_pair(np.where(usual, size, 1.0), np.zeros_like(base))
    inside = np.where(usual, exponent, 1.0)
    product, lost = two_product(high, inside)
    lost += low * inside
    usual &= (product < GREATEST_EXPONENT) & (product > LEAST_EXPONENT)
    product, lost = np.where(usual, product, 0.0), np.where(usual, lost, 0.0)
    least, most = _scaled(_exp_pair(product, lost), POWER_ERROR)
    negative = (base < 0) & (np.mod(exponent, 2) == 1)
    least, most = np.where(negative, -least, least), np.where(negative, -most, most)
    most = np.where(usual, most, np.nan)
    return settled((least, most), _any_power, base, exponent)


def _any_power(base: float, exponent: float) -> float:
    """`undecided.power`, and what it leaves out: infinities, NaNs, 0 to a negative exponent."""
    if exponent == 0:
        return 1.0
    if not (math.isfinite(base) and math.isfinite(exponent)) or (
        base <= 0 and (exponent < 0 if base == 0 else exponent != math.floor(exponent))
    ):
        return math.nan
    return undecided.power(base, exponent)


# ---- sine and cosine ----------------------------------------------------------------------------

FULL_TURN = 512
"""How many angles the table of sines has, all the way round."""

FARTHEST = 2.0**24
"""Angles up to here are reduced with numbers of a few parts; those beyond are undecided."""


class _Sines(NamedTuple):
    high: DoubleArray
    low: DoubleArray
    step: tuple[float, ...]  # 2 pi / FULL_TURN: five parts of 22 bits, the rest
    per_unit: float


@lru_cache(maxsize=1)
def _sines() -> _Sines:
    bits = 400
    with localcontext(exact_decimals(120)):
        step = Decimal(undecided.fixed_pi(bits)) / (1 << bits) * 2 / FULL_TURN
        sines = [
            Decimal(undecided.fixed_sine(int(step * j * (1 << bits)), 0, bits, 0)) / (1 << bits)
            for j in range(FULL_TURN // 4)
        ]
        quarter = [Decimal(0), *sines[1:], Decimal(1), *reversed(sines[1:])]
        table = _pairs(quarter + [-sine for sine in quarter])
        return _Sines(*table, _parts(step, 22, 22, 22, 22, 22), float(1 / step))


def sine_of_pair(angle: Any, more: Any, quarters: Any, error: Any = 0.0) -> tuple[Any, Any]:
    """Both roundings of the sine of angle + more and some right angles, ``|angle|`` < FARTHEST.

    `error` is that of the angle.
    """
    table = _sines()
    number = np.rint(angle * table.per_unit)
    *parts, last = table.step
    rest, low = angle, 0.0
    for part in parts:  # number has 31 bits: the products are exact
        rest, lost = two_sum(rest, -(number * part))
        low = low + lost
    rest, lost = two_sum(rest, more)
    low = low + lost - number * last
    r, r_low = two_sum(rest, low)
    place = number.astype(np.int64) + quarters * (FULL_TURN // 4)
    sine, sine_low = table.high[place & FULL_TURN - 1], table.low[place & FULL_TURN - 1]
    place += FULL_TURN // 4
    cosine, cosine_low = table.high[place & FULL_TURN - 1], table.low[place & FULL_TURN - 1]
    # sin(a + r) = sin(a) cos(r) + cos(a) sin(r)
    square, square_low = two_product(r, r)
    odd = ((square * (-1 / 5040) + 1 / 120) * square - 1 / 6) * (square * r)
    even = ((square * (-1 / 720) + 1 / 24) * square) * square
    along, along_low = two_product(cosine, r)
    less, less_low = two_product(sine, 0.5 * square)
    high, rest = two_sum(sine, along)
    high, lost = two_sum(high, -less)
    rest += lost + (along_low - less_low) + sine_low
    rest += cosine * r_low + cosine_low * r - sine * (0.5 * square_low + r * r_low)
    rest += cosine * odd + sine * even
    error = error + np.abs(high) * SINE_ERROR + np.where(number == 0, 0.0, SINE_REST)
    return both_roundings(high, rest, error)


def _circular(x: DoubleArray, quarters: int, exactly: Exactly) -> DoubleArray:
    near = np.abs(x) < FARTHEST
    least, most = sine_of_pair(np.where(near, x, 0.0), 0.0, quarters)
    most = np.where(near | ~np.isfinite(x), most, np.nan)
    found = settled((least, most), exactly, x)
    return found if near.all() else np.where(np.isfinite(x), found, np.nan)


def sin(x: DoubleArray) -> DoubleArray:
    """The sine of angles in radians."""
    return _circular(x, 0, undecided.sin)


def cos(x: DoubleArray) -> DoubleArray:
    """The cosine of angles in radians."""
    return _circular(x, 1, undecided.cos)
