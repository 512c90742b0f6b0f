# SPDX-License-Identifier: MIT
"""Tables and even logarithms: formulas, seeds and names that do not matter, moments, mistakes.

Bits are in test_vectors.py, regions in test_matrix_regions.py, models in
tests/frameworks/test_framework_computed.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from fills import DTYPES, made, same

import fastinit as fi
from fastinit.schemes import (
    inverse_softplus_log_uniform,
    linspace,
    literal,
    log_arange,
    log_uniform,
    mapped,
    sinusoid,
    table,
)

TABLES = [
    (linspace(-1, 2, axis=0), (5, 3)),
    (log_arange(2, 0.5), (5, 3)),
    (sinusoid("halves"), (5, 6)),
    (sinusoid("interleaved", base=3, endpoint=True), (5, 7)),
    (literal(((1, 2, 3), (4, 5, 6.5))), (2, 3)),
    (table("i0 * n1 + i1"), (5, 3)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("scheme", "shape"), TABLES)
def test_a_table_is_the_same_under_every_seed_and_name(scheme, shape, dtype):
    found = made(shape, scheme, dtype=dtype)
    assert same(found, fi.array(shape, scheme, seed=9, name="other", dtype=dtype))
    if dtype != "float64":
        assert same(found, made(shape, scheme).astype(found.dtype))


@pytest.mark.parametrize(("scheme", "shape"), [*TABLES, (linspace(3, 3), (1,)), (literal(7), ())])
def test_the_moments_of_a_table_are_those_of_its_values(scheme, shape):
    values, found = made(shape, scheme, dtype="float64"), scheme.distribution(shape)
    assert found.mean == pytest.approx(values.mean(), rel=1e-13, abs=1e-15)
    assert found.std == pytest.approx(values.std(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("scheme", "shape"), [(table("i0"), (0, 3)), (literal(()), (0,))])
def test_a_table_without_elements(scheme, shape):
    assert made(shape, scheme).size == 0
    assert scheme.distribution(shape).mean == 0


def test_evenly_spaced_numbers_are_numpys_to_rounding():
    for count in (1, 2, 3, 50):
        expected = np.linspace(0.3, 7, count)
        np.testing.assert_allclose(
            made((count,), linspace(0.3, 7), dtype="float64"), expected, 1e-15
        )


def test_a_table_far_out_takes_its_part_alone():
    shape = (2**40, 2**12)
    region = np.s_[2**40 - 1, 5:7]
    found = made(shape, table("i0 - i1"), region=region, dtype="float64")
    assert found.tolist() == [2**40 - 6, 2**40 - 7]
    found = made(shape, sinusoid("halves"), region=region, dtype="float64")
    frequency = [10000.0 ** (-2 * j / 2**12) for j in (5, 6)]
    np.testing.assert_allclose(found, np.sin((2**40 - 1) * np.array(frequency)), atol=1e-3)


MISTAKES = [
    (lambda: made((3,), linspace(0, 1, axis=1)), r"linspace: axis is 1, but shape \(3,\) has 1"),
    (lambda: made((), log_arange()), r"log_arange: axis is -1, but shape \(\) has 0 axes"),
    (lambda: linspace(0, math.inf), "end is inf: need a finite number"),
    (lambda: linspace(math.nan, 0), "start is nan: need a finite number"),
    (lambda: log_arange(step=math.inf), "step is inf: need a finite number"),
    (lambda: log_arange(start=-math.inf), "start is -inf: need a finite number"),
    (lambda: made((3,), log_arange(2, -1)), "log of 0 is not finite, as where i0 is 2"),
    (lambda: sinusoid("whisper"), "kind 'whisper' is unknown: choose from halves, interleaved"),
    (lambda: sinusoid("halves", base=0), "base is 0.0: need a finite number > 0"),
    (lambda: made((3,), sinusoid("halves")), r"shape \(3,\) has 1 axes: sinusoid needs"),
    (lambda: made((3, 3), sinusoid("halves", endpoint=True)), "needs a width of 4 or more"),
    (
        lambda: made((3, 4), sinusoid("halves", padding=3)),
        "padding is 3: .* has 3 rows, so need -3",
    ),
    (lambda: literal(((1,), 2)), r"values has items of the shapes \(\), \(1,\) side by side"),
    (lambda: literal((1, math.inf)), "values is inf: need a finite number"),
    (lambda: literal((0.12345678901234,) * 99), "at most 1000 can be read back"),
    (lambda: made((3,), literal((1, 2))), r"shape \(3,\): the values of literal have shape \(2,\)"),
    (lambda: made((1,), literal((1e39,))), "the table can reach 1e\\+39, beyond float32's"),
    (lambda: made((3,), table("i1")), r"shape \(3,\) has 1 axes: the formula 'i1' needs 2"),
    (lambda: made((1,), table("i0 / (n0 - 1)")), "divide of 0 and 0 is not finite"),
    (lambda: made((9,), table("1e9 * i0"), dtype="float16"), "the table can reach 8e\\+09, beyond"),
    (lambda: log_uniform(0, 1), "low is 0.0: need a finite number > 0"),
    (lambda: log_uniform(2, 1), "low is 2.0 and high 1.0: need low <= high"),
    (lambda: inverse_softplus_log_uniform(1, math.inf), "high is inf: need a finite number > 0"),
    (lambda: inverse_softplus_log_uniform(1, 2, -1), "floor is -1.0: need a finite number >= 0"),
]


@pytest.mark.parametrize(("call", "words"), MISTAKES)
def test_a_table_that_cannot_be_is_explained(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_values_that_are_no_numbers_are_explained():
    for values in ("1", None, (1, "2"), [True]):
        with pytest.raises(TypeError, match=r"^values is .*: need a number"):
            literal(values)


def test_lists_and_arrays_of_numbers_are_as_good_as_tuples():
    assert literal([[1, 2]]) == literal(np.array([[1.0, 2.0]])) == literal(((1, 2),))
    assert str(literal([[1, 2.5]])) == "literal(values=((1, 2.5),))"


# ---- even logarithms ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_with_even_logarithms_lie_within_their_bounds(dtype):
    found = made((20_000,), log_uniform(0.001, 0.1), dtype=dtype)
    assert found.dtype.type(0.001) <= found.min() < 0.00101
    assert 0.099 < found.max() <= found.dtype.type(0.1)
    logs = np.log(found.astype(float))
    assert abs(np.mean(logs < math.log(0.01)) - 0.5) < 0.02


def test_they_are_the_mapped_uniform_that_the_page_says():
    low, high = 0.001, 0.1
    base = fi.uniform(math.log(low), math.log(high))
    plain = mapped(base, f"maximum(minimum(exp(x), {high}), {low})")
    assert same(made((50,), log_uniform(low, high)), made((50,), plain))
    t = "maximum(minimum(exp(x), 0.1), 0.02)"
    bias = mapped(base, f"{t} + log(-expm1(-{t}))")
    ours = inverse_softplus_log_uniform(low, high, floor=0.02)
    assert same(made((50,), ours), made((50,), bias))
    softplus = np.log1p(np.exp(made((500,), ours, dtype="float64")))
    assert softplus.min() == pytest.approx(0.02, rel=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.1), (1, 1.0000001), (3, 3), (1e-300, 1e300)])
def test_the_moments_of_even_logarithms_are_exact(low, high):
    found = log_uniform(low, high).distribution((1,))
    if low == high:
        assert (found.mean, found.std) == (3, 0)
        return
    mean = (high - low) / (math.log(high / low) if high < 1e200 else 600 * math.log(10))
    assert found.mean == pytest.approx(mean, rel=1e-7 if low == 1 else 1e-14)
    if low == 1:
        assert found.std == pytest.approx(1e-7 / math.sqrt(12), rel=1e-6)
    assert low <= found.mean <= high
