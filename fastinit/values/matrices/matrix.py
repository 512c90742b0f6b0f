# SPDX-License-Identifier: MIT
"""What the distributions of a whole tensor share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.numerics.dtypes import DType
from fastinit.numerics.dtypes import wide as wide
from fastinit.values.distributions import Distribution, Normal
from fastinit.values.distributions import unit_of as unit_of
from fastinit.values.samplers import Generator
from fastinit.values.stream import Stream


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


def mixture(parts: Iterable[tuple[float, float, float]]) -> tuple[float, float]:
    """Mean and standard deviation of a mixture of parts, each of them (share, mean, std).

    A power of two divides them all first, which is exact, so that no square overflows or vanishes.
    """
    rows = list(parts)
    largest = max((max(abs(mean), std) for share, mean, std in rows if share), default=0.0)
    unit = unit_of(largest)
    rows = [(share, mean / unit, std / unit) for share, mean, std in rows if share]
    mean = sum(share * mean for share, mean, _ in rows)
    square = sum(share * (std**2 + (part - mean) ** 2) for share, part, std in rows)
    return mean * unit, math.sqrt(square) * unit


def rounding(dtype: DType, scale: float, steps: float) -> float:
    """How much the linear algebra of two builds may differ, for values of the order of `scale`.

    `steps` of the smallest denormal, of the type in which it is computed, are added.
    """
    relative = 1e-12 if dtype.name == "float64" else 2e-6
    return scale * relative + steps * wide(dtype).least


def normals(dtype: DType, stream: Stream, count: int, generator: Generator) -> npt.NDArray[Any]:
    """The first `count` standard normals of a stream."""
    out = np.empty(count, dtype.numpy)
    if count:
        Normal(1.0, 0.0).sampler(dtype, stream, generator).draw(out.view(np.uint8), 0)
    return out
