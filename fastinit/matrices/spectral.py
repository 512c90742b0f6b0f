# SPDX-License-Identifier: MIT
"""Normal matrices scaled to a spectral norm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastinit.distributions import ClippedNormal, Constant, Independent
from fastinit.dtypes import DType
from fastinit.linalg import spectral_norm
from fastinit.matrices.blocks import Blocks
from fastinit.matrices.matrix import Matrix, normals, rounding, wide
from fastinit.parallel import stop_if_asked
from fastinit.samplers import LazySampler, Sampler
from fastinit.stream import Stream

LEAST = {"float32": 2.0**-26, "float64": 2.0**-54}
"""No standard normal but 0 is smaller (docs/stream.md 5, 10), so no norm of a matrix of them."""


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

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values; the first draw finds the norm of all of them."""
        dtype.word(self.norm, "spectral norm")
        if not self.norm:
            return Constant(0.0).sampler(dtype, stream)
        made_in = wide(dtype)
        if self.norm > made_in.largest * LEAST[made_in.name]:
            raise ValueError(
                f"spectral norm {self.norm!r} is too large: scaled to it, {made_in.name} normals "
                f"may overflow; need at most {made_in.largest * LEAST[made_in.name]:.6g}"
            )
        tolerance = self.norm * rounding(dtype)
        return LazySampler(dtype, lambda: self._made(dtype, stream), tolerance)

    def _made(self, dtype: DType, stream: Stream) -> Sampler:
        count = math.prod(self.shape[: self.stacked])
        whole = normals(wide(dtype), stream, self.count)
        stack = whole.reshape(count, *self.shape[self.stacked :])
        turned = np.moveaxis(stack, self.axis - self.stacked + 1, 1)
        norms = [
            spectral_norm(matrix.reshape(matrix.shape[0], -1), between=stop_if_asked)
            for matrix in turned
        ]
        parts = tuple(map(self._scaled, norms))
        shape = (count, self.count // count)
        return Blocks(shape, 0, (1,) * count, parts).sampler(dtype, stream)

    def _scaled(self, found: float) -> Independent:
        """Normals of the spectral norm `found`, scaled; no element is beyond the norm."""
        if not found:
            return Constant(0.0)
        return ClippedNormal(self.norm / found, 0.0, -found, found)
