# SPDX-License-Identifier: MIT
"""How fast is an orthogonal matrix made, against the arithmetic it needs and against torch?

    python benchmarks/bench_orthogonal.py [--sizes 1024 8192] [--rounds 3] [--toy] [--json FILE]

Square float32 matrices, the stream's normals included.  The ceiling is NumPy's matmul of two such
matrices: 2 n^3 operations, where the reflectors need 4/3 n^3, so "of matmul" is 2/3 of its time
over the time taken.  torch.nn.init.orthogonal_ is run if torch is installed.  All use the threads
that they take by themselves; OMP_NUM_THREADS sets them.  The error is the largest element of
|Q'Q - I|, the product taken in float64; "x torch" is how many times as fast as torch it is.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from saving import save

import fastinit as fi
from fastinit.bench import measure

OURS, CEILING, PEER = "fastinit orthogonal", "numpy matmul", "torch orthogonal_"


def fastinit_call(size: int) -> Callable[[], Any]:
    """The normals, the matrix made of them, and its place in memory."""
    return lambda: fi.array((size, size), fi.orthogonal(), seed=0, name="w")


def matmul_call(size: int) -> Callable[[], Any]:
    """The ceiling."""
    left, out = np.full((size, size), 0.5, np.float32), np.empty((size, size), np.float32)
    return lambda: np.matmul(left, left, out=out)


def torch_calls(size: int) -> dict[str, Callable[[], Any]]:
    """The peer, where it is."""
    try:
        import torch
    except ImportError:
        return {}
    weight = torch.empty(size, size)
    return {PEER: lambda: torch.nn.init.orthogonal_(weight).numpy()}


def from_identity(q: Any) -> float:
    """The largest element of |Q'Q - I|."""
    wide = q.astype(np.float64)
    gram = wide.T @ wide
    diagonal = np.einsum("ii->i", gram)
    diagonal -= 1
    return float(max(gram.max(), -gram.min()))


def rows_of(size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds, share of the ceiling and error of each, for one size."""
    peers = {OURS: fastinit_call(size), **torch_calls(size)}
    errors = {name: from_identity(call()) for name, call in peers.items()}
    seconds = measure.interleaved({CEILING: matmul_call(size), **peers}, rounds)
    needed = [value * 2 / 3 for value in seconds[CEILING]]
    rows = {}
    for name in peers:
        rows[name] = {
            "seconds": statistics.median(seconds[name]),
            "of_matmul": measure.ratio(needed, seconds[name]),
            "error": errors[name],
        }
        if PEER in peers:
            rows[name]["of_torch"] = measure.ratio(seconds[PEER], seconds[name])
    return rows


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096, 8192])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    sizes, rounds = ([64], 1) if options.toy else (options.sizes, options.rounds)
    head = measure.header()
    print(", ".join(f"{key} {value}" for key, value in head.items()))
    print(f"{'':24} {'seconds':>10} {'of matmul':>10} {'error':>10} {'x torch':>10}")
    rows = {}
    for size in sizes:
        for name, row in rows_of(size, rounds).items():
            rows[f"{name} {size}"] = row
            seconds, share, error = row["seconds"], row["of_matmul"], row["error"]
            ratio = f"{row['of_torch']:10.2f}" if "of_torch" in row else "no torch"
            print(
                f"{name + f' {size:,}':24} {seconds:10.4f} {share:10.3f} {error:10.1e} {ratio:>10}"
            )
    save(options.json, {"machine": head, "rows": rows})


if __name__ == "__main__":
    main()
