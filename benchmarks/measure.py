# SPDX-License-Identifier: MIT
"""How every benchmark here measures: interleaved calls, medians, one header, JSON.

Absolute speeds drift with whatever else a machine does.  So all candidates take turns within one
run, and each is compared with the ceiling round by round.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import fastinit
from fastinit import instruction_sets


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one unmeasured round that touches the memory."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def ratio(ceiling: list[float], seconds: list[float]) -> float:
    """The median over rounds of the ceiling's time over this call's: 1 is as fast."""
    return statistics.median(a / b for a, b in zip(ceiling, seconds, strict=True))


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")


def header() -> dict[str, Any]:
    """What a figure depends on beside the code."""
    versions = {"fastinit": fastinit.__version__}
    for package in ("numpy", "torch", "transformers"):
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


def save(path: str | None, content: dict[str, Any]) -> None:
    """Write the results as JSON if a path was given."""
    if path:
        Path(path).write_text(json.dumps(content, indent=2) + "\n")
