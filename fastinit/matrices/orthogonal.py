# SPDX-License-Identifier: MIT
"""Random orthogonal matrices, made of the stream's normals by linear algebra."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastinit.distributions import Constant
from fastinit.dtypes import DType
from fastinit.linalg import haar
from fastinit.matrices.matrix import Matrix, normals, rounding, wide
from fastinit.parallel import stop_if_asked
from fastinit.samplers import ArraySampler, LazySampler, Sampler
from fastinit.stream import Stream


@dataclass(frozen=True)
class Orthogonal(Matrix):
    """`gain` times a Haar-distributed matrix, for each index of the `batch` axes.

    Its rows are the indices of `axis`, its columns those of all other axes, in row-major order.
    """

    axis: int
    batch: tuple[int, ...]
    gain: float

    def _moments(self) -> tuple[float, float]:
        rows = self.shape[self.axis]
        columns = self.count // max(rows * math.prod(self.shape[a] for a in self.batch), 1)
        return 0.0, self.gain / math.sqrt(max(rows, columns, 1))

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values; the first draw makes all of them."""
        dtype.word(self.gain, "gain")
        if not self.gain:
            return Constant(0.0).sampler(dtype, stream)  # not the product's zeros of either sign
        tolerance = self.gain * rounding(dtype)
        return LazySampler(dtype, lambda: self._made(dtype, stream), tolerance)

    def _made(self, dtype: DType, stream: Stream) -> Sampler:
        values = normals(wide(dtype), stream, self.count).reshape(self.shape)
        front = (*self.batch, self.axis)
        turned = np.moveaxis(values, front, range(len(front)))
        rows = self.shape[self.axis]
        stack = turned.reshape(-1, rows, math.prod(turned.shape[len(front) :]))
        for matrix in stack:
            haar(matrix, out=matrix, between=stop_if_asked)
        if self.gain != 1:
            stack *= stack.dtype.type(self.gain)
        back = np.moveaxis(stack.reshape(turned.shape), range(len(front)), front)
        return ArraySampler(dtype, dtype.cast(back).reshape(-1))
