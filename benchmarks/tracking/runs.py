# SPDX-License-Identifier: MIT
"""One run: the timed rows from pytest-benchmark, the counted ones from callgrind and nvdisasm."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import fastinit
from tracking import device, instructions, machine
from tracking.results import Results, Row, TrackingError

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        size: "full", "small" (a third of the rounds) or "toy" (one round, smallest buffers).
        rows: only those whose key contains one of these; all if empty.  Counts are asked for by
            "instructions" in the text, for the driver takes a while to build.
        twice: rows whose key contains this do their work twice, to see that the gate fails.
        flags: for the compiler of the counted kernels, after the project's own.
    """

    size: str = "full"
    rows: tuple[str, ...] = ()
    twice: str | None = None
    flags: tuple[str, ...] = ()

    def wants(self, key: str) -> bool:
        """Whether a row of this key is asked for."""
        count = key.startswith("instructions")
        texts = [text for text in self.rows if "instructions" in text or not count]
        return not self.rows or any(text in key for text in texts)


def run(options: Options) -> Results:
    """Measure everything that is asked for.

    Raises:
        TrackingError: no row is, or a benchmark failed.
    """
    here = machine.describe()
    rows = [*timed(options), *counted(options)]
    if not rows:
        raise TrackingError(f"no row here contains {' or '.join(map(repr, options.rows))}")
    date = datetime.now(UTC).isoformat(timespec="minutes")
    found = {row.key: row for row in rows}
    return Results(f"{fastinit.__version__} now", date, options.size, here, found)


def best(options: Options, repeats: int) -> Results:
    """Measure so many times and keep each row's least figure; counts are taken once."""
    first = run(options)
    rows = dict(first.rows)
    timed_keys = [key for key, row in rows.items() if row.rounds]
    for _ in range(repeats - 1):
        for key, row in again(options, timed_keys).items():
            rows[key] = min(rows[key], row, key=lambda one: one.figure)
    return replace(first, rows=rows)


def again(options: Options, keys: Sequence[str]) -> Mapping[str, Row]:
    """Measure the rows of these keys once more."""
    return run(replace(options, rows=tuple(keys))).rows


def timed(options: Options) -> list[Row]:
    """The rows of times: pytest-benchmark runs them in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "benchmark.json")
        command = [sys.executable, "-m", "pytest", str(HERE), "--quiet", "--benchmark-only"]
        command += [f"--benchmark-json={path}", "--benchmark-quiet", "--no-header"]
        command += [f"--size={options.size}", "-p", "no:cacheprovider"]
        command += ["-W", "ignore:Not saving anything"]  # no row here is asked for
        command += [f"--row={row}" for row in options.rows]
        command += [f"--twice={options.twice}"] if options.twice else []
        done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
        if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and options.rows:
            return []
        if done.returncode:
            raise TrackingError(f"the benchmarks failed:\n{done.stdout}{done.stderr}")
        return [_row(entry) for entry in json.loads(path.read_text())["benchmarks"]]


def _row(entry: Mapping[str, Any]) -> Row:
    """A row from one benchmark of pytest-benchmark's JSON; conftest.py puts `extra_info` there."""
    info = entry["extra_info"]
    figures, unit = dict(info["figures"]), info["unit"]
    ratios = info["ratios"][unit]
    quartiles = (ratios * 2)[:2]  # of one round: itself
    if len(ratios) > 1:
        first, _, third = statistics.quantiles(ratios, n=4)
        quartiles = [first, third]
    return Row(
        info["group"],
        info["name"],
        unit,
        _digits(figures.pop(unit)),
        (_digits(quartiles[0]), _digits(quartiles[1])),
        entry["stats"]["rounds"],
        {other: _digits(figure) for other, figure in figures.items()},
    )


def _digits(figure: float) -> float:
    """No more digits than a run can repeat."""
    return float(f"{figure:.5g}")


def counted(options: Options) -> list[Row]:
    """The rows of counts; none, with a word of it, where a tool is missing."""
    texts = [text for text in options.rows if "instructions" in text]
    if options.rows and not texts:
        return []
    rows = []
    if texts and all(device.GROUP in text for text in texts):
        pass  # none of these is a kernel of the processor
    elif tool := instructions.missing():
        print(f"instructions are not counted: {tool} is not in this machine", file=sys.stderr)
    else:
        rows += instructions.rows(options.flags, options.twice)
    if tool := device.missing():
        print(f"{device.GROUP} are not counted: {tool} is not in this machine", file=sys.stderr)
    else:
        rows += device.rows(options.wants, options.twice)
    return [row for row in rows if options.wants(row.key)]
