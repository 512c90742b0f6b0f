# SPDX-License-Identifier: MIT
"""Which points are tried: CI's sample and the larger one, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import calls
import interrupts
import limits
import malformed
import scenes
from points import Point


@dataclass(frozen=True)
class Sample:
    """How much is tried: in CI, or `large`; `count` is of random points of a kind."""

    scratch: Path
    seed: int
    count: int
    large: bool


def system_calls(sample: Sample) -> Iterator[Point]:
    """Every system call of small writes, once; in the large sample of all, with every fault."""
    if not sample.large:
        for scene in scenes.small_writes():
            yield from calls.once_each(scene, sample.scratch)
        return
    for scene in (*scenes.small_writes(), *scenes.other_writes(), *scenes.readers()):
        yield from calls.every_fault(scene, sample.scratch)


def other_calls(sample: Sample) -> Iterator[Point]:
    """Calls of several threads, refused threads, and calls that are none of fastinit's."""
    four = scenes.writing("write, 4 threads", "--threads", "4")
    yield from calls.lonely(four, sample.scratch)
    for scene in (four, *scenes.crowded()) if sample.large else ():
        yield from calls.crowds(scene)
    for scene in scenes.small_writes()[:1] if sample.large else ():
        yield from calls.late(scene, sample.scratch)


def signals(sample: Sample) -> Iterator[Point]:
    """Signals at random times."""
    yield from interrupts.commands(sample.scratch, sample.count, sample.seed)
    yield from interrupts.programs(sample.count, sample.seed)
    yield from interrupts.ignored(sample.count)


def resources(sample: Sample) -> Iterator[Point]:
    """Limits of the process, and standard streams out of order."""
    verify, _, plan, _ = scenes.readers()
    writes = scenes.small_writes()
    for scene in (*writes, verify, plan) if sample.large else writes[:1]:
        yield from limits.limits(scene)
    for scene in (*writes, verify, plan):
        yield from limits.streams(scene)


def disks(sample: Sample) -> Iterator[Point]:
    """Disks of every size up to enough."""
    for scene in scenes.small_writes():
        yield from limits.full_disks(scene)
    for scene in scenes.other_writes() if sample.large else ():
        if not scene.tampering:
            yield from limits.full_disks(scene)


def checkpoints(sample: Sample) -> Iterator[Point]:
    """Malformed checkpoints, and strange things in the place of their files."""
    yield from malformed.spoilt(10 * sample.count, sample.seed)
    yield from malformed.truncations(1 if sample.large else 101)
    step = 1 if sample.large else 11
    yield from islice(malformed.strange(scenes.SHARDED), 0, None, step)
    yield from islice(malformed.strange(scenes.WHOLE), 0, None, step)


SECTIONS: dict[str, Callable[[Sample], Iterator[Point]]] = {
    "calls": system_calls,
    "threads": other_calls,
    "signals": signals,
    "limits": resources,
    "disks": disks,
    "checkpoints": checkpoints,
}
