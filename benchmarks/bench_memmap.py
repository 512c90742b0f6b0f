# SPDX-License-Identifier: MIT
"""How fast is a memory-mapped embedding made, against plain writes of a file of its size?

    python benchmarks/bench_memmap.py [--folder DIR] [--rows 10000000] [--rounds 3] [--toy]

An embedding has 64 columns.  The ceiling allocates a file as fastinit does, and as many threads
write one buffer into it again and again.  "memset" maps a new file and sets every byte; "numpy"
maps one and fills it from its own generator, the rows of 1 MiB at a time, in one thread.  Each
runs in a separate process, whose peak memory is reported: pages of a shared map count as well.
Nothing is flushed unless `--flush` is given, and then by all.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from saving import save
from usage import Usage, in_a_child

import fastinit as fi
from fastinit.bench import measure
from fastinit.machine.parallel import thread_count

TITLES = ("seconds", "GB/s", "of writes", "user s/GB", "sys s/GB", "peak MiB")
WIDTH = 64
BLOCK = 2**20
CEILING = "writes"
Shape = tuple[int, int]
Candidate = Callable[[Path, Shape, str, bool], None]


def writes(path: Path, shape: Shape, dtype: str, flush: bool) -> None:
    """The same calls of the system, without any drawing."""
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    block = memoryview(np.full(BLOCK, 7, np.uint8))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, size)
    with ThreadPoolExecutor(thread_count()) as pool:
        starts = range(0, size, BLOCK)
        written = pool.map(lambda at: os.pwrite(descriptor, block[: size - at], at), starts)
        assert sum(written) == size
    if flush:
        os.fsync(descriptor)
    os.close(descriptor)


def memset(path: Path, shape: Shape, dtype: str, flush: bool) -> None:
    """One value through a map."""
    out = np.memmap(path, dtype, "w+", shape=shape)
    out.view(np.uint8)[...] = 7
    if flush:
        out.flush()


def numpy(path: Path, shape: Shape, dtype: str, flush: bool) -> None:
    """What a script without fastinit does."""
    out = np.memmap(path, dtype, "w+", shape=shape)
    rows = BLOCK // (WIDTH * 4)
    generator = np.random.default_rng(0)
    for start in range(0, shape[0], rows):
        part = out[start : start + rows]
        part[...] = generator.standard_normal(part.shape, np.float32) * np.float32(0.02)
    if flush:
        out.flush()


def fastinit(init: str, path: Path, shape: Shape, dtype: str, flush: bool) -> None:
    """`fastinit.memmap`."""
    fi.memmap(path, shape, init, seed=0, dtype=dtype, durability="file" if flush else "none")


CANDIDATES: dict[str, Candidate] = {
    CEILING: writes,
    "memset": memset,
    "numpy": numpy,
    "normal": partial(fastinit, "normal(std=0.02)"),
    "uniform": partial(fastinit, "uniform(low=-0.05, high=0.05)"),
}


def one(candidate: Candidate, options: argparse.Namespace) -> Usage:
    """What one file takes; removing it is not counted."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, shape = Path(folder) / "embedding.bin", (options.rows, WIDTH)
        return in_a_child(lambda: candidate(path, shape, options.dtype, options.flush))


def row(name: str, runs: dict[str, list[Usage]], size: int) -> dict[str, float]:
    """Print and return one line of the table."""
    used = Usage.median(runs[name])
    ceiling = [run.seconds for run in runs[CEILING]]
    found = {
        "seconds": used.seconds,
        "gb_per_second": size / used.seconds / 1e9,
        "of_writes": measure.ratio(ceiling, [run.seconds for run in runs[name]]),
        "user_seconds_per_gb": used.user / size * 1e9,
        "system_seconds_per_gb": used.system / size * 1e9,
        "peak_mib": used.peak,
    }
    print(f"{name:10}", *(f"{value:9.2f}" for value in found.values()))
    return {key: round(value, 3) for key, value in found.items()}


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where to make and remove files [default: the system's]")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dtype", default="float16", choices=("float16", "float32"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flush", action="store_true", help="wait for the disk")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.toy:
        options.rows, options.rounds = 10_000, 1
    runs: dict[str, list[Usage]] = {name: [] for name in CANDIDATES}
    for turn in range(options.rounds + 1):
        for name, candidate in CANDIDATES.items():
            used = one(candidate, options)
            if turn:
                runs[name].append(used)
    size = options.rows * WIDTH * np.dtype(options.dtype).itemsize
    print(" " * 10, *map("{:>9}".format, TITLES))
    rows = {name: row(name, runs, size) for name in CANDIDATES}
    save(options.json, {"machine": measure.header(), "size": size, "rows": rows})


if __name__ == "__main__":
    main()
