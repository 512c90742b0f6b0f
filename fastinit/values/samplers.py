# SPDX-License-Identifier: MIT
"""Samplers: each draws any elements of one tensor.  Nothing here cuts a fill or starts a thread.

The chunks of a fill and the tasks of a write or a verification all end in `draw` or `draw_rows`.
"""

from __future__ import annotations

import operator
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from fastinit.machine.floats import default_floats
from fastinit.numerics.dtypes import DType
from fastinit.values.numbers import Numbers
from fastinit.values.rows import Bytes as Bytes
from fastinit.values.rows import table
from fastinit.values.stream import Stream

Range = tuple[npt.NDArray[Any], npt.NDArray[Any]]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[Any]  # unsigned integers of the elements' size


class Generator(Protocol):
    """The part of a backend (backends/base.py) that generates words and independent values."""

    def __hash__(self) -> int:
        """Caches use it as a key."""

    def samplers(self, numbers: Numbers, dtype: DType) -> Callable[[Stream], Sampler]:
        """A function from a stream to its sampler; each element comes from a separate word."""

    def words(self, out: npt.NDArray[np.uint32], start: int, stream: Stream) -> None:
        """Fill `out` with the raw words of a stream from word `start` on."""


@dataclass(frozen=True, slots=True)
class SamplerRows:
    """Rows of `count` elements that one sampler draws.

    They begin `start_step` elements apart, the first with element `start`.
    """

    sampler: Sampler
    start: int
    start_step: int
    rows: int
    count: int


class Sampler(ABC):
    """Draws any elements of one tensor; many threads may draw at once."""

    dtype: DType
    numbers: Numbers | None = None
    stream: Stream | None = None
    """Of independent elements, one word each: what a device needs to draw them; None of others."""
    tolerance: float = 0.0
    """Largest difference from the values of another machine, before rounding to the dtype.

    Zero means the same bits everywhere.  Values that linear algebra computes are equal only up to
    rounding; their tolerance is at least the smallest denormal of `dtype`.  Where `between` is
    overridden, as for custom distributions, the tolerance is a share of each value.
    """

    @property
    def chunk(self) -> int:
        """How many elements a thread should draw at a time: as float32 they fit the L2 cache."""
        return 2**18

    def split(self, start: int, count: int) -> Iterator[SamplerRows]:
        """Which samplers draw the `count` elements from `start` on, each of them once.

        Samplers that only pass elements on to others override this.
        """
        yield SamplerRows(self, start, count, 1, count)

    @abstractmethod
    def draw(self, out: Bytes, start: int) -> None:
        """Fill the bytes `out` with the elements from `start` on, in row-major order."""

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """The least and the greatest values that another machine may draw for some elements.

        The elements are the `count` from `start` on.  Both bounds are computed in `self.dtype`,
        which is at least as wide as `dtype`, and rounded to `dtype`.  Where they have the same
        bits, as around a placed matrix, the value must have these bits too.
        """
        values = np.empty(count, self.dtype.numpy)
        self.draw(values.view(np.uint8), start)
        margin = values.dtype.type(self.tolerance)
        return dtype.cast(values - margin), dtype.cast(values + margin)

    def possible(self, values: npt.NDArray[Any], start: int, dtype: DType) -> Bools:
        """Which of `values`, elements of `dtype` from `start` on, some machine may have drawn."""
        least, most = self.between(start, values.size, dtype)
        number = values.astype(np.float64)
        near: Bools = (number >= least.astype(np.float64)) & (number <= most.astype(np.float64))
        exact: Bools = least.view(dtype.words) == most.view(dtype.words)
        same: Bools = values.view(dtype.words) == least.view(dtype.words)
        return near & (same | ~exact)

    def draw_array(self, out: Words, start: int, steps: Sequence[int]) -> None:
        """Fill an array of any strides with the elements ``start + sum(index * steps)``.

        Args:
            out: words of the dtype's size; the array has one axis or more.
            start: the number of the first element.
            steps: what is added to the number from one element to the next, along each axis; >= 0.
        """
        if steps[-1] != 1 or out.strides[-1] != out.itemsize:
            out, steps = out[..., np.newaxis], (*steps, 1)
        if out.ndim == 1:
            self.draw(out.view(np.uint8), start)
            return
        longest = max(range(out.ndim - 1), key=out.shape.__getitem__)  # for the fewest calls
        *others, step = (*steps[:longest], *steps[longest + 1 : -1], steps[longest])
        out = np.moveaxis(out, longest, -2)
        for index in np.ndindex(out.shape[:-2]):
            first = start + sum(map(operator.mul, index, others))
            self._draw_plane(out[index], first, step)

    def _draw_plane(self, out: Words, start: int, step: int) -> None:
        """Draw rows of consecutive elements that lie side by side; the rows lie in any order."""
        rows, count = out.shape
        size = count * out.itemsize
        if out.strides[0] < size:  # the rows run backwards
            apart = np.empty(out.shape, out.dtype)
            self._draw_plane(apart, start, step)
            out[...] = apart
            return
        memory = as_strided(out[0].view(np.uint8), ((rows - 1) * out.strides[0] + size,), (1,))
        self.draw_rows(memory, start, step, rows, count, out.strides[0])

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Fill rows of `count` elements that begin `out_step` bytes and `start_step` numbers apart.

        `start` is the number of the first element of the first row.
        """
        if rows > count:
            self._draw_short_rows(out, start, start_step, rows, count, out_step)
        else:
            self._draw_row_by_row(out, start, start_step, rows, count, out_step)

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Draw more rows than a row has elements.

        Samplers for which a call per row is expensive override this to draw all rows together.
        """
        self._draw_row_by_row(out, start, start_step, rows, count, out_step)

    def _draw_row_by_row(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        size = count * self.dtype.size
        for row in range(rows):
            place = row * out_step
            self.draw(out[place : place + size], start + row * start_step)


class LazySampler(Sampler):
    """A sampler that is made once, at the first draw, by whichever thread comes first."""

    def __init__(self, dtype: DType, make: Callable[[], Sampler], tolerance: float = 0.0) -> None:
        self.dtype = dtype
        self.tolerance = tolerance
        self._make = make
        self._made: Sampler | None = None
        self._lock = threading.Lock()

    def draw(self, out: Bytes, start: int) -> None:
        """Make the sampler if it does not exist yet, and draw."""
        if len(out):
            self._ready().draw(out, start)

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Make the sampler if it does not exist yet, and draw."""
        if rows and count:
            self._ready().draw_rows(out, start, start_step, rows, count, out_step)

    def _ready(self) -> Sampler:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = default_floats(self._make)()
        return self._made


@dataclass(slots=True, eq=False, repr=False)
class ArraySampler(Sampler):
    """A sampler of elements that already exist, in a flat array of the dtype."""

    dtype: DType
    flat: npt.NDArray[Any]

    def draw(self, out: Bytes, start: int) -> None:
        """Copy the elements."""
        words = np.frombuffer(out, self.dtype.words)
        words[:] = self.flat.view(self.dtype.words)[start : start + words.size]

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Copy the elements of all rows together."""
        flat = self.flat.view(np.uint8)[start * self.dtype.size :]
        step = start_step * self.dtype.size
        words = table(out, self.dtype, rows, count, out_step)
        words[:] = table(flat, self.dtype, rows, count, step)
