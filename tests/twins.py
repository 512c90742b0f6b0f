# SPDX-License-Identifier: MIT
"""The library and its twin side by side: the same distribution in both, and words worth trying."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference as ref

import fastinit as fi
from fastinit.backends.selection import active
from fastinit.numerics import dtypes
from fastinit.values.numbers import Numbers

INFINITY = float("inf")


def scheme_of(distribution: ref.Distribution) -> fi.Scheme:
    """The library's scheme for a distribution of the reference."""
    match distribution:
        case ref.Uniform(low, high):
            return fi.uniform(low, high)
        case ref.Normal(std, mean):
            return fi.normal(std, mean=mean)
        case ref.Truncated(std, mean, low, high, corrected):
            return fi.truncated_normal(std, mean=mean, low=low, high=high, corrected=corrected)
        case ref.Clipped(std, mean, low, high, corrected):
            return fi.clipped_normal(std, mean=mean, low=low, high=high, corrected=corrected)
        case ref.Constant(value):
            return fi.constant(value)


def spec_of(distribution: ref.Distribution, dtype: str, seed: int = 0, name: str = "w") -> Any:
    """What the border to C takes, a `_native.Spec`; for tests of the border."""
    from fastinit.backends import native

    numbers = scheme_of(distribution).distribution((8,)).numbers(dtype)
    stream = fi.stream(seed, name)
    return native.spec_of(numbers, dtypes.resolve(dtype)).of(stream.seed, stream.subsequence)


def map_numbers(numbers: Numbers, dtype: str, words: ref.Array) -> ref.Array:
    """What the backend in force makes of `words` by some numbers; shape (count,)."""
    count = len(words) // 2 if dtype == "float64" else len(words)
    out = np.empty(count, ref.DTYPES[dtype])
    if active().name == "numba":
        import numba_tiles

        numba_tiles.map_words(out, numbers, dtypes.resolve(dtype), words)
    else:
        from fastinit.backends import _native, native

        _native.map_words(out.view(np.uint8), native.spec_of(numbers, dtypes.resolve(dtype)), words)
    return out


def library_map(words: ref.Array, distribution: ref.Distribution, dtype: str) -> ref.Array:
    return map_numbers(scheme_of(distribution).distribution((8,)).numbers(dtype), dtype, words)


def library_values(
    seed: int, name: str, distribution: ref.Distribution, start: int, count: int, dtype: str
) -> ref.Array:
    return fi.array(
        (start + count,),
        scheme_of(distribution),
        seed=seed,
        name=name,
        dtype=dtype,
        region=range(start, start + count),
    )


def reference_values(
    seed: int, name: str, distribution: ref.Distribution, numbers: ref.Array, dtype: str
) -> ref.Array:
    """The reference's values of any elements of a tensor, by their numbers and of their shape."""
    each = 2 if dtype == "float64" else 1
    word = (each * numbers.astype(np.uint64)[..., None] + np.arange(each, dtype=np.uint64)).ravel()
    block, sub = word >> np.uint64(2), ref.subsequence(name)
    halves = [block & np.uint64(ref.MASK), block >> np.uint64(32)]
    halves += [np.full(block.shape, part, np.uint64) for part in (sub & ref.MASK, sub >> 32)]
    words = np.stack(ref.philox4x32(halves, (seed & ref.MASK, seed >> 32)), axis=1)
    picked = words[np.arange(word.size), word & np.uint64(3)]
    return ref.map_words(picked, distribution, dtype).reshape(numbers.shape)


def bits(values: Any) -> ref.Array:
    """The bits of an array's elements: what is compared, so that -0 is not 0."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def assert_same_bits(ours: ref.Array, theirs: ref.Array) -> None:
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(bits(ours), bits(theirs))


def _extreme_words() -> ref.Array:
    near = [2**k + d for k in range(33) for d in range(-66, 67)]
    picked = {w & 0xFFFFFFFF for w in near} | {~w & 0xFFFFFFFF for w in near}
    return np.array(sorted(picked), np.uint32)


EXTREME_WORDS = _extreme_words()
"""All powers of two +-66 and their complements: every octave's edge, every rounding of t to
float32 at the top, both ends of both signs."""


def extreme_pairs() -> ref.Array:
    """Pairs of words for float64: extreme beside extreme, in an order that mixes them all."""
    few = EXTREME_WORDS[::23]
    upper, lower = (grid.reshape(-1) for grid in np.meshgrid(few, few))
    edges = np.array([2**k + d for k in range(65) for d in (-2, -1, 0, 1, 2)] + [2**64], object)
    edges = (np.concatenate([edges, edges ^ (2**63), -edges]) % 2**64).astype(np.uint64)
    lower = np.concatenate([lower, (edges & np.uint64(0xFFFFFFFF)).astype(np.uint32)])
    upper = np.concatenate([upper, (edges >> np.uint64(32)).astype(np.uint32)])
    return np.stack([lower, upper], axis=1).reshape(-1)


def words_for(dtype: str) -> ref.Array:
    """Words that are hard, and 4096 that are not."""
    hard = extreme_pairs() if dtype == "float64" else EXTREME_WORDS
    return np.concatenate([hard, ref.words(11, "plain", 0, 4096)])
