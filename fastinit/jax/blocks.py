# SPDX-License-Identifier: MIT
"""Makes JAX arrays of blocks: each distinct block that this process holds is filled once.

The caller says what a block holds.  Every device but the CPU gets a copy of what was filled here;
gpu.py has graphics cards that fill their own memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from fastinit.machine.pages import ask_for_huge_pages
from fastinit.memory.regions import Region
from fastinit.numerics.checks import Shape

XLA_ALIGNMENT = 64
"""Bytes.  JAX's CPU backend takes a NumPy array without a copy if its address is a multiple."""


Fill = Callable[[npt.NDArray[Any], Region], None]
"""Draws a region of the whole tensor into memory of its shape."""


def empty(shape: Shape, dtype: Any) -> npt.NDArray[Any]:
    """New memory that JAX's CPU backend takes without a copy.

    >>> empty((3, 5), "float16").ctypes.data % XLA_ALIGNMENT
    0
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    memory = np.empty(size + XLA_ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % XLA_ALIGNMENT
    ask_for_huge_pages(memory.ctypes.data, memory.nbytes)
    return memory[first : first + size].view(kind).reshape(shape)


def check(shape: Shape, sharding: Any) -> None:
    """Raise if no array of that shape can have that sharding.

    Raises:
        TypeError: it is not a sharding.
        ValueError: as JAX says, such as for an axis that the mesh does not divide.
    """
    if sharding is None:
        return
    if not isinstance(sharding, jax.sharding.Sharding):
        raise TypeError(
            f"sharding is a {type(sharding).__name__}: need a jax.sharding.Sharding, such as "
            "NamedSharding(mesh, PartitionSpec('x'))"
        )
    sharding.shard_shape(shape)


def blocks_of(shape: Shape, sharding: Any) -> Iterator[tuple[tuple[slice, ...], list[Any]]]:
    """Each distinct block that this process holds, and its devices that hold it."""
    found: dict[tuple[tuple[int, int], ...], list[Any]] = {}
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        bounds = tuple(part.indices(size)[:2] for part, size in zip(index, shape, strict=True))
        found.setdefault(bounds, []).append(device)
    for bounds, devices in found.items():
        yield tuple(slice(*pair) for pair in bounds), devices


def made(part: Region, dtype: Any, sharding: Any, fill: Fill) -> jax.Array:
    """A new array of a region, of which this process fills the blocks that it holds.

    Args:
        part: of a tensor; the array has its shape.
        dtype: of NumPy.
        sharding: checked already; None for an array on JAX's default device.
        fill: called once per distinct block, which several devices may hold, with the region of the
            tensor that the block is.
    """
    shape = part.shape
    if sharding is None:
        memory = empty(shape, dtype)
        fill(memory, part)
        return jax.device_put(memory)
    arrays = []
    for index, devices in blocks_of(shape, sharding):
        counts = [axis.stop - axis.start for axis in index]
        memory = empty(tuple(counts), dtype)
        fill(memory, part.piece([axis.start for axis in index], counts))
        arrays += [jax.device_put(memory, device) for device in devices]
    return jax.make_array_from_single_device_arrays(shape, sharding, arrays, dtype=dtype)
