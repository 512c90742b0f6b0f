# SPDX-License-Identifier: MIT
"""Streams: a seed and a name.  What their words are is for backends, what they mean for others.

docs/stream.md defines every bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import SupportsIndex

from fastinit.numerics.checks import check_integer
from fastinit.properties import cached_property
from fastinit.texts import quoted

VERSION = 1
"""The version of the stream: what a recipe records, and what never changes once released."""


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
        raise TypeError(f"name is {quoted(name)}: need a string, such as 'h.0.attn.c_attn.weight'")
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"name {name!r} holds a lone surrogate: it has no UTF-8 form") from None


@dataclass(frozen=True)
class Stream:
    """The words of one tensor: Philox4x32-10 under the key `seed`, at the place of `name`."""

    seed: int
    name: str

    @cached_property
    def subsequence(self) -> int:
        """Counter words 2 and 3: cuRAND's subsequence number."""
        return subsequence(self.name)


def checked(seed: SupportsIndex, name: str) -> Stream:
    """The stream of the tensor `name` under `seed`, once both are found to be valid.

    Raises:
        ValueError: the seed is out of range, or the name holds a lone surrogate.
        TypeError: the seed is not an integer, or the name not a text.
    """
    found = Stream(check_seed(seed), name)
    _utf8(name)  # raises now rather than at the first draw
    return found
