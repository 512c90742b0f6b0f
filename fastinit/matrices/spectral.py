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
from fastinit.matrices.matrix import Matrix, normals, pattern, rounding, wide
from fastinit.samplers import LazySampler, Sampler
from fastinit.stream import Stream


@dataclass(frozen=True)
class SpectralNormal(Matrix):
    """The stream's normals times the number that makes the largest singular value `norm`.

    The first `stacked` axes stack matrices, each with a number of its own.  The rows of a matrix
    are the indices of `axis`, its columns those of all other axes.
    """

    stacked: int
    axis: int
    norm: float

    def _moments(self) -> tuple[float, float]:
        """With the norm that large matrices tend to, sqrt(rows) + sqrt(columns)."""
        rows = self.shape[self.axis]
        columns = math.prod(self.shape[self.stacked :]) // max(rows, 1)
        return 0.0, self.norm / max(math.sqrt(rows) + math.sqrt(columns), 1.0)

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values; the first draw finds the norm of all of them."""
        pattern(dtype, self.norm, "spectral norm")
        tolerance = self.norm * rounding(dtype)
        return LazySampler(dtype, lambda: self._made(dtype, stream), tolerance)

    def _made(self, dtype: DType, stream: Stream) -> Sampler:
        count = math.prod(self.shape[: self.stacked])
        whole = normals(wide(dtype), stream, self.count)
        stack = whole.reshape(count, *self.shape[self.stacked :])
        turned = np.moveaxis(stack, self.axis - self.stacked + 1, 1)
        norms = [spectral_norm(matrix.reshape(matrix.shape[0], -1)) for matrix in turned]
        parts = tuple(map(self._scaled, norms))
        shape = (count, self.count // count)
        return Blocks(shape, 0, (1,) * count, parts).sampler(dtype, stream)

    def _scaled(self, found: float) -> Independent:
        """Normals of the spectral norm `found`, scaled; no element is beyond the norm."""
        if not found or not self.norm:
            return Constant(0.0)
        return ClippedNormal(self.norm / found, 0.0, -found, found)
