# SPDX-License-Identifier: MIT
"""fastinit against the frameworks themselves: their scales and their tensors.

Every number on the other side comes out of the framework under test, never from a copy of its
formula; those are in test_schemes.py.  Nothing here is downloaded.

Statistical checks allow 4 standard errors, so a right program fails one with probability 6.3e-5.
The seeds are fixed: what passed once passes always, unless the values change.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import fastinit as fi

pytestmark = pytest.mark.frameworks

SEED = 20_26
SHAPES = [(7, 5), (768, 3072), (64, 3, 7), (32, 16, 3, 3), (6, 4, 2, 3, 5)]
STANDARD_ERRORS = 4.0


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax")


@pytest.fixture(scope="module")
def keras():
    with pytest.MonkeyPatch.context() as patch:
        if "KERAS_BACKEND" not in os.environ:  # read at import; the default is TensorFlow
            patch.setenv("KERAS_BACKEND", "jax")
        return pytest.importorskip("keras")


def assert_moments(values, mean, std, kurtosis):
    """Mean and standard deviation within 4 standard errors; fails rightly once in 8,000 calls.

    The error of a sample's standard deviation is std sqrt((kurtosis - 1) / 4n) for large n;
    the kurtosis is 3 for a normal, 9/5 for a uniform distribution.
    """
    wide = np.asarray(values, np.float64).ravel()
    assert abs(wide.mean() - mean) <= STANDARD_ERRORS * std / math.sqrt(wide.size)
    error = std * math.sqrt((kurtosis - 1) / (4 * wide.size))
    assert abs(wide.std() - std) <= STANDARD_ERRORS * error


# --- torch.nn.init ---------------------------------------------------------------------------

NONLINEARITIES = [
    *("linear", "conv1d", "conv2d", "conv3d"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("sigmoid", "tanh", "relu", "leaky_relu", "selu"),
]


@pytest.fixture
def asked(torch):
    """What an initialiser of torch asks its tensor for: (kind, first, second argument)."""

    class Recorder(torch.Tensor):
        def uniform_(self, low, high, generator=None):
            calls.append(("uniform", low, high))
            return self

        def normal_(self, mean, std, generator=None):
            calls.append(("normal", mean, std))
            return self

    calls = []

    def run(initialiser, shape, *args, **kwargs):
        calls.clear()
        initialiser(torch.empty(shape).as_subclass(Recorder), *args, **kwargs)
        assert len(calls) == 1
        return calls[0]

    return run


def ours(scheme, shape):
    """Our distribution, in the same words."""
    found = scheme.distribution(shape)
    if "uniform" in scheme.name:
        return "uniform", found.low, found.high
    return "normal", found.mean, found.std


def assert_same(ours, theirs):
    """Equal kinds, and numbers equal to two roundings in float64."""
    assert ours[0] == theirs[0]
    assert ours[1:] == pytest.approx(theirs[1:], rel=5e-16, abs=0)


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_our_gains_are_torchs(torch, name):
    assert fi.gain(name) == torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.2, 1.0, math.sqrt(5), -3.0])
def test_our_gain_of_leaky_relu_is_torchs(torch, slope):
    theirs = torch.nn.init.calculate_gain("leaky_relu", slope)
    assert fi.gain("leaky_relu", slope) == pytest.approx(theirs, rel=3e-16)


@pytest.mark.parametrize("shape", [*SHAPES, (50257, 768), (1, 1), (0, 3), (3, 0), (2, 3, 0)])
def test_our_fans_are_torchs(torch, shape):
    tensor = torch.empty(shape, device="meta")
    assert fi.fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(tensor)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 5 / 3, 0.25])
def test_xavier_asks_for_what_torch_asks_for(torch, asked, shape, gain):
    init = torch.nn.init
    assert_same(ours(fi.xavier_uniform(gain), shape), asked(init.xavier_uniform_, shape, gain))
    assert_same(ours(fi.xavier_normal(gain), shape), asked(init.xavier_normal_, shape, gain))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_kaiming_asks_for_what_torch_asks_for(torch, asked, shape, mode, nonlinearity):
    for a in (0, 0.3, math.sqrt(5)):
        given = {"a": a, "mode": mode, "nonlinearity": nonlinearity}
        theirs = asked(torch.nn.init.kaiming_uniform_, shape, **given)
        assert_same(ours(fi.kaiming_uniform(**given), shape), theirs)
        theirs = asked(torch.nn.init.kaiming_normal_, shape, **given)
        assert_same(ours(fi.kaiming_normal(**given), shape), theirs)


def test_our_defaults_are_torchs(torch, asked):
    for name in ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"):
        theirs = asked(getattr(torch.nn.init, f"{name}_"), (30, 20))
        assert_same(ours(getattr(fi, name)(), (30, 20)), theirs)


@pytest.mark.parametrize(
    ("name", "kurtosis"),
    [
        ("xavier_uniform", 1.8),
        ("kaiming_uniform", 1.8),
        ("xavier_normal", 3),
        ("kaiming_normal", 3),
    ],
)
def test_a_million_values_spread_as_torchs_do(torch, asked, name, kurtosis):
    """Ours and torch's own values against what torch asked for: 4 checks, each 6.3e-5."""
    shape = (1000, 1000)
    kind, first, second = asked(getattr(torch.nn.init, f"{name}_"), shape)
    std = second if kind == "normal" else second / math.sqrt(3)
    filled = fi.fill(torch.empty(shape).numpy(), getattr(fi, name)(), seed=SEED, name="w")
    generator = torch.Generator().manual_seed(SEED)
    theirs = getattr(torch.nn.init, f"{name}_")(torch.empty(shape), generator=generator).numpy()
    for values in (filled, theirs):
        assert_moments(values, 0.0, std, kurtosis)
    if kind == "uniform":  # the largest of 10**6 misses the last 1e-5 with probability 5e-5
        assert first <= filled.min() <= first * (1 - 1e-5)
        assert second * (1 - 1e-5) <= filled.max() <= second


