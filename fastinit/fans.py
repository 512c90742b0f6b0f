# SPDX-License-Identifier: MIT
"""Fans: how many inputs and outputs a weight connects, always from the whole tensor's shape."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, SupportsIndex, TypedDict, TypeGuard, Unpack

Axes = int | tuple[int, ...]

LAYOUTS = {"torch": (1, 0), "keras": (-2, -1), "jax": (-2, -1)}
"""Where the input and the output axis lie in each layout; all others are the kernel's."""


def check_shape(shape: Iterable[SupportsIndex] | SupportsIndex) -> tuple[int, ...]:
    """`shape` as a tuple of ints, none negative, fewer than 2**63 elements in all."""
    checked = shape if is_plain(shape) else tuple(map(_check_dim, _dims(shape)))
    size = 1
    for dim in checked:
        size *= dim or 1  # a zero elsewhere does not make an absurd axis reasonable
    if size >= 2**63:
        raise ValueError(f"shape {checked} has 2**63 elements or more: no memory holds it")
    return checked


def is_plain(shape: object) -> TypeGuard[tuple[int, ...]]:
    """Whether it is a tuple of plain ints, none negative, as it nearly always is."""
    if type(shape) is not tuple:
        return False
    for dim in shape:  # noqa: SIM110 - `all` of a generator takes three times as long
        if type(dim) is not int or dim < 0:
            return False
    return True


def _dims(shape: object) -> tuple[object, ...]:
    if isinstance(shape, SupportsIndex):
        return (shape,)
    if isinstance(shape, Iterable) and not isinstance(shape, (str, bytes)):
        return tuple(shape)
    raise TypeError(f"shape is {shape!r}: need integers, such as (1024, 4096)")


def _check_dim(dim: object) -> int:
    if isinstance(dim, SupportsIndex) and not isinstance(dim, bool):
        number = operator.index(dim)
        if number >= 0:
            return number
    raise ValueError(f"shape has an axis of {dim!r}: need integers >= 0")


class FanOptions(TypedDict, total=False):
    """What `fans` and every scheme that looks at fans take by name; see `fans`."""

    layout: str
    in_axis: Axes | None
    out_axis: Axes | None
    batch_axis: Axes
    groups: int
    transposed: bool
    packed: Axes


@dataclass(frozen=True, kw_only=True)
class FanRule:
    """How fans follow from a shape: the options of `fans`, checked."""

    layout: str = "torch"
    in_axis: Axes | None = None
    out_axis: Axes | None = None
    batch_axis: Axes = ()
    groups: int = 1
    transposed: bool = False
    packed: Axes = 1

    def __post_init__(self) -> None:
        if not isinstance(self.layout, str) or self.layout not in LAYOUTS:
            raise ValueError(
                f"layout {self.layout!r} is unknown: choose from {', '.join(LAYOUTS)}, "
                "or give in_axis and out_axis"
            )
        for what in ("in_axis", "out_axis", "batch_axis", "packed"):
            axes = plain_axes(what, getattr(self, what))
            if axes is None and what in ("batch_axis", "packed"):
                raise TypeError(f"{what} is None: need an integer, or a tuple of integers")
            object.__setattr__(self, what, axes)
        if (self.in_axis is None) != (self.out_axis is None):
            raise ValueError("in_axis and out_axis go together: give both or neither")
        if not isinstance(self.transposed, bool):
            raise TypeError(f"transposed is {self.transposed!r}: need True or False")
        if self.transposed and self.in_axis is not None:
            raise ValueError(
                "transposed swaps the layout's input and output axes: with in_axis and out_axis "
                "given, name them the other way round instead"
            )
        object.__setattr__(self, "groups", _count("groups", self.groups))
        for part in _listed(self.packed) or [0]:
            _count("packed", part)

    def of(self, dims: tuple[int, ...]) -> tuple[int, int]:
        """The fans of a whole tensor of shape `dims`."""
        if not isinstance(self.packed, int):
            raise ValueError(
                f"packed={self.packed} packs matrices of different fans into one tensor, which has "
                "none of its own: take each matrix's shape, or one number if all are equal"
            )
        if len(dims) < 2 and self == FanRule(layout="keras"):  # no other option goes with it
            return (dims[0], dims[0]) if dims else (1, 1)
        n_in, n_out, field = self._sizes(dims)
        if self.transposed:
            n_in = self._shared("groups", self.groups, n_in, dims)
        else:
            n_out = self._shared("groups", self.groups, n_out, dims)
        n_out = self._shared("packed", self.packed, n_out, dims)
        return n_in * field, n_out * field

    def axes(self, dims: tuple[int, ...]) -> tuple[list[int], list[int], list[int]]:
        """The input, the output and the batch axes of a tensor of shape `dims`, from 0 on."""
        batch = _axes(dims, self.batch_axis)
        if self.in_axis is not None and self.out_axis is not None:
            named = _axes(dims, self.in_axis), _axes(dims, self.out_axis), batch
        else:
            rest = [axis for axis in range(len(dims)) if axis not in batch]
            if len(rest) < 2:
                raise ValueError(self._no_fans(dims))
            first, second = LAYOUTS[self.layout][:: -1 if self.transposed else 1]
            named = [rest[first]], [rest[second]], batch
        every = [axis for axes in named for axis in axes]
        if len(set(every)) != len(every):
            raise ValueError(
                f"in_axis={self.in_axis}, out_axis={self.out_axis} and "
                f"batch_axis={self.batch_axis} name an axis of shape {dims} twice: "
                "each axis plays one part"
            )
        return named

    def _sizes(self, dims: tuple[int, ...]) -> tuple[int, int, int]:
        """How many inputs, outputs and places of the kernel."""
        named = self.axes(dims)
        n_in, n_out = (math.prod(dims[axis] for axis in axes) for axes in named[:2])
        every = [axis for axes in named for axis in axes]
        field = math.prod(dim for axis, dim in enumerate(dims) if axis not in every)
        return n_in, n_out, field

    def _shared(self, what: str, parts: int, size: int, dims: tuple[int, ...]) -> int:
        if size % parts:
            kind = "inputs" if what == "groups" and self.transposed else "outputs"
            raise ValueError(
                f"{what}={parts} does not divide the {size} {kind} of shape {dims} "
                f"in layout {self.layout!r}"
            )
        return size // parts

    def _no_fans(self, dims: tuple[int, ...]) -> str:
        shown = "(out, in)" if self.layout == "torch" else "(in, out)"
        return (
            f"shape {dims} has no fans: need an input and an output axis, as in {shown}, beside "
            "any batch axes; for a bias use zeros() or constant(), or give the scale yourself "
            "with normal() or uniform()"
        )


