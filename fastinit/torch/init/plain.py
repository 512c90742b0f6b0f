# SPDX-License-Identifier: MIT
"""Initialisers whose scale is given: they look at no fan.  Scaled ones are in scaled.py.

How a distribution gets into a tensor is in drawing.py.
"""

from __future__ import annotations

import math
import warnings
from typing import SupportsIndex

import torch
from torch.nn import init as torch_init

from fastinit.docstrings import shares
from fastinit.numerics.checks import Shape, check_number
from fastinit.torch.init.drawing import drawn, has_memory
from fastinit.values.distributions import (
    Constant,
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
)


def uniform_(
    tensor: torch.Tensor,
    a: float = 0.0,
    b: float = 1.0,
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` evenly over [a, b].

    .. math:: w \sim \mathcal U[a, b]

    Args:
        tensor: on any device; on the meta device PyTorch's own function is called.
        a, b: the bounds, a <= b, in the units of the weights.
        generator: must be None: values follow from the seed and the name.
        seed: 0 <= seed < 2**64; by default that of `names`.
        name: the tensor's name; by default the one that `names` knows.

    Returns:
        `tensor`.

    Raises:
        RuntimeError: a > b, which PyTorch says in its words; the same goes for other errors that
            PyTorch raises.
        TypeError: `tensor` is not a tensor; a seed or a name of the wrong type.
        ValueError: neither the call nor `names` says what the seed and the name are; a generator;
            a tensor without memory, of an unsupported dtype or layout; numbers that are not finite
            or do not exist in the tensor's dtype.

    Source:
        ``torch.nn.init.uniform_``.  Who differs: there b itself is left out.

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.uniform_(torch.empty(3, 5), -1, 1, seed=0, name="w")
    """
    return drawn("uniform_", tensor, (a, b), generator, _uniform, seed, name)


@shares(uniform_)
def normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` with normal values.

    .. math:: w \sim \mathcal N(\text{mean}, \text{std}^2)

    Args:
        tensor: as for `uniform_`.
        mean, std: of the values; std >= 0.
        generator, seed, name: as for `uniform_`.

    Returns:
        `tensor`.

    Raises:
        RuntimeError: std < 0.
        TypeError, ValueError: as `uniform_` raises them.

    Source:
        ``torch.nn.init.normal_``.  Who differs: here no value is further out than 6.34 sigma
        (float64: 9.16).

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.normal_(torch.empty(3, 5), std=0.02, seed=0, name="w")
    """
    return drawn("normal_", tensor, (mean, std), generator, _normal, seed, name)


@shares(uniform_)
def trunc_normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` with normal values that lie between two bounds.

    .. math:: w \sim \mathcal N(\text{mean}, \text{std}^2) \text{ given } a \le w \le b

    Args:
        tensor: as for `uniform_`.
        mean, std: of the normal before it is truncated; std > 0.
        a, b: the bounds, a <= b, **in the units of the weights**, not in sigmas: with std=0.02 the
            defaults cut nothing off.  They may be infinite.
        generator, seed, name: as for `uniform_`.

    Returns:
        `tensor`.

    Raises:
        ZeroDivisionError: std is 0.
        RuntimeError: a > b.
        TypeError, ValueError: as `uniform_` raises them; bounds that begin beyond 13 sigma
            or lie closer than 2**-10 sigma.

    Warns:
        UserWarning: the mean lies more than 2 std outside the bounds, as in PyTorch.  The values
            are right all the same.

    Source:
        ``torch.nn.init.trunc_normal_``.  Who differs: PyTorch rounds the bounds to a narrow dtype,
        so values may lie outside them; here none does.

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.trunc_normal_(torch.empty(3, 5), std=0.02, a=-0.04, b=0.04, seed=0, name="w")
    """
    if has_memory(tensor) and (mean < a - 2 * std or mean > b + 2 * std):
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    arguments = mean, std, a, b
    return drawn("trunc_normal_", tensor, arguments, generator, _truncated, seed, name)


@shares(uniform_)
def constant_(
    tensor: torch.Tensor,
    val: float,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill `tensor` with one value, by PyTorch itself: of any dtype, infinite or NaN, too.

    Args:
        tensor: of any dtype and layout that PyTorch can fill.
        val: the value.
        seed, name: not needed; they change nothing.

    Returns:
        `tensor`.

    Source:
        ``torch.nn.init.constant_``, which is called.

    >>> import torch
    >>> from fastinit.torch import init
    >>> init.constant_(torch.empty(3), 0.3)
    tensor([0.3000, 0.3000, 0.3000])
    """
    return torch_init.constant_(tensor, val)


@shares(constant_)
def ones_(
    tensor: torch.Tensor, *, seed: SupportsIndex | None = None, name: str | None = None
) -> torch.Tensor:
    """Fill `tensor` with ones, by PyTorch itself.

    Args:
        tensor, seed, name: as for `constant_`.

    Returns:
        `tensor`.

    Source:
        ``torch.nn.init.ones_``, which is called.

    >>> import torch
    >>> from fastinit.torch import init
    >>> init.ones_(torch.empty(3))
    tensor([1., 1., 1.])
    """
    return torch_init.ones_(tensor)


@shares(constant_)
def zeros_(
    tensor: torch.Tensor, *, seed: SupportsIndex | None = None, name: str | None = None
) -> torch.Tensor:
    """Fill `tensor` with zeros, by PyTorch itself.

    Args:
        tensor, seed, name: as for `constant_`.

    Returns:
        `tensor`.

    Source:
        ``torch.nn.init.zeros_``, which is called.

    >>> import torch
    >>> from fastinit.torch import init
    >>> init.zeros_(torch.empty(3))
    tensor([0., 0., 0.])
    """
    return torch_init.zeros_(tensor)


def _uniform(shape: Shape, a: float, b: float) -> Distribution:
    """The rule of `uniform_`."""
    return Uniform(check_number("a", a), check_number("b", b))


def _normal(shape: Shape, mean: float, std: float) -> Distribution:
    """The rule of `normal_`."""
    return Normal(check_number("std", std), check_number("mean", mean))


def _truncated(shape: Shape, mean: float, std: float, a: float, b: float) -> Distribution:
    """The rule of `trunc_normal_`."""
    mean, std = check_number("mean", mean), check_number("std", std)
    a, b = check_number("a", a), check_number("b", b)
    if a == b:
        return Constant(a)
    return TruncatedNormal(std, mean, _in_sigmas(a, mean, std, 1), _in_sigmas(b, mean, std, -1))


def _in_sigmas(bound: float, mean: float, std: float, inwards: int) -> float:
    """A bound in units of sigma, such that mean + it * std is the bound, or else lies inside.

    Args:
        inwards: 1 for a lower bound, -1 for an upper one.
    """
    found = (bound - mean) / std
    for near in (found, math.nextafter(found, -math.inf), math.nextafter(found, math.inf)):
        if mean + near * std == bound:
            return near
    while (mean + found * std - bound) * inwards < 0:
        found = math.nextafter(found, inwards * math.inf)
    return found
