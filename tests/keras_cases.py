# SPDX-License-Identifier: MIT
"""What the tests of Keras share: its random initializers beside their schemes, and its values."""

from __future__ import annotations

import ml_dtypes
import numpy as np

import fastinit as fi

RANDOM = [
    ("RandomNormal", {}, fi.normal(0.05)),
    ("RandomNormal", {"mean": 0.5, "stddev": 0.1}, fi.normal(0.1, mean=0.5)),
    ("RandomUniform", {"minval": -0.1, "maxval": 0.3}, fi.uniform(-0.1, 0.3)),
    ("TruncatedNormal", {"mean": 0.5}, fi.truncated_normal(0.05, mean=0.5)),
    *(
        (
            "VarianceScaling",
            {"scale": 0.3, "mode": mode, "distribution": name},
            fi.variance_scaling(0.3, mode, name, layout="keras"),
        )
        for mode, name in [
            ("fan_avg", "truncated_normal"),
            ("fan_out", "untruncated_normal"),
            ("fan_in", "uniform"),
        ]
    ),
    (
        "VarianceScaling",
        {"distribution": "normal"},
        fi.variance_scaling(distribution="truncated_normal", layout="keras"),
    ),
    *(
        (f"{name}{kind}", {}, getattr(fi.schemes, f"{name}_{kind}".lower())(layout="keras"))
        for name in ("Glorot", "He", "Lecun")
        for kind in ("Normal", "Uniform")
    ),
]
"""Name, arguments and the scheme of the same distribution."""

AXES = [
    ([0], [1, 2], (64, 4, 16)),
    ([0, 1], [2], (4, 16, 64)),
    ([2], [3], (3, 3, 16, 32)),
    ([-2], [-1], (3, 3, 16, 32)),
    ([0], None, (3, 3, 16, 32)),
    ([], [0, 1], (16, 32)),
]
"""Input axes, output axes and a shape."""


def shown(value):
    """A short name of a case."""
    return value if isinstance(value, str) else None


def numpy_of(value):
    """The values of a variable or tensor of any backend, bfloat16 as NumPy's."""
    import keras

    found = getattr(value, "value", value)
    if keras.backend.backend() != "torch":
        return np.asarray(found)
    import torch

    found = found.detach().cpu()
    if found.dtype == torch.bfloat16:
        return found.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return found.numpy()
