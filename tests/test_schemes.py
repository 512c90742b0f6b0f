# SPDX-License-Identifier: MIT
"""Schemes against their formulas: scales, fans, gains, constants, and mistakes explained.

Draws nothing; text forms are in test_scheme_texts.py, the frameworks' own numbers in
test_frameworks.py.
"""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit import distributions

INF = math.inf

# Computed with SciPy: bound, std of the truncated and of the clipped normal.
TRUNCATED = {
    1.0: 0.53956009375489689,
    1.5: 0.74264689843932641,
    2.0: 0.87962566103423978,
    2.5: 0.95459748634458064,
    3.0: 0.98657839255810864,
    4.0: 0.99946450180707958,
}
CLIPPED = {
    1.0: 0.718372153526091,
    1.5: 0.882306758545161,
    2.0: 0.959446155673325,
    2.5: 0.988716331134875,
    3.0: 0.997500515305357,
    4.0: 0.99993974590916,
}

# Shape in PyTorch's layout: (out, in, *kernel), and its fans counted by hand.
TORCH_FANS = [
    ((1, 1), (1, 1)),
    ((7, 5), (5, 7)),
    ((50257, 768), (768, 50257)),
    ((64, 3, 7), (21, 448)),
    ((512, 256, 3, 3), (2304, 4608)),
    ((6, 4, 2, 3, 5), (120, 180)),
    ((131072, 131072), (131072, 131072)),
]
# The same kernels in Keras's, JAX's and Flax's: (*kernel, in, out).
KERAS_FANS = [
    ((1, 1), (1, 1)),
    ((5, 7), (5, 7)),
    ((768, 50257), (768, 50257)),
    ((7, 3, 64), (21, 448)),
    ((3, 3, 256, 512), (2304, 4608)),
    ((2, 3, 5, 4, 6), (120, 180)),
    ((131072, 131072), (131072, 131072)),
]
SHAPES = [("torch", *row) for row in TORCH_FANS] + [("keras", *row) for row in KERAS_FANS]
EINSUM = {"in_axis": 0, "out_axis": (1, 2)}  # (width, heads, head)
AXES = [
    ((8, 1024, 4096), {"in_axis": 2, "out_axis": 1, "batch_axis": 0}, (4096, 1024)),
    ((8, 1024, 4096), {"in_axis": -1, "out_axis": -2, "batch_axis": -3}, (4096, 1024)),
    ((8, 1024, 4096), {"batch_axis": 0}, (4096, 1024)),
    ((8, 1024, 4096), {"batch_axis": 0, "layout": "keras"}, (1024, 4096)),
    ((12, 8, 3, 5, 7), {"batch_axis": (0, 1)}, (35, 21)),
    ((12, 8, 3, 5, 7), {"batch_axis": [1, 0]}, (35, 21)),
    ((3, 5, 12), {"batch_axis": -1}, (5, 3)),
    ((768, 12, 64), EINSUM, (768, 768)),
    ((12, 64, 768), {"in_axis": (0, 1), "out_axis": 2}, (768, 768)),
    ((2, 3, 5, 7), {"in_axis": 3, "out_axis": 1}, (70, 30)),
    ((2, 3, 5, 7), {"in_axis": 3, "out_axis": 1, "batch_axis": 0}, (35, 15)),
    ((9,), {"in_axis": (), "out_axis": 0}, (1, 9)),
]


# --- fans ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "shape", "expected"), SHAPES)
def test_fans_count_the_kernel_in_both_layouts(layout, shape, expected):
    assert fi.fans(shape, layout=layout) == expected


@pytest.mark.parametrize(("shape", "axes", "expected"), AXES)
def test_fans_take_explicit_axes(shape, axes, expected):
    assert fi.fans(shape, **axes) == expected


def test_pytorchs_layout_is_the_default():
    assert fi.fans((7, 5, 3)) == fi.fans((7, 5, 3), layout="torch") == (15, 21)


def test_fans_are_exact_beyond_float64():
    # 3**39 is below 2**63 and needs 62 bits; a float would have rounded it.
    assert fi.fans((1, 3**20, 3**19)) == (3**39, 3**19)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (3, 4, 0)])
def test_an_empty_tensor_has_fans(shape):
    fan_in, fan_out = fi.fans(shape)
    kernel = math.prod(shape[2:])
    assert (fan_in, fan_out) == (shape[1] * kernel, shape[0] * kernel)


