# SPDX-License-Identifier: MIT
"""Schemes and fans asked for in a wrong way: every message says what, why, and what would work."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import fastinit as fi

INF = math.inf
SCALED = [
    f"{name}_{kind}"
    for name in ("xavier", "kaiming", "glorot", "he", "lecun")
    for kind in ("uniform", "normal")
] + ["variance_scaling"]

NAN = math.nan
MISTAKES = [
    (fi.normal, (-1,), {}, ValueError, "std is -1.0: need std >= 0"),
    (fi.normal, (NAN,), {}, ValueError, "std is nan: need a finite number"),
    (fi.normal, (INF,), {}, ValueError, "std is inf: need a finite number"),
    (fi.normal, (1, NAN), {}, ValueError, "mean is nan"),
    (fi.normal, (1, -INF), {}, ValueError, "mean is -inf"),
    (fi.normal, ("0.02",), {}, TypeError, "std is '0.02': need a number"),
    (fi.normal, (None,), {}, TypeError, "std is None: need a number"),
    (fi.normal, (True,), {}, TypeError, "std is True: need a number"),
    (fi.normal, (np.True_,), {}, TypeError, "std is np.True_: need a number"),
    (fi.normal, (1j,), {}, TypeError, "std is 1j: need a number"),
    (fi.normal, ([0.02],), {}, TypeError, r"std is \[0.02\]: need a number"),
    (fi.normal, (np.array([0.02, 1.0]),), {}, TypeError, "std is .*need a number"),
    (fi.normal, (10**400,), {}, ValueError, "std is .*need a finite number"),
    (fi.normal, (0, 0.02), {}, TypeError, r"normal\(std=1.0, .*mean=0.0\): too many positional"),
    (fi.truncated_normal, (0, 0.02, -2, 2), {}, TypeError, "too many positional"),
    (fi.kaiming_normal, (NAN,), {"nonlinearity": "relu"}, ValueError, "a is nan: need a finite"),
    (fi.normal, (b"0.5",), {}, TypeError, "std is b'0.5': need a number"),
    (fi.normal, (), {"sd": 1}, TypeError, r"normal\(.*'sd'"),
    (fi.uniform, (), {}, TypeError, r"uniform\(.*'low'"),
    (fi.uniform, (1,), {}, TypeError, r"uniform\(.*'high'"),
    (fi.uniform, (1, 0), {}, ValueError, "low is 1.0 and high 0.0: need low <= high"),
    (fi.uniform, (NAN, 0), {}, ValueError, "low is nan"),
    (fi.uniform, (0, INF), {}, ValueError, "high is inf: need a finite number"),
    (fi.uniform, ("0", 1), {}, TypeError, "low is '0': need a number"),
    (fi.constant, (), {}, TypeError, "value"),
    (fi.constant, (NAN,), {}, ValueError, "value is nan: need a finite number"),
    (fi.constant, (INF,), {}, ValueError, "value is inf"),
    (fi.constant, ("1",), {}, TypeError, "value is '1': need a number"),
    (fi.zeros, (1,), {}, TypeError, r"zeros\("),
    (fi.ones, (1,), {}, TypeError, r"ones\("),
    (fi.truncated_normal, (13.0, 0, 14, 20), {}, ValueError, "at most 13 sigma"),
    (fi.truncated_normal, (1, 0, -INF, -13.5), {}, ValueError, "at most 13 sigma"),
    (fi.truncated_normal, (1, 0, 0, 2**-11), {}, ValueError, "narrower than.*use uniform"),
    (fi.clipped_normal, (1, 0, 50, 60, True), {}, ValueError, "every value lies on one bound"),
    (fi.clipped_normal, (1, 0, -INF, -50, True), {}, ValueError, "every value lies on one bound"),
    (fi.xavier_uniform, (-1,), {}, ValueError, "gain is -1.0: need a finite number >= 0"),
    (fi.xavier_uniform, (NAN,), {}, ValueError, "gain is nan"),
    (fi.xavier_normal, (INF,), {}, ValueError, "gain is inf"),
    (fi.xavier_normal, ("relu",), {}, TypeError, "gain is 'relu': need a number"),
    (fi.kaiming_normal, (NAN,), {}, ValueError, "nan"),
    (fi.kaiming_normal, ("x",), {}, TypeError, "a is 'x': need a number"),
    (
        fi.kaiming_uniform,
        (),
        {"mode": "fan_avg"},
        ValueError,
        "choose from fan_in, fan_out; variance",
    ),
    (fi.kaiming_uniform, (), {"mode": None}, ValueError, "mode None is unknown"),
    (fi.kaiming_normal, (), {"nonlinearity": "gelu"}, ValueError, "choose from linear, .*selu"),
    (fi.variance_scaling, (-1,), {}, ValueError, "scale is -1.0: need a finite number >= 0"),
    (fi.variance_scaling, (NAN,), {}, ValueError, "scale is nan"),
    (fi.variance_scaling, (INF,), {}, ValueError, "scale is inf"),
    (fi.variance_scaling, ("2",), {}, TypeError, "scale is '2': need a number"),
    (
        fi.variance_scaling,
        (1, "fan"),
        {},
        ValueError,
        "mode 'fan' is unknown: choose from fan_in, fan_out, fan_avg, fan_geo_avg",
    ),
    (
        fi.variance_scaling,
        (1, "fan_in", "gauss"),
        {},
        ValueError,
        "distribution 'gauss' is unknown: choose from truncated_normal, normal, untrunc",
    ),
]
for _bounded in (fi.truncated_normal, fi.clipped_normal):
    MISTAKES += [
        (_bounded, (-1,), {}, ValueError, "std is -1.0: need std >= 0"),
        (_bounded, (INF,), {}, ValueError, "std is inf"),
        (_bounded, (1, NAN), {}, ValueError, "mean is nan"),
        (_bounded, (1, 0, 2, -2), {}, ValueError, "low is 2.0 and high -2.0: need low < high"),
        (_bounded, (1, 0, 2, 2), {}, ValueError, "need low < high"),
        (_bounded, (1, 0, NAN, 2), {}, ValueError, "need low < high"),
        (_bounded, (1, 0, -2, NAN), {}, ValueError, "need low < high"),
        (_bounded, (1, 0, INF, INF), {}, ValueError, "need low < high"),
        (_bounded, (1, 0, "-2", 2), {}, TypeError, "low is '-2': need a number"),
        (_bounded, (), {"corrected": 1}, TypeError, "corrected is 1: need True or False"),
        (_bounded, (), {"corrected": "yes"}, TypeError, "corrected is 'yes'"),
        (_bounded, (), {"corrected": None}, TypeError, "corrected is None"),
    ]
for _name in SCALED:
    _scaled = getattr(fi, _name)
    MISTAKES += [
        (_scaled, (), {"layout": "pytorch"}, ValueError, "'pytorch' is unknown: choose from torch"),
        (_scaled, (), {"layout": None}, ValueError, "layout None is unknown"),
        (_scaled, (), {"in_axis": 1}, ValueError, "in_axis and out_axis go together"),
        (_scaled, (), {"out_axis": 0}, ValueError, "in_axis and out_axis go together"),
    ]


def named(row):
    """An id that reads as the call."""
    arguments = [repr(value)[:20] for value in row[1]]
    arguments += [f"{key}={value!r}" for key, value in row[2].items()]
    return f"{row[0].__name__}({', '.join(arguments)})"


@pytest.mark.parametrize(
    ("maker", "args", "kwargs", "error", "words"), MISTAKES, ids=[named(row) for row in MISTAKES]
)
def test_a_wrong_argument_is_explained(maker, args, kwargs, error, words):
    if maker in (fi.normal, fi.truncated_normal, fi.clipped_normal) and "positional" not in words:
        names = ("std", "mean", "low", "high", "corrected")  # all but the first go by name alone
        args, kwargs = (), {**dict(zip(names, args, strict=False)), **kwargs}
    with pytest.raises(error, match=words):
        maker(*args, **kwargs)


AXIS_MISTAKES = [
    ({"in_axis": 1.5, "out_axis": 0}, TypeError, "axis.*1.5"),
    ({"in_axis": "x", "out_axis": 0}, TypeError, "axis.*'x'"),
    ({"in_axis": 1, "out_axis": (0, None)}, TypeError, "axis.*None"),
    ({"in_axis": 1, "out_axis": (True,)}, TypeError, "axis.*True"),
    ({"batch_axis": None}, TypeError, "axis.*None"),
    ({"in_axis": 1, "out_axis": 0, "batch_axis": True}, TypeError, "axis.*True"),
    ({"in_axis": 0, "out_axis": 0}, ValueError, "twice"),
    ({"in_axis": (1, 1), "out_axis": 0}, ValueError, "twice"),
    ({"in_axis": 1, "out_axis": 0, "batch_axis": -1}, ValueError, "twice"),
    ({"in_axis": 2, "out_axis": 0}, ValueError, "axis 2 does not exist"),
]


@pytest.mark.parametrize(("axes", "error", "words"), AXIS_MISTAKES)
@pytest.mark.parametrize("name", ["he_normal", "variance_scaling", "xavier_uniform"])
def test_a_wrong_axis_is_explained_by_the_time_it_meets_a_shape(name, axes, error, words):
    with pytest.raises(error, match=words):
        getattr(fi, name)(**axes).distribution((4, 3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("norml(1)", "no scheme is named 'norml'; did you mean 'normal'"),
        ("he_norm", "did you mean 'he_normal'"),
        ("xavier", "did you mean 'xavier_normal' or 'xavier_uniform'"),
        ("kaiming_normal_()", "did you mean 'kaiming_normal'"),
        ("trunc_normal(0.02)", "did you mean 'truncated_normal'"),
        ("zzzzz", "choose from auto, .*glorot_normal, .*zeros"),
        ("normal(std=-1)", "std is -1.0: need std >= 0"),
        ("normal(std='a')", "std is 'a': need a number"),
        ("normal(sd=1)", "'sd'"),
        ("uniform(1)", "'high'"),
        ("truncated_normal(corrected=1)", "need True or False"),
        ("he_normal(layout='x')", "choose from torch, keras"),
        ("normal(std=0.02", "cannot be read"),
        ("normal(__import__('os'))", "not allowed"),
        ("normal(layers)", "unknown size 'layers'"),
        ("", "cannot be read"),
    ],
)
def test_a_wrong_text_is_quoted_and_explained(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        fi.scheme(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("given", [None, 3, 0.02, b"zeros()", ["zeros()"], fi.zeros])
def test_a_scheme_that_is_no_text_is_refused(given):
    with pytest.raises((TypeError, ValueError), match=re.escape(repr(given))):
        fi.scheme(given)


FANS_MISTAKES = [
    ((5,), {}, ValueError, r"shape \(5,\) has no fans.*\(out, in\).*zeros\(\)"),
    ((), {}, ValueError, r"shape \(\) has no fans"),
    ((5,), {"layout": "jax"}, ValueError, r"\(in, out\)"),
    ((3, 4), {"batch_axis": 0}, ValueError, "no fans"),
    ((3, 4), {"layout": "pytorch"}, ValueError, "'pytorch' is unknown: choose from torch, keras"),
    ((3, 4), {"layout": "flax"}, ValueError, "choose from torch, keras, jax"),
    ((3, 4), {"in_axis": 0}, ValueError, "give both or neither"),
    ((3, 4), {"out_axis": 0}, ValueError, "give both or neither"),
    ((3, 4), {"in_axis": 0, "out_axis": 0}, ValueError, "twice"),
    ((3, 4), {"in_axis": 0, "out_axis": -2}, ValueError, "twice"),
    ((3, 4, 5), {"in_axis": 0, "out_axis": 1, "batch_axis": 1}, ValueError, "twice"),
    ((3, 4, 5), {"in_axis": (0, 0), "out_axis": 1}, ValueError, "twice"),
    ((3, 4), {"in_axis": 2, "out_axis": 0}, ValueError, "axis 2 does not exist.*2 axes"),
    ((3, 4), {"in_axis": 0, "out_axis": -3}, ValueError, "axis -3 does not exist"),
    ((3, 4, 5), {"batch_axis": 7}, ValueError, "axis 7 does not exist"),
    ((3, 4), {"in_axis": (0.5,), "out_axis": 0}, TypeError, "axis.*0.5.*integer"),
    ((3, 4), {"in_axis": (True,), "out_axis": 0}, TypeError, "axis.*True.*integer"),
    ((3, 4), {"in_axis": "x", "out_axis": 0}, TypeError, "axis.*'x'.*integer"),
    ((3, 4), {"in_axis": 1.5, "out_axis": 0}, TypeError, "axis.*1.5"),
    ((3, 4), {"batch_axis": None}, TypeError, "axis.*None"),
    ((-1, 4), {}, ValueError, "axis of -1: need integers >= 0"),
    ((2.0, 4), {}, ValueError, "axis of 2.0: need integers"),
    ((True, 4), {}, ValueError, "axis of True: need integers"),
    ("ab", {}, TypeError, "shape is 'ab': need integers"),
    (None, {}, TypeError, "shape is None: need integers"),
    ((2**40, 2**30), {}, ValueError, r"2\*\*63 elements or more"),
    ((2**40, 0, 2**30), {}, ValueError, r"2\*\*63 elements or more"),
]


@pytest.mark.parametrize(("shape", "axes", "error", "words"), FANS_MISTAKES)
def test_a_wrong_argument_of_fans_is_explained(shape, axes, error, words):
    with pytest.raises(error, match=words):
        fi.fans(shape, **axes)


@pytest.mark.parametrize(
    ("make", "good", "bad"),
    [
        (fi.normal, {"std": 1}, {"std": True}),
        (fi.he_normal, {"groups": 1}, {"groups": True}),
        (fi.he_normal, {"batch_axis": (0,)}, {"batch_axis": (False,)}),
        (fi.he_normal, {"transposed": False}, {"transposed": 0}),
    ],
)
def test_a_mistake_is_one_even_where_its_equal_was_made_before(make, good, bad):
    assert make(**good) == make(**good)
    with pytest.raises((TypeError, ValueError)):
        make(**bad)


def test_a_scheme_checks_each_shape_even_where_its_equal_was_asked_before():
    scheme = fi.normal(std=1.0)
    assert scheme.distribution((1, 2)) == scheme.distribution((1, 2))
    with pytest.raises(ValueError, match="shape has an axis of True"):
        scheme.distribution((True, 2))
