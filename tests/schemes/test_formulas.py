# SPDX-License-Identifier: MIT
"""Formulas: random ones against a second parser and evaluator, their intervals, and mistakes.

The grammar is that of docs/stream.md, section 17; reference_formulas.py is written from it.
"""

from __future__ import annotations

import math
import re
from random import Random

import numpy as np
import pytest
import reference_formulas as reference
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference_texts import Invalid

import fastinit as fi
from fastinit.schemes.formulas import FUNCTIONS, INDEX_OR_SIZE, X, formula_of
from fastinit.values.formulas import OPERATIONS, TILE, proven
from fastinit.values.intervals import INTERVALS, NotFiniteError

numbers = st.integers(0, 99).map(str) | st.floats(0, 1e3).map(lambda x: repr(abs(x)))
atoms = numbers | st.just("x") | st.just("pi")


def compound(inner):
    """Texts one level above `inner`."""
    one = st.tuples(st.sampled_from([n for n, count in FUNCTIONS.items() if count == 1]), inner)
    two = st.tuples(st.sampled_from(["minimum", "maximum"]), inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner).map(" ".join),
        st.tuples(st.sampled_from("+-"), inner).map("".join),
        one.map(lambda part: f"{part[0]}({part[1]})"),
        two.map(lambda part: f"{part[0]}({part[1]}, {part[2]})"),
        inner.map("({})".format),
    )


texts = st.recursive(atoms, compound, max_leaves=6)


@settings(deadline=None, max_examples=400)
@example("exp(log(x))", -1.0)
@given(texts, st.floats(-9, 9) | st.sampled_from([0.0, 1.0, 2.0**-25]))
def test_a_formula_has_the_references_value_at_every_number(text, x):
    node = reference.parse(" ".join(text.split()), "x")
    try:
        expected = reference.value(node, {"x": x})
    except (Invalid, ArithmeticError, ValueError, TypeError, AttributeError):
        expected = None  # no real or no finite number at some step
    with np.errstate(all="ignore"):
        found = formula_of(text, X).values({"x": np.array([x])})[0]
    if expected is not None:
        assert found == expected or (found == 0 == expected)


@settings(deadline=None, max_examples=300)
@given(texts, st.floats(-9, 9), st.floats(0, 3))
def test_an_interval_holds_the_values_inside(text, low, width):
    formula = formula_of(text, X)
    high = low + width
    try:
        least, most = formula.interval({"x": (low, high)})
    except NotFiniteError:
        return
    places = np.array([low, high, *np.linspace(low, high, 9)]).clip(low, high)
    with np.errstate(all="ignore"):
        found = formula.values({"x": places})
    assert np.isfinite(found).all()
    assert least <= found.min()
    assert found.max() <= most


def test_every_operation_has_an_interval():
    assert INTERVALS.keys() == OPERATIONS.keys()


def test_a_range_is_cut_until_all_is_proven():
    """0.9 - x + x**3 is above 0.5 on [0, 1], which one interval does not show."""
    formula = formula_of("log(0.9 - x + x * x * x)", X)
    with pytest.raises(NotFiniteError):
        formula.interval({"x": (0.0, 1.0)})
    low, high = proven(formula, {"x": (0.0, 1.0)})
    assert -9 < low <= math.log(0.9 - 0.3849) <= high < 0.7
    with pytest.raises(NotFiniteError, match="log of 0 is not finite") as caught:
        proven(formula_of("log(i0 * (i0 - 3))", INDEX_OR_SIZE), {"i0": (3.0, 9.0)}, whole=True)
    assert caught.value.at == {"i0": (3.0, 3.0)}


def test_what_occurs_twice_is_computed_once():
    formula = formula_of("exp(x) + log(1 + exp(x)) + exp( x )", X)
    assert [step[0] for step in formula.steps].count("exp") == 1


def test_tiles_make_no_difference():
    places = np.linspace(0.1, 9, 2 * TILE + 7)
    whole = np.empty(places.size)
    formula = formula_of("x ** 0.3 + 1", X)
    formula.fill(whole, {"x": places})
    assert (whole == formula.values({"x": places})).all()
    formula_of("7", X).fill(whole, {})
    assert (whole == 7).all()


def test_rounding_a_step_twice_is_not_what_happens():
    """Each operation is rounded by itself: 0.1 + 0.2 - 0.3 is not 0."""
    assert fi.array((1,), fi.scheme("table('0.1 + 0.2 - 0.3')"), seed=0, name="w")[0] > 0


