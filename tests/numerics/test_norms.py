# SPDX-License-Identifier: MIT
"""Sums of squares in any order and their roots, and integrals, against exact numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference_functions as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinit.numerics.norms import Sum, exact_sum_of_squares, sums_of_squares
from fastinit.numerics.quadrature import POINT_WEIGHTS, POINTS, integral

floats = st.floats(-1e300, 1e300) | st.floats(-2, 2) | st.sampled_from([0.0, 5e-324, 3.0, 4.0])


@settings(deadline=None)
@given(st.lists(floats, max_size=9))
def test_a_norm_is_the_exact_one_rounded_once(row):
    values = np.array([row], np.float64)
    (total,) = sums_of_squares(values)
    expected = reference.norm(row) if math.hypot(*row) < 1e300 else None
    exactly = exact_sum_of_squares(values[0]).root()
    if expected is not None:
        assert exactly == expected
    assert total.root() in (exactly, None)


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=50), st.randoms())
def test_the_order_of_elements_does_not_matter(row, shuffle):
    mixed = list(row)
    shuffle.shuffle(mixed)
    first, second = (sums_of_squares(np.array([each], np.float32))[0] for each in (row, mixed))
    assert first.root() == second.root() == reference.norm(row)
    cut = len(row) // 2
    halves = [sums_of_squares(np.array([each], np.float32))[0] for each in (row[:cut], row[cut:])]
    assert (Sum() + halves[0] + halves[1]).root() == first.root()


def test_long_rows_of_every_type():
    for kind in (np.float16, np.float32, np.float64):
        values = np.random.default_rng(1).standard_normal((3, 5000)).astype(kind)
        for row, total in zip(values, sums_of_squares(values), strict=True):
            assert total.root() == exact_sum_of_squares(row).root() == reference.norm(row.tolist())


def test_what_a_sum_cannot_decide_is_none():
    """A root half way between two numbers is decided only if it is exact."""
    middle = 2 * (2**53 - 1) + 1  # 54 bits
    assert Sum(middle**2, middle**2).root() == float(middle)
    assert Sum(middle**2 - 1, middle**2 + 1).root() is None


def test_a_root_beyond_float64_is_infinite():
    assert Sum(1, 1, 2048).root() == math.inf
    assert Sum(1, 1, -2148).root() == 5e-324
    assert Sum().root() == 0


# ---- integrals ----------------------------------------------------------------------------------


def test_the_points_are_gausss():
    points, weights = np.polynomial.legendre.leggauss(16)
    np.testing.assert_allclose(points, POINTS, rtol=0, atol=1e-15)
    np.testing.assert_allclose(weights, POINT_WEIGHTS, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("function", "low", "high", "value"),
    [
        (np.exp, 0, 1, math.e - 1),
        (np.log, 0, 1, -1.0),
        (lambda x: np.abs(x - 0.3), 0, 1, (0.3**2 + 0.7**2) / 2),
        (lambda x: np.exp(-x * x / 2), -9, 9, math.sqrt(2 * math.pi)),
        (lambda x: 1 / np.sqrt(x), 0, 1, 2.0),
        (np.zeros_like, 0, 1, 0.0),
    ],
)
def test_an_integral_is_right_to_the_last_digits(function, low, high, value):
    assert integral(function, low, high) == pytest.approx(value, rel=3e-9, abs=1e-300)


def test_a_rough_function_ends():
    """Noise that no halving makes smooth takes a moment, not the memory."""
    noise = np.random.default_rng(0)
    assert integral(lambda x: 1 + 1e-3 * noise.random(x.size), 0, 1) == pytest.approx(1, abs=2e-3)
