# SPDX-License-Identifier: MIT
"""Conversions for which a processor may have an instruction, or none.  Nothing else is rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastinit.numba.arithmetic import minus, plus
from fastinit.numba.bits import float64_of_bits
from fastinit.numba.compiling import exact
from fastinit.numba.targets import LANES


@intrinsic  # type: ignore[untyped-decorator]
def _truncated_to_half(typing: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = builder.fptrunc(arguments[0], ir.HalfType())
        return builder.bitcast(half, ir.IntType(16))

    return types.uint16(types.float32), generate


@exact
def half_of_float32(x: Any) -> Any:
    """The bits of the nearest float16; where `HAS_HALF`, one instruction."""
    return _truncated_to_half(x)


def _converted(number: Any) -> Any:
    return np.float64(number)


def _by_halves(number: Any) -> Any:
    """Each half set as an integer inside 2^84 and 2^52, whose sum is rounded once."""
    u64, v = np.uint64, np.uint64(number)
    low = float64_of_bits((v & u64(0xFFFFFFFF)) | u64(0x4330000000000000))
    high = float64_of_bits((v >> u64(32)) ^ u64(0x4530000080000000))
    return plus(minus(high, 2.0**84 + 2.0**63 + 2.0**52), low)


float64_of_signed = exact(_by_halves if LANES == 8 else _converted)
"""An int64 as the nearest float64.  AVX2 has no instruction for it: LLVM takes lane by lane."""
