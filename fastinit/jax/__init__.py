# SPDX-License-Identifier: MIT
"""JAX: arrays and trees of arrays get their values by name, each process its own part.

This file holds the public names.  `nnx` needs Flax, and is imported when it is asked for.
"""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

from fastinit.jax import requirement as _requirement

_requirement.check()

# isort: split
from fastinit.jax import initializers  # noqa: E402 - only now
from fastinit.jax.arrays import array  # noqa: E402
from fastinit.jax.initialize import init, plan  # noqa: E402

__all__ = ["array", "init", "initializers", "nnx", "plan"]


def __getattr__(name: str) -> _ModuleType:
    if name == "nnx":
        return _import_module("fastinit.jax.nnx")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
