# SPDX-License-Identifier: MIT
"""Exact numbers: the integers of docs/stream.md, section 15, against the library's decimals."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import pytest
import reference_exact as exact
from reference import PAGE

from fastinit.numerics import gaussian, roots

ENOUGH = 1280
"""Bits that the page says are enough for Q and Z."""

COUNTS = pytest.mark.parametrize("count", [150, pytest.param(4_000, marks=pytest.mark.slow)])


def test_the_page_says_so():
    page = " ".join(PAGE.split())
    assert f"**B = {ENOUGH} is enough** for Q and Z" in page
    assert f"v needs B = {exact.BITS} where bounds lie far out" in page
    assert f"beyond {exact.FAR}, infinity included" in page
    assert f"B = {exact.FEW} is enough for both" in page


def tail_of(x):
    return exact.nearest(exact.tail(x, ENOUGH), ENOUGH)


@COUNTS
def test_tails_by_integers_of_1280_bits_are_the_librarys(count):
    random = Random(1)
    for _ in range(count):
        x = random.choice([1, -1]) * random.choice([random.uniform(0, 13), random.uniform(13, 20)])
        assert tail_of(x) == gaussian.tail(x), x


@pytest.mark.slow
def test_tails_where_float64_ends_are_the_librarys():
    """Some tails are denormal from 37.5 sigma on, all are 0 from 38.49 on."""
    random = Random(2)
    for _ in range(100):
        x = random.uniform(36, 39)
        assert tail_of(x) == gaussian.tail(x), x


@COUNTS
def test_masses_by_integers_of_1280_bits_are_the_librarys(count):
    random = Random(3)
    for _ in range(count):
        low = random.uniform(-14, 13)
        high = low + random.choice([2.0**-10, random.uniform(2.0**-10, 9)])
        found = exact.nearest(exact.mass(low, high, ENOUGH), ENOUGH)
        assert found == gaussian.mass(low, high), (low, high)


@pytest.mark.parametrize("count", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_deviations_by_integers_are_the_librarys(count):
    random = Random(4)
    for _ in range(count):
        low = random.uniform(-14, 13)
        high = low + random.choice([2.0**-10, random.uniform(2.0**-10, 9)])
        truncated, clipped = (
            moments(low, high)[1]
            for moments in (gaussian.truncated_moments, gaussian.clipped_moments)
        )
        assert exact.truncated_deviation(low, high) == truncated, (low, high)
        assert exact.clipped_deviation(low, high) == clipped, (low, high)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_logarithms_and_roots_by_integers_are_the_librarys(count):
    random = Random(5)
    for _ in range(count):
        n = random.randrange(1, 2 ** random.randrange(1, 64) + 1)
        k = 2 * random.choice([1, 2, 3, 5, 8, random.randrange(1, 2**20)])
        assert exact.logarithm(3 * n) == roots.logarithm(3 * n), n
        assert exact.root(n, k) == roots.root(n, k), (n, k)
        assert exact.root(n**4 * k, 16) == roots.root(n**4 * k, 16), (n, k)


def test_rounding_by_bits_is_rounding_to_the_nearest():
    random = Random(6)
    edges = [0, 1, 2, 3, 2**53, 2**53 + 1, 2**54 + 2, 2**54 + 6, 2**1074 - 1, 2**1074 + 2**1021]
    drawn = [random.randrange(2 ** random.randrange(1, 1400)) for _ in range(500)]
    for bits in (1074 + 1, 1100, ENOUGH):
        for y in edges + drawn:
            assert exact.nearest(y, bits) == float(Fraction(y, 2**bits)), (y, bits)


def test_the_series_of_39_sigma_has_fewer_than_3000_terms(monkeypatch):
    products = 0
    times = exact.times

    def counted(a, b, bits=exact.BITS):
        nonlocal products
        products += 1
        return times(a, b, bits)

    monkeypatch.setattr(exact, "times", counted)
    x = math.nextafter(39.0, 0)  # no other test has put it into a cache
    exact.inverse_density(x, ENOUGH)
    assert 1000 < products < 3000
    products = 0
    assert exact.nearest(exact.tail(x, ENOUGH), ENOUGH) == 0.0
    assert 1000 < products < 3000
