# SPDX-License-Identifier: MIT
"""Integrals of smooth functions, and of functions with corners, to nearly float64's accuracy.

Panels are halved until Gauss's rule of 16 points agrees with itself on the halves.  It knows
neither distributions nor formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastinit.numerics.doubles import DoubleArray

_NODES = (
    *(0.0950125098376374, 0.2816035507792589, 0.4580167776572274, 0.6178762444026438),
    *(0.7554044083550030, 0.8656312023878318, 0.9445750230732326, 0.9894009349916499),
)
_WEIGHTS = (
    *(0.1894506104550685, 0.1826034150449236, 0.1691565193950025, 0.1495959888165767),
    *(0.1246289712555339, 0.0951585116824928, 0.0622535239386479, 0.0271524594117541),
)
"""Gauss-Legendre of 16 points (Abramowitz and Stegun, table 25.4); the other half mirrors them."""

POINTS = np.array([-node for node in reversed(_NODES)] + list(_NODES))
POINT_WEIGHTS = np.array([*reversed(_WEIGHTS), *_WEIGHTS])

PANELS = 16
"""To begin with."""

MOST_HALVINGS = 60
"""Of a panel; those at a corner, or at an end where the function is infinite, come this far."""

MOST_PANELS = 2**10
"""That may be halved at once.  More are rough only where the function itself is not smooth."""

ACCURACY = 2.0**-53
"""Of a panel, in units of the integral of the function's magnitude."""


class Measured(NamedTuple):
    """An integral, that of the function's magnitude, and what is not settled of them."""

    total: float
    magnitude: float
    unsettled: float


def integral(function: Callable[[DoubleArray], DoubleArray], low: float, high: float) -> float:
    """The integral of a function of arrays from `low` to `high`."""
    return measured(function, low, high).total


def measured(function: Callable[[DoubleArray], DoubleArray], low: float, high: float) -> Measured:
    """The same, and how sure it is.

    `unsettled` is by how much the last halves of panels differ from the panels that were not halved
    further.  It is large where the integral is infinite, and NaN where a value is.
    """
    edges = np.linspace(low, high, PANELS + 1)
    left, right = edges[:-1], edges[1:]
    sums, sizes = _panels(function, left, right)
    scale, done, magnitudes, unsettled = math.fsum(sizes), [], [], 0.0
    for _ in range(MOST_HALVINGS):
        middle = 0.5 * left + 0.5 * right
        first, first_size = _panels(function, left, middle)
        second, second_size = _panels(function, middle, right)
        halves, half_sizes = first + second, first_size + second_size
        differences = np.abs(halves - sums)
        rough = differences > ACCURACY * scale
        done += halves[~rough].tolist()
        magnitudes += half_sizes[~rough].tolist()
        unsettled = math.fsum(differences[rough])
        if rough.sum() > MOST_PANELS:
            done += halves[rough].tolist()
            magnitudes += half_sizes[rough].tolist()
            break
        if not rough.any():
            break
        left, right = (
            np.concatenate([left[rough], middle[rough]]),
            np.concatenate([middle[rough], right[rough]]),
        )
        sums = np.concatenate([first[rough], second[rough]])
        sizes = np.concatenate([first_size[rough], second_size[rough]])
    else:
        done += sums.tolist()
        magnitudes += sizes.tolist()
    if not np.isfinite(done).all():
        return Measured(math.nan, math.nan, math.nan)
    return Measured(math.fsum(done), math.fsum(magnitudes), unsettled)


def _panels(
    function: Callable[[DoubleArray], DoubleArray], left: DoubleArray, right: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """Integrals over panels, of the function and of its magnitude."""
    half = 0.5 * right - 0.5 * left
    nodes = (0.5 * left + 0.5 * right)[:, np.newaxis] + half[:, np.newaxis] * POINTS
    values = function(nodes.reshape(-1)).reshape(nodes.shape)
    weights = POINT_WEIGHTS * half[:, np.newaxis]
    return (values * weights).sum(axis=1), (np.abs(values) * weights).sum(axis=1)
