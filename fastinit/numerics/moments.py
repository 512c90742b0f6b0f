# SPDX-License-Identifier: MIT
"""Moments of many elements, joined from those of their parts.  It knows neither tensors nor files.

A part is measured by a backend, or here by NumPy: sums of powers of the differences from a shift
near its mean, so that nothing cancels.  Parts are joined by the formulas of Chan, Golub and LeVeque
(1979), for third and fourth moments those of Pebay (2008, SAND2008-6212, section 3.1), of all parts
at once and by `math.fsum`: so their order does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SUMS = np.dtype(
    [
        ("finite", np.uint64),
        ("zeros", np.uint64),
        ("nans", np.uint64),
        ("infinities", np.uint64, 2),
        ("low", np.float64),
        ("high", np.float64),
        ("shift", np.float64),
        ("sums", np.float64, 4),
    ]
)
"""What is known of a part, as C lays it out: see fi_moments in src_c/fastinit.h."""

PART = np.dtype([("measured", SUMS), ("unit", np.float64)])
"""A part, and the power of two by which its elements were multiplied."""

MEASURED_AT_ONCE = 2**16
"""Elements that NumPy measures at a time: their float64 numbers fit the L2 cache."""

UNSCALED = 2.0**-200, 2.0**200
"""Magnitudes whose fourth powers, and sums of many, float64 holds."""

GUESSED = 256
"""Evenly spaced elements at most, whose mean stands for that of all."""

ENDS = math.inf, -math.inf
Elements = npt.NDArray[Any]


@dataclass(frozen=True)
class ElementMoments:
    """What `count` elements are like; NaNs and infinities are counted and left out of the rest.

    Attributes:
        count: elements in all.
        zeros: those equal to 0, of either sign.
        nans, infinities: those that are not finite.
        mean, std: of the finite elements; the standard deviation divides by their number.
        low, high: the least and the greatest finite element.
        norm: the square root of the sum of their squares, the l2 norm.
        kurtosis: the mean fourth power of the differences from the mean, over the square of the
            variance: 3 for a normal, 1.8 for a uniform.

    What does not exist is NaN: all but counts without a finite element, the kurtosis of equal ones.
    """

    count: int
    zeros: int
    nans: int
    infinities: int
    mean: float
    std: float
    low: float
    high: float
    norm: float
    kurtosis: float

    @property
    def finite(self) -> int:
        """How many elements are finite."""
        return self.count - self.nans - self.infinities


def unit_for(low: float, high: float) -> float:
    """The power of two that brings elements from `low` to `high` to magnitudes of about 1.

    It is 1 where no power of theirs overflows, or vanishes beside others.
    """
    size = max(abs(low), abs(high))
    if size == 0 or not math.isfinite(size) or UNSCALED[0] <= size <= UNSCALED[1]:
        return 1.0
    return math.ldexp(1.0, min(-math.frexp(size)[1], 1000))


def measure_array(values: Elements, unit: float, out: Elements) -> None:
    """Put what is known of `values`, numbers of any type, into `out`, an element of `SUMS`."""
    out["low"], out["high"] = math.inf, -math.inf
    shift, sums, counts = _shift(values, unit), np.zeros(4), np.zeros(5, np.uint64)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in _steps(values):
            finite = part[np.isfinite(part)]
            kinds = finite, finite[finite == 0], *(part[part == end] for end in ENDS)
            sizes = [kind.size for kind in kinds]
            counts += np.array([*sizes, part.size - sum(sizes) + sizes[1]], np.uint64)
            if finite.size:
                out["low"] = min(out["low"], finite.min())
                out["high"] = max(out["high"], finite.max())
                sums += _powers(finite * unit - shift)
    out["finite"], out["zeros"], out["nans"] = counts[0], counts[1], counts[4]
    out["infinities"], out["shift"], out["sums"] = counts[2:4], shift, sums


def _steps(values: Elements) -> Iterator[Elements]:
    for start in range(0, values.size, MEASURED_AT_ONCE):
        yield values[start : start + MEASURED_AT_ONCE].astype(np.float64)


def _powers(differences: Elements) -> Elements:
    squares = differences * differences
    powers = differences, squares, squares * differences, squares * squares
    return np.array([power.sum() for power in powers])


def _shift(values: Elements, unit: float) -> float:
    """A number near the mean, if that is so far from 0 that squares would cancel; else 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        first = values[:: values.size // GUESSED + 1].astype(np.float64)
        first = first[np.isfinite(first)] * unit
        if first.size == 0:
            return 0.0
        mean, square = float(first.mean()), float((first * first).mean())
    return mean if math.isfinite(mean) and 4 * mean * mean > square else 0.0


def joined(parts: Elements) -> ElementMoments:
    """The moments of the elements of all parts, an array of `PART`."""
    rows = parts["measured"]
    count, zeros, nans = (int(rows[field].sum()) for field in ("finite", "zeros", "nans"))
    infinities = int(rows["infinities"].sum())
    whole = count + nans + infinities
    if count == 0:
        mean = std = low = high = norm = kurtosis = math.nan
        return ElementMoments(whole, zeros, nans, infinities, mean, std, low, high, norm, kurtosis)
    parts = parts[rows["finite"] > 0]
    low, high = float(parts["measured"]["low"].min()), float(parts["measured"]["high"].max())
    unit = float(parts["unit"].min())  # that of the part with the largest elements
    mean, squares, fourths = _joined(parts, unit)
    if low == high:
        mean, squares, fourths = low * unit, 0.0, 0.0
    norm = math.sqrt(squares + count * mean * mean)
    kurtosis = count * fourths / squares**2 if squares**2 else math.nan
    mean = min(max(mean / unit, low), high)
    std = min(math.sqrt(squares / count) / unit, high / 2 - low / 2)  # rounded up, it may overflow
    return ElementMoments(
        whole, zeros, nans, infinities, mean, std, low, high, norm / unit, kurtosis
    )


def _joined(parts: Elements, unit: float) -> tuple[float, float, float]:
    """Mean, and sums of second and fourth powers of differences from it, in `unit`."""
    rows, ratio = parts["measured"], unit / parts["unit"]
    count = rows["finite"].astype(np.float64)
    first, second, third, fourth = rows["sums"].T
    d = first / count
    squares = np.maximum(second - count * d**2, 0.0) * ratio**2
    cubes = (third - 3 * d * second + 2 * count * d**3) * ratio**3
    fourths = (fourth - 4 * d * third + 6 * d**2 * second - 3 * count * d**4) * ratio**4
    means = (rows["shift"] + d) * ratio
    mean = math.fsum(count * means) / math.fsum(count)
    d = means - mean
    return (
        mean,
        math.fsum(squares + count * d**2),
        math.fsum(fourths + 4 * d * cubes + 6 * d**2 * squares + count * d**4),
    )
