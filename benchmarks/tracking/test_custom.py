# SPDX-License-Identifier: MIT
"""Custom distributions: fills by one thread beside a native normal, and compiling.

A buffer is 16 MiB: some dozens of the tiles in which they are drawn.  Without Numba there are no
rows of this file.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

import fastinit as fi
import fastinit.numba as fn
from fastinit.numerics.dtypes import DTYPES
from tracking.results import TIMES

NORMAL, LOOP = "a native normal", "compiling a plain loop"
ROUNDS, COMPILATIONS = 21, 7


@fn.distribution
def ternary(s: Any, scale: Any) -> Any:
    third = np.float32(1 / 3)
    return scale if s > third else -scale if s < -third else scale * 0


@fn.distribution
def laplace(s: Any, scale: Any = 1.0) -> Any:
    magnitude = fn.minus_log(np.float32(1.0) - abs(s)) * scale
    return magnitude if s > 0 else -magnitude


LAWS = {"ternary": ternary(scale=0.02), "Laplace": laplace(scale=0.02)}


@pytest.mark.parametrize(
    "row", [("custom", f"{law} {dtype}") for law in LAWS for dtype in ("float32", "bfloat16")]
)
def test_fill(row, track):
    law, _, dtype = row[1].partition(" ")
    kind = DTYPES[dtype]
    size = (2**16 if track.toy else 2**24) // kind.size
    out, beside = (np.ones(size, kind.numpy) for _ in range(2))
    track(
        row,
        lambda: fi.fill(out, LAWS[law], seed=0, name="w", threads=1),
        samples=size,
        beside=(
            NORMAL,
            lambda: fi.fill(beside, fi.normal(std=0.02), seed=0, name="w", threads=1),
        ),
        unit=TIMES + NORMAL,
        rounds=ROUNDS,
    )


NUMBERS = count()


def new_function(text: str) -> Callable[..., Any]:
    """A function that was never compiled."""
    scope: dict[str, Any] = {"fn": fn, "np": np}
    exec(text.replace("NUMBER", str(next(NUMBERS))), scope)
    return scope["f"]


def plain_loop() -> None:
    """What Numba takes for a loop that does next to nothing, once it is loaded."""
    function = new_function("def f(x):\n    for i in range(x.size): x[i] = x[i] + NUMBER")
    numba.njit(["void(f4[::1])", "void(f8[::1])"], nogil=True)(function)


@pytest.mark.parametrize("row", [("custom", "a new Laplace compiled")])
def test_compiling(row, track):
    """From the decorator to the first fill; nothing of it is cached on disk."""
    text = (
        "def f(s, scale=1.0):\n"
        "    magnitude = fn.minus_log(np.float32(1.0) - abs(s)) * scale\n"
        "    return magnitude if s > np.float32(NUMBER) else -magnitude\n"
    )

    def ours() -> None:
        fi.array(9, fn.distribution(new_function(text))(), seed=0, name="w")

    track(
        row,
        ours,
        samples=1,
        beside=(LOOP, plain_loop),
        unit=TIMES + LOOP,
        rounds=COMPILATIONS,
    )
