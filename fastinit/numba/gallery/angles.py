# SPDX-License-Identifier: MIT
"""Von Mises's distribution of angles, without rejection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastinit.numba.circles import arctan, cos_turns
from fastinit.numba.distribution import distribution
from fastinit.numba.exponentials import expm1
from fastinit.numba.logarithms import minus_log
from fastinit.numerics.checks import check_factor

MOST_CONCENTRATED = 1e5
"""The largest kappa; a value takes some sqrt(kappa) steps."""

NEGLIGIBLE = 2.0**-64
"""Powers less likely than this, next to the likeliest, are not counted."""


def _check_kappa(kappa: float) -> None:
    check_factor("kappa", kappa)
    if kappa > MOST_CONCENTRATED:
        raise ValueError(
            f"kappa is {kappa!r}: need at most {MOST_CONCENTRATED:g}; beyond, take "
            f"normal(std={kappa**-0.5:.6g}), which differs by less than 1 in {8 * kappa:.0f}"
        )


def _mode(kappa: float) -> float:
    """About the likeliest power."""
    return math.floor(2.0 * kappa)


def _mode_chance(kappa: float) -> float:
    """The probability of that power: 1 over the sum of all, relative to it."""
    mode = _mode(kappa)
    total, chance, n = 1.0, 1.0, mode
    while chance >= NEGLIGIBLE:
        chance *= kappa * (2.0 * n + 1.0) / ((n + 1.0) * (n + 1.0))
        total += chance
        n += 1
    chance, n = 1.0, mode
    while n > 0 and chance >= NEGLIGIBLE:
        chance *= n * n / (kappa * (2.0 * n - 1.0))
        total += chance
        n -= 1
    return 1.0 / total


def _angle_std(kappa: float) -> float:
    """Of pi**2 / 3 + 4 sum over j of (-1)**j I_j / (I_0 j**2), by Miller's recurrence."""
    least = 64 + math.ceil(12 * math.sqrt(kappa))
    ratios, ratio = [0.0] * (least + 1), 0.0
    for j in range(least, 0, -1):
        ratio = kappa / (2.0 * j + kappa * ratio)  # I_j / I_(j - 1)
        ratios[j] = ratio
    terms, relative = [math.pi**2 / 3], 1.0
    for j in range(1, least + 1):
        relative *= ratios[j]
        terms.append((-1) ** j * 4.0 * relative / (j * j))
    return math.sqrt(math.fsum(terms))


@distribution(
    mean=0.0,
    std=_angle_std,
    check=_check_kappa,
    derived={"exact": lambda kappa: kappa, "mode": _mode, "chance": _mode_chance},
)
def von_mises(
    u: Any,
    u2: Any,
    u3: Any,
    kappa: Any = 1.0,
    exact: Any = 0.0,
    mode: Any = 0.0,
    chance: Any = 0.0,
) -> Any:
    r"""Von Mises's distribution: angles round 0, in radians from -pi to pi.

    .. math:: f(\theta) = \frac{e^{\kappa \cos\theta}}{2 \pi I_0(\kappa)}

    As exp(kappa (1 + cos(theta))) is a power series in cos(theta / 2)**2, the distribution is a
    mixture of the densities of cos(theta / 2)**(2 n):

    .. math::

        P(n) \propto \frac{\kappa^n}{n!\,2^n} \binom{2 n}{n}, \qquad
        \theta = 2 \arctan\!\left(\sqrt{u_2^{-2 / (2 n + 1)} - 1} \cos(2 \pi u_3)\right)

    n is found from the first draw, step by step from the likeliest on.  No value is rejected, and
    none is approximated beyond float64's rounding, within 1e-13 of the probabilities.

    Args:
        kappa: concentration, 0 <= kappa <= 1e5; 0 is the uniform distribution.  A value takes
            some sqrt(kappa) steps.

    Raises:
        ValueError: `kappa` is out of its range.

    Source:
        Von Mises (1918); Mardia and Jupp (2000), "Directional Statistics", section 3.5.4.  The
        mixture is ours; the angle of each component is Bailey's (1994) polar t, theorem 1,
        doi:10.1090/S0025-5718-1994-1219702-8.  For phases of complex and of rotation weights:
        Trabelsi et al. (2018), arXiv:1705.09792, section 3.6, takes kappa = 0.  Who agrees:
        ``scipy.stats.vonmises(kappa)``; ``torch.distributions.VonMises`` rejects.

    >>> from fastinit.numba import gallery
    >>> round(gallery.von_mises(kappa=0).distribution((4,)).std, 6)  # pi / sqrt(3)
    1.813799
    """
    n, up, down, rise, fall = mode, mode, mode, chance, chance
    rest = u - chance
    while rest >= 0.0:
        rise = rise * (exact * (2.0 * up + 1.0) / ((up + 1.0) * (up + 1.0)))
        up = up + 1.0
        rest = rest - rise
        n = up
        if rest >= 0.0:
            fall = fall * (down * down / (exact * (2.0 * down - 1.0)))
            down = down - 1.0 if down > 0.0 else 0.0
            rest = rest - fall
            n = down
        if rest >= 0.0 and rise + fall < NEGLIGIBLE:
            n = mode
            rest = -1.0
    degrees = 2.0 * n + 1.0
    radius = np.sqrt(expm1((2.0 / degrees) * minus_log(u2)))
    return 2.0 * arctan(radius * cos_turns(u3))
