# SPDX-License-Identifier: MIT
"""Elementary functions of arrays against whole numbers of any length (reference_functions.py).

Random arguments, arguments at ends and in the middle, and results that nearly lie half way between
two float64 numbers; and the errors of the pairs themselves against the bounds that are used.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import reference_functions as reference
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastinit.machine.floats import exact_decimals
from fastinit.numerics import elementary, undecided
from fastinit.numerics.doubles import two_product, two_sum
from fastinit.numerics.lines import line

LEAST = 5e-324
NAMES = ("exp", "expm1", "log", "log1p", "sin", "cos")
INF = math.inf


@pytest.fixture(autouse=True)
def _silent():
    """As the library calls these functions: overflows and underflows are no news."""
    with np.errstate(all="ignore"):
        yield


def bits(numbers):
    return np.asarray(numbers, np.float64).view(np.int64).tolist()


def random(seed, count, low, high):
    """Numbers of either sign and of all magnitudes from 2**low to 2**high."""
    generator = np.random.default_rng(seed)
    size = np.ldexp(generator.uniform(0.5, 1, count), generator.integers(low, high, count))
    return np.where(generator.random(count) < 0.5, -size, size)


def arguments(name, seed, count=150):
    everywhere = random(seed, count, -1070, 1020)
    usual = random(seed + 1, count, -60, 10)
    found = np.concatenate([everywhere, usual, random(seed + 2, count, -4, 2), [1.0, 0.5, 2.0]])
    if name == "log":
        return np.abs(found)
    if name == "log1p":
        return np.where(found <= -1, -found, found)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_function_is_the_references(name):
    numbers = arguments(name, 1)
    found = getattr(elementary, name)(numbers)
    assert bits(found) == bits([getattr(reference, name)(x) for x in numbers.tolist()])


@pytest.mark.parametrize("name", NAMES)
def test_the_last_resort_is_the_references(name):
    numbers = arguments(name, 7, 40).tolist()
    found = [getattr(undecided, name)(x) for x in numbers]
    assert bits(found) == bits([getattr(reference, name)(x) for x in numbers])


EXACT = [
    ("exp", 0.0, 1.0),
    ("exp", LEAST, 1.0),
    ("exp", 709.782712893384, 1.7976931348622732e308),
    ("exp", 709.7827128933841, INF),
    ("exp", -745.1332191019411, LEAST),
    ("exp", -745.1332191019412, 0.0),
    ("exp", INF, INF),
    ("exp", -INF, 0.0),
    ("exp", -708.3964185322641, 2.2250738585072626e-308),
    ("expm1", 0.0, 0.0),
    ("expm1", -0.0, -0.0),
    ("expm1", LEAST, LEAST),
    ("expm1", -INF, -1.0),
    ("expm1", INF, INF),
    ("expm1", -40.0, -1.0),
    ("expm1", 1000.0, INF),
    ("log", 1.0, 0.0),
    ("log", 0.0, -INF),
    ("log", INF, INF),
    ("log", LEAST, -744.4400719213812),
    ("log1p", 0.0, 0.0),
    ("log1p", -0.0, -0.0),
    ("log1p", -1.0, -INF),
    ("log1p", INF, INF),
    ("sin", 0.0, 0.0),
    ("sin", LEAST, LEAST),
    ("cos", 0.0, 1.0),
    ("cos", LEAST, 1.0),
    ("sin", 1e22, -0.8522008497671888),
    ("cos", 1e22, 0.523214785395139),
]


@pytest.mark.parametrize(("name", "x", "value"), EXACT)
def test_a_function_at_its_ends(name, x, value):
    assert bits(getattr(elementary, name)(np.array([x]))) == bits([value])


@pytest.mark.parametrize(
    ("name", "x"), [("log", -1.0), ("log1p", -2.0), ("sin", INF), ("cos", -INF)]
)
def test_what_does_not_exist_is_not_a_number(name, x):
    assert np.isnan(getattr(elementary, name)(np.array([x, x]))).all()


HARD = [
    # Lefevre and Muller's worst cases for double precision
    ("exp", float.fromhex("-0x1.1cb3db3db3db3p-3")),
    ("exp", float.fromhex("0x1.6a09e667f3bcdp-1")),
    ("exp", float.fromhex("0x1.9e9cbbfd6080bp-31")),
    ("log", float.fromhex("0x1.ac50b409c8aeep+8")),
    ("log", float.fromhex("0x1.62a88613629b5p+678")),
    ("sin", float.fromhex("0x1.e0000000001c2p-20")),
    ("sin", float.fromhex("0x1.598bae9e632f6p-7")),
    ("cos", float.fromhex("0x1.8p-26")),
    ("expm1", float.fromhex("-0x1.2b708872320e2p+5")),
    ("sin", 6381956970095103.0 * 2.0**797),  # nearest to a multiple of pi / 2
    ("cos", 6381956970095103.0 * 2.0**797),
]


@pytest.mark.parametrize(("name", "x"), HARD)
def test_a_hard_case_is_the_references(name, x):
    assert bits(getattr(elementary, name)(np.array([x]))) == bits([getattr(reference, name)(x)])


def exact(name, x):
    """In the context's digits."""
    number = Decimal(x)
    if name == "exp":
        return number.exp()
    return {"expm1": number.exp() - 1, "log": number.ln() if x > 0 else 0}[name]


