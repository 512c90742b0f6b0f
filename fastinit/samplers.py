# SPDX-License-Identifier: MIT
"""Samplers: one tensor's values, to be drawn from anywhere in it.  Nothing here knows of arrays.

Chunks of a fill, tasks of a checkpoint and of its verification all end in `draw` or `draw_rows`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit import _native
from fastinit.dtypes import DType
from fastinit.floats import default_floats
from fastinit.rows import Bytes as Bytes
from fastinit.rows import table


class Sampler(ABC):
    """One tensor's values, ready to be drawn from anywhere in it, by many threads at once."""

    dtype: DType
    tolerance: float = 0.0
    """How far another machine's values may lie from these, before they are rounded to the dtype.

    Zero means the same bits everywhere; what linear algebra makes is equal to rounding only.
    """

    @property
    def chunk(self) -> int:
        """How many elements a thread should draw at a time: as float32 they fit the L2 cache."""
        return 2**18

    @abstractmethod
    def draw(self, out: Bytes, start: int) -> None:
        """Fill the bytes `out` with the elements from `start` on, in row-major order."""

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Fill rows of `count` elements: one every `out_step` bytes, `start_step` elements on."""
        if rows > count:
            self._draw_short_rows(out, start, start_step, rows, count, out_step)
        else:
            self._draw_row_by_row(out, start, start_step, rows, count, out_step)

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """More rows than a row has elements; where a call for each costs much, all together."""
        self._draw_row_by_row(out, start, start_step, rows, count, out_step)

    def _draw_row_by_row(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        size = count * self.dtype.size
        for row in range(rows):
            place = row * out_step
            self.draw(out[place : place + size], start + row * start_step)


@dataclass(slots=True, eq=False)
class WordSampler(Sampler):
    """Elements that each come from their own word: the kernels draw them."""

    dtype: DType
    spec: _native.Spec

    @property
    def chunk(self) -> int:
        """4 MiB of them: two huge pages, which threads then seldom share."""
        return 2**22 // self.dtype.size

    def draw(self, out: Bytes, start: int) -> None:
        """One call, without the GIL."""
        _native.fill(out, self.spec, start)

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """One call, without the GIL."""
        _native.fill_rows(out, self.spec, start, start_step, rows, count, out_step)


class ConstantSampler(WordSampler):
    """One value everywhere."""

    @property
    def chunk(self) -> int:
        """256 MiB of them: past the caches memset is faster, if it is told of enough at once."""
        return 2**28 // self.dtype.size


class LazySampler(Sampler):
    """A sampler made at the first draw, once, by whichever thread comes first."""

    def __init__(self, dtype: DType, make: Callable[[], Sampler], tolerance: float = 0.0) -> None:
        self.dtype = dtype
        self.tolerance = tolerance
        self._make = make
        self._made: Sampler | None = None
        self._lock = threading.Lock()

    def draw(self, out: Bytes, start: int) -> None:
        """Make it if need be, and draw."""
        if len(out):
            self._ready().draw(out, start)

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Make it if need be, and draw."""
        if rows and count:
            self._ready().draw_rows(out, start, start_step, rows, count, out_step)

    def _ready(self) -> Sampler:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = default_floats(self._make)()
        return self._made


@dataclass(frozen=True, slots=True)
class ArraySampler(Sampler):
    """Elements that are there already, in a flat array of the dtype."""

    dtype: DType
    flat: npt.NDArray[Any]

    def draw(self, out: Bytes, start: int) -> None:
        """Copy them."""
        words = np.frombuffer(out, self.dtype.words)
        words[:] = self.flat.view(self.dtype.words)[start : start + words.size]

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Copy them, all rows together."""
        flat = self.flat.view(np.uint8)[start * self.dtype.size :]
        step = start_step * self.dtype.size
        words = table(out, self.dtype, rows, count, out_step)
        words[:] = table(flat, self.dtype, rows, count, step)
