# SPDX-License-Identifier: MIT
"""Schemes by which models of different widths train alike: muP and the spectral condition.

A base model is one in which the scales were tuned; its shapes, or how much wider the new model is,
are given by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

from fastinit.numerics.checks import check_factor, check_multiplier, check_shape
from fastinit.schemes.engine import (
    DistributionName,
    OneFan,
    by_fan,
    by_fans,
    centred,
    divisor,
    kaiming_std,
    within,
    xavier_std,
)
from fastinit.schemes.fans import Axes, FanOptions, FanRule
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Distribution, Independent, Normal, TruncatedNormal


def _narrowed(number: float, width_multiplier: float) -> float:
    """`number` over the root of the width multiplier."""
    check_multiplier("width_multiplier", width_multiplier)
    return number / math.sqrt(width_multiplier)


@maker
def mup_normal(std: float = 1.0, *, width_multiplier: float) -> Rule:
    r"""muP's normal for hidden weights.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \text{std} / \sqrt{\text{width\_multiplier}}

    For weights whose inputs and outputs both grow with the width.  Where only one of them grows
    (embeddings, output layers, biases), take normal(std) at every width.

    Args:
        std: standard deviation in the base model, >= 0.
        width_multiplier: width / base width, > 0; if inputs and outputs grow by different factors,
            the factor of the inputs.

    Raises:
        ValueError: std is negative or not finite; width_multiplier is not above 0 or not finite.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's ``normal_``,
        which finds the axes that grow by comparing with the base model.  Who differs: Megatron's
        muP narrows output projections further; see `megatron_scaled_normal`.  A hidden
        ``torch.nn.Linear`` that mup does not draw again stays `torch_linear`, and
        ``set_base_shapes`` makes its bias torch_bias(fan_in) with the base model's fan_in.

    >>> mup_normal(0.02, width_multiplier=4).distribution((4096, 4096)).std
    0.01
    """
    check_factor("std", std)
    found = Normal(_narrowed(std, width_multiplier), 0.0)
    return lambda shape: found


@maker
def mup_uniform(bound: float, *, width_multiplier: float) -> Rule:
    r"""muP's uniform for hidden weights.

    .. math:: w \sim \mathcal U[-a, a], \quad a = \text{bound} / \sqrt{\text{width\_multiplier}}

    Args:
        bound: in the base model, >= 0.
        width_multiplier: as for `mup_normal`.

    Raises:
        ValueError: bound is negative or not finite; width_multiplier is not above 0 or not finite.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's ``uniform_``.
        Who differs: mup takes two bounds, which must be -bound and bound here.

    >>> mup_uniform(0.1, width_multiplier=4).distribution((4096, 4096)).high
    0.05
    """
    check_factor("bound", bound)
    found = within(_narrowed(bound, width_multiplier))
    return lambda shape: found


@maker
def mup_truncated_normal(std: float = 1.0, *, cutoff: float = 2.0, width_multiplier: float) -> Rule:
    r"""muP's truncated normal for hidden weights.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le \text{cutoff} \cdot \sigma,
              \quad \sigma = \text{std} / \sqrt{\text{width\_multiplier}}

    Args:
        std: standard deviation of the underlying normal in the base model, >= 0; it is not
            corrected for the truncation.
        cutoff: the bound in units of sigma, > 0, so that it scales with sigma.
        width_multiplier: as for `mup_normal`.

    Raises:
        ValueError: std is negative or not finite; cutoff or width_multiplier is not above 0 or not
            finite; the window from -cutoff to cutoff is narrower than 2**-10 sigma.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's
        ``trunc_normal_``.  Who differs: mup's bounds are absolute in the base model, by default -2
        and 2, which is a cutoff of 2 / std.

    >>> mup_truncated_normal(0.02, width_multiplier=4).distribution((4096, 4096)).sigma
    0.01
    """
    check_factor("std", std)
    check_multiplier("cutoff", cutoff)
    found = TruncatedNormal(_narrowed(std, width_multiplier), 0.0, -cutoff, cutoff)
    return lambda shape: found


@dataclass(frozen=True, eq=False, repr=False)
class _Fans:
    """A tensor's fans, and how many times those of the base model they are."""

    fan_in: int
    fan_out: int
    base_in: int
    base_out: int

    @property
    def wider_in(self) -> float:
        """The width multiplier of the inputs, 1 for a tensor of no elements."""
        return (self.fan_in or self.base_in) / self.base_in

    @property
    def wider_out(self) -> float:
        """The width multiplier of the outputs."""
        return (self.fan_out or self.base_out) / self.base_out


