# SPDX-License-Identifier: MIT
"""Measures every figure that README.md and docs/performance.md quote, and prints their tables.

    python benchmarks/quoted.py [--only NAME ...] [--out benchmarks/results] [--toy]
    python benchmarks/quoted.py --read peers.json strides.json

On a quiet machine: it takes about an hour and needs 20 GB of disk.  Each run prints its own table
and leaves JSON; the tables that the documents show in another form come last, as Markdown.  It
measures nothing itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RUNS = {
    "track": "track.py run",
    "peers": "bench_peers.py --size 1GB --rounds 7 --plot",
    "strides": "bench_strides.py --rounds 9",
    "small": "bench_small.py",
    "orthogonal": "bench_orthogonal.py",
    "write": "bench_write.py --layers 8 --rounds 4",
    "write-memory": "bench_write.py --layers 8 --rounds 5 --folder /dev/shm",
    "memmap": "bench_memmap.py --rounds 3",
    "memmap-memory": "bench_memmap.py --rounds 3 --folder /dev/shm",
    "files": "bench_files.py --rounds 4",
    "files-memory": "bench_files.py --rounds 4 --folder /dev/shm --size 256",
    "stats": "bench_stats.py --size 8 --rounds 7",
    "headers": "bench_headers.py --rounds 3",
    "model-gpt2-xl": "bench_model.py --plan gpt2-xl --rounds 3",
    "model-llama-3-8b": "bench_model.py --plan llama-3-8b --rounds 1",
}

FILLS = (
    ("uniform", "float32"),
    ("normal", "float32"),
    ("truncated", "float32"),
    ("uniform", "bfloat16"),
    ("normal", "bfloat16"),
    ("truncated", "bfloat16"),
    ("uniform", "float64"),
    ("normal", "float64"),
)
NUMPY = [f"NumPy {bits}" for bits in ("SFC64", "PCG64", "Philox")]
PEERS = {
    "torch": ("torch uniform_", "torch normal_", "torch trunc_normal_"),
    "NumPy, best of one thread": NUMPY,
    "best of several": [f"{name} in threads" for name in NUMPY],
    "parallel-numpy-rng": ("parallel-numpy-rng",),
}

Row = Mapping[str, Any]


def run(name: str, out: Path, toy: bool) -> Path:
    """Run one of `RUNS`; its JSON."""
    program, *options = RUNS[name].split()
    command = [sys.executable, str(HERE / program), *options]
    if toy:
        command = [sys.executable, str(HERE / program), *options[: program == "track.py"], "--toy"]
    path = out / f"{datetime.now(UTC):%Y-%m-%d}-{name}.json"
    print(f"\n$ python benchmarks/{RUNS[name]}", flush=True)
    subprocess.run([*command, "--json", str(path)], check=True)
    return path


def peer_table(found: Row) -> Iterator[str]:
    """Fills of warm memory: fastinit, its share of memset, and the best of each kind of peer."""
    yield f"| | fastinit | of memset | {' | '.join(PEERS)} |"
    yield "|" + "---|" * (3 + len(PEERS))
    races = {(one["kind"], one["dtype"]): one for one in found["races"] if one["memory"] == "warm"}
    for kind, dtype in FILLS:
        one = races[kind, dtype]
        rows = {row["name"]: row for row in one["rows"]}
        own = rows["fastinit"]
        cells = [f"{own['msamples_per_second']:,.0f}", f"{own['of_memset']:.2f}"]
        cells += [best(rows, names) for names in PEERS.values()]
        doubt = "" if one["trusted"] else f" (not to be trusted: {'; '.join(one['doubts'])})"
        yield f"| {kind} {dtype} | {' | '.join(cells)} |{doubt}"


def best(rows: Mapping[str, Row], names: tuple[str, ...] | list[str]) -> str:
    """The fastest of these entrants, and how many times as fast fastinit is; "-" if none ran."""
    ran = [rows[name] for name in names if name in rows and "error" not in rows[name]]
    if not ran:
        return "-"
    row = max(ran, key=lambda row: row["msamples_per_second"])
    times = row["fastinit_times_as_fast"]
    return f"{row['msamples_per_second']:,.0f} ({times:.{1 if times < 100 else 0}f})"


def stride_table(found: Row) -> Iterator[str]:
    """What share of a contiguous fill's speed each case has."""
    yield "| | of contiguous |"
    yield "|---|---|"
    for name, row in found["rows"].items():
        yield f"| {name} | {row['of_contiguous']:.2f} |"


def table(path: Path) -> Iterator[str]:
    """The Markdown of one run's JSON, if a document shows it in another form."""
    found = json.loads(path.read_text())
    if "races" in found:
        yield from peer_table(found)
    elif "of_contiguous" in str(found.get("rows")):
        yield from stride_table(found)


def main() -> None:
    """Run, or read, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=RUNS, help="may be repeated")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="a folder for the JSON")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--read", type=Path, nargs="+", help="print the tables of this JSON")
    options = parser.parse_args()
    paths = options.read
    if not paths:
        options.out.mkdir(parents=True, exist_ok=True)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
        paths = [run(name, options.out, options.toy) for name in options.only or RUNS]
    for path in paths:
        print("", *table(path), sep="\n")


if __name__ == "__main__":
    main()
