# SPDX-License-Identifier: MIT
"""What the distributions of a whole tensor share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.distributions import Distribution, Normal
from fastinit.dtypes import DTYPES, DType
from fastinit.stream import Stream


@dataclass(frozen=True)
class Matrix(Distribution):
    """The values of a whole tensor of one shape.

    `mean` and `std` are those of a value taken from a random place in it.
    """

    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)


def wide(dtype: DType) -> DType:
    """The type that linear algebra for `dtype` is done in: float64 for itself, else float32."""
    return DTYPES["float64" if dtype.name == "float64" else "float32"]


def rounding(dtype: DType) -> float:
    """How much linear algebra of two builds may differ, for values of the order of 1."""
    return 1e-12 if dtype.name == "float64" else 2e-6


def normals(dtype: DType, stream: Stream, count: int) -> npt.NDArray[Any]:
    """The first `count` standard normals of a stream."""
    out = np.empty(count, dtype.numpy)
    if count:
        Normal(1.0, 0.0).sampler(dtype, stream).draw(out.view(np.uint8), 0)
    return out
