# SPDX-License-Identifier: MIT
"""How fast is a fill of memory that is already there, against memset and the peers?

    python benchmarks/bench_fill.py [--size BYTES] [--rounds 7] [--threads 2] [--toy] [--json FILE]

The ceiling is memset (`array.fill(0)`) over the same bytes.  Peers are run if they are installed:
NumPy's Generator (one thread, as it is) and torch (with as many threads).
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

import fastinit as fi
from fastinit import instruction_sets
from fastinit.bench import measure
from fastinit.checkpoints.layout import parse_size
from fastinit.dtypes import DTYPES

SCHEMES = {
    "uniform": fi.uniform(-0.02, 0.02),
    "normal": fi.normal(std=0.02),
    "clipped": fi.clipped_normal(std=0.02),
    "truncated": fi.truncated_normal(std=0.02),
    "truncated -1..2": fi.truncated_normal(std=0.02, low=-1, high=2),
}


def fastinit_calls(count: int, threads: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """Every scheme in float32, and the normal in every other dtype; the same count of samples."""
    calls = {}
    for dtype in DTYPES:
        out = np.ones(count, DTYPES[dtype].numpy)
        for label, scheme in SCHEMES.items():
            if dtype == "float32" or label == "normal":
                calls[f"{label} {dtype}"] = (
                    count,
                    lambda out=out, scheme=scheme: fi.fill(
                        out, scheme, seed=0, name="w", threads=threads
                    ),
                )
    return calls


def isa_calls(count: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """The normal on each instruction set, one thread."""
    calls = {}
    best = instruction_sets.active()
    out = np.ones(count, np.float32)
    for name in instruction_sets.available():

        def call(name: str = name) -> None:
            instruction_sets.select(name)
            fi.fill(out, SCHEMES["normal"], seed=0, name="w", threads=1)
            instruction_sets.select(best)

        calls[f"normal float32, {name}, 1 thread"] = count, call
    return calls


def numpy_calls(count: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """NumPy's fastest generator, on an eighth of the samples."""
    count //= 8
    generator = np.random.Generator(np.random.SFC64(0))
    out = np.ones(count, np.float32)
    return {
        "numpy SFC64 normal": (
            count,
            lambda: generator.standard_normal(out=out, dtype=np.float32),
        ),
        "numpy SFC64 uniform": (count, lambda: generator.random(out=out, dtype=np.float32)),
    }


def torch_calls(count: int, threads: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """torch's in-place fills, on an eighth of the samples."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    count //= 8
    wide, narrow = torch.ones(count), torch.ones(count, dtype=torch.bfloat16)
    return {
        "torch uniform_": (count, lambda: wide.uniform_(-0.02, 0.02)),
        "torch normal_": (count, lambda: wide.normal_(0, 0.02)),
        "torch trunc_normal_": (
            count,
            lambda: torch.nn.init.trunc_normal_(wide, std=0.02, a=-0.04, b=0.04),
        ),
        "torch normal_ bfloat16": (count, lambda: narrow.normal_(0, 0.02)),
    }


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1073741824", help="bytes of the float32 buffer")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    count = 2**18 if options.toy else parse_size(options.size) // 4
    rounds = 1 if options.toy else options.rounds
    ceiling = np.ones(count, np.float32)
    calls = {
        "memset": (count, lambda: ceiling.fill(0)),
        **fastinit_calls(count, options.threads),
        **isa_calls(count // 8),
        **numpy_calls(count),
        **torch_calls(count, options.threads),
    }
    seconds = measure.interleaved({name: call for name, (_, call) in calls.items()}, rounds)
    head = {**measure.header(), "threads": options.threads, "samples": count}
    print(", ".join(f"{key} {value}" for key, value in head.items()))
    print(f"{'':36} {'Msamples/s':>10} {'of memset':>10}")
    rows: dict[str, dict[str, Any]] = {}
    for name, (samples, _) in calls.items():
        per_sample = [value / samples for value in seconds[name]]
        speed = 1e-6 / statistics.median(per_sample)
        # "of memset" compares samples with float32 samples set, whatever the dtype.
        share = measure.ratio([value / count for value in seconds["memset"]], per_sample)
        rows[name] = {"msamples_per_second": round(speed, 1), "of_memset": round(share, 4)}
        print(f"{name:36} {speed:10,.0f} {share:10.3f}")
    measure.save(options.json, {"machine": head, "rows": rows})


if __name__ == "__main__":
    main()
