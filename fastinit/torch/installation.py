# SPDX-License-Identifier: MIT
"""Memory for the tensors of a module on the meta device, put where the module holds them."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from fastinit.torch import memory
from fastinit.torch.recipes import TensorRecipe
from fastinit.torch.slots import Slot
from fastinit.torch.tensors import is_named


def device_for(recipe: TensorRecipe, device: Any) -> torch.device:
    """Where new memory for the tensor of a recipe is made; `device` is what was asked, or None."""
    old: Any = recipe.slot.tensor
    if device is not None:
        return torch.device(device)
    if is_named(old, "DTensor") and old.is_meta:
        return torch.device(old.device_mesh.device_type)
    return torch.device("cpu") if old.is_meta else old.device


def allocated(recipe: TensorRecipe, device: Any) -> torch.Tensor:
    """The tensor itself if it has memory of the right kind, or else a new one."""
    old, place = recipe.slot.tensor, device_for(recipe, device)
    if not old.is_meta and old.device.type == place.type and old.dtype == recipe.dtype:
        return old
    make = _sharded if is_named(old, "DTensor") else _plain
    return _of_the_same_class(old, make(old, recipe, place))


def _plain(old: torch.Tensor, recipe: TensorRecipe, device: torch.device) -> torch.Tensor:
    """New memory with the strides of the old tensor, such as those of channels_last."""
    steps = list(zip(old.shape, old.stride(), strict=True))
    if old.is_contiguous() or any(n > 1 and not stride for n, stride in steps):
        new = memory.empty(recipe.shape, recipe.dtype, device=device)
        same = not old.is_contiguous() or new.stride() == old.stride()
        return new if same else new.as_strided(old.shape, old.stride())
    return torch.empty_strided(old.shape, old.stride(), dtype=recipe.dtype, device=device)


def _sharded(old: Any, recipe: TensorRecipe, device: torch.device) -> torch.Tensor:
    """A DTensor with memory for the part that is here."""
    local = memory.empty(old.to_local().shape, recipe.dtype, device=device)
    placement = {"run_check": False, "shape": old.shape, "stride": old.stride()}
    made: torch.Tensor = type(old.data).from_local(
        local, old.device_mesh, old.placements, **placement
    )
    return made


def _of_the_same_class(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """The new tensor as a parameter or buffer of the old one's class, with its attributes."""
    if isinstance(old, torch.nn.Parameter):
        new = torch.nn.Parameter(new, requires_grad=old.requires_grad)
    elif isinstance(old, torch.nn.Buffer):
        new = torch.nn.Buffer(new, persistent=old.persistent)
    if type(new) is not type(old):
        new.__class__ = type(old)
    new.__dict__.update(old.__dict__)
    return new


def install(slot: Slot, tensor: torch.Tensor) -> None:
    """Put a tensor where the module holds the old one, and everything else over its memory."""
    if tensor is slot.tensor:
        return
    olds = {id(old): old for old in (slot.tensor, *(holder.get() for holder in slot.places))}
    memory = tensor.data
    for old in olds.values():
        new = tensor if old is slot.tensor else _of_the_same_class(old, memory)
        _exchange(slot, old, new)


def _exchange(slot: Slot, old: torch.Tensor, new: torch.Tensor) -> None:
    """Replace one tensor wherever the slot has it.

    The old object becomes the new tensor, so that an optimiser that has it stays right.  PyTorch
    refuses that for tensors with weak references, such as those of RNNs: then the module gets the
    new object.
    """
    holders = [holder for holder in slot.places if holder.get() is old]
    try:
        torch.utils.swap_tensors(old, new)
    except RuntimeError:
        for holder in holders:
            holder.put(new)
        if slot.tensor is old:
            slot.tensor = new


def notify(module: torch.nn.Module) -> None:
    """Let modules that keep views of their parameters, as RNNs and FSDP2 do, make them again.

    They do so after whatever `Module._apply` does, as ``to()`` calls it.
    """
    for owner in module.modules():
        if type(owner)._apply is not torch.nn.Module._apply:
            parameters = inspect.signature(owner._apply).parameters
            flexible = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            options = {"recurse": False} if flexible or "recurse" in parameters else {}
            owner._apply(lambda tensor: tensor, **options)
