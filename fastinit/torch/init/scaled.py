# SPDX-License-Identifier: MIT
"""Initialisers whose scale follows from the fans of the whole tensor.

How a distribution gets into a tensor is in drawing.py.
"""

from __future__ import annotations

import math
import warnings
from typing import SupportsIndex

import torch
from torch.nn import init as torch_init

from fastinit.docstrings import shares
from fastinit.numerics.checks import Shape
from fastinit.torch.init.drawing import drawn, has_memory
from fastinit.torch.init.plain import uniform_
from fastinit.values.distributions import Distribution, Normal, Uniform


@shares(uniform_)
def xavier_uniform_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` evenly, with a variance that keeps those of activations and gradients.

    .. math:: w \sim \mathcal U[-a, a], \quad
              a = \text{gain} \sqrt{6 / (f_\text{in} + f_\text{out})}

    Args:
        tensor: as for `uniform_`.
        gain: factor on the standard deviation, >= 0; see `calculate_gain`.
        generator, seed, name: as for `uniform_`.

    Returns:
        `tensor`.

    Raises:
        RuntimeError: gain < 0.
        ZeroDivisionError: both fans are 0.
        TypeError, ValueError: as `uniform_` raises them; fewer than 2 axes.

    Source:
        ``torch.nn.init.xavier_uniform_``; see `fastinit.xavier_uniform`.  The fans are those of the
        whole tensor, also for a DTensor.

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.xavier_uniform_(torch.empty(3, 5), seed=0, name="w")
    """
    return drawn("xavier_uniform_", tensor, (gain,), generator, _xavier_uniform, seed, name)


@shares(xavier_uniform_)
def xavier_normal_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` with normals whose variance keeps those of activations and gradients.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \text{gain} \sqrt{2 / (f_\text{in} + f_\text{out})}

    Args:
        all: as for `xavier_uniform_`.

    Returns:
        `tensor`.

    Raises:
        all: as for `xavier_uniform_`.

    Source:
        ``torch.nn.init.xavier_normal_``; see `fastinit.xavier_normal`.

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.xavier_normal_(torch.empty(3, 5), seed=0, name="w")
    """
    return drawn("xavier_normal_", tensor, (gain,), generator, _xavier_normal, seed, name)


@shares(uniform_)
def kaiming_uniform_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` evenly, with a variance that rectifiers keep.

    .. math:: w \sim \mathcal U[-b, b], \quad b = \text{gain} \sqrt{3 / f}

    where f is the fan of `mode`.

    Args:
        tensor: as for `uniform_`.
        a: slope of leaky_relu below zero.
        mode: "fan_in" or "fan_out".
        nonlinearity: sets the gain, by `calculate_gain`.
        generator, seed, name: as for `uniform_`.

    Returns:
        `tensor`.

    Raises:
        TypeError, ValueError: as `uniform_` raises them; an unknown mode or nonlinearity; fewer
            than 2 axes.

    Warns:
        UserWarning: the tensor has no elements, and nothing is done.

    Source:
        ``torch.nn.init.kaiming_uniform_``; see `fastinit.kaiming_uniform`.

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.kaiming_uniform_(torch.empty(3, 5), a=5**0.5, seed=0, name="w")
    """
    if _warns_of_nothing(tensor):
        return tensor
    arguments = a, mode, nonlinearity
    return drawn("kaiming_uniform_", tensor, arguments, generator, _kaiming_uniform, seed, name)


@shares(kaiming_uniform_)
def kaiming_normal_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` with normals whose variance rectifiers keep.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad \sigma = \text{gain} / \sqrt f

    where f is the fan of `mode`.

    Args:
        all: as for `kaiming_uniform_`.

    Returns:
        `tensor`.

    Raises:
        all: as for `kaiming_uniform_`.

    Warns:
        all: as for `kaiming_uniform_`.

    Source:
        ``torch.nn.init.kaiming_normal_``; see `fastinit.kaiming_normal`.

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.kaiming_normal_(torch.empty(3, 5), nonlinearity="relu", seed=0, name="w")
    """
    if _warns_of_nothing(tensor):
        return tensor
    arguments = a, mode, nonlinearity
    return drawn("kaiming_normal_", tensor, arguments, generator, _kaiming_normal, seed, name)


def _xavier_uniform(shape: Shape, gain: float) -> Distribution:
    """The rule of `xavier_uniform_`."""
    bound = math.sqrt(3.0) * _xavier_std(shape, gain)
    return Uniform(-bound, bound)


def _xavier_normal(shape: Shape, gain: float) -> Distribution:
    """The rule of `xavier_normal_`."""
    return Normal(_xavier_std(shape, gain), 0.0)


def _kaiming_uniform(shape: Shape, a: float, mode: str, nonlinearity: str) -> Distribution:
    """The rule of `kaiming_uniform_`."""
    bound = math.sqrt(3.0) * _kaiming_std(shape, a, mode, nonlinearity)
    return Uniform(-bound, bound)


def _kaiming_normal(shape: Shape, a: float, mode: str, nonlinearity: str) -> Distribution:
    """The rule of `kaiming_normal_`."""
    return Normal(_kaiming_std(shape, a, mode, nonlinearity), 0.0)


def _fans(shape: Shape) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(f"shape {shape} has no fans: need 2 axes or more")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _xavier_std(shape: Shape, gain: float) -> float:
    """gain * sqrt(2 / (fan_in + fan_out)), rounded as PyTorch rounds it."""
    return gain * math.sqrt(2.0 / float(sum(_fans(shape))))


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    """gain / sqrt(fan), rounded as PyTorch rounds it."""
    fan_in, fan_out = _fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out}[mode.lower()]
    return torch_init.calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _warns_of_nothing(tensor: torch.Tensor) -> bool:
    """Whether the tensor has no elements; then the caller of our caller is warned."""
    nothing = has_memory(tensor) and 0 in tensor.shape
    if nothing:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return nothing
