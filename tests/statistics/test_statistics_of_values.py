# SPDX-License-Identifier: MIT
"""CI's share of docs/quality.md: fastinit's values and words, and that every test has power.

A test fails once in 10**7 for values that are as they should be; all seeds are fixed.
"""

from __future__ import annotations

import cases
import numpy as np
import p_values
import pytest
import reference as ref
from counts import Counts, as_numpy
from laws import (
    CELLS,
    LARGEST,
    NORMAL,
    TAIL,
    TRUNCATED,
    UNIFORM,
    ascending,
    distance,
    keys,
    lower_borders,
    of_words,
    rounded,
)
from planted import DEFECTS, normals
from run import RATE
from scipy import stats

import fastinit as fi

LABELS = [case.label for case in [*cases.OURS, *cases.WORDS]]
RIGHT = ["numpy normal float32", "numpy normal float64", "numpy uniform float32"]


def judge(label, values):
    case = cases.CASES[label]
    failed = [one for one in case.judged(cases.sample(case, values)) if one.fails(RATE)]
    assert not failed, failed


# ---- what fastinit draws ------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["fastinit normal float32", "100 seeds in turn"])
def test_a_few_values_are_as_they_should_be(label):
    judge(label, 2_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_many_values_are_as_they_should_be(label):
    judge(label, 100_000_000 if label.startswith("fastinit") else 20_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("label", RIGHT)
def test_the_same_tests_pass_another_good_generator(label):
    judge(label, 20_000_000)


@pytest.mark.frameworks
@pytest.mark.parametrize("package", ["torch", "jax"])
def test_frameworks_draw_what_their_label_says(package, request):
    request.getfixturevalue(package)
    for case in cases.PEERS:
        if case.package == package:
            values = case.draw(case, 0)
            assert values.dtype == as_numpy(case.dtype)
            assert values.shape == (cases.PIECE,)
            mean, std = case.law.ideal.mean(), case.law.ideal.std()
            assert values.astype(np.float64).mean() == pytest.approx(mean, abs=0.02)
            assert values.astype(np.float64).std() == pytest.approx(std, rel=0.02)


# ---- the power of each test ---------------------------------------------------------------------


def by_test(values, dtype):
    expected, counts = rounded(NORMAL, dtype), Counts()
    counts.add(values, expected)
    return {one.test: one for one in p_values.results(counts, expected, p_values.SIGMAS)}


@pytest.mark.parametrize(("test", "draw", "dtype"), DEFECTS)
def test_a_planted_defect_is_noticed(test, draw, dtype):
    with np.errstate(invalid="ignore"):
        assert by_test(draw(), dtype)[test].fails(RATE)


def test_values_without_a_defect_pass():
    assert not [one for one in by_test(normals(), "float64").values() if one.fails(RATE)]


def test_every_test_has_a_planted_defect():
    def kind(test):
        lag, _, squares = test.partition(", ")
        return squares or lag.partition(" ")[0]

    names = {kind(test) for test in by_test(normals(2**14), "float64")}
    assert names == {kind(test) for test, *_ in DEFECTS}


def test_values_of_a_wrong_law_are_impossible():
    case = cases.CASES["fastinit truncated to [-2, 2] float32"]
    counts = Counts()
    counts.add(np.array([0.5, 2.1], np.float32), case.expected)
    assert p_values.impossible(counts, case.expected).fails(RATE)
    assert counts.lost == 0


@pytest.mark.slow
def test_p_values_are_uniform_for_values_that_are_as_they_should_be():
    expected, found = rounded(NORMAL, "float64"), {}
    generator = np.random.default_rng(14)
    for _ in range(200):
        counts = Counts()
        counts.add(generator.standard_normal(2**16), expected)
        for one in p_values.results(counts, expected, (3.0,)):
            found.setdefault(one.test, []).append(one.p)
    for test in found.keys() - {"impossible values", "beyond 3 sigma"}:  # these are discrete
        assert stats.kstest(found[test], "uniform").pvalue > 1e-5, test
    assert 0.3 < np.mean(found["beyond 3 sigma"]) < 0.7


@pytest.mark.parametrize(
    ("x", "chance"),
    # Marsaglia and Marsaglia, Journal of Statistical Software 9 (2), 2004.
    [(0.5, 0.253186), (1.9329578327, 0.90), (2.4923671600, 0.95), (3.8781250216, 0.99)],
)
def test_the_tail_of_anderson_darling_is_the_published_one(x, chance):
    assert 1 - p_values.anderson_darling_tail(x) == pytest.approx(chance, abs=1e-6)


def test_a_far_tail_keeps_its_digits():
    """The largest term of the sum, half a chi-square, has the tail."""
    assert p_values.anderson_darling_tail(20) == pytest.approx(4.465e-10, rel=0.01)
    assert p_values.anderson_darling_tail(61) == 0


# ---- cells and their chances --------------------------------------------------------------------


def test_cells_are_counted_from_the_lowest_to_the_highest():
    borders = lower_borders()
    inside = np.random.default_rng(15).standard_normal(20_000).astype(np.float32)
    near = np.concatenate(
        [borders, np.nextafter(borders, -LARGEST), np.nextafter(borders, LARGEST)]
    )
    values = np.concatenate([inside, 1e-6 * inside, near[np.abs(near) < LARGEST]])
    found = ascending(np.bincount(keys(values), minlength=CELLS))
    places = np.searchsorted(borders, values, side="right") - 1
    np.testing.assert_array_equal(found, np.bincount(places, minlength=len(borders)))


@pytest.mark.parametrize(
    ("law", "dtype"),
    [(law, "float32") for law in (NORMAL, UNIFORM, TRUNCATED, TAIL)] + [(NORMAL, "bfloat16")],
    ids=lambda value: getattr(value, "name", value),
)
def test_chances_are_those_of_the_words(law, dtype):
    """Every 16411th word, in any order, has nearly the chances of all words."""
    words = np.arange(0, 2**32, 16411, dtype=np.uint64).astype(np.uint32)
    values = np.sort(ref.map_words(words, law.reference, dtype).astype(np.float32))
    found = np.searchsorted(values, lower_borders()) / len(words)
    np.testing.assert_allclose(of_words(law, dtype).below[:-1], found, rtol=0, atol=8e-6)


@pytest.mark.parametrize("case", cases.OURS, ids=lambda case: case.label)
def test_the_expected_moments_are_scipys(case):
    found = case.expected
    spread = {"bfloat16": 2e-3}.get(case.dtype, 1e-5)
    assert found.cells.sum() == pytest.approx(1, abs=1e-12)
    assert found.mean == pytest.approx(case.law.ideal.mean(), abs=spread)
    assert found.std == pytest.approx(case.law.ideal.std(), rel=spread)


def test_the_stream_is_close_to_the_ideal_distributions():
    """So close that 10**13 values do not show it by Kolmogorov's test at 1 %."""
    for case in cases.OURS:
        if case.exact:
            assert 1e-9 < distance(case.law, case.dtype) < 5e-7


def test_a_piece_is_the_same_wherever_it_is_drawn():
    case = cases.CASES["fastinit normal bfloat16"]
    whole = fi.array(
        (2**61,),
        NORMAL.scheme,
        seed=cases.SEED,
        name=case.label,
        dtype="bfloat16",
        region=range(3 * cases.PIECE, 3 * cases.PIECE + 5),
    )
    np.testing.assert_array_equal(case.draw(case, 3)[:5], whole)


@pytest.mark.slow
def test_processes_count_what_one_process_counts():
    case = cases.CASES["numpy uniform float32"]
    with cases.pool(2) as executor:
        ours = cases.sample(case, 2 * cases.PIECE, executor)
    alone = cases.sample(case, 2 * cases.PIECE)
    assert ours.count == alone.count == 2 * cases.PIECE
    np.testing.assert_array_equal(ours.cells, alone.cells)
    np.testing.assert_array_equal(ours.products, alone.products)
