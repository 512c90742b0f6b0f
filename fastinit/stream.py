# SPDX-License-Identifier: MIT
"""Streams: a seed and a name, and the words they stand for.  No distributions here.

docs/stream.md defines every bit.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from hashlib import blake2b
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from fastinit import _native, instruction_sets

VERSION = 1
"""The version of the stream: what a recipe records, and what never changes once released."""


def check_integer(what: str, value: SupportsIndex, below: int) -> int:
    """`value` as an int, 0 <= value < `below`; the error names `what`."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} is {value!r}: need an integer")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is {value!r}: need an integer") from None
    if not 0 <= number < below:
        raise ValueError(f"{what} is {number}: need 0 <= {what} < 2**{below.bit_length() - 1}")
    return number


def check_seed(seed: SupportsIndex) -> int:
    """`seed` as an int, 0 <= seed < 2**64."""
    return check_integer("seed", seed, 2**64)


def subsequence(name: str) -> int:
    """Counter words 2 and 3 of the tensor `name`, the lower word in the lower half.

    The first 8 bytes, little-endian, of BLAKE2b(name in UTF-8, digest_size=8) (RFC 7693).
    """
    return int.from_bytes(blake2b(_utf8(name), digest_size=8).digest(), "little")


def _utf8(name: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"name is {name!r}: need a string, such as 'h.0.attn.c_attn.weight'")
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"name {name!r} holds a lone surrogate: it has no UTF-8 form") from None


@dataclass(frozen=True)
class Stream:
    """The words of one tensor: Philox4x32-10 under the key `seed`, at the place of `name`."""

    seed: int
    name: str

    @property
    def subsequence(self) -> int:
        """Counter words 2 and 3: cuRAND's subsequence number."""
        return subsequence(self.name)

    def words(self, start: SupportsIndex = 0, count: SupportsIndex = 1) -> npt.NDArray[np.uint32]:
        """`count` raw words from word `start` on, as uint32, of shape ``(count,)``.

        Word w is word w & 3 of Philox block w >> 2.  Any block can be had alone.

        >>> import fastinit as fi
        >>> fi.stream(seed=0, name="w").words(start=2**40, count=3)
        array([3403124851, 3927759333, 1718236688], dtype=uint32)
        """
        instruction_sets.check()
        start = check_integer("start", start, 2**64)
        count = check_integer("count", count, 2**63)
        if start + count > 2**64:
            raise ValueError(f"words {start} to {start + count} leave the stream, which has 2**64")
        out = np.empty(count, np.uint32)
        _native.words(out, start, self.seed, self.subsequence)
        return out


def stream(seed: SupportsIndex, name: str) -> Stream:
    """The stream of the tensor `name` under `seed`.

    Args:
        seed: 0 <= seed < 2**64.
        name: any text that has a UTF-8 form.

    Returns:
        A `Stream`; `words` gives its raw words.

    Raises:
        ValueError: the seed is out of range, or the name holds a lone surrogate.
        TypeError: the seed is no integer, or the name no text.

    >>> hex(stream(seed=0, name="wte.weight").subsequence)
    '0xcd775d0220b71919'
    """
    found = Stream(check_seed(seed), name)
    _utf8(name)  # raises now rather than at the first draw
    return found


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
        ValueError: a word out of range, or not four and two of them.

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
    return _native.philox4x32(*words)
