# SPDX-License-Identifier: MIT
"""What layers start with, and the rules of one activation: scales, places, mistakes explained.

PyTorch's are compared with its own layers where it is installed; text forms are in
test_scheme_texts.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from intercepts import ours, torch_draws

import fastinit as fi
from fastinit.values import distributions

NAN, INF = math.nan, math.inf


def bound_of(scheme, shape):
    found = scheme.distribution(shape)
    assert isinstance(found, distributions.Uniform)
    assert found.low == -found.high
    return found.high


# --- activations -----------------------------------------------------------------------------


def test_siren_divides_by_the_frequency_but_in_the_first_layer():
    assert bound_of(fi.schemes.siren(), (256, 256)) == pytest.approx(
        0.005103103630798288, rel=4e-16
    )
    assert bound_of(fi.schemes.siren(1), (256, 256)) == pytest.approx(
        0.15309310892394862, rel=4e-16
    )
    assert bound_of(fi.schemes.siren(first=True), (256, 3)) == 1 / 3
    assert fi.schemes.siren(99, first=True).distribution((256, 3)) == (
        fi.schemes.siren(first=True).distribution((256, 3))
    )
    assert bound_of(fi.schemes.siren(layout="jax"), (150, 256)) == 0.2 / 30


def test_selu_and_elu_are_plain_normals_of_their_variance():
    found = fi.schemes.selu_normal().distribution((64, 256))
    assert found == distributions.Normal(0.0625, 0.0)
    found = fi.schemes.elu_normal().distribution((64, 64, 3, 3))
    assert isinstance(found, distributions.Normal)
    assert found.sigma == pytest.approx(0.0518832625291961, rel=4e-16)


@pytest.mark.parametrize(
    ("scheme", "activation"),
    [
        (fi.schemes.elu_normal(), lambda z: np.where(z > 0, z, np.expm1(z))),
        (
            fi.schemes.selu_normal(),
            lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
        ),
    ],
)
def test_the_second_moment_stays_one_through_its_activation(scheme, activation):
    """Of inputs of variance 1, by the trapezoid rule over [-12, 12]."""
    z = np.linspace(-12, 12, 240_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    second = float(np.sum(activation(z) ** 2 * density) * (z[1] - z[0]))
    assert scheme.distribution((1, 1)).std ** 2 * second == pytest.approx(1.0, rel=1e-6)


# --- PyTorch ---------------------------------------------------------------------------------

FANS = [1, 2, 3, 7, 64, 100, 513, 4096, 11008, 131072]


@pytest.mark.parametrize("fan_in", FANS)
def test_a_linear_layers_bound_is_one_over_the_root_of_its_fan(fan_in):
    linear = bound_of(fi.schemes.torch_linear(), (5, fan_in))
    assert linear == pytest.approx(1 / math.sqrt(fan_in), rel=5e-16)
    assert linear == bound_of(fi.kaiming_uniform(math.sqrt(5)), (5, fan_in))
    for rule, shape in [
        (fi.schemes.torch_bias(fan_in=fan_in), (5,)),
        (fi.schemes.torch_rnn(hidden=fan_in), (4 * fan_in, 9)),
        (fi.schemes.torch_bilinear(), (5, fan_in, 9)),
    ]:
        assert bound_of(rule, shape) == 1 / math.sqrt(fan_in)


def test_a_layer_without_inputs_has_a_bias_of_zero():
    assert fi.schemes.torch_bias(fan_in=0).distribution((4,)) == distributions.Uniform(0.0, 0.0)


@pytest.mark.frameworks
@pytest.mark.parametrize("fan_in", FANS)
def test_kaiming_with_a_slope_of_root_five_asks_torch_for_our_bound(torch, fan_in):
    with torch_draws(torch) as draws:
        torch.nn.init.kaiming_uniform_(torch.empty(5, fan_in), a=5**0.5)
    assert [asked for _, asked in draws] == [ours(fi.schemes.torch_linear(), (5, fan_in))]


@pytest.mark.frameworks
def test_torchs_layers_ask_for_our_bounds(torch):
    nn = torch.nn
    rows = [
        (lambda: nn.Linear(100, 7), fi.schemes.torch_linear(), fi.schemes.torch_bias(fan_in=100)),
        (
            lambda: nn.Conv2d(16, 32, 3, groups=4),
            fi.schemes.torch_linear(),
            fi.schemes.torch_bias(fan_in=36),
        ),
        (lambda: nn.Conv1d(6, 4, 5), fi.schemes.torch_linear(), fi.schemes.torch_bias(fan_in=30)),
        (
            lambda: nn.ConvTranspose2d(16, 32, 3),
            fi.schemes.torch_linear(),
            fi.schemes.torch_bias(fan_in=288),
        ),
        (
            lambda: nn.Bilinear(30, 20, 7),
            fi.schemes.torch_bilinear(),
            fi.schemes.torch_bias(fan_in=30),
        ),
    ]
    for layer, weight, bias in rows:
        with torch_draws(torch) as draws:
            made = layer()
        asked = {tuple(tensor.shape): what for tensor, what in draws}
        assert asked == {
            tuple(made.weight.shape): ours(weight, tuple(made.weight.shape)),
            tuple(made.bias.shape): ours(bias, tuple(made.bias.shape)),
        }


@pytest.mark.frameworks
def test_torchs_recurrent_layers_ask_for_our_bounds(torch):
    for layer in (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU, torch.nn.LSTMCell):
        with torch_draws(torch) as draws:
            layer(20, 48)
        assert len(draws) == 4
        for tensor, asked in draws:
            assert asked == ours(fi.schemes.torch_rnn(hidden=48), tuple(tensor.shape))


@pytest.mark.frameworks
def test_torchs_embeddings_are_as_ours(torch):
    with torch_draws(torch) as draws:
        torch.nn.Embedding(30, 20)
    assert [asked for _, asked in draws] == [ours(fi.schemes.torch_embedding(), (30, 20))]
    for padding in (0, 4, 29, -1, -30):
        theirs = torch.nn.Embedding(30, 20, padding_idx=padding).weight.detach().numpy()
        mine = fi.array((30, 20), fi.schemes.torch_embedding(padding=padding), seed=1, name="wte")
        np.testing.assert_array_equal((theirs == 0).all(axis=1), (mine == 0).all(axis=1))
    for padding in (30, -31):
        with pytest.raises(AssertionError, match="Padding_idx"):
            torch.nn.Embedding(30, 20, padding_idx=padding)


@pytest.mark.frameworks
def test_torchs_linear_layer_and_ours_fill_the_same_interval(torch):
    torch.manual_seed(0)
    bound = bound_of(fi.schemes.torch_linear(), (512, 384))
    theirs = torch.nn.Linear(384, 512).weight.detach().numpy()
    mine = fi.array((512, 384), fi.schemes.torch_linear(), seed=0, name="w")
    for values in (theirs, mine):  # the largest of 196,608 misses the last 1e-4 once in 3e8
        assert bound * (1 - 1e-4) < np.abs(values).max() <= bound * (1 + 1e-7)
        assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)


# --- places ----------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 3, 6, -1, -7])
def test_a_padding_row_is_zeros_and_changes_no_other(padding):
    plain = fi.array((7, 5), fi.schemes.torch_embedding(0.5), seed=2, name="wte")
    padded = fi.array((7, 5), fi.schemes.torch_embedding(0.5, padding=padding), seed=2, name="wte")
    assert plain.all()
    expected = plain.copy()
    expected[padding] = 0
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(plain, fi.array((7, 5), fi.normal(0.5), seed=2, name="wte"))
    scheme = fi.schemes.torch_embedding(0.5, padding=padding)
    part = fi.array((7, 5), scheme, seed=2, name="wte", region=np.s_[2:5, 1:])
    np.testing.assert_array_equal(part, expected[2:5, 1:])
    assert scheme.distribution((7, 5)).std == pytest.approx(0.5 * math.sqrt(6 / 7), rel=1e-15)


@pytest.mark.parametrize("padding", [0, 3, -3])
def test_a_padding_row_of_nothing_is_nothing(padding):
    assert fi.array(
        (7, 0), fi.schemes.torch_embedding(padding=padding), seed=0, name="w"
    ).shape == (7, 0)


@pytest.mark.parametrize("units", [0, 1, 5, 128])
def test_keras_forgets_nothing_at_first(units):
    found = fi.array((4 * units,), fi.schemes.keras_lstm_bias(), seed=0, name="bias")
    zeros, ones = np.zeros(units), np.ones(units)
    np.testing.assert_array_equal(found, np.concatenate([zeros, ones, zeros, zeros]))


@pytest.mark.frameworks
def test_keras_lstm_starts_with_our_bias(keras):
    layer = keras.layers.LSTM(6)
    layer.build((None, 3, 4))
    theirs = np.asarray(layer.cell.bias)
    np.testing.assert_array_equal(
        theirs, fi.array(theirs.shape, fi.schemes.keras_lstm_bias(), seed=0, name="bias")
    )


# --- mistakes --------------------------------------------------------------------------------

MISTAKES = [
    *[("siren", {"omega": w}, ValueError, f"omega is {w}.*finite number > 0") for w in (0, -1)],
    *[("siren", {"omega": w}, ValueError, f"omega is {w}: need a finite") for w in (NAN, INF)],
    ("siren", {"omega": "30"}, TypeError, "omega is '30': need a number"),
    ("siren", {"first": 1}, TypeError, "first is 1: need True or False"),
    ("siren", {"first": None}, TypeError, "first is None: need True or False"),
    ("torch_bias", {}, TypeError, r"torch_bias\(.*'fan_in'"),
    ("torch_bias", {"fan_in": -1}, ValueError, "fan_in is -1: need a whole number of 0 or more"),
    ("torch_bias", {"fan_in": 2**63}, ValueError, "fan_in is 9.*: need less than"),
    ("torch_bias", {"fan_in": 2.5}, TypeError, "fan_in is 2.5: need a whole number"),
    ("torch_rnn", {}, TypeError, r"torch_rnn\(.*'hidden'"),
    ("torch_rnn", {"hidden": 0}, ValueError, "hidden is 0: need a whole number of 1 or more"),
    ("torch_rnn", {"hidden": True}, TypeError, "hidden is True: need a whole number"),
    ("torch_embedding", {"std": -1}, ValueError, "std is -1.0: need std >= 0"),
    ("torch_embedding", {"padding": 1.5}, TypeError, "padding is 1.5: need a whole number"),
    ("torch_embedding", {"padding": True}, TypeError, "padding is True: need a whole number"),
    ("torch_bilinear", {"layout": "jax"}, TypeError, r"torch_bilinear\("),
    ("keras_lstm_bias", {"units": 3}, TypeError, r"keras_lstm_bias\("),
]
MISTAKES += [
    (name, {"layout": "x"}, ValueError, "layout 'x' is unknown")
    for name in ("siren", "selu_normal", "elu_normal", "torch_linear")
]


@pytest.mark.parametrize(("name", "wrong", "error", "words"), MISTAKES)
def test_a_wrong_argument_is_explained(name, wrong, error, words):
    with pytest.raises(error, match=words):
        getattr(fi.schemes, name)(**wrong)


@pytest.mark.parametrize(
    ("scheme", "shape", "words"),
    [
        (fi.schemes.torch_embedding(padding=7), (7, 5), "padding is 7: shape .* has 7 rows"),
        (
            fi.schemes.torch_embedding(padding=-8),
            (7, 5),
            "padding is -8: .* need -7 <= padding < 7",
        ),
        (fi.schemes.torch_embedding(padding=0), (), r"padding is 0: shape \(\) has 0 rows"),
        (fi.schemes.torch_embedding(padding=0), (0, 5), r"padding is 0: shape \(0, 5\) has 0 rows"),
        (fi.schemes.torch_bilinear(), (8, 64), "has 2 axes: torch_bilinear needs"),
        (fi.schemes.torch_bilinear(), (8, 64, 3, 3), "has 4 axes: torch_bilinear needs"),
        (fi.schemes.keras_lstm_bias(), (7,), r"keras_lstm_bias needs \(4 \* units,\)"),
        (fi.schemes.keras_lstm_bias(), (2, 8), r"keras_lstm_bias needs \(4 \* units,\)"),
        (fi.schemes.keras_lstm_bias(), (), r"keras_lstm_bias needs \(4 \* units,\)"),
        (fi.schemes.torch_linear(), (8,), "has no fans"),
        (fi.schemes.siren(), (8,), "has no fans"),
        (fi.schemes.elu_normal(), (8,), "has no fans"),
    ],
)
def test_a_shape_that_is_not_the_layers_is_explained(scheme, shape, words):
    with pytest.raises(ValueError, match=words):
        scheme.distribution(shape)


@pytest.mark.parametrize(
    "scheme",
    [
        fi.schemes.siren(),
        fi.schemes.siren(first=True),
        fi.schemes.selu_normal(),
        fi.schemes.torch_linear(),
    ],
)
def test_an_empty_tensor_has_a_finite_scale(scheme):
    for shape in [(0, 5), (5, 0), (0, 0)]:
        assert math.isfinite(scheme.distribution(shape).std)
