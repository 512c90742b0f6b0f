# SPDX-License-Identifier: MIT
"""The numbers with which PyTorch itself draws parameters on a CPU: an independent observer.

It knows two operators only, and of a parameter only the last operator that drew all of it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Draws(TorchDispatchMode):
    """Remembers the last draw of whole memory, and forgets it when anything else writes there."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, tuple[str, float, float]] = {}
        self.kept: list[torch.Tensor] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        if not name.endswith("_") or not isinstance(args[0], torch.Tensor):
            return out
        target = args[0]
        self.kept.append(target)
        key = target.untyped_storage().data_ptr()
        self.found.pop(key, None)
        whole = target.numel() * target.itemsize == target.untyped_storage().nbytes()
        if whole and name in ("normal_", "uniform_"):
            numbers = [*args[1:], *(0.0, 1.0)[len(args) - 1 :]]
            self.found[key] = name.rstrip("_"), float(numbers[0]), float(numbers[1])
        return out


def last_draws(make: Callable[[], torch.nn.Module]) -> dict[str, tuple[str, float, float]]:
    """For each parameter whose memory one draw filled last: the kind of draw and its numbers."""
    with Draws() as draws:
        module = make()
    return {
        name: draws.found[parameter.data_ptr()]
        for name, parameter in module.named_parameters()
        if parameter.data_ptr() in draws.found
        and not isinstance(parameter, torch.nn.parameter.UninitializedParameter)
    }
