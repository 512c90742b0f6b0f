# SPDX-License-Identifier: MIT
"""Who draws what: fastinit, NumPy, PyTorch and JAX, each a function from a number to a piece.

Each piece of a peer has its own seed.  A case says which chances its values are held against.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import numpy as np
from counts import Counts, as_numpy
from laws import NORMAL, TAIL, TRUNCATED, UNIFORM, Array, Chances, Law, of_words, rounded
from orders import ORDERS
from p_values import SIGMAS, Result, results
from tables import version

import fastinit as fi

PIECE = 2**20
SEED = 2026
TASK = 64
"""Pieces that a process draws before it reports."""


@dataclass(frozen=True)
class Case:
    """Values of one distribution and dtype by one package."""

    package: str
    law: Law
    dtype: str
    draw: Callable[[Case, int], Array]
    order: str = ""
    """Of words: the order in which they are read."""

    @property
    def label(self) -> str:
        """What tables and options call it."""
        return self.order or f"{self.package} {self.law.name} {self.dtype}"

    @property
    def ours(self) -> bool:
        """Whether fastinit draws it."""
        return self.package == "fastinit"

    @property
    def exact(self) -> bool:
        """Whether all its words can be counted: those of float64 values are too many."""
        return self.ours and self.dtype != "float64"

    @property
    def expected(self) -> Chances:
        """The stream's own chances, or else those of the ideal distribution."""
        return (of_words if self.exact else rounded)(self.law, self.dtype)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Beyond how many sigma its values are counted."""
        return SIGMAS if self.law is NORMAL else ()

    def judged(self, counts: Counts) -> list[Result]:
        """All tests of its values."""
        return results(counts, self.expected, self.sigmas)


def from_fastinit(case: Case, piece: int) -> Array:
    """Elements of one large tensor, each case's its own."""
    region = range(piece * PIECE, (piece + 1) * PIECE)
    out = np.empty(PIECE, as_numpy(case.dtype))
    shape = (2**61,)
    return fi.fill(
        out, case.law.scheme, seed=SEED, name=case.label, shape=shape, region=region, threads=1
    )


def from_words(case: Case, piece: int) -> Array:
    """Words in some order, as uniform numbers."""
    return (ORDERS[case.order](piece) + 0.5) * 2.0**-32


def from_numpy(case: Case, piece: int) -> Array:
    """numpy.random.Generator, with PCG64."""
    sequence = np.random.SeedSequence(SEED, spawn_key=(piece,))
    generator = np.random.Generator(np.random.PCG64(sequence))
    draw = generator.standard_normal if case.law is NORMAL else generator.random
    return draw(PIECE, dtype=np.dtype(case.dtype))


def from_torch(case: Case, piece: int) -> Array:
    """torch.nn.init, on the CPU."""
    import torch

    generator = torch.Generator().manual_seed(piece)
    tensor = torch.empty(PIECE, dtype=getattr(torch, case.dtype))
    if case.law is NORMAL:
        torch.nn.init.normal_(tensor, generator=generator)
    elif case.law is UNIFORM:
        torch.nn.init.uniform_(tensor, generator=generator)
    else:
        torch.nn.init.trunc_normal_(tensor, a=-2.0, b=2.0, generator=generator)
    if case.dtype != "bfloat16":
        return tensor.numpy()
    return tensor.view(torch.int16).numpy().view(as_numpy(case.dtype))


@lru_cache(maxsize=8)
def jax_draw(law: Law, dtype: str) -> Callable[[int], Any]:
    """A compiled function from the number of a piece to its values."""
    import jax

    key, kind = jax.random.key(SEED), getattr(jax.numpy, dtype)

    def draw(piece: int) -> Any:
        own = jax.random.fold_in(key, piece)
        if law is NORMAL:
            return jax.random.normal(own, (PIECE,), kind)
        if law is UNIFORM:
            return jax.random.uniform(own, (PIECE,), kind)
        return jax.random.truncated_normal(own, -2.0, 2.0, (PIECE,), kind)

    return jax.jit(draw)


def from_jax(case: Case, piece: int) -> Array:
    """jax.random with its default generator, threefry."""
    return np.asarray(jax_draw(case.law, case.dtype)(piece))


OURS = [
    Case("fastinit", law, dtype, from_fastinit)
    for law, dtype in [
        (NORMAL, "float32"),
        (UNIFORM, "float32"),
        (TRUNCATED, "float32"),
        (TAIL, "float32"),
        (NORMAL, "bfloat16"),
        (UNIFORM, "bfloat16"),
        (TRUNCATED, "bfloat16"),
        (NORMAL, "float16"),
        (NORMAL, "float64"),
    ]
]

PEERS = [
    Case("numpy", NORMAL, "float32", from_numpy),
    Case("numpy", NORMAL, "float64", from_numpy),
    Case("numpy", UNIFORM, "float32", from_numpy),
    *(
        Case(package, law, dtype, draw)
        for package, draw in [("torch", from_torch), ("jax", from_jax)]
        for law in (NORMAL, UNIFORM, TRUNCATED)
        for dtype in ("float32", "bfloat16")
    ),
]

WORDS = [Case("fastinit", UNIFORM, "float64", from_words, order) for order in ORDERS]

CASES = {case.label: case for case in OURS + PEERS + WORDS}


def installed(case: Case) -> bool:
    """Whether its package can be asked."""
    return case.ours or version(case.package) is not None


# ---- drawing many -------------------------------------------------------------------------------


def counted(label: str, pieces: range) -> Counts:
    """What is known of some pieces of a case."""
    case, counts = CASES[label], Counts()
    expected = case.expected
    for piece in pieces:
        counts.add(case.draw(case, piece), expected)
    return counts


def pool(jobs: int) -> ProcessPoolExecutor:
    """Processes that start afresh: PyTorch and JAX do not survive a fork."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def sample(case: Case, values: int, executor: ProcessPoolExecutor | None = None) -> Counts:
    """About so many values of a case, in whole pieces, counted here or by processes."""
    pieces = -(-values // PIECE)
    if executor is None:
        return counted(case.label, range(pieces))
    tasks = [range(first, min(first + TASK, pieces)) for first in range(0, pieces, TASK)]
    total = Counts()
    for counts in executor.map(counted, [case.label] * len(tasks), tasks):
        total += counts
    return total
