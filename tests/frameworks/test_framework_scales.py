# SPDX-License-Identifier: MIT
"""Every function of the three frameworks against our scheme: the numbers that they ask for.

The other side's numbers come out of the installed framework (intercepts.py), never from a copy of
its formula, and a function that a newer version adds fails here until it is compared or left out.
All three are asked in float64 and must agree to the bit.
Matrices of dependent values and shape rules are in test_framework_shapes.py, layers in
test_framework_modules.py, samples in test_framework_samples.py.
"""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from intercepts import assert_same, jax_asks, keras_asks, ours, public, torch_asks, torch_draws

import fastinit as fi

pytestmark = pytest.mark.frameworks

IN_SHAPES = "test_framework_shapes.py"

# 2-D, convolutions of 1 to 3 axes with odd and even kernels, a grouped one, a stack of experts.
SHAPES = [
    *((64, 32), (32, 64), (7, 5), (1, 1), (1, 9), (768, 3072)),
    *((64, 3, 7), (64, 3, 4), (32, 16, 3, 3), (32, 16, 2, 4), (6, 4, 2, 3, 5), (4, 6, 1, 2, 3)),
    *((64, 8, 3, 3), (8, 96, 64)),
]
EMPTY = [(0, 3), (3, 0)]
ANY = [(), (5,), *SHAPES, *EMPTY]

# --- torch.nn.init ---------------------------------------------------------------------------

