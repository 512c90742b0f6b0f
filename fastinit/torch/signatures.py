# SPDX-License-Identifier: MIT
"""Signatures: what the resets of PyTorch's own layers depend on, so that one recording serves all.

Only layers whose resets are PyTorch's have one.  Others may depend on anything.
"""

from __future__ import annotations

import types
from typing import Any

import torch

RESETS = ("reset_parameters", "_reset_parameters")
"""The functions that reset a module, in the order in which they are looked for."""

INIT = "_init_weights"
PLAIN_VALUES = (type(None), bool, int, float, str, torch.dtype, torch.device, types.FunctionType)
STATE = frozenset({"_parameters", "_buffers", "_modules", "training"})


class _Unknown(Exception):  # noqa: N818 - it is not an error
    """Something that a reset might depend on, and that has no value to compare."""


def signature_of(module: torch.nn.Module) -> Any:
    """A value that is equal for modules whose resets do the same, or None."""
    numbers: dict[int, int] = {}
    try:
        return tuple(_own(owner, numbers) for owner in module.modules())
    except _Unknown:
        return None


def _own(owner: torch.nn.Module, numbers: dict[int, int]) -> tuple[Any, ...]:
    kind = type(owner)
    for name in RESETS:
        function = getattr(kind, name, None)
        if function is not None and not function.__module__.startswith("torch.nn."):
            raise _Unknown
    if hasattr(kind, INIT):
        raise _Unknown
    tensors = tuple(
        (key, None if tensor is None else _tensor(tensor, numbers))
        for held in (owner._parameters, owner._buffers)
        for key, tensor in held.items()
    )
    children = tuple(
        (key, None if child is None else numbers.setdefault(id(child), len(numbers)))
        for key, child in owner._modules.items()
    )
    attributes = tuple(
        (key, _plain(value)) for key, value in owner.__dict__.items() if not _is_machinery(key)
    )
    return kind, tensors, children, attributes


def _is_machinery(key: str) -> bool:
    """Whether an attribute is one that every module has."""
    return (
        key in STATE
        or key.endswith(("_hooks", "_hooks_with_kwargs", "_always_called"))
        or (key in ("_non_persistent_buffers_set", "_is_full_backward_hook"))
    )


def _tensor(tensor: torch.Tensor, numbers: dict[int, int]) -> tuple[Any, ...]:
    number = numbers.setdefault(id(tensor), len(numbers))
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        raise _Unknown
    return number, tensor.shape, tensor.stride(), tensor.dtype


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN_VALUES):
        return value, type(value)
    if type(value) in (tuple, list):
        return type(value), tuple(map(_plain, value))
    raise _Unknown
