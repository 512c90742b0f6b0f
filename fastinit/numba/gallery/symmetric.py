# SPDX-License-Identifier: MIT
"""Symmetric distributions with heavier tails than the normal: Laplace, logistic, Student's t."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastinit.numba.circles import cos_turns
from fastinit.numba.distribution import distribution
from fastinit.numba.exponentials import expm1
from fastinit.numba.logarithms import minus_log
from fastinit.numba.tails import sign_and_tail
from fastinit.numerics.checks import check_multiplier


def _check_scale(scale: float) -> None:
    check_multiplier("scale", scale)


@distribution(mean=0.0, std=lambda scale: math.sqrt(2.0) * scale, check=_check_scale)
def laplace(w: Any, scale: Any = 1.0) -> Any:
    r"""Laplace's distribution, the double exponential.

    .. math:: f(x) = \frac{1}{2b} e^{-|x| / b}, \qquad x = \pm b \ln(1 / p)

    The standard deviation is sqrt(2) b.

    Args:
        scale: b > 0, in the units of the weights.

    Raises:
        ValueError: `scale` is not above 0.

    Source:
        Laplace (1774), "Memoire sur la probabilite des causes par les evenements".  As the prior
        of weights whose most likely values under an L1 penalty are sparse: Williams (1995),
        "Bayesian regularization and pruning using a Laplace prior", doi:10.1162/neco.1995.7.1.117.
        Who agrees: ``scipy.stats.laplace(scale=b)``, ``torch.distributions.Laplace(0, b)``.

    >>> import fastinit as fi
    >>> from fastinit.numba import gallery
    >>> fi.array(3, gallery.laplace(scale=0.02), seed=0, name="w").shape
    (3,)
    """
    sign, p = sign_and_tail(w)
    return sign * (minus_log(p) * scale)


@distribution(mean=0.0, std=lambda scale: math.pi / math.sqrt(3.0) * scale, check=_check_scale)
def logistic(w: Any, scale: Any = 1.0) -> Any:
    r"""The logistic distribution, whose distribution function is the sigmoid.

    .. math:: F(x) = \frac{1}{1 + e^{-x / s}}, \qquad x = \pm s \ln\frac{2 - p}{p}

    The standard deviation is pi s / sqrt(3).

    Args:
        scale: s > 0, in the units of the weights.

    Raises:
        ValueError: `scale` is not above 0.

    Source:
        Verhulst (1845); Balakrishnan (1992), "Handbook of the Logistic Distribution", ch. 1.  The
        noise of the binary concrete relaxation, and so the start of gates that are learnt with it:
        Maddison, Mnih, Teh (2017), arXiv:1611.00712, appendix B.  Who agrees:
        ``scipy.stats.logistic(scale=s)``.

    >>> from fastinit.numba import gallery
    >>> round(gallery.logistic(scale=1).distribution((4,)).std, 6)
    1.813799
    """
    sign, tail = sign_and_tail(w)
    p = np.float64(tail)
    return sign * (minus_log(p / (2.0 - p)) * scale)


def _check_student(nu: float, scale: float) -> None:
    check_multiplier("nu", nu)
    check_multiplier("scale", scale)


def _student_mean(nu: float, scale: float) -> float:
    if nu <= 1:
        raise ValueError(f"with nu = {nu:g} it has no mean: that takes nu > 1")
    return 0.0


def _student_std(nu: float, scale: float) -> float:
    if nu <= 2:
        raise ValueError(f"with nu = {nu:g} it has no standard deviation: that takes nu > 2")
    return scale * math.sqrt(nu / (nu - 2.0))


@distribution(mean=_student_mean, std=_student_std, check=_check_student)
def student_t(u: Any, u2: Any, nu: Any = 5.0, scale: Any = 1.0) -> Any:
    r"""Student's t distribution, from two draws.

    .. math::

        f(t) \propto \left(1 + \frac{t^2}{\nu}\right)^{-(\nu + 1) / 2}, \qquad
        t = \sqrt{\nu (u_1^{-2 / \nu} - 1)} \cos(2 \pi u_2)

    The values are t times `scale`.  The standard deviation is scale sqrt(nu / (nu - 2)) for
    nu > 2; `std` is an error for others, and `mean` for nu <= 1.

    Args:
        nu: degrees of freedom, > 0; 1 is Cauchy's distribution.  The largest values are about
            2**(33 / nu), for float64 tensors 2**(65 / nu): a dtype that cannot hold them is an
            error when they are drawn.
        scale: > 0, in the units of the weights.

    Raises:
        ValueError: `nu` or `scale` is not above 0.

    Source:
        Bailey (1994), "Polar generation of random variates with the t-distribution", Mathematics
        of Computation 62, theorem 1, doi:10.1090/S0025-5718-1994-1219702-8.  Weights of trained
        networks have such tails: Fortuin et al. (2022), "Bayesian neural network priors
        revisited", arXiv:2102.06571, which takes them as priors.  Who agrees:
        ``scipy.stats.t(nu, scale=scale)``.

    >>> from fastinit.numba import gallery
    >>> gallery.student_t(nu=4, scale=0.02).distribution((4,)).std == 0.02 * 2**0.5
    True
    """
    radius = np.sqrt(nu * expm1((2.0 / nu) * minus_log(u)))
    return (radius * cos_turns(u2)) * scale
