# SPDX-License-Identifier: MIT
"""Tables whose values are written out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastinit.numerics.doubles import DoubleArray
from fastinit.values.intervals import Interval
from fastinit.values.rows import ElementNumbers
from fastinit.values.tables.known import KnownTable


@dataclass(frozen=True)
class Literals(KnownTable):
    """The values in row-major order."""

    values: tuple[float, ...]

    def values_of(self, elements: ElementNumbers) -> DoubleArray:
        """Those that are written."""
        found: DoubleArray = np.array(self.values, np.float64)[elements]
        return found

    def bounds(self) -> Interval:
        """The least and the greatest."""
        return min(self.values, default=0.0), max(self.values, default=0.0)
