# SPDX-License-Identifier: MIT
"""What the functions of torch.nn.init make of a tensor, as schemes.

The scales are fastinit's own, from the shape that the function saw, and have PyTorch's bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastinit import schemes
from fastinit.numerics.checks import Shape
from fastinit.schemes import Scheme
from fastinit.torch.recording.events import Initialised
from fastinit.torch.recording.formulas import (
    ConstantElement,
    DrawnElement,
    Element,
    UnknownElement,
)
from fastinit.values.distributions import Normal, Uniform


def element(call: Initialised, shape: Shape, number: int) -> Element:
    """What the elements are after a call on a tensor of this shape, the write of this number."""
    draw = frozenset({number})
    match call.function:
        case "constant_":
            return ConstantElement(float(call.arguments["val"]))
        case "ones_":
            return ConstantElement(1.0)
        case "zeros_":
            return ConstantElement(0.0)
        case "eye_":
            return DrawnElement(draw, schemes.identity(), whole=True)
        case "dirac_":
            return DrawnElement(draw, schemes.dirac(int(call.arguments["groups"])), whole=True)
    try:
        scheme = SCHEME_OF[call.function](shape, **call.arguments)
    except (TypeError, ValueError) as error:
        return UnknownElement(str(error))
    numbers = plain(scheme, shape) if call.function.startswith(("xavier", "kaiming")) else None
    return DrawnElement(draw, scheme, numbers=numbers, whole=call.function in JOINT)


JOINT = frozenset({"orthogonal_", "sparse_"})
"""Functions whose values depend on their place or on each other."""


def _uniform(shape: Shape, a: float, b: float) -> Scheme:
    return schemes.uniform(min(a, b), max(a, b))


def _normal(shape: Shape, mean: float, std: float) -> Scheme:
    return schemes.normal(std, mean=mean)


def truncated(mean: float, std: float, a: float, b: float) -> Scheme:
    """The scheme of trunc_normal_, whose bounds are not in sigmas."""
    return schemes.truncated_normal(std, mean=mean, low=(a - mean) / std, high=(b - mean) / std)


def _trunc_normal(shape: Shape, mean: float, std: float, a: float, b: float) -> Scheme:
    return truncated(mean, std, a, b)


def _xavier(name: str) -> Callable[..., Scheme]:
    def made(shape: Shape, gain: float) -> Scheme:
        return numbers_of(getattr(schemes, name)(gain), shape)

    return made


def _kaiming(name: str) -> Callable[..., Scheme]:
    def made(shape: Shape, a: Any, mode: str, nonlinearity: str) -> Scheme:
        if 0 in shape:
            return schemes.zeros()
        plain = {"a": a} if nonlinearity == "leaky_relu" else {}
        options = {**plain, "mode": mode, "nonlinearity": nonlinearity}
        return numbers_of(getattr(schemes, name)(**options), shape)

    return made


def plain(scheme: Scheme, shape: Shape) -> Scheme:
    """The same distribution with its scale as a number instead of by the shape."""
    match scheme.distribution(shape):
        case Uniform(low, high):
            return schemes.uniform(low, high)
        case Normal(sigma, centre):
            return schemes.normal(sigma, mean=centre)
    return scheme


def numbers_of(scheme: Scheme, shape: Shape) -> Scheme:
    """The scheme itself; a shape that it does not suit is found out here."""
    scheme.distribution(shape)
    return scheme


def _orthogonal(shape: Shape, gain: float) -> Scheme:
    return schemes.orthogonal(gain)


def _sparse(shape: Shape, sparsity: float, std: float) -> Scheme:
    return schemes.sparse(sparsity, std)


SCHEME_OF: dict[str, Callable[..., Scheme]] = {
    "uniform_": _uniform,
    "normal_": _normal,
    "trunc_normal_": _trunc_normal,
    "xavier_uniform_": _xavier("xavier_uniform"),
    "xavier_normal_": _xavier("xavier_normal"),
    "kaiming_uniform_": _kaiming("kaiming_uniform"),
    "kaiming_normal_": _kaiming("kaiming_normal"),
    "orthogonal_": _orthogonal,
    "sparse_": _sparse,
}
