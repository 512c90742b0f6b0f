# SPDX-License-Identifier: MIT
"""Orders in which words of fastinit are read: of one tensor, of many in turn, across a matrix.

A generator is only as good as its worst order.  Each order is a function from a number to that
piece of an endless sequence of words, so that pieces can be made anywhere.  What is done with the
words is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

import fastinit as fi
from fastinit.backends.selection import active
from fastinit.values.draws import stream_of
from fastinit.values.stream import Stream

Words = npt.NDArray[np.uint32]
Order = Callable[[int], Words]

PIECE = 2**20
"""Words in a piece; those of a hundred streams in turn have 10**6."""

STREAMS = 100
TURN = 10_000  # words of each stream in a piece
ROWS, COLUMNS = 4096, 2**40  # of the matrix that is read column by column
DRAWS = 8  # a tensor's own words, and seven derived draws
SEED = 2026


def words_of(stream: Stream, start: int, size: int) -> Words:
    """`size` words of a stream, a derived one too, from word `start` on."""
    out = np.empty(size, np.uint32)
    active().words(out, start, stream)
    return out


def in_turn(streams: Iterable[Stream], piece: int, each: int, run: int = 1) -> Words:
    """`run` words of each stream in turn, `each` words of each in a piece."""
    rows = np.stack([words_of(stream, piece * each, each) for stream in streams])
    return rows.reshape(len(rows), -1, run).transpose(1, 0, 2).reshape(-1)


def one_tensor(piece: int) -> Words:
    """The words of one tensor, one after the other."""
    return words_of(fi.stream(SEED, "w"), piece * PIECE, PIECE)


def tensors(piece: int) -> Words:
    """One word of each of 100 tensors in turn."""
    return in_turn((fi.stream(SEED, f"layer.{i}") for i in range(STREAMS)), piece, TURN)


def seeds(piece: int) -> Words:
    """One word of each of 100 consecutive seeds in turn, all of one tensor."""
    return in_turn((fi.stream(i, "w") for i in range(STREAMS)), piece, TURN)


def blocks(piece: int) -> Words:
    """One block, four words, of each of 100 consecutive seeds in turn."""
    return in_turn((fi.stream(i, "w") for i in range(STREAMS)), piece, TURN, run=4)


def transposed(piece: int) -> Words:
    """The columns of a matrix of 4096 rows and 2**40 columns, one after the other."""
    stream, wide = fi.stream(SEED, "w"), PIECE // ROWS
    rows = [words_of(stream, row * COLUMNS + piece * wide, wide) for row in range(ROWS)]
    return np.stack(rows).T.reshape(-1)


def normals(piece: int) -> Words:
    """Float32 normals mapped back to words: the top 16 bits of Phi(z), two values to a word.

    Bits below the 16th would show the grid of float32 and not the stream: Phi(z) has steps of up to
    2**-24 near the mean, where 128 words share a value.
    """
    z = np.empty(2 * PIECE, np.float32)
    region = range(piece * z.size, (piece + 1) * z.size)
    fi.fill(z, fi.normal(), seed=SEED, name="w", shape=(2**62,), region=region, threads=1)
    # |z| <= 6.34, so Phi(z) is below 1 - 2**-34 and no product rounds to 2**16.
    return (ndtr(z.astype(np.float64)) * 2.0**16).astype(np.uint16).view(np.uint32)


def derived(piece: int) -> Words:
    """One word of each of 8 draws in turn: the tensor's own and seven derived."""
    own = fi.stream(SEED, "w")
    return in_turn((stream_of(own, draw) for draw in range(DRAWS)), piece, PIECE // DRAWS)


ORDERS: dict[str, Order] = {
    "one tensor": one_tensor,
    "100 tensors in turn": tensors,
    "100 seeds in turn": seeds,
    "100 seeds, blocks in turn": blocks,
    "a matrix, transposed": transposed,
    "normals mapped back": normals,
    "draws in turn": derived,
}
"""By the name that tables show."""


def pieces(order: Order, start: int = 0) -> Iterator[Words]:
    """The pieces of an order, without end."""
    return map(order, count(start))
