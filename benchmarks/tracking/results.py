# SPDX-License-Identifier: MIT
"""The results of one run: rows of figures and the machine they are from, in memory and as JSON.

Nothing here measures or compares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
HISTORY = Path(__file__).parents[1] / "history"

CYCLES = "cycles per sample"
INSTRUCTIONS = "instructions per sample"
DEVICE_INSTRUCTIONS = "device instructions per sample"
TIMES = "times "
"""Every other unit is the time of something else that ran next to it: "times memset"."""
NUMPY, ZEROS = "NumPy", "zeros written"
"""What runs beside a small tensor and a checkpoint: it depends on more than the processor."""


class TrackingError(Exception):
    """What the command prints as its last line before it exits with 2."""


@dataclass(frozen=True)
class Row:
    """One figure; smaller is better, whatever the unit.

    Attributes:
        group: the heading it stands under, such as "kernels avx512".
        name: what it is of, such as "normal float32".
        unit: `CYCLES`, `INSTRUCTIONS`, `DEVICE_INSTRUCTIONS` or "times ..." of what ran next to it.
        figure: one thread: the least time of all rounds by the least of the yardstick; all
            threads: the median of the rounds' own ratios; or a count.
        quartiles: the first and the third of the rounds' own ratios: how quiet the machine was.
        rounds: how many; 0 for a count, which is exact.
        beside: the figure by another yardstick; kept to see which side of a ratio moved.
    """

    group: str
    name: str
    unit: str
    figure: float
    quartiles: tuple[float, float]
    rounds: int
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What the row is found by, in a file and on the command line."""
        return f"{self.group}: {self.name}"


@dataclass(frozen=True)
class Results:
    """The rows of one run.

    Attributes:
        name: of the release, or of the file.
        date: ISO 8601, to the minute, UTC.
        size: "full", "small" (fewer rounds of the same) or "toy" (only seen to run).
        machine: what the figures depend on beside the code; see `tracking.machine`.
        rows: by their keys.
    """

    name: str
    date: str
    size: str
    machine: Mapping[str, Any]
    rows: Mapping[str, Row]


def store(results: Results, path: Path) -> None:
    """Write the results as JSON."""
    rows = [asdict(row) for row in results.rows.values()]
    content = {"format": FORMAT, **asdict(results), "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> Results:
    """Read what `store` wrote.

    Raises:
        TrackingError: there is no such file, or it holds something else.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise TrackingError(f"{path}: {error.strerror}") from None
    if not text.strip():
        raise TrackingError(f"{path}: the file is empty: record it again with `track.py save`")
    try:
        content = json.loads(text)
        if content.pop("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        return _results(content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise TrackingError(f"{path}: no results that `track.py` wrote: {what}") from None


def _results(content: dict[str, Any]) -> Results:
    rows = [Row(**{**row, "quartiles": tuple(row["quartiles"])}) for row in content.pop("rows")]
    for row in rows:
        if not (math.isfinite(row.figure) and row.figure > 0):
            raise ValueError(f"the figure of {row.key!r} is {row.figure}")
    return Results(rows={row.key: row for row in rows}, **content)


def releases(folder: Path = HISTORY) -> list[Results]:
    """Every stored release, oldest first.

    Raises:
        TrackingError: there is none, or one cannot be read.
    """
    found = [load(path) for path in folder.glob("*.json")]
    if not found:
        raise TrackingError(
            f"{folder} holds no release: record one with `track.py save NAME`, "
            "or name a file with --against"
        )
    return sorted(found, key=lambda results: (results.date, results.name))
