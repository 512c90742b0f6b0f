# SPDX-License-Identifier: MIT
"""Layers of Keras: `plan` says what each draws, and `initialize` gives it the same distribution."""

from __future__ import annotations

import numpy as np
import pytest
from intercepts import assert_same, keras_draws, ours
from keras_cases import numpy_of
from scipy import stats

import fastinit as fi

pytestmark = pytest.mark.frameworks

ALPHA = 1e-6

LAYERS = [
    ("Dense", (48,), {}, [(None, 64)]),
    ("Dense", (48,), {"kernel_initializer": "he_normal", "bias_initializer": "ones"}, [(None, 64)]),
    ("Conv1D", (8, 3), {"kernel_initializer": "lecun_normal"}, [(None, 20, 6)]),
    ("Conv2D", (32, 3), {"groups": 4}, [(None, 20, 20, 16)]),
    ("Conv3D", (6, (1, 2, 3)), {"kernel_initializer": "he_uniform"}, [(None, 9, 9, 9, 4)]),
    ("Conv2DTranspose", (32, 3), {}, [(None, 20, 20, 16)]),
    ("DepthwiseConv2D", (3,), {"depthwise_initializer": "he_normal"}, [(None, 20, 20, 16)]),
    ("SeparableConv2D", (32, 3), {}, [(None, 20, 20, 16)]),
    ("EinsumDense", ("abc,cde->abde", (None, 4, 16)), {"bias_axes": "e"}, [(None, 10, 64)]),
    ("EinsumDense", ("abde,dec->abc", (None, 64)), {}, [(None, 10, 4, 16)]),
    (
        "MultiHeadAttention",
        (4, 16),
        {"kernel_initializer": "glorot_normal"},
        [(None, 10, 64), (None, 10, 64)],
    ),
    ("GroupQueryAttention", (16, 4, 2), {}, [(None, 10, 64), (None, 10, 64)]),
    ("LSTM", (16,), {}, [(None, 10, 24)]),
    ("LSTM", (16,), {"unit_forget_bias": False, "dropout": 0.1}, [(None, 10, 24)]),
    ("ConvLSTM1D", (8, 3), {}, [(None, 5, 10, 6)]),
    ("GRU", (16,), {}, [(None, 10, 24)]),
    ("SimpleRNN", (16,), {}, [(None, 10, 24)]),
    ("Embedding", (100, 16), {}, [(None, 10)]),
    ("BatchNormalization", (), {}, [(None, 16)]),
    ("LayerNormalization", (), {}, [(None, 16)]),
    ("GroupNormalization", (4,), {}, [(None, 16)]),
    ("RMSNormalization", (), {}, [(None, 16)]),
    ("PReLU", (), {}, [(None, 16)]),
    ("AdditiveAttention", (), {}, [[(None, 4, 16), (None, 4, 16)]]),
]
IDS = [f"{number}-{row[0]}" for number, row in enumerate(LAYERS)]


def layer_of(keras, name, args, given, inputs):
    layer = getattr(keras.layers, name)(*args, **given)
    layer.build(*inputs)
    return layer


@pytest.mark.parametrize("row", LAYERS, ids=IDS)
def test_a_layers_plan_is_what_the_layer_draws(keras, fk, row):
    with keras_draws(keras, instead=keras.ops.ones) as draws:
        layer = layer_of(keras, *row)
    draws = list(draws)
    plan = fk.plan(layer)
    assert [tensor.name for tensor in plan] == [variable.path for variable in layer.weights]
    assert len(plan) == len(layer.weights) > 0
    for variable, tensor in zip(layer.weights, plan, strict=True):
        shape, values = tuple(variable.shape), numpy_of(variable)
        assert tensor.shape == shape
        assert tensor.scheme.reason
        if tensor.scheme.name == "orthogonal":
            flat = (int(np.prod(shape[:-1])), shape[-1])
            assert draws.pop(0) == ((max(flat), min(flat)), ("normal", 0.0, 1.0))
        elif tensor.scheme.distribution(shape).std == 0 or "bias" in str(tensor.scheme):
            np.testing.assert_array_equal(fi.array(shape, tensor.scheme, seed=0, name="w"), values)
        else:
            asked_shape, asked = draws.pop(0)
            assert asked_shape == shape
            assert_same(ours(tensor.scheme, shape), asked, ulps=1)
    assert not draws, "or the layer draws what the plan does not have"


