# SPDX-License-Identifier: MIT
"""What `fastinit bench` runs: this machine's figures, within half a minute.

The kernels in the cache, one small tensor, and races (race.py) of large fills, each with as many
rounds as its part of the time allows.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastinit
from fastinit import arrays, parallel
from fastinit.bench import measure, race
from fastinit.bench.peers import PEERS, SCHEMES, is_installed
from fastinit.bench.race import Race
from fastinit.checkpoints.layout import parse_size
from fastinit.dtypes import DTYPES
from fastinit.samplers import Sampler

SECONDS = 20.0
"""How long races begin.  One that has begun, or an import, can take some seconds more."""
ROUNDS = 9
SHARE = 0.03
"""Seconds that a peer takes in a round."""
CACHED = 2**16
"""Bytes of the buffer that the second cache holds."""
CALLS = 16  # of the kernel in a round, or of a small tensor
LEAST, USUAL = 10**6, 2**28
"""Bytes of the large buffer: the fewest, and how many if there is room and the machine is quick."""
FILL = 0.1
"""Seconds that fastinit takes to fill it, at most, if no size is asked for."""

RACES = (
    ("normal", "float32"),
    ("truncated", "float32"),
    ("normal", "bfloat16"),
    ("uniform", "float32"),
    ("normal", "float64"),
)
"""What is raced, what matters most first: the last may find no time left for peers."""

Show = Callable[[str], object]


PROCESS, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
"""Where Linux tells of this process and the machine, and of control groups (version 2)."""


def free_memory() -> int:
    """Bytes that this process may yet take: of the machine, and of its control groups."""
    try:
        lines = (PROCESS / "meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        free *= 1024
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = (PROCESS / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return free
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    group = GROUPS / own
    above = [folder for folder in group.parents if folder.is_relative_to(GROUPS)]
    return min([free, *(_free_of(folder) or free for folder in (group, *above))])


def _free_of(group: Path) -> int | None:
    """What a control group may yet take; files it can drop from its cache are no use of it."""
    try:
        most, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        lines = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # there is no group, or its limit is "max"
        return None
    cached = next((int(x.split()[1]) for x in lines if x.startswith("inactive_file ")), 0)
    return max(1, most - used + cached)


def buffer_size(size: str | None, threads: int) -> int:
    """Bytes of the large buffer, of which two are held at a time.

    Raises:
        ValueError: it is no size, too small to mean anything, or does not fit into memory.
    """
    free = free_memory()
    if size is None:
        out = np.empty(LEAST // 4, np.float32)
        fill = partial(fastinit.fill, out, SCHEMES["normal"], seed=0, name="w", threads=threads)
        fill()
        quick = int(out.nbytes / measure.timed(fill) * FILL)
        most = min(USUAL, free // 8, quick)
        return max(LEAST, 1 << most.bit_length() >> 1)
    try:
        found = parse_size(size)
    except ValueError:
        raise ValueError(
            f'size is {size!r}: pass bytes as a whole number, or text such as "256MB" or "1GB"'
        ) from None
    if found < LEAST:
        raise ValueError(f"size is {size!r}: pass {LEAST:,} bytes or more, or the caches hold it")
    if 2 * found > free:
        raise ValueError(
            f"size is {size!r}: two buffers are {2 * found:,} bytes, but {free:,} are free; "
            "pass half of that or less, or no size"
        )
    return found


def run(size: str | None, threads: int | None, show: Show) -> dict[str, Any]:
    """Measure everything, `show` it line by line as it is found, and return it for JSON.

    Raises:
        ValueError: an impossible size or number of threads, before anything is allocated.
    """
    began = time.perf_counter()
    workers = parallel.thread_count(threads)
    bytes_of_buffer = buffer_size(size, workers)
    packages = sorted({peer.package for peer in PEERS})
    missing = [package for package in packages if not is_installed(package)]
    machine = measure.header([package for package in packages if package not in missing])
    found: dict[str, Any] = {"machine": machine, "threads": workers, "size": bytes_of_buffer}
    for line in _head(found):
        show(line)
    found["cycles_per_sample"] = cycles = _cycles_per_sample()
    show("")
    show(f"{'one thread, in a buffer of 64 KiB':<40} {'cycles a sample':>18}")
    for name, figure in cycles.items():
        show(f"  {name:<38} {figure:>18.2f}")
    found["microseconds_of_1000"] = small = _microseconds()
    show("")
    show(f"{'a new tensor of 1,000 normals':<40} {'microseconds':>18}")
    for name, figure in small.items():
        show(f"  {name:<38} {figure:>18.1f}")
    found["races"] = races = []
    for one in _races(bytes_of_buffer, workers, began + SECONDS):
        races.append(one.to_json())
        show("")
        for line in one.lines():
            show(line)
    found["not_installed"] = missing
    found["seconds"] = time.perf_counter() - began
    show("")
    if missing:
        show(f"not installed, so not raced: {', '.join(missing)}")
    show(f"{found['seconds']:.0f} s")
    return found


def _head(found: dict[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    yield (
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['isa']}, "
        f"threads: {found['threads']}, buffers of {found['size']:,} bytes"
    )
    yield ", ".join(f"{name} {version}" for name, version in machine["versions"].items())


def _cycles_per_sample() -> dict[str, float]:
    """Clock cycles of the kernels alone, one thread, in a buffer that the second cache holds."""
    out = np.ones(CACHED, np.uint8)
    found = {}
    for kind, dtype in RACES:
        count = CACHED // DTYPES[dtype].size
        source = arrays.sampler(SCHEMES[kind], (count,), seed=0, name="w", dtype=dtype)

        def draw(source: Sampler = source) -> None:
            for _ in range(CALLS):
                source.draw(out, 0)

        rounds = measure.cycles(draw, CALLS * count, 5 * ROUNDS)
        found[f"{kind} {dtype}"] = statistics.median(rounds)
    return found


def _microseconds() -> dict[str, float]:
    """What a small tensor costs, most of which is not the drawing."""
    generator = np.random.default_rng(0)
    scheme = SCHEMES["normal"]

    def ours() -> None:
        for _ in range(CALLS):
            fastinit.array((1000,), scheme, seed=0, name="w")

    def numpys() -> None:
        for _ in range(CALLS):
            generator.standard_normal(1000, np.float32)

    seconds = measure.interleaved({"fastinit.array": ours, "NumPy": numpys}, 5 * ROUNDS)
    return {name: statistics.median(values) / CALLS * 1e6 for name, values in seconds.items()}


def _races(size: int, threads: int, end: float) -> Iterator[Race]:
    """Every race in warm memory; in fresh memory those of the peers that make their own."""
    peers = [peer for peer in PEERS if is_installed(peer.package)]
    buffer = np.ones(size, np.uint8)
    for number, (kind, dtype) in enumerate(RACES):
        entrants = [peer for peer in peers if (peer.kind, peer.dtype) == (kind, dtype)]
        for fresh in False, True:
            parts = 2 * (len(RACES) - number) - fresh
            seconds = (end - time.perf_counter()) / parts
            one = race.run(
                kind,
                dtype,
                entrants,
                size=size,
                threads=threads,
                buffer=None if fresh else buffer,
                rounds=ROUNDS,
                seconds=seconds,
                share=SHARE,
                end=end,
            )
            yield one
            names = {row.name for row in one.rows}
            entrants = [peer for peer in entrants if peer.name not in names]
