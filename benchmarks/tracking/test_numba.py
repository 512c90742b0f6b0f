# SPDX-License-Identifier: MIT
"""The backend numba against the native one on the instruction set that Numba compiles for: 64 KiB.

One thread, through the samplers of both, so what a call costs is part of it.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from fastinit.backends import instruction_sets, native
from fastinit.numba import backend
from fastinit.numba.targets import LANES
from fastinit.numerics.dtypes import DTYPES
from fastinit.values.stream import checked
from tracking.results import TIMES
from tracking.test_kernels import CALLS, ROUNDS, SCHEMES, SIZE, page_aligned

ISA = {16: "avx512", 8: "avx2", 1: "scalar"}[LANES]
KERNEL = "the native kernel"
FILLS = [
    *(f"{scheme} float32" for scheme in ("uniform", "normal", "truncated -2..2")),
    "normal bfloat16",
    "uniform float64",
    "normal float64",
]


@pytest.mark.parametrize("row", [(f"numba {ISA}", name) for name in FILLS])
def test_backend(row, track):
    scheme, _, dtype = row[1].rpartition(" ")
    kind = DTYPES[dtype]
    numbers = SCHEMES[scheme].distribution((SIZE,)).numbers(kind)
    ours, theirs = (
        each.BACKEND.samplers(numbers, kind)(checked(0, "w")) for each in (backend, native)
    )
    out, beside = page_aligned(1), page_aligned(1)
    before = instruction_sets.active()
    instruction_sets.select(ISA)

    def calls() -> None:
        for _ in range(CALLS):
            ours.draw(out, 0)

    def kernel() -> None:
        for _ in range(CALLS):
            theirs.draw(beside, 0)

    try:
        track(
            row,
            calls,
            samples=CALLS * SIZE // kind.size,
            beside=(KERNEL, kernel),
            unit=TIMES + KERNEL,
            rounds=ROUNDS,
        )
    finally:
        instruction_sets.select(before)
    np.testing.assert_array_equal(out, beside)