NONLINEARITIES = [
    *("linear", "conv1d", "conv2d", "conv3d"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("sigmoid", "tanh", "relu", "leaky_relu", "selu"),
]
SLOPES = (0.0, 0.01, 0.3, 1.0, math.sqrt(5), -3.0)
KAIMING = [
    {"a": a, "mode": mode, "nonlinearity": name}
    for mode in ("fan_in", "fan_out")
    for name in NONLINEARITIES
    for a in (SLOPES if name == "leaky_relu" else (0, 0.3))
]
# Their name, their arguments, our scheme; for every shape in the list named last.
TORCH = [
    ("uniform_", {}, fi.uniform(0, 1), ANY),
    ("uniform_", {"a": -0.3, "b": 0.7}, fi.uniform(-0.3, 0.7), ANY),
    ("normal_", {}, fi.normal(), ANY),
    ("normal_", {"mean": 0.5, "std": 0.02}, fi.normal(0.02, mean=0.5), ANY),
    ("xavier_uniform_", {}, fi.xavier_uniform(), SHAPES + EMPTY),
    ("xavier_normal_", {}, fi.xavier_normal(), SHAPES + EMPTY),
    *[("xavier_uniform_", {"gain": g}, fi.xavier_uniform(g), SHAPES) for g in (5 / 3, 0.25)],
    *[("xavier_normal_", {"gain": g}, fi.xavier_normal(g), SHAPES) for g in (5 / 3, 0.25)],
    ("kaiming_uniform_", {}, fi.kaiming_uniform(), SHAPES),
    ("kaiming_normal_", {}, fi.kaiming_normal(), SHAPES),
    *[("kaiming_uniform_", given, fi.kaiming_uniform(**given), SHAPES) for given in KAIMING],
    *[("kaiming_normal_", given, fi.kaiming_normal(**given), SHAPES) for given in KAIMING],
]
TORCH_ELSEWHERE = {
    "trunc_normal_": "below",
    "calculate_gain": "below",
    **dict.fromkeys(["constant_", "ones_", "zeros_", "eye_", "dirac_"], IN_SHAPES),
    **dict.fromkeys(["orthogonal_", "sparse_"], IN_SHAPES),
}


WITH_NUMBER = ("constant", "sparse")


def test_every_function_of_torch_is_compared(torch):
    """A name without its underscore is the deprecated name of the same function."""
    names = set(public(torch.nn.init, "torch.nn.init"))
    deprecated = {name for name in names if f"{name}_" in names}
    assert names - deprecated == {name for name, *_ in TORCH} | set(TORCH_ELSEWHERE)
    for name in deprecated:
        dims, more = (3 if name == "dirac" else 2), ((0.5,) if name in WITH_NUMBER else ())
        with pytest.warns(FutureWarning, match=f"{name}_"):
            getattr(torch.nn.init, name)(torch.empty((3,) * dims), *more)


@pytest.mark.parametrize("name", sorted({name for name, *_ in TORCH}))
def test_we_ask_for_exactly_what_torch_asks_for(torch, name):
    initialiser = getattr(torch.nn.init, name)
    for _, given, scheme, shapes in (row for row in TORCH if row[0] == name):
        for shape in shapes:
            assert_same(ours(scheme, shape), torch_asks(torch, initialiser, shape, **given))


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_our_gains_are_torchs(torch, name):
    assert fi.schemes.gain(name) == torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize("slope", SLOPES)
def test_our_gain_of_leaky_relu_is_torchs(torch, slope):
    assert fi.schemes.gain("leaky_relu", slope) == torch.nn.init.calculate_gain("leaky_relu", slope)


@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY, (50257, 768)])
def test_our_fans_are_torchs(torch, shape):
    tensor = torch.empty(shape, device="meta")
    assert fi.fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(tensor)


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_a_grouped_convolution_has_the_scale_of_one_group(torch, groups, mode):
    """PyTorch has no groups here: the fan_out it sees is `groups` times what an input feeds."""
    init = torch.nn.init
    for shape in [(64, 8, 3, 3), (64, 1, 2), (64, 4, 1, 2, 3)]:
        alone = (shape[0] // groups, *shape[1:])
        scheme = fi.kaiming_normal(mode=mode, groups=groups)
        assert_same(ours(scheme, shape), torch_asks(torch, init.kaiming_normal_, alone, mode=mode))
        scheme = fi.xavier_uniform(groups=groups)
        assert_same(ours(scheme, shape), torch_asks(torch, init.xavier_uniform_, alone))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_a_transposed_convolution_has_the_scale_of_its_turned_weight(torch, groups, mode):
    """Its weight is (in, out / groups, *kernel), in which PyTorch takes one fan for the other."""
    init = torch.nn.init
    layer = torch.nn.ConvTranspose2d(16, 32, 3, groups=groups, device="meta")
    shape = tuple(layer.weight.shape)
    turned = (shape[1], shape[0] // groups, 3, 3)  # (out, in) of one group
    given = {"mode": mode, "nonlinearity": "relu"}
    scheme = fi.kaiming_uniform(**given, groups=groups, transposed=True)
    assert_same(ours(scheme, shape), torch_asks(torch, init.kaiming_uniform_, turned, **given))
    swapped = fi.kaiming_uniform(**given)
    assert_same(ours(swapped, shape), torch_asks(torch, init.kaiming_uniform_, shape, **given))


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_a_stack_of_experts_has_the_scale_of_one_expert(torch, mode):
    for shape in [(8, 96, 64), (8, 64, 96), (4, 32, 16, 3, 3)]:
        theirs = torch_asks(torch, torch.nn.init.kaiming_normal_, shape[1:], mode=mode)
        assert_same(ours(fi.kaiming_normal(mode=mode, batch_axis=0), shape), theirs)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0.0, 1.0, -2.0, 2.0),
        (0.0, 0.02, -0.04, 0.04),
        (0.5, 0.25, 0.25, 1.5),
        (0.0, 1.0, 0.5, 4.0),
    ],
)
def test_truncated_normals_of_torch_are_ours_with_bounds_over_std(torch, mean, std, a, b):
    """PyTorch redraws what lies outside.  Given values on both sides of each bound, it must keep
    what lies in our interval and no other, and ask for our mean and sigma."""
    scheme = fi.truncated_normal(std, mean=mean, low=(a - mean) / std, high=(b - mean) / std)
    _, centre, sigma, low, high = ours(scheme, (4,))
    bounds = np.float32([centre + low * sigma, centre + high * sigma])
    inside = np.nextafter(bounds, np.float32([math.inf, -math.inf]))
    probes = np.concatenate([np.nextafter(bounds, np.float32([-math.inf, math.inf])), inside])

    drawn = []

    class Fixed(torch.Tensor):
        def normal_(self, *asked, generator=None):
            assert asked == (centre, sigma)
            drawn.append(np.full(4, redrawn) if drawn else probes)
            return self.copy_(torch.from_numpy(drawn[-1]))

    redrawn = np.float32((a + b) / 2)
    kept = torch.nn.init.trunc_normal_(torch.empty(4).as_subclass(Fixed), mean, std, a, b).numpy()
    np.testing.assert_array_equal(kept, [redrawn, redrawn, *inside])


