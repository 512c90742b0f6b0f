# SPDX-License-Identifier: MIT
"""The elements of a box of another tensor.  Which tensor that is, a scheme says."""

from __future__ import annotations

from dataclasses import dataclass

from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import DType
from fastinit.values.distributions import Distribution
from fastinit.values.matrices.boxes import Box, part_of
from fastinit.values.matrices.matrix import Matrix
from fastinit.values.samplers import Generator, Sampler
from fastinit.values.stream import Stream


@dataclass(frozen=True)
class Slice(Matrix):
    """The box of `original`, which has the shape `whole` and the stream of the tensor `of`.

    `mean` and `std` are those of a value taken from a random place in the whole tensor.
    """

    of: str
    whole: Shape
    box: Box
    original: Distribution

    def _moments(self) -> tuple[float, float]:
        return self.original.mean, self.original.std

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the box's elements of the other tensor."""
        whole = self.original.sampler(dtype, Stream(stream.seed, self.of), generator)
        return part_of(whole, self.whole, self.box)
