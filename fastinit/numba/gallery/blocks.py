# SPDX-License-Identifier: MIT
"""Block-sparse tensors: whole blocks are kept or zero.  The elements of a block share a draw."""

from __future__ import annotations

import math
from typing import Any

from fastinit.numba.distribution import distribution
from fastinit.numba.gallery.zeros import ZERO
from fastinit.numerics.checks import check_factor, check_multiplier

BLOCKS = {"u": ("rows", "columns")}


def _check_density(density: float) -> None:
    if not 0 <= density <= 1:
        raise ValueError(f"density is {density!r}: need a number from 0 to 1")


def _check_mask(rows: float, columns: float, density: float, scale: float) -> None:
    _check_density(density)
    check_multiplier("scale", scale)


@distribution(
    mean=lambda rows, columns, density, scale: density * scale,
    std=lambda rows, columns, density, scale: math.sqrt(density * (1.0 - density)) * scale,
    check=_check_mask,
    shared=BLOCKS,
)
def block_mask(
    u: Any, rows: Any = 32.0, columns: Any = 32.0, density: Any = 0.5, scale: Any = 1.0
) -> Any:
    r"""A mask of blocks: each block is `scale` with probability `density`, and else 0.

    .. math:: x_{ij} = s \,[u_{\lfloor i / r \rfloor, \lfloor j / c \rfloor} < \pi]

    Blocks lie along the last two axes and begin at the first element; the last ones may be cut.
    Other axes count matrices, each with blocks of its own.

    Args:
        rows: r, rows of a block, a whole number below 2**24; a tensor of one axis has one row.
        columns: c, its columns.
        density: pi, from 0 to 1: the probability of a block to be kept.
        scale: s > 0, the value of what is kept.

    Raises:
        ValueError: a number is out of its range.

    Source:
        Gray, Radford, Kingma (2017), "GPU kernels for block-sparse weights", section 3, with
        blocks of 8 to 32.  Who differs: their masks have structure, such as small worlds; here
        blocks are independent, as in an Erdos-Renyi graph.

    >>> import fastinit as fi
    >>> from fastinit.numba import gallery
    >>> fi.array((4, 6), gallery.block_mask(rows=2, columns=3), seed=2, name="m").astype(int)
    array([[0, 0, 0, 1, 1, 1],
           [0, 0, 0, 1, 1, 1],
           [1, 1, 1, 0, 0, 0],
           [1, 1, 1, 0, 0, 0]])
    """
    return scale if u < density else ZERO


def _check_block_normal(rows: float, columns: float, density: float, std: float) -> None:
    _check_density(density)
    check_factor("std", std)


@distribution(
    mean=0.0,
    std=lambda rows, columns, density, std: math.sqrt(density) * std,
    check=_check_block_normal,
    shared=BLOCKS,
)
def block_normal(
    z: Any, u: Any, rows: Any = 32.0, columns: Any = 32.0, density: Any = 0.5, std: Any = 1.0
) -> Any:
    r"""Block-sparse normal weights: the blocks of `block_mask` that are kept hold a normal.

    .. math:: x_{ij} = \sigma z_{ij} \,[u_{\lfloor i / r \rfloor, \lfloor j / c \rfloor} < \pi]

    Elements that are kept equal those of the same stream's ``normal(std)``.  The standard
    deviation of all is sqrt(density) std: divide by it to keep the variance of a dense layer.

    Args:
        rows, columns, density: as for `block_mask`.
        std: sigma >= 0 of what is kept, in the units of the weights.

    Raises:
        ValueError: a number is out of its range.

    Source:
        As for `block_mask`.

    >>> import fastinit as fi
    >>> from fastinit.numba import gallery
    >>> w = fi.array((64, 64), gallery.block_normal(density=0.5), seed=1, name="w")
    >>> dense = fi.array((64, 64), fi.normal(std=1), seed=1, name="w")
    >>> bool(((w == dense) | (w == 0)).all())
    True
    """
    return z * (std if u < density else ZERO) + ZERO
