# SPDX-License-Identifier: MIT
"""The kernels alone: cycles a sample in a 64 KiB buffer, which the second cache holds.

One thread, through `fastinit.backends._native`; nothing of arrays, chunks or threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import fastinit as fi
from fastinit.backends import _native, instruction_sets, native
from fastinit.bench import measure
from fastinit.numerics.dtypes import DTYPES
from tracking.results import CYCLES

SCHEMES = {
    "uniform": fi.uniform(-0.02, 0.02),
    "normal": fi.normal(std=0.02),
    "clipped": fi.clipped_normal(std=0.02),
    "truncated -2..2": fi.truncated_normal(std=0.02),
    "truncated -1..2": fi.truncated_normal(std=0.02, low=-1, high=2),
}
SIZE, PAGE = 2**16, 2**12  # bytes of the buffer, and what it is aligned to
CALLS = 16  # in a round, so that it takes longer than a look at the clock
ROUNDS = 200
BEST = instruction_sets.available()[0]

ROWS = [
    *(
        (f"kernels {isa}", name)
        for isa in instruction_sets.available()
        for name in ("words", *(f"{scheme} float32" for scheme in SCHEMES))
    ),
    *(
        (f"dtypes {BEST}", f"{scheme} {dtype}")
        for scheme in ("uniform", "normal")
        for dtype in DTYPES
        if dtype != "float32"
    ),
]


@pytest.fixture(autouse=True)
def _isa() -> Iterator[None]:
    """Leave the instruction set in force as it was."""
    before = instruction_sets.active()
    yield
    instruction_sets.select(before)


def page_aligned(value: int) -> np.ndarray:
    """A buffer that starts a page: how rows of a cache are crossed must not change by chance."""
    whole = np.full(SIZE + PAGE, value, np.uint8)
    start = -whole.ctypes.data % PAGE
    return whole[start : start + SIZE]


def kernel(name: str, out: np.ndarray) -> tuple[Callable[[], None], int]:
    """What draws the row `name` into the bytes `out`, and how many values that is."""
    if name == "words":
        words = out.view(np.uint32)
        return lambda: _native.words(words, 0, 0, 0), words.size
    scheme, _, dtype = name.rpartition(" ")
    kind = DTYPES[dtype]
    spec = native.spec_of(SCHEMES[scheme].distribution((SIZE,)).numbers(kind), kind)
    return lambda: _native.fill(out, spec, 0), out.size // kind.size


@pytest.mark.parametrize("row", ROWS)
def test_kernel(row, track):
    group, name = row
    instruction_sets.select(group.split()[1])
    out, beside = page_aligned(1), page_aligned(1)
    call, count = kernel(name, out)

    def calls() -> None:
        for _ in range(CALLS):
            call()

    def memset() -> None:
        for _ in range(CALLS):
            measure.memset(beside, 1)

    track(row, calls, samples=CALLS * count, beside=("memset", memset), unit=CYCLES, rounds=ROUNDS)
