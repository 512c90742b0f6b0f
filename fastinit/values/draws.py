# SPDX-License-Identifier: MIT
"""The draws that custom distributions are functions of, a tile at a time.

docs/stream.md, section 21, defines every bit.  What is made of the draws is in custom.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastinit.numerics.dtypes import DTYPES, DType
from fastinit.properties import cached_property
from fastinit.values.distributions import Normal, Uniform
from fastinit.values.samplers import Generator, Sampler
from fastinit.values.stream import Stream

DrawArray = npt.NDArray[Any]

DRAW_KINDS = {
    "z": "a standard normal",
    "s": "a uniform number in (-1, 1), an odd multiple of 2**-24, in float64 of 2**-53",
    "u": "a uniform number in (0, 1), in float64",
    "w": "the raw word, 32 bits, or 64 for float64 tensors",
}
"""Every kind of draw, by the letter that parameters begin with."""

BASES = {"z": Normal(1.0, 0.0), "s": Uniform(-1.0, 1.0)}
"""The distributions of the draws that are drawn as values."""


@dataclass(frozen=True)
class DerivedStream(Stream):
    """The stream of draw `draw` of a tensor's elements, for draws from 1 on."""

    draw: int

    @cached_property
    def subsequence(self) -> int:
        """As a name's, but with the draw as BLAKE2b's personalisation."""
        person = f"fi draw {self.draw}".encode()
        digest = blake2b(self.name.encode(), digest_size=8, person=person)
        return int.from_bytes(digest.digest(), "little")


def stream_of(stream: Stream, draw: int) -> Stream:
    """Where the words of a draw come from: for draw 0, the tensor's own stream."""
    return DerivedStream(stream.seed, stream.name, draw) if draw else stream


def type_of(kind: str, width: DType) -> np.dtype[Any]:
    """The NumPy type of a draw's tile; `width` is float32 or float64."""
    if kind == "w":
        return width.words
    return np.dtype(np.float64) if kind == "u" else width.numpy


class DrawSource(Protocol):
    """Makes one draw of any elements of a tensor."""

    def fill(self, out: DrawArray, start: int) -> None:
        """Fill `out`, of one axis, with the draws of the elements from `start` on."""

    def fill_rows(self, out: DrawArray, start: int, step: int) -> None:
        """Fill the rows of `out`, of two axes, which are contiguous and `step` elements apart."""


@dataclass(slots=True, eq=False)
class _Values:
    """Standard normals and signed uniforms, by the sampler of a backend."""

    sampler: Sampler

    def fill(self, out: DrawArray, start: int) -> None:
        self.sampler.draw(out.view(np.uint8), start)

    def fill_rows(self, out: DrawArray, start: int, step: int) -> None:
        rows, count = out.shape
        memory = out.reshape(-1).view(np.uint8)
        self.sampler.draw_rows(memory, start, step, rows, count, count * out.itemsize)


MOST_SPANNED = 16
"""Elements drawn for one that is needed, up to which a run is faster than a call for each row."""

NEAREST_TO_ONE = 1.0 - 2.0**-53
"""What a uniform number of 64 bits is where it would be rounded to 1."""


@dataclass(slots=True, eq=False)
class _Words:
    """Raw words, and uniform numbers made of them."""

    generator: Generator
    stream: Stream
    wide: bool
    uniform: bool

    def fill(self, out: DrawArray, start: int) -> None:
        each = 1 + self.wide
        if not self.uniform:
            self.generator.words(out.view(np.uint32), start * each, self.stream)
            return
        words = np.empty(out.size * each, np.uint32)
        self.generator.words(words, start * each, self.stream)
        self._put(out, words.view(np.uint64) if self.wide else words)

    def fill_rows(self, out: DrawArray, start: int, step: int) -> None:
        """Near rows as parts of one run, far ones each by a call; all are converted together."""
        rows, count = out.shape
        each = 1 + self.wide
        if rows and (rows - 1) * step + count <= MOST_SPANNED * out.size:
            run = np.empty(((rows - 1) * step + count) * each, np.uint32)
            self.generator.words(run, start * each, self.stream)
            wide = run.view(np.uint64) if self.wide else run
            self._put(out, wide[np.arange(rows)[:, np.newaxis] * step + np.arange(count)])
            return
        words = np.empty((rows, count * each), np.uint32)
        for row in range(rows):
            self.generator.words(words[row], (start + row * step) * each, self.stream)
        self._put(out, words.view(np.uint64) if self.wide else words)

    def _put(self, out: DrawArray, words: DrawArray) -> None:
        if not self.uniform:
            out[...] = words
            return
        np.add(words, 0.5, out=out, dtype=np.float64)
        out *= 2.0**-64 if self.wide else 2.0**-32
        if self.wide:
            np.minimum(out, NEAREST_TO_ONE, out=out)


def sources(
    kinds: tuple[str, ...], width: DType, generator: Generator
) -> Callable[[Stream], tuple[DrawSource, ...]]:
    """What makes the sources of all draws for the tensor of a stream."""
    bases = {kind: BASES[kind].samplers(width, generator) for kind in {*kinds} & BASES.keys()}
    wide = width == DTYPES["float64"]

    def source(stream: Stream, draw: int, kind: str) -> DrawSource:
        own = stream_of(stream, draw)
        if kind in bases:
            return _Values(bases[kind](own))
        return _Words(generator, own, wide, kind == "u")

    return lambda stream: tuple(source(stream, *row) for row in enumerate(kinds))
