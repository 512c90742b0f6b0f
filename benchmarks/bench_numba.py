# SPDX-License-Identifier: MIT
"""What does the backend numba take of a process's time, against the native one?

    python benchmarks/bench_numba.py [--rounds 15] [--toy] [--json FILE]

Speed: fills of 64 KiB by one thread, both backends in turn, in CPU time of the thread; the native
one runs on the instruction set that Numba compiles for.  Start: the CPU time of a new process that
draws 50 normals, with nothing kept on disk and with its code there.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from saving import save

import fastinit as fi
from fastinit.backends import instruction_sets, native
from fastinit.bench import measure
from fastinit.numba import backend
from fastinit.numba.targets import LANES
from fastinit.numerics.dtypes import DTYPES
from fastinit.values.stream import checked

SIZE = 2**16
SCHEMES = {
    "uniform": fi.uniform(-0.02, 0.02),
    "normal": fi.normal(std=0.02),
    "truncated -2..2": fi.truncated_normal(std=0.02),
    "truncated -1..2": fi.truncated_normal(std=0.02, low=-1, high=2),
}
START = "import fastinit as fi; fi.array(50, 'normal', seed=0, name='w')"


def shares(rounds: int, calls: int) -> dict[str, float]:
    """By fill: the native backend's CPU time divided by that of numba; the median of the rounds."""
    found = {}
    for dtype, kind in DTYPES.items():
        for name, scheme in SCHEMES.items():
            numbers = scheme.distribution((SIZE,)).numbers(kind)
            ours, theirs = (
                each.BACKEND.samplers(numbers, kind)(checked(0, "w")) for each in (backend, native)
            )
            outs = [np.ones(SIZE, np.uint8) for _ in range(2)]
            ratios = []
            for _ in range(rounds + 1):
                times = [
                    seconds(lambda: sampler.draw(out, 0), calls)  # noqa: B023 - called at once
                    for sampler, out in zip((theirs, ours), outs, strict=True)
                ]
                ratios.append(times[0] / times[1])
            assert (outs[0] == outs[1]).all()
            found[f"{name} {dtype}"] = statistics.median(ratios[1:])
    return found


def seconds(call: Callable[[], object], calls: int) -> float:
    """CPU time of this thread."""
    begin = time.thread_time()
    for _ in range(calls):
        call()
    return time.thread_time() - begin


def starts(rounds: int) -> dict[str, float]:
    """CPU seconds of a process: native, numba with nothing on disk, and with its code there."""
    found: dict[str, list[float]] = {"native": [], "numba, cold": [], "numba, warm": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name in found:
                found[name].append(process_seconds(name.partition(",")[0], folder))
    return {name: statistics.median(times) for name, times in found.items()}


def process_seconds(name: str, folder: str) -> float:
    """CPU time of a process that draws its first values."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "FASTINIT_BACKEND": name, "NUMBA_CACHE_DIR": folder}
    subprocess.run([sys.executable, "-c", START], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print two tables, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    instruction_sets.select({16: "avx512", 8: "avx2", 1: "scalar"}[LANES])
    rounds, calls = (1, 1) if options.toy else (options.rounds, 50)
    speed = shares(rounds, calls)
    for name, share in speed.items():
        print(f"{name:32} {share:6.2f} of the native backend's speed")
    start = starts(1 if options.toy else 3)
    for name, value in start.items():
        print(f"{name:32} {value:6.2f} CPU s until the first values")
    save(options.json, {"machine": measure.header(), "shares": speed, "starts": start})


if __name__ == "__main__":
    main()