def _by_base(
    std_of: Callable[[_Fans], float], kind: DistributionName, base_shape: Axes, options: FanOptions
) -> Rule:
    """The rule of standard deviation std_of(fans and base fans)."""
    fan_rule = FanRule(**options)
    base = check_shape(base_shape)
    if 0 in base:
        raise ValueError(f"base_shape is {base}: need axes of 1 or more")
    inputs, outputs, batch = fan_rule.axes(base)
    base_fans = fan_rule.of(base)
    fixed = set(range(len(base))).difference(inputs, outputs, batch)

    def rule(dims: tuple[int, ...]) -> Distribution:
        if len(dims) != len(base):
            raise ValueError(
                f"shape {dims} has {len(dims)} axes, but base_shape {base} has {len(base)}: they "
                "are one tensor in two models, so both need the same number of axes"
            )
        if any(dims[axis] != base[axis] for axis in fixed):
            raise ValueError(
                f"the kernel of shape {dims} differs from that of base_shape {base}: only inputs "
                "and outputs grow with the width"
            )
        return found(_Fans(*fan_rule.of(dims), *base_fans))

    def found(fans: _Fans) -> Independent:
        return centred(std_of(fans), kind)

    return rule


def _mup_xavier(gain: float, kind: DistributionName, base_shape: Axes, options: FanOptions) -> Rule:
    """mup.init's ``_inf_fan_adjust_xavier``, operation by operation."""
    xavier = xavier_std(gain)

    def std_of(fans: _Fans) -> float:
        total = fans.fan_in + fans.fan_out
        std = xavier(divisor("fan_avg", fans.fan_in, fans.fan_out))
        std *= math.sqrt(total / (fans.base_in + fans.base_out))
        both = fans.wider_in != 1 and fans.wider_out != 1
        return std / math.sqrt(fans.wider_in) if both else std

    return _by_base(std_of, kind, base_shape, options)


def _mup_kaiming(
    a: float,
    mode: OneFan,
    nonlinearity: str,
    kind: DistributionName,
    base_shape: Axes,
    options: FanOptions,
) -> Rule:
    """mup.init's ``_inf_fan_adjust_kaiming``, operation by operation."""
    kaiming = kaiming_std(a, nonlinearity)

    def std_of(fans: _Fans) -> float:
        std = kaiming(divisor(mode, fans.fan_in, fans.fan_out))
        if fans.wider_in != 1 and fans.wider_out != 1:
            ratio = 1.0 if mode == "fan_in" else fans.wider_out / fans.wider_in
        else:
            ratio = fans.wider_in if mode == "fan_in" else fans.wider_out
        return std * math.sqrt(ratio)

    return _by_base(std_of, kind, base_shape, options)


@maker
def mup_xavier_uniform(
    gain: float = 1.0, *, base_shape: Axes, **options: Unpack[FanOptions]
) -> Rule:
    r"""muP's Xavier uniform: `xavier_uniform` in the base model, its scale right in wider ones.

    .. math:: w \sim \mathcal U[-a, a], \quad
              a = \text{gain} \sqrt{\frac{6}{b_\text{in} + b_\text{out}}} \, r, \quad
              r = \sqrt{b_\text{in} / f_\text{in}} \text{ or } 1

    where b are the fans of `base_shape`, and r is 1 unless both fans differ from them.

    Args:
        gain: as for `xavier_uniform`.
        base_shape: shape of the same tensor in the base model, with axes >= 1.  The tensor may
            differ from it in inputs, outputs and batch axes, but not in the kernel.  The options
            below apply to both shapes.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: gain is negative or not finite.
        ValueError: base_shape has an axis of 0, or differs from the tensor's shape in the number
            of axes or the kernel; `packed` is a tuple.
        ValueError: as for `fans`.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's
        ``xavier_uniform_``, operation by operation.  Who differs: mup does not know batch axes,
        groups or packed weights; `xavier_uniform` also shrinks where only one fan grows.

    >>> mup_xavier_uniform(base_shape=(100, 50)).distribution((400, 200)).high
    0.1
    """
    return _mup_xavier(gain, "uniform", base_shape, options)


@maker
def mup_xavier_normal(
    gain: float = 1.0, *, base_shape: Axes, **options: Unpack[FanOptions]
) -> Rule:
    r"""muP's Xavier normal: `xavier_normal` in the base model, its scale right in wider ones.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \text{gain} \sqrt{\frac{2}{b_\text{in} + b_\text{out}}} \, r, \quad
              r = \sqrt{b_\text{in} / f_\text{in}} \text{ or } 1

    where b are the fans of `base_shape`, and r is 1 unless both fans differ from them.

    Args:
        all: as for `mup_xavier_uniform`.

    Raises:
        all: as for `mup_xavier_uniform`.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's
        ``xavier_normal_``, operation by operation.  Who differs: mup does not know batch axes,
        groups or packed weights; `xavier_normal` also shrinks where only one fan grows.

    >>> mup_xavier_normal(base_shape=(96, 32)).distribution((384, 128)).std
    0.0625
    """
    return _mup_xavier(gain, "normal", base_shape, options)


