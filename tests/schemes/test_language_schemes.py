# SPDX-License-Identifier: MIT
"""Rules of language models: scales against numbers worked out by mpmath, and mistakes explained.

Where a package has the rule as a function, the number is also what that returned; its version is
beside it.  Text forms are in test_scheme_texts.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastinit as fi
from fastinit.values import distributions

NAN, INF = math.nan, math.inf
WIDTHS = [(64, 64), (256, 64), (8, 64, 256), (64,), ()]


def normal(std):
    return distributions.Normal, std, -INF, INF


def cut(sigma):
    """At 3 sigma, uncorrected."""
    return distributions.TruncatedNormal, sigma, -3.0, 3.0


def absolute(sigma):
    """At -2 and 2 in units of the weights."""
    return distributions.TruncatedNormal, sigma, -2 / sigma, 2 / sigma


def assert_is(found, expected):
    kind, sigma, low, high = expected
    assert type(found) is kind
    assert found.sigma == pytest.approx(sigma, rel=4e-16, abs=0)
    assert found.centre == 0
    bounds = (found.low, found.high) if kind is distributions.TruncatedNormal else (-INF, INF)
    assert bounds == pytest.approx((low, high), rel=4e-16)


# The rules that look at no shape.
SCALES = [
    (fi.schemes.gpt2_residual(layers=12), normal(0.00408248290463863)),
    (fi.schemes.gpt2_residual(layers=24), normal(0.002886751345948129)),
    (fi.schemes.gpt2_residual(layers=48), normal(0.002041241452319315)),
    (fi.schemes.gpt2_residual(0.006, layers=50), normal(0.0006)),
    (fi.schemes.megatron_scaled_normal(layers=12), normal(0.00408248290463863)),
    # megatron-core's own unit test of mup_scaled_init_method_normal
    (fi.schemes.megatron_scaled_normal(0.02, layers=2, width_multiplier=4), normal(0.005)),
    (
        fi.schemes.megatron_scaled_normal(0.01, layers=24, multiplier=1, width_multiplier=16),
        normal(0.0005103103630798287),
    ),
    (
        fi.schemes.megatron_scaled_normal(layers=32, width_multiplier=8),
        normal(0.0008838834764831844),
    ),
    # torchtitan 0.3.0, depth_scaled_std(0.02, layer)
    (fi.schemes.depth_scaled_normal(layer=0), normal(0.014142135623730949)),
    (fi.schemes.depth_scaled_normal(layer=1), normal(0.01)),
    (fi.schemes.depth_scaled_normal(layer=11), normal(0.00408248290463863)),
    (fi.schemes.depth_scaled_normal(1.0, layer=31), normal(0.125)),
    (fi.schemes.torchtitan(), absolute(0.02)),
    (fi.schemes.torchtitan(layer=0), absolute(0.014142135623730949)),
    (fi.schemes.torchtitan(layer=31), absolute(0.0025)),
    (fi.schemes.torchtitan(1.0), absolute(1.0)),
    (fi.schemes.torchtitan_output(width=768), cut(0.03608439182435161)),
    (fi.schemes.torchtitan_output(width=5120), cut(0.013975424859373685)),
    (fi.schemes.olmo_core(), cut(0.02)),
    (fi.schemes.olmo_core(layers=12), cut(0.00408248290463863)),
    (fi.schemes.olmo_core(layers=1), cut(0.014142135623730949)),
    (fi.schemes.olmo_core(layer=0), cut(0.014142135623730949)),
    (fi.schemes.olmo_core(layer=11), cut(0.00408248290463863)),
    (fi.schemes.small_init(width=512), normal(0.02795084971874737)),
    (fi.schemes.small_init(width=6144), normal(0.008068715304598786)),
    (fi.schemes.wang_init(width=6144, layers=44), normal(0.0005798981398634418)),
    (fi.schemes.wang_init(width=768, layers=12), normal(0.006014065304058602)),
    (fi.schemes.ngpt(width=768), normal(0.03608439182435161)),
    (fi.schemes.ngpt(width=768, layers=12), normal(0.00736569563735987)),
]


@pytest.mark.parametrize(("scheme", "expected"), SCALES, ids=[str(row[0]) for row in SCALES])
def test_a_rule_of_width_and_depth_has_its_scale_in_every_shape(scheme, expected):
    for shape in WIDTHS:
        assert_is(scheme.distribution(shape), expected)


def test_mitchell_goes_by_the_fan_and_the_depth():
    """OLMo-7B's blocks: ff_out has more inputs than attn_out."""
    assert_is(fi.schemes.mitchell().distribution((4096, 11264)), cut(0.009422229518055113))
    assert_is(fi.schemes.mitchell().distribution((50304, 4096)), cut(0.015625))
    assert_is(fi.schemes.mitchell(layer=0).distribution((4096, 4096)), cut(0.011048543456039806))
    assert_is(fi.schemes.mitchell(layer=31).distribution((4096, 11264)), cut(0.0011777786897568892))
    stacked = fi.schemes.mitchell(layer=0, batch_axis=0).distribution((8, 4096, 4096))
    assert_is(stacked, cut(0.011048543456039806))
    jax = fi.schemes.mitchell(layer=31, layout="jax").distribution((11264, 4096))
    assert_is(jax, cut(0.0011777786897568892))


