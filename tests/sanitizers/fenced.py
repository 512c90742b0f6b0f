# SPDX-License-Identifier: MIT
"""Calls every kernel on memory between two pages that no one may touch: one byte too far, read or
written, ends this process.

    fenced.py sweep ISA      every function of the border, dtype, distribution and odd size
    fenced.py plant WHAT     one access too far, which must end this process: see PLANTED

The bytes between the pages that a call may not write are compared, too.  It prints the number of
calls.  Whether the values are right is for other tests, but where they lie is checked here.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import reference as ref
from twins import spec_of

from fastinit.backends import _native, instruction_sets, native
from fastinit.numerics.moments import PART

GUARD = 0xA5
ROOM = 2**16
"""Bytes between the two pages."""

COUNTS = [0, 1, 2, 3, 5, 7, 8, 15, 17, 31, 33, 63, 65, 127, 128, 129, 255, 257, 511, 513, 1027]
STARTS = [0, 1, 3, 127, 2**34 - 130]
SHIFTS = [0, 1, 3]
"""Bytes between the memory and the page that it lies at: other alignments."""

DISTRIBUTIONS = [
    ref.Uniform(-0.1, 0.7),
    ref.Uniform(0.0, 1.0),
    ref.Normal(0.02, 0.01),
    ref.Clipped(1.0, 0.0, -2.0, 2.0),
    ref.Truncated(1.0, 0.0, -2.0, 2.0),
    ref.Truncated(1.0, 0.0, -1.0, 3.0),
    ref.Truncated(1.0, 0.0, 6.0, 8.0),
    ref.Constant(-0.3),
]


class Fenced:
    """Writable bytes that no one may leave."""

    def __init__(self) -> None:
        self.map = mmap.mmap(-1, ROOM + 2 * mmap.PAGESIZE)
        whole = np.frombuffer(self.map, np.uint8)
        self.bytes = whole[mmap.PAGESIZE :][:ROOM]
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for address in (whole.ctypes.data, self.bytes.ctypes.data + ROOM):
            if protect(address, mmap.PAGESIZE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def places(self, size: int) -> Iterator[ref.Array]:
        """Memory of `size` bytes at either end, and a few bytes from it, in guard bytes."""
        for shift in SHIFTS:
            for start in {shift, ROOM - size - shift}:
                self.bytes[:] = GUARD
                yield self.bytes[start : start + size]

    def untouched(self, memory: ref.Array) -> bool:
        """Whether all guard bytes around the memory are there."""
        start = memory.ctypes.data - self.bytes.ctypes.data if memory.size else 0
        around = self.bytes[:start], self.bytes[start + memory.size :]
        return all((part == GUARD).all() for part in around)


def fills(fenced: Fenced) -> Iterator[None]:
    """Runs of elements; what is written is compared with what a fill of ordinary memory gives."""
    for dtype, drawn in itertools.product(ref.DTYPES, DISTRIBUTIONS):
        spec, size = spec_of(drawn, dtype), ref.DTYPES[dtype].itemsize
        for count, start in itertools.product(COUNTS, STARTS):
            right = bytearray(count * size)
            _native.fill(right, spec, start)
            for memory in fenced.places(count * size):
                _native.fill(memory, spec, start)
                assert memory.tobytes() == right, (dtype, drawn, count, start)
                assert fenced.untouched(memory), (dtype, drawn, count, start)
                yield


# Rows, elements of each, elements from one to the next in memory, and in the tensor.
ROWS = [(3, 5, 7, 9), (2, 129, 130, 1000), (5, 1, 2, 4097), (7, 3, 3, 5), (1, 300, 300, 1)]


def rows(fenced: Fenced) -> Iterator[None]:
    """Rows with gaps, short and long; and the same places backwards, by strides."""
    for dtype, drawn in itertools.product(ref.DTYPES, DISTRIBUTIONS):
        spec, kind = spec_of(drawn, dtype), np.dtype(f"u{ref.DTYPES[dtype].itemsize}")
        for many, count, apart, step in ROWS:
            size = ((many - 1) * apart + count) * kind.itemsize
            inside = np.zeros(size, bool)
            for row in range(many):
                inside[row * apart * kind.itemsize :][: count * kind.itemsize] = True
            for memory in fenced.places(size):
                _native.fill_rows(memory, spec, 3, step, many, count, apart * kind.itemsize)
                assert fenced.untouched(memory)
                assert (memory[~inside] == GUARD).all(), (dtype, drawn, many, count)
                yield
            for memory in fenced.places(size):
                first = np.frombuffer(memory, kind)
                strides = apart * kind.itemsize, kind.itemsize
                there = np.lib.stride_tricks.as_strided(first, (many, count), strides)
                _native.fill_array(there[::-1, ::-1], spec, 3, (step, 1))
                assert fenced.untouched(memory)
                assert (memory[~inside] == GUARD).all(), (dtype, drawn, many, count)
                yield


def words(fenced: Fenced) -> Iterator[None]:
    """Raw words, and values of given words, which are read from a fenced place of their own."""
    for count, start in itertools.product(COUNTS, STARTS):
        for memory in fenced.places(4 * count):
            if memory.ctypes.data % 4 == 0 and count:
                _native.words(memory.view(np.uint32), start, 1, 2)
                assert fenced.untouched(memory)
                yield
    given = Fenced()
    for dtype, drawn in itertools.product(ref.DTYPES, DISTRIBUTIONS[:-1]):
        spec, size = spec_of(drawn, dtype), ref.DTYPES[dtype].itemsize
        per_value = 2 if dtype == "float64" else 1
        for count in COUNTS:
            read = given.bytes[ROOM - 4 * per_value * count :].view(np.uint32)
            read[:] = np.arange(len(read)) * 2654435761 % 2**32
            for memory in fenced.places(size * count):
                _native.map_words(memory, spec, read)
                assert fenced.untouched(memory), (dtype, drawn, count)
                yield


def measures(fenced: Fenced) -> Iterator[None]:
    """Moments of elements, which are only read."""
    out = np.zeros(1, PART["measured"])
    for dtype, count in itertools.product(ref.DTYPES, [*COUNTS, 4095, 4097, 8000]):
        kind = ref.DTYPES[dtype]
        ones = np.ones(count, kind).view(np.uint8)
        for memory in fenced.places(count * kind.itemsize):
            memory[:] = ones
            _native.measure(out, memory, native.CODES[dtype])
            assert out["finite"] == count
            yield


SHAPES = [(1,), (17,), (3, 5), (37, 129), (16, 257), (65, 16), (5, 7, 11), (2, 1, 30)]


def copies(fenced: Fenced) -> Iterator[None]:
    """Copies between all orders of axes, from one fenced place to another."""
    source = Fenced()
    for shape, size, past in itertools.product(SHAPES, (1, 2, 4, 8), (False, True)):
        kind, count = np.dtype(f"u{size}"), int(np.prod(shape))
        for order in itertools.permutations(range(len(shape))):
            dims = tuple(shape[axis] for axis in order)
            for turned in (slice(None), slice(None, None, -1)):
                read = source.bytes[ROOM - count * size :].view(kind)
                read[:] = np.arange(count)
                origin = read.reshape(shape)[turned]
                for memory in fenced.places(count * size):
                    out = np.frombuffer(memory, kind).reshape(dims).transpose(np.argsort(order))
                    _native.copy(out, origin, past)
                    assert (out == origin).all(), (shape, size, order)
                    assert fenced.untouched(memory)
                    yield


CALLS: tuple[Callable[[Fenced], Iterator[None]], ...] = (fills, rows, words, measures, copies)


def sweep(isa: str) -> None:
    """All of them on one instruction set."""
    assert instruction_sets.select(isa) == isa
    fenced = Fenced()
    for calls in CALLS:
        print(f"{calls.__name__}: {sum(1 for _ in calls(fenced))} calls", flush=True)


def address(fenced: Fenced) -> int:
    return int(fenced.bytes.ctypes.data)


PLANTED: dict[str, Callable[[Fenced], Any]] = {
    "a write behind": lambda fenced: ctypes.memset(address(fenced), 0, ROOM + 1),
    "a write before": lambda fenced: ctypes.memset(address(fenced) - 1, 0, 1),
    "a read behind": lambda fenced: ctypes.string_at(address(fenced), ROOM + 1),
    "a read before": lambda fenced: ctypes.string_at(address(fenced) - 1, 1),
    "a guard byte": lambda fenced: _guard_byte(fenced),
}
"""What must end this process, each by itself."""


def _guard_byte(fenced: Fenced) -> None:
    for memory in fenced.places(100):
        fenced.bytes[memory.ctypes.data - address(fenced) - 1] = 0
        assert fenced.untouched(memory)


if __name__ == "__main__":
    if sys.argv[1] == "sweep":
        sweep(sys.argv[2])
    else:
        PLANTED[sys.argv[2]](Fenced())
