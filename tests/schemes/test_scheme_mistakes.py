# SPDX-License-Identifier: MIT
"""A wrong argument of a scheme: the message says what was given, why it cannot work, what would."""

from __future__ import annotations

import inspect
import math
import re

import numpy as np
import pytest

import fastinit as fi
from fastinit.schemes.registry import SCHEMES

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
    (fi.clipped_normal, (1, 0, 55, 60, True), {}, ValueError, "has the std 0, so for std=1.0 the"),
    (fi.clipped_normal, (1, 0, -INF, -60, True), {}, ValueError, "move the bounds towards the mea"),
    (fi.clipped_normal, (0, 0, 99, INF, True), {}, ValueError, "has the std 0, so for std=0.0"),
    (
        fi.clipped_normal,
        (1, 0, 0, 5e-324, True),
        {},
        ValueError,
        "high 5e-324: .* or farther apart",
    ),
    (fi.clipped_normal, (1e9, 0, 53.5, 60, True), {}, ValueError, "the std .*e-3.*a smaller std"),
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
    _scaled = getattr(fi.schemes, _name)
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
        getattr(fi.schemes, name)(**axes).distribution((4, 3))


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
        ("normal(__import__('os'))", "no scheme is named '__import__'"),
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


# --- mistakes of those who come from a framework ------------------------------------------------


def met(scheme, *dims):
    """The mistake is in the shape that a scheme meets."""
    return lambda: scheme.distribution(dims)


NONLINEARITIES = (
    "linear, identity, conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, "
    "conv_transpose3d, sigmoid, tanh, relu, leaky_relu, selu"
)
NO_FANS = r"need an input and an output axis, as in {}.*bias use zeros\(\) or constant\(\)"
OUT_IN, IN_OUT = NO_FANS.format(r"\(out, in\)"), NO_FANS.format(r"\(in, out\)")
# What is done; then, of the message, what was given and what would work, in either order.
FRAMEWORK_MISTAKES = {
    # sparsity
    "negative sparsity": (lambda: fi.sparse(-0.1), "sparsity is -0.1", "0 <= sparsity <= 1"),
    "sparsity in percent": (lambda: fi.sparse(10), "sparsity is 10.0", "share of zeros"),
    "sparse convolution": (met(fi.sparse(0.1), 8, 4, 3), r"\(8, 4, 3\)", "needs .rows, columns."),
    # gains
    "unknown nonlinearity": (
        lambda: fi.schemes.gain("gelu"),
        "'gelu' is unknown",
        f"{NONLINEARITIES}$",
    ),
    "class for function": (lambda: fi.schemes.gain("ReLU"), "'ReLU' is unknown", "relu"),
    "unknown in kaiming": (
        lambda: fi.kaiming_uniform(nonlinearity="silu"),
        "'silu' is unknown",
        f"{NONLINEARITIES}$",
    ),
    "a slope for relu": (lambda: fi.schemes.gain("relu", 0.1), "'relu' takes no param", "0.1"),
    "nonlinearity as gain": (lambda: fi.xavier_normal("relu"), "gain is 'relu'", "need a number"),
    "mode of another function": (
        lambda: fi.kaiming_normal(mode="fan_avg"),
        "mode 'fan_avg' is unknown",
        "choose from fan_in, fan_out",
    ),
    "unknown distribution": (
        lambda: fi.variance_scaling(distribution="gaussian"),
        "distribution 'gaussian' is unknown",
        "choose from truncated_normal, normal, untruncated_normal, uniform",
    ),
    "negative scale": (lambda: fi.variance_scaling(-2), "scale is -2.0", "finite number >= 0"),
    # too few axes
    "xavier of a bias": (met(fi.xavier_uniform(), 64), r"shape \(64,\)", OUT_IN),
    "lecun of a bias": (met(fi.lecun_normal(layout="jax"), 64), r"shape \(64,\)", IN_OUT),
    "kaiming of a scalar": (met(fi.kaiming_normal()), r"shape \(\) has no fans", OUT_IN),
    "a stack of biases": (met(fi.he_normal(batch_axis=0), 8, 64), r"\(8, 64\)", "batch axes"),
    "orthogonal of a bias": (met(fi.orthogonal(), 64), r"shape \(64,\)", "need an input and an"),
    "identity of a kernel": (met(fi.identity(), 8, 8, 3), "has 3 axes", r"two.*dirac\(\)"),
    "dirac of a matrix": (met(fi.dirac(), 8, 8), "has 2 axes", "3, 4 or 5 of a convolution"),
    "delta of a matrix": (met(fi.schemes.delta_orthogonal(), 8, 8), "has 2 axes", "3, 4 or 5"),
    "bilinear of a matrix": (
        met(fi.schemes.torch_bilinear(), 8, 8),
        r"\(8, 8\)",
        r"\(out, in1, in2\)",
    ),
    # rows and columns swapped
    "inputs for outputs": (
        met(fi.schemes.delta_orthogonal(), 4, 8, 3),
        r"\(4, 8, 3\) has 8 inputs and 4 outputs in layout 'torch'",
        r"orthogonal\(\), or the other layout",
    ),
    "inputs for outputs in jax": (
        met(fi.schemes.delta_orthogonal(layout="jax"), 3, 8, 4),
        "8 inputs and 4 outputs in layout 'jax'",
        "the other layout",
    ),
    "packed along the inputs": (
        met(fi.xavier_uniform(packed=3), 64, 192),
        "packed=3 does not divide the 64 outputs",
        r"shape \(64, 192\) in layout 'torch'",
    ),
    "groups along the inputs": (
        met(fi.dirac(3), 8, 6, 3),
        "groups=3 does not divide the 8 outputs",
        r"\(8, 6, 3\)",
    ),
    "an axis as two": (
        met(fi.he_normal(in_axis=0, out_axis=-2), 8, 4),
        r"in_axis=0, out_axis=-2.*\(8, 4\) twice",
        "each axis plays one part",
    ),
    "one axis alone": (lambda: fi.he_normal(in_axis=0), "in_axis and out_axis", "give both"),
    # depth and width
    "no layers": (lambda: fi.schemes.gpt2_residual(layers=0), "layers is 0", "1 or more"),
    "layers of T-Fixup missing": (
        lambda: fi.schemes.t_fixup(),
        "encoder_layers or decoder_layers",
        "the part that the tensor is in",
    ),
    "layers left out": (
        lambda: fi.schemes.gpt2_residual(),
        "missing a required argument",
        "'layers'",
    ),
    "half a layer": (
        lambda: fi.schemes.wang_init(width=64, layers=2.5),
        "layers is 2.5",
        "whole number",
    ),
    "layer before the first": (lambda: fi.schemes.torchtitan(layer=-1), "layer is -1", "0 or more"),
    "no width": (lambda: fi.schemes.small_init(width=0), "width is 0", "1 or more"),
    "no frequency": (lambda: fi.schemes.siren(0), "omega is 0.0", "> 0"),
    "both depths": (
        lambda: fi.schemes.olmo_core(layers=8, layer=1),
        "layers is 8 and layer 1",
        "not both",
    ),
    "padding beyond": (
        met(fi.schemes.torch_embedding(padding=9), 5, 4),
        "padding is 9",
        "-5 <= .* < 5",
    ),
    # arguments in the order of a framework
    "mean first": (lambda: fi.normal(0.0, 0.02), r"normal\(std=1.0, \*, mean=0.0\)", "positional"),
    "shape as arguments": (lambda: fi.orthogonal(64, 32), r"orthogonal\(gain=1.0", "positional"),
    "no bounds": (lambda: fi.uniform(), r"uniform\(low, high\)", "missing.*'low'"),
    "bounds the wrong way": (lambda: fi.uniform(1, -1), "low is 1.0 and high -1.0", "low <= high"),
    "torch's name": (lambda: fi.scheme("orthogonal_(1)"), "'orthogonal_'", "did you mean 'orthog"),
    "torch's short name": (lambda: fi.scheme("xavier"), "'xavier'", "did you mean 'xavier_normal'"),
    "tf's layout": (lambda: fi.he_normal(layout="tf"), "layout 'tf' is unknown", "keras"),
}


