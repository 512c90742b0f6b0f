# SPDX-License-Identifier: MIT
"""What can be raced: memset, fastinit, and the generators of NumPy and other packages.

A peer is one entry of `PEERS`.  Its package is imported only when its engine is built; race.py
measures engines.  Peers that fill in place only at a standard scale stay at that scale, which saves
them a pass over the memory.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import fastinit
from fastinit.bench import measure
from fastinit.numerics.dtypes import DTYPES
from fastinit.schemes import Scheme

Samples = npt.NDArray[Any]
Call = Callable[[], object]
Threads = Literal["one", "given", "all"]

STD = 0.02
BOUND = 2 * STD  # of the truncated normal, and of the uniform

RACED: dict[str, Scheme] = {
    "uniform": fastinit.uniform(-BOUND, BOUND),
    "normal": fastinit.normal(std=STD),
    "truncated": fastinit.truncated_normal(std=STD),
}
"""The kinds of values that are raced, with the scheme of each."""


@dataclass(frozen=True)
class Racer:
    """How a generator fills, after its package was imported.

    Attributes:
        fresh: returns a new array of the given number of values; this includes the allocation.
        bind: takes a NumPy array and returns the call that fills it; None for a generator that only
            returns new arrays.
    """

    fresh: Callable[[int], object]
    bind: Callable[[Samples], Call] | None = None


@dataclass(frozen=True)
class Peer:
    """A generator to race.

    Attributes:
        name: its name in tables.
        package: the package that must be importable.
        kind: "uniform", "normal" or "truncated", at two sigma.
        dtype: "float32", "bfloat16" or "float64".
        threads: whether it uses one thread, as many as it is given, or always all CPUs.
        build: the engine for a kind, a dtype and a number of threads.
    """

    name: str
    package: str
    kind: str
    dtype: str
    threads: Threads
    build: Callable[[str, str, int], Racer]

    def engine(self, threads: int) -> Racer:
        """Import the package and make the engine; errors of the package are passed on."""
        return self.build(self.kind, self.dtype, self.thread_count(threads))

    def thread_count(self, threads: int) -> int:
        """How many threads it may use if fastinit uses `threads`."""
        return {"one": 1, "given": threads, "all": os.cpu_count() or 1}[self.threads]


def is_installed(package: str) -> bool:
    """Whether a package could be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


# ---- the baseline and fastinit -------------------------------------------------------------------


def memset(dtype: str, threads: int) -> Racer:
    """The baseline: the C library's memset with as many threads."""

    def fill(out: Samples) -> Samples:
        measure.memset(out, threads)
        return out

    return _filling(fill, dtype)


def ours(kind: str, dtype: str, threads: int) -> Racer:
    """fastinit."""

    def fill(out: Samples) -> Samples:
        return fastinit.fill(out, RACED[kind], seed=0, name="w", threads=threads)

    return _filling(fill, dtype)


def _filling(fill: Callable[[Samples], object], dtype: str) -> Racer:
    """The engine of a function that fills NumPy arrays."""
    kind = DTYPES[dtype].numpy
    return Racer(lambda count: fill(np.empty(count, kind)), lambda out: partial(fill, out))


# ---- generators that NumPy drives ----------------------------------------------------------------


def _numpy(bits: str, kind: str, dtype: str, threads: int) -> Racer:
    """A bit generator of NumPy; several threads use spawned seeds, as its manual recommends."""
    seeds = np.random.SeedSequence(0).spawn(threads)
    make = getattr(np.random, bits)
    return _generators([np.random.Generator(make(seed)) for seed in seeds], kind, dtype)


def _randomgen(bits: str, kind: str, dtype: str, threads: int, **options: int) -> Racer:
    """A bit generator of randomgen, in NumPy's Generator."""
    make = getattr(import_module("randomgen"), bits)
    return _generators([np.random.Generator(make(0, **options))], kind, dtype)


def _generators(generators: Sequence[np.random.Generator], kind: str, dtype: str) -> Racer:
    method = {"uniform": "random", "normal": "standard_normal"}[kind]
    draws = [getattr(generator, method) for generator in generators]
    number = DTYPES[dtype].numpy
    if len(draws) == 1:
        return _filling(lambda out: draws[0](out=out, dtype=number), dtype)
    executor = ThreadPoolExecutor(len(draws))

    def draw(work: tuple[Callable[..., object], Samples]) -> None:
        work[0](out=work[1], dtype=number)

    def fill(out: Samples) -> Samples:
        parts = np.array_split(out, len(draws))
        list(executor.map(draw, zip(draws, parts, strict=True)))
        return out

    return _filling(fill, dtype)


def _parallel_numpy_rng(kind: str, dtype: str, threads: int) -> Racer:
    generator = import_module("parallel_numpy_rng").default_rng(0)
    draw = {"uniform": generator.random, "normal": generator.standard_normal}[kind]
    number = DTYPES[dtype].numpy.type

    def fill(out: Samples) -> object:
        return draw(size=out.size, out=out, dtype=number, nthread=threads)

    return _filling(fill, dtype)


def _mkl_random(brng: str, method: str, kind: str, dtype: str, threads: int) -> Racer:
    state = import_module("mkl_random").MKLRandomState(0, brng=brng)
    if kind == "uniform":
        return Racer(lambda count: state.uniform(-BOUND, BOUND, count))
    return Racer(lambda count: state.normal(0, STD, count, method=method))


# ---- frameworks ----------------------------------------------------------------------------------


