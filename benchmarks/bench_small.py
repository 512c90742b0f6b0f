# SPDX-License-Identifier: MIT
"""What does one small tensor cost, against NumPy?

    python benchmarks/bench_small.py [--rounds 15] [--toy] [--json FILE]

Each call is repeated inside a round; the figure is microseconds a call.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np

import fastinit as fi
from fastinit.bench import measure


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            call()

    return run


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    times, rounds = (10, 1) if options.toy else (2000, options.rounds)
    scheme, out = fi.normal(std=0.02), np.empty(1000, np.float32)
    generator = np.random.Generator(np.random.SFC64(0))
    calls: dict[str, Callable[[], object]] = {
        "numpy standard_normal, 1,000 new": lambda: generator.standard_normal(1000, np.float32),
        "array, 1,000 new": lambda: fi.array((1000,), scheme, seed=0, name="w"),
        "fill, 1,000 in place": lambda: fi.fill(out, scheme, seed=0, name="w"),
        "array, 10 x 100, he_normal()": lambda: fi.array(
            (10, 100), fi.he_normal(), seed=0, name="w"
        ),
    }
    seconds = measure.interleaved(
        {name: repeated(call, times) for name, call in calls.items()}, rounds
    )
    rows = {}
    for name, values in seconds.items():
        rows[name] = round(statistics.median(values) / times * 1e6, 2)
        print(f"{name:36} {rows[name]:8.2f} us")
    measure.save(options.json, {"machine": measure.header(), "microseconds": rows})


if __name__ == "__main__":
    main()
