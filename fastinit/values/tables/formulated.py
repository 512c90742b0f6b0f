# SPDX-License-Identifier: MIT
"""Tables by a formula of the indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastinit.numerics.doubles import DoubleArray
from fastinit.values.formulas import Formula
from fastinit.values.intervals import Interval
from fastinit.values.mapped import checked
from fastinit.values.rows import ElementNumbers
from fastinit.values.tables.known import KnownTable, indices_along


@dataclass(frozen=True)
class Formulated(KnownTable):
    """`formula` of the indices i0, i1, ... and of the sizes n0, n1, ... of the axes."""

    formula: Formula

    def values_of(self, elements: ElementNumbers) -> DoubleArray:
        """The formula's values."""
        variables = {
            name: np.full(1, self.shape[int(name[1:])], np.float64)
            if name[0] == "n"
            else indices_along(self.shape, int(name[1:]), elements).astype(np.float64)
            for name in self.formula.variables
        }
        out = np.empty(elements.size)
        self.formula.fill(out, variables)
        return out

    def bounds(self) -> Interval:
        """What the formula may give; raises ValueError if a value may not be finite."""
        if not self.count:
            return 0.0, 0.0
        ranges = {}
        for name in self.formula.variables:
            size = float(self.shape[int(name[1:])])
            ranges[name] = (size, size) if name[0] == "n" else (0.0, size - 1)
        return checked(self.formula, ranges, whole=True)