@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    parts=st.lists(st.sampled_from(["in", "out", "batch", "kernel"]), min_size=6, max_size=6),
)
def test_fans_are_the_products_over_their_axes(shape, parts):
    axes = {
        part: tuple(axis for axis in range(len(shape)) if parts[axis] == part)
        for part in ("in", "out", "batch", "kernel")
    }
    sizes = {part: math.prod(shape[axis] for axis in axes[part]) for part in axes}
    found = fi.fans(shape, in_axis=axes["in"], out_axis=axes["out"], batch_axis=axes["batch"])
    assert found == (sizes["in"] * sizes["kernel"], sizes["out"] * sizes["kernel"])


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


# --- gains -----------------------------------------------------------------------------------

GAINS = {
    **dict.fromkeys(["linear", "identity", "sigmoid"], 1.0),
    **{f"conv{n}d": 1.0 for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": 1.0 for n in (1, 2, 3)},
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "selu": 0.75,
}


@pytest.mark.parametrize(("nonlinearity", "expected"), GAINS.items())
def test_a_nonlinearity_has_its_gain(nonlinearity, expected):
    assert fi.gain(nonlinearity) == expected


@pytest.mark.parametrize("slope", [0, 0.0, 0.01, -0.2, 1, math.sqrt(5), 1e9])
def test_the_gain_of_leaky_relu_follows_from_its_slope(slope):
    assert fi.gain("leaky_relu", slope) == math.sqrt(2 / (1 + slope * slope))


def test_a_gain_takes_numpys_numbers():
    assert fi.gain("leaky_relu", np.float64(1.0)) == 1.0
    assert fi.gain("leaky_relu", np.float32(1.0)) == 1.0
    assert fi.gain("leaky_relu", np.int64(1)) == 1.0


@pytest.mark.parametrize("name", ["gelu", "ReLU", "", None, 3, ["relu"]])
def test_an_unknown_nonlinearity_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="choose from") as caught:
        fi.gain(name)
    listed = str(caught.value).split("choose from ")[1].split(", ")
    assert sorted(listed) == sorted(GAINS)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("slope", ["0.1", math.nan, True, 1j, [0.1]])
def test_a_slope_that_is_no_number_is_refused(slope):
    with pytest.raises(
        (TypeError, ValueError), match=r"slope of leaky_relu.*need a (finite )?number"
    ):
        fi.gain("leaky_relu", slope)


@pytest.mark.parametrize("name", sorted(GAINS.keys() - {"leaky_relu"}))
def test_only_leaky_relu_takes_a_parameter(name):
    with pytest.raises(ValueError, match=f"{name}.* takes no param; 0.1 was given"):
        fi.gain(name, 0.1)


# --- the scales of the scaled schemes --------------------------------------------------------


def fan_of(mode, fan_in, fan_out):
    return {
        "fan_in": fan_in,
        "fan_out": fan_out,
        "fan_avg": (fan_in + fan_out) / 2,
        "fan_geo_avg": math.sqrt(fan_in * fan_out),
    }[mode]


def assert_uniform(found, bound):
    """U[-bound, bound], to two roundings."""
    assert isinstance(found, distributions.Uniform)
    assert found.high == pytest.approx(bound, rel=5e-16, abs=0)
    assert found.low == -found.high
    assert found.std == pytest.approx(bound / math.sqrt(3), rel=1e-15, abs=0)
    assert found.mean == 0


def assert_normal(found, std):
    """N(0, std^2), whole."""
    assert isinstance(found, distributions.Normal)
    assert (found.mean, found.std) == (0, pytest.approx(std, rel=5e-16, abs=0))


def assert_truncated(found, std):
    """A bell cut at 2 sigma and widened, so that what is left has this std."""
    assert isinstance(found, distributions.TruncatedNormal)
    assert (found.low, found.high, found.centre) == (-2, 2, 0)
    assert found.std == pytest.approx(std, rel=1e-15, abs=0)
    assert found.sigma == pytest.approx(std / 0.87962566103423978, rel=1e-15, abs=0)
    assert found.mean == 0


CHECKS = {
    "uniform": lambda found, std: assert_uniform(found, math.sqrt(3) * std),
    "normal": assert_normal,
    "untruncated_normal": assert_normal,
    "truncated_normal": assert_truncated,
}


@pytest.mark.parametrize("scale", [1.0, 2.0, 1 / 3, 0.0])
@pytest.mark.parametrize("distribution", CHECKS)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
def test_variance_scaling_has_variance_scale_over_fan(mode, distribution, scale):
    for layout, shape, fans in SHAPES:
        found = fi.variance_scaling(scale, mode, distribution, layout=layout).distribution(shape)
        CHECKS[distribution](found, math.sqrt(scale / fan_of(mode, *fans)))
    for shape, axes, fans in AXES:
        found = fi.variance_scaling(scale, mode, distribution, **axes).distribution(shape)
        CHECKS[distribution](found, math.sqrt(scale / fan_of(mode, *fans)))


