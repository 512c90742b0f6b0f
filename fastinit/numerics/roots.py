# SPDX-License-Identifier: MIT
"""Roots and logarithms that are the same to the last bit in every C library.  No sampling.

They become scales, and a scale that differs in its last bit changes every weight.  `pow` and `log`
differ between C libraries; `sqrt`, which IEEE 754 rounds correctly, and `decimal` do not.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

from fastinit.machine.floats import exact_decimals

_CONTEXT = exact_decimals(60)  # float64 has 17 digits


def root(value: float, degree: int) -> float:
    """value ** (1 / degree): by square roots while the degree is even, the rest rounded once.

    >>> root(16, 4), root(8, 6), root(27, 3)
    (2.0, 1.4142135623730951, 3.0)
    """
    while degree % 2 == 0:
        value, degree = math.sqrt(value), degree // 2
    if degree == 1:
        return value
    with localcontext(_CONTEXT):
        return float((Decimal(value).ln() / degree).exp())


def logarithm(value: float) -> float:
    """The natural logarithm, rounded once.

    >>> logarithm(2)
    0.6931471805599453
    """
    with localcontext(_CONTEXT):
        return float(Decimal(value).ln())
