# SPDX-License-Identifier: MIT
"""Exact numbers, rounded once, by integers: tail probabilities, deviations, logarithms and roots.

It is section 15 of docs/stream.md, for a language that has nothing but integers of any length.
Nothing here knows of words or of the library.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache

BITS = 3072
"""A real number y is the integer floor(y 2^BITS)."""

ONE = 1 << BITS

FAR = 56
"""Beyond it, in sigma, even the deviation of a clipped normal is below the smallest float64."""


INFINITE = 0x7FF << 52
"""The bits of infinity, above those of all numbers."""


def nearest(y: int, bits: int = BITS) -> float:
    """The float64 nearest to y 2^-bits, y >= 0, ties to even, denormals kept; made of its bits."""
    if not y:
        return 0.0
    drop = max(y.bit_length() - 53, bits - 1074)
    kept, left = y >> drop, y & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    if left > half or (left == half and kept & 1):
        kept += 1  # a carry into the exponent is right, too
    pattern = kept + ((drop - (bits - 1074)) << 52)
    if pattern >= INFINITE:  # the largest number and half a step, or more
        return math.inf
    found: float = struct.unpack("<d", pattern.to_bytes(8, "little"))[0]
    return found


def fixed(x: float, bits: int = BITS) -> int:
    """x itself: exact, as no float64 needs more than 1074 bits after the point."""
    numerator, denominator = x.as_integer_ratio()
    return (numerator << bits) // denominator


def times(a: int, b: int, bits: int = BITS) -> int:
    return (a * b) >> bits


def over(a: int, b: int, bits: int = BITS) -> int:
    return (a << bits) // b


@lru_cache(maxsize=4)
def sqrt_two_pi(bits: int) -> int:
    """Machin (1706): pi = 16 arctan(1/5) - 4 arctan(1/239)."""

    def arctan_inverse(n: int) -> int:
        total, power, k = 0, (1 << bits) // n, 0
        while power:
            total += (-1) ** k * (power // (2 * k + 1))
            power, k = power // (n * n), k + 1
        return total

    pi = 16 * arctan_inverse(5) - 4 * arctan_inverse(239)
    return math.isqrt(2 * pi << bits)


@lru_cache(maxsize=256)
def inverse_density(x: float, bits: int = BITS) -> int:
    """1 / phi(x) = sqrt(2 pi) (1 + (x^2/2) + (x^2/2)^2/2! + ...)."""
    half_square = times(fixed(x, bits), fixed(x, bits), bits) >> 1
    total, term, n = 0, 1 << bits, 0
    while term:
        total, n = total + term, n + 1
        term = times(term, half_square, bits) // n
    return times(total, sqrt_two_pi(bits), bits)


def density(x: float) -> int:
    """phi(x)."""
    return over(ONE, inverse_density(x)) if abs(x) <= FAR else 0


@lru_cache(maxsize=256)
def tail(x: float, bits: int = BITS) -> int:
    """Q(x): 1/2 - phi(x) (x + x^3/3 + x^5/(3 5) + ...) for x >= 0, and Q(-x) = 1 - Q(x)."""
    if abs(x) > FAR:
        return 0 if x > 0 else 1 << bits
    size = fixed(abs(x), bits)
    square, total, term, odd = times(size, size, bits), 0, size, 1
    while term:
        total, odd = total + term, odd + 2
        term = times(term, square, bits) // odd
    beyond = (1 << bits >> 1) - over(total, inverse_density(abs(x), bits), bits)
    return beyond if x >= 0 else (1 << bits) - beyond


def mass(low: float, high: float, bits: int = BITS) -> int:
    """Phi(high) - Phi(low)."""
    return tail(low, bits) - tail(high, bits)


def _bound_times(bound: float, y: int) -> int:
    """bound * y; nothing where y is 0, whatever the bound."""
    return times(fixed(bound), y) if y else 0


def truncated_deviation(low: float, high: float) -> float:
    """The standard deviation of a standard normal given that it lies between the bounds."""
    inside = mass(low, high)
    mean = over(density(low) - density(high), inside)
    edges = _bound_times(low, density(low)) - _bound_times(high, density(high))
    return _root(ONE + over(edges, inside) - times(mean, mean))


def clipped_deviation(low: float, high: float) -> float:
    """The standard deviation of min(max(z, low), high), z a standard normal."""
    below, above = _bound_times(low, tail(-low)), _bound_times(high, tail(high))
    mean = below + density(low) - density(high) + above
    edges = _bound_times(low, density(low)) - _bound_times(high, density(high))
    square = _bound_times(low, below) + mass(low, high) + edges + _bound_times(high, above)
    return _root(square - times(mean, mean))


def _root(y: int) -> float:
    return nearest(math.isqrt(max(y, 0) << BITS))


# ---- logarithms and roots -----------------------------------------------------------------------

FEW = 256
"""Bits after the point here: nothing cancels."""


def _ln(numerator: int, denominator: int) -> int:
    """ln of a fraction >= 1, times 2^FEW: ln(2^e m) = e ln 2 + 2 artanh((m - 1) / (m + 1))."""

    def twice_artanh(a: int, b: int) -> int:
        power = total = 2 * (a << FEW) // b
        n = 1
        while power:
            power, n = power * a * a // (b * b), n + 2
            total += power // n
        return total

    e = (numerator // denominator).bit_length() - 1
    below = denominator << e
    return e * twice_artanh(1, 3) + twice_artanh(numerator - below, numerator + below)


def logarithm(n: int) -> float:
    """ln(n) of a whole number n >= 1."""
    return nearest(_ln(n, 1), FEW)


def root(x: int, k: int) -> float:
    """The k-th root of a whole number x >= 1: square roots, then exp(ln(y) / k) where k is odd."""
    y = float(x)
    while k % 2 == 0:
        y, k = math.sqrt(y), k // 2
    if k == 1:
        return y
    power = _ln(*y.as_integer_ratio()) // k
    total, term, n = 0, 1 << FEW, 0
    while term:
        total, n = total + term, n + 1
        term = (term * power >> FEW) // n
    return nearest(total, FEW)
