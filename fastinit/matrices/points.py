# SPDX-License-Identifier: MIT
"""Tensors of zeros with one value at a few places: identity and dirac."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.dtypes import DType
from fastinit.matrices.matrix import Matrix, pattern
from fastinit.samplers import Bytes, Sampler
from fastinit.stream import Stream


@dataclass(frozen=True, eq=False)
class Points(Matrix):
    """`value` at the row-major `positions`, which ascend; zero elsewhere."""

    positions: npt.NDArray[np.int64]
    value: float

    def _moments(self) -> tuple[float, float]:
        share = self.positions.size / self.count if self.count else 0.0
        return self.value * share, abs(self.value) * math.sqrt(share * (1 - share))

    def sampler(self, dtype: DType, stream: Stream) -> Sampler:
        """What draws the values; the stream is not looked at."""
        return _PointSampler(dtype, self.positions, pattern(dtype, self.value, "gain"))


@dataclass(frozen=True, slots=True)
class _PointSampler(Sampler):
    dtype: DType
    positions: npt.NDArray[np.int64]
    word: Any

    def draw(self, out: Bytes, start: int) -> None:
        """Zeros, then the values whose positions lie inside."""
        words = np.frombuffer(out, self.dtype.words)
        words.fill(0)
        first, last = np.searchsorted(self.positions, [start, start + words.size])
        words[self.positions[first:last] - start] = self.word