def test_three_sigma_cut_off_makes_the_values_narrower_than_the_bell():
    found = fi.schemes.olmo_core().distribution((64, 64))
    assert found.std == pytest.approx(0.02 * 0.98657839255810864, rel=1e-15)


def test_the_values_of_a_truncated_rule_stay_within_their_bounds():
    cut_at_3 = fi.array((512, 512), fi.schemes.torchtitan_output(width=512), seed=3, name="output")
    assert 2.99 < np.abs(cut_at_3).max() * 512**0.5 <= 3
    absolute = fi.array((512, 512), fi.schemes.torchtitan(), seed=3, name="wq")
    assert 0.08 < np.abs(absolute).max() < 0.13
    wide = fi.array((512, 512), fi.schemes.torchtitan(1.0), seed=3, name="wq")
    assert 1.99 < np.abs(wide).max() <= 2


def test_a_std_of_zero_is_zeros_even_between_absolute_bounds():
    assert not fi.array((4, 4), fi.schemes.torchtitan(0), seed=0, name="w").any()


def test_dummy_weights_are_small_and_uniform():
    assert fi.schemes.dummy().distribution((3, 4)) == distributions.Uniform(-0.001, 0.001)
    assert fi.schemes.dummy(-1, high=2).distribution(()) == distributions.Uniform(-1.0, 2.0)


def test_two_names_of_one_rule_have_equal_bits():
    assert (
        fi.schemes.gpt2_residual(0.02, layers=27).distribution((4, 4))
        == fi.schemes.megatron_scaled_normal(0.02, layers=27).distribution((4, 4))
        == fi.schemes.depth_scaled_normal(0.02, layer=26).distribution((4, 4))
    )
    assert fi.schemes.mitchell().distribution((9, 77)) == fi.schemes.torchtitan_output(
        width=77
    ).distribution((9, 77))


def takes(name):
    """What a rule cannot do without, so that one argument at a time can be wrong."""
    return {
        "gpt2_residual": {"layers": 2},
        "megatron_scaled_normal": {"layers": 2},
        "depth_scaled_normal": {"layer": 2},
        "torchtitan_output": {"width": 8},
        "small_init": {"width": 8},
        "wang_init": {"width": 8, "layers": 2},
        "ngpt": {"width": 8},
    }.get(name, {})


