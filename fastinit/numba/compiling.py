# SPDX-License-Identifier: MIT
"""How the functions of this room are compiled.  What they compute is not known here.

A caller's options must not change a bit.  Functions under `inline="always"` and `register_jitable`
are compiled as part of the caller, with its fast-math; a function under `forceinline` is compiled
by itself, each operation keeps the flags it had, and LLVM puts the result into the caller.  Every
option that a function would otherwise take over from its caller is given.

Nothing is cached on disk: Numba does not notice if a function in another file changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": False,
    "parallel": False,
    "forceinline": True,
}


def exact(function: F) -> F:
    """Compile `function` for use in other compiled functions, and from Python."""
    compiled: F = njit(**OPTIONS)(function)
    return compiled


def chosen_by_type(stub: Callable[..., Any]) -> Callable[[F], F]:
    """Decorator of a function from the types of the arguments of `stub` to what is compiled."""
    decorator: Callable[[F], F] = overload(stub, jit_options=OPTIONS, strict=False)
    return decorator
