# SPDX-License-Identifier: MIT
"""How fast is a checkpoint written, against zeros through the same system calls?

    python benchmarks/bench_write.py [--folder DIR] [--rounds 5] [--toy] [--json FILE]

The ceiling has the same files, preallocation, chunks, threads, flushes and renames, but every
tensor is `zeros()`, so nothing is drawn.  Give a folder on the disk in question.  Each write runs
in a process of its own, whose CPU time and peak memory are reported.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from typing import get_args

from saving import save
from usage import Usage, in_a_child

import fastinit as fi
from fastinit.bench import measure
from fastinit.checkpoints.writable import Durability

TITLES = ("GB/s", "of zeros", "user s/GB", "sys s/GB", "peak MiB")
ZEROS = "zeros()"
INITS = (ZEROS, "normal(std=0.02)", "truncated_normal(std=0.02)")
Case = tuple[str, str, str]  # durability, dtype, init


def plan_of(init: str, layers: int) -> fi.Plan:
    """`layers` matrices of 64 MiB in float32."""
    scheme = fi.scheme(init)
    return fi.Plan([fi.Tensor(f"h.{i}.weight", (4096, 4096), scheme) for i in range(layers)])


def one(case: Case, parent: str | None, layers: int, threads: int | None) -> Usage:
    """What one write takes; removing the files is not counted."""
    durability, dtype, init = case
    plan = plan_of(init, layers)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        return in_a_child(
            lambda: fi.write(
                plan, folder, seed=0, dtype=dtype, durability=durability, threads=threads
            )
        )


def row(case: Case, runs: dict[Case, list[Usage]], size: int) -> dict[str, float]:
    """Print and return one line of the table."""
    used = Usage.median(runs[case])
    zeros = [run.seconds for run in runs[(*case[:2], ZEROS)]]
    found = {
        "gb_per_second": size / used.seconds / 1e9,
        "of_zeros": measure.ratio(zeros, [run.seconds for run in runs[case]]),
        "user_seconds_per_gb": used.user / size * 1e9,
        "system_seconds_per_gb": used.system / size * 1e9,
        "peak_mib": used.peak,
    }
    print(f"{case[0]:5} {case[1]:9} {case[2]:28}", *(f"{value:9.2f}" for value in found.values()))
    return {key: round(value, 3) for key, value in found.items()}


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--layers", type=int, default=16, help="matrices of 64 MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="[default: as `fastinit.write`]")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    layers, rounds = (1, 1) if options.toy else (options.layers, options.rounds)
    cases = list(product(get_args(Durability), ("float32", "bfloat16"), INITS))
    runs: dict[Case, list[Usage]] = {case: [] for case in cases}
    for turn in range(rounds + 1):
        for case in cases:
            used = one(case, options.folder, layers, options.threads)
            if turn:
                runs[case].append(used)
    print(" " * 44, *map("{:>9}".format, TITLES))
    rows = {}
    for case in cases:
        size = plan_of(ZEROS, layers).size(case[1])
        rows[" ".join(case)] = row(case, runs, size)
    save(options.json, {"machine": measure.header(), "rows": rows})


if __name__ == "__main__":
    main()
