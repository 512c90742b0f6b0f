# SPDX-License-Identifier: MIT
"""A chain of additions that takes one clock cycle each: src_c/clock.c for a package without C.

`machine/state_in_python.py` knows it by its path.  What is measured with it is not known here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from fastinit.numba.compiling import OPTIONS

u64 = np.uint64

ADDITIONS = 20
"""Additions in the body of the loop, so that its counter costs nothing beside them."""


@intrinsic  # type: ignore[untyped-decorator]
def _hidden(typing: Any, number: Any) -> Any:
    """The number itself, through a register that no compiler looks into."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        shape = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
        return builder.asm(shape, "", "=r,0", arguments, side_effect=True)

    return types.uint64(types.uint64), generate


@njit(**{**OPTIONS, "forceinline": False})  # type: ignore[untyped-decorator]
def _dependent_adds(count: Any, step: Any) -> Any:
    total = u64(0)
    for _ in range(count // u64(ADDITIONS)):
        for _ in range(ADDITIONS):
            total = _hidden(total + step)
    for _ in range(count % u64(ADDITIONS)):
        total = _hidden(total + step)
    return total


def dependent_adds(count: int, step: int = 1) -> int:
    """`count` times `step`, modulo 2**64, by additions that each wait for the last."""
    return int(_dependent_adds(u64(count), u64(step)))
