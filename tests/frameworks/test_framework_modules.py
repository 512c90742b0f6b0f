# SPDX-License-Identifier: MIT
"""What the layers of PyTorch, Keras and Flax start with, against our schemes for them.

The layer is built as a user builds it and what it draws is caught (intercepts.py): its numbers are
compared to the bit, Keras's uniform bounds to one unit in the last place (test_framework_scales.py
says why).  A parameter that draws nothing is compared value by value, and Flax's are compared as
samples (originals.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from intercepts import assert_same, jax_asks, keras_draws, ours, torch_draws
from originals import SEED, assert_starts_as, original

import fastinit as fi

pytestmark = pytest.mark.frameworks

# --- torch.nn --------------------------------------------------------------------------------

LINEAR, ZEROS, ONES, XAVIER = fi.schemes.torch_linear(), fi.zeros(), fi.ones(), fi.xavier_uniform()


def with_bias(fan_in):
    return {"weight": LINEAR, "bias": fi.schemes.torch_bias(fan_in=fan_in)}


def attention(*weights):
    """Biases are zero and the output projection is a linear layer's."""
    named = dict.fromkeys(weights, XAVIER)
    return named | {"in_proj_bias": ZEROS, "out_proj.weight": LINEAR, "out_proj.bias": ZEROS}


TORCH_LAYERS = [
    ("Linear", (64, 48), {}, with_bias(64)),
    ("Linear", (7, 5), {"bias": False}, {"weight": LINEAR}),
    ("Conv1d", (6, 8, 3), {}, with_bias(6 * 3)),
    ("Conv1d", (6, 8, 4), {}, with_bias(6 * 4)),
    ("Conv2d", (16, 32, 3), {}, with_bias(16 * 9)),
    ("Conv2d", (16, 32, (2, 5)), {"groups": 4}, with_bias(4 * 10)),
    ("Conv3d", (4, 6, (1, 2, 3)), {}, with_bias(4 * 6)),
    ("Conv3d", (4, 8, 2), {"groups": 4}, with_bias(8)),
    ("ConvTranspose1d", (6, 8, 3), {}, with_bias(8 * 3)),
    ("ConvTranspose2d", (16, 32, 3), {}, with_bias(32 * 9)),
    ("ConvTranspose2d", (16, 32, 3), {"groups": 4}, with_bias(8 * 9)),
    ("ConvTranspose3d", (4, 6, 2), {}, with_bias(6 * 8)),
    (
        "Bilinear",
        (24, 7, 5),
        {},
        {"weight": fi.schemes.torch_bilinear(), "bias": fi.schemes.torch_bias(fan_in=24)},
    ),
    *(
        (name, (16, 24), {}, fi.schemes.torch_rnn(hidden=24))
        for name in ("RNNCell", "LSTMCell", "GRUCell")
    ),
    *((name, (16, 24, 2), {}, fi.schemes.torch_rnn(hidden=24)) for name in ("RNN", "LSTM", "GRU")),
    ("LSTM", (16, 24), {"bidirectional": True, "proj_size": 6}, fi.schemes.torch_rnn(hidden=24)),
    ("Embedding", (50, 16), {}, {"weight": fi.schemes.torch_embedding()}),
    ("EmbeddingBag", (50, 16), {}, {"weight": fi.schemes.torch_embedding()}),
    ("MultiheadAttention", (32, 4), {}, attention("in_proj_weight")),
    (
        "MultiheadAttention",
        (32, 4),
        {"kdim": 16, "vdim": 24},
        attention("q_proj_weight", "k_proj_weight", "v_proj_weight"),
    ),
    (
        "MultiheadAttention",
        (32, 4),
        {"add_bias_kv": True},
        attention("in_proj_weight")
        | dict.fromkeys(["bias_k", "bias_v"], fi.xavier_normal()),  # (1, 1, width)
    ),
    ("LayerNorm", (16,), {}, {"weight": ONES, "bias": ZEROS}),
    ("RMSNorm", (16,), {}, {"weight": ONES}),
    ("GroupNorm", (2, 16), {}, {"weight": ONES, "bias": ZEROS}),
    ("BatchNorm2d", (16,), {}, {"weight": ONES, "bias": ZEROS}),
    ("PReLU", (4,), {}, {"weight": fi.constant(0.25)}),
]


def assert_asked(parameters, draws, expected):
    """Each parameter was last asked for what our scheme asks for, or holds what it makes."""
    asked = {id(tensor): found for tensor, found in draws}
    for name, tensor in parameters:
        scheme = expected[name] if isinstance(expected, dict) else expected
        shape = tuple(tensor.shape)
        values = tensor.detach().numpy()
        if scheme.distribution(shape).std:
            assert_same(ours(scheme, shape), asked[id(tensor)])
            assert values.any()  # what was drawn is still there
        else:
            mine = fi.array(shape, scheme, seed=0, name=name)
            np.testing.assert_array_equal(mine, values, err_msg=name)


