# SPDX-License-Identifier: MIT
"""Whether measured moments are what a recipe plans, as far as chance allows.  Reads no file.

A mean is judged by z = (mean - mu) sqrt(n) / sigma.  A standard deviation is judged by the cube
root of the variance, which is nearly normal even for few elements: with r = n s^2 / ((n - 1)
sigma^2) and k = 2 (n - 1) / (kurtosis - 1), z = (r^(1/3) - 1 + 2 / (9 k)) / sqrt(2 / (9 k))
(Wilson and Hilferty 1931, "The distribution of chi-square", PNAS 17(12), 684-688; k, the degrees of
freedom that give the variance of s^2, as Box 1953, "Non-normality and tests on variances",
Biometrika 40, 318-335).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from fastinit.numerics.moments import ElementMoments
from fastinit.values.expected import Expected

FALSE_ALARMS = 1e-6
"""The chance that any tensor of a checkpoint that is as planned is said to differ by its z."""

FEWEST = 100
"""Elements, in units of the kurtosis, from which z of a symmetric distribution are nearly normal;
of a skewed one it takes ten times as many."""

SYMMETRIC = 0.01
"""Skewness below which a distribution counts as symmetric: rounding to few bits makes some."""


@dataclass(frozen=True)
class Scores:
    """How far mean and standard deviation are from planned, in standard errors."""

    mean: float
    std: float


def scores(found: ElementMoments, planned: Expected) -> Scores | None:
    """The z of a tensor; None if it has too few elements, or all are planned to be equal."""
    count = found.finite
    fewest = FEWEST * planned.kurtosis * (1 if abs(planned.skewness) < SYMMETRIC else 10)
    if planned.std == 0 or count < max(fewest, 2):
        return None
    ratio = (found.std / planned.std) ** 2 * count / (count - 1)
    spread = (planned.kurtosis - 1) / (9 * (count - 1))
    return Scores(
        (found.mean - planned.mean) / planned.std * math.sqrt(count),
        (math.cbrt(ratio) - 1 + spread) / math.sqrt(spread) if spread > 0 else 0.0,
    )


def threshold(tests: int) -> float:
    """The |z| above which one of `tests` is said to differ.

    All together give a false alarm with a chance of FALSE_ALARMS at most (Bonferroni 1936).
    """
    return -NormalDist().inv_cdf(FALSE_ALARMS / (2 * max(tests, 1)))


def broken(found: ElementMoments) -> list[str]:
    """What no checkpoint should hold, planned or not."""
    rows = (found.nans, "NaN"), (found.infinities, "infinite")
    return [f"{count:,} {what}" for count, what in rows if count]


def differences(
    found: ElementMoments, planned: Expected, scored: Scores | None, limit: float
) -> list[str]:
    """What is not as planned, in words."""
    if not found.finite:
        return []
    if planned.low == planned.high and not found.low == found.high == planned.low:
        return [f"not {planned.low:.6g} everywhere"]
    outside = found.low < planned.low or found.high > planned.high
    texts = [f"outside [{planned.low:.6g}, {planned.high:.6g}]"] if outside else []
    rows = (("mean", scored.mean), ("std", scored.std)) if scored else ()
    return texts + [f"{what} by {z:+.1f} standard errors" for what, z in rows if abs(z) > limit]