# Name of the scheme -> (its check, the std from the fans), the frameworks' formulas.
NAMED = {
    "xavier_uniform": ("uniform", lambda i, o: math.sqrt(2 / (i + o))),
    "xavier_normal": ("normal", lambda i, o: math.sqrt(2 / (i + o))),
    "kaiming_uniform": ("uniform", lambda i, o: math.sqrt(2 / i)),
    "kaiming_normal": ("normal", lambda i, o: math.sqrt(2 / i)),
    "glorot_uniform": ("uniform", lambda i, o: math.sqrt(2 / (i + o))),
    "glorot_normal": ("truncated_normal", lambda i, o: math.sqrt(2 / (i + o))),
    "he_uniform": ("uniform", lambda i, o: math.sqrt(2 / i)),
    "he_normal": ("truncated_normal", lambda i, o: math.sqrt(2 / i)),
    "lecun_uniform": ("uniform", lambda i, o: math.sqrt(1 / i)),
    "lecun_normal": ("truncated_normal", lambda i, o: math.sqrt(1 / i)),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_scheme_has_the_scale_of_its_formula(name):
    check, std = NAMED[name]
    for layout, shape, fans in SHAPES:
        CHECKS[check](getattr(fi, name)(layout=layout).distribution(shape), std(*fans))
    for shape, axes, fans in AXES:
        CHECKS[check](getattr(fi, name)(**axes).distribution(shape), std(*fans))


@pytest.mark.parametrize("gain", [0.0, 0.5, 1, 5 / 3, math.sqrt(2)])
def test_xaviers_gain_is_a_factor_on_the_standard_deviation(gain):
    for layout, shape, (fan_in, fan_out) in SHAPES:
        std = gain * math.sqrt(2 / (fan_in + fan_out))
        assert_normal(fi.xavier_normal(gain, layout=layout).distribution(shape), std)
        assert_uniform(
            fi.xavier_uniform(gain, layout=layout).distribution(shape), math.sqrt(3) * std
        )


@pytest.mark.parametrize("nonlinearity", GAINS)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_kaimings_std_is_the_gain_over_the_root_of_the_fan(mode, nonlinearity):
    slope = math.sqrt(5)
    factor = GAINS[nonlinearity]
    if nonlinearity == "leaky_relu":
        factor = math.sqrt(2 / 6)
    for layout, shape, fans in SHAPES:
        std = factor / math.sqrt(fan_of(mode, *fans))
        given = {"a": slope, "mode": mode, "nonlinearity": nonlinearity, "layout": layout}
        assert_normal(fi.kaiming_normal(**given).distribution(shape), std)
        assert_uniform(fi.kaiming_uniform(**given).distribution(shape), math.sqrt(3) * std)


def test_pytorchs_linear_layer_is_kaiming_with_a_slope_of_root_five():
    found = fi.kaiming_uniform(a=math.sqrt(5)).distribution((4096, 11008))
    assert_uniform(found, 1 / math.sqrt(11008))


@pytest.mark.parametrize("factor", [1e-200, 1e-160, 1e150])
def test_a_gain_far_from_one_is_kept(factor):
    """Its square leaves float64, but the standard deviation does not."""
    assert_normal(fi.xavier_normal(factor).distribution((5, 3)), factor / 2)


@pytest.mark.parametrize("name", [*NAMED, "variance_scaling"])
def test_an_empty_tensor_has_a_finite_scale(name):
    for shape in [(0, 5), (5, 0), (0, 0)]:
        assert math.isfinite(getattr(fi, name)().distribution(shape).std)


@pytest.mark.parametrize("name", [*NAMED, "variance_scaling"])
@pytest.mark.parametrize("shape", [(), (5,), 5])
def test_a_shape_without_fans_is_explained(name, shape):
    with pytest.raises(ValueError, match=r"has no fans.*for a bias use zeros\(\)"):
        getattr(fi, name)().distribution(shape)


# --- the plain schemes -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (4, 5), (2, 3, 4, 5), (0, 3)])
def test_a_plain_scheme_is_the_same_for_every_shape(shape):
    assert fi.uniform(-1, 3).distribution(shape) == distributions.Uniform(-1.0, 3.0)
    assert fi.normal(0.02, mean=1).distribution(shape) == distributions.Normal(0.02, 1.0)
    assert fi.zeros().distribution(shape) == distributions.Constant(0.0)
    assert fi.ones().distribution(shape) == distributions.Constant(1.0)
    assert fi.constant(-0.5).distribution(shape) == distributions.Constant(-0.5)
    cut = fi.truncated_normal(0.02, mean=1, low=-1, high=3).distribution(shape)
    assert cut == distributions.TruncatedNormal(0.02, 1.0, -1.0, 3.0)
    cut = fi.clipped_normal(0.02, mean=1, low=-1, high=3).distribution(shape)
    assert cut == distributions.ClippedNormal(0.02, 1.0, -1.0, 3.0)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (3, 3), (-1e308, 1e308), (-2, -1)])
