# SPDX-License-Identifier: MIT
"""The engine of the schemes whose scale follows from the fans.

It goes from a shape to its fans, from the fans to a standard deviation, and from there to a
distribution; it also has the formulas that several schemes share.  It computes in float64, from the
shape of the whole tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

from fastinit.numerics import gaussian
from fastinit.numerics.checks import check_factor, check_finite
from fastinit.schemes.fans import FanOptions, FanRule
from fastinit.schemes.gains import gain
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import (
    Distribution,
    Independent,
    Normal,
    TruncatedNormal,
    Uniform,
)
from fastinit.values.matrices import Blocks

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
OneFan = Annotated[Literal["fan_in", "fan_out"], "variance_scaling() has the averages"]
"""A mode of PyTorch; the text is the hint for those who ask for another mode."""
DistributionName = Literal["truncated_normal", "normal", "untruncated_normal", "uniform"]

CUT = 2.0
"""Where JAX and Keras truncate normals, in standard deviations of the underlying normal."""


def divisor(mode: Mode, fan_in: int, fan_out: int) -> float:
    """The fan, or the mean of the fans, by which the scale is divided; 1 if that is 0."""
    if mode == "fan_geo_avg":
        found = math.sqrt(fan_in * fan_out)
    elif mode == "fan_avg":
        found = (fan_in + fan_out) / 2
    else:
        found = float(fan_in if mode == "fan_in" else fan_out)
    return found or 1.0


def within(bound: float) -> Uniform:
    """The uniform distribution over [-bound, bound]."""
    if math.isinf(bound):
        raise ValueError("the bound that follows from the arguments is inf: need a smaller scale")
    return Uniform(-bound, bound)


def centred(std: float, kind: DistributionName) -> Independent:
    """A distribution with mean 0 and standard deviation `std`, after any truncation."""
    if kind == "uniform":
        return within(math.sqrt(3.0) * std)
    if kind == "truncated_normal":
        return TruncatedNormal(std / gaussian.truncated_moments(-CUT, CUT)[1], 0.0, -CUT, CUT)
    return Normal(std, 0.0)


def by_fans(found: Callable[[int, int], Independent], options: FanOptions) -> Rule:
    """Build a rule: shape -> `found(fan_in, fan_out)`."""
    fan_rule = FanRule(**options)

    def rule(dims: tuple[int, ...]) -> Distribution:
        if not isinstance(fan_rule.packed, int):
            return _packed(fan_rule, fan_rule.packed, dims, whole)
        return whole(fan_rule, dims)

    def whole(fan_rule: FanRule, dims: tuple[int, ...]) -> Independent:
        return found(*fan_rule.of(dims))

    return rule


def by_fan(found: Callable[[float], Independent], mode: Mode, options: FanOptions) -> Rule:
    """Build a rule: shape -> `found(n)`, where n is the fan of `mode`, or 1 if that is 0."""
    return by_fans(lambda fan_in, fan_out: found(divisor(mode, fan_in, fan_out)), options)


def scaled(
    std_of: Callable[[float], float], mode: Mode, kind: DistributionName, options: FanOptions
) -> Rule:
    """Build a rule: shape -> the distribution with standard deviation `std_of(fan)`."""
    return by_fan(lambda n: centred(std_of(n), kind), mode, options)


def of_variance(scale: float, mode: Mode, kind: DistributionName, options: FanOptions) -> Rule:
    """Build a rule: shape -> the distribution with variance scale / fan.

    It is rounded as JAX and Keras round it.
    """
    if kind != "uniform":
        return scaled(by_variance(scale), mode, kind, options)
    check_factor("scale", scale)
    return by_fan(lambda n: within(math.sqrt(3.0 * (scale / n))), mode, options)


def _packed(
    fan_rule: FanRule,
    sizes: tuple[int, ...],
    dims: tuple[int, ...],
    whole: Callable[[FanRule, tuple[int, ...]], Independent],
) -> Distribution:
    """The distribution of several matrices in one tensor.

    They lie side by side, with `sizes` outputs; the scale of each follows from its fans.
    """
    _, outputs, _ = fan_rule.axes(dims)
    if len(outputs) != 1 or sum(sizes) != dims[outputs[0]]:
        raise ValueError(
            f"packed={sizes} makes {sum(sizes)} outputs, but shape {dims} has "
            f"{[dims[axis] for axis in outputs]}: the numbers must be equal, along one axis"
        )
    axis, alone = outputs[0], replace(fan_rule, packed=1)
    parts = tuple(whole(alone, (*dims[:axis], size, *dims[axis + 1 :])) for size in sizes)
    return parts[0] if len(set(parts)) == 1 else Blocks(dims, axis, sizes, parts)


def by_variance(scale: float) -> Callable[[float], float]:
    """sqrt(scale / n), as JAX and Keras compute it."""
    check_factor("scale", scale)
    return lambda n: math.sqrt(scale / n)


def xavier_std(gain: float) -> Callable[[float], float]:
    """gain * sqrt(2 / (fan_in + fan_out)), rounded as in PyTorch; n is the mean of the fans."""
    check_factor("gain", gain)
    return lambda n: gain * math.sqrt(1.0 / n)


def kaiming_std(a: float, nonlinearity: str) -> Callable[[float], float]:
    """gain / sqrt(n), rounded as PyTorch rounds it."""
    check_finite("a", a)
    factor = gain(nonlinearity, a if nonlinearity == "leaky_relu" else None)
    return lambda n: factor / math.sqrt(n)