@pytest.mark.parametrize(("name", "args", "given", "expected"), TORCH_LAYERS)
def test_a_layer_of_torch_starts_as_our_scheme_for_it(torch, name, args, given, expected):
    with torch_draws(torch) as draws:
        layer = getattr(torch.nn, name)(*args, **given)
    parameters = list(layer.named_parameters())
    assert isinstance(expected, fi.Scheme) or {name for name, _ in parameters} == set(expected)
    assert_asked(parameters, draws, expected)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_linear_layer_of_no_inputs_starts_with_zero_biases(torch):
    with torch_draws(torch) as draws:
        layer = torch.nn.Linear(0, 5)
    ((tensor, asked),) = draws
    assert tensor is layer.bias
    assert_same(ours(fi.schemes.torch_bias(fan_in=0), (5,)), asked)


@pytest.mark.parametrize("padding", [0, 7, -1])
@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_the_padding_row_of_an_embedding_is_zero(torch, name, padding):
    with torch_draws(torch) as draws:
        layer = getattr(torch.nn, name)(50, 16, padding_idx=padding)
    assert_same(ours(fi.schemes.torch_embedding(), (50, 16)), draws[-1][1])
    mine = fi.array((50, 16), fi.schemes.torch_embedding(padding=padding), seed=0, name="wte")
    np.testing.assert_array_equal(mine == 0, layer.weight.detach().numpy() == 0)


def test_every_matrix_of_torchs_transformer_is_xavier_uniform(torch):
    """`Transformer` alone draws its layers' matrices again; what is packed stays packed."""
    with torch_draws(torch) as draws:
        model = torch.nn.Transformer(32, 4, 1, 1, 48, batch_first=True)
    matrices = [(name, tensor) for name, tensor in model.named_parameters() if tensor.dim() > 1]
    assert len(matrices) == 10
    assert_asked(matrices, draws, XAVIER)


def test_the_weight_of_attention_can_have_the_scale_of_each_matrix(torch):
    """PyTorch's packed weight is sqrt(2) narrower than its three matrices; packed=3 is not."""
    with torch_draws(torch) as draws:
        layer = torch.nn.MultiheadAttention(32, 4)
    packed = next(asked for tensor, asked in draws if tensor is layer.in_proj_weight)
    assert_same(ours(XAVIER, (96, 32)), packed)
    _, _, alone = ours(XAVIER, (32, 32))
    assert ours(fi.xavier_uniform(packed=3), (96, 32)) == ("uniform", -alone, alone)
    assert alone == pytest.approx(packed[2] * 2**0.5, rel=1e-15)


# --- keras.layers ----------------------------------------------------------------------------

GLOROT, ORTHOGONAL = fi.glorot_uniform(layout="keras"), fi.orthogonal(layout="keras")
TO_HEADS = fi.glorot_uniform(in_axis=0, out_axis=(1, 2))
FROM_HEADS = fi.glorot_uniform(in_axis=(0, 1), out_axis=2)
KERAS_LAYERS = [
    ("Dense", (48,), {}, [(None, 64)], [GLOROT, ZEROS]),
    ("Conv1D", (8, 3), {}, [(None, 20, 6)], [GLOROT, ZEROS]),
    ("Conv2D", (32, (2, 5)), {}, [(None, 20, 20, 16)], [GLOROT, ZEROS]),
    ("Conv2D", (32, 3), {"groups": 4}, [(None, 20, 20, 16)], [GLOROT, ZEROS]),
    ("Conv3D", (6, (1, 2, 3)), {}, [(None, 9, 9, 9, 4)], [GLOROT, ZEROS]),
    ("Conv2DTranspose", (32, 3), {}, [(None, 20, 20, 16)], [GLOROT, ZEROS]),
    ("DepthwiseConv2D", (3,), {}, [(None, 20, 20, 16)], [GLOROT, ZEROS]),
    ("SeparableConv2D", (32, 3), {}, [(None, 20, 20, 16)], [GLOROT, GLOROT, ZEROS]),
    ("EinsumDense", ("abc,cde->abde", (None, 4, 16)), {}, [(None, 10, 64)], [TO_HEADS]),
    ("EinsumDense", ("abde,dec->abc", (None, 64)), {}, [(None, 10, 4, 16)], [FROM_HEADS]),
    (
        "MultiHeadAttention",
        (4, 16),
        {},
        [(None, 10, 64), (None, 10, 64)],
        [TO_HEADS, ZEROS, TO_HEADS, ZEROS, TO_HEADS, ZEROS, FROM_HEADS, ZEROS],
    ),
    ("LSTM", (16,), {}, [(None, 10, 24)], [GLOROT, ORTHOGONAL, fi.schemes.keras_lstm_bias()]),
    ("LSTM", (16,), {"unit_forget_bias": False}, [(None, 10, 24)], [GLOROT, ORTHOGONAL, ZEROS]),
    ("GRU", (16,), {}, [(None, 10, 24)], [GLOROT, ORTHOGONAL, ZEROS]),
    ("SimpleRNN", (16,), {}, [(None, 10, 24)], [GLOROT, ORTHOGONAL, ZEROS]),
    ("Embedding", (100, 16), {}, [(None, 10)], [fi.uniform(-0.05, 0.05)]),
    ("LayerNormalization", (), {}, [(None, 16)], [ONES, ZEROS]),
    ("PReLU", (), {}, [(None, 16)], [ZEROS]),
]


