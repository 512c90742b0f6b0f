# SPDX-License-Identifier: MIT
"""Fills arrays on graphics cards in place, through `fastinit.cuda`, where that can be.

JAX's arrays are immutable, and its array interface refuses bfloat16.  So kernels write into a fresh
array of zeros, through the address of each shard's buffer, before anybody else has the array.
"""

from __future__ import annotations

from typing import Any

import jax

from fastinit import cuda
from fastinit.cuda.arrays import dense_strides
from fastinit.memory.regions import Region
from fastinit.values.samplers import Sampler


def can_draw(source: Sampler, sharding: Any) -> bool:
    """Whether every device of a sharding is a card on which kernels can draw a tensor.

    Raises:
        BackendError: FASTINIT_CUDA asks for kernels, and there can be none.
    """
    if sharding is not None and sharding.memory_kind not in (None, "device"):
        return False
    devices = _devices(sharding)
    if not devices or any(device.platform not in ("gpu", "cuda") for device in devices):
        return False
    return cuda.can_draw(source) and all(map(cuda.decide, map(_ordinal, devices)))


def drawn(source: Sampler, part: Region, sharding: Any) -> jax.Array:
    """The region `part` of a tensor, drawn where it lies; `can_draw` has said that this can be."""
    shape, dtype = part.shape, source.dtype.numpy
    zeros = jax.jit(lambda: jax.numpy.zeros(shape, dtype), out_shardings=sharding)
    out: jax.Array = jax.block_until_ready(zeros())
    tasks = []
    for shard in out.addressable_shards:
        block = shard.data
        first = [index.indices(dim)[0] for index, dim in zip(shard.index, shape, strict=True)]
        memory = cuda.DeviceArray(
            pointer=block.unsafe_buffer_pointer(),
            shape=block.shape,
            strides=dense_strides(block.shape, source.dtype.size),
            device=_ordinal(shard.device),
            stream=0,
        )
        tasks.append(cuda.DeviceTask(memory, source, part.piece(first, block.shape)))
    cuda.draw(tasks)
    for device in {task.out.device for task in tasks}:
        cuda.synchronize(device)  # JAX does not know of the launches
    return out


def _devices(sharding: Any) -> list[Any]:
    """The devices of this process, of a sharding or by JAX's default."""
    if sharding is not None:
        return sorted(sharding.addressable_devices, key=lambda device: device.id)
    default = jax.config.jax_default_device  # a device, the name of a platform, or None
    if default is None or isinstance(default, str):
        return [jax.local_devices(backend=default)[0]]
    return [default]


def _ordinal(device: Any) -> int:
    """The number by which CUDA knows a device."""
    return int(device.local_hardware_id)