@pytest.mark.parametrize("mistake", FRAMEWORK_MISTAKES)
def test_a_message_says_what_was_given_and_what_would_work(mistake):
    make, given, would = FRAMEWORK_MISTAKES[mistake]
    with pytest.raises((ValueError, TypeError), match=f"(?s){given}.*{would}|{would}.*{given}"):
        make()


COUNTS = ("layers", "encoder_layers", "decoder_layers", "width", "hidden", "branch_layers")


def with_counts():
    """Each scheme and each argument of it that counts layers or units."""
    for name, function in SCHEMES.items():
        for argument in set(inspect.signature(function).parameters) & set(COUNTS):
            yield name, argument


@pytest.mark.parametrize(("name", "argument"), sorted(with_counts()))
@pytest.mark.parametrize("count", [0, -1])
def test_no_scheme_takes_no_layers_or_units(name, argument, count):
    function = getattr(fi.schemes, name)
    parameters = inspect.signature(function).parameters.values()
    needed = {p.name: 4 for p in parameters if p.default is p.empty}
    with pytest.raises(ValueError, match=rf"^{argument} is {count}: need .*[12] or more"):
        function(**needed | {argument: count})


def test_every_message_above_is_prose():
    """One sentence, no repeated word, no bracket left open."""
    for make, *_ in FRAMEWORK_MISTAKES.values():
        with pytest.raises((ValueError, TypeError)) as found:
            make()
        message = str(found.value)
        assert not re.search(r"\b([a-z]{2,}) \1\b", message)
        assert message.count("(") == message.count(")")
        assert not message.endswith(".")
