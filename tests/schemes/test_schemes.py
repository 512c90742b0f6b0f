# SPDX-License-Identifier: MIT
"""Schemes against their formulas: scales, fans, gains, constants.

Draws nothing; text forms are in test_scheme_texts.py, mistakes in test_scheme_mistakes.py, the
frameworks' own numbers in test_framework_scales.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.values import distributions

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
    assert fi.schemes.gain(nonlinearity) == expected


@pytest.mark.parametrize("slope", [0, 0.0, 0.01, -0.2, 1, math.sqrt(5), 1e9])
def test_the_gain_of_leaky_relu_follows_from_its_slope(slope):
    assert fi.schemes.gain("leaky_relu", slope) == math.sqrt(2 / (1 + slope * slope))


def test_a_gain_takes_numpys_numbers():
    assert fi.schemes.gain("leaky_relu", np.float64(1.0)) == 1.0
    assert fi.schemes.gain("leaky_relu", np.float32(1.0)) == 1.0
    assert fi.schemes.gain("leaky_relu", np.int64(1)) == 1.0


@pytest.mark.parametrize("name", ["gelu", "ReLU", "", None, 3, ["relu"]])
def test_an_unknown_nonlinearity_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="choose from") as caught:
        fi.schemes.gain(name)
    listed = str(caught.value).split("choose from ")[1].split(", ")
    assert sorted(listed) == sorted(GAINS)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("slope", ["0.1", math.nan, True, 1j, [0.1]])
def test_a_slope_that_is_no_number_is_refused(slope):
    with pytest.raises(
        (TypeError, ValueError), match=r"slope of leaky_relu.*need a (finite )?number"
    ):
        fi.schemes.gain("leaky_relu", slope)


@pytest.mark.parametrize("name", sorted(GAINS.keys() - {"leaky_relu"}))
def test_only_leaky_relu_takes_a_parameter(name):
    with pytest.raises(ValueError, match=f"{name}.* takes no param; 0.1 was given"):
        fi.schemes.gain(name, 0.1)


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
        CHECKS[check](getattr(fi.schemes, name)(layout=layout).distribution(shape), std(*fans))
    for shape, axes, fans in AXES:
        CHECKS[check](getattr(fi.schemes, name)(**axes).distribution(shape), std(*fans))


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
        assert math.isfinite(getattr(fi.schemes, name)().distribution(shape).std)


@pytest.mark.parametrize("name", [*NAMED, "variance_scaling"])
@pytest.mark.parametrize("shape", [(), (5,), 5])
def test_a_shape_without_fans_is_explained(name, shape):
    with pytest.raises(ValueError, match=r"has no fans.*for a bias use zeros\(\)"):
        getattr(fi.schemes, name)().distribution(shape)


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
