# SPDX-License-Identifier: MIT
"""Digests of values in a file, which parts of the file add up to.  Reads no file.

For each page of 4 KiB, s is the sum of its 64-bit little-endian words, modulo 2^64; the last page
is filled up with zeros.  With `mix` as below, the digest of pages p, q, ... consists of the sums
of mix(s + mix(2 p + 2)) and of mix(s + mix(2 p + 1)), modulo 2^64, in hexadecimal.  So it does not
depend on the order of the pages, or on who computed which: every engine gives the same.

It finds what a broken machine or another version makes of values.  Whoever wants to deceive can.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

DIGEST_PAGE = 4096
"""Bytes of a page."""

_WORDS = DIGEST_PAGE // 8
_MASK = 2**64 - 1
_MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_SHIFTS = 30, 27, 31

Sums = npt.NDArray[np.uint64]
_Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def mix(words: Sums) -> Sums:
    """A permutation of the 64-bit words that spreads every bit: Stafford's variant 13, 2011."""
    first, second, last = map(np.uint64, _SHIFTS)
    words = (words ^ (words >> first)) * np.uint64(_MULTIPLIERS[0])
    words = (words ^ (words >> second)) * np.uint64(_MULTIPLIERS[1])
    return words ^ (words >> last)


class Digest:
    """The digest of bytes that any thread adds, in any order, each at its place among the values.

    >>> Digest().text()
    '00000000000000000000000000000000'
    """

    def __init__(self) -> None:
        self._low = self._high = 0  # of what was merged
        self._pages: list[tuple[int, Sums]] = []  # first page, sums; mixed together, which is fast
        self._parts: defaultdict[int, int] = defaultdict(int)  # page -> sum of what is there
        self._lock = threading.Lock()

    def add(self, data: _Bytes, offset: int) -> None:
        """Add bytes that lie at `offset`; parts of a page may be added one by one."""
        end = offset + data.size
        first = min(offset + -offset % DIGEST_PAGE, end)
        last = max(end - end % DIGEST_PAGE, offset)
        if first < last:
            words = data[first - offset : last - offset].view("<u8").reshape(-1, _WORDS)
            sums = np.add.reduce(words, axis=1, dtype=np.uint64)
            self._pages.append((first // DIGEST_PAGE, sums))
        self._add_part(data[: first - offset], offset)
        if first <= last:
            self._add_part(data[last - offset :], last)

    def _add_part(self, data: _Bytes, offset: int) -> None:
        """Add bytes of one page."""
        if data.size:
            page, place = divmod(offset, DIGEST_PAGE)
            whole = np.zeros(DIGEST_PAGE, np.uint8)
            whole[place : place + data.size] = data
            total = int(np.add.reduce(whole.view("<u8"), dtype=np.uint64))
            with self._lock:
                self._parts[page] = (self._parts[page] + total) & _MASK

    def merge(self, text: str) -> None:
        """Add the bytes whose digest is `text`: whole pages, or the end."""
        self._high = (self._high + int(text[:16], 16)) & _MASK
        self._low = (self._low + int(text[16:], 16)) & _MASK

    def text(self) -> str:
        """32 hexadecimal digits."""
        pages = [np.arange(first, first + len(sums)) for first, sums in self._pages]
        numbers = np.concatenate([*pages, np.array(list(self._parts), np.int64)]).astype(np.uint64)
        parts = np.array(list(self._parts.values()), np.uint64)
        sums = np.concatenate([*(sums for _, sums in self._pages), parts])
        low = np.add.reduce(mix(sums + mix(np.uint64(2) * numbers + np.uint64(1))))
        high = np.add.reduce(mix(sums + mix(np.uint64(2) * numbers + np.uint64(2))))
        return f"{(self._high + int(high)) & _MASK:016x}{(self._low + int(low)) & _MASK:016x}"


def digest_of(data: _Bytes, offset: int) -> str:
    """The digest of bytes alone, at `offset`."""
    digest = Digest()
    digest.add(data, offset)
    return digest.text()
