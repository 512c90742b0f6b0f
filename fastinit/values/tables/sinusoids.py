# SPDX-License-Identifier: MIT
"""Sines and cosines of positions at falling frequencies, each correctly rounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastinit.machine.floats import exact_decimals
from fastinit.numerics import undecided
from fastinit.numerics.doubles import DoubleArray, pair_of, two_product
from fastinit.numerics.elementary import DIGITS, FARTHEST, settled, sine_of_pair
from fastinit.properties import cached_property
from fastinit.values.intervals import Interval
from fastinit.values.rows import ElementNumbers
from fastinit.values.tables.known import KnownTable, indices_along

PAIR_ERROR = 2.0**-103
"""Of a position times a frequency that is a pair, relatively."""


class Column(NamedTuple):
    """What is in a column: sin(position * base**-exponent + quarters * pi / 2)."""

    exponent: Fraction
    quarters: int


class _Columns(NamedTuple):
    """What is known of each column; a frequency that is not known yet is a NaN."""

    frequency: DoubleArray
    frequency_low: DoubleArray
    quarters: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sinusoids(KnownTable):
    """Positions are the indices of the axis before the last, columns those of the last.

    The columns after `columns` are +0, and so is the row `padding`.
    """

    base: float
    columns: tuple[Column, ...]
    padding: int | None

    def _frequency(self, exponent: Fraction) -> Decimal:
        """To the digits of the context."""
        ratio = Decimal(exponent.numerator) / Decimal(exponent.denominator)
        return (-ratio * Decimal(self.base).ln()).exp()

    @cached_property
    def _columns(self) -> _Columns:
        quarters = np.array([quarters for _, quarters in self.columns], np.int64)
        return _Columns(np.full(quarters.size, np.nan), np.zeros(quarters.size), quarters)

    def _complete(self, column: ElementNumbers) -> _Columns:
        """What is known of the columns, these among them."""
        columns = self._columns
        unknown = np.unique(column[np.isnan(columns.frequency[column])]).tolist()
        with localcontext(exact_decimals(DIGITS)):
            for number in unknown:
                high, low = pair_of(self._frequency(self.columns[number].exponent))
                columns.frequency_low[number] = low
                columns.frequency[number] = high  # last: another thread may look
        return columns

    def values_of(self, elements: ElementNumbers) -> DoubleArray:
        """The sines and cosines."""
        column = elements % self.shape[-1]
        row = indices_along(self.shape, len(self.shape) - 2, elements)
        found = np.zeros(elements.size)
        here = column < len(self.columns)
        if self.padding is not None:
            here &= row != self.padding
        if here.any():
            found[here] = self._sines(row[here], column[here])
        return found

    def _sines(self, row: ElementNumbers, column: ElementNumbers) -> DoubleArray:
        columns = self._complete(column)
        position = row.astype(np.float64)
        frequency = columns.frequency[column]
        angle, low = two_product(position, frequency)
        low += position * columns.frequency_low[column]
        near = angle < FARTHEST
        both = sine_of_pair(
            np.where(near, angle, 0.0),
            np.where(near, low, 0.0),
            columns.quarters[column],
            np.where(near, angle * PAIR_ERROR, 1.0),
        )
        return settled(both, self._sine, position, column)

    def _sine(self, position: float, column: float) -> float:
        exponent, quarters = self.columns[int(column)]

        def angle(digits: int) -> Decimal:
            with localcontext(exact_decimals(digits + 30 + len(str(int(position))))):
                return int(position) * self._frequency(exponent)

        return undecided.sine_of(angle, quarters)

    def bounds(self) -> Interval:
        """Those of sines."""
        return -1.0, 1.0