@maker
def mup_kaiming_uniform(
    a: float = 0.0,
    mode: OneFan = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    base_shape: Axes,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""muP's Kaiming uniform: `kaiming_uniform` in the base model, its scale right in wider ones.

    .. math:: w \sim \mathcal U[-\sqrt 3 \sigma, \sqrt 3 \sigma], \quad
              \sigma = \text{gain} \sqrt{r / f}

    where f is the fan of `mode` and b are the fans of `base_shape`.

    The ratio r:
        ==============================  ==================================
        fans that differ from the base  r
        ==============================  ==================================
        none, or not the one of `mode`  1
        only the one of `mode`          f / b: the scale of the base model
        both, "fan_in"                  1
        both, "fan_out"                 (f_out / b_out) / (f_in / b_in)
        ==============================  ==================================

    Args:
        a, mode, nonlinearity: as for `kaiming_uniform`.
        base_shape, ..., packed: as for `mup_xavier_uniform`.

    Raises:
        ValueError: `a` is not finite; an unknown mode or nonlinearity.
        ValueError: base_shape has an axis of 0, or differs from the tensor's shape in the number
            of axes or the kernel; `packed` is a tuple.
        ValueError: as for `fans`.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's
        ``kaiming_uniform_``, operation by operation.  Who differs: mup does not know batch axes,
        groups or packed weights; `kaiming_uniform` also shrinks where only the fan of `mode` grows.

    >>> mup_kaiming_uniform(base_shape=(10, 600)).distribution((10, 2400)).high
    0.1
    """
    return _mup_kaiming(a, mode, nonlinearity, "uniform", base_shape, options)


@maker
def mup_kaiming_normal(
    a: float = 0.0,
    mode: OneFan = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    base_shape: Axes,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""muP's Kaiming normal: `kaiming_normal` in the base model, its scale right in wider ones.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad \sigma = \text{gain} \sqrt{r / f}

    where f is the fan of `mode` and b are the fans of `base_shape`.

    The ratio r:
        all: as for `mup_kaiming_uniform`.

    Args:
        all: as for `mup_kaiming_uniform`.

    Raises:
        all: as for `mup_kaiming_uniform`.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's
        ``kaiming_normal_``, operation by operation.  Who differs: mup does not know batch axes,
        groups or packed weights; `kaiming_normal` also shrinks where only the fan of `mode` grows.

    >>> mup_kaiming_normal(base_shape=(128, 128)).distribution((512, 512)).std
    0.0625
    """
    return _mup_kaiming(a, mode, nonlinearity, "normal", base_shape, options)


@maker
def mup_readout(*, width_multiplier: float, **options: Unpack[FanOptions]) -> Rule:
    r"""muP's output layer: as in PyTorch at the base width, with the same scale at every width.

    .. math:: w \sim \mathcal U[-a, a], \quad
              a = \sqrt{\text{width\_multiplier} / f_\text{in}}

    For the layer that computes the logits; divide its inputs by the width multiplier.  The bias has
    the same bound, so it is uniform(-a, a).  muP also allows zeros() for the weight.

    Args:
        width_multiplier: width / base width, > 0.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: width_multiplier is not above 0 or not finite.
        ValueError: as for `fans`.

    Source:
        Yang, Hu et al. (2022), "Tensor programs V", arXiv:2203.03466; mup 1.0.0's ``MuReadout``
        after ``set_base_shapes``: the initial weight of ``torch.nn.Linear`` times the root of the
        multiplier.  Who differs: ``MuSharedReadout`` multiplies the embedding that it shares by
        that root; Megatron's muP draws this layer as the embedding, normal(std).

    >>> mup_readout(width_multiplier=8).distribution((50257, 2048)).high
    0.0625
    """
    check_multiplier("width_multiplier", width_multiplier)
    return by_fan(lambda n: within(math.sqrt(width_multiplier / n)), "fan_in", options)


@maker
def spectral(gain: float = 1.0, **options: Unpack[FanOptions]) -> Rule:
    r"""Normal weights whose largest singular value is of the order of sqrt(fan_out / fan_in).

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \frac{\text{gain}}{\sqrt{f_\text{in}}}
              \min\left(1, \sqrt{f_\text{out} / f_\text{in}}\right)

    Args:
        gain: factor on the standard deviation, >= 0.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: gain is negative or not finite.
        ValueError: as for `fans`.

    Source:
        Yang, Simon, Bernstein (2023), "A spectral condition for feature learning",
        arXiv:2310.17813; nanotron has the same rule, with embeddings of normal(1).  Who differs:
        `spectral_normalised` divides by the largest singular value instead; modula's linear layers
        are `orthogonal`; modula-systems/modula multiplies the weight by sqrt(fan_out / fan_in),
        jxbz/modula (modula 0.0.0.0.0.2 on PyPI) the forward pass.

    >>> spectral().distribution((1024, 256)).std, spectral().distribution((256, 1024)).std
    (0.0625, 0.015625)
    """
    check_factor("gain", gain)

    def found(fan_in: int, fan_out: int) -> Normal:
        fan_in = fan_in or 1
        return Normal(gain / math.sqrt(fan_in) * min(1.0, math.sqrt(fan_out / fan_in)), 0.0)

    return by_fans(found, options)
