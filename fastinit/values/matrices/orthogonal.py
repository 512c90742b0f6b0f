# SPDX-License-Identifier: MIT
"""Random orthogonal matrices, made of the stream's normals by linear algebra."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastinit.machine.parallel import stop_if_asked
from fastinit.numerics.dtypes import DType
from fastinit.numerics.linalg import haar
from fastinit.values.distributions import Constant
from fastinit.values.matrices.matrix import Matrix, normals, rounding, wide
from fastinit.values.samplers import ArraySampler, Generator, LazySampler, Sampler
from fastinit.values.stream import Stream


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

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values; the first draw makes all of them."""
        dtype.word(self.gain, "gain")
        if not self.gain:
            # The product would have zeros of either sign.
            return Constant(0.0).sampler(dtype, stream, generator)
        tolerance = rounding(dtype, self.gain, 1)
        largest = wide(dtype).largest - tolerance
        if self.gain > largest:
            raise ValueError(
                f"gain {self.gain!r} is too large: rounding might carry an element beyond the "
                f"largest {wide(dtype).name} number; take at most {largest!r}"
            )
        return LazySampler(dtype, lambda: self._made(dtype, stream, generator), tolerance)

    def _made(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        values = normals(wide(dtype), stream, self.count, generator).reshape(self.shape)
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