def test_a_transposed_convolution_needs_its_axes_named(torch, asked):
    """Its weight is (in, out, *kernel); torch itself swaps the fans."""
    shape = tuple(torch.nn.ConvTranspose2d(16, 32, 3, device="meta").weight.shape)
    assert fi.fans(shape) == (288, 144)
    assert fi.fans(shape, in_axis=0, out_axis=1) == (144, 288)
    _, _, std = asked(torch.nn.init.kaiming_normal_, shape, mode="fan_out", nonlinearity="relu")
    named = fi.kaiming_normal(nonlinearity="relu", in_axis=0, out_axis=1)
    assert named.distribution(shape).std == pytest.approx(std, rel=5e-16)


# --- torch tensors ---------------------------------------------------------------------------


def test_a_float32_tensor_is_filled_in_place(torch):
    tensor = torch.full((33, 65), math.nan)
    returned = fi.fill(tensor.numpy(), fi.he_normal(), seed=SEED, name="w")
    assert returned.ctypes.data == tensor.data_ptr()
    expected = fi.array((33, 65), fi.he_normal(), seed=SEED, name="w")
    np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize(
    ("name", "integer", "dtype"),
    [
        ("bfloat16", "int16", ml_dtypes.bfloat16),
        ("float8_e4m3fn", "uint8", ml_dtypes.float8_e4m3fn),
        ("float8_e5m2", "uint8", ml_dtypes.float8_e5m2),
    ],
)
def test_a_tensor_of_a_type_numpy_lacks_is_filled_in_place(torch, name, integer, dtype):
    tensor = torch.zeros((33, 65), dtype=getattr(torch, name))
    view = tensor.view(getattr(torch, integer)).numpy().view(dtype)
    returned = fi.fill(view, fi.normal(0.5), seed=SEED, name="w")
    assert returned.ctypes.data == tensor.data_ptr()
    expected = fi.array((33, 65), fi.normal(0.5), seed=SEED, name="w", dtype=name)
    np.testing.assert_array_equal(tensor.float().numpy(), expected.astype(np.float32))
    assert tensor.float().std() > 0.4


@pytest.mark.parametrize("name", ["float16", "float64"])
def test_a_tensor_of_a_type_numpy_has_is_filled_in_place(torch, name):
    tensor = torch.zeros((33, 65), dtype=getattr(torch, name))
    fi.fill(tensor.numpy(), fi.normal(0.5), seed=SEED, name="w")
    expected = fi.array((33, 65), fi.normal(0.5), seed=SEED, name="w", dtype=name)
    np.testing.assert_array_equal(tensor.numpy(), expected, strict=True)


