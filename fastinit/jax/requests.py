# SPDX-License-Identifier: MIT
"""What an initializer of jax.nn.initializers asks for, as a scheme of fastinit.

A request is made for a shape, and its result may be a part of a larger array afterwards: scanned or
vmapped layers stack it.  Its scheme then looks at the axes of the request alone, which may have
been split.  Nothing here traces or knows how a request was noticed; tracing.py and initializers.py
do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastinit import schemes
from fastinit.numerics.checks import Shape
from fastinit.schemes import Scheme
from fastinit.schemes.fans import Axes
from fastinit.schemes.scheme import instead_of_scheme

NAMED_SCALINGS = {
    (1.0, "fan_in", "truncated_normal"): schemes.lecun_normal,
    (1.0, "fan_in", "uniform"): schemes.lecun_uniform,
    (2.0, "fan_in", "truncated_normal"): schemes.he_normal,
    (2.0, "fan_in", "uniform"): schemes.he_uniform,
    (1.0, "fan_avg", "truncated_normal"): schemes.glorot_normal,
    (1.0, "fan_avg", "uniform"): schemes.glorot_uniform,
}
"""The cases of variance scaling that have a name in JAX, and the same name here."""

Places = tuple[Shape, ...]
"""Which axes of an array each axis of another one has become, in order."""

LAST = (-2, -1)
"""JAX's default input and output axes."""


def own(shape: Shape) -> Places:
    """The places of the axes of an array in itself."""
    return tuple((axis,) for axis in range(len(shape)))


class InitializerRequest(Protocol):
    """What an initializer asks for."""

    def __hash__(self) -> int:
        """Caches and JAX's programs use it as a key."""

    def scheme(self, shape: Shape, whole: Shape, places: Places) -> Scheme:
        """The scheme of an array of shape `whole` that holds what was asked for `shape`.

        Args:
            shape: for which the initializer was called.
            whole: of the array, in which other axes stack independent results.
            places: which axes of `whole` each axis of `shape` has become.

        Raises:
            ValueError: no scheme does that.
        """


@dataclass(frozen=True)
class PlainRequest:
    """A distribution that does not depend on the shape."""

    init: Scheme

    def scheme(self, shape: Shape, whole: Shape, places: Places) -> Scheme:
        """As `InitializerRequest` says."""
        return self.init


@dataclass(frozen=True)
class VarianceScalingRequest:
    """``jax.nn.initializers.variance_scaling`` and its named cases."""

    scale: float
    mode: Any
    distribution: Any
    in_axis: Axes = -2
    out_axis: Axes = -1
    batch_axis: Axes = ()

    def scheme(self, shape: Shape, whole: Shape, places: Places) -> Scheme:
        """As `InitializerRequest` says."""
        ins, outs, batch = (
            _listed(shape, each) for each in (self.in_axis, self.out_axis, self.batch_axis)
        )
        if set(ins) & set(outs):
            return self._without_fans(shape)
        n_in, n_out, inner = (_flat(places[axis] for axis in each) for each in (ins, outs, batch))
        batch = tuple(sorted((*_stack(whole, places), *inner)))
        options: dict[str, Any] = {"batch_axis": _short(batch)} if batch else {}
        if (self.in_axis, self.out_axis) == LAST and (*n_in, *n_out) == _last(whole, 2):
            options["layout"] = "jax"
        else:
            options |= {"in_axis": _short(n_in), "out_axis": _short(n_out)}
        named = NAMED_SCALINGS.get((self.scale, self.mode, self.distribution))
        if named is not None:
            return named(**options)
        return schemes.variance_scaling(self.scale, self.mode, self.distribution, **options)

    def _without_fans(self, shape: Shape) -> Scheme:
        """The distribution where one axis is input and output, as in Flax's Embed.

        JAX divides by both sizes then, and so does this; `fastinit.fans` refuses it as a mistake.
        """
        n_in, n_out, stacked = (
            math.prod(shape[axis] for axis in _listed(shape, each))
            for each in (self.in_axis, self.out_axis, self.batch_axis)
        )
        field = math.prod(shape) / n_in / n_out / stacked
        fan_in, fan_out = n_in * field, n_out * field
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        std = math.sqrt(self.scale / fans.get(self.mode, math.sqrt(fan_in * fan_out)))
        if self.distribution == "uniform":
            return schemes.uniform(-math.sqrt(3) * std, math.sqrt(3) * std)
        if self.distribution == "normal":
            return schemes.normal(std)
        return schemes.truncated_normal(std, corrected=True)


