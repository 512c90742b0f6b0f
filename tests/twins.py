# SPDX-License-Identifier: MIT
"""The library and its twin side by side: the same distribution in both, and words worth trying."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference as ref

import fastinit as fi
from fastinit import _native, dtypes

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


def spec_of(distribution: ref.Distribution, dtype: str) -> _native.Spec:
    drawn = scheme_of(distribution).distribution((8,))
    return drawn.spec(dtypes.resolve(dtype), fi.stream(0, "w"))


def map_spec(spec: _native.Spec, dtype: str, words: ref.Array) -> ref.Array:
    """What the library's kernels make of `words` by `spec`; shape (count,)."""
    count = len(words) // 2 if dtype == "float64" else len(words)
    out = np.empty(count, ref.DTYPES[dtype])
    _native.map_words(out.view(np.uint8), spec, words)
    return out


def library_map(words: ref.Array, distribution: ref.Distribution, dtype: str) -> ref.Array:
    return map_spec(spec_of(distribution, dtype), dtype, words)


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