def test_the_memory_format_changes_no_value(torch):
    """torch's own values depend on it."""
    plain = torch.empty((8, 3, 16, 16))
    last = torch.empty((8, 3, 16, 16), memory_format=torch.channels_last)
    for tensor in (plain, last):
        fi.fill(tensor.numpy(), fi.he_normal(), seed=SEED, name="w")
    assert plain.stride() != last.stride()
    assert torch.equal(plain, last)


def test_a_transposed_tensor_is_filled_through_its_view(torch):
    tensor = torch.empty((65, 33))
    fi.fill(tensor.T.numpy(), fi.he_normal(), seed=SEED, name="w")
    expected = fi.array((33, 65), fi.he_normal(), seed=SEED, name="w")
    np.testing.assert_array_equal(tensor.numpy(), expected.T)


def test_a_parameter_is_filled_through_detach_and_keeps_its_gradient_flag(torch):
    layer = torch.nn.Linear(65, 33)
    fi.fill(layer.weight.detach().numpy(), fi.he_normal(), seed=SEED, name="w")
    expected = fi.array((33, 65), fi.he_normal(), seed=SEED, name="w")
    np.testing.assert_array_equal(layer.weight.detach().numpy(), expected)
    assert layer.weight.requires_grad
    assert torch.isfinite(layer(torch.ones(2, 65))).all()


def test_a_tensor_itself_is_refused_and_the_way_is_shown(torch):
    tensor = torch.zeros(3)
    with pytest.raises(TypeError, match=r"out is a Tensor.*t\.detach\(\)\.numpy\(\)"):
        fi.fill(tensor, fi.normal(), seed=0, name="w")
    assert torch.equal(tensor, torch.zeros(3))


def test_an_expanded_tensor_is_refused(torch):
    tensor = torch.zeros(3, 1).expand(3, 4)
    with pytest.raises(ValueError, match=r"read-only|share one place"):
        fi.fill(tensor.numpy(), fi.normal(), seed=0, name="w")


# --- jax.nn.initializers ---------------------------------------------------------------------

# Few shapes, because JAX compiles its generator for each.
AXES = [
    ((5, 7), {}),
    ((5, 7), {"in_axis": 1, "out_axis": 0}),
    ((8, 6, 10), {"in_axis": -2, "out_axis": -1, "batch_axis": 0}),
    ((8, 6, 10), {"in_axis": 0, "out_axis": (1, 2)}),
    ((8, 6, 10), {"in_axis": (0, 1), "out_axis": 2}),
    ((4, 8, 3, 12), {}),
    ((4, 8, 3, 12), {"in_axis": 1, "out_axis": 0}),
    ((4, 8, 3, 12), {"in_axis": (0, 1), "out_axis": -1}),
    ((4, 8, 3, 12), {"in_axis": 3, "out_axis": 2, "batch_axis": (0, 1)}),
]
DISTRIBUTIONS = ["truncated_normal", "normal", "uniform"]


@pytest.fixture(scope="module")
def jax_scale(jax):
    """The factor that a jax initialiser puts on the standard variates of the same key."""

    def scale(initialiser, distribution, shape):
        key = jax.random.key(SEED)
        standard = {
            "normal": lambda: jax.random.normal(key, shape),
            "uniform": lambda: jax.random.uniform(key, shape, minval=-1),
            "truncated_normal": lambda: jax.random.truncated_normal(key, -2.0, 2.0, shape),
        }[distribution]
        ratio = np.asarray(initialiser(key, shape), np.float64) / np.asarray(standard())
        assert np.ptp(ratio) < 1e-6 * ratio.mean()
        return ratio.mean()

    return scale


def our_scale(scheme, shape):
    """The factor on the standard variates in our distribution."""
    found = scheme.distribution(shape)
    return found.high if isinstance(found, type(UNIFORM)) else found.sigma