MISTAKES = [
    ("", "cannot be read"),
    ("x +", r"formula 'x \+': cannot be read .*; use numbers, x, pi, \+ - .*maximum$"),
    ("y", "'y' is not known here; use numbers, x"),
    ("i0", "'i0' is not known here"),
    ("lgo(x)", r"'lgo\(x\)' is not allowed; use"),
    ("expp", "'expp' is not known here; did you mean 'exp"),
    ("exp(x, x)", r"'exp\(x, x\)' takes 1 arguments"),
    ("minimum(x)", r"'minimum\(x\)' takes 2 arguments"),
    ("exp(x=1)", "is not allowed"),
    ("x if x else x", "is not allowed"),
    ("x < 1", "is not allowed"),
    ("True", "'True' is not allowed"),
    ("x // 2", "'x // 2' is // or % of numbers that may have fractions; they take whole"),
    ("7.5 % 2", "may have fractions"),
    ("1e999", "'1e999' is beyond float64"),
    (f"1{'0' * 400}", "is beyond float64"),
    ("-" * 120 + "x", "nested too deeply"),
    ("x + " * 300 + "x", "characters are too many"),
    ("x\N{MULTIPLICATION SIGN}2", "only printable ASCII"),
    ("'x'", "is not allowed"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_text_that_is_no_formula_is_explained(text, words):
    with pytest.raises(ValueError, match=words):
        fi.schemes.mapped(fi.normal(), text)


def test_a_formula_that_is_no_text_is_explained():
    with pytest.raises(
        TypeError, match=r"^expression is 3: need a formula in quotes, such as 'log\(x"
    ):
        fi.schemes.mapped(fi.normal(), 3)
    with pytest.raises(TypeError, match=r"need a formula in quotes, such as 'i0 / n0'$"):
        fi.schemes.table(None)


REFUSED = [
    (
        "log(x)",
        "log of -6.4 is not finite, as where x is -6.4; here x is a number from -6.4 to 6.4",
    ),
    ("1 / x", "divide of 1 and .* is not finite"),
    ("exp(1000 * x)", "exp of .* is not finite"),
    ("sqrt(x)", "sqrt of -6.4"),
    ("x ** 0.5", "power of .* and 0.5"),
    ("x ** -1", "power of"),
    ("log1p(x)", "log1p of -6.4"),
    ("1e308 * x * x", "multiply of"),
    ("1 / 0", "divide of 1 and 0 is not finite, as where x is"),
    ("7 // 0", "floor_divide of 7 and 0"),
    ("7 % (1 - 1)", "remainder of 7 and 0"),
    ("9007199254740994 % 2", "remainder of"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_a_formula_that_may_not_be_finite_is_refused_before_anything_is_drawn(text, words):
    scheme = fi.schemes.mapped(fi.normal(), text)
    out = np.full(3, 7, np.float32)
    words = f"^the formula may have no finite value: {words}.*: keep it away from there by maximum"
    with pytest.raises(ValueError, match=words):
        fi.fill(out, scheme, seed=0, name="w")
    assert (out == 7).all()


SIZES = {"layers": 48, "half": 0.5, "x": 3, "exp": 4, "minus": -2, "inf": math.inf, "pi": 5}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("x * layers", "x * 48"),
        ("x*half + exp(x)/pi", "x*0.5 + exp(x)/pi"),
        ("  x **\\tminus ".replace("\\t", " "), "x ** (-2)"),
        ("1e5 * x + 2.5e-3", "1e5 * x + 2.5e-3"),
        ("layers - layers // 7 * x", "48 - 48 // 7 * x"),
    ],
)
def test_sizes_in_a_formula_become_numbers(text, plain):
    scheme = fi.scheme(f"mapped(uniform(1, 2), '{text}')", SIZES)
    assert dict(scheme.arguments)["expression"] == plain
    assert fi.scheme(str(scheme)) == scheme


def test_an_infinite_size_is_no_number_of_a_formula():
    with pytest.raises(ValueError, match="'inf' is not known here"):
        fi.scheme("mapped(uniform(1, 2), 'x * inf')", SIZES)


# ---- texts of the grammar -----------------------------------------------------------------------

PIECES = [*"x0123456789.+-*/%(),eE ", "**", "//", "pi", "i0", *(f"{name}(" for name in FUNCTIONS)]


def outcome(read):
    try:
        read()
    except (ValueError, TypeError):
        return False
    return True


def test_both_parsers_take_the_same_texts():
    random, taken = Random(0), 0
    for _ in range(4000):
        text = "".join(random.choice(PIECES) for _ in range(random.randrange(1, 7)))
        text = " ".join(text.split())
        if re.search(r"(?<![\w.])0\d|\d(?=[A-Za-z(])|\d \d|j", text):
            continue  # Python's own spellings and warnings
        ours = outcome(lambda t=text: formula_of(t, X))
        assert ours == outcome(lambda t=text: reference.parse(t, "x")), text
        taken += ours
    assert taken > 200
