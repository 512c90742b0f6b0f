# SPDX-License-Identifier: MIT
"""The backend numba's way from chosen words to values.  No test; it imports Numba."""

from __future__ import annotations

import numba
import numpy as np
import reference as ref

from fastinit.machine.state import in_default_floats
from fastinit.numba import fills, tiles
from fastinit.numerics.dtypes import DType
from fastinit.values.numbers import Numbers

TO = {
    "float64": tiles.FLOAT64,
    "float32": tiles.FLOAT32,
    "float16": tiles.FLOAT16,
    "bfloat16": tiles.BFLOAT16,
    "float8_e4m3fn": tiles.E4M3,
    "float8_e5m2": tiles.E5M2,
}


@numba.njit
def _mapped(out, numbers, words, to):
    _, room = tiles.room_for(fills.TILE_WORDS)
    for start in range(0, out.size, fills.TILE_WORDS // 2):
        part = slice(start, min(start + fills.TILE_WORDS // 2, out.size))
        tiles.values_into(out[part], numbers, words[part], room, to)


def map_words(out: ref.Array, numbers: Numbers, dtype: DType, words: ref.Array) -> None:
    """Put what the loops of the backend make of `words` into `out`."""
    if numbers.kind == "constant":
        raise ValueError("a constant has no words")
    given = words.copy().view(np.uint64 if dtype.size == 8 else np.uint32)
    element = dtype.numpy if dtype.name in ("float32", "float64") else dtype.words
    found = tiles.tile_numbers(numbers, dtype)
    in_default_floats(_mapped, (out.view(element), found, given, TO[dtype.name]), {})
