# SPDX-License-Identifier: MIT
"""How fast is a checkpoint written, against zeros through the same system calls?

    python benchmarks/bench_write.py [--folder DIR] [--rounds 5] [--toy] [--json FILE]

The ceiling has the same files, preallocation, chunks, threads, flushes and renames, but every
tensor is `zeros()`, so nothing is drawn.  Give a folder on the disk in question.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import fastinit as fi
from fastinit.bench import measure


def plan_of(init: str, layers: int) -> fi.Plan:
    """`layers` matrices of 64 MiB in float32."""
    scheme = fi.scheme(init)
    return fi.Plan([fi.Tensor(f"h.{i}.weight", (4096, 4096), scheme) for i in range(layers)])


def writer(folder: Path, init: str, layers: int, dtype: str) -> Callable[[], None]:
    plan = plan_of(init, layers)

    def call() -> None:
        fi.write(plan, folder, seed=0, dtype=dtype)
        shutil.rmtree(folder)

    return call


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--layers", type=int, default=16, help="matrices of 64 MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    layers, rounds = (1, 1) if options.toy else (options.layers, options.rounds)
    rows = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "checkpoint"
        for dtype in ("float32", "bfloat16"):
            size = plan_of("zeros()", layers).size(dtype)
            calls = {
                init: writer(folder, init, layers, dtype)
                for init in ("zeros()", "normal(std=0.02)", "truncated_normal(std=0.02)")
            }
            seconds = measure.interleaved(calls, rounds)
            for init, values in seconds.items():
                speed = size / statistics.median(values) / 1e9
                share = measure.ratio(seconds["zeros()"], values)
                rows[f"{init} {dtype}"] = {"gb_per_second": round(speed, 3), "of_zeros": share}
                print(f"{init:28} {dtype:9} {speed:6.2f} GB/s {share:6.3f} of zeros")
    measure.save(options.json, {"machine": measure.header(), "rows": rows})


if __name__ == "__main__":
    main()
