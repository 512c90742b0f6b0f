# SPDX-License-Identifier: MIT
"""How every benchmark measures: interleaved calls, ratios within a round, one header.

Absolute speeds drift with the load of the machine.  So all candidates take turns within one run,
and each is compared, round by round, with a baseline that runs next to it: memset, or the clock.
No other thread may run while a call is timed, so each call waits until the thread pools of the
calls before it have fallen asleep.  What is measured is in the other files.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import os
import platform
import random
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy.typing as npt

import fastinit
from fastinit.backends.selection import active
from fastinit.machine.state import dependent_adds

CLOCK_CYCLES = 200_000
"""Cycles per measurement of the clock: about 50 microseconds."""

BYTE = 0x5A
"""The byte that `memset` sets.  It is not zero, because a processor may write zeros past its caches
faster than it moves data (Zen 4: 76 GB/s instead of 27), and a fill moves data."""

MEMORY_PAGE = 2**12
"""The part of each thread of `memset` is a multiple of this many bytes."""

WINDOW, IDLE = 0.005, 0.02
"""Seconds for which threads are watched at a time, and the share of CPU time below which they
sleep."""

STAT = Path("/proc/stat")
"""Where Linux reports how long its CPUs have been busy."""

PATIENCE = 1.0
"""Seconds that threads have to fall asleep; those of some OpenMP libraries spin for 0.2."""

TASKS = Path("/proc/self/task")
"""Where Linux lists the threads of this process; on other systems it does not exist."""


def memset(out: npt.NDArray[Any], threads: int) -> int:
    """The C library's memset of a contiguous array by several threads: the baseline of a fill.

    Each thread sets one part.  No code of fastinit runs here, because a baseline that used the code
    to be measured would slow down with it.

    Returns:
        How many threads could not be started; the calling thread sets their parts.
    """
    start, size = out.ctypes.data, out.nbytes
    part = max(1, -(-size // (threads * MEMORY_PAGE))) * MEMORY_PAGE
    parts = iter(range(0, size, part))
    started: list[threading.Thread] = []

    def work(at: int) -> None:
        ctypes.memset(start + at, BYTE, min(part, size - at))

    own = list(itertools.islice(parts, 1))
    for at in parts:
        thread = threading.Thread(target=work, args=(at,))
        try:
            thread.start()
        except RuntimeError:  # the system refuses more threads
            own += [at, *parts]
        else:
            started.append(thread)
    for at in own:
        work(at)
    for thread in started:
        thread.join()
    return max(0, len(own) - 1)


def asleep(patience: float = PATIENCE) -> bool:
    """Wait until no other thread of this process runs.

    The threads of many libraries spin for a while after each call, in case another call follows.
    The next timed call would share the cores with them.

    Returns:
        True once no other thread runs; False after `patience` seconds.
    """
    end = time.perf_counter() + patience
    while True:
        before = _seconds_of_others()
        time.sleep(WINDOW)
        if _seconds_of_others() - before < IDLE * WINDOW and not _others_wait():
            return True
        if time.perf_counter() >= end:
            return False


def _seconds_of_others() -> float:
    """CPU time of all threads except this one."""
    return time.process_time() - time.thread_time()


def _others_wait() -> bool:
    """Whether another thread is runnable, according to Linux, even if a busy machine delays it."""
    own = str(threading.get_native_id())
    for task in TASKS.glob("*/stat"):
        with suppress(OSError):  # the thread has ended
            state = task.read_text().rpartition(")")[2].split()[0]
            if state == "R" and task.parent.name != own:
                return True
    return False


class Neighbours:
    """Observes other programs of this machine, from the creation of this object on."""

    def __init__(self) -> None:
        self._begin, self._before = time.perf_counter(), self._seconds()

    def share(self) -> float:
        """The share of all CPUs that they, and the host of a virtual machine, have taken.

        0 if the system does not report it.
        """
        capacity = (time.perf_counter() - self._begin) * (os.cpu_count() or 1)
        return max(0.0, (self._seconds() - self._before) / capacity)

    @staticmethod
    def _seconds() -> float:
        """CPU time of all other programs, since the machine was started."""
        try:
            ticks = map(int, STAT.read_text().split(maxsplit=9)[1:9])
            user, nice, system, _, _, irq, softirq, steal = ticks
        except (OSError, ValueError):
            return 0.0
        busy = user + nice + system + irq + softirq + steal
        return busy / os.sysconf("SC_CLK_TCK") - time.process_time()


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    seconds: float = math.inf,
    before: Callable[[str], object] = lambda name: asleep(),
) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one unmeasured round that touches the memory.

    The order differs between rounds and is the same in every run, so no call always follows the
    same other call.

    Args:
        calls: by name.
        rounds: how many at most.
        seconds: after the first round, no round begins that may take longer than is left of these.
        before: called with the name of each call, before the clock is read.

    The result of a call is freed after the clock has been read.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    begin = last = time.perf_counter()
    for turn in range(rounds + 1):
        now = time.perf_counter()
        if turn > 1 and now + (now - last) > begin + seconds:
            break
        last = now
        for name in random.Random(turn).sample(list(calls), len(calls)):
            before(name)
            passed = timed(calls[name])
            if turn:
                taken[name].append(passed)
    return taken


def timed(call: Callable[[], object]) -> float:
    """Seconds that one call takes; its result is freed afterwards."""
    begin = time.perf_counter()
    made = call()
    passed = time.perf_counter() - begin
    del made
    return passed


def clock_cycle() -> float:
    """Seconds per clock cycle at present, from additions that each wait for the one before."""
    return timed(lambda: dependent_adds(CLOCK_CYCLES)) / CLOCK_CYCLES


def cycles(call: Callable[[], object], count: int, rounds: int) -> list[float]:
    """Clock cycles per element of a call that draws `count` elements, per round, after a warm-up.

    Each round measures the clock before and after the call and takes the faster result, because a
    measurement that was interrupted would make the call seem fast.
    """
    call()
    found = []
    for _ in range(rounds):
        before = clock_cycle()
        taken = timed(call)
        found.append(taken / count / min(before, clock_cycle()))
    return found


def ratio(ceiling: Sequence[float], seconds: Sequence[float]) -> float:
    """The median over rounds of the baseline's time divided by this call's; 1 means as fast."""
    return statistics.median(a / b for a, b in zip(ceiling, seconds, strict=True))


def cpu() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")


def header(packages: Sequence[str] = ("numpy", "torch", "transformers")) -> dict[str, Any]:
    """What a figure depends on apart from the code."""
    versions = {"fastinit": fastinit.__version__}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    code = active().details()
    return {
        "cpu": cpu(),
        "cpus": os.cpu_count(),
        "isa": code.get("instruction set") or f"numba for {code['compiled for']}",
        "python": platform.python_version(),
        "versions": versions,
    }
