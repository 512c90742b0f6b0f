# SPDX-License-Identifier: MIT
"""Races: memset, fastinit and peers take turns at one kind of values in one dtype.

A race checks itself.  memset also runs alone, before and after the peers, and must be as fast in
the race; and other programs must not take the CPUs.  peers.py says what can be raced, and
measure.py measures.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fastinit.bench import measure
from fastinit.bench.peers import Call, Peer, Racer, Samples, memset, ours
from fastinit.numerics.dtypes import DTYPES

MEMSET, OURS = "memset", "fastinit"
PROBE = 2**18
"""Samples of a first call of a peer, which shows how many it can draw in its share of a round."""

ALONE = 3
"""How often memset runs alone, before a race and again after it."""

MEMSET_TOLERANCE = 0.05
"""How far the speed of memset in a race may be from its speed alone, and the largest share of the
CPUs that other programs may take."""

NO_TIME = "no time was left"
MESSAGE = 90
"""How many characters of a peer's error are shown; some fill a page."""


@dataclass
class Row:
    """The result of one entrant: the seconds of each round, or why there are none."""

    name: str
    threads: int
    samples: int = 0
    seconds: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def speed(self) -> float:
        """The median, in millions of samples per second."""
        return 1e-6 * self.samples / statistics.median(self.seconds)

    def times_as_fast(self, other: Row) -> float:
        """How many times as fast as another, per sample: the median over the rounds."""
        theirs = [seconds / other.samples for seconds in other.seconds]
        return measure.ratio(theirs, [seconds / self.samples for seconds in self.seconds])


@dataclass(frozen=True)
class Race:
    """A race that has been run.

    Attributes:
        kind, dtype: of the values.
        fresh: each timed call allocated new memory; otherwise the memory was touched before.
        rows: memset, fastinit, then the peers.
        alone: the seconds that memset took alone.
        awake: the entrants after whose calls threads still ran at the next turn.
        missing: how many threads of memset could not be started.
        neighbours: the share of the CPUs that other programs took.
    """

    kind: str
    dtype: str
    fresh: bool
    rows: list[Row]
    alone: list[float]
    awake: list[str] = field(default_factory=list)
    missing: int = 0
    neighbours: float = 0.0

    @property
    def title(self) -> str:
        """What was raced, in words."""
        return f"{self.kind} {self.dtype}, {'fresh' if self.fresh else 'warm'} memory"

    @property
    def memset_of_alone(self) -> float:
        """The speed of memset in the race, divided by its speed alone."""
        return statistics.median(self.alone) / statistics.median(self.rows[0].seconds)

    def doubts(self) -> list[str]:
        """Why the figures cannot be trusted; empty if they can."""
        found = []
        if abs(self.memset_of_alone - 1) > MEMSET_TOLERANCE:
            found.append(f"memset ran at {self.memset_of_alone:.2f} of its speed alone")
        if self.awake:
            late = f"{measure.PATIENCE:g} s after {' and '.join(self.awake)} had returned"
            found.append(f"threads still ran {late}")
        if self.neighbours > MEMSET_TOLERANCE:
            found.append(f"other programs took {100 * self.neighbours:.0f} % of the CPUs")
        if self.missing:
            found.append(f"{self.missing} of memset's threads could not be started")
        return found

    def to_json(self) -> dict[str, Any]:
        """Figures and ratios of every row, and the seconds behind them."""
        return {
            "kind": self.kind,
            "dtype": self.dtype,
            "memory": "fresh" if self.fresh else "warm",
            "trusted": not self.doubts(),
            "doubts": self.doubts(),
            "memset_alone_seconds": self.alone,
            "memset_of_alone": self.memset_of_alone,
            "others_share_of_cpus": self.neighbours,
            "rows": [self._row(row) for row in self.rows],
        }

    def _row(self, row: Row) -> dict[str, Any]:
        form: dict[str, Any] = {"name": row.name, "threads": row.threads}
        if row.error:
            return {**form, "error": row.error}
        ceiling, own = self.rows[:2]
        return {
            **form,
            "samples": row.samples,
            "seconds": row.seconds,
            "msamples_per_second": row.speed,
            "of_memset": row.times_as_fast(ceiling),
            "fastinit_times_as_fast": own.times_as_fast(row),
        }

    def lines(self) -> Iterator[str]:
        """The race as a table."""
        heads = f"{'threads':>7} {'Msamples/s':>10} {'of memset':>9} {'fastinit is':>16}"
        yield f"{self.title:<40} {heads}"
        for form in self.to_json()["rows"]:
            start = f"  {form['name']:<38} {form['threads']:>7}"
            if "error" in form:
                yield f"{start} {form['error']}"
                continue
            times = form["fastinit_times_as_fast"]
            yield (
                f"{start} {form['msamples_per_second']:>10,.0f} {form['of_memset']:>9.3f} "
                + (f"{times:>6.1f} x as fast" if form["name"] not in (MEMSET, OURS) else "")
            ).rstrip()
        doubts = self.doubts()
        if doubts:
            yield f"  NOT TO BE TRUSTED: {'; '.join(doubts)}"
        else:
            yield f"  memset ran at {self.memset_of_alone:.2f} of its speed alone"