@dataclass(frozen=True)
class OrthogonalRequest:
    """``jax.nn.initializers.orthogonal``."""

    gain: float = 1.0
    column_axis: int = -1

    def scheme(self, shape: Shape, whole: Shape, places: Places) -> Scheme:
        """As `InitializerRequest` says."""
        stack = _stack(whole, places)
        options: dict[str, Any] = {"batch_axis": _short(stack)} if stack else {}
        (axis,) = _listed(shape, self.column_axis)
        column = places[axis]
        if len(column) != 1:
            raise ValueError("the columns of a matrix are reshaped, and no scheme does that")
        if column == _last(whole, 1):
            return schemes.orthogonal(self.gain, layout="jax", **options)
        return schemes.orthogonal(self.gain, column_axis=column[0], **options)


@dataclass(frozen=True)
class DeltaOrthogonalRequest:
    """``jax.nn.initializers.delta_orthogonal``."""

    gain: float = 1.0

    def scheme(self, shape: Shape, whole: Shape, places: Places) -> Scheme:
        """As `InitializerRequest` says."""
        if shape != whole:
            raise ValueError("delta_orthogonal kernels are stacked, and no scheme does that")
        return schemes.delta_orthogonal(self.gain, layout="jax")


def request_of(name: str, arguments: Mapping[str, Any]) -> InitializerRequest:
    """The request of a factory of jax.nn.initializers.

    Args:
        name: of the factory, such as "variance_scaling", or of `zeros` or `ones`.
        arguments: of the factory by name; others than those that decide the values are ignored.

    Raises:
        TypeError, ValueError: an argument is not a number, or out of range.
    """
    match name:
        case "zeros":
            return PlainRequest(schemes.zeros())
        case "ones":
            return PlainRequest(schemes.ones())
        case "constant":
            return PlainRequest(schemes.constant(number(arguments["value"])))
        case "uniform":
            low, high = sorted((0.0, number(arguments["scale"])))
            return PlainRequest(schemes.uniform(low, high))
        case "normal":
            return PlainRequest(schemes.normal(number(arguments["stddev"])))
        case "truncated_normal":
            std, low, high = (number(arguments[key]) for key in ("stddev", "lower", "upper"))
            return PlainRequest(schemes.truncated_normal(std, low=low, high=high))
        case "variance_scaling":
            axes = (_tupled(arguments[key]) for key in ("in_axis", "out_axis", "batch_axis"))
            scale = number(arguments["scale"])
            return VarianceScalingRequest(
                scale, arguments["mode"], arguments["distribution"], *axes
            )
        case "orthogonal":
            return OrthogonalRequest(number(arguments["scale"]), int(arguments["column_axis"]))
        case "delta_orthogonal":
            return DeltaOrthogonalRequest(number(arguments["scale"]))
    raise ValueError(f"no initializer is named {name!r}")


def number(value: Any) -> float:
    """A number of Python, or the shortest decimal of a narrower one: JAX's 0.02 is 0.02 here.

    >>> import numpy as np
    >>> number(np.float32(0.02)), number(3)
    (0.02, 3.0)
    """
    if isinstance(value, (bool, str)):
        raise TypeError(f"{instead_of_scheme(value, 'need a number')}, not {value!r}")
    if isinstance(value, (int, float)):
        return float(value)
    narrow = value.dtype.type(value)
    short = float(str(narrow))
    return short if value.dtype.type(short) == narrow else float(narrow)


def _tupled(axes: Any) -> Axes:
    return axes if isinstance(axes, int) else tuple(int(axis) for axis in axes)


def _listed(shape: Shape, axes: Axes) -> Shape:
    """The axes of `shape`, from 0 on.

    Raises:
        ValueError: one does not exist.
    """
    each = (axes,) if isinstance(axes, int) else axes
    for axis in each:
        if not -len(shape) <= axis < len(shape):
            raise ValueError(
                f"shape {shape} has no axis {axis}, which is an input, output or batch axis: need "
                "a shape such as (in, out), or other axes"
            )
    return tuple(range(len(shape))[axis] for axis in each)


def _short(axes: Shape) -> Axes:
    return axes[0] if len(axes) == 1 else axes


def _flat(places: Iterable[Shape]) -> Shape:
    return tuple(itertools.chain.from_iterable(places))


def _stack(whole: Shape, places: Places) -> Shape:
    """The axes that stack independent results."""
    return tuple(axis for axis in range(len(whole)) if axis not in _flat(places))


def _last(whole: Shape, count: int) -> Shape:
    return tuple(range(len(whole))[-count:])
