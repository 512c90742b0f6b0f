# SPDX-License-Identifier: MIT
"""Distributions of positive numbers: exponential, lognormal, and Kumaraswamy's, which ends at 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastinit.numba.distribution import distribution
from fastinit.numba.exponentials import exp, expm1
from fastinit.numba.logarithms import minus_log
from fastinit.numerics.checks import check_multiplier


def _check_exponential(scale: float) -> None:
    check_multiplier("scale", scale)


@distribution(mean=lambda scale: scale, std=lambda scale: scale, check=_check_exponential)
def exponential(u: Any, scale: Any = 1.0) -> Any:
    r"""The exponential distribution.

    .. math:: f(x) = \frac{1}{b} e^{-x / b}, \quad x > 0, \qquad x = b \ln(1 / u)

    Mean and standard deviation are b.

    Args:
        scale: b > 0, the mean, in the units of the weights; 1 over the rate.

    Raises:
        ValueError: `scale` is not above 0.

    Source:
        Johnson, Kotz, Balakrishnan (1994), "Continuous Univariate Distributions", vol. 1, ch. 19.
        For rates, variances and the nonnegative weights of monotone networks.  Who agrees:
        ``scipy.stats.expon(scale=b)``; ``torch.Tensor.exponential_`` takes the rate 1 / b.

    >>> from fastinit.numba import gallery
    >>> gallery.exponential(scale=0.5).distribution((4,)).mean
    0.5
    """
    return minus_log(u) * scale


def _check_lognormal(mu: float, sigma: float) -> None:
    check_multiplier("sigma", sigma)


def _lognormal_mean(mu: float, sigma: float) -> float:
    try:
        return math.exp(mu + sigma * sigma / 2)
    except OverflowError:
        return math.inf


def _lognormal_std(mu: float, sigma: float) -> float:
    try:
        return _lognormal_mean(mu, sigma) * math.sqrt(math.expm1(sigma * sigma))
    except OverflowError:
        return math.inf


@distribution(mean=_lognormal_mean, std=_lognormal_std, check=_check_lognormal)
def lognormal(z: Any, mu: Any = 0.0, sigma: Any = 1.0) -> Any:
    r"""The lognormal distribution: numbers whose logarithm is normal.

    .. math:: x = e^{\mu + \sigma z}

    The mean is exp(mu + sigma**2 / 2), the standard deviation that times
    sqrt(exp(sigma**2) - 1), and the median exp(mu).

    Args:
        mu: mean of the logarithm, any finite number.
        sigma: > 0, standard deviation of the logarithm.

    Raises:
        ValueError: `sigma` is not above 0.

    Source:
        Johnson, Kotz, Balakrishnan (1994), "Continuous Univariate Distributions", vol. 1, ch. 14.
        Synaptic weights in the cortex are about lognormal: Song et al. (2005),
        doi:10.1371/journal.pbio.0030068, figure 5; and step sizes and time constants are drawn
        so.  Who agrees: ``scipy.stats.lognorm(sigma, scale=exp(mu))``,
        ``torch.Tensor.log_normal_(mu, sigma)``.

    >>> from fastinit.numba import gallery
    >>> round(gallery.lognormal(mu=0, sigma=0.5).distribution((4,)).mean, 6)
    1.133148
    """
    return exp(np.float64(sigma) * np.float64(z) + mu)


def _check_kumaraswamy(a: float, b: float) -> None:
    check_multiplier("a", a)
    check_multiplier("b", b)


@distribution(check=_check_kumaraswamy)
def kumaraswamy(u: Any, a: Any = 1.0, b: Any = 1.0) -> Any:
    r"""Kumaraswamy's distribution on (0, 1), which is much like a beta distribution.

    .. math:: F(x) = 1 - (1 - x^a)^b, \qquad x = \left(1 - u^{1 / b}\right)^{1 / a}

    a = b = 1 is the uniform distribution; its moments are b B(1 + n / a, b).

    Args:
        a: > 0; below 1 the density rises to infinity at 0.
        b: > 0; below 1 it does so at 1.

    Raises:
        ValueError: `a` or `b` is not above 0.

    Source:
        Kumaraswamy (1980), doi:10.1016/0022-1694(80)90036-0; Jones (2009),
        doi:10.1016/j.stamet.2008.04.001, section 2, has the quantile function.  For gates and
        stick-breaking weights, as it can be drawn by a formula where a beta distribution cannot:
        Nalisnick and Smyth (2017), arXiv:1605.06197, section 3.  SciPy has no such distribution.

    >>> from fastinit.numba import gallery
    >>> round(gallery.kumaraswamy(a=2, b=1).distribution((4,)).mean, 9)  # 2 / 3
    0.666666667
    """
    y = -expm1(-minus_log(u) / b)
    return exp(-minus_log(y) / a)
