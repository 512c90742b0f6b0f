# SPDX-License-Identifier: MIT
"""What `fastinit bench` runs: the figures of this machine, within half a minute.

It measures the kernels in the cache, one small tensor, and races (race.py) of large fills, each
with as many rounds as its share of the time allows.  It does not parse arguments: `cli` does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastinit
from fastinit.bench import measure, race
from fastinit.bench.peers import PEERS, RACED, is_installed
from fastinit.bench.race import Race
from fastinit.checkpoints.sizes import parse_size
from fastinit.machine import cgroups, pages, parallel
from fastinit.numerics.dtypes import DTYPES
from fastinit.schemes.sampling import sampler
from fastinit.values.samplers import Sampler
from fastinit.values.stream import Stream

SECONDS = 20.0
"""For how long new races begin.  A running race, or an import, can take a few seconds more."""
ROUNDS = 9
SHARE = 0.03
"""Seconds that a peer takes in a round."""
CACHED = 2**16
"""Bytes of a buffer that fits the L2 cache."""
CALLS = 16  # of a kernel per round
SMALL_CALLS = 200  # of a small tensor per round, so that waking up is a small part of the time
LEAST, USUAL = 10**6, 2**28
"""Bytes of the large buffer: the fewest, and the usual number if memory and speed allow it."""
FILL = 0.1
"""Seconds that fastinit may take to fill it, if no size is given."""

RACES = (
    ("normal", "float32"),
    ("truncated", "float32"),
    ("normal", "bfloat16"),
    ("uniform", "float32"),
    ("normal", "float64"),
)
"""What is raced, in order of importance: the last races may have no time left for peers."""

Show = Callable[[str], object]


def free_memory(root: Path = cgroups.ROOT) -> int:
    """Bytes that this process may still allocate: on the machine, and in its control groups.

    Args:
        root: of the file system; tests pass another one.
    """
    lines = cgroups.read(root / "proc/meminfo").splitlines()
    free = _number(lines, "MemAvailable:") * 1024
    if not free:
        free = pages.physical_memory()
    return min([free, *(_free_of(group) or free for group in cgroups.groups("memory", root))])


def _free_of(group: cgroups.Group) -> int | None:
    """What a control group may still allocate, plus what it can drop from its cache of files."""
    names = ("max", "current") if group.version == 2 else ("limit_in_bytes", "usage_in_bytes")
    try:
        most, used = (int(cgroups.read(group.folder / f"memory.{name}")) for name in names)
    except ValueError:  # there is no such file, or the limit is "max"
        return None
    cached = "inactive_file" if group.version == 2 else "total_inactive_file"
    lines = cgroups.read(group.folder / "memory.stat").splitlines()
    return max(1, most - used + _number(lines, cached))


def _number(lines: list[str], name: str) -> int:
    """The number after a name, or 0."""
    rows = (line.split() for line in lines)
    return next((int(row[1]) for row in rows if row[:1] == [name]), 0)


def buffer_size(size: str | None, threads: int) -> int:
    """Bytes of the large buffer; two such buffers exist at a time.

    Raises:
        ValueError: it is not a size, or it is too small to be meaningful or too large for memory.
    """
    free = free_memory()
    if size is None:
        out = np.empty(LEAST // 4, np.float32)
        fill = partial(fastinit.fill, out, RACED["normal"], seed=0, name="w", threads=threads)
        fill()
        least = min(measure.timed(fill) for _ in range(5))  # other programs may disturb some
        quick = int(out.nbytes / least * FILL)
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
    """Measure everything, `show` each line as soon as it is known, and return all for JSON.

    Raises:
        ValueError: the size or the number of threads is impossible; nothing is allocated then.
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
    show(f"{'one thread, in a buffer of 64 KiB':<40} {'cycles per sample':>18}")
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
    found["trusted"] = all(one["trusted"] for one in races)
    found["not_installed"] = missing
    found["seconds"] = time.perf_counter() - began
    show("")
    if missing:
        show(f"not installed, so not raced: {', '.join(missing)}")
    for line in race.verdict(races):
        show(line)
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
    """Clock cycles of the kernels alone, one thread, in a buffer that fits the L2 cache."""
    out = np.ones(CACHED, np.uint8)
    found = {}
    for kind, dtype in RACES:
        count = CACHED // DTYPES[dtype].size
        source = sampler(RACED[kind], (count,), Stream(0, "w"), DTYPES[dtype])

        def draw(source: Sampler = source) -> None:
            for _ in range(CALLS):
                source.draw(out, 0)

        rounds = measure.cycles(draw, CALLS * count, 5 * ROUNDS)
        found[f"{kind} {dtype}"] = statistics.median(rounds)
    return found


def _microseconds() -> dict[str, float]:
    """The cost of a small tensor, most of which is not drawing."""
    generator = np.random.default_rng(0)
    scheme = RACED["normal"]

    def ours() -> None:
        for _ in range(SMALL_CALLS):
            fastinit.array((1000,), scheme, seed=0, name="w")

    def numpys() -> None:
        for _ in range(SMALL_CALLS):
            generator.standard_normal(1000, np.float32)

    seconds = measure.interleaved({"fastinit.array": ours, "NumPy": numpys}, 5 * ROUNDS)
    return {name: statistics.median(values) / SMALL_CALLS * 1e6 for name, values in seconds.items()}


def _races(size: int, threads: int, end: float) -> Iterator[Race]:
    """Every race in warm memory, then in fresh memory with the peers that return new arrays."""
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
