# SPDX-License-Identifier: MIT
"""muP and the spectral rule: scales against the mup package and mpmath, and mistakes explained.

Text forms are in test_scheme_texts.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from mup_scales import MUP

import fastinit as fi
from fastinit.values import distributions

NAN, INF = math.nan, math.inf

IDS = [f"{shape}-{base}" for (shape, base), *_ in MUP]


@pytest.mark.parametrize(("shapes", "xavier", "fan_in", "fan_out"), MUP, ids=IDS)
def test_mup_is_the_packages(shapes, xavier, fan_in, fan_out):
    """To one rounding: for a power of 1/2 the package calls `pow`."""
    shape, base = shapes

    def numbers(name, *args):
        normal = getattr(fi.schemes, f"mup_{name}_normal")(*args, base_shape=base).distribution(
            shape
        )
        uniform = getattr(fi.schemes, f"mup_{name}_uniform")(*args, base_shape=base).distribution(
            shape
        )
        assert type(normal) is distributions.Normal
        assert type(uniform) is distributions.Uniform
        assert uniform.low == -uniform.high
        return normal.sigma, uniform.high

    assert numbers("xavier", 1.5) == xavier
    assert numbers("kaiming", 0.1) == pytest.approx(fan_in, rel=2.3e-16, abs=0)
    assert numbers("kaiming", 0.1, "fan_out") == pytest.approx(fan_out, rel=2.3e-16, abs=0)


@pytest.mark.parametrize("shape", [(64, 32), (7, 5), (32, 16, 3, 3)])
def test_mup_in_the_base_model_is_the_plain_rule(shape):
    given = {"base_shape": shape}
    for name, args in [("xavier", (0.5,)), ("kaiming", (0.0, "fan_out", "tanh"))]:
        for kind in ("normal", "uniform"):
            theirs = getattr(fi.schemes, f"{name}_{kind}")(*args).distribution(shape)
            ours = getattr(fi.schemes, f"mup_{name}_{kind}")(*args, **given).distribution(shape)
            assert ours == theirs


def test_mup_takes_all_ways_to_find_the_fans():
    plain = fi.schemes.mup_xavier_normal(base_shape=(64, 32)).distribution((256, 96))
    for options, base, shape in [
        ({"layout": "jax"}, (32, 64), (96, 256)),
        ({"batch_axis": 0}, (2, 64, 32), (8, 256, 96)),  # more experts are no wider model
        ({"packed": 3}, (192, 32), (768, 96)),
        ({"in_axis": 0, "out_axis": (1, 2)}, (32, 4, 16), (96, 16, 16)),
    ]:
        made = fi.schemes.mup_xavier_normal(base_shape=base, **options)
        assert made.distribution(shape) == plain
        assert fi.scheme(str(made)).distribution(shape) == plain


def test_a_hidden_weight_is_narrowed_by_the_root_of_the_multiplier():
    shape = (96, 96)
    found = fi.schemes.mup_normal(0.02, width_multiplier=12).distribution(shape)
    assert found == distributions.Normal(0.005773502691896258, 0.0)
    found = fi.schemes.mup_uniform(0.1, width_multiplier=12).distribution(shape)
    assert found == distributions.Uniform(-0.02886751345948129, 0.02886751345948129)
    found = fi.schemes.mup_truncated_normal(0.02, width_multiplier=12).distribution(shape)
    assert found == distributions.TruncatedNormal(0.005773502691896258, 0.0, -2.0, 2.0)
    found = fi.schemes.mup_truncated_normal(0.02, cutoff=3, width_multiplier=0.25).distribution(
        shape
    )
    assert found == distributions.TruncatedNormal(0.04, 0.0, -3.0, 3.0)
    assert fi.schemes.mup_normal(width_multiplier=1).distribution(
        shape
    ) == fi.normal().distribution(shape)


@pytest.mark.parametrize(
    ("multiplier", "fan_in", "bound"), [(12, 768, 0.125), (3, 1000, 0.05477225575051661)]
)
def test_a_readout_is_as_wide_as_in_the_base_model(multiplier, fan_in, bound):
    """mup 1.0.0: MuReadout(768, 10), 12 times the base, holds values up to 0.1250."""
    found = fi.schemes.mup_readout(width_multiplier=multiplier).distribution((10, fan_in))
    assert found == distributions.Uniform(-bound, bound)
    base = fi.schemes.torch_linear().distribution((10, fan_in // multiplier)).high
    assert found.high == pytest.approx(base, rel=2e-3)


@pytest.mark.parametrize(
    ("gain", "shape", "std"),
    [
        (1.0, (768, 768), 0.03608439182435161),
        (1.0, (3072, 768), 0.03608439182435161),
        (1.0, (768, 3072), 0.009021097956087902),
        (2.0, (64, 3, 3, 3), 0.3849001794597505),
    ],
)
def test_spectral_shrinks_where_outputs_are_fewer(gain, shape, std):
    found = fi.schemes.spectral(gain).distribution(shape)
    assert isinstance(found, distributions.Normal)
    assert (found.centre, found.sigma) == (0, pytest.approx(std, rel=4e-16, abs=0))


@pytest.mark.parametrize("shape", [(512, 128), (256, 256), (128, 512)])
def test_spectral_has_a_norm_of_the_order_of_the_root_of_outputs_over_inputs(shape):
    """The norm of a Gaussian matrix is near (sqrt(rows) + sqrt(columns)) sigma."""
    values = fi.array(shape, fi.schemes.spectral(), seed=1, name="w")
    norm = float(np.linalg.norm(values, 2)) / math.sqrt(shape[0] / shape[1])
    assert 1.3 < norm < 2.1


def test_spectral_packs_matrices_of_different_fans():
    found = fi.schemes.spectral(packed=(64, 16)).distribution((80, 64))
    assert [part.sigma for part in found.parts] == [0.125, 0.0625]


# --- mistakes --------------------------------------------------------------------------------

NEED = {"width_multiplier": 2}
MISTAKES = [
    ("mup_uniform", NEED, TypeError, r"mup_uniform\(.*'bound'"),
    ("mup_uniform", {"bound": -1, **NEED}, ValueError, "bound is -1.0: need a finite number >= 0"),
    ("mup_normal", {"std": NAN, **NEED}, ValueError, "std is nan: need a finite number >= 0"),
    ("mup_truncated_normal", {"std": -1, **NEED}, ValueError, "std is -1.0: need a finite"),
    ("mup_truncated_normal", {"cutoff": 0, **NEED}, ValueError, "cutoff is 0.0: need a finite"),
    ("mup_truncated_normal", {"cutoff": INF, **NEED}, ValueError, "cutoff is inf: need a finite"),
    ("mup_truncated_normal", {"cutoff": 2**-12, **NEED}, ValueError, "narrower than"),
    ("mup_readout", {"layout": "x", **NEED}, ValueError, "layout 'x' is unknown"),
    ("mup_xavier_normal", {"gain": -1, "base_shape": (2, 2)}, ValueError, "gain is -1.0"),
    ("mup_xavier_uniform", {"gain": NAN, "base_shape": (2, 2)}, ValueError, "gain is nan"),
    ("mup_kaiming_normal", {"a": NAN, "base_shape": (2, 2)}, ValueError, "a is nan"),
    (
        "mup_kaiming_uniform",
        {"mode": "fan_avg", "base_shape": (2, 2)},
        ValueError,
        "choose from fan_in, fan_out; variance_scaling",
    ),
    (
        "mup_kaiming_uniform",
        {"nonlinearity": "gelu", "base_shape": (2, 2)},
        ValueError,
        "nonlinearity 'gelu' is unknown",
    ),
    ("spectral", {"gain": -1}, ValueError, "gain is -1.0: need a finite number >= 0"),
    ("spectral", {"layout": "x"}, ValueError, "layout 'x' is unknown"),
]
for _name in ("mup_normal", "mup_uniform", "mup_truncated_normal", "mup_readout"):
    _bound = {"bound": 1} if _name == "mup_uniform" else {}
    MISTAKES += [
        (_name, {**_bound, "width_multiplier": value}, ValueError, f"width_multiplier is {shown}:")
        for value, shown in [(0, "0.0"), (-2, "-2.0"), (NAN, "nan"), (INF, "inf")]
    ]
    MISTAKES += [
        (_name, {**_bound, "width_multiplier": "2"}, TypeError, "width_multiplier is '2': need a"),
        (_name, {**_bound, "width_multiplier": True}, TypeError, "width_multiplier is True: need"),
        (_name, _bound, TypeError, rf"{_name}\(.*missing a required.*'width_multiplier'"),
    ]
BASED = [f"mup_{name}_{kind}" for name in ("xavier", "kaiming") for kind in ("normal", "uniform")]
for _name in BASED:
    MISTAKES += [
        (_name, {}, TypeError, rf"{_name}\(.*missing a required.*'base_shape'"),
        (_name, {"base_shape": (5,)}, ValueError, r"shape \(5,\) has no fans"),
        (_name, {"base_shape": 5}, ValueError, r"shape \(5,\) has no fans"),
        (_name, {"base_shape": (5,), "layout": "keras"}, ValueError, r"shape \(5,\) has no fans"),
        (_name, {"base_shape": (5, 0)}, ValueError, r"base_shape is \(5, 0\): need axes of 1 or"),
        (_name, {"base_shape": (5, -1)}, ValueError, "axis of -1: need integers"),
        (_name, {"base_shape": (5, 2.5)}, TypeError, "base_shape is .*2.5.*need an integer"),
        (_name, {"base_shape": "5"}, TypeError, "base_shape is '5': need an integer"),
        (_name, {"base_shape": (2, 2), "layout": "x"}, ValueError, "layout 'x' is unknown"),
        (
            _name,
            {"base_shape": (6, 2), "packed": (4, 2)},
            ValueError,
            "take each matrix's shape, or one number",
        ),
        (_name, {"base_shape": (6, 2), "packed": 4}, ValueError, "packed=4 does not divide the 6"),
    ]


@pytest.mark.parametrize(("name", "wrong", "error", "words"), MISTAKES)
def test_a_wrong_argument_is_explained(name, wrong, error, words):
    with pytest.raises(error, match=words):
        getattr(fi.schemes, name)(**wrong)


@pytest.mark.parametrize("name", BASED)
def test_a_shape_that_is_no_wider_base_shape_is_explained(name):
    made = getattr(fi.schemes, name)(base_shape=(32, 16, 3, 3))
    with pytest.raises(ValueError, match=r"shape \(64, 16\) has 2 axes, but base_shape .* has 4"):
        made.distribution((64, 16))
    with pytest.raises(ValueError, match=r"the kernel of shape .* differs from that of base_shape"):
        made.distribution((64, 16, 5, 3))
    for shape in [(0, 16, 3, 3), (32, 0, 3, 3), (64, 0, 3, 3), (0, 0, 3, 3)]:
        assert math.isfinite(made.distribution(shape).std)


@pytest.mark.parametrize(
    "scheme", [fi.schemes.spectral(), fi.schemes.mup_readout(width_multiplier=2)]
)
def test_a_rule_of_fans_needs_them(scheme):
    with pytest.raises(ValueError, match=r"shape \(5,\) has no fans"):
        scheme.distribution((5,))
    for shape in [(0, 5), (5, 0), (0, 0)]:
        assert math.isfinite(scheme.distribution(shape).std)
