# SPDX-License-Identifier: MIT
"""Elementary functions of one number, correctly rounded, at any cost: the court of last resort.

elementary.py comes here with the few numbers that it cannot decide, and intervals with their ends.
A result is computed with more and more digits until all numbers within its error round alike.
That ends: but for a few arguments, which are answered at once, no result is a float64 number or
half way between two (Lindemann, 1882, and Gelfond and Schneider, 1934).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction as Fraction
from functools import lru_cache

from fastinit.machine.floats import exact_decimals

Approximation = Callable[[int], tuple[Decimal, Decimal]]
"""From a number of digits to a result and a bound of its error."""

FIRST_DIGITS = 45
"""17 of the result, and enough beside them to decide nearly every number."""

_CUT_OFF = Decimal("1e400")
"""Beyond it, a result is no float64 number, and below its inverse it is 0."""


def decided(approximation: Approximation) -> float:
    """The float64 number nearest to what `approximation` approaches; infinite beyond float64."""
    digits = FIRST_DIGITS
    while True:
        with localcontext(exact_decimals(digits + 10)):
            value, error = approximation(digits)
            least, most = float(value - error), float(value + error)
        if least == most:
            return least
        digits *= 2


def _relative(value: Decimal, digits: int) -> tuple[Decimal, Decimal]:
    """A value with an error of a few units in the last of `digits` places."""
    return value, abs(value).scaleb(3 - digits)


def exp(x: float) -> float:
    """E to the x."""
    if x == 0 or abs(x) > 800:
        return 1.0 if x == 0 else math.inf if x > 0 else 0.0
    return decided(lambda digits: _relative(Decimal(x).exp(), digits))


def expm1(x: float) -> float:
    """E to the x, minus 1."""
    if abs(x) < 2.0**-54 or x > 800:
        return x + 0.0 if x < 1 else math.inf
    if x < -800:
        return -1.0

    def approximation(digits: int) -> tuple[Decimal, Decimal]:
        power = Decimal(x).exp()
        return power - 1, power.scaleb(3 - digits)

    return decided(approximation)


def log(x: float | Fraction) -> float:
    """The natural logarithm of a number above 0."""
    if x == 1:
        return 0.0

    def approximation(digits: int) -> tuple[Decimal, Decimal]:
        exact = Fraction(x)
        value = Decimal(exact.numerator) / Decimal(exact.denominator)
        found = value.ln()
        return found, (abs(found) + 1).scaleb(3 - digits)

    return decided(approximation)


def log1p(x: float) -> float:
    """The natural logarithm of 1 + x, x > -1."""
    if abs(x) < 2.0**-54:
        return x + 0.0
    return log(1 + Fraction(x))


def power(base: float, exponent: float) -> float:
    """Base to the exponent: base > 0, or base < 0 and a whole exponent.

    Zero to a positive exponent is +0, and anything to the exponent 0 is 1.
    """
    if exponent == 0:
        return 1.0
    if base == 0:
        return 0.0
    if base < 0:
        found = power(-base, exponent)
        return -found if exponent % 2 else found
    exact = _rational_power(Fraction(base), Fraction(exponent))
    if exact is not None:
        return _nearest(exact)

    def approximation(digits: int) -> tuple[Decimal, Decimal]:
        product = Decimal(exponent) * Decimal(base).ln()
        if abs(product) > 800:
            return (_CUT_OFF if product > 0 else 1 / _CUT_OFF), Decimal(0)
        value = product.exp()
        return value, value * (abs(product) + 1).scaleb(4 - digits)

    return decided(approximation)


def _nearest(exact: Fraction) -> float:
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf


def _rational_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The power, if it may be a float64 number or half way between two.

    A base is m 2**e, m odd, and an exponent n / 2**g.  The power is rational if m is a power of
    degree 2**g and 2**g divides e.  Of m to the n, no more than 54 bits can be such a number.
    """
    shift = (base.denominator.bit_length() - 1) or -_trailing_zeros(base.numerator)
    odd = int(base * Fraction(2) ** shift)
    degree = exponent.denominator
    if shift % degree or abs(exponent.numerator) * abs(shift) > 4096 * degree:
        return None
    while degree > 1:
        root = math.isqrt(odd)
        if root * root != odd:
            return None
        odd, degree = root, degree // 2
    if odd > 1 and (
        exponent < 0 or odd.bit_length() * exponent.numerator > 54 + exponent.numerator
    ):
        return None
    scale = Fraction(2) ** int(-shift * exponent)
    return scale if odd == 1 else Fraction(odd) ** exponent.numerator * scale


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


# ---- sine and cosine ----------------------------------------------------------------------------


def sin(x: float | Decimal) -> float:
    """The sine of an angle in radians."""
    return _circular(lambda digits: Decimal(x), 0) if x else 0.0


def cos(x: float | Decimal) -> float:
    """The cosine of an angle in radians."""
    return _circular(lambda digits: Decimal(x), 1) if x else 1.0


def sine_of(angle: Callable[[int], Decimal], quarters: int) -> float:
    """The sine of an angle and some right angles; `angle` takes the digits after the point.

    Its error may be 2 units of the last of them.  The angle is not a multiple of a right angle.
    """
    return _circular(angle, quarters)


def _circular(angle: Callable[[int], Decimal], quarters: int) -> float:
    def approximation(digits: int) -> tuple[Decimal, Decimal]:
        with localcontext(exact_decimals(digits + 400)):
            numerator, denominator = angle(digits).as_integer_ratio()
        bits = digits * 10 // 3
        whole = max(0, numerator.bit_length() - denominator.bit_length())
        found = fixed_sine((numerator << bits + whole) // denominator, quarters, bits, whole)
        return Decimal(found) / (1 << bits), Decimal(1).scaleb(5 - digits)

    return decided(approximation)


@lru_cache(maxsize=16)
def fixed_pi(bits: int) -> int:
    """Pi times 2**bits, by Machin (1706); its error is below 2**10."""

    def arctan_inverse(n: int) -> int:
        total, term, k = 0, (1 << bits) // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term, k = term // (n * n), k + 2
        return total

    return 16 * arctan_inverse(5) - 4 * arctan_inverse(239)


def fixed_sine(angle: int, quarters: int, bits: int, whole: int) -> int:
    """The sine times 2**bits, of an angle times 2**(bits + whole), which is below 2**whole."""
    right = fixed_pi(bits + whole + 16) >> 17
    turns, rest = divmod(angle, right)
    quarters += turns
    rest >>= whole
    square = rest * rest >> bits
    term, n = ((1 << bits), 1) if quarters % 2 else (rest, 2)
    total = 0
    while term:
        total += term
        term = -(term * square >> bits) // (n * (n + 1))
        n += 2
    return -total if quarters % 4 > 1 else total
