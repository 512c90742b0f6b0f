# SPDX-License-Identifier: MIT
"""Tiles of float32 values as words of the narrow dtypes, by compiled loops kept on disk."""

from __future__ import annotations

from typing import Any

from fastinit.numba.fills import LOOP
from fastinit.numba.kept import kept
from fastinit.numba.rounding import to_bfloat16, to_float8_e4m3fn, to_float8_e5m2, to_float16


def _cast_float16(out: Any, values: Any) -> None:
    for i in range(out.size):
        out[i] = to_float16(values[i])


def _cast_bfloat16(out: Any, values: Any) -> None:
    for i in range(out.size):
        out[i] = to_bfloat16(values[i])


def _cast_float8_e4m3fn(out: Any, values: Any) -> None:
    for i in range(out.size):
        out[i] = to_float8_e4m3fn(values[i])


def _cast_float8_e5m2(out: Any, values: Any) -> None:
    for i in range(out.size):
        out[i] = to_float8_e5m2(values[i])


_CASTS = (_cast_float16, _cast_bfloat16, _cast_float8_e4m3fn, _cast_float8_e5m2)

COMPILED_CASTS = {cast.__name__.removeprefix("_cast_"): kept(cast, **LOOP) for cast in _CASTS}
"""By dtype, called with words and float32 values, both of one axis."""
