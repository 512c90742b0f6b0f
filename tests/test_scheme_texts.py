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
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.schemes import scheme as scheme_of

INF = math.inf
DISTRIBUTIONS = ["truncated_normal", "normal", "untruncated_normal", "uniform"]
NONLINEARITIES = ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def text_of(scheme):
    """What `print` shows."""
    return str(scheme)


numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0, 1e300)
factors = st.floats(0, 1e100)
layouts = st.sampled_from(["torch", "keras", "jax"])
axis_lists = st.integers(-4, 3) | st.lists(st.integers(-4, 3), max_size=3).map(tuple)
axes_given = st.fixed_dictionaries(
    {},
    optional={
        "batch_axis": axis_lists,
        "layout": layouts,
        "groups": st.integers(1, 9),
        "transposed": st.booleans(),
        "packed": st.integers(1, 9) | st.lists(st.integers(1, 9), min_size=1).map(tuple),
    },
) | st.fixed_dictionaries(
    {"in_axis": axis_lists, "out_axis": axis_lists}, optional={"batch_axis": axis_lists}
)
bounds = st.tuples(st.floats(-12, 12), st.floats(0.001, 30) | st.just(INF)).map(
    lambda pair: {"low": pair[0], "high": pair[0] + pair[1]}
) | st.floats(-12, 12).map(lambda high: {"low": -INF, "high": high})


def calls(name, *strategies):
    """(name, keyword arguments), merged from the strategies."""
    return st.tuples(*strategies).map(
        lambda found: (name, {key: value for part in found for key, value in part.items()})
    )


def options(**strategies):
    return st.fixed_dictionaries({}, optional=strategies)


def needs(**strategies):
    return st.fixed_dictionaries(strategies)


