# SPDX-License-Identifier: MIT
"""How does the speed of a fill grow with its threads, against memset with as many?

    python benchmarks/bench_cores.py [--count 536870912] [--threads 1,2,4] [--rounds 5] [--toy]
        [--json FILE]

Float32 into memory that was touched before.  All fills and memset take turns; "of memset" is the
median of the rounds' ratios.  docs/pictures/memory_limit.py draws the JSON.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from saving import save

import fastinit as fi
from fastinit.bench import measure

SCHEMES = {
    "uniform": fi.uniform(-0.05, 0.05),
    "normal": fi.normal(std=0.02),
    "truncated": fi.truncated_normal(std=0.02),
}


def powers(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`, and `most` itself."""
    return sorted({*(2**k for k in range(most.bit_length())), most})


def measured(out: npt.NDArray[np.float32], threads: int, rounds: int) -> dict[str, Any]:
    """Billions of values a second, and the shares of memset, with that many threads."""
    calls = {"memset": partial(measure.memset, out, threads)}
    for name, scheme in SCHEMES.items():
        calls[name] = partial(fi.fill, out, scheme, seed=0, name="w", threads=threads)
    taken = measure.interleaved(calls, rounds)
    speeds = {n: out.size / statistics.median(seconds) / 1e9 for n, seconds in taken.items()}
    shares = {name: measure.ratio(taken["memset"], taken[name]) for name in SCHEMES}
    return {"threads": threads, "billions a second": speeds, "of memset": shares}


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2**29, help="elements")
    parser.add_argument("--threads", help="numbers between commas; by default powers of 2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    count, rounds = (2**16, 1) if options.toy else (options.count, options.rounds)
    chosen = options.threads
    threads = [int(n) for n in chosen.split(",")] if chosen else powers(os.cpu_count() or 1)
    out, neighbours = np.ones(count, np.float32), measure.Neighbours()
    print(f"{measure.cpu()}, {count:,} float32; billions of values a second, of memset")
    print(f"threads{'memset':>10}" + "".join(f"{name:>16}" for name in SCHEMES))
    rows = []
    for number in threads:
        row = measured(out, number, rounds)
        rows.append(row)
        speeds, shares = row["billions a second"], row["of memset"]
        cells = (f"{speeds[name]:>10.2f}{shares[name]:>6.2f}" for name in SCHEMES)
        print(f"{number:>7}{speeds['memset']:>10.2f}" + "".join(cells), flush=True)
    others = neighbours.share()
    print(f"other programs took {others:.0%} of the CPUs")
    found = {"date": datetime.date.today().isoformat(), "machine": measure.header(["numpy"])}
    save(options.json, {**found, "count": count, "others": others, "rows": rows})


if __name__ == "__main__":
    main()
