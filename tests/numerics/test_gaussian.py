# SPDX-License-Identifier: MIT
"""Tails and moments of the normal distribution: the float64 nearest to the exact number.

The oracle is mpmath: other functions, by textbook formulas, to as many digits as those cancel.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from fastinit.numerics import gaussian

mpmath = pytest.importorskip("mpmath", reason="mpmath: the oracle of exact moments")
mp = mpmath.mp
INF = math.inf


# ---- the oracle ---------------------------------------------------------------------------------


def nearest(x):
    """An mpmath number rounded to float64 once, denormals too."""
    sign, mantissa, exponent, _ = mpmath.mpf(x)._mpf_
    return float((-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent)


def digits(low, high):
    """More than cancel below: a tail from 1, and from 1 what is of third order in a width."""
    nearest = max(low, -high, 0.0)
    return int(100 + nearest**2 / (2 * math.log(10)) - 3 * math.log10(min(high - low, 1.0)))


def parts(low, high):
    """The bounds, Phi(a) and 1 - Phi(b), phi(a) and phi(b); next to nothing lies beyond 80."""
    found = []
    for x, outward in ((low, -1), (high, 1)):
        if abs(x) > 80:
            found.append((mpmath.mpf(0), mpmath.mpf(x * outward < 0), mpmath.mpf(0)))
        else:
            z = mpmath.mpf(x)
            found.append((z, mpmath.erfc(outward * z / mp.sqrt(2)) / 2, mpmath.npdf(z)))
    return zip(*found, strict=True)


def clipped(low, high):
    with mpmath.workdps(digits(low, high)):
        (a, b), (below, above), (pa, pb) = parts(low, high)
        mean = (pa - pb) + (a * below + b * above)  # exactly 0 where low = -high
        square = a * a * below + (1 - below - above) + a * pa - b * pb + b * b * above
        return nearest(mean), nearest(mpmath.sqrt(square - mean * mean))


def truncated(low, high):
    with mpmath.workdps(digits(low, high)):
        (a, b), (below, above), (pa, pb) = parts(low, high)
        mass = 1 - below - above
        mean = (pa - pb) / mass
        variance = 1 + (a * pa - b * pb) / mass - mean * mean
        return nearest(mean), nearest(mpmath.sqrt(variance))


def mass(low, high):
    with mpmath.workdps(digits(low, high)):
        _, (below, above), _ = parts(low, high)
        return nearest(1 - below - above)


# ---- bounds -------------------------------------------------------------------------------------


def near(random):
    return random.uniform(-4, 4), random.uniform(-4, 4)


def one_sided(random):
    return random.choice([random.uniform(-9, 54), 10.0 ** -random.uniform(0, 320)]), INF


def far(random):
    low = random.uniform(4, 54.3)
    return low, low + 10.0 ** random.uniform(-9, 2)


def narrow(random):
    middle = random.uniform(-12, 12)
    return middle, middle + 2.0 ** -random.uniform(1, 48)


def neighbours(random):
    low = random.uniform(0, 54) * 10.0 ** -random.choice([0, 0, 1, random.uniform(0, 300)])
    high = low
    for _ in range(random.choice([1, 2, 3, 100])):
        high = math.nextafter(high, INF)
    return low, high


def tiny(random):
    low, high = (10.0 ** -random.uniform(0, 323) for _ in range(2))
    return random.choice([-1, 1]) * low, high


def huge(random):
    return random.uniform(-6, 6) * 10.0 ** -random.uniform(0, 300), 10.0 ** random.uniform(1, 308)


def balanced(random):
    """Two sides of the same or of nearly the same width: the mean is 0, or next to it."""
    high = random.uniform(0, 40) * 10.0 ** -random.choice([0, 0, 0, random.uniform(0, 300)])
    return -random.choice([high, math.nextafter(high, INF), high * 1.001]), high


def denormal(random):
    low = random.randint(-9, 9) * 5e-324
    return low, low + random.randint(1, 9) * 5e-324


KINDS = [near, one_sided, far, narrow, neighbours, tiny, huge, balanced, denormal]


def bounds(kind, count):
    """`count` intervals, half of them mirrored."""
    source = random.Random(kind.__name__)
    found = []
    while len(found) < count:
        low, high = sorted(kind(source))
        if low < high:
            found.append((low, high) if source.random() < 0.5 else (-high, -low))
    return found


def check_clipped(kind, count):
    for low, high in bounds(kind, count):
        assert gaussian.clipped_moments(low, high) == clipped(low, high), (low, high)


@pytest.mark.parametrize("kind", KINDS)
def test_clipped_moments_are_rounded_once_from_the_exact_ones(kind):
    check_clipped(kind, 25)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_clipped_moments_are_rounded_once_from_the_exact_ones(kind):
    check_clipped(kind, 500)


def truncations(count):
    source = random.Random("truncations")
    while count:
        low = source.uniform(-13, 13)
        width = source.choice([2.0 ** source.uniform(-10, 4), source.uniform(0, 30), INF])
        if width >= 2.0**-10:
            count -= 1
            yield (low, low + width) if source.random() < 0.5 else (-low - width, -low)


def check_truncated(count):
    for low, high in truncations(count):
        if max(low, -high) <= 13:
            assert gaussian.truncated_moments(low, high) == truncated(low, high), (low, high)
            assert gaussian.mass(low, high) == mass(low, high), (low, high)
            assert gaussian.tail(low) == mass(low, INF), low


def test_truncated_moments_and_tails_are_rounded_once_from_the_exact_ones():
    check_truncated(150)


@pytest.mark.slow
def test_many_truncated_moments_and_tails_are_rounded_once_from_the_exact_ones():
    check_truncated(5000)


@pytest.mark.parametrize("x", [-50.0, -8.0, 0.0, 7.999999999999999, 8.0, 38.0, 38.4, 38.6, 39.5])
def test_a_tail_is_exact_on_either_side_of_a_change_of_method(x):
    assert gaussian.tail(x) == mass(x, INF)


@pytest.mark.parametrize("low", [55.0, 60.0, 60.00000000000001, 1e9, 1.7e308])
@pytest.mark.parametrize("width", [math.ulp, lambda low: low, lambda low: INF])
def test_far_out_all_lies_on_the_nearer_bound(low, width):
    high = low + width(low)
    assert gaussian.clipped_moments(low, high) == (low, 0.0)
    assert gaussian.clipped_moments(-high, -low) == (-low, 0.0)


@pytest.mark.parametrize("bounds", [(-INF, INF), (-99.0, INF), (-1e300, 60.5)])
def test_bounds_of_no_mass_leave_the_standard_normal(bounds):
    assert gaussian.clipped_moments(*bounds) == (0.0, 1.0)
    assert gaussian.truncated_moments(*bounds) == (0.0, 1.0)
    assert gaussian.mass(*bounds) == 1.0
