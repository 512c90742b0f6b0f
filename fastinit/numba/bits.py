# SPDX-License-Identifier: MIT
"""The bits of a float as an integer, and back.  Nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic


def _cast(source: Any, target: Any) -> Callable[[Any], Any]:
    @intrinsic  # type: ignore[untyped-decorator]
    def cast(typing: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    found: Callable[[Any], Any] = cast
    return found


bits_of_float32 = _cast(types.float32, types.uint32)
float32_of_bits = _cast(types.uint32, types.float32)
bits_of_float64 = _cast(types.float64, types.uint64)
float64_of_bits = _cast(types.uint64, types.float64)
