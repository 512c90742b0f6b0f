# SPDX-License-Identifier: MIT
"""Evenly spaced numbers along an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastinit.numerics.doubles import DoubleArray
from fastinit.numerics.lines import line
from fastinit.values.intervals import Interval
from fastinit.values.rows import ElementNumbers
from fastinit.values.tables.known import KnownTable, indices_along


@dataclass(frozen=True)
class Line(KnownTable):
    """From `start` to `end`, both included, along `axis`; along the others all is equal."""

    axis: int
    start: float
    end: float

    def values_of(self, elements: ElementNumbers) -> DoubleArray:
        """The numbers, each rounded once."""
        index = indices_along(self.shape, self.axis, elements).astype(np.float64)
        return line(self.start, self.end, index, self.shape[self.axis])

    def _moments(self) -> tuple[float, float]:
        count = max(self.shape[self.axis], 1)
        if count == 1:
            return self.start, 0.0
        spread = math.sqrt((count + 1) / (12 * (count - 1)))
        return self.start / 2 + self.end / 2, abs(self.end * spread - self.start * spread)

    def bounds(self) -> Interval:
        """The ends."""
        return min(self.start, self.end), max(self.start, self.end)
