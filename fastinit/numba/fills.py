# SPDX-License-Identifier: MIT
"""Runs of elements, drawn by compiled loops.  What a backend is, and which rows, is not known here.

A tile of words at a time stays in the L1 cache.  Only the functions at the end are called from
Python; their code is kept on disk (kept.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fastinit.numba.compiling import OPTIONS, chosen_by_type
from fastinit.numba.kept import kept
from fastinit.numba.planes import WORDS_TOGETHER, words_into
from fastinit.numba.tiles import (
    BFLOAT16,
    E4M3,
    E5M2,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    room_for,
    values_into,
    with_class,
)

u32, u64, i64 = np.uint32, np.uint64, np.int64

TILE_WORDS = 1024

LOOP: dict[str, Any] = {**OPTIONS, "forceinline": False}
"""Options of loops: each stays a function of its own."""


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _whole(count: Any) -> Any:
    """How many words to make if `count` are needed: whole passes are the fastest."""
    return -(-count // WORDS_TOGETHER) * WORDS_TOGETHER


def _run(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, to: Any, room: Any
) -> None:
    """Elements from `start` on, each rounded by `to`; `room` is for a tile of each step."""


def _narrow_run(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, to: Any, room: Any
) -> None:
    words, steps = room
    b, skip, done = start >> u64(2), i64(start & u64(3)), i64(0)
    while done < out.size:
        some = min(TILE_WORDS - skip, out.size - done)
        words_into(words[: _whole(skip + some)], key, subsequence, b)
        values_into(out[done : done + some], numbers, words[skip : skip + some], steps, to)
        done, skip, b = done + some, i64(0), b + u64(TILE_WORDS // 4)


def _wide_run(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, to: Any, room: Any
) -> None:
    words, steps = room
    wide = words.view(u64)
    b, skip, done = start >> u64(1), i64(start & u64(1)), i64(0)
    while done < out.size:
        some = min(TILE_WORDS // 2 - skip, out.size - done)
        words_into(words[: _whole(2 * (skip + some))], key, subsequence, b)
        values_into(out[done : done + some], numbers, wide[skip : skip + some], steps, to)
        done, skip, b = done + some, i64(0), b + u64(TILE_WORDS // 4)


@chosen_by_type(_run)
def _run_of(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, to: Any, room: Any
) -> Any:
    return _wide_run if numbers.types[0] == types.float64 else _narrow_run


@njit(**LOOP)  # type: ignore[untyped-decorator]
def _rows(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any, to: Any
) -> None:
    """Rows of `out` that begin `step` elements apart."""
    room = room_for(TILE_WORDS)
    row = np.empty(out.shape[1], out.dtype)
    for n in range(out.shape[0]):
        _run(row, numbers, key, subsequence, start + u64(n) * step, to, room)
        for i in range(row.size):
            out[n, i] = row[i]


@njit(**LOOP)  # type: ignore[untyped-decorator]
def _one_run(out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, to: Any) -> None:
    room = room_for(TILE_WORDS)
    _run(out, numbers, key, subsequence, start, to, room)


def _fill(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any, to: Any
) -> None:
    """A run for an array of one axis, and rows for one of two."""


@chosen_by_type(_fill)
def _fill_of(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any, to: Any
) -> Any:
    if out.ndim == 1:
        return lambda out, numbers, key, subsequence, start, step, to: _one_run(
            out, numbers, u64(key), u64(subsequence), u64(start), to
        )
    return lambda out, numbers, key, subsequence, start, step, to: _rows(
        out, numbers, u64(key), u64(subsequence), u64(start), u64(step), to
    )


# ---- what Python calls --------------------------------------------------------------------------


def _words(out: Any, key: Any, subsequence: Any, b: Any) -> None:
    words_into(out, u64(key), u64(subsequence), u64(b))


def _float64(out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any) -> None:
    _fill(out, with_class(numbers, FLOAT64), key, subsequence, start, step, FLOAT64)


def _float32(out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any) -> None:
    _fill(out, with_class(numbers, FLOAT32), key, subsequence, start, step, FLOAT32)


def _float16(out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any) -> None:
    _fill(out, with_class(numbers, FLOAT16), key, subsequence, start, step, FLOAT16)


def _bfloat16(out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any) -> None:
    _fill(out, with_class(numbers, BFLOAT16), key, subsequence, start, step, BFLOAT16)


def _float8_e4m3fn(
    out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any
) -> None:
    _fill(out, with_class(numbers, E4M3), key, subsequence, start, step, E4M3)


def _float8_e5m2(out: Any, numbers: Any, key: Any, subsequence: Any, start: Any, step: Any) -> None:
    _fill(out, with_class(numbers, E5M2), key, subsequence, start, step, E5M2)


def signed(number: int) -> int:
    """The int64 of the same 64 bits."""
    return number - 2**64 if number >= 2**63 else number


_EVERY = (_words, _float64, _float32, _float16, _bfloat16, _float8_e4m3fn, _float8_e5m2)

COMPILED_FILLS = {function.__name__[1:]: kept(function, **LOOP) for function in _EVERY}
"""By dtype, called with out, numbers, key, subsequence, start, step: elements from `start` on into
an array of one axis, or rows `step` elements apart into one of two.  `out` is of unsigned integers
of the dtype's size, but for float32 and float64 of those.  `numbers` are what `plain_tuple` makes.

"words" is called with out, key, subsequence, b: the words of blocks from b on, four each.

The last four are Python's integers, which Numba takes faster than NumPy's, and those of 64 bits as
`signed` makes them: for a larger one Numba would compile another function.
"""