@pytest.mark.parametrize(("name", "args", "given", "inputs", "expected"), KERAS_LAYERS)
def test_a_layer_of_keras_starts_as_our_scheme_for_it(keras, name, args, given, inputs, expected):
    with keras_draws(keras, still=True) as draws:
        layer = getattr(keras.layers, name)(*args, **given)
        layer.build(*inputs)
    weights = list(layer.trainable_variables)
    assert len(weights) == len(expected)
    for variable, scheme in zip(weights, expected, strict=True):
        shape, values = tuple(variable.shape), np.asarray(variable.value)
        if scheme is ORTHOGONAL:
            assert draws.pop(0) == (tuple(sorted(shape, reverse=True)), ("normal", 0.0, 1.0))
            np.testing.assert_allclose(values @ values.T, np.eye(shape[0]), atol=1e-5)
        elif "uniform" in scheme.name:
            asked_shape, asked = draws.pop(0)
            assert asked_shape == shape
            assert_same(ours(scheme, shape), asked, ulps=1)
        else:
            np.testing.assert_array_equal(fi.array(shape, scheme, seed=0, name="w"), values)
    assert not draws


# --- flax ------------------------------------------------------------------------------------

LECUN = fi.lecun_normal(layout="jax")
FLAX_LAYERS = [
    ("Dense", (256,), (64, 96), {"kernel": LECUN, "bias": ZEROS}),
    ("Conv", (64, (3, 3)), (1, 8, 8, 16), {"kernel": LECUN, "bias": ZEROS}),
    (
        "DenseGeneral",
        ((4, 32),),
        (2, 128),
        {"kernel": fi.lecun_normal(in_axis=0, out_axis=(1, 2)), "bias": ZEROS},
    ),
    ("Embed", (300, 96), None, {"embedding": fi.normal(1 / 96**0.5)}),
    ("LayerNorm", (), (2, 96), {"scale": ONES, "bias": ZEROS}),
    ("PReLU", (), (2, 96), {"negative_slope": fi.constant(0.01)}),
]


@pytest.fixture(scope="module")
def linen():
    return original("flax", "flax.linen")


def flax_starts(jax, layer, *inputs):
    """The parameters of a layer of Flax, by name."""
    return jax.jit(layer.init)(jax.random.key(SEED), *inputs)["params"]


@pytest.mark.parametrize(("name", "args", "shape", "expected"), FLAX_LAYERS)
def test_a_layer_of_flax_starts_as_our_scheme_for_it(jax, linen, name, args, shape, expected):
    integers = jax.numpy.zeros((1,), int)
    inputs = integers if shape is None else jax.numpy.ones(shape)
    found = flax_starts(jax, getattr(linen, name)(*args), inputs)
    assert set(found) == set(expected)
    for key, values in found.items():
        assert_starts_as(values, expected[key], f"{name} {key}")


def test_flaxs_attention_starts_as_our_schemes_for_it(jax, linen):
    """Its output kernel is (heads, head, width): inputs are its first two axes."""
    inputs = jax.numpy.ones((1, 2, 96))
    found = flax_starts(
        jax, linen.MultiHeadDotProductAttention(8, qkv_features=256), inputs, inputs
    )
    assert found["out"]["kernel"].shape == (8, 32, 96)
    inward = fi.lecun_normal(in_axis=0, out_axis=(1, 2))
    for name in ("query", "key", "value"):
        assert_starts_as(found[name]["kernel"], inward)
    outward = fi.lecun_normal(in_axis=(0, 1), out_axis=2)
    assert_starts_as(found["out"]["kernel"], outward)
    assert outward.distribution((8, 32, 256)).std == pytest.approx(0.0625, rel=1e-15)


@pytest.mark.parametrize(("name", "gates"), [("OptimizedLSTMCell", "ifgo"), ("GRUCell", "rzn")])
def test_flaxs_recurrent_cells_start_as_our_schemes_for_them(jax, linen, name, gates):
    cell = getattr(linen, name)(64)
    inputs = jax.numpy.ones((1, 96))
    carry = cell.initialize_carry(jax.random.key(0), inputs.shape)
    found = flax_starts(jax, cell, carry, inputs)
    for gate in gates:
        assert_starts_as(found[f"i{gate}"]["kernel"], LECUN)
        assert_starts_as(found[f"h{gate}"]["kernel"], fi.orthogonal(layout="jax"))
    for part in found.values():
        if "bias" in part:
            assert_starts_as(part["bias"], ZEROS)


def test_flaxs_embedding_is_one_over_the_root_of_its_width(jax):
    """It asks JAX for fan_in with one axis as input and output, which we refuse as a mistake."""
    theirs = jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)
    assert_same(ours(fi.normal(1 / 256**0.5), (50, 256)), jax_asks(jax, theirs, (50, 256)))
    with pytest.raises(ValueError, match="twice"):
        fi.variance_scaling(distribution="normal", in_axis=-2, out_axis=0).distribution((50, 256))
