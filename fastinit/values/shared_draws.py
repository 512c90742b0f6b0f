# SPDX-License-Identifier: MIT
"""Draws that all elements of a block share, and custom distributions that take some.

A block is a box of the last two axes.  The draw of a block is that of an element of the grid of
blocks, so any part of a tensor can be made alone; docs/stream.md, section 21.5, defines it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.numerics.dtypes import DType
from fastinit.values.custom import Custom
from fastinit.values.distributions import Distribution
from fastinit.values.draws import DrawArray, DrawSource
from fastinit.values.samplers import Generator, Sampler
from fastinit.values.stream import Stream

Indices = npt.NDArray[np.int64]

LONG_ROW = 2**11
"""Columns from which rows are drawn one by one; shorter ones are drawn together."""

SPARSEST = 4
"""How many blocks are drawn at most for one element of a region, where they are not neighbours."""


@dataclass(frozen=True)
class BlockGrid:
    """The blocks of a tensor: `rows` x `columns` matrices cut into blocks, the last ones smaller.

    The blocks are numbered row by row, matrix after matrix.
    """

    rows: int
    columns: int
    block_rows: int
    block_columns: int

    @property
    def down(self) -> int:
        """Blocks in a column of blocks of one matrix."""
        return -(-self.rows // self.block_rows)

    @property
    def across(self) -> int:
        """Blocks in a row of blocks."""
        return -(-self.columns // self.block_columns)

    def band(self, row: int) -> int:
        """Which row of blocks, counted over all matrices, has a row of the tensor."""
        matrix, inside = divmod(row, self.rows)
        return matrix * self.down + inside // self.block_rows

    def bands(self, rows: Indices) -> Indices:
        """The same for many rows."""
        matrix, inside = np.divmod(rows, self.rows)
        found: Indices = matrix * self.down + inside // self.block_rows
        return found

    def blocks(self, elements: Indices) -> Indices:
        """The numbers of the blocks of elements."""
        row, column = np.divmod(elements, self.columns)
        found: Indices = self.bands(row) * self.across + column // self.block_columns
        return found


def grid_of(shape: tuple[int, ...], block_rows: int, block_columns: int) -> BlockGrid:
    """The grid of a shape; axes that it lacks count as 1.

    A block that is larger than a matrix is one of its size, or it would be made whole.
    """
    rows, columns = (max(size, 1) for size in (1, 1, *shape)[-2:])
    return BlockGrid(rows, columns, min(block_rows, rows), min(block_columns, columns))


@dataclass(slots=True, eq=False)
class SharedSource:
    """The draw of an element is that of its block."""

    inner: DrawSource
    grid: BlockGrid

    def fill(self, out: DrawArray, start: int) -> None:
        """Fill `out` with the draws of the elements from `start` on."""
        if self.grid.columns < LONG_ROW:
            self._fill_short(out, start)
        else:
            self._fill_long(out, start)

    def _fill_short(self, out: DrawArray, start: int) -> None:
        """Whole rows together, of which `out` is cut."""
        grid, (row, column) = self.grid, divmod(start, self.grid.columns)
        rows = np.arange(row, row + -(-(column + out.size) // grid.columns))
        bands = grid.bands(rows)
        first = int(bands[0])
        blocks = np.empty((int(bands[-1]) - first + 1, grid.across), out.dtype)
        self.inner.fill(blocks.reshape(-1), first * grid.across)
        wide = np.repeat(blocks, grid.block_columns, axis=1)[:, : grid.columns]
        out[...] = wide.take(bands - first, axis=0).reshape(-1)[column:][: out.size]

    def _fill_long(self, out: DrawArray, start: int) -> None:
        """Row by row; the rows of one band are alike."""
        grid, done = self.grid, 0
        known: tuple[int, ...] = ()
        while done < out.size:
            row, column = divmod(start + done, grid.columns)
            part = out[done : done + grid.columns - column]
            if known != (wanted := (grid.band(row), column, part.size)):
                wide, known = self._part(*wanted, out.dtype), wanted
            part[...] = wide
            done += part.size

    def _part(self, band: int, column: int, count: int, kind: np.dtype[Any]) -> DrawArray:
        """The draws of `count` columns, of blocks that may be much wider."""
        width, end = self.grid.block_columns, column + count
        first, last = column // width, (end - 1) // width
        blocks = np.empty(last - first + 1, kind)
        self.inner.fill(blocks, band * self.grid.across + first)
        if width <= LONG_ROW:  # one size for all is several times faster
            return np.repeat(blocks, width)[column - first * width :][:count]
        edges = np.clip(np.arange(first, last + 2) * width, column, end)
        return np.repeat(blocks, np.diff(edges))

    def fill_rows(self, out: DrawArray, start: int, step: int) -> None:
        """Fill the rows of `out`, which are `step` elements apart."""
        rows, count = out.shape
        elements = start + np.arange(rows)[:, np.newaxis] * step + np.arange(count)
        numbers = self.grid.blocks(elements)
        first = int(numbers.min())
        span = int(numbers.max()) - first + 1
        if span > SPARSEST * out.size:
            for row in range(rows):
                self.fill(out[row], start + row * step)
            return
        blocks = np.empty(span, out.dtype)
        self.inner.fill(blocks, first)
        out[...] = blocks[numbers - first]


@dataclass(frozen=True)
class SharedCustom(Distribution):
    """A custom distribution some of whose draws are shared by the elements of blocks."""

    law: Custom
    grid: BlockGrid

    def _moments(self) -> tuple[float, float]:
        return self.law.mean, self.law.std

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values."""
        return self.samplers(dtype, generator)(stream)

    def samplers(self, dtype: DType, generator: Generator) -> Callable[[Stream], Sampler]:
        """The same for many streams."""
        shared = set(self.law.function.shared)

        def placed(draw: str, source: DrawSource) -> DrawSource:
            return SharedSource(source, self.grid) if draw in shared else source

        return self.law.samplers_of(dtype, generator, placed)

    def __str__(self) -> str:
        return str(self.law)


def law_of(law: Custom, shape: tuple[int, ...]) -> Distribution:
    """The distribution of a tensor of `shape`."""
    if not law.function.shared or not math.prod(shape):
        return law
    numbers = dict(zip(law.function.names, law.given, strict=True))
    height, width = next(iter(law.function.shared.values()))
    return SharedCustom(law, grid_of(shape, int(numbers[height]), int(numbers[width])))