@pytest.mark.parametrize(
    ("name", "bound"), [("exp", elementary.EXP_ERROR), ("log", elementary.LOG_ERROR)]
)
def test_the_error_of_a_pair_is_an_eighth_of_its_bound(name, bound):
    generator = np.random.default_rng(3)
    numbers = generator.uniform(-700, 700, 3000)
    if name == "log":
        numbers = np.concatenate([np.ldexp(generator.uniform(0.5, 1, 1500), 3), 1 + numbers / 1e4])
        high, low = elementary._log_pair(numbers, np.zeros_like(numbers))
        k = np.zeros(numbers.size, int)
    else:
        high, low, k = elementary._exp_pair(numbers, 0.0)
    with localcontext(exact_decimals(80)):
        for x, a, b, e in zip(
            numbers.tolist(), high.tolist(), low.tolist(), k.tolist(), strict=True
        ):
            true = exact(name, x)
            found = (Decimal(a) + Decimal(b)) * Decimal(2) ** e
            assert abs(found - true) <= abs(true) * Decimal(bound / 8), x


def test_few_numbers_are_undecided(monkeypatch):
    """Or a fill would take as long as `decimal`."""
    calls = []
    for name in (*NAMES, "power"):
        original = getattr(undecided, name)
        monkeypatch.setattr(
            undecided, name, lambda *x, f=original, n=name: (calls.append(n), f(*x))[1]
        )
    numbers = np.random.default_rng(5).uniform(0.01, 9, 2**17)
    for name in NAMES:
        getattr(elementary, name)(numbers)
    elementary.power(numbers, numbers[::-1].copy())
    assert len(calls) < 2**17 / 400


# ---- powers -------------------------------------------------------------------------------------

halves = st.integers(-40, 40).map(lambda n: n / 4)
bases = (
    st.floats(1e-30, 1e30)
    | st.integers(1, 200).map(float)
    | st.integers(1, 99).map(lambda n: float(n**4) / 2**12)
)


@settings(deadline=None, max_examples=400)
@given(bases, halves | st.floats(-30, 30))
@example(1.674682175362519e16, 19.0)  # less than a step beyond the largest number
@example(3.0263475422792164e16, -19.5)  # 85 of the smallest steps
@example(2.0**24, -44.75)  # one of them
@example(2.0**24, -44.8)  # less than half of one
def test_a_power_is_the_references(base, exponent):
    found = elementary.power(np.array([base]), np.array([exponent]))
    assert bits(found) == bits([reference.power(base, exponent)])
    assert bits(found) == bits([undecided.power(base, exponent)])


@settings(deadline=None, max_examples=200)
@given(st.integers(-60, 60), st.integers(-40, 40))
def test_a_power_of_whole_numbers_is_exact_and_rounded_once(base, exponent):
    if base == 0 and exponent < 0:
        return
    exact_power = Fraction(base) ** exponent
    found = elementary.power(np.array([float(base)]), np.array([float(exponent)]))[0]
    assert found == exact_power.numerator / exact_power.denominator


def test_powers_at_their_ends():
    rows = [
        *((0.0, 2.0, 0.0), (-0.0, 3.0, 0.0), (0.0, 0.0, 1.0), (INF, 0.0, 1.0), (1.0, 1e300, 1.0)),
        *((2.0, 1024.0, INF), (2.0, -1074.0, LEAST), (2.0, -1076.0, 0.0), (4.0, 0.5, 2.0)),
        *((-2.0, 1023.0, -(2.0**1023)), (LEAST, 0.5, 2.0**-537), (-1.0, 1e300, 1.0)),
        *((9007199254740993.0, 1.0, 9007199254740992.0), (3.0, 34.0, float(3**34))),
        (134217729.0, 2.0, float(134217729**2)),
    ]
    base, exponent, value = (np.array(column) for column in zip(*rows, strict=True))
    assert bits(elementary.power(base, exponent)) == bits(value)
    for x, y in ((0.0, -1.0), (-8.0, 1 / 3), (math.nan, 1.0), (INF, 2.0)):
        assert np.isnan(elementary.power(np.array([x]), np.array([y]))[0])


# ---- building blocks ----------------------------------------------------------------------------

numbers = st.floats(-1e100, 1e100).filter(lambda x: not 0 < abs(x) < 1e-100)


@given(numbers, numbers)
def test_sums_and_products_of_two_are_exact(a, b):
    for pair, exactly in (
        (two_sum(a, b), Fraction(a) + Fraction(b)),
        (two_product(a, b), Fraction(a) * Fraction(b)),
    ):
        assert Fraction(pair[0]) + Fraction(pair[1]) == exactly


ends = st.floats(-1e9, 1e9) | st.floats(-1e-290, 1e-290) | st.sampled_from([0.0, 1e300, -1e300])


@settings(deadline=None)
@given(ends, ends, st.integers(1, 40))
def test_a_line_is_the_exact_one_rounded_once(start, end, count):
    found = line(start, end, np.arange(float(count)), count)
    exactly = [
        Fraction(start) + (Fraction(end) - Fraction(start)) * i / max(count - 1, 1)
        for i in range(count)
    ]
    expected = [float(start)] if count == 1 else [n.numerator / n.denominator for n in exactly]
    assert found.tolist() == expected


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan(name):
    found = getattr(elementary, name)(np.array([math.nan, 0.5, -math.nan]))
    assert np.isnan(found[[0, 2]]).all()
    assert bits(found[1]) == bits(getattr(elementary, name)(np.array([0.5]))[0])


@pytest.mark.parametrize(("base", "exponent"), [(math.nan, 0.5), (0.5, math.nan), (-0.5, math.nan)])
def test_a_power_of_nan_is_nan(base, exponent):
    found = elementary.power(np.array([base, 2.0]), np.array([exponent, 0.5]))
    assert math.isnan(found[0])
    assert found[1] == math.sqrt(2.0)
