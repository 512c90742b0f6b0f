# SPDX-License-Identifier: MIT
"""Mixtures of normal distributions of one mean: scale mixtures, and a spike with a slab."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastinit.numba.distribution import distribution
from fastinit.numba.gallery.zeros import ZERO
from fastinit.numerics.checks import check_factor


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is {share!r}: need a number from 0 to 1")


def _check_mixture(std: float, std2: float, share2: float, std3: float, share3: float) -> None:
    for name, value in (("std", std), ("std2", std2), ("std3", std3)):
        check_factor(name, value)
    _check_share("share2", share2)
    _check_share("share3", share3)
    if share2 + share3 > 1:
        raise ValueError(
            f"share2 + share3 is {share2 + share3!r}: need at most 1, the rest is that of std"
        )


def _mixture_std(std: float, std2: float, share2: float, std3: float, share3: float) -> float:
    rows = ((1.0 - share2 - share3, std), (share2, std2), (share3, std3))
    return math.hypot(*(math.sqrt(max(share, 0.0)) * each for share, each in rows))


@distribution(mean=0.0, std=_mixture_std, check=_check_mixture)
def normal_mixture(
    z: Any,
    u: Any,
    std: Any = 1.0,
    std2: Any = 0.1,
    share2: Any = 0.5,
    std3: Any = 0.0,
    share3: Any = 0.0,
) -> Any:
    r"""A scale mixture of two or three normal distributions.

    .. math::

        x = \sigma_k z, \qquad P(k = 2) = \pi_2,\; P(k = 3) = \pi_3,\; P(k = 1) = 1 - \pi_2 - \pi_3

    The mean is 0, and the variance the sum of pi_k sigma_k**2.

    Args:
        std: sigma_1 >= 0, in the units of the weights.
        std2: sigma_2 >= 0.
        share2: pi_2, from 0 to 1.
        std3: sigma_3 >= 0.
        share3: pi_3, from 0 to 1; share2 + share3 <= 1.

    Raises:
        ValueError: a number is out of its range.

    Source:
        Andrews and Mallows (1974), "Scale mixtures of normal distributions",
        doi:10.1111/j.2517-6161.1974.tb00989.x.  With two components the prior of weights of
        Blundell et al. (2015), "Weight uncertainty in neural networks", arXiv:1505.05424,
        equation 7, whose pi is 1 - share2.

    >>> from fastinit.numba import gallery
    >>> law = gallery.normal_mixture(std=3, std2=4, share2=0.5)
    >>> round(law.distribution((4,)).std ** 2, 9)  # (9 + 16) / 2
    12.5
    """
    rest = std3 if u < np.float64(share2) + share3 else std
    return z * (std2 if u < share2 else rest) + ZERO


def _check_spike(std: float, spike: float, share: float) -> None:
    check_factor("std", std)
    check_factor("spike", spike)
    _check_share("share", share)


def _spike_std(std: float, spike: float, share: float) -> float:
    return math.hypot(math.sqrt(share) * std, math.sqrt(1.0 - share) * spike)


@distribution(mean=0.0, std=_spike_std, check=_check_spike)
def spike_and_slab(z: Any, u: Any, std: Any = 1.0, spike: Any = 0.0, share: Any = 0.5) -> Any:
    r"""A normal slab with probability `share`, and else a spike at 0 or a narrow normal.

    .. math:: x = \sigma z \text{ with probability } \pi, \quad \text{else } \tau z

    With ``spike=0`` the others are +0 exactly, so the tensor is sparse.

    Args:
        std: sigma >= 0 of the slab, in the units of the weights.
        spike: tau >= 0 of the spike.
        share: pi, from 0 to 1: the share of the slab.

    Raises:
        ValueError: a number is out of its range.

    Source:
        Mitchell and Beauchamp (1988), doi:10.1080/01621459.1988.10478694, with a point as the
        spike; George and McCulloch (1993), doi:10.1080/01621459.1993.10476353, equation 3, with a
        normal.  Sparse initialisation of wide layers is of the first kind.

    >>> import fastinit as fi
    >>> from fastinit.numba import gallery
    >>> w = fi.array(1000, gallery.spike_and_slab(std=1, share=0.1), seed=0, name="w")
    >>> 50 < int((w != 0).sum()) < 150
    True
    """
    return z * (std if u < share else spike) + ZERO