def run(
    kind: str,
    dtype: str,
    peers: Sequence[Peer],
    *,
    size: int,
    threads: int,
    buffer: Samples | None,
    rounds: int,
    seconds: float,
    share: float,
    end: float = math.inf,
) -> Race:
    """Race memset, fastinit and those of the peers that draw such values.

    Args:
        peers: peers of another kind or dtype are left out; the row of a peer that fails says so.
            In warm memory, peers that only return new arrays are left out.
        size: bytes that memset and fastinit fill; peers fill as much, or a part of it.
        buffer: warm memory of that many bytes, or None for fresh memory.
        rounds, seconds: the most rounds, and how long they may take; there is at least one.
        share: seconds that a peer may take in a round; slow peers fill fewer samples.
        end: the time, by time.perf_counter, after which no further peer enters.
    """
    neighbours = measure.Neighbours()
    item = DTYPES[dtype]
    out = None if buffer is None else buffer[: size // item.size * item.size].view(item.numpy)
    count = size // item.size
    rows = {name: Row(name, threads, count) for name in (MEMSET, OURS)}
    calls = {
        MEMSET: _call(memset(dtype, threads), out, count),
        OURS: _call(ours(kind, dtype, threads), out, count),
    }
    turns = _Turns(rows, item.size if out is None else 0)

    def alone() -> list[float]:
        found = measure.interleaved({MEMSET: calls[MEMSET]}, ALONE, before=turns.before)
        return found[MEMSET]

    first = alone()
    for peer in peers:
        if (peer.kind, peer.dtype) == (kind, dtype):
            row = Row(peer.name, peer.thread_count(threads), count)
            call = _entered(row, peer, out, threads, share, end)
            if call:
                calls[peer.name] = call
            if call or row.error:
                rows[peer.name] = row
    taken = measure.interleaved(calls, rounds, seconds=seconds, before=turns.before)
    for name, passed in taken.items():
        rows[name].seconds = passed
    return Race(
        kind,
        dtype,
        buffer is None,
        list(rows.values()),
        first + alone(),
        turns.awake,
        missing=measure.memset(np.empty(threads * measure.MEMORY_PAGE, np.uint8), threads),
        neighbours=neighbours.share(),
    )


class _Turns:
    """What happens before each call of a race, outside the time measured."""

    def __init__(self, rows: dict[str, Row], fresh_item: int) -> None:
        self.rows = rows
        self.fresh_item = fresh_item  # bytes of a sample in fresh memory; 0 for warm memory
        self.awake: list[str] = []
        self.last = ""

    def before(self, name: str) -> None:
        """For fresh memory, allocate and free as many pages; then let all threads fall asleep.

        Otherwise the first call after a pause would wait until the host of a virtual machine finds
        the pages, and a call after a pool of spinning threads would share the cores with them.
        """
        if self.fresh_item:
            np.ones(self.rows[name].samples * self.fresh_item, np.uint8)
        if not measure.asleep() and self.last not in self.awake:
            self.awake.append(self.last)
        self.last = name


def verdict(races: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line that says how many of the races, in JSON form, cannot be trusted, if any."""
    doubtful = sum(not one["trusted"] for one in races)
    if doubtful:
        yield (
            f"{doubtful} of {len(races)} races are not to be trusted, as their tables say: "
            "run it again while nothing else runs"
        )


def _entered(
    row: Row, peer: Peer, out: Samples | None, threads: int, share: float, end: float
) -> Call | None:
    """The peer's call, with its number of samples set in `row`; None if it cannot take part.

    The row then has the error, except where the peer only lacks a way to fill `out`.
    """
    if time.perf_counter() > end:
        row.error = NO_TIME
        return None
    try:
        engine = peer.engine(threads)
        if out is not None and engine.bind is None:
            return None
        row.samples = _samples(engine, out, row.samples, share)
        return partial(_guarded, _call(engine, out, row.samples), row)
    except Exception as error:  # noqa: BLE001 - any package may raise anything; the row says it
        row.error = _message(error)
        return None


def _call(engine: Racer, out: Samples | None, samples: int) -> Call:
    """A call that draws `samples` samples, into `out` or into new memory."""
    if out is None or engine.bind is None:
        return partial(engine.fresh, samples)
    return engine.bind(out[:samples])


def _samples(engine: Racer, out: Samples | None, most: int, share: float) -> int:
    """How many samples take `share` seconds; at least as many as the first call drew."""
    first = min(PROBE, most)
    call = _call(engine, out, first)
    call()  # some peers compile at their first call
    return max(first, min(most, int(first * share / measure.timed(call))))


def _guarded(call: Call, row: Row) -> object:
    """Make the call; after a failure the row has the error, and the call is not made again."""
    if row.error:
        return None
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - any package may raise anything; the row says it
        row.error = _message(error)
        return None


def _message(error: Exception) -> str:
    """The type of the error and the beginning of its first line."""
    text = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    return text if len(text) <= MESSAGE else text[: MESSAGE - 3] + "..."
