# SPDX-License-Identifier: MIT
"""The memory of tensors: `array_of` views it, `fill` fills it in place, `empty` makes new memory.

Which tensors have memory is in tensors.py; memory that is not the CPU's is drawn by devices.py or
copies.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from fastinit.docstrings import shares
from fastinit.machine.pages import ask_for_huge_pages
from fastinit.machine.state import in_default_floats
from fastinit.memory import arrays
from fastinit.memory.regions import Region, RegionLike, region_of
from fastinit.numerics.checks import check_shape
from fastinit.numerics.dtypes import DType
from fastinit.schemes.sampling import SchemeLike, sampler
from fastinit.torch import copies, devices
from fastinit.torch.devices import Batch
from fastinit.torch.dtypes import torch_dtype
from fastinit.torch.tensors import (
    PLAIN,
    check_class,
    check_device,
    check_whole,
    dtype_of,
    is_named,
    viewed,
)
from fastinit.torch.tensors import array_of as array_of
from fastinit.values.samplers import Sampler
from fastinit.values.stream import checked

Tensor = TypeVar("Tensor", bound=torch.Tensor)


@shares(arrays.fill)
def fill(
    tensor: Tensor,
    scheme: SchemeLike,
    *,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None = None,
    region: RegionLike = None,
    threads: int | None = None,
) -> Tensor:
    """Fill `tensor` with the tensor `name`, or with a region of it, and return `tensor`.

    `fastinit.fill` of a torch tensor is this function.  Values are written below autograd: no
    ``torch.no_grad()`` is needed for a leaf that requires its gradient, and a graph that saved the
    old values raises torch's error when it runs backward.  A DTensor gets the part of the whole
    tensor that this process holds, without communication.  A CUDA device draws its tensors itself,
    on torch's current stream; nothing waits for it.  What it cannot draw, and tensors on devices of
    other kinds, are drawn on the CPU in chunks of 64 MiB and copied (docs/howto/gpu.md).

    Args:
        tensor: a tensor or parameter, with any strides, on any device; a view; or a DTensor.
        scheme, seed, name: as for `fill`.
        shape: of the whole tensor, by default the shape of `tensor`.
        region: which part of the whole tensor `tensor` is; a DTensor knows this by itself.
        threads: as for `fill`.

    Returns:
        `tensor`.

    Raises:
        TypeError: `tensor` is not a tensor, or of a class that keeps its elements in other tensors;
            a scheme, shape, index, seed or name of the wrong type.
        ValueError: `tensor` has no memory, as on the meta device, elements that share memory, an
            unsupported dtype or layout, or another shape than the region; shape or region is
            given for a DTensor; a piece of a flat parameter, if the region is not given; a CUDA
            graph is being captured, and the device cannot draw; what else `fastinit.fill` finds
            wrong.
        IndexError: the region leaves the tensor.
        BackendError: FASTINIT_CUDA is "kernels", and they cannot run on the device; or they failed.

    >>> import torch
    >>> import fastinit as fi
    >>> layer = torch.nn.Linear(512, 1024)
    >>> weight = fi.fill(layer.weight, fi.he_normal(), seed=0, name="up.weight")
    >>> weight is layer.weight
    True
    """
    batch = Batch()
    in_default_floats(_fill_any, (batch, tensor, scheme, seed, name, shape, region, threads), {})
    batch.draw()
    return tensor


def fill_with(
    batch: Batch,
    tensor: torch.Tensor,
    scheme: SchemeLike,
    *,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None = None,
    region: RegionLike = None,
    threads: int | None = None,
) -> None:
    """`fill`, except that what a CUDA device draws is added to `batch`, which draws it later."""
    in_default_floats(_fill_any, (batch, tensor, scheme, seed, name, shape, region, threads), {})


def _fill_any(
    batch: Batch,
    tensor: torch.Tensor,
    scheme: SchemeLike,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None,
    region: RegionLike,
    threads: int | None,
) -> None:
    """`fill`."""
    if type(tensor) in PLAIN:
        if region is None:
            check_whole(tensor)
        _fill(batch, tensor, [(tensor, region)], scheme, seed, name, shape, threads)
    else:
        _fill_other(batch, tensor, scheme, seed, name, shape, region, threads)


def empty(
    shape: Iterable[SupportsIndex] | SupportsIndex,
    dtype: Any = "float32",
    *,
    device: Any = "cpu",
) -> torch.Tensor:
    """A new tensor, not yet initialised, whose memory is fast to fill.

    ``torch.empty`` leaves it to the system how it gives memory when it is touched first; this asks
    for huge pages, as NumPy does for its arrays, so that a GiB fills in half the time.

    Args:
        shape: of the tensor.
        dtype: any dtype of torch, or a name such as "bfloat16".
        device: of the tensor; only on the CPU is there a difference to ``torch.empty``.

    Raises:
        TypeError: the shape is not made of integers.
        ValueError: a shape with a negative axis; an unknown dtype.

    >>> empty((2, 3), "bfloat16").dtype
    torch.bfloat16
    """
    kind = dtype if isinstance(dtype, torch.dtype) else torch_dtype(dtype)
    tensor = torch.empty(check_shape(shape), dtype=kind, device=device)
    if tensor.is_cpu:
        ask_for_huge_pages(tensor.data_ptr(), tensor.numel() * tensor.itemsize)
    return tensor


def _target(tensor: torch.Tensor, dtype: DType) -> npt.NDArray[Any] | torch.Tensor:
    """Where to draw: memory that this process can write to, or a tensor on a device."""
    if tensor.is_cpu and not tensor.is_neg():
        return viewed(tensor, dtype)
    check_device(tensor, dtype.size)
    return tensor if tensor.numel() else np.empty(tensor.shape, dtype.numpy)


def _way(
    target: npt.NDArray[Any] | torch.Tensor, source: Sampler, part: Region, batch: Batch
) -> Callable[[Any, Sampler, Region, int], None]:
    """How to draw there; raises before anything is written."""
    if isinstance(target, np.ndarray):
        return arrays.draw
    if devices.can_draw(target, source, part):
        return batch.add
    copies.check_not_captured(target)
    return copies.draw


def _fill(
    batch: Batch,
    tensor: torch.Tensor,
    parts: Iterable[tuple[torch.Tensor, RegionLike]],
    scheme: SchemeLike,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None,
    threads: int | None,
) -> None:
    """Fill the parts of `tensor` that are here; raise before anything is written."""
    dtype = dtype_of(tensor)
    dims = tuple(tensor.shape) if shape is None else check_shape(shape)
    work: list[tuple[npt.NDArray[Any] | torch.Tensor, Region, int]] = []
    for local, region in parts:
        part = region_of(dims, region)
        if local.shape != part.shape:
            arrays.check_size(tuple(local.shape), dims, part)
        if not local.is_contiguous():
            arrays.check_apart(tuple(local.shape), local.stride())
        work.append((_target(local, dtype), part, arrays.workers_for(part, threads)))
    source = sampler(scheme, dims, checked(seed, name), dtype)
    if not work:
        return
    ways = [_way(target, source, part, batch) for target, part, _ in work]
    try:
        for draw, (target, part, workers) in zip(ways, work, strict=True):
            draw(target, source, part, workers)
    finally:
        torch.autograd.graph.increment_version(tensor)


def _fill_other(
    batch: Batch,
    tensor: torch.Tensor,
    scheme: SchemeLike,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None,
    region: RegionLike,
    threads: int | None,
) -> None:
    """`fill` for tensors of other classes than torch's own two."""
    if is_named(tensor, "DTensor"):
        from fastinit.torch.shards import parts_of

        if region is not None or (shape is not None and check_shape(shape) != tensor.shape):
            raise ValueError(
                f"out is a DTensor of shape {tuple(tensor.shape)}, which knows the whole tensor "
                "and which part is here: leave shape and region out"
            )
        parts = [(part.local, part.region) for part in parts_of(tensor)]
        _fill(batch, tensor, parts, scheme, seed, name, None, threads)
        torch.autograd.graph.increment_version([local for local, _ in parts])
        return
    check_class(tensor)
    with torch._C.DisableTorchFunctionSubclass():
        _fill(batch, tensor, [(tensor, region)], scheme, seed, name, shape, threads)