def spelled_out(signature: inspect.Signature) -> inspect.Signature:
    """The signature with its ``**options``, if it has them, written out one by one."""
    kept = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    if len(kept) < len(signature.parameters):
        for row in fields(FanRule):
            option = inspect.Parameter(
                row.name, inspect.Parameter.KEYWORD_ONLY, default=row.default, annotation=row.type
            )
            kept.append(option)
    return signature.replace(parameters=kept)


def fans(shape: Iterable[SupportsIndex], **options: Unpack[FanOptions]) -> tuple[int, int]:
    r"""How many inputs feed an output and how many outputs an input feeds: (fan_in, fan_out).

    .. math:: \text{fan\_in} = n_\text{in} \prod k, \quad \text{fan\_out} = n_\text{out} \prod k

    where :math:`\prod k` runs over the axes that are neither input, output nor batch: the
    receptive field of a convolution, and n_in and n_out are those of one group and one packed
    matrix.

    Args:
        shape: of the whole tensor, at least 2 axes unless the axes are given.
        layout: ``"torch"``, (out, in, \*kernel), or ``"jax"`` and ``"keras"``, (\*kernel, in,
            out).  The last two differ in that Keras gives a tensor of one axis of n the fans
            (n, n), and one of no axis (1, 1), which is an error otherwise and with other options.
        in_axis, out_axis: the input and the output axis or axes, instead of the layout's; give
            both or neither.  Negative ones count from the end.
        batch_axis: axes that only stack independent weights (experts, scanned layers); they
            count in neither fan.
        groups: of a grouped convolution, whose weight is (out, in / groups, \*kernel): an input
            feeds out / groups outputs.
        transposed: the weight of a transposed convolution, (in, out / groups, \*kernel) in
            PyTorch and (\*kernel, out, in) in Keras: inputs and outputs change places.
        packed: how many equal matrices lie side by side along the outputs, as in a fused
            q-k-v weight (3 * width, width): fan_out is that of one.  Schemes also take the
            matrices' own numbers of outputs, (4096, 1024, 1024) say.

    Returns:
        Two integers, at least 0.

    Raises:
        ValueError: too few axes, an unknown layout, an axis that does not exist or is named
            twice, groups or packed that do not divide the axis.

    Source:
        PyTorch's ``_calculate_fan_in_and_fan_out`` for the first layout, ``jax.nn.initializers``
        for the explicit axes, ``keras.src.initializers.compute_fans``.  Who differs: none of them
        knows of groups, transposed or packed weights, and PyTorch has no batch axes: an expert
        stack (8, 1024, 4096) has fan_in 4,194,304 there.

    >>> fans((512, 256, 3, 3))
    (2304, 4608)
    >>> fans((3, 3, 256, 512), layout="keras")
    (2304, 4608)
    >>> fans((8, 1024, 4096), in_axis=2, out_axis=1, batch_axis=0)
    (4096, 1024)
    >>> fans((64, 1, 3, 3), groups=64)
    (9, 9)
    >>> fans((16, 32, 3, 3), transposed=True)
    (144, 288)
    >>> fans((3 * 768, 768), packed=3)
    (768, 768)
    """
    return FanRule(**options).of(check_shape(shape))


fans.__signature__ = spelled_out(inspect.signature(fans))  # type: ignore[attr-defined]


def _count(what: str, value: Any) -> int:
    """`value` as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{what} is {value!r}: need a whole number of 1 or more")
    number = operator.index(value)
    if number < 1:
        raise ValueError(f"{what} is {number}: need a whole number of 1 or more")
    return number


def plain_axes(what: str, axes: Any) -> Axes | None:
    """`axes` as an int or a tuple of ints, or None; the error names `what`."""
    if axes is None:
        return None
    many = isinstance(axes, Iterable) and not isinstance(axes, str)
    listed = list(axes) if many else [axes]
    try:
        if any(isinstance(axis, bool) for axis in listed):
            raise TypeError
        numbers = tuple(map(operator.index, listed))
    except TypeError:
        raise TypeError(f"{what} is {axes!r}: need an integer, or a tuple of integers") from None
    return numbers if many else numbers[0]


def _listed(axes: Axes) -> Sequence[int]:
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _axes(dims: tuple[int, ...], axes: Axes) -> list[int]:
    found = []
    for axis in _listed(axes):
        if not -len(dims) <= axis < len(dims):
            raise ValueError(f"axis {axis} does not exist in shape {dims}, of {len(dims)} axes")
        found.append(axis % len(dims))
    return found
