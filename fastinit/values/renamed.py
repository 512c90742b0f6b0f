# SPDX-License-Identifier: MIT
"""The values of a tensor of another name.  Which name that is, a scheme says."""

from __future__ import annotations

from dataclasses import dataclass

from fastinit.numerics.dtypes import DType
from fastinit.values.distributions import Distribution
from fastinit.values.samplers import Generator, Sampler
from fastinit.values.stream import Stream


@dataclass(frozen=True)
class Renamed(Distribution):
    """`original`, drawn from the stream of the tensor `of`."""

    of: str
    original: Distribution

    def _moments(self) -> tuple[float, float]:
        return self.original.mean, self.original.std

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the other tensor's values."""
        return self.original.sampler(dtype, Stream(stream.seed, self.of), generator)
