# SPDX-License-Identifier: MIT
"""The memory of a tensor as a NumPy array; which tensors have none, and what to do with those.

Nothing here writes; memory.py does.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fastinit.numerics.dtypes import DType, resolve
from fastinit.torch.dtypes import TORCH_DTYPES

PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Classes whose methods nobody overrides."""

ANY_MEMORY = ctypes.c_char * (2**63 - 1)
"""A buffer from some address on: an array that views it stays within its own strides."""


def array_of(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A NumPy view of the memory of a CPU tensor, with its shape and strides.

    Unlike ``tensor.numpy()`` it leaves the storage resizable, which FSDP needs, and knows bfloat16
    and float8.  It does not keep the memory alive: use it while you hold the tensor.

    Raises:
        TypeError: `tensor` is not a tensor, or keeps its elements in other tensors.
        ValueError: it is not on the CPU, has no memory, another dtype or layout, or is a negated
            view.

    >>> import torch
    >>> tensor = torch.zeros(2, 3, dtype=torch.bfloat16)
    >>> array_of(tensor.T)[1] = 7
    >>> tensor[:, 1].tolist()
    [7.0, 7.0]
    """
    if type(tensor) in PLAIN:
        return viewed(tensor, dtype_of(tensor))
    check_class(tensor)
    with torch._C.DisableTorchFunctionSubclass():
        return viewed(tensor, dtype_of(tensor))


def viewed(tensor: torch.Tensor, dtype: DType) -> npt.NDArray[Any]:
    """`array_of` for a tensor of a known dtype whose methods nobody overrides."""
    if not tensor.is_cpu or tensor.is_neg():
        check_real(tensor)
        kind = "a negated view" if tensor.is_cpu else f"on the device {tensor.device}"
        raise ValueError(f"out is {kind}: no array can view its values; copy it to the CPU first")
    address = _address_of(tensor, dtype.size)
    if not tensor.numel():
        return np.empty(tensor.shape, dtype.numpy)
    memory: Any = ANY_MEMORY.from_address(address)
    if tensor.is_contiguous():
        return np.ndarray(tensor.shape, dtype.numpy, memory)
    strides = [stride * dtype.size for stride in tensor.stride()]
    return np.ndarray(tensor.shape, dtype.numpy, memory, 0, strides)


def is_named(tensor: Any, name: str) -> bool:
    """Whether torch has a class of that name, whose module need not be imported, for `tensor`."""
    return any(
        kind.__name__ == name and kind.__module__.startswith("torch.")
        for kind in type(tensor).__mro__
    )


def is_without_memory(tensor: torch.Tensor) -> bool:
    """Whether `tensor` is a meta or a fake tensor, which has a shape and a dtype alone."""
    return tensor.is_meta or is_named(tensor, "FakeTensor")


def check_class(out: Any) -> None:
    """Raise if `out` is no tensor, or of a class that keeps its elements elsewhere."""
    if not isinstance(out, torch.Tensor):
        hint = ""
        if isinstance(out, torch.nn.Module):
            hint = "; for a whole module there is fastinit.torch.initialize_(module, seed=...)"
        raise TypeError(f"out is a {type(out).__name__}: need a torch tensor or parameter{hint}")
    if isinstance(out, torch.nn.parameter.UninitializedTensorMixin):
        raise ValueError(
            f"out is an {type(out).__name__}, which has no shape yet: run the module forward once"
        )
    if is_named(out, "FakeTensor"):
        raise ValueError(f"out is a FakeTensor, which has no memory: {REAL}")
    if type(out) not in PLAIN and _is_wrapper(out):
        raise TypeError(
            f"out is a {type(out).__name__}, which keeps its elements in other tensors: fill "
            "those, or fill a plain tensor and convert it"
        )


def check_whole(out: torch.Tensor) -> None:
    """Raise if `out` is a piece of a flat parameter, which torch marks: its shape says nothing."""
    if getattr(out, "_fsdp_flattened", False):
        raise ValueError(
            f"out has shape {tuple(out.shape)}, but is in a flat parameter of "
            "FullyShardedDataParallel, which does not say which elements it holds: fill the "
            "wrapped module, outside summon_full_params, or say which by shape and region"
        )


def dtype_of(tensor: torch.Tensor) -> DType:
    """The dtype of a tensor's elements, as fastinit draws it.

    Raises:
        ValueError: another dtype, or elements that are not in one block of memory.
    """
    if tensor.layout is not torch.strided or tensor.is_nested:
        kind = "a nested tensor" if tensor.is_nested else f"of layout {tensor.layout}"
        raise ValueError(
            f"out is {kind}: its elements are not in one block of memory; fill a dense tensor, "
            "and convert it"
        )
    return TORCH_DTYPES.get(tensor.dtype) or _resolved(tensor)


def check_real(tensor: torch.Tensor) -> None:
    """Raise if `tensor` is on the meta device."""
    if tensor.is_meta:
        raise ValueError(f"out is on the meta device, where it has no memory: {REAL}")


def check_device(tensor: torch.Tensor, size: int) -> None:
    """Raise if a tensor on another device than the CPU has no memory there.

    The storage says so.  Devices such as XLA show none: they are left to torch.

    Args:
        size: of an element in bytes.
    """
    check_real(tensor)
    if tensor.is_cuda:
        _address_of(tensor, size)
        return
    try:
        room = tensor.untyped_storage().nbytes()
    except RuntimeError:
        return
    _check_room(tensor, size, room)


def _check_room(tensor: torch.Tensor, size: int, room: int) -> None:
    """Raise if the elements of `tensor` do not fit a storage of `room` bytes."""
    count = tensor.numel()
    if count and not tensor.is_contiguous():
        axes = zip(tensor.shape, tensor.stride(), strict=True)
        count = 1 + sum((dim - 1) * stride for dim, stride in axes)
    if count and room < (tensor.storage_offset() + count) * size:
        raise ValueError(
            f"out has shape {tuple(tensor.shape)}, but its storage has {room} bytes: it was freed "
            "or resized; make it real first"
        )


def _address_of(tensor: torch.Tensor, size: int) -> int:
    """The address of the first element, on the CPU or a CUDA device; 0 if there is no element."""
    try:
        address, room = tensor.data_ptr(), tensor.untyped_storage().nbytes()
    except RuntimeError:
        address, room = 0, -1
    if room >= 0:
        _check_room(tensor, size, room)
    if not address and tensor.numel():
        raise ValueError(
            "out has no memory here, as inside torch.func.vmap, torch.func.grad or "
            "torch.func.functionalize: fill it outside"
        )
    return address


REAL = (
    "make it real first, by torch.empty_like(out, device='cpu'), module.to_empty(device='cpu') or "
    "fastinit.torch.materialize(module, ...)"
)


def _resolved(tensor: torch.Tensor) -> DType:
    """The dtype of a tensor, by its name; if there is none, the message says what to fill."""
    hint = ""
    if tensor.is_complex():
        hint = "; torch.view_as_real(out) has the real and the imaginary parts"
    if tensor.is_quantized:
        hint = "; fill a float tensor, and quantize it"
    try:
        return resolve(tensor.dtype)
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None


def _is_wrapper(tensor: torch.Tensor) -> bool:
    """Whether a tensor of a subclass has no elements itself, but other tensors that have them."""
    with torch._C.DisableTorchFunctionSubclass():
        try:
            return tensor.numel() > 0 and not tensor.is_meta and not tensor.data_ptr()
        except RuntimeError:  # torch gives no address
            return True
