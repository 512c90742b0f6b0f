# SPDX-License-Identifier: MIT
"""Which axes of a convolution's weight are what, and a matrix at one tap of it."""

from __future__ import annotations

import math

from fastinit.numerics.checks import Shape
from fastinit.schemes.fans import FanRule
from fastinit.values.matrices import Matrix, Placed

KERNELS = (1, 2, 3)
"""How many axes the kernel of a convolution can have."""


def convolution(name: str, fan_rule: FanRule, dims: Shape) -> tuple[int, int, list[int]]:
    """The input axis, the output axis and the kernel's axes of a convolution."""
    (inputs,), (outputs,), _ = fan_rule.axes(dims)
    kernel = [axis for axis in range(len(dims)) if axis not in (inputs, outputs)]
    if len(kernel) not in KERNELS:
        raise ValueError(
            f"shape {dims} has {len(dims)} axes: {name} needs the 3, 4 or 5 of a convolution"
            "; for a matrix take identity() or orthogonal()"
        )
    return inputs, outputs, kernel


def strides(dims: Shape) -> list[int]:
    """How many elements one step along each axis skips."""
    return [math.prod(dims[axis + 1 :]) for axis in range(len(dims))]


def without(dims: Shape, kernel: list[int]) -> Shape:
    """The shape of one tap."""
    return tuple(dim for axis, dim in enumerate(dims) if axis not in kernel)


def placed(dims: Shape, kernel: list[int], before: int, matrix: Matrix) -> Placed:
    """`matrix` at the middle tap, (k - before) // 2: before is 1 for the earlier of two."""
    steps = strides(dims)
    tap = sum((dims[axis] - before) // 2 * steps[axis] for axis in kernel)
    first = kernel[0] == 0  # the kernel's axes come first: the matrix lies in one piece
    return Placed(dims, matrix, tap, 1 if first else math.prod(dims[axis] for axis in kernel))
