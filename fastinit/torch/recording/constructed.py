# SPDX-License-Identifier: MIT
"""The modules that constructors made, and which of them are inside no other."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import torch


class Modules:
    """The modules that a recording made or changed, as long as somebody holds them."""

    def __init__(self) -> None:
        self._made: dict[int, weakref.ref[torch.nn.Module]] = {}

    def add(self, module: torch.nn.Module) -> None:
        """Remember a module."""
        known = self._made.get(id(module))
        if known is None or known() is not module:  # another module had its address
            self._made.pop(id(module), None)
            self._made[id(module)] = weakref.ref(module)

    def __iter__(self) -> Iterator[torch.nn.Module]:
        return (module for ref in self._made.values() if (module := ref()) is not None)

    def roots(self) -> list[torch.nn.Module]:
        """Those that are inside no other."""
        children = {id(child) for module in self for child in module.children()}
        return [module for module in self if id(module) not in children]
