# SPDX-License-Identifier: MIT
"""What does one small tensor cost: alone, against NumPy, and as one of thousands in a checkpoint?

    python benchmarks/bench_small.py [--folder DIR] [--rounds 15] [--toy] [--json FILE]

Each call is repeated inside a round; the figure is microseconds a call.  In a checkpoint it is what
the tensor adds: making the plan and writing it, less the same bytes in one tensor, by the number of
tensors; nothing is flushed, so the disk is not measured.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from saving import save

import fastinit as fi
from fastinit.bench import measure

KINDS = (
    ("weight", (10, 100), "he_normal()"),
    ("gain", (1000,), "normal(std=0.02)"),
    ("norm.weight", (1000,), "ones()"),
    ("bias", (1000,), "zeros()"),
)
COUNTS = (5_000, 20_000)


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            call()

    return run


def many(count: int, folder: Path) -> Callable[[], None]:
    """Make and write a plan of `count` tensors of 1,000 values, of four kinds in turn."""
    schemes = {init: fi.scheme(init) for _, _, init in KINDS}

    def call() -> None:
        kinds = (KINDS[number % len(KINDS)] for number in range(count))
        plan = fi.Plan(
            fi.Tensor(f"h.{number}.{name}", shape, schemes[init])
            for number, (name, shape, init) in enumerate(kinds)
        )
        fi.write(plan, folder, seed=0, durability="none", overwrite=True)

    return call


def whole(count: int, folder: Path) -> Callable[[], None]:
    """The same bytes, half of them drawn, in two tensors."""
    halves = [fi.Tensor(init, (count // 2, 1000), init) for init in ("normal(std=0.02)", "zeros()")]
    plan = fi.Plan(halves)
    return lambda: fi.write(plan, folder, seed=0, durability="none", overwrite=True) and None


def alone(times: int, rounds: int) -> dict[str, float]:
    """Microseconds of a call that makes one tensor."""
    scheme, out = fi.normal(std=0.02), np.empty(1000, np.float32)
    generator = np.random.Generator(np.random.SFC64(0))
    calls: dict[str, Callable[[], object]] = {
        "numpy standard_normal, 1,000 new": lambda: generator.standard_normal(1000, np.float32),
        "array, 1,000 new": lambda: fi.array((1000,), scheme, seed=0, name="w"),
        "fill, 1,000 in place": lambda: fi.fill(out, scheme, seed=0, name="w"),
        "array, 10 x 100, he_normal()": lambda: fi.array(
            (10, 100), fi.he_normal(), seed=0, name="w"
        ),
        "he_normal()": fi.he_normal,
    }
    seconds = measure.interleaved(
        {name: repeated(call, times) for name, call in calls.items()}, rounds
    )
    return {name: statistics.median(values) / times * 1e6 for name, values in seconds.items()}


def in_checkpoints(counts: tuple[int, ...], rounds: int, folder: Path) -> dict[str, float]:
    """Microseconds that a tensor adds to a checkpoint of so many."""
    found = {}
    for count in counts:
        calls = {"many": many(count, folder), "whole": whole(count, folder)}
        seconds = measure.interleaved(calls, rounds)
        added = [a - b for a, b in zip(seconds["many"], seconds["whole"], strict=True)]
        found[f"write, one of {count:,}"] = statistics.median(added) / count * 1e6
        shutil.rmtree(folder)
    return found


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    times, rounds, counts = (10, 1, (20,)) if options.toy else (2000, options.rounds, COUNTS)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = alone(times, rounds) | in_checkpoints(counts, rounds, Path(folder) / "checkpoint")
    rows = {name: round(value, 2) for name, value in found.items()}
    for name, value in rows.items():
        print(f"{name:36} {value:8.2f} us")
    save(options.json, {"machine": measure.header(), "microseconds": rows})


if __name__ == "__main__":
    main()
