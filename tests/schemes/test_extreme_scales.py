# SPDX-License-Identifier: MIT
"""Scales at the ends of float64, in every scheme and dtype: a clear refusal, or what verifies.

No other error, no warning (pytest makes them errors), and nothing that is not finite.
"""

from __future__ import annotations

import inspect
import math
import re

import numpy as np
import pytest
import reference as ref
from scheme_calls import scheme_from

import fastinit as fi
from fastinit.schemes.registry import SCHEMES

DTYPES = list(ref.DTYPES)
ENDS = [1e-320, 1e-310, 1e-200, 1e-100, 1e-44, 1e-38, 1e-9, 1e5, 1e38, 3.4028234e38, 1e155, 1e300]
MORE = [5e-324, 2.3e-308, 1e-300, 1e-155, 7e-46, 1e-45, 1e-41, 1e-39, 1e-36, 1e-30, 1e-7, 1e-5]
MORE += [1e-3, 0.0, 1.0, 400.0, 448.0, 6e4, 65504.0, 1e30, 5e30, 1e37, 1e39, 1e154, 1e291, 1.7e308]
COUNTS = [1, 10**6, 2**40, 2**63 - 1]
NEEDED = {
    "layer": 2,
    "layers": 3,
    "width": 7,
    "hidden": 7,
    "fan_in": 7,
    "width_multiplier": 2.0,
    "base_shape": (3, 7),
    "low": -1.0,
    "high": 2.0,
    "value": 1.0,
    "bound": 0.1,
    "pairs": ("2:4, ::3", fi.normal(1e-30), "1:3", fi.orthogonal(1e30)),
    "sparsity": 0.3,
    "init": fi.uniform(-1, 1),
    "expression": "1e300 * minimum(x, 2)",
    "of": "v",
    "shape": (6, 11),
    "region": "1:5, ::3",
    "axes": 0,
    "start": 1.0,
    "end": 2.0,
    "kind": "halves",
    "values": (1e-320, 1e-41, 1e30, 5e37),
}
OTHERS_NEEDED = {
    "log_uniform": {"low": 0.5},
    "inverse_softplus_log_uniform": {"low": 0.5},
    "table": {"expression": "1e30 * i0 + exp(-87 - i1)"},
}
IN_A_PART = ("deepnorm", "sub_ln", "t_fixup", "t_fixup_embedding")
OPTIONS = {
    "clipped_normal": {"corrected": True},
    "truncated_normal": {"corrected": True},
    "torch_embedding": {"padding": 1},
    "xavier_normal": {"packed": (2, 4)},
    "variance_scaling": {"distribution": "uniform", "packed": (2, 4)},
    "siren": {"first": True},
    "mup_kaiming_normal": {"mode": "fan_out"},
}
SHAPES = {
    "delta_orthogonal": [(6, 4, 3), (1, 1, 1)],
    "dirac": [(6, 4, 3)],
    "torch_bilinear": [(2, 7, 3)],
    "keras_lstm_bias": [(8,)],
    "orthogonal": [(6, 11), (1, 1), (1, 9), (0, 7)],
    "spectral_normalised": [(6, 11), (1, 1), (9, 1), (7, 0)],
    "norms_of": [(6, 1)],
    "slice_of": [(4, 4)],
    "literal": [(4,)],
}
MAKERS = {name: maker for name, maker in SCHEMES.items() if name != "auto"}


def calls(name, ends):
    """The scheme with each of its numbers, one after the other, at each end."""
    parameters = inspect.signature(MAKERS[name]).parameters
    needed = {key: NEEDED[key] for key, p in parameters.items() if p.default is p.empty}
    needed |= OTHERS_NEEDED.get(name, {})
    if name in IN_A_PART:
        needed["encoder_layers"] = 3
    for options in ({}, OPTIONS[name]) if name in OPTIONS else ({},):
        yield needed | options
        for key, parameter in parameters.items():
            kind = str(parameter.annotation).partition(" | ")[0]
            if kind == "float":
                for end in ends:
                    yield needed | options | {key: end}
                    yield needed | options | {key: -end}
            elif kind == "int" and key not in ("groups", "column_axis", "padding", "axis"):
                for count in COUNTS:
                    yield needed | options | {key: count}


def check_explained(error):
    """A mistake that this library explains: neither a subclass nor what `math` says by itself."""
    if type(error) is not ValueError or str(error).startswith("math domain"):
        raise error


def tensors(name, ends):
    """Those of the calls that give finite values, a tensor for each shape and dtype."""
    found = []
    for arguments in calls(name, ends):
        for shape in SHAPES.get(name, [(6, 11)]):
            try:
                scheme = scheme_from(name, arguments)
                distribution = scheme.distribution(shape)
            except ValueError as error:
                check_explained(error)
                continue
            assert not math.isnan(distribution.mean), arguments
            assert distribution.std >= 0, arguments
            for dtype in DTYPES:
                try:
                    values = fi.array(shape, scheme, seed=1, name="w", dtype=dtype)
                except ValueError as error:
                    check_explained(error)
                    continue
                assert np.isfinite(values.astype(np.float64)).all(), (arguments, dtype)
                found.append(fi.Tensor(f"{len(found)}", shape, scheme, dtype))
    return found


def check(name, ends, folder):
    drawn = tensors(name, ends)
    assert drawn
    fi.write(fi.Plan(drawn), folder, seed=1, durability="none")
    assert fi.verify(folder).tensors == len(drawn)


@pytest.mark.parametrize("name", MAKERS)
def test_a_scale_at_an_end_is_refused_or_verifies(name, tmp_path):
    check(name, ENDS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_every_scale_is_refused_or_verifies(name, tmp_path):
    check(name, ENDS + MORE, tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gain_next_to_the_last_number_is_refused(dtype):
    """Rounding may make an element larger than 1; 1e300 and the like leave no room for it."""
    largest = float(np.finfo(dtype).max)
    for scheme, shape in ((fi.orthogonal, (5, 5)), (fi.schemes.delta_orthogonal, (5, 5, 1))):
        with pytest.raises(ValueError, match=re.escape(f"gain {largest!r} is too large: ")):
            fi.array(shape, scheme(largest), seed=1, name="w", dtype=dtype)
        fi.array(shape, scheme(largest * 0.99999), seed=1, name="w", dtype=dtype)


def test_moments_of_parts_neither_overflow_nor_vanish():
    for std in (1e-300, 1.0, 1e300):
        plain = fi.schemes.torch_embedding(std, padding=1).distribution((4, 9))
        assert math.isclose(plain.std, std * math.sqrt(3 / 4), rel_tol=1e-12)
        placed = fi.schemes.delta_orthogonal(std).distribution((4, 4, 3))
        assert math.isclose(placed.std, std / math.sqrt(4 * 3), rel_tol=1e-12)
