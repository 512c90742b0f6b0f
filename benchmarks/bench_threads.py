# SPDX-License-Identifier: MIT
"""How near to memset is a fill by 1 to N threads?

    python benchmarks/bench_threads.py [--size 2GB] [--rounds 5] [--most N] [--toy] [--json FILE]

Each number of threads is a race: memset, the fills, and torch's `normal_` if torch is installed
take turns in the same warm memory.  "Of memset" is the median of the rounds' ratios.  Torch draws
with one thread, whatever it is given.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from saving import save

import fastinit as fi
from fastinit.bench import command, measure
from fastinit.machine import parallel
from fastinit.numerics.dtypes import resolve

FILLS = {
    "uniform float32": ("uniform(-1, 1)", "float32"),
    "normal float32": ("normal(0.02)", "float32"),
    "truncated normal float32": ("truncated_normal(0.02)", "float32"),
    "normal bfloat16": ("normal(0.02)", "bfloat16"),
    "normal float64": ("normal(0.02)", "float64"),
}
MEMSET, TORCH = "memset", "torch normal_ float32"

PART = 16
"""Torch gets this part of the memory."""


def counts(most: int) -> list[int]:
    """1, 2, 4 and so on, half-way steps above 4, up to `most` threads."""
    steps = [1, 2, 4, *(base * half for base in (4, 8, 16, 32, 64) for half in (1.5, 2))]
    return sorted({int(step) for step in steps if step < most} | {most})


def calls(memory: np.ndarray[Any, Any], threads: int) -> dict[str, Callable[[], object]]:
    """What takes turns."""
    found: dict[str, Callable[[], object]] = {MEMSET: partial(measure.memset, memory, threads)}
    for name, (scheme, dtype) in FILLS.items():
        out = memory.view(resolve(dtype).numpy)
        found[name] = partial(fi.fill, out, scheme, seed=0, name="w", threads=threads)
    return found


def torch_call(memory: np.ndarray[Any, Any], threads: int) -> dict[str, Callable[[], object]]:
    """Torch's own normals, into a sixteenth of the memory, because they take so long."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    part = memory[: memory.size // PART // 64 * 64]
    return {TORCH: partial(torch.from_numpy(part.view(np.float32)).normal_, 0, 0.02)}


def measured(memory: np.ndarray[Any, Any], threads: int, rounds: int) -> dict[str, Any]:
    """A race of `threads` threads: millions of values a second, and the share of memset."""
    found = measure.interleaved(calls(memory, threads) | torch_call(memory, threads), rounds)
    rows = {}
    for name, seconds in found.items():
        size = memory.size // (PART if name == TORCH else 1)
        itemsize = 1 if name == MEMSET else resolve(name.split()[-1]).size
        rows[name] = {
            "msamples_per_second": 1e-6 * size / itemsize / statistics.median(seconds),
            "of_memset": measure.ratio(found[MEMSET], seconds) * size / memory.size,
        }
    return rows


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", help="bytes of the memory, such as 2GB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, help="threads; by default as many as `info` prints")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    most = parallel.thread_count(options.most)
    size = 2**20 if options.toy else command.buffer_size(options.size, most)
    head = {**measure.header(), "bytes": size}
    print(", ".join(f"{key} {value}" for key, value in head.items()))
    memory = np.ones(size // 64 * 64, np.uint8)
    races = {}
    for threads in counts(most):
        races[threads] = rows = measured(memory, threads, 1 if options.toy else options.rounds)
        print(f"\n{threads} threads{'':24} Msamples/s  of memset")
        for name, row in rows.items():
            print(f"{name:32} {row['msamples_per_second']:>12,.0f} {row['of_memset']:>10.3f}")
    save(options.json, {"machine": head, "threads": races})


if __name__ == "__main__":
    main()
