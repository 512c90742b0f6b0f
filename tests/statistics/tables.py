# SPDX-License-Identifier: MIT
"""Markdown tables, and the line above them that says when, where and with what they were made."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the same keys as a Markdown table; all columns but the first to the right."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|---|" + "--:|" * (len(names) - 1)]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def processor() -> str:
    """The model of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def heading() -> str:
    """Date, machine and versions."""
    names = ("fastinit-weights", "numpy", "scipy", "torch", "jax")
    versions = [f"{name} {found}" for name in names if (found := version(name))]
    today = datetime.now(UTC).date()
    cores = f"{os.cpu_count()} cores of {processor()}"
    return f"{today}; {cores}; Python {platform.python_version()}, {', '.join(versions)}"


def pretty(p: float) -> str:
    """A p-value: two digits, and more where it is close to 0 or 1."""
    if p < 1e-4:
        return f"{p:.0e}" if p > 1e-15 else "0"
    return f"{p:.2f}" if 0.01 <= p <= 0.99 else f"{p:.4f}"
