# SPDX-License-Identifier: MIT
"""Schemes as values: the text form both ways, pickles, hashes, equality.

What the texts mean is in test_schemes.py, what may stand in them in test_expressions.py.
"""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from scheme_calls import EVERY_CALL, every_call, scheme_from, text_of

import fastinit as fi
from fastinit.schemes import scheme as scheme_of
from fastinit.schemes.registry import SCHEMES


def test_every_scheme_function_is_tested_here():
    assert set(SCHEMES) == set(EVERY_CALL)


@settings(deadline=None)
@given(every_call)
def test_the_text_form_gives_the_scheme_back(call):
    name, arguments = call
    made = scheme_from(name, arguments)
    again = scheme_of(text_of(made))
    assert again == made
    assert hash(again) == hash(made)
    assert text_of(again) == text_of(made)
    assert again.name == name


@pytest.mark.parametrize(
    "text",
    [
        "truncated_normal(low=0, high=inf)",
        "truncated_normal(low=-inf, high=inf)",
        "clipped_normal(low=-inf, high=1)",
    ],
)
def test_a_text_may_hold_an_infinite_bound(text):
    assert text_of(fi.scheme(text)) == text


@settings(deadline=None)
@given(every_call)
def test_a_pickle_gives_the_scheme_back(call):
    name, arguments = call
    made = scheme_from(name, arguments)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert again == made
        assert hash(again) == hash(made)


def test_a_pickle_has_the_same_scale():
    for layout, shape in (("torch", (7, 5)), ("keras", (3, 3, 16, 32))):
        made = fi.variance_scaling(1 / 3, "fan_geo_avg", "uniform", layout=layout)
        again = pickle.loads(pickle.dumps(made))
        assert again.distribution(shape) == made.distribution(shape)


@settings(deadline=None)
@given(every_call)
def test_a_default_argument_makes_no_difference(call):
    name, arguments = call
    maker = getattr(fi.schemes, name)
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(maker).parameters.items()
        if parameter.default is not parameter.empty
    }
    full = scheme_from(name, {**defaults, **arguments})
    assert full == scheme_from(name, arguments)
    assert text_of(full) == text_of(scheme_from(name, arguments))
    for key, value in full.arguments:
        assert key not in defaults or value != defaults[key]


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (fi.normal(), "normal()"),
        (fi.normal(0.02), "normal(std=0.02)"),
        (fi.normal(std=1, mean=-0.0), "normal()"),
        (fi.normal(mean=3), "normal(mean=3)"),
        (fi.uniform(0, 1), "uniform(low=0, high=1)"),
        (fi.uniform(-0.0, 0.1), "uniform(low=0, high=0.1)"),
        (fi.constant(1e22), "constant(value=1e+22)"),
        (fi.constant(5e-324), "constant(value=5e-324)"),
        (fi.truncated_normal(0.02, low=-3, high=3), "truncated_normal(std=0.02, low=-3, high=3)"),
        (fi.clipped_normal(corrected=True), "clipped_normal(corrected=True)"),
        (fi.he_normal(layout="keras"), "he_normal(layout='keras')"),
        (
            fi.he_normal(in_axis=2, out_axis=[1], batch_axis=(0,)),
            "he_normal(in_axis=2, out_axis=(1,), batch_axis=(0,))",
        ),
        (fi.kaiming_uniform(a=math.sqrt(5)), f"kaiming_uniform(a={math.sqrt(5)!r})"),
        (fi.xavier_normal(gain=fi.schemes.gain("tanh")), f"xavier_normal(gain={5 / 3!r})"),
    ],
)
def test_the_text_form_is_short_and_plain(scheme, text):
    assert text_of(scheme) == text
    assert fi.scheme(text) == scheme


def test_numpys_numbers_are_as_good_as_pythons():
    assert fi.normal(np.float64(0.5), mean=np.int32(2)) == fi.normal(0.5, mean=2)
    assert fi.normal(np.float32(0.02)) == fi.normal(float(np.float32(0.02)))
    assert text_of(fi.normal(np.float64(0.5))) == "normal(std=0.5)"


@pytest.mark.parametrize("axis", [np.int64(1), (np.int64(1),), range(1, 2), np.array([1])])
def test_every_kind_of_axis_has_a_text_form_and_a_hash(axis):
    """Or else a checkpoint would record a recipe that nobody can read."""
    made = fi.he_normal(in_axis=axis, out_axis=0)
    assert made.distribution((5, 3)) == fi.he_normal().distribution((5, 3))
    assert fi.scheme(text_of(made)) == made
    assert hash(pickle.loads(pickle.dumps(made))) == hash(made)


def test_numpys_texts_have_a_text_form():
    made = fi.kaiming_normal(mode=np.str_("fan_out"), layout=np.str_("keras"))
    assert fi.scheme(text_of(made)) == fi.kaiming_normal(mode="fan_out", layout="keras")


def test_schemes_that_differ_are_not_equal():
    different = [
        fi.normal(0.02),
        fi.normal(0.03),
        fi.truncated_normal(0.02),
        fi.truncated_normal(0.02, corrected=True),
        fi.clipped_normal(0.02),
        fi.he_normal(),
        fi.he_normal(layout="keras"),
        fi.he_uniform(),
        fi.kaiming_uniform(),
        fi.lecun_normal(),
        fi.zeros(),
        fi.ones(),
        fi.constant(0),
    ]
    assert len(set(different)) == len(different)
    assert fi.normal(0.02) != "normal(std=0.02)"
    assert fi.normal(0.02) == fi.normal(std=0.02, mean=0)


def test_a_scheme_cannot_be_changed():
    with pytest.raises(AttributeError):
        fi.normal(0.02).name = "uniform"


def test_a_scheme_passes_through_scheme():
    made = fi.he_normal()
    assert fi.scheme(made) is made


def test_a_text_takes_positional_arguments_arithmetic_and_names():
    assert fi.scheme("normal(0.02)") == fi.normal(0.02)
    assert fi.scheme("uniform(-1/4, 1/4)") == fi.uniform(-0.25, 0.25)
    sizes = {"layers": 50, "width": 1024}
    assert fi.scheme("normal(0.02 / sqrt(2 * layers))", sizes) == fi.normal(0.002)
    assert fi.scheme("normal(std=1/sqrt(width))", sizes) == fi.normal(1 / 32)
    assert fi.scheme("he_normal") == fi.scheme("he_normal()") == fi.he_normal()


def test_a_scheme_function_says_that_it_returns_a_scheme():
    for name in EVERY_CALL:
        assert "Scheme" in str(inspect.signature(getattr(fi.schemes, name)).return_annotation), name


def test_a_text_too_long_to_be_read_back_is_refused():
    with pytest.raises(ValueError, match=r"he_normal\(packed=.* has 1218 characters.*at most 1000"):
        fi.he_normal(packed=(1024,) * 200)
