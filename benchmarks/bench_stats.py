# SPDX-License-Identifier: MIT
"""How fast are `stats` and `diff`, in units of reading the same bytes?

    python benchmarks/bench_stats.py [--folder DIR] [--size 4] [--rounds 5] [--dtype NAME ...] \
        [--cold] [--toy] [--json FILE]

Of a safetensors file of normals for each dtype, which stays in the page cache, or which the cache
drops before each call (--cold; give a folder on a disk).  Reading is preadv
by as many threads, which do nothing with what they read, in whichever of CHUNKS is fastest; `diff`
reads two files, so its ceiling is half of that.  All take turns, each in a process of its
own, whose peak memory is shown.
"By CPU" compares seconds of CPU time, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from saving import save
from usage import Usage, in_a_child

import fastinit as fi
from fastinit.bench import measure
from fastinit.machine.parallel import run, thread_count
from fastinit.numerics.dtypes import DTYPES, resolve

TENSOR = 2**28  # bytes of a tensor
CHUNKS = (2**18, 2**20, 2**21, 2**22)  # bytes that a thread reads at a time
TITLES = ("read GB/s", "stats GB/s", "of read", "by CPU", "diff GB/s", "of half", "peak MiB")


def make(folder: Path, dtype: str, size: int) -> None:
    """A checkpoint of about `size` bytes."""
    each = min(TENSOR, size) // resolve(dtype).size
    count = max(1, size // TENSOR)
    plan = fi.Plan([fi.Tensor(f"layer.{n}.w", (each,), fi.normal(0.02)) for n in range(count)])
    fi.write(plan, folder, seed=0, dtype=dtype, max_shard_size=2 * size, durability="none")


def drop(*folders: Path) -> None:
    """Have the page cache forget the files, so that the next call reads the disk."""
    for folder in folders:
        descriptor = os.open(folder / "model.safetensors", os.O_RDONLY)
        os.fsync(descriptor)  # what is not on the disk yet cannot be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read(folder: Path, chunk: int) -> None:
    """The whole file, by the default number of threads."""
    descriptor = os.open(folder / "model.safetensors", os.O_RDONLY)
    size = os.fstat(descriptor).st_size
    buffers: list[np.ndarray] = []

    def work(start: int) -> None:
        buffer = buffers.pop() if buffers else np.empty(chunk, np.uint8)
        os.preadv(descriptor, [buffer], start)
        buffers.append(buffer)

    run(iter(range(0, size, chunk)), work, thread_count())
    os.close(descriptor)


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--size", type=float, default=4.0, help="GB of each checkpoint, of two")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", nargs="*", default=["bfloat16"], choices=list(DTYPES))
    parser.add_argument("--cold", action="store_true", help="read from the disk, not the cache")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    size, rounds = (2**21, 1) if options.toy else (int(options.size * 1e9), options.rounds)
    dtypes = list(DTYPES) if options.toy else options.dtype
    print(f"{'':14}", *map("{:>11}".format, TITLES))
    rows = {dtype: row(dtype, options.folder, size, rounds, options.cold) for dtype in dtypes}
    content = {"machine": measure.header(), "size": size, "cold": options.cold, "rows": rows}
    save(options.json, content)


def row(dtype: str, parent: str | None, size: int, rounds: int, cold: bool) -> dict[str, float]:
    """Print and return one line of the table."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        one, other = Path(name) / "one", Path(name) / "other"
        make(one, dtype, size)
        make(other, dtype, size)
        size = (one / "model.safetensors").stat().st_size
        calls: dict[str, Callable[[], object]] = {
            **{f"read {chunk}": partial(read, one, chunk) for chunk in CHUNKS},
            "stats": lambda: fi.stats(one),
            "diff": lambda: fi.diff(one, other),
        }
        runs: dict[str, list[Usage]] = {call: [] for call in calls}
        for turn in range(rounds + 1):
            for call, work in calls.items():
                if cold:
                    drop(one, other)
                found = in_a_child(work)
                if turn or rounds == 1:
                    runs[call].append(found)
    seconds = {call: [used.seconds for used in usages] for call, usages in runs.items()}
    cpu = {call: [u.user + u.system for u in usages] for call, usages in runs.items()}
    for taken in (seconds, cpu):
        reads = [taken.pop(f"read {chunk}") for chunk in CHUNKS]
        taken["read"] = min(reads, key=statistics.median)
    found = {
        "read_gb_per_second": size / statistics.median(seconds["read"]) / 1e9,
        "stats_gb_per_second": size / statistics.median(seconds["stats"]) / 1e9,
        "stats_of_read": measure.ratio(seconds["read"], seconds["stats"]),
        "stats_of_read_in_cpu_time": measure.ratio(cpu["read"], cpu["stats"]),
        "diff_gb_per_second": size / statistics.median(seconds["diff"]) / 1e9,
        "diff_of_half": 2 * measure.ratio(seconds["read"], seconds["diff"]),
        "peak_mib": Usage.median(runs["stats"]).peak,
    }
    print(f"{dtype:14}", *(f"{value:11.2f}" for value in found.values()))
    return {key: round(value, 3) for key, value in found.items()}


if __name__ == "__main__":
    main()
