# SPDX-License-Identifier: MIT
"""Distributions of a few values: ternary and sign, as BitNet quantises, and even levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastinit.numba.distribution import distribution
from fastinit.numba.gallery.zeros import ZERO
from fastinit.numba.tails import sign_and_tail
from fastinit.numerics import gaussian
from fastinit.numerics.checks import check_factor, check_multiplier

ABSMEAN = float.fromhex("0x1.9884533d43651p-1")
"""The mean magnitude of a standard normal, sqrt(2 / pi)."""


def _check_ternary(scale: float, threshold: float) -> None:
    check_multiplier("scale", scale)
    check_factor("threshold", threshold)


def _share(scale: float, threshold: float) -> float:
    """The probability that the normal which is quantised lies beyond the threshold."""
    return 2.0 * gaussian.tail(threshold * ABSMEAN)


def _ternary_std(scale: float, threshold: float) -> float:
    return scale * math.sqrt(_share(scale, threshold))


@distribution(mean=0.0, std=_ternary_std, check=_check_ternary, derived={"share": _share})
def ternary(w: Any, scale: Any = 1.0, threshold: Any = 0.5, share: Any = 0.0) -> Any:
    r"""A normal tensor quantised to -scale, 0 and scale by its mean magnitude.

    .. math::

        x = \gamma \, \mathrm{RoundClip}\!\left(\frac{v}{\gamma}, -1, 1\right), \qquad
        v = \gamma \sqrt{\pi / 2} \; z, \quad \gamma = E|v|

    The same stream's ``normal(std)`` is v, with gamma = 0.79788 std.  A value is 0 where
    abs(v) <= threshold * gamma: with 0.5 a share of 0.31.  It is decided by the probability of
    the tail beyond v, so v itself need not be drawn, and may differ where v is within 1e-6 of it.

    Args:
        scale: gamma > 0, in the units of the weights; sqrt(2 / pi) std for the ternary form of
            ``normal(std)``.
        threshold: >= 0, in units of gamma.  Rounding to the nearest is 0.5, BitNet's; ternary
            weight networks take 0.7.

    Raises:
        ValueError: `scale` is not above 0, or `threshold` is below 0.

    Source:
        Ma et al. (2024), "The era of 1-bit LLMs: all large language models are in 1.58 bits",
        arXiv:2402.17764, equations 1 to 3; Li, Zhang, Liu (2016), "Ternary weight networks",
        arXiv:1605.04711, equation 6.  Who differs: both take gamma from the tensor's own values,
        here it is that of the distribution, so no value depends on another.

    >>> import fastinit as fi
    >>> from fastinit.numba import gallery
    >>> w = fi.array((64, 64), gallery.ternary(scale=0.5), seed=0, name="w")
    >>> sorted({float(x) for x in w.flat})
    [-0.5, 0.0, 0.5]
    """
    side, p = sign_and_tail(w)
    return side * scale if p < type(p)(share) else ZERO


def _check_sign(scale: float) -> None:
    check_multiplier("scale", scale)


@distribution(mean=0.0, std=lambda scale: scale, check=_check_sign)
def sign(w: Any, scale: Any = 1.0) -> Any:
    r"""The signs of a normal tensor, times its mean magnitude.

    .. math:: x = \beta \, \mathrm{Sign}(z)

    The sign is that of the same stream's ``normal(std)``, whose beta is 0.79788 std; -1 and 1 are
    equally likely.

    Args:
        scale: beta > 0, in the units of the weights.

    Raises:
        ValueError: `scale` is not above 0.

    Source:
        Wang et al. (2023), "BitNet: scaling 1-bit transformers for large language models",
        arXiv:2310.11453, equations 1 to 3 and 12; Courbariaux, Bengio, David (2015),
        "BinaryConnect", arXiv:1511.00363, equation 1.  Who differs: BitNet subtracts the mean of
        the tensor's own values; here it is 0.

    >>> import fastinit as fi
    >>> from fastinit.numba import gallery
    >>> w = fi.array((64, 64), gallery.sign(scale=0.5), seed=0, name="w")
    >>> sorted({float(x) for x in w.flat})
    [-0.5, 0.5]
    """
    side, _ = sign_and_tail(w)
    return side * scale


MOST_LEVELS = 2**16


def _check_levels(low: float, high: float, levels: float) -> None:
    if not low < high:
        raise ValueError(f"low is {low!r} and high is {high!r}: need low < high")
    if not math.isfinite(high - low):
        raise ValueError(f"low is {low!r} and high is {high!r}: too far apart for float64")
    if not (levels.is_integer() and 2 <= levels <= MOST_LEVELS):
        raise ValueError(f"levels is {levels!r}: need a whole number from 2 to {MOST_LEVELS}")


def _levels_std(low: float, high: float, levels: float) -> float:
    return (high - low) / 2 * math.sqrt((levels + 1) / (3 * (levels - 1)))


@distribution(
    mean=lambda low, high, levels: low / 2 + high / 2, std=_levels_std, check=_check_levels
)
def quantised_uniform(u: Any, low: Any = -1.0, high: Any = 1.0, levels: Any = 16.0) -> Any:
    r"""Evenly spaced values from `low` to `high`, all equally likely.

    .. math:: x = \frac{l (m - j) + h j}{m}, \qquad j = \lfloor k u \rfloor, \quad m = k - 1

    The mean is (l + h) / 2, the standard deviation (h - l) / 2 sqrt((k + 1) / (3 (k - 1))).

    Args:
        low: l, the least value, in the units of the weights.
        high: h > l, the largest.
        levels: k, a whole number from 2 to 65536.

    Raises:
        ValueError: `low` is not below `high`, or `levels` is out of its range.

    Source:
        The grid of uniform affine quantisation: Jacob et al. (2018), arXiv:1712.05877, equation 1;
        weights that start on it are quantised without error.  Who agrees:
        ``scipy.stats.randint(0, levels)``, scaled.

    >>> import fastinit as fi
    >>> from fastinit.numba import gallery
    >>> w = fi.array(99, gallery.quantised_uniform(low=-1, high=1, levels=5), seed=0, name="w")
    >>> sorted({float(x) for x in w})
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    m = np.float64(levels) - 1.0
    j = np.floor(u * levels)
    j = m if j > m else j
    return (low * (m - j) + high * j) / m
