# SPDX-License-Identifier: MIT
"""Fans: how many inputs and outputs a weight connects, always from the whole tensor's shape."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import SupportsIndex, TypedDict, Unpack

from fastinit.numerics.checks import (
    check_at_least,
    check_axes,
    check_choice,
    check_flag,
    check_shape,
)
from fastinit.texts import quoted

Axes = int | tuple[int, ...]

LAYOUTS = {"torch": (1, 0), "keras": (-2, -1), "jax": (-2, -1)}
"""Where the input and the output axis lie in each layout; all others are the kernel's."""


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
        check_choice("layout", self.layout, LAYOUTS, ", or give in_axis and out_axis")
        for what in ("in_axis", "out_axis", "batch_axis", "packed"):
            axes = getattr(self, what)
            if axes is not None or what in ("batch_axis", "packed"):
                object.__setattr__(self, what, check_axes(what, axes))
        if (self.in_axis is None) != (self.out_axis is None):
            raise ValueError("in_axis and out_axis go together: give both or neither")
        if check_flag("transposed", self.transposed) and self.in_axis is not None:
            raise ValueError(
                "transposed swaps the layout's input and output axes: with in_axis and out_axis "
                "given, name them the other way round instead"
            )
        object.__setattr__(self, "groups", check_at_least("groups", self.groups, 1))
        for part in _listed(self.packed) or [0]:
            check_at_least("packed", part, 1)

    def of(self, dims: tuple[int, ...]) -> tuple[int, int]:
        """The fans of a whole tensor of shape `dims`."""
        if not isinstance(self.packed, int):
            raise ValueError(
                f"packed={self.packed} packs matrices of different fans into one tensor, so the "
                "whole tensor has no fans: take each matrix's shape, or one number if all are equal"
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
                f"{what}={quoted(parts)} does not divide the {size} {kind} of shape {dims} "
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
    r"""The fans of a weight: how many inputs feed an output, how many outputs an input feeds.

    .. math:: \text{fan\_in} = n_\text{in} \prod k, \quad \text{fan\_out} = n_\text{out} \prod k

    where n_in and n_out are the inputs and outputs of one group and one packed matrix, and
    :math:`\prod k` runs over the axes that are neither input, output nor batch axes: the receptive
    field of a convolution.

    Args:
        shape: of the whole tensor: 2 or more axes beside the batch axes, unless the input and
            output axes are given.
        layout: "torch" for (out, in, \*kernel), "jax" or "keras" for (\*kernel, in, out).  The
            last two differ for biases: with "keras" and no other option, the fans of (n,) are
            (n, n) and those of () are (1, 1); otherwise such shapes are errors.
        in_axis, out_axis: the input and output axes, instead of those of the layout: each an
            integer or a tuple; give both or neither.  Negative axes count from the end.
        batch_axis: axes that stack independent weights (experts, scanned layers); they count in
            neither fan.
        groups: number of groups of a grouped convolution, >= 1.  Its weight has the shape (out,
            in / groups, \*kernel): an input feeds out / groups outputs.
        transposed: True for the weight of a transposed convolution, (in, out / groups, \*kernel) in
            PyTorch and (\*kernel, out, in) in Keras: the axes of the layout change places.
        packed: number of equal matrices side by side along the outputs, >= 1, as in a fused q-k-v
            weight (3 * width, width): fan_out is that of one matrix.  Schemes also accept the
            number of outputs of each matrix, such as (4096, 1024, 1024).

    Returns:
        (fan_in, fan_out), two integers >= 0.

    Raises:
        TypeError: the shape is not made of integers; an option is unknown or of the wrong type.
        ValueError: an unknown layout; in_axis or out_axis alone, or with `transposed`; groups or
            packed below 1; a shape with too few axes, a negative axis or 2**63 elements or more;
            an axis that does not exist or is named twice; groups or packed that do not divide the
            axis; a tuple `packed` that does not sum to the outputs (`fans` accepts no tuple).

    Source:
        PyTorch's ``_calculate_fan_in_and_fan_out`` for the first layout, ``jax.nn.initializers``
        for the explicit axes, ``keras.src.initializers.compute_fans``.  Who differs: none of them
        knows groups, transposed or packed weights, and PyTorch has no batch axes: there, an expert
        stack (8, 1024, 4096) has a fan_in of 4,194,304.

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


def _listed(axes: Axes) -> Sequence[int]:
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _axes(dims: tuple[int, ...], axes: Axes) -> list[int]:
    found = []
    for axis in _listed(axes):
        if not -len(dims) <= axis < len(dims):
            raise ValueError(
                f"axis {quoted(axis)} does not exist in shape {dims}, of {len(dims)} axes"
            )
        found.append(axis % len(dims))
    return found