@pytest.mark.parametrize(("std", "a", "b"), [(1.0, 2.0, 3.0), (0.5, -9.0, -1.0)])
def test_far_truncated_normals_of_torch_begin_uniform_over_our_interval(torch, std, a, b):
    """Where less than 30 % of the bell lies inside, PyTorch thins out uniform values."""
    _, centre, sigma, low, high = ours(fi.truncated_normal(std, low=a / std, high=b / std), (9,))
    torch.manual_seed(20)
    with torch_draws(torch) as draws:
        torch.nn.init.trunc_normal_(torch.empty(9), 0.0, std, a, b)
    assert draws[0][1] == ("uniform", centre + low * sigma, centre + high * sigma)


# --- jax.nn.initializers ---------------------------------------------------------------------

AXES = [
    *(((shape), {}) for shape in [*SHAPES, (3, 3, 16, 32), (2, 3, 5, 4, 6)]),
    ((5, 7), {"in_axis": 1, "out_axis": 0}),
    ((3, 3, 32, 16), {"in_axis": -1, "out_axis": -2}),  # transposed
    ((8, 96, 64), {"batch_axis": 0}),
    ((8, 96, 64), {"in_axis": -2, "out_axis": -1, "batch_axis": (0,)}),
    ((8, 6, 10), {"in_axis": 0, "out_axis": (1, 2)}),
    ((8, 6, 10), {"in_axis": (0, 1), "out_axis": 2}),
    ((4, 8, 3, 12), {"in_axis": 3, "out_axis": 2, "batch_axis": (0, 1)}),
    ((2, 3, 5, 7), {"in_axis": 1, "out_axis": -1, "batch_axis": [0]}),
]
MODES = ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
DISTRIBUTIONS = ["truncated_normal", "normal", "uniform"]
SCALES = (1.0, 2.0, 0.1)
JAX = [
    ("uniform", {}, fi.uniform(0, 1e-2)),
    ("uniform", {"scale": 0.5}, fi.uniform(0, 0.5)),
    ("normal", {}, fi.normal(1e-2)),
    ("normal", {"stddev": 0.02}, fi.normal(0.02)),
    ("truncated_normal", {}, fi.truncated_normal(1e-2)),
    (
        "truncated_normal",
        {"stddev": 0.02, "lower": -1.0, "upper": 3.0},
        fi.truncated_normal(0.02, low=-1, high=3),
    ),
]
JAX_NAMED = {
    "glorot_normal": fi.glorot_normal,
    "glorot_uniform": fi.glorot_uniform,
    "he_normal": fi.he_normal,
    "he_uniform": fi.he_uniform,
    "lecun_normal": fi.lecun_normal,
    "lecun_uniform": fi.lecun_uniform,
    "xavier_normal": fi.glorot_normal,  # not our xavier_normal, which is PyTorch's
    "xavier_uniform": fi.glorot_uniform,
    "kaiming_normal": fi.he_normal,
    "kaiming_uniform": fi.he_uniform,
}
JAX_ELSEWHERE = {"variance_scaling": "below"} | dict.fromkeys(
    ["constant", "ones", "zeros", "orthogonal", "delta_orthogonal"], IN_SHAPES
)
JAX_LEFT_OUT = {"Initializer": "a type, not an initialiser"}


