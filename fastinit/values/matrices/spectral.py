# SPDX-License-Identifier: MIT
"""Normal matrices scaled to a spectral norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastinit.machine.parallel import stop_if_asked
from fastinit.numerics.dtypes import DType
from fastinit.numerics.linalg import spectral_norm
from fastinit.values.distributions import ClippedNormal, Constant, Independent
from fastinit.values.matrices.blocks import Blocks
from fastinit.values.matrices.matrix import Matrix, normals, rounding, wide
from fastinit.values.samplers import Generator, LazySampler, Range, Sampler
from fastinit.values.stream import Stream

LEAST_NORMAL = {"float32": 2.0**-26, "float64": 2.0**-54}
"""No standard normal but 0 is smaller (docs/stream.md 5, 10), so no norm of a matrix of them."""


REACH = 10
"""More than any standard normal: a denormal step of the scale moves a value by fewer steps."""


@dataclass(frozen=True)
class SpectralNormal(Matrix):
    """The stream's normals times the number that makes the largest singular value `norm`.

    The first `stacked` axes stack matrices, each with a number of its own.  The rows of a matrix
    are the indices of `axis`, its columns those of all other axes.

    `std` is that of large matrices, whose normals have the norm sqrt(rows) + sqrt(columns), except
    for matrices of one row or one column, whose `std` is exact.
    """

    stacked: int
    axis: int
    norm: float

    def _moments(self) -> tuple[float, float]:
        rows = self.shape[self.axis]
        columns = math.prod(self.shape[self.stacked :]) // max(rows, 1)
        if min(rows, columns) <= 1:  # the norm is the root of the sum of squares
            return 0.0, self.norm / math.sqrt(max(rows, columns, 1))
        return 0.0, self.norm / (math.sqrt(rows) + math.sqrt(columns))

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values; the first draw finds the norm of all of them."""
        dtype.word(self.norm, "spectral norm")
        if not self.norm:
            return Constant(0.0).sampler(dtype, stream, generator)
        made_in = wide(dtype)
        if self.norm > made_in.largest * LEAST_NORMAL[made_in.name]:
            raise ValueError(
                f"spectral norm {self.norm!r} is too large: scaled to it, {made_in.name} normals "
                f"may overflow; need at most {made_in.largest * LEAST_NORMAL[made_in.name]:.6g}"
            )
        tolerance = rounding(dtype, self.norm, REACH)
        return _NormedSampler(
            dtype, lambda: self._made(dtype, stream, generator), tolerance, self.norm
        )

    def _made(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        count = math.prod(self.shape[: self.stacked])
        whole = normals(wide(dtype), stream, self.count, generator)
        stack = whole.reshape(count, *self.shape[self.stacked :])
        turned = np.moveaxis(stack, self.axis - self.stacked + 1, 1)
        norms = [
            spectral_norm(matrix.reshape(matrix.shape[0], -1), between=stop_if_asked)
            for matrix in turned
        ]
        parts = tuple(map(self._scaled, norms))
        shape = (count, self.count // count)
        return Blocks(shape, 0, (1,) * count, parts).sampler(dtype, stream, generator)

    def _scaled(self, found: float) -> Independent:
        """Normals of the spectral norm `found`, scaled; no element is beyond the norm."""
        if not found:
            return Constant(0.0)
        return ClippedNormal(self.norm / found, 0.0, -found, found)


class _NormedSampler(LazySampler):
    """Elements that are clipped to the norm: the last number below it depends on the machine."""

    def __init__(
        self, dtype: DType, make: Callable[[], Sampler], tolerance: float, norm: float
    ) -> None:
        super().__init__(dtype, make, tolerance)
        self._norm = norm

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """An element next to the norm may have been clipped to the last number below it.

        That number may be 0, clipped from either side, so zeros of both signs are allowed.
        """
        least, most = super().between(start, count, dtype)
        last = dtype.numpy.type(dtype.at_most(max(self._norm - self.tolerance, 0.0)))
        zero = dtype.numpy.type(0)  # -0 + 0 is +0
        return -(np.maximum(-least, -last) + zero), np.maximum(most, -last) + zero