def test_a_uniform_has_the_moments_of_its_interval(low, high):
    found = fi.uniform(low, high).distribution((3,))
    assert found.mean == low / 2 + high / 2
    assert found.std == pytest.approx((high / 2 - low / 2) / math.sqrt(3), rel=1e-15)


@pytest.mark.parametrize(("bound", "std"), TRUNCATED.items())
def test_a_truncated_normal_has_the_published_standard_deviation(bound, std):
    plain = fi.truncated_normal(low=-bound, high=bound).distribution((2,))
    assert plain.std == pytest.approx(std, rel=0, abs=1e-15)
    corrected = fi.truncated_normal(
        0.02, mean=0.5, low=-bound, high=bound, corrected=True
    ).distribution((2,))
    assert corrected.sigma == pytest.approx(0.02 / std, rel=1e-15, abs=0)
    assert corrected.std == pytest.approx(0.02, rel=1e-15, abs=0)
    assert corrected.mean == 0.5


@pytest.mark.parametrize(("bound", "std"), CLIPPED.items())
def test_a_clipped_normal_has_the_published_standard_deviation(bound, std):
    plain = fi.clipped_normal(low=-bound, high=bound).distribution((2,))
    assert plain.std == pytest.approx(std, rel=0, abs=1e-15)
    corrected = fi.clipped_normal(
        0.02, mean=0.5, low=-bound, high=bound, corrected=True
    ).distribution((2,))
    assert corrected.sigma == pytest.approx(0.02 / std, rel=2e-15, abs=0)
    assert corrected.std == pytest.approx(0.02, rel=1e-15, abs=0)
    assert corrected.mean == 0.5


@pytest.mark.parametrize("maker", [fi.truncated_normal, fi.clipped_normal])
def test_infinite_bounds_cut_nothing_off(maker):
    found = maker(0.02, mean=1.0, low=-INF, high=INF).distribution((2,))
    assert (found.mean, found.std) == (1.0, 0.02)
    corrected = maker(0.02, mean=1.0, low=-INF, high=INF, corrected=True)
    assert corrected.distribution((2,)) == found


# One-sided and lopsided intervals; the half normal's moments are sqrt(2/pi), sqrt(1 - 2/pi).
def test_a_half_normal_has_its_moments():
    found = fi.truncated_normal(low=0, high=INF).distribution((2,))
    assert found.mean == pytest.approx(math.sqrt(2 / math.pi), rel=1e-15)
    assert found.std == pytest.approx(math.sqrt(1 - 2 / math.pi), rel=1e-15)
    found = fi.clipped_normal(low=0, high=INF).distribution((2,))
    assert found.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-15)
    assert found.std == pytest.approx(math.sqrt(0.5 - 1 / (2 * math.pi)), rel=1e-15)


@pytest.mark.parametrize(
    ("low", "high"), [(-1, 2), (-5, 0.5), (0.5, 3), (-8, -3), (4, 6), (10, INF), (-INF, 1.0)]
)
def test_lopsided_bounds_have_the_moments_of_scipy(low, high):
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.truncnorm(low, high)
    ours = fi.truncated_normal(low=low, high=high).distribution((2,))
    assert ours.mean == pytest.approx(float(theirs.mean()), rel=1e-10)
    # scipy subtracts; it keeps some 9 digits where the interval lies far out
    assert ours.std == pytest.approx(float(theirs.std()), rel=1e-5)


@pytest.mark.parametrize(
    ("low", "high"), [(-1, 2), (-5, 0.5), (0.5, 3), (-8, -3), (-INF, 1.0), (-0.25, INF)]
)
def test_a_clipped_normals_moments_are_the_integrals(low, high):
    integrate = pytest.importorskip("scipy.integrate")
    special = pytest.importorskip("scipy.special")

    def moment(power):
        def density(x):
            return x**power * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

        inside, _ = integrate.quad(density, max(low, -40), min(high, 40), epsabs=1e-14)
        below = low**power * special.ndtr(low) if low > -INF else 0.0
        above = high**power * special.ndtr(-high) if high < INF else 0.0
        return inside + below + above

    ours = fi.clipped_normal(low=low, high=high).distribution((2,))
    assert ours.mean == pytest.approx(moment(1), rel=1e-12, abs=1e-13)
    assert ours.std**2 == pytest.approx(moment(2) - moment(1) ** 2, rel=1e-7)


# --- mistakes --------------------------------------------------------------------------------

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
for _name in [*NAMED, "variance_scaling"]:
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
