# SPDX-License-Identifier: MIT
"""Custom distributions in plain NumPy, written from docs/stream.md, section 21, alone.

FUNCTIONS are those of custom_laws.py a second time, for whole arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import reference as ref
from reference import Array
from reference_logarithms import minus_log


def subsequence(name: str, draw: int) -> int:
    person = b"fi draw %d" % draw if draw else b""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=person).digest()
    return int.from_bytes(digest, "little")


def words(seed: int, name: str, draw: int, start: int, count: int) -> Array:
    """Words of a draw's stream; reference.words takes a name, so its steps are here again."""
    blocks = np.arange(start >> 2, (start + count + 3) >> 2, dtype=np.uint64)
    under = subsequence(name, draw)
    upper = [np.full(blocks.shape, part, np.uint64) for part in (under & ref.MASK, under >> 32)]
    counter = [blocks & np.uint64(ref.MASK), blocks >> np.uint64(32), *upper]
    columns = ref.philox4x32(counter, (seed & ref.MASK, seed >> 32))
    return np.stack(columns, axis=1).reshape(-1)[start & 3 :][:count]


def drawn(kind: str, seed: int, name: str, draw: int, start: int, count: int, wide: bool) -> Array:
    """A draw of elements start to start + count."""
    each = 1 + wide
    return of_words(kind, words(seed, name, draw, each * start, each * count), wide)


def of_words(kind: str, w: Array, wide: bool) -> Array:
    """A draw, of chosen words: two each if `wide`."""
    dtype = "float64" if wide else "float32"
    if kind == "z":
        return ref.map_words(w, ref.Normal(1.0), dtype)
    if kind == "s":
        return ref.map_words(w, ref.Uniform(-1.0, 1.0), dtype)
    if wide:
        w = w[0::2].astype(np.uint64) | (w[1::2].astype(np.uint64) << np.uint64(32))
    if kind == "w":
        return w
    if wide:
        return np.minimum((w.astype(np.float64) + 0.5) * 2.0**-64, 1 - 2.0**-53)
    return (w.astype(np.float64) + 0.5) * 2.0**-32


def laplace(s: Array, scale: Array) -> Array:
    magnitude = minus_log(np.float32(1) - np.abs(s)) * scale
    return np.where(s > 0, magnitude, -magnitude)


def ternary(s: Array, scale: Array) -> Array:
    third = np.float32(1 / 3)
    return np.where(s > third, scale, np.where(s < -third, -scale, scale * 0))


def exponential(u: Array, rate: Array) -> Array:
    return minus_log(u) / rate


def student(z: Array, u: Array) -> Array:
    return z * np.sqrt(1 / np.sqrt(u))


def signs(w: Array, w2: Array, size: Array) -> Array:
    return np.where((w ^ w2) & np.uint8(1), size, -size)


def scaled(z: Array, std: Array) -> Array:
    return z * std


def moved(z: Array, z2: Array) -> Array:
    return ((z + z2) * np.float32(0.5)).astype(np.float64) + 0.25


FUNCTIONS: dict[str, tuple[str, Callable[..., Array]]] = {
    "laplace": ("s", laplace),
    "ternary": ("s", ternary),
    "exponential": ("u", exponential),
    "student": ("zu", student),
    "signs": ("ww", signs),
    "scaled": ("z", scaled),
    "moved": ("zz", moved),
}
"""The kinds of each function's draws, and the function."""


def values(
    function: str,
    numbers: list[float],
    seed: int,
    name: str,
    start: int,
    count: int,
    dtype: str,
) -> Array:
    """Elements start to start + count of a tensor."""
    kinds, call = FUNCTIONS[function]
    wide = dtype == "float64"
    real = np.float64 if wide else np.float32
    draws = [drawn(kind, seed, name, draw, start, count, wide) for draw, kind in enumerate(kinds)]
    x = np.asarray(call(*draws, *map(real, numbers))).astype(real)
    if dtype.startswith("float8"):
        x = np.clip(x, *(np.float32(sign * ref.finite_numbers(dtype)[-1]) for sign in (-1, 1)))
    return x.astype(ref.DTYPES[dtype])