UNIFORM = fi.uniform(0, 1).distribution(())


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
def test_variance_scaling_is_jaxs(jax, jax_scale, mode, distribution):
    for shape, axes in AXES:
        for scale in (1.0, 2.0, 0.1):
            theirs = jax.nn.initializers.variance_scaling(scale, mode, distribution, **axes)
            found = fi.variance_scaling(scale, mode, distribution, layout="keras", **axes)
            expected = jax_scale(theirs, distribution, shape)
            assert our_scale(found, shape) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rule", ["glorot", "he", "lecun"])
def test_the_named_schemes_are_jaxs(jax, jax_scale, rule):
    for shape, axes in AXES:
        for kind, distribution in (("normal", "truncated_normal"), ("uniform", "uniform")):
            theirs = getattr(jax.nn.initializers, f"{rule}_{kind}")(**axes)
            found = getattr(fi, f"{rule}_{kind}")(layout="keras", **axes)
            expected = jax_scale(theirs, distribution, shape)
            assert our_scale(found, shape) == pytest.approx(expected, rel=1e-6)


def test_truncated_normal_has_jaxs_bounds_in_units_of_sigma(jax):
    theirs = jax.nn.initializers.truncated_normal(0.02, lower=-1.0, upper=3.0)
    values = np.asarray(theirs(jax.random.key(SEED), (1000, 1000)), np.float64)
    found = fi.truncated_normal(0.02, low=-1, high=3).distribution((1000, 1000))
    assert (values.min(), values.max()) == pytest.approx((-0.02, 0.06), rel=1e-4)
    # its kurtosis is below 3, so 4 standard errors of a normal are more than 4 of its own
    assert_moments(values, found.mean, found.std, 3)


SHARDED = """
import jax, numpy as np, fastinit as fi
from jax.sharding import NamedSharding, PartitionSpec

shape = (64, 48)
asked = []

def shard(index):
    asked.append(index)
    return fi.array(shape, fi.he_normal(layout="keras"), seed=20, name="w", region=index)

expected = fi.array(shape, fi.he_normal(layout="keras"), seed=20, name="w")
mesh = jax.make_mesh((4, 2), ("x", "y"))
for spec in (PartitionSpec("x", "y"), PartitionSpec(None, "x"), PartitionSpec(("x", "y"))):
    array = jax.make_array_from_callback(shape, NamedSharding(mesh, spec), shard)
    np.testing.assert_array_equal(np.asarray(array), expected)
assert any(index[0].start == 48 and index[1].start == 24 for index in asked), asked
"""


def test_jax_asks_for_shards_and_their_union_is_the_whole(jax):
    """`make_array_from_callback` on 8 pretended devices asks for slices; each is filled alone."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "ignore", "-c", SHARDED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# --- keras.initializers ----------------------------------------------------------------------

KERAS_SHAPES = [(5, 7), (768, 256), (7, 3, 64), (3, 3, 16, 32), (2, 3, 5, 4, 6)]


def keras_values(keras, found, shape):
    """What Keras draws from `found`'s numbers and this seed, by its own random functions."""
    kind = type(found).__name__
    if kind == "Uniform":
        return keras.random.uniform(shape, found.low, found.high, seed=SEED)
    draw = keras.random.truncated_normal if kind == "TruncatedNormal" else keras.random.normal
    return draw(shape, 0.0, found.sigma, seed=SEED)


@pytest.mark.parametrize("shape", KERAS_SHAPES)
@pytest.mark.parametrize(
    "name",
    ["GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"],
)
def test_the_named_schemes_are_kerass(keras, name, shape):
    theirs = getattr(keras.initializers, name)(seed=SEED)(shape)
    maker = getattr(fi, re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower())
    found = maker(layout="keras").distribution(shape)
    same = keras_values(keras, found, shape)
    np.testing.assert_allclose(np.asarray(theirs), np.asarray(same), rtol=1e-6)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
def test_variance_scaling_is_kerass(keras, mode, distribution):
    for shape in KERAS_SHAPES:
        for scale in (1.0, 0.3):
            theirs = keras.initializers.VarianceScaling(scale, mode, distribution, seed=SEED)
            found = fi.variance_scaling(scale, mode, distribution, layout="keras").distribution(
                shape
            )
            same = keras_values(keras, found, shape)
            np.testing.assert_allclose(np.asarray(theirs(shape)), np.asarray(same), rtol=1e-6)
