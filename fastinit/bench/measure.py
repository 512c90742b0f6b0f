# SPDX-License-Identifier: MIT
"""How every benchmark measures: interleaved calls, ratios within a round, one header.

Absolute speeds drift with whatever else a machine does.  So all candidates take turns within one
run, and each is compared round by round with a reference that ran next to it: a ceiling such as
memset, or the clock.
"""

from __future__ import annotations

import ctypes
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy.typing as npt

import fastinit
from fastinit import _native, instruction_sets

CLOCK_CYCLES = 200_000
"""Cycles of one look at the clock: some 50 microseconds."""

BYTE = 0x5A
"""What `memset` sets.  Not zero: past its caches a processor may write zeros faster than it can
move data (Zen 4: 76 GB/s against 27), and a fill moves data."""

PAGE = 2**12
"""Bytes of which the part of a thread of `memset` is a multiple."""


def memset(out: npt.NDArray[Any], threads: int) -> None:
    """The C library's memset of a gapless array by so many threads: the ceiling of a fill.

    Each thread has one part, and none of it is fastinit's: a ceiling that ran through what is
    measured would be lost with it.
    """
    start, size = out.ctypes.data, out.nbytes
    part = max(1, -(-size // (threads * PAGE))) * PAGE

    def work(at: int) -> None:
        ctypes.memset(start + at, BYTE, min(part, size - at))

    others = [threading.Thread(target=work, args=(at,)) for at in range(part, size, part)]
    for thread in others:
        thread.start()
    work(0)
    for thread in others:
        thread.join()


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one unmeasured round that touches the memory."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            taken = timed(call)
            if turn:
                seconds[name].append(taken)
    return seconds


def interleaved_for(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float,
    before: Callable[[str], object] = lambda name: None,
) -> dict[str, list[float]]:
    """As `interleaved`, but no round after the first begins that may not end within `seconds`.

    What a call returns is freed after the clock has been read; `before` is called, with the name
    of the call, before it is read for the first time.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    begin = last = time.perf_counter()
    for turn in range(rounds + 1):
        now = time.perf_counter()
        if turn > 1 and now + (now - last) > begin + seconds:
            break
        last = now
        for name, call in calls.items():
            before(name)
            start = time.perf_counter()
            made = call()
            end = time.perf_counter()
            del made
            if turn:
                taken[name].append(end - start)
    return taken


def timed(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def clock_cycle() -> float:
    """Seconds of one clock cycle now, by additions that each wait for the one before."""
    return timed(lambda: _native.dependent_adds(CLOCK_CYCLES)) / CLOCK_CYCLES


def cycles(call: Callable[[], object], count: int, rounds: int) -> list[float]:
    """Clock cycles per element of a call that makes `count`, in each round, after a warm one.

    Each round looks at the clock before and after and takes the faster look, for a look that was
    interrupted would make the call seem quick.
    """
    call()
    found = []
    for _ in range(rounds):
        before = clock_cycle()
        taken = timed(call)
        found.append(taken / count / min(before, clock_cycle()))
    return found


def ratio(ceiling: Sequence[float], seconds: Sequence[float]) -> float:
    """The median over rounds of the ceiling's time over this call's: 1 is as fast."""
    return statistics.median(a / b for a, b in zip(ceiling, seconds, strict=True))


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")


def header(packages: Sequence[str] = ("numpy", "torch", "transformers")) -> dict[str, Any]:
    """What a figure depends on beside the code."""
    versions = {"fastinit": fastinit.__version__}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu(),
        "cpus": os.cpu_count(),
        "isa": instruction_sets.active(),
        "python": platform.python_version(),
        "versions": versions,
    }