def test_every_function_of_jax_is_compared_or_left_out_for_a_reason(jax):
    compared = {name for name, *_ in JAX} | {*JAX_NAMED, *JAX_ELSEWHERE}
    assert set(public(jax.nn.initializers, "jax")) == compared | set(JAX_LEFT_OUT)


@pytest.mark.parametrize(("name", "given", "scheme"), JAX)
def test_we_ask_for_exactly_what_jax_asks_for(jax, name, given, scheme):
    for shape in ANY:
        theirs = jax_asks(jax, getattr(jax.nn.initializers, name)(**given), shape)
        assert_same(ours(scheme, shape), theirs)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("mode", MODES)
def test_variance_scaling_is_jaxs(jax, mode, distribution):
    for (shape, axes), scale in itertools.product(AXES, SCALES):
        theirs = jax.nn.initializers.variance_scaling(scale, mode, distribution, **axes)
        scheme = fi.variance_scaling(scale, mode, distribution, **in_jaxs_layout(axes))
        assert_same(ours(scheme, shape), jax_asks(jax, theirs, shape))


@pytest.mark.parametrize("name", JAX_NAMED)
def test_the_named_schemes_are_jaxs(jax, name):
    for shape, axes in AXES:
        theirs = getattr(jax.nn.initializers, name)(**axes)
        scheme = JAX_NAMED[name](**in_jaxs_layout(axes))
        assert_same(ours(scheme, shape), jax_asks(jax, theirs, shape))


def in_jaxs_layout(axes):
    """JAX has no layout: the axes that it is not told are -2 and -1, batch axes or none."""
    return {"in_axis": -2, "out_axis": -1} | axes


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_variance_scaling_is_jaxs_in_its_own_float32(jax, distribution):
    """JAX takes the root and divides in the dtype asked for: to 2 units in its last place."""
    for shape, axes in AXES:
        theirs = jax.nn.initializers.variance_scaling(2.0, "fan_in", distribution, **axes)
        scheme = fi.variance_scaling(2.0, "fan_in", distribution, **in_jaxs_layout(axes))
        mine, other = ours(scheme, shape), jax_asks(jax, theirs, shape, "float32")
        np.testing.assert_array_max_ulp(np.float32(mine[1:]), np.float32(other[1:]), maxulp=2)


# --- keras.initializers ----------------------------------------------------------------------

KERAS_SHAPES = [(), (5,), *(shape[2:] + shape[1::-1] for shape in SHAPES), (8, 96, 64)]
KERAS_AXES = [
    ((64, 4, 16), {"input_axes": [0], "output_axes": [1, 2]}),
    ((4, 16, 64), {"input_axes": [0, 1], "output_axes": [2]}),
    ((8, 96, 64), {"input_axes": [-2], "output_axes": [-1]}),
    ((3, 3, 16, 32), {"input_axes": [2], "output_axes": [3]}),  # the kernel counts no more
]
KERAS = [
    ("RandomNormal", {}, fi.normal(0.05)),
    ("RandomNormal", {"mean": 0.5, "stddev": 0.02}, fi.normal(0.02, mean=0.5)),
    ("RandomUniform", {}, fi.uniform(-0.05, 0.05)),
    ("RandomUniform", {"minval": -0.3, "maxval": 0.7}, fi.uniform(-0.3, 0.7)),
    ("TruncatedNormal", {}, fi.truncated_normal(0.05)),
    ("TruncatedNormal", {"mean": 0.5, "stddev": 0.02}, fi.truncated_normal(0.02, mean=0.5)),
]
KERAS_NAMED = {
    "GlorotNormal": fi.glorot_normal,
    "GlorotUniform": fi.glorot_uniform,
    "HeNormal": fi.he_normal,
    "HeUniform": fi.he_uniform,
    "LecunNormal": fi.lecun_normal,
    "LecunUniform": fi.lecun_uniform,
}
KERAS_ELSEWHERE = {"VarianceScaling": "below"} | dict.fromkeys(
    ["Constant", "Ones", "Zeros", "Orthogonal", "Identity"], IN_SHAPES
)
KERAS_LEFT_OUT = {
    "STFT": "the basis of a fixed Fourier transform: no weights to start training from",
    "Initializer": "the base class",
    "get": "looks an initialiser up by name, as fastinit.scheme does",
    "serialize": "to a config, as str(scheme) does",
    "deserialize": "from a config, as fastinit.scheme does",
}