COUNTS = [
    *[(name, "layers") for name in ("gpt2_residual", "megatron_scaled_normal", "olmo_core")],
    *[("wang_init", "layers"), ("ngpt", "layers")],
    *[(name, "width") for name in ("torchtitan_output", "small_init", "wang_init", "ngpt")],
]
INDICES = [(name, "layer") for name in ("depth_scaled_normal", "torchtitan", "olmo_core")]
INDICES.append(("mitchell", "layer"))
STDS = ("gpt2_residual", "megatron_scaled_normal", "depth_scaled_normal", "torchtitan", "olmo_core")
MISTAKES = [
    *[(n, {w: 0}, ValueError, f"{w} is 0: need a whole number of 1 or more") for n, w in COUNTS],
    *[(n, {w: -1}, ValueError, f"{w} is -1: need a whole number of 0 or more") for n, w in INDICES],
    *[(n, {w: 2**63}, ValueError, f"{w} is 9.*: need less than 2") for n, w in COUNTS + INDICES],
    *[(n, {w: True}, TypeError, f"{w} is True: need a whole number") for n, w in COUNTS + INDICES],
    *[(n, {w: 2.5}, TypeError, f"{w} is 2.5: need a whole number") for n, w in COUNTS + INDICES],
    *[(n, {w: "2"}, TypeError, f"{w} is '2': need a whole number") for n, w in COUNTS + INDICES],
    *[(n, {"std": -1}, ValueError, "std is -1.0: need a finite number >= 0") for n in STDS],
    *[(n, {"std": NAN}, ValueError, "std is nan: need a finite number >= 0") for n in STDS],
    *[(n, {"std": "2"}, TypeError, "std is '2': need a number") for n in STDS],
    ("torchtitan", {"std": 1e5}, ValueError, "narrower than 2.*sigma"),
    ("olmo_core", {"layers": 2, "layer": 1}, ValueError, "llama_depth, not both"),
    ("mitchell", {"layout": "x"}, ValueError, "layout 'x' is unknown"),
    ("mitchell", {"layout": "x", "layer": 1}, ValueError, "layout 'x' is unknown"),
    ("dummy", {"low": 1}, ValueError, "low is 1.0 and high 0.001: need low <= high"),
    ("dummy", {"low": -INF}, ValueError, "low is -inf"),
]
for _name in ("multiplier", "width_multiplier"):
    MISTAKES += [
        ("megatron_scaled_normal", {_name: value}, ValueError, f"{_name} is {shown}: need a finite")
        for value, shown in [(0, "0.0"), (-1, "-1.0"), (NAN, "nan"), (INF, "inf")]
    ]


@pytest.mark.parametrize(("name", "wrong", "error", "words"), MISTAKES)
def test_a_wrong_argument_is_explained(name, wrong, error, words):
    with pytest.raises(error, match=words):
        getattr(fi.schemes, name)(**{**takes(name), **wrong})


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        *[("gpt2_residual", "layers"), ("megatron_scaled_normal", "layers")],
        *[("depth_scaled_normal", "layer"), ("torchtitan_output", "width")],
        *[("small_init", "width"), ("wang_init", "layers"), ("ngpt", "width")],
    ],
)
def test_a_size_that_a_rule_needs_must_be_given(name, missing):
    given = {key: value for key, value in takes(name).items() if key != missing}
    with pytest.raises(TypeError, match=rf"{name}\(.*missing a required.*'{missing}'"):
        getattr(fi.schemes, name)(**given)
    if not given:
        with pytest.raises(TypeError, match="positional"):
            getattr(fi.schemes, name)(0.02, 12)


def test_a_text_takes_the_sizes_of_a_model():
    sizes = {"layers": 32, "width": 4096}
    assert fi.scheme("gpt2_residual(layers=layers)", sizes) == fi.schemes.gpt2_residual(layers=32)
    assert str(fi.schemes.wang_init(width=4096, layers=32)) == "wang_init(width=4096, layers=32)"
    assert str(fi.schemes.olmo_core(layer=0)) == "olmo_core(layer=0)"
    assert (
        fi.scheme("olmo_core(layer=0)") == fi.schemes.olmo_core(layer=0) != fi.schemes.olmo_core()
    )
    assert fi.scheme("torchtitan(layer=None)") == fi.schemes.torchtitan()
