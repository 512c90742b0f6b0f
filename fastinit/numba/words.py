# SPDX-License-Identifier: MIT
"""The words of a stream, for use in compiled functions.  No distribution is known here.

docs/stream.md, section 2, defines every bit.  Numba makes a uint64 of any two uint32 that are added
or the like, so every step says what it is.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np

from fastinit.numba.compiling import exact

u32, u64 = np.uint32, np.uint64

Four = tuple[Any, Any, Any, Any]

FIRST_FACTOR, SECOND_FACTOR = u64(0xD2511F53), u64(0xCD9E8D57)
FIRST_STEP, SECOND_STEP = u32(0x9E3779B9), u32(0xBB67AE85)
HALF_WIDTH = u64(32)


@exact
def philox_rounds(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Four:
    """Ten rounds on words that are uint32."""
    for _ in range(10):
        p0, p1 = FIRST_FACTOR * u64(c0), SECOND_FACTOR * u64(c2)
        c0, c1 = u32(u32(p1 >> HALF_WIDTH) ^ c1 ^ k0), u32(p1)
        c2, c3 = u32(u32(p0 >> HALF_WIDTH) ^ c3 ^ k1), u32(p0)
        k0, k1 = u32(k0 + FIRST_STEP), u32(k1 + SECOND_STEP)
    return c0, c1, c2, c3


@exact
def philox4x32(counter: Four, key: tuple[Any, Any]) -> Four:
    """One block of Philox4x32-10: four words from four counter words and two key words.

    Args:
        counter: four integers, 0 <= c < 2**32, lowest first.
        key: two integers, 0 <= k < 2**32, lowest first.

    Returns:
        Four uint32.

    Source:
        Salmon, Moraes, Dror, Shaw (2011), doi:10.1145/2063384.2063405; `fastinit.philox4x32` says
        who differs.

    >>> [hex(word) for word in philox4x32((0, 0, 0, 0), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    return philox_rounds(u32(c0), u32(c1), u32(c2), u32(c3), u32(k0), u32(k1))


@exact
def block(key: SupportsIndex, subsequence: SupportsIndex, b: SupportsIndex) -> Four:
    """The four words of block `b` of a stream: words 4 b to 4 b + 3.

    A loop over blocks is several times faster than one over words, as each takes ten rounds.

    Args:
        key, subsequence: of the tensor, what `fastinit.numba.stream` returns.
        b: 0 <= b < 2**62.

    Returns:
        Four uint32.

    >>> import fastinit as fi
    >>> from fastinit.numba import stream
    >>> list(block(*stream(7, "w"), 2)) == list(fi.stream(7, "w").words(start=8, count=4))
    True
    """
    k, s, n = u64(key), u64(subsequence), u64(b)
    return philox_rounds(
        u32(n),
        u32(n >> HALF_WIDTH),
        u32(s),
        u32(s >> HALF_WIDTH),
        u32(k),
        u32(k >> HALF_WIDTH),
    )


@exact
def word(key: SupportsIndex, subsequence: SupportsIndex, w: SupportsIndex) -> Any:
    """Word `w` of a stream, which makes element `w` of every dtype but float64.

    Args:
        key, subsequence: as for `block`.
        w: 0 <= w < 2**64.

    Returns:
        A uint32.

    >>> import fastinit as fi
    >>> from fastinit.numba import stream
    >>> word(*stream(7, "w"), 2**40) == int(fi.stream(7, "w").words(start=2**40)[0])
    True
    """
    n = u64(w)
    w0, w1, w2, w3 = block(key, subsequence, n >> u64(2))
    upper = n & u64(2) != u64(0)
    even, odd = w2 if upper else w0, w3 if upper else w1
    return odd if n & u64(1) != u64(0) else even


@exact
def word64(key: SupportsIndex, subsequence: SupportsIndex, i: SupportsIndex) -> Any:
    """The 64 bits of element `i` of a float64 tensor: word 2 i, and above it word 2 i + 1.

    Args:
        key, subsequence: as for `block`.
        i: 0 <= i < 2**63.

    Returns:
        A uint64.

    >>> from fastinit.numba import stream
    >>> key, subsequence = stream(7, "w")
    >>> low, high = word(key, subsequence, 6), word(key, subsequence, 7)
    >>> word64(key, subsequence, 3) == low + 2**32 * high
    True
    """
    n = u64(i)
    w0, w1, w2, w3 = block(key, subsequence, n >> u64(1))
    odd = n & u64(1) != u64(0)
    low, high = w2 if odd else w0, w3 if odd else w1
    return u64(low) | (u64(high) << HALF_WIDTH)
