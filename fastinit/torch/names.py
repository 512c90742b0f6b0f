# SPDX-License-Identifier: MIT
"""The names of the modules in a module, without what wrappers put into them."""

from __future__ import annotations

from collections.abc import Iterator

import torch

WRAPPED = frozenset({"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
"""Under which names torch.compile, activation checkpointing and FSDP1 hold what they wrap."""

MODULE_HOLDERS = frozenset(
    {"DataParallel", "DistributedDataParallel", "AveragedModel", "DeepSpeedEngine"}
)
"""Wrappers that hold it as ``module``, which others may name a module of theirs."""


def wrapped_in(owner: torch.nn.Module) -> str | None:
    """The name under which a wrapper holds the module that it wraps; None for other modules."""
    held = owner._modules
    if "module" in held and any(kind.__name__ in MODULE_HOLDERS for kind in type(owner).__mro__):
        return "module"
    return next((key for key in held if key in WRAPPED), None)


def modules_of(module: torch.nn.Module, prefix: str = "") -> Iterator[tuple[str, torch.nn.Module]]:
    """Every module in a module once, itself first, with its path; wrappers have their module's.

    >>> import torch
    >>> [path for path, _ in modules_of(torch.nn.Sequential(torch.nn.Linear(2, 2)), "up")]
    ['up', 'up.0']
    """
    seen: set[int] = set()

    def walk(path: str, owner: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
        if id(owner) in seen:
            return
        seen.add(id(owner))
        yield path, owner
        inner = wrapped_in(owner)
        for key, child in owner._modules.items():
            if child is not None:
                yield from walk(path if key == inner else joined(path, key), child)

    return walk(prefix, module)


def joined(path: str, key: str) -> str:
    """The name of what is called `key` in the module at `path`."""
    return f"{path}.{key}" if path else key
