# SPDX-License-Identifier: MIT
"""Raw words: of a stream, and of one block of the counter-based generator.

docs/stream.md defines every bit.
"""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from fastinit.backends.selection import active
from fastinit.numerics.checks import check_integer
from fastinit.values.stream import Stream, checked


class WordStream(Stream):
    """A stream whose raw words can be read."""

    def words(self, start: SupportsIndex = 0, count: SupportsIndex = 1) -> npt.NDArray[np.uint32]:
        """`count` raw words from word `start` on, as uint32, of shape ``(count,)``.

        Word w is word w & 3 of Philox block w >> 2.  Any block can be had alone.

        >>> import fastinit as fi
        >>> fi.stream(seed=0, name="w").words(start=2**40, count=3)
        array([3403124851, 3927759333, 1718236688], dtype=uint32)
        """
        start = check_integer("start", start, 2**64)
        count = check_integer("count", count, 2**63)
        if start + count > 2**64:
            raise ValueError(f"words {start} to {start + count} exceed the stream's 2**64")
        backend = active()
        out = np.empty(count, np.uint32)
        backend.words(out, start, self)
        return out


def stream(seed: SupportsIndex, name: str) -> WordStream:
    """The stream of the tensor `name` under `seed`.

    Args:
        seed: 0 <= seed < 2**64.
        name: any text that has a UTF-8 form.

    Returns:
        A stream; its method `words` gives its raw words.

    Raises:
        ValueError: the seed is out of range, or the name holds a lone surrogate.
        TypeError: the seed is not an integer, or the name is not a string.

    >>> hex(stream(seed=0, name="wte.weight").subsequence)
    '0xcd775d0220b71919'
    """
    found = checked(seed, name)
    return WordStream(found.seed, found.name)


def philox4x32(
    counter: tuple[int, int, int, int], key: tuple[int, int]
) -> tuple[int, int, int, int]:
    """One block of Philox4x32-10: four words from four counter words and two key words.

    Args:
        counter: four integers, 0 <= c < 2**32, lowest first.
        key: two integers, 0 <= k < 2**32, lowest first.

    Returns:
        Four integers below 2**32.

    Raises:
        TypeError: a word is not an integer.
        ValueError: a word is out of range, or there are not four and two of them.

    Source:
        Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC '11,
        doi:10.1145/2063384.2063405.  The same as Random123's philox4x32_R(10, ...), JAX's
        ``impl="philox4x32"`` and cuRAND's; NumPy's Philox is another, the 4x64 kind.

    >>> [hex(word) for word in philox4x32(counter=(0, 0, 0, 0), key=(0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    if len(counter) != 4 or len(key) != 2:
        raise ValueError(
            f"counter has {len(counter)} and key {len(key)} words: Philox4x32 takes 4 and 2"
        )
    words = [check_integer("counter", word, 2**32) for word in counter]
    words += [check_integer("key", word, 2**32) for word in key]
    return active().philox4x32(words)
