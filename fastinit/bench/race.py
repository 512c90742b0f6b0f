# SPDX-License-Identifier: MIT
"""Races: memset, fastinit and peers take turns at one kind of values in one dtype.

What can be raced is in peers.py, the clock in measure.py.
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
from fastinit.bench.peers import Array, Call, Engine, Peer, memset, ours
from fastinit.dtypes import DTYPES

MEMSET, OURS = "memset", "fastinit"
PROBE = 2**18
"""Samples of the first look at a peer, which says how many it can make in its share of a round."""

NO_TIME = "no time was left"
MESSAGE = 90
"""Characters of a peer's error that are shown; some fill a page."""


@dataclass
class Row:
    """What one entrant did: the seconds of each round, or why there are none."""

    name: str
    threads: int
    samples: int = 0
    seconds: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def speed(self) -> float:
        """Median, in millions of samples a second."""
        return 1e-6 * self.samples / statistics.median(self.seconds)

    def times_as_fast(self, other: Row) -> float:
        """How many times as fast as another, a sample: the median over the rounds."""
        theirs = [seconds / other.samples for seconds in other.seconds]
        return measure.ratio(theirs, [seconds / self.samples for seconds in self.seconds])


@dataclass(frozen=True)
class Race:
    """A race that has been run.

    Attributes:
        kind, dtype: of the values.
        fresh: each call allocated its own memory, within its time; else the memory was there.
        rows: memset, fastinit, then the peers.
    """

    kind: str
    dtype: str
    fresh: bool
    rows: list[Row]

    @property
    def title(self) -> str:
        """What was raced, in words."""
        return f"{self.kind} {self.dtype}, {'fresh' if self.fresh else 'warm'} memory"

    def to_json(self) -> dict[str, Any]:
        """Figures and ratios of every row, and the seconds they come from."""
        return {
            "kind": self.kind,
            "dtype": self.dtype,
            "memory": "fresh" if self.fresh else "warm",
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


def run(
    kind: str,
    dtype: str,
    peers: Sequence[Peer],
    *,
    size: int,
    threads: int,
    buffer: Array | None,
    rounds: int,
    seconds: float,
    share: float,
    end: float = math.inf,
) -> Race:
    """Race memset, fastinit and those of the peers that make such values.

    Args:
        peers: of this kind and dtype and installed, or they are left out; one that fails has a
            row that says so.  Those that only return new arrays are left out of warm memory.
        size: bytes that memset and fastinit fill; peers fill as much, or a part of it.
        buffer: warm memory of that many bytes, or None for fresh memory.
        rounds, seconds: how many at most, and for how long they may take; one is always made.
        share: seconds that a peer may take in a round: the slow fill fewer samples.
        end: when, by time.perf_counter, no further peer is looked at.
    """
    item = DTYPES[dtype]
    out = None if buffer is None else buffer[: size // item.size * item.size].view(item.numpy)
    rows, calls = [], {}
    for name, engine in (MEMSET, memset(dtype, threads)), (OURS, ours(kind, dtype, threads)):
        rows.append(Row(name, threads, size // item.size))
        calls[name] = _call(engine, out, size // item.size)
    for peer in peers:
        if (peer.kind, peer.dtype) != (kind, dtype):
            continue
        row = Row(peer.name, peer.thread_count(threads), size // item.size)
        call = None
        if time.perf_counter() > end:
            row.error = NO_TIME
        else:
            call = _entered(row, peer, out, threads, share)
        if call:
            calls[peer.name] = call
        if call or row.error:
            rows.append(row)
    named = {row.name: row for row in rows}

    def before(name: str) -> None:
        """Take fresh memory's pages and give them back, so that this machine's host has them.

        Else whoever comes first after a pause would wait for the host, if there is one, as well.
        """
        if out is None:
            np.ones(named[name].samples * item.size, np.uint8)

    for name, taken in measure.interleaved_for(calls, rounds, seconds, before).items():
        named[name].seconds = taken
    return Race(kind, dtype, buffer is None, rows)


def _entered(row: Row, peer: Peer, out: Array | None, threads: int, share: float) -> Call | None:
    """What makes the peer's part of `row.samples`, which is set; None if it cannot take part.

    Its row then has the error, or none if all that the peer lacks is a way to fill `out`.
    """
    try:
        engine = peer.engine(threads)
        if out is not None and engine.bind is None:
            return None
        row.samples = _samples(engine, out, row.samples, share)
        return partial(_guarded, _call(engine, out, row.samples), row)
    except Exception as error:  # noqa: BLE001 - of any package; its row says it
        row.error = _message(error)
        return None


def _call(engine: Engine, out: Array | None, samples: int) -> Call:
    """What makes so many samples, in `out` or in new memory."""
    if out is None or engine.bind is None:
        return partial(engine.fresh, samples)
    return engine.bind(out[:samples])


def _samples(engine: Engine, out: Array | None, most: int, share: float) -> int:
    """How many samples take `share` seconds, at least as many as the first look takes."""
    first = min(PROBE, most)
    call = _call(engine, out, first)
    call()  # some compile
    return max(first, min(most, int(first * share / measure.timed(call))))


def _guarded(call: Call, row: Row) -> object:
    """Make the call; once it has failed, its row says so and it is not made again."""
    if row.error:
        return None
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - of any package; its row says it
        row.error = _message(error)
        return None


def _message(error: Exception) -> str:
    """The error's kind and the beginning of its first line."""
    text = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    return text if len(text) <= MESSAGE else text[: MESSAGE - 3] + "..."
