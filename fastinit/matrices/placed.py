# SPDX-License-Identifier: MIT
"""A matrix placed at one tap of a convolution's kernel, in a tensor of zeros."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastinit.dtypes import DType
from fastinit.matrices.matrix import Matrix
from fastinit.samplers import Bytes, Sampler
from fastinit.stream import Stream


@dataclass(frozen=True)
class Placed(Matrix):
    """Element m of `matrix` is element offset + m * step of the tensor; all others are zero."""

    matrix: Matrix
    offset: int
    step: int

    def _moments(self) -> tuple[float, float]:
        share = self.matrix.count / self.count if self.count else 0.0
        mean = share * self.matrix.mean
        square = share * (self.matrix.mean**2 + self.matrix.std**2)
        return mean, math.sqrt(max(square - mean**2, 0.0))

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values: the matrix's are those of a tensor of its own shape."""
        inner = self.matrix.sampler(dtype, stream)
        return _PlacedSampler(
            dtype, inner, self.matrix.count, self.offset, self.step, inner.tolerance
        )


@dataclass(frozen=True, slots=True)
class _PlacedSampler(Sampler):
    dtype: DType
    inner: Sampler
    count: int
    offset: int
    step: int
    tolerance: float

    def draw(self, out: Bytes, start: int) -> None:
        """Zeros, then the elements of the matrix that lie inside."""
        words = np.frombuffer(out, self.dtype.words)
        words.fill(0)
        first = self._from(start)
        inside = np.empty(self._from(start + words.size) - first, self.dtype.words)
        if inside.size:
            self.inner.draw(inside.view(np.uint8), first)
            words[self.offset + first * self.step - start :: self.step][: inside.size] = inside

    def _from(self, position: int) -> int:
        """The first element of the matrix at `position` of the tensor or later."""
        return min(max(0, -((self.offset - position) // self.step)), self.count)
