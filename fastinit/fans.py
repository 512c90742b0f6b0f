# SPDX-License-Identifier: MIT
"""Fans: how many inputs and outputs a weight connects, always from the whole tensor's shape."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

Axes = int | tuple[int, ...]

LAYOUTS = {"torch": (1, 0), "keras": (-2, -1)}
"""Where the input and the output axis lie in each layout; all others are the kernel's."""


def check_shape(shape: Iterable[SupportsIndex] | SupportsIndex) -> tuple[int, ...]:
    """`shape` as a tuple of ints, none negative, fewer than 2**63 elements in all."""
    if type(shape) is tuple and all(type(dim) is int and dim >= 0 for dim in shape):
        checked = shape  # nearly always
    else:
        checked = tuple(map(_check_dim, _dims(shape)))
    # A zero elsewhere does not make an absurd axis reasonable.
    if math.prod(dim for dim in checked if dim) >= 2**63:
        raise ValueError(f"shape {checked} has 2**63 elements or more: no memory holds it")
    return checked


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


def fans(
    shape: Iterable[SupportsIndex],
    *,
    layout: str = "torch",
    in_axis: Axes | None = None,
    out_axis: Axes | None = None,
    batch_axis: Axes = (),
) -> tuple[int, int]:
    r"""How many inputs feed an output and how many outputs an input feeds: (fan_in, fan_out).

    .. math:: \text{fan\_in} = n_\text{in} \prod k, \quad \text{fan\_out} = n_\text{out} \prod k

    where :math:`\prod k` runs over the axes that are neither input, output nor batch: the
    receptive field of a convolution.

    Args:
        shape: of the whole tensor, at least 2 axes unless the axes are given.
        layout: ``"torch"``, (out, in, \*kernel), or ``"keras"``, (\*kernel, in, out), which is
            also JAX's and Flax's.
        in_axis, out_axis: the input and the output axis or axes, instead of the layout's; give
            both or neither.  Negative ones count from the end.
        batch_axis: axes that only stack independent weights (experts, scanned layers); they
            count in neither fan.

    Returns:
        Two integers, at least 0.

    Raises:
        ValueError: too few axes, an unknown layout, an axis that does not exist or is named
            twice.

    Source:
        PyTorch's ``_calculate_fan_in_and_fan_out`` for the first layout, ``jax.nn.initializers``
        for the explicit axes.  PyTorch has no batch axes: an expert stack (8, 1024, 4096) has
        fan_in 4,194,304 there.

    >>> fans((512, 256, 3, 3))
    (2304, 4608)
    >>> fans((3, 3, 256, 512), layout="keras")
    (2304, 4608)
    >>> fans((8, 1024, 4096), in_axis=2, out_axis=1, batch_axis=0)
    (4096, 1024)
    """
    dims = check_shape(shape)
    check_layout(layout)
    in_axis, out_axis = plain_axes("in_axis", in_axis), plain_axes("out_axis", out_axis)
    stacked = plain_axes("batch_axis", batch_axis)
    if stacked is None:
        raise TypeError("batch_axis is None: need an axis, or a tuple of axes, maybe empty")
    batch_axis = stacked
    if (in_axis is None) != (out_axis is None):
        raise ValueError("in_axis and out_axis go together: give both or neither")
    if in_axis is None or out_axis is None:
        if len(dims) < 2 + len(_listed(batch_axis)):
            raise ValueError(
                f"shape {dims} has no fans: need an input and an output axis, as in "
                f"{'(out, in)' if layout == 'torch' else '(in, out)'}; for a bias use zeros() or "
                "constant(), or give the scale yourself with normal() or uniform()"
            )
        in_axis, out_axis = _axes_of(layout, dims, _listed(batch_axis))
    named = [_axes(dims, axes) for axes in (in_axis, out_axis, batch_axis)]
    every = [axis for axes in named for axis in axes]
    if len(set(every)) != len(every):
        raise ValueError(
            f"in_axis={in_axis}, out_axis={out_axis} and batch_axis={batch_axis} name an axis of "
            f"shape {dims} twice: each axis plays one part"
        )
    n_in, n_out = (math.prod(dims[axis] for axis in axes) for axes in named[:2])
    field = math.prod(dim for axis, dim in enumerate(dims) if axis not in every)
    return n_in * field, n_out * field


def check_layout(layout: str) -> None:
    """Raise unless `layout` is known."""
    if layout not in LAYOUTS:
        raise ValueError(
            f"layout {layout!r} is unknown: choose from {', '.join(LAYOUTS)} (JAX and Flax "
            "weights lie as Keras's do), or give in_axis and out_axis"
        )


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


def _axes_of(layout: str, dims: tuple[int, ...], batch: Sequence[int]) -> tuple[int, int]:
    """The layout's input and output axes among those that are not batch axes."""
    stacked = _axes(dims, tuple(batch))
    rest = [axis for axis in range(len(dims)) if axis not in stacked]
    in_axis, out_axis = LAYOUTS[layout]
    return rest[in_axis], rest[out_axis]


def _axes(dims: tuple[int, ...], axes: Axes) -> list[int]:
    found = []
    for axis in _listed(axes):
        if not -len(dims) <= axis < len(dims):
            raise ValueError(f"axis {axis} does not exist in shape {dims}, of {len(dims)} axes")
        found.append(axis % len(dims))
    return found
