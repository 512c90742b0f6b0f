# SPDX-License-Identifier: MIT
"""Functions of one float64 number, rounded once, by whole numbers: docs/stream.md, section 17.2.

Nothing here knows of words, of schemes or of the library.  A real number y is the whole number
y 2^bits, rounded down; `bits` grows until everything within the error rounds alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from reference_exact import nearest

Approximation = Callable[[int], tuple[int, int, int]]
"""From bits to a whole number, its error, and how many of its bits are after the point."""


def settled(approximation: Approximation) -> float:
    bits = 256
    while True:
        value, error, after = approximation(bits)
        low, high = _signed(value - error, after), _signed(value + error, after)
        if low == high:
            return low
        bits *= 2


def _signed(value: int, bits: int) -> float:
    if bits <= 0:
        value, bits = value << (1 - bits), 1
    found = math.inf if abs(value) >> bits >> 1024 else nearest(abs(value), bits)
    return -found if value < 0 else found


def rounded(exact: Fraction) -> float:
    """A fraction, rounded once."""
    size = abs(exact)
    bits = 1200
    whole = (size.numerator << bits) // size.denominator
    if whole != size * (1 << bits):  # a last bit for what was dropped
        whole, bits = 2 * whole + 1, bits + 1
    found = nearest(whole, bits)
    return -found if exact < 0 else found


def fixed(x: Fraction, bits: int) -> int:
    return (x.numerator << bits) // x.denominator


@lru_cache(maxsize=64)
def ln_two(bits: int) -> int:
    return _twice_artanh(Fraction(1, 3), bits)


def _twice_artanh(y: Fraction, bits: int) -> int:
    """2 (y + y^3/3 + y^5/5 + ...)."""
    a, b = y.numerator, y.denominator
    power = total = 2 * (abs(a) << bits) // b
    n = 1
    while power:
        power, n = power * a * a // (b * b), n + 2
        total += power // n
    return -total if a < 0 else total


def _ln(x: Fraction, bits: int) -> int:
    """ln x; its error is below 2^12."""
    e = x.numerator.bit_length() - x.denominator.bit_length()
    m = x / Fraction(2) ** e
    if bits > 4 * m.denominator.bit_length():  # short fractions: exactly
        return e * ln_two(bits) + _twice_artanh((m - 1) / (m + 1), bits)
    y = fixed((m - 1) / (m + 1), bits)
    square, power, total, n = y * y >> bits, y, 0, 1
    while power not in (0, -1):
        total += power // n
        power, n = power * square >> bits, n + 2
    return e * ln_two(bits) + 2 * total


def _exp(y: int, bits: int) -> tuple[int, int]:
    """exp(y 2^-bits) = 2^e z: z as a whole number, and e."""
    e = y // ln_two(bits)
    rest = y - e * ln_two(bits)
    total, term, n = 0, 1 << bits, 0
    while term:
        total, n = total + term, n + 1
        term = (term * rest >> bits) // n
    return total, e


def exp(x: float) -> float:
    if abs(x) > 800:
        return math.inf if x > 0 else 0.0
    if x == 0:
        return 1.0

    def approximation(bits: int) -> tuple[int, int, int]:
        value, e = _exp(fixed(Fraction(x), bits), bits)
        return value, 1 << 24, bits - e

    return settled(approximation)


def expm1(x: float) -> float:
    if x == 0:
        return 0.0
    if x < -800:
        return -1.0

    def approximation(bits: int) -> tuple[int, int, int]:
        bits += 2400  # x may be small
        value, e = _exp(fixed(Fraction(x), bits), bits)
        value = value << e if e >= 0 else value >> -e
        return value - (1 << bits), 1 << (24 + max(e, 0)), bits

    return settled(approximation) if x < 800 else math.inf


def log(x: float) -> float:
    return ln_of(Fraction(x))


def log1p(x: float) -> float:
    return ln_of(1 + Fraction(x)) if x else 0.0


def ln_of(x: Fraction) -> float:
    if x <= 0:
        raise ValueError(f"no logarithm of {x}")
    if x == 1:
        return 0.0

    def approximation(bits: int) -> tuple[int, int, int]:
        bits += 2400
        return _ln(x, bits), 1 << 24, bits

    return settled(approximation)


def power(base: float, exponent: float) -> float:
    if exponent == 0:
        return 1.0
    if base == 0 and exponent > 0:
        return 0.0
    if base == 0 or (base < 0 and exponent != int(exponent)):
        raise ValueError(f"no {base} ** {exponent}")
    if base < 0:
        found = power(-base, exponent)
        return -found if exponent % 2 else found
    if exponent == int(exponent) and abs(exponent) <= 64:
        return rounded(Fraction(base) ** int(exponent))
    exact = _root_power(Fraction(base), Fraction(exponent))
    if exact is not None:
        return rounded(exact)

    def approximation(bits: int) -> tuple[int, int, int]:
        y = Fraction(exponent) * Fraction(_ln(Fraction(base), bits), 1 << bits)
        value, e = _exp(fixed(y, bits), bits)
        return value, 1 << (36 + max(0, math.frexp(exponent)[1])), bits - e

    size = exponent * math.log(base)
    return settled(approximation) if abs(size) < 760 else (math.inf if size > 0 else 0.0)


def _root_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The power, if it is a fraction; None also where it would be too long to matter."""
    degree = exponent.denominator
    if degree > 64 or abs(exponent.numerator) > 4096:
        return Fraction(1) if base == 1 else None
    while degree > 1:
        n, d = math.isqrt(base.numerator), math.isqrt(base.denominator)
        if (n * n, d * d) != (base.numerator, base.denominator):
            return None
        base, degree = Fraction(n, d), degree // 2
    if (
        abs(exponent.numerator) * (base.numerator.bit_length() + base.denominator.bit_length())
        > 4096
    ):
        return None
    return base**exponent.numerator


