# SPDX-License-Identifier: MIT
"""How fast are fills of memory, warm and fresh, against memset and every peer there is?

    python benchmarks/bench_peers.py [--size 1GB] [--rounds 9] [--threads N] [--json FILE] [--plot]
    python benchmarks/bench_peers.py --read FILE --plot
    python benchmarks/bench_peers.py --toy

The peers are those of fastinit/bench/peers.py that are installed (`pip install
'fastinit-weights[peers]' torch`); one that fails has a row that says so.  Memory is warm where a
buffer was touched before, and fresh where each call allocates its own, as its library does it, and
is timed from the allocation to the last value; peers that only return new arrays have only that.
memset is the C library's, over the same bytes, with as many threads.  Peers that are slow fill a
part of the samples.  Each call waits until the threads of the one before have fallen asleep, and a
race in which memset is not as fast as alone says that it is not to be trusted.  `--plot` draws
docs/figures/peers.png and needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from saving import save

from fastinit.bench import command, measure, race
from fastinit.bench.peers import PEERS, RACED, is_installed
from fastinit.machine import parallel

DTYPES = ("float32", "bfloat16", "float64")
SHARE = 0.25
"""Seconds that a peer takes in a round."""
FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "peers.png"


def races(size: int, threads: int, rounds: int, share: float) -> Iterator[race.Race]:
    """Every kind of values in every dtype, each in warm and in fresh memory."""
    installed = [peer for peer in PEERS if is_installed(peer.package)]
    buffer = np.ones(size, np.uint8)
    for dtype in DTYPES:
        for kind in RACED:
            for memory in buffer, None:
                yield race.run(
                    kind,
                    dtype,
                    installed,
                    size=size,
                    threads=threads,
                    buffer=memory,
                    rounds=rounds,
                    seconds=math.inf,
                    share=share,
                )


def results(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, and print each table as it is found."""
    threads = parallel.thread_count(options.threads)
    size = 2**20 if options.toy else command.buffer_size(options.size, threads)
    packages = sorted({peer.package for peer in PEERS})
    missing = [package for package in packages if not is_installed(package)]
    machine = measure.header([package for package in packages if package not in missing])
    found: dict[str, Any] = {"machine": machine, "threads": threads, "size": size, "races": []}
    print(", ".join(f"{key} {value}" for key, value in found["machine"].items()))
    rounds, share = (1, 0.001) if options.toy else (options.rounds, SHARE)
    for one in races(size, threads, rounds, share):
        found["races"].append(one.to_json())
        print("", *one.lines(), sep="\n", flush=True)
    found["not_installed"] = missing
    found["trusted"] = all(one["trusted"] for one in found["races"])
    if missing:
        print(f"\nnot installed, so not raced: {', '.join(missing)}")
    for line in race.verdict(found["races"]):
        print(line)
    return found


def main() -> None:
    """Measure or read, save the JSON, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1GB", help="bytes of the buffer")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    parser.add_argument("--read", type=Path, help="draw this JSON instead of measuring")
    parser.add_argument("--plot", action="store_true", help=f"draw {FIGURE.name}")
    parser.add_argument("--figure", type=Path, default=FIGURE, help="where to")
    options = parser.parse_args()
    found = json.loads(options.read.read_text()) if options.read else results(options)
    save(options.json, found)
    if options.plot:
        from peers_figure import draw

        draw(found, options.figure)
        print(options.figure)


if __name__ == "__main__":
    main()