def test_every_class_of_keras_is_compared_or_left_out_for_a_reason(keras):
    """Names of the same class are aliases: glorot_normal, OrthogonalInitializer."""
    things = public(keras.initializers, "keras")
    compared = {name for name, *_ in KERAS} | {*KERAS_NAMED, *KERAS_ELSEWHERE}
    assert {things[name] for name in compared | set(KERAS_LEFT_OUT)} == set(things.values())
    for alias in set(things) - compared - set(KERAS_LEFT_OUT):
        name = re.sub("(^|_)(.)", lambda found: found[2].upper(), alias)
        assert name.removesuffix("Initializer").lower() == things[alias].__name__.lower()


@pytest.mark.parametrize(("name", "given", "scheme"), KERAS)
def test_we_ask_for_exactly_what_keras_asks_for(keras, name, given, scheme):
    for shape in ANY:
        theirs = keras_asks(keras, getattr(keras.initializers, name)(**given), shape)
        assert_same(ours(scheme, shape), theirs)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
def test_variance_scaling_is_kerass(keras, mode, distribution):
    for shape, scale in itertools.product(KERAS_SHAPES, SCALES):
        theirs = keras.initializers.VarianceScaling(scale, mode, distribution)
        scheme = fi.variance_scaling(scale, mode, distribution, layout="keras")
        found = keras_asks(keras, theirs, shape)
        assert_same(ours(scheme, shape), found)


@pytest.mark.parametrize("name", KERAS_NAMED)
def test_the_named_schemes_are_kerass(keras, name):
    rows = [((shape), {}) for shape in KERAS_SHAPES]
    for shape, axes in rows + KERAS_AXES:
        theirs = keras_asks(keras, getattr(keras.initializers, name)(**axes), shape)
        scheme = KERAS_NAMED[name](layout="keras", **in_our_words(shape, axes))
        assert_same(ours(scheme, shape), theirs)


def in_our_words(shape, axes):
    """Axes that Keras is not told count in neither fan, as our batch axes: not as a kernel."""
    if not axes:
        return {}
    named = [axis % len(shape) for axis in axes["input_axes"] + axes["output_axes"]]
    rest = [axis for axis in range(len(shape)) if axis not in named]
    return {"in_axis": axes["input_axes"], "out_axis": axes["output_axes"], "batch_axis": rest}


def test_kerass_normal_is_truncated_and_ours_is_not(keras):
    theirs = keras_asks(keras, keras.initializers.VarianceScaling(distribution="normal"), (64, 32))
    truncated = fi.variance_scaling(distribution="truncated_normal", layout="keras")
    assert_same(ours(truncated, (64, 32)), theirs)
    assert ours(fi.variance_scaling(distribution="normal"), (64, 32))[0] == "normal"


def test_keras_truncates_at_two_sigma(keras):
    """The cut that intercepts.py ascribes to it: 10**5 values come within 1e-3 of it."""
    values = np.asarray(keras.initializers.TruncatedNormal(0.0, 1.0, seed=20)((100_000,)))
    assert (values.min(), values.max()) == pytest.approx((-2, 2), abs=1e-3)
    assert np.abs(values).max() <= 2
