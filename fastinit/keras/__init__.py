# SPDX-License-Identifier: MIT
"""Keras: initializers by Keras's names, and models whose weights are drawn by their paths.

This file holds the public names.  The import registers the initializers with Keras, as
``"fastinit>HeNormal"`` and so on.
"""

from fastinit.keras import requirement as _requirement

_requirement.check()

# isort: split
from fastinit.keras.initialize import initialize  # noqa: E402 - only now
from fastinit.keras.initializers import (  # noqa: E402
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)
from fastinit.keras.plans import plan  # noqa: E402

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "initialize",
    "plan",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
