# SPDX-License-Identifier: MIT
"""Cuts the tensors of a file into the chunks that threads write, compare or measure.

What a tensor is, and in which file it lies, is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

CHUNK = 2**20  # bytes of a chunk: it fits the L2 cache, from which it is copied
PIECES = 2**10  # tensors in a chunk at most: a few ms of work, however small they are
T = TypeVar("T")


class Span(NamedTuple):
    """Bytes of the values of a file, from `begin` to before `end`."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        """How many."""
        return self.end - self.begin

    def within(self, outer: Span) -> Span:
        """What of it lies in another one; empty if nothing does."""
        begin = max(self.begin, outer.begin)
        return Span(begin, max(begin, min(self.end, outer.end)))


class Run(NamedTuple, Generic[T]):
    """Bytes of a tensor, from byte `start` of it, whose elements have `item_size` bytes."""

    tensor: T
    start: int
    size: int
    item_size: int


class Piece(NamedTuple, Generic[T]):
    """`size` bytes of a tensor, from byte `start` of it."""

    tensor: T
    start: int
    size: int


def wanted_of(runs: Iterable[Run[T]], wanted: Span) -> Iterator[Run[T]]:
    """What of runs that lie one behind the other is in a span, which counts from the first one."""
    begin = 0
    for tensor, start, size, item_size in runs:
        part = Span(begin, begin + size).within(wanted)
        if part.size:
            yield Run(tensor, start + part.begin - begin, part.size, item_size)
        begin += size


def chunks(runs: Iterable[Run[T] | None], limit: int, count: int) -> Iterator[list[Piece[T]]]:
    """Cut tensors that lie one behind the other into chunks of at most `limit` bytes.

    A tensor of wide elements behind one of narrow elements begins a new chunk, so within a chunk
    every tensor is aligned to its element size.  Files that fastinit lays out need no such break.

    Args:
        runs: of each tensor; None where something else lies in between, behind which a new chunk
            begins.
        limit: a multiple of every element size.
        count: pieces in a chunk at most.

    Returns:
        The pieces of each chunk.
    """
    pieces: list[Piece[T]] = []
    filled = 0
    for described in runs:
        if pieces and (described is None or filled % described.item_size):
            yield pieces
            pieces, filled = [], 0
        if described is None:
            continue
        tensor, start, size, _ = described
        done = 0
        while done < size:
            part = min(limit - filled, size - done)
            pieces.append(Piece(tensor, start + done, part))
            filled, done = filled + part, done + part
            if filled == limit or len(pieces) == count:
                yield pieces
                pieces, filled = [], 0
    if pieces:
        yield pieces


def whole_chunks(
    tensors: Iterable[tuple[T, int]], limit: int, count: int
) -> Iterator[list[Piece[T]]]:
    """Cut each tensor at multiples of `limit` bytes from its own start, whatever lies beside it.

    Args:
        tensors: (tensor, its bytes) for each.
        limit: a multiple of every element size.
        count: pieces in a chunk at most.

    Returns:
        The pieces of each chunk, of at most `limit` bytes in all; an empty tensor has none.
    """
    pieces: list[Piece[T]] = []
    filled = 0
    for tensor, size in tensors:
        for start in range(0, size, limit):
            part = min(limit, size - start)
            if filled + part > limit or len(pieces) == count:
                yield pieces
                pieces, filled = [], 0
            pieces.append(Piece(tensor, start, part))
            filled += part
    if pieces:
        yield pieces
