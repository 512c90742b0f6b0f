# SPDX-License-Identifier: MIT
"""Schemes whose scale is given: they look at no fan.  Scaled ones are in scaled.py."""

from __future__ import annotations

import math

from fastinit.numerics import gaussian
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values import distributions


@maker
def uniform(low: float, high: float) -> Rule:
    r"""Evenly spread over [low, high].

    .. math:: w \sim \mathcal U[\text{low}, \text{high}], \quad
              \sigma = (\text{high} - \text{low}) / \sqrt{12}

    Args:
        low, high: the bounds, low <= high, in the units of the weights.  No value lies outside
            them after rounding to any dtype.

    Raises:
        ValueError: a bound is not finite; low > high.

    Source:
        ``torch.nn.init.uniform_``, ``keras.initializers.RandomUniform``.  Who differs: both leave
        `high` out; JAX's ``uniform(scale)`` is one-sided, [0, scale).

    >>> print(uniform(-0.1, 0.1))
    uniform(low=-0.1, high=0.1)
    """
    found = distributions.Uniform(low, high)
    return lambda shape: found


@maker
def normal(std: float = 1.0, *, mean: float = 0.0) -> Rule:
    r"""The plain normal distribution.

    .. math:: w \sim \mathcal N(\text{mean}, \text{std}^2)

    Args:
        std: standard deviation, >= 0.
        mean: mean of the values.

    Raises:
        ValueError: std is negative or not finite; mean is not finite.

    A value comes from one 32-bit word, so none is further out than 6.34 sigma (float64: 9.16).

    Source:
        ``torch.nn.init.normal_``.  Who differs: PyTorch and NumPy take the mean first, so here
        `mean` goes by name alone.  JAX's default std is 0.01, Keras's 0.05.

    >>> print(normal(std=0.02))
    normal(std=0.02)
    """
    found = distributions.Normal(std, mean)
    return lambda shape: found


@maker
def truncated_normal(
    std: float = 1.0,
    *,
    mean: float = 0.0,
    low: float = -2.0,
    high: float = 2.0,
    corrected: bool = False,
) -> Rule:
    r"""The normal distribution given that it lies between two bounds.

    .. math:: w \sim \mathcal N(\text{mean}, \sigma^2) \text{ given }
              \text{low} \le (w - \text{mean}) / \sigma \le \text{high}, \quad
              \sigma = \text{std} \text{ or, corrected, } \text{std} / s

    Args:
        std: standard deviation of the underlying normal; with `corrected`, of the truncated
            values.
        mean: mean of the underlying normal.
        low, high: the bounds, **in units of sigma** from `mean`; may be infinite.
        corrected: divide std by s, the standard deviation of a standard normal truncated to
            [low, high]: 0.8796 at 2 sigma, 0.9866 at 3.

    Raises:
        ValueError: low is not below high; the interval begins beyond 13 sigma or is narrower than
            2**-10 sigma; std is negative; std or mean is not finite.

    Source:
        ``jax.nn.initializers.truncated_normal``, which does not correct (``variance_scaling``
        does).  Who differs: PyTorch's ``trunc_normal_(a, b)`` takes absolute bounds (its default,
        -2 and 2, cuts nothing off at std 0.02) and does not correct: for mean 0, its a and b are
        low = a / std and high = b / std here.  Keras's bounds are 2 sigma, uncorrected.

    >>> print(truncated_normal(std=0.02, low=-3, high=3))
    truncated_normal(std=0.02, low=-3, high=3)
    """
    found = distributions.TruncatedNormal(std, mean, low, high)
    if corrected:
        spread = gaussian.truncated_moments(low, high)[1]
        found = distributions.TruncatedNormal(std / spread, mean, low, high)
    return lambda shape: found


@maker
def clipped_normal(
    std: float = 1.0,
    *,
    mean: float = 0.0,
    low: float = -2.0,
    high: float = 2.0,
    corrected: bool = False,
) -> Rule:
    r"""min(max(normal, low), high): what lies outside the bounds sits on them.

    .. math:: w = \text{mean} + \sigma \min(\max(z, \text{low}), \text{high}), \quad
              z \sim \mathcal N(0, 1), \quad
              \sigma = \text{std} \text{ or, corrected, } \text{std} / s

    Another distribution than the truncated one: at 2 sigma each bound holds 2.28 % of the mass.

    Args:
        std: standard deviation of the underlying normal; with `corrected`, of the clipped values.
        mean: mean of the underlying normal.
        low, high: the bounds, in units of sigma from `mean`; may be infinite.
        corrected: divide std by s, the standard deviation of a standard normal clipped to
            [low, high]: 0.9594 at 2 sigma, 0.9975 at 3.

    Raises:
        ValueError: low is not below high; std is negative; std or mean is not finite; with
            `corrected`, s rounds to 0 in float64, as from 54 sigma on, or std / s overflows.

    Source:
        Ours: no framework has it as an initialiser.  Who differs: what others call truncated is
        `truncated_normal`.

    >>> print(clipped_normal(std=0.02, corrected=True))
    clipped_normal(std=0.02, corrected=True)
    """
    found = distributions.ClippedNormal(std, mean, low, high)
    if corrected:
        spread = gaussian.clipped_moments(low, high)[1]
        if spread == 0 or math.isinf(std / spread):
            raise ValueError(
                f"low is {low!r} and high {high!r}: a standard normal clipped there has the std "
                f"{spread:.3g}, so for std={std!r} the normal would be too wide for float64; "
                "move the bounds towards the mean or farther apart, or take a smaller std"
            )
        found = distributions.ClippedNormal(std / spread, mean, low, high)
    return lambda shape: found


@maker
def constant(value: float) -> Rule:
    r"""The same value everywhere.

    .. math:: w = \text{value}

    Args:
        value: finite; it is rounded to the dtype.

    Raises:
        ValueError: the value is not finite, or beyond the largest number of the tensor's dtype.

    Source:
        ``torch.nn.init.constant_``, ``jax.nn.initializers.constant``.  Who differs: Keras's
        ``Constant`` is 0 if no value is given.

    >>> print(constant(0.5))
    constant(value=0.5)
    """
    found = distributions.Constant(value)
    return lambda shape: found


@maker
def zeros() -> Rule:
    """Zero everywhere, w = 0: biases.

    Raises:
        TypeError: an argument is given.

    Source:
        ``torch.nn.init.zeros_``; the same in JAX and Keras.

    >>> print(zeros())
    zeros()
    """
    return lambda shape: distributions.Constant(0.0)


@maker
def ones() -> Rule:
    """One everywhere, w = 1: the scales of normalisation layers.

    Raises:
        TypeError: an argument is given.

    Source:
        ``torch.nn.init.ones_``; the same in JAX and Keras.

    >>> print(ones())
    ones()
    """
    return lambda shape: distributions.Constant(1.0)