def _torch(kind: str, dtype: str, threads: int) -> Racer:
    torch = import_module("torch")
    torch.set_num_threads(threads)
    fills: dict[str, Callable[[Any], object]] = {
        "uniform": lambda tensor: tensor.uniform_(-BOUND, BOUND),
        "normal": lambda tensor: tensor.normal_(0, STD),
        "truncated": partial(torch.nn.init.trunc_normal_, std=STD, a=-BOUND, b=BOUND),
    }
    return _tensors(torch, fills[kind], dtype)


def _torch_func(kind: str, dtype: str, threads: int) -> Racer:
    """The counter-based generator of torch, which takes a key."""
    torch, random = import_module("torch"), import_module("torch.func._random")
    torch.set_num_threads(threads)
    key = random.key(0)
    fill = {
        "uniform": lambda tensor: random.uniform_(key, tensor, low=-BOUND, high=BOUND),
        "normal": lambda tensor: random.normal_(key, tensor, std=STD),
    }[kind]
    return _tensors(torch, fill, dtype)


def _tensors(torch: Any, fill: Callable[[Any], object], dtype: str) -> Racer:
    """The engine of a function that fills torch tensors."""
    kind = getattr(torch, dtype)

    def bind(out: Samples) -> Call:
        words = out.view(np.int16) if dtype == "bfloat16" else out
        return partial(fill, torch.from_numpy(words).view(kind))

    return Racer(lambda count: fill(torch.empty(count, dtype=kind)), bind)


def _jax(implementation: str, kind: str, dtype: str, threads: int) -> Racer:
    jax = import_module("jax")
    key = jax.device_put(jax.random.key(0, impl=implementation), jax.devices("cpu")[0])
    draw = {
        "uniform": lambda key, count: jax.random.uniform(key, (count,), dtype, -BOUND, BOUND),
        "normal": lambda key, count: STD * jax.random.normal(key, (count,), dtype),
        "truncated": lambda key, count: (
            STD * jax.random.truncated_normal(key, -2, 2, (count,), dtype)
        ),
    }[kind]
    compiled = jax.jit(draw, static_argnums=1)
    return Racer(lambda count: compiled(key, count).block_until_ready())


def _tensorflow(kind: str, dtype: str, threads: int) -> Racer:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # otherwise it writes to stderr on import
    tf = import_module("tensorflow")
    number = getattr(tf, dtype)
    draw = {
        "uniform": partial(tf.random.stateless_uniform, minval=-BOUND, maxval=BOUND),
        "normal": partial(tf.random.stateless_normal, stddev=STD),
        "truncated": partial(tf.random.stateless_truncated_normal, stddev=STD),
    }[kind]

    def fresh(count: int) -> object:
        with tf.device("CPU:0"):
            return draw(shape=(count,), seed=(0, 0), dtype=number)

    return Racer(fresh)


# ---- the list ------------------------------------------------------------------------------------


def _peers(
    name: str,
    package: str,
    threads: Threads,
    kinds: str,
    dtypes: str,
    build: Callable[[str, str, int], Racer],
) -> Iterator[Peer]:
    """A peer for each of the kinds in each of the dtypes."""
    for kind, dtype in itertools.product(kinds.split(), dtypes.split()):
        yield Peer(name, package, kind, dtype, threads, build)


def _numpy_peers() -> Iterator[Peer]:
    both = "uniform normal", "float32 float64"
    for bits in ("SFC64", "PCG64", "Philox"):
        build = partial(_numpy, bits)
        yield from _peers(f"NumPy {bits}", "numpy", "one", *both, build)
        yield from _peers(f"NumPy {bits} in threads", "numpy", "given", *both, build)


def _randomgen_peers() -> Iterator[Peer]:
    philox = partial(_randomgen, "Philox", number=4, width=32)
    for name, build in ("SFC64", partial(_randomgen, "SFC64")), ("Philox 4x32", philox):
        yield from _peers(
            f"randomgen {name}", "randomgen", "one", "uniform normal", "float32 float64", build
        )


def _mkl_peers() -> Iterator[Peer]:
    for brng in ("PHILOX4X32X10", "SFMT19937"):
        build = partial(_mkl_random, brng, "ICDF")
        yield from _peers(
            f"mkl_random {brng}", "mkl_random", "one", "uniform normal", "float64", build
        )
    build = partial(_mkl_random, "SFMT19937", "BoxMuller2")
    yield from _peers(
        "mkl_random SFMT19937 BoxMuller2", "mkl_random", "one", "normal", "float64", build
    )


def _framework_peers() -> Iterator[Peer]:
    every, both, narrow = "uniform normal truncated", "uniform normal", "float32 bfloat16"
    for kind, name in (
        ("uniform", "uniform_"),
        ("normal", "normal_"),
        ("truncated", "trunc_normal_"),
    ):
        yield from _peers(f"torch {name}", "torch", "given", kind, narrow, _torch)
    yield from _peers("torch.func._random", "torch", "given", both, narrow, _torch_func)
    for name, implementation in ("threefry", "threefry2x32"), ("rbg", "rbg"):
        build = partial(_jax, implementation)
        yield from _peers(f"jax.random {name}", "jax", "all", every, narrow, build)
    yield from _peers("tf.random.stateless", "tensorflow", "all", every, narrow, _tensorflow)


PEERS: tuple[Peer, ...] = (
    *_numpy_peers(),
    *_randomgen_peers(),
    *_mkl_peers(),
    *_framework_peers(),
    *_peers(
        "parallel-numpy-rng",  # last, because each of its functions takes seconds to compile
        "parallel_numpy_rng",
        "given",
        "uniform normal",
        "float32 float64",
        _parallel_numpy_rng,
    ),
)
"""Every peer.  When time runs out, the last ones are left out."""
