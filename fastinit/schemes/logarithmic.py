# SPDX-License-Identifier: MIT
"""Schemes whose logarithm is evenly spread, as the time steps of state-space models."""

from __future__ import annotations

from fastinit.numerics.checks import check_factor, check_multiplier
from fastinit.numerics.roots import logarithm
from fastinit.schemes.formulas import X, formula_of
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Uniform
from fastinit.values.mapped import LogUniform, Mapped


def _logarithm_within(low: float, high: float) -> Uniform:
    """The distribution of the logarithm."""
    check_multiplier("low", low)
    check_multiplier("high", high)
    if low > high:
        raise ValueError(f"low is {low!r} and high {high!r}: need low <= high")
    return Uniform(logarithm(low), logarithm(high))


@maker
def log_uniform(low: float, high: float) -> Rule:
    r"""Values whose logarithm is evenly spread: as many from 0.001 to 0.01 as from 0.01 to 0.1.

    .. math:: w = e^u, \quad u \sim \mathcal U[\ln \text{low}, \ln \text{high}]

    Args:
        low, high: the bounds, 0 < low <= high.  No float32 or float64 value lies outside them; the
            narrower types round those.

    Raises:
        ValueError: a bound is not finite or not above 0; low > high.

    The same as mapped(uniform(ln low, ln high), 'maximum(minimum(exp(x), high), low)'), to the last
    bit.

    Source:
        Gu, Goel, Ré (2022), "Efficiently modeling long sequences with structured state spaces",
        arXiv:2111.00396, for time steps; ``scipy.stats.loguniform``.  Who differs: frameworks have
        no such function, and write ``exp(rand() * (log(high) - log(low)) + log(low))``.

    >>> import math
    >>> found = log_uniform(0.001, 0.1).distribution((64,))
    >>> math.isclose(found.mean, 0.099 / math.log(100), rel_tol=1e-15)
    True
    """
    base = _logarithm_within(low, high)
    formula = formula_of(_time_step(low, high), X)
    found = LogUniform(base, formula, low, high)
    return lambda shape: found


def _time_step(low: float, high: float) -> str:
    return f"maximum(minimum(exp(x), {high!r}), {low!r})"


@maker
def inverse_softplus_log_uniform(low: float, high: float, floor: float = 0.0) -> Rule:
    r"""Biases whose softplus has a logarithm that is evenly spread: Mamba's ``dt_bias``.

    .. math:: b = t + \ln(-\text{expm1}(-t)), \quad t = \max(e^u, \text{floor}), \quad
              u \sim \mathcal U[\ln \text{low}, \ln \text{high}]

    so that softplus(b) = t.

    Args:
        low, high: the bounds of the time step, 0 < low <= high: ``time_step_min`` and
            ``time_step_max``.
        floor: the least time step, >= 0: ``time_step_floor``.

    Raises:
        ValueError: a bound is not finite or not above 0; low > high; floor is negative or not
            finite.

    The same as mapped(uniform(ln low, ln high), 't + log(-expm1(-t))'), to the last bit, with t =
    maximum(minimum(exp(x), high), m) and m the larger of low and floor.

    Source:
        Gu, Dao (2023), "Mamba", arXiv:2312.00752; transformers 5.24, ``modeling_mamba.py``
        (``dt_proj.bias``), ``modeling_mamba2.py`` (``dt_bias``), with 0.001, 0.1 and 1e-4.  Who
        differs: Qwen3-Next's ``dt_bias`` is ones().

    >>> bias = inverse_softplus_log_uniform(0.001, 0.1, floor=1e-4)
    >>> round(bias.distribution((1536,)).mean, 12)
    -4.594376164961
    """
    base = _logarithm_within(low, high)
    check_factor("floor", floor)
    step = _time_step(max(low, floor), high)
    found = Mapped(base, formula_of(f"{step} + log(-expm1(-{step}))", X))
    return lambda shape: found
