# SPDX-License-Identifier: MIT
"""Draws that blocks share: which block an element is of, and memory, whatever the blocks' size."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fastinit.values.shared_draws import SharedSource, grid_of

LARGEST = 2**24 - 1


class Numbers:
    """A source whose draws are the numbers of the elements."""

    def fill(self, out, start):
        out[...] = np.arange(start, start + out.size)


def block_of(element, shape, rows, columns):
    """docs/stream.md, section 21.5."""
    m, n = (1, 1, *shape)[-2:]
    row, c = divmod(element, n)
    matrix, r = divmod(row, m)
    return (matrix * -(-m // rows) + r // rows) * -(-n // columns) + c // columns


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((3, 5, 7), 2, 3),
        ((3, 5, 7), 5, LARGEST),
        ((3, 5, 7), LARGEST, 1),
        ((2, 3, 2048), 2, 2047),
        ((2, 3, 2048), 1, 5),
        ((2, 3, 5000), LARGEST, 2500),
        ((2, 3, 5000), 2, LARGEST),
        ((9,), 4, 4),
        ((), 3, 3),
    ],
)
@pytest.mark.parametrize("start", [0, 1, 6, 2047, 5001])
def test_elements_have_the_draw_of_their_block(shape, rows, columns, start):
    count = int(np.prod(shape, dtype=int))
    start = min(start, count - 1)
    out = np.empty(count - start)
    SharedSource(Numbers(), grid_of(shape, rows, columns)).fill(out, start)
    wanted = [block_of(element, shape, rows, columns) for element in range(start, count)]
    assert out.tolist() == wanted


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((1000, 10), 1, LARGEST), ((4, 4096), 1, LARGEST), ((1, 2**40), 1, LARGEST)],
)
def test_blocks_much_larger_than_a_tile_take_no_more_memory_than_it(shape, rows, columns):
    source, out = SharedSource(Numbers(), grid_of(shape, rows, columns)), np.empty(10_000)
    tracemalloc.start()
    try:
        source.fill(out, 0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * out.nbytes
