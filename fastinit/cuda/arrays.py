# SPDX-License-Identifier: MIT
"""What is filled on a device.  How memory is found and filled is not known here."""

from __future__ import annotations

from typing import NamedTuple

from fastinit.memory.regions import Region
from fastinit.numerics.checks import Shape
from fastinit.values.samplers import Sampler


class DeviceArray(NamedTuple):
    """Memory of a CUDA device, seen as an array.

    Attributes:
        pointer: the address of the element of indices 0.
        shape: how many elements along each axis.
        strides: bytes from an element to the next, along each axis; may be negative.
        device: its number, as the CUDA driver counts.
        stream: the handle of the stream on which it is filled, 0 for the default one; of the
            device's primary context, as the streams of torch, CuPy and Numba are.
    """

    pointer: int
    shape: Shape
    strides: Shape
    device: int
    stream: int


def dense_strides(shape: Shape, size: int) -> Shape:
    """The strides of a C-contiguous array of elements of `size` bytes."""
    strides = []
    for dim in reversed(shape):
        strides.append(size)
        size *= dim
    return tuple(reversed(strides))


class DeviceTask(NamedTuple):
    """An array to be filled with a region of a tensor, whose shape it has.

    Attributes:
        out: where the values go; no two elements share memory.
        source: what draws the tensor, and says its dtype.
        part: which elements of the whole tensor.
    """

    out: DeviceArray
    source: Sampler
    part: Region
