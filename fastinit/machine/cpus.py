# SPDX-License-Identifier: MIT
"""How many CPUs this process may use: its affinity, and the quota of its control groups.

It does not start threads: `parallel` does.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import NamedTuple

from fastinit.machine import cgroups

QUOTA_SECONDS = 1.0
"""How long a quota is used before it is read again; reading it took 0.11 ms."""

_read = (-math.inf, math.inf)  # when the quota was read, and its value


class Cpus(NamedTuple):
    """How many CPUs may be used, and what sets that number."""

    number: int
    reason: str


def usable() -> Cpus:
    """The CPUs that this process may use.

    A quota is a share of time rather than a set of CPUs.  One of 2.5 CPUs counts as 3, as in Go,
    Java and .NET: with 2 threads a fifth of it would be lost, and with more than 3 the threads only
    wait for each other.
    """
    if hasattr(os, "sched_getaffinity"):  # what taskset and cpusets allow
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    limit = _current_quota()
    if limit <= number - 1:
        return Cpus(max(1, math.ceil(limit)), f"a CPU quota of {round(limit, 2):g}")
    return Cpus(number, "the CPUs that this process may use")


def _current_quota() -> float:
    global _read
    now = time.monotonic()
    if now - _read[0] >= QUOTA_SECONDS:
        _read = now, quota()
    return _read[1]


def quota(root: Path = cgroups.ROOT) -> float:
    """The tightest quota of this process's control groups, in CPUs; infinity if there is none.

    Args:
        root: the root of the file system; tests pass another one.
    """
    return min(map(_quota_of, cgroups.groups("cpu", root)), default=math.inf)


def _quota_of(group: cgroups.Group) -> float:
    if group.version == 2:
        words = cgroups.read(group.folder / "cpu.max").split()
    else:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [cgroups.read(group.folder / name).strip() for name in names]
    try:
        share, period = map(int, words)
        return share / period if share > 0 and period > 0 else math.inf  # -1: no limit
    except (ValueError, OverflowError):  # "max", or the group has no such file
        return math.inf
