# SPDX-License-Identifier: MIT
"""Makes JAX arrays of blocks: each distinct block that this process holds is filled once.

The caller says what a block holds.  Every device but the CPU gets a copy of what was filled here;
gpu.py has graphics cards that fill their own memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy.typing as npt

from fastinit.memory.aligned import empty
from fastinit.memory.regions import Region
from fastinit.numerics.checks import Shape
from fastinit.texts import quoted

Fill = Callable[[npt.NDArray[Any], Region], None]
"""Draws a region of the whole tensor into memory of its shape."""


def check(shape: Shape, sharding: Any, name: str = "") -> None:
    """Raise if no array of that shape can have that sharding.

    Args:
        name: of the array, for the message.

    Raises:
        TypeError: it is not a sharding.
        ValueError: its mesh is abstract; or as JAX says, such as for an axis that the mesh does not
            divide.
    """
    whose = f"{quoted(name)}: " if name else ""
    if sharding is None:
        return
    if not isinstance(sharding, jax.sharding.Sharding):
        raise TypeError(
            f"{whose}sharding is a {type(sharding).__name__}: need a jax.sharding.Sharding, such "
            "as NamedSharding(mesh, PartitionSpec('x'))"
        )
    if isinstance(getattr(sharding, "mesh", None), jax.sharding.AbstractMesh):
        raise ValueError(f"{whose}the mesh of {sharding} is abstract: need a Mesh of devices")
    try:
        sharding.shard_shape(shape)
    except IndexError:
        raise ValueError(f"{whose}shape {shape} has fewer axes than {sharding}") from None
    except ValueError as error:
        raise ValueError(f"{whose}{error}") from None


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
        first, *others = (
            jax.sharding.SingleDeviceSharding(device, memory_kind=sharding.memory_kind)
            for device in devices
        )
        arrays.append(jax.device_put(memory, first))
        # Two arrays in one memory would break when one is donated.
        arrays += [jax.device_put(memory, place, may_alias=False) for place in others]
    return jax.make_array_from_single_device_arrays(shape, sharding, arrays, dtype=dtype)