@pytest.mark.parametrize("row", LAYERS, ids=IDS)
def test_a_layers_weights_become_those_of_its_plan(keras, fk, row):
    with keras_draws(keras, instead=keras.ops.ones):  # as JAX would compile for each shape
        layer = layer_of(keras, *row)
    assert fk.initialize(layer, seed=3) == {}
    for tensor, variable in zip(fk.plan(layer), layer.weights, strict=True):
        same = fi.array(tensor.shape, tensor.scheme, seed=3, name=variable.path)
        assert numpy_of(variable).tobytes() == same.tobytes()


OURS = [
    ("Dense", (512,), {"kernel_initializer": "HeNormal"}, [(None, 400)]),
    ("Dense", (512,), {"kernel_initializer": "RandomNormal"}, [(None, 400)]),
    ("Conv2D", (128, 3), {"kernel_initializer": "GlorotUniform"}, [(None, 20, 20, 64)]),
    ("DepthwiseConv2D", (5,), {"depthwise_initializer": "LecunNormal"}, [(None, 20, 20, 2048)]),
    ("Embedding", (2000, 64), {"embeddings_initializer": "TruncatedNormal"}, [(None, 10)]),
    (
        "EinsumDense",
        ("abc,cde->abde", (None, 8, 64)),
        {"kernel_initializer": "GlorotNormal"},
        [(None, 10, 256)],
    ),
    (
        "MultiHeadAttention",
        (8, 32),
        {"kernel_initializer": "HeUniform"},
        [(None, 10, 256), (None, 10, 256)],
    ),
    (
        "LSTM",
        (128,),
        {"kernel_initializer": "LecunUniform", "recurrent_initializer": "Orthogonal"},
        [(None, 10, 64)],
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", OURS, ids=lambda row: f"{row[0]}-{'-'.join(row[2].values())}")
def test_layers_with_our_initializers_have_kerass_distribution(keras, fk, row):
    """Two samples, each weight; the scale of each is compared above, to the last bits."""
    name, args, given, inputs = row
    keras.utils.set_random_seed(20)
    theirs = layer_of(keras, name, args, given, inputs)
    mine = {key: f"fastinit>{value}" for key, value in given.items()}
    layer = layer_of(keras, name, args, mine, inputs)
    for one, other in zip(layer.weights, theirs.weights, strict=True):
        found, expected = numpy_of(one).ravel(), numpy_of(other).ravel()
        if expected.std() == 0 or one.name == "bias":
            np.testing.assert_array_equal(found, expected)
            continue
        assert stats.ks_2samp(found, expected, method="asymp").pvalue > ALPHA
        assert abs(found.std() / expected.std() - 1) < 5 / np.sqrt(found.size)


def test_weights_of_one_layer_differ(keras, fk):
    """Three clones of one initializer, of one shape: by their paths."""
    layer = layer_of(
        keras,
        "MultiHeadAttention",
        (4, 16),
        {"kernel_initializer": "fastinit>HeNormal"},
        [(None, 10, 64), (None, 10, 64)],
    )
    kernels = [numpy_of(variable) for variable in layer.weights if variable.name == "kernel"]
    assert len(kernels) == 4
    assert len({kernel.tobytes() for kernel in kernels}) == 4


def test_a_layers_own_stack_of_layers_differs(keras, fk):
    shared = fk.HeNormal(seed=1)
    layers = [keras.layers.Dense(8, kernel_initializer=shared) for _ in range(3)]
    for layer in layers:
        layer.build((None, 8))
    assert len({numpy_of(layer.kernel).tobytes() for layer in layers}) == 3
    same = fi.array((8, 8), fi.he_normal(layout="keras"), seed=1, name=layers[2].kernel.path)
    np.testing.assert_array_equal(numpy_of(layers[2].kernel), same)