bell = options(std=positive, mean=numbers, corrected=st.booleans())
modes = st.sampled_from(["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
kaiming = options(
    a=st.floats(-1e100, 1e100),
    mode=st.sampled_from(["fan_in", "fan_out"]),
    nonlinearity=st.sampled_from(NONLINEARITIES),
)
counts = st.integers(1, 2**40)
indices = st.integers(0, 2**40)
multipliers = st.floats(1e-100, 1e100)
base_shapes = st.lists(st.integers(1, 64), min_size=2, max_size=5).map(tuple)
one_part = needs(encoder_layers=counts) | needs(decoder_layers=counts)
parts = one_part | needs(
    encoder_layers=counts, decoder_layers=counts, part=st.sampled_from(["encoder", "decoder"])
)
FOR_MODELS = {
    "gpt2_residual": [options(std=factors), needs(layers=counts)],
    "megatron_scaled_normal": [
        options(std=factors, multiplier=multipliers, width_multiplier=multipliers),
        needs(layers=counts),
    ],
    "depth_scaled_normal": [options(std=factors), needs(layer=indices)],
    "torchtitan": [options(std=st.floats(0, 100), layer=indices)],
    "torchtitan_output": [needs(width=counts)],
    "olmo_core": [options(std=factors), options(layers=counts) | options(layer=indices)],
    "mitchell": [options(layer=indices), axes_given],
    "small_init": [needs(width=counts)],
    "wang_init": [needs(width=counts, layers=counts)],
    "ngpt": [needs(width=counts), options(layers=counts)],
    "dummy": [options(low=st.floats(-1, -0.01), high=st.floats(0, 1))],
    "deepnorm": [parts, axes_given],
    "sub_ln": [parts, axes_given],
    "fixup": [needs(layers=counts), options(branch_layers=st.integers(2, 9)), axes_given],
    "t_fixup": [one_part, axes_given],
    "t_fixup_embedding": [one_part, needs(width=counts)],
    "ds_init": [needs(layer=indices), options(alpha=factors), axes_given],
    "mup_normal": [options(std=factors), needs(width_multiplier=multipliers)],
    "mup_uniform": [needs(bound=factors, width_multiplier=multipliers)],
    "mup_truncated_normal": [
        options(std=factors, cutoff=st.floats(0.1, 9)),
        needs(width_multiplier=multipliers),
    ],
    **{
        f"mup_xavier_{kind}": [
            options(gain=factors, layout=layouts),
            needs(base_shape=base_shapes),
        ]
        for kind in ("uniform", "normal")
    },
    **{
        f"mup_kaiming_{kind}": [kaiming, options(layout=layouts), needs(base_shape=base_shapes)]
        for kind in ("uniform", "normal")
    },
    "mup_readout": [needs(width_multiplier=multipliers), axes_given],
    "spectral": [options(gain=factors), axes_given],
    "siren": [options(omega=multipliers, first=st.booleans()), axes_given],
    "selu_normal": [axes_given],
    "elu_normal": [axes_given],
    "torch_linear": [axes_given],
    "torch_bias": [needs(fan_in=indices)],
    "torch_bilinear": [],
    "torch_rnn": [needs(hidden=counts)],
    "torch_embedding": [options(std=positive, padding=st.integers(-9, 9))],
    "keras_lstm_bias": [],
}
WHOLE = {
    "identity": [options(gain=numbers, batch_axis=axis_lists)],
    "dirac": [options(groups=counts, layout=layouts)],
    "zero_hadamard": [options(layout=layouts)],
    "orthogonal": [
        options(
            gain=factors,
            layout=layouts,
            column_axis=st.none() | st.integers(-4, 3),
            batch_axis=axis_lists,
        )
    ],
    "delta_orthogonal": [options(gain=factors, layout=layouts)],
    "spectral_normalised": [options(gain=factors, layout=layouts, batch_axis=axis_lists)],
    "sparse": [needs(sparsity=st.floats(0, 1)), options(std=positive)],
}
EVERY_CALL = {
    "auto": calls(
        "auto",
        options(
            activation=st.sampled_from(["relu", "tanh", "selu"]),
            role=st.sampled_from(["linear", "head"]),
            layers=st.integers(1, 2**40),
            layout=layouts,
        ),
    ),
    **{name: calls(name, *rows) for name, rows in {**FOR_MODELS, **WHOLE}.items()},
    "uniform": calls(
        "uniform", st.tuples(numbers, numbers).map(lambda p: {"low": min(p), "high": max(p)})
    ),
    "normal": calls("normal", options(std=positive, mean=numbers)),
    "constant": calls("constant", st.fixed_dictionaries({"value": numbers})),
    "zeros": calls("zeros"),
    "ones": calls("ones"),
    "truncated_normal": calls("truncated_normal", bell, bounds),
    "clipped_normal": calls(
        "clipped_normal", options(std=positive, mean=numbers), st.just({}) | bounds
    ),
    "variance_scaling": calls(
        "variance_scaling",
        options(scale=factors, mode=modes, distribution=st.sampled_from(DISTRIBUTIONS)),
        axes_given,
    ),
    **{
        name: calls(name, options(gain=factors), axes_given)
        for name in ("xavier_uniform", "xavier_normal")
    },
    **{name: calls(name, kaiming, axes_given) for name in ("kaiming_uniform", "kaiming_normal")},
    **{
        name: calls(name, axes_given)
        for name in (
            *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
            *("lecun_uniform", "lecun_normal"),
        )
    },
}
every_call = st.one_of(list(EVERY_CALL.values()))


def test_every_scheme_function_is_tested_here():
    makers = {
        name
        for name, value in vars(fi).items()
        if inspect.isfunction(value) and value.__module__.startswith("fastinit.schemes.")
    } - {"scheme", "gain"}
    assert makers == set(EVERY_CALL)


@given(every_call)
def test_the_text_form_gives_the_scheme_back(call):
    name, arguments = call
    made = getattr(fi, name)(**arguments)
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


@given(every_call)
def test_a_pickle_gives_the_scheme_back(call):
    name, arguments = call
    made = getattr(fi, name)(**arguments)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert again == made
        assert hash(again) == hash(made)


def test_a_pickle_has_the_same_scale():
    for layout, shape in (("torch", (7, 5)), ("keras", (3, 3, 16, 32))):
        made = fi.variance_scaling(1 / 3, "fan_geo_avg", "uniform", layout=layout)
        again = pickle.loads(pickle.dumps(made))
        assert again.distribution(shape) == made.distribution(shape)


@given(every_call)
def test_a_default_argument_makes_no_difference(call):
    name, arguments = call
    maker = getattr(fi, name)
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(maker).parameters.items()
        if parameter.default is not parameter.empty
    }
    full = maker(**{**defaults, **arguments})
    assert full == maker(**arguments)
    assert text_of(full) == text_of(maker(**arguments))
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
        (fi.xavier_normal(gain=fi.gain("tanh")), f"xavier_normal(gain={5 / 3!r})"),
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
        assert "Scheme" in str(inspect.signature(getattr(fi, name)).return_annotation), name


def test_a_text_too_long_to_be_read_back_is_refused():
    with pytest.raises(ValueError, match=r"he_normal\(packed=.* has 1218 characters.*at most 1000"):
        fi.he_normal(packed=(1024,) * 200)
