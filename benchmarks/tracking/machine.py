# SPDX-License-Identifier: MIT
"""What figures depend on beside the code: processor, threads, compiler, versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastinit.backends import instruction_sets
from fastinit.bench import measure
from fastinit.machine import parallel
from tracking import device

COMPILER = os.environ.get("CC", "gcc")
KIND = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
"""Lines of /proc/cpuinfo (x86-64, then AArch64) that tell one microarchitecture from another."""


def describe() -> dict[str, Any]:
    """This machine, as it is stored with every run."""
    return {
        **measure.header(("numpy",)),
        "architecture": platform.machine(),
        "microarchitecture": microarchitecture(),
        "available": " ".join(available()),
        "files": files()[0],
        "threads": parallel.thread_count(),
        "load": round(os.getloadavg()[0], 1),
        "compiler": version_of(COMPILER),
        "valgrind": version_of("valgrind"),
        "nvrtc": device.version(),
    }


def available() -> list[str]:
    """The instruction sets that have rows here: the processor's, and a device's that is counted."""
    counted = [] if device.missing() else [device.COUNTED]
    return [*instruction_sets.available(), *counted]


def microarchitecture() -> str:
    """Such as "AuthenticAMD family 25 model 17": of two CPUs sold under one name, which."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return measure.cpu()
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    words = [f"{key.removeprefix('cpu ')} {found[key]}" for key in KIND if key in found]
    return " ".join(words).removeprefix("vendor_id ") or measure.cpu()


def files() -> tuple[str, str | None]:
    """Where checkpoints go: into memory if there is room, for a disk's speed is not ours."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2**30:
        return "memory", str(memory)
    return "disk", None


def version_of(tool: str) -> str | None:
    """The first line of what `tool --version` prints; None if it is not in this machine."""
    if shutil.which(tool) is None:
        return None
    found = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()[0].strip()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Every entry in which two machines differ, as "cpus 2 -> 8"."""
    old, new = _flat(old), _flat(new)
    return [
        f"{key} {old.get(key)} -> {new.get(key)}"
        for key in {**old, **new}
        if old.get(key) != new.get(key) and key not in ("fastinit", "load")
    ]


def busy(machine: Mapping[str, Any]) -> bool:
    """Whether other work was going on when the run began: rows of all threads suffer from it."""
    return machine["load"] > machine["cpus"] / 4


def _flat(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The versions of packages beside everything else."""
    return {**{k: v for k, v in machine.items() if k != "versions"}, **machine.get("versions", {})}
