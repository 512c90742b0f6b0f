# SPDX-License-Identifier: MIT
"""The engine of the schemes whose scale follows from the fans.

From a shape to its fans, from the fans to a standard deviation, from that to a distribution, and
the formulas that several schemes share.  All work is in float64 from the whole shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from fastinit import gaussian
from fastinit.distributions import Distribution, Independent, Normal, TruncatedNormal, Uniform
from fastinit.fans import FanOptions, FanRule
from fastinit.matrices import Blocks
from fastinit.schemes.gains import gain
from fastinit.schemes.scheme import Rule, check_factor

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
Kind = Literal["truncated_normal", "normal", "untruncated_normal", "uniform"]

CUT = 2.0
"""Where JAX's and Keras's truncated normals are truncated, in sigma of the bell."""


def divisor(mode: Mode, fan_in: int, fan_out: int) -> float:
    """What the scale is divided by; 1 for a tensor of no elements."""
    if mode == "fan_geo_avg":
        found = math.sqrt(fan_in * fan_out)
    elif mode == "fan_avg":
        found = (fan_in + fan_out) / 2
    else:
        found = float(fan_in if mode == "fan_in" else fan_out)
    return found or 1.0


def within(bound: float) -> Uniform:
    """Evenly spread over [-bound, bound]."""
    return Uniform(-bound, bound)


def centred(std: float, kind: Kind) -> Independent:
    """Centred on 0, with standard deviation `std` after any truncation."""
    if kind == "uniform":
        return within(math.sqrt(3.0) * std)
    if kind == "truncated_normal":
        return TruncatedNormal(std / gaussian.truncated_moments(-CUT, CUT)[1], 0.0, -CUT, CUT)
    return Normal(std, 0.0)


def by_fans(found: Callable[[int, int], Independent], options: FanOptions) -> Rule:
    """The rule of the distribution found(fan_in, fan_out)."""
    fan_rule = FanRule(**options)

    def rule(dims: tuple[int, ...]) -> Distribution:
        if not isinstance(fan_rule.packed, int):
            return _packed(fan_rule, fan_rule.packed, dims, whole)
        return whole(fan_rule, dims)

    def whole(fan_rule: FanRule, dims: tuple[int, ...]) -> Independent:
        return found(*fan_rule.of(dims))

    return rule


def by_fan(found: Callable[[float], Independent], mode: Mode, options: FanOptions) -> Rule:
    """The rule of the distribution found(n), n the fan of `mode`, or 1 if that is 0."""
    return by_fans(lambda fan_in, fan_out: found(divisor(mode, fan_in, fan_out)), options)


def scaled(std_of: Callable[[float], float], mode: Mode, kind: Kind, options: FanOptions) -> Rule:
    """The rule of standard deviation std_of(fan).

    Everything but the tensor's shape is checked here.
    """
    _check_words(mode, kind)
    return by_fan(lambda n: centred(std_of(n), kind), mode, options)


def of_variance(scale: float, mode: Mode, kind: Kind, options: FanOptions) -> Rule:
    """The rule of variance scale / fan, rounded as JAX and Keras round it; checks as `scaled`."""
    if kind != "uniform":
        return scaled(by_variance(scale), mode, kind, options)
    _check_words(mode, kind)
    check_factor("scale", scale)
    return by_fan(lambda n: within(math.sqrt(3.0 * (scale / n))), mode, options)


def _check_words(mode: Mode, kind: Kind) -> None:
    if mode not in get_args(Mode):
        raise ValueError(f"mode {mode!r} is unknown: choose from {', '.join(get_args(Mode))}")
    if kind not in get_args(Kind):
        raise ValueError(
            f"distribution {kind!r} is unknown: choose from {', '.join(get_args(Kind))}"
        )


def _packed(
    fan_rule: FanRule,
    sizes: tuple[int, ...],
    dims: tuple[int, ...],
    whole: Callable[[FanRule, tuple[int, ...]], Independent],
) -> Distribution:
    """Matrices of these numbers of outputs in one tensor, each drawn by its own fans."""
    _, outputs, _ = fan_rule.axes(dims)
    if len(outputs) != 1 or sum(sizes) != dims[outputs[0]]:
        raise ValueError(
            f"packed={sizes} makes {sum(sizes)} outputs, but shape {dims} has "
            f"{[dims[axis] for axis in outputs]}: they must be the same, along one axis"
        )
    axis, alone = outputs[0], replace(fan_rule, packed=1)
    parts = tuple(whole(alone, (*dims[:axis], size, *dims[axis + 1 :])) for size in sizes)
    return parts[0] if len(set(parts)) == 1 else Blocks(dims, axis, sizes, parts)


def by_variance(scale: float) -> Callable[[float], float]:
    """sqrt(scale / n), as JAX and Keras have it."""
    check_factor("scale", scale)
    return lambda n: math.sqrt(scale / n)


def xavier_std(gain: float) -> Callable[[float], float]:
    """gain * sqrt(2 / (fan_in + fan_out)), rounded as PyTorch rounds it; n is their mean."""
    check_factor("gain", gain)
    return lambda n: gain * math.sqrt(1.0 / n)


def kaiming_std(a: float, mode: str, nonlinearity: str) -> Callable[[float], float]:
    """gain / sqrt(n), rounded as PyTorch rounds it."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(
            f"mode {mode!r} is unknown: choose from fan_in, fan_out; "
            "variance_scaling() has the averages"
        )
    if not math.isfinite(a):
        raise ValueError(f"a is {a!r}: need a finite number")
    factor = gain(nonlinearity, a if nonlinearity == "leaky_relu" else None)
    return lambda n: factor / math.sqrt(n)
