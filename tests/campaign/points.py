# SPDX-License-Identifier: MIT
"""Points of the campaign: one fault at one place each, tried side by side and counted in a table.

Knows nothing of what a fault is: `calls`, `interrupts`, `limits` and `malformed` do.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """How a point ended, as the table counts it, and every promise that was broken meanwhile."""

    end: str
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Point:
    """One fault at one place.

    `kind` is its row in the table.  `name` is unique, and with the seed it says everything: the
    same name and seed are the same fault again.  `attempt` gets an empty folder.
    """

    kind: str
    name: str
    attempt: Callable[[Path], Result] = field(compare=False)


@dataclass(frozen=True)
class Failure:
    """A point at which a promise was broken."""

    point: Point
    broken: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.point.name}: {'; '.join(self.broken)}"


@dataclass
class Tally:
    """The counts of a run: of each kind the points tried, and how they ended."""

    ends: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, point: Point, result: Result) -> None:
        self.ends.setdefault(point.kind, Counter())[result.end] += 1
        if result.broken:
            self.failures.append(Failure(point, result.broken))

    @property
    def tried(self) -> int:
        """Points, of all kinds."""
        return sum(sum(ends.values()) for ends in self.ends.values())

    def table(self) -> str:
        """A row per kind, as Markdown: `ends` says how often each exit code or verdict came."""
        broken = Counter(failure.point.kind for failure in self.failures)
        rows = [
            (kind, f"{sum(ends.values()):,}", _ends(ends), f"{broken[kind]:,}")
            for kind, ends in self.ends.items()
        ]
        rows.append(("**all**", f"{self.tried:,}", "", f"{len(self.failures):,}"))
        head = ("fault", "points", "ended with", "promises broken")
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
        lines = [_line(head, widths), "|" + "|".join("-" * (w + 2) for w in widths) + "|"]
        return "\n".join([*lines, *(_line(row, widths) for row in rows)])

    def explanation(self, limit: int = 5) -> str:
        """The broken promises, the commonest first, each with a few of its points."""
        points: dict[str, list[str]] = {}
        for failure in self.failures:
            for promise in failure.broken:
                points.setdefault(promise, []).append(failure.point.name)
        lines = []
        for promise, names in sorted(points.items(), key=lambda item: -len(item[1])):
            shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
            lines.append(f"{len(names):,} x {promise}\n      at {shown}")
        return "\n".join(lines)


def _ends(ends: Counter[str]) -> str:
    return ", ".join(f"{end}: {count:,}" for end, count in sorted(ends.items()))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True)) + " |"


@contextmanager
def place_in(scratch: Path) -> Iterator[Path]:
    """An empty folder for one point, always equally deep."""
    place = Path(tempfile.mkdtemp(dir=scratch, prefix="point-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def attempt(points: Iterable[Point], scratch: Path, *, jobs: int, progress: bool = False) -> Tally:
    """Try every point in a folder of its own below `scratch`, `jobs` of them at a time.

    Ctrl-C ends it early.
    """
    tally, lock = Tally(), threading.Lock()

    def one(point: Point) -> None:
        with place_in(scratch) as place:
            result = point.attempt(place)
        with lock:
            tally.add(point, result)
            if progress and (result.broken or tally.tried % 100 == 0):
                detail = f": {point.name}: {'; '.join(result.broken)}" if result.broken else ""
                print(f"{tally.tried:,} points, {len(tally.failures):,} failed{detail}", flush=True)

    pool = ThreadPoolExecutor(jobs)
    try:
        for done in [pool.submit(one, point) for point in points]:
            done.result()
    except KeyboardInterrupt:  # what has been tried is worth its table
        print("interrupted")
    finally:
        pool.shutdown(cancel_futures=True)
    return tally


def generator(seed: int, name: str) -> random.Random:
    """The random numbers of one point, whichever others are tried beside it."""
    return random.Random(f"{seed}/{name}")