# ---- sine, cosine -------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def pi(bits: int) -> int:
    """Machin (1706)."""

    def arctan_inverse(n: int) -> int:
        total, term, k = 0, (1 << bits) // n, 0
        while term:
            total += (-1) ** k * (term // (2 * k + 1))
            term, k = term // (n * n), k + 1
        return total

    return 16 * arctan_inverse(5) - 4 * arctan_inverse(239)


def sine(y: int, quarters: int, bits: int, bits_of_y: int) -> int:
    """sin(y 2^-bits_of_y + quarters pi / 2) 2^bits; y has more bits, for it may be large."""
    turns, rest = divmod(2 * y, pi(bits_of_y))
    rest >>= 1 + bits_of_y - bits
    quarters += turns
    total, term, n = 0, (1 << bits) if quarters % 2 else rest, 1 if quarters % 2 else 2
    while term not in (0, -1):
        total += term
        term, n = -(term * rest >> bits) * rest // (n * (n + 1)) >> bits, n + 2
    return -total if quarters // 2 % 2 else total


def circular(angle: Callable[[int], int], quarters: int) -> float:
    """The sine of an angle, given as a function from bits to a whole number, and right angles."""

    def approximation(bits: int) -> tuple[int, int, int]:
        bits += 1200
        more = bits + 1100
        return sine(angle(more), quarters, bits, more), 1 << 24, bits

    return settled(approximation)


def sin(x: float) -> float:
    return circular(lambda bits: fixed(Fraction(x), bits), 0) if x else 0.0


def cos(x: float) -> float:
    return circular(lambda bits: fixed(Fraction(x), bits), 1) if x else 1.0


def wave(position: int, base: float, exponent: Fraction, quarters: int) -> float:
    """sin(position base^-exponent + quarters pi / 2)."""
    if not position:
        return float(quarters)

    def angle(bits: int) -> int:
        y = -exponent * Fraction(_ln(Fraction(base), bits), 1 << bits)
        value, e = _exp(fixed(y, bits), bits)
        return position * (value << e if e >= 0 else value >> -e)

    return circular(angle, quarters)


def norm(numbers: list[float]) -> float:
    """The root of the sum of the squares, rounded once."""
    total = sum((Fraction(x) ** 2 for x in numbers), Fraction(0))

    def approximation(bits: int) -> tuple[int, int, int]:
        bits += 1200
        return math.isqrt(fixed(total, 2 * bits)), 1, bits

    root = Fraction(math.isqrt(total.numerator), math.isqrt(total.denominator))
    return rounded(root) if root * root == total else settled(approximation)
