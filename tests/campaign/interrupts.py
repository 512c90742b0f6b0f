# SPDX-License-Identifier: MIT
"""Signals at random times: to commands, and to a program that catches Ctrl-C and writes again.

`calls` sends them with system calls; here they come at any time from the start of the process to
its usual end.  Before `main` has installed its handlers, the interpreter and the imports decide
what a signal does, so there the exit code is free; what is left on disk is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import processes
from points import Point, Result, generator, place_in
from processes import Outcome
from promises import judge, state
from scenes import Scene, long_scenes, writing

KINDS: dict[str, tuple[signal.Signals, ...]] = {
    "SIGINT": (signal.SIGINT,),
    "SIGINT twice": (signal.SIGINT,) * 2,
    "SIGINT five times": (signal.SIGINT,) * 5,
    "SIGTERM": (signal.SIGTERM,),
    "SIGTERM, SIGINT": (signal.SIGTERM, signal.SIGINT),
    "SIGHUP": (signal.SIGHUP,),
    "SIGKILL": (signal.SIGKILL,),
}
UNIQUE = re.compile(r"[0-9a-f]{32}|(?<=point-).*")
GAP = 0.25  # seconds between two signals, at most


def usual(scene: Scene, scratch: Path) -> float:
    """Seconds that the command takes undisturbed."""
    seconds = []
    for _ in range(3):
        with place_in(scratch) as place:
            scene.prepare(place)
            begin = time.monotonic()
            outcome = processes.run(scene.line(place))
            seconds.append(time.monotonic() - begin)
        if outcome.code != 0:
            raise RuntimeError(f"{scene.name} fails undisturbed, {outcome.end}: {outcome.err}")
    return statistics.median(seconds)


def commands(scratch: Path, count: int, seed: int) -> Iterator[Point]:
    """`count` points for each command and kind of signal."""
    for scene in long_scenes():
        seconds = usual(scene, scratch)
        for kind, numbers in KINDS.items():
            for number in range(count):
                yield _point(scene, kind, numbers, number, seconds, seed)


def _point(
    scene: Scene,
    kind: str,
    numbers: Sequence[signal.Signals],
    count: int,
    seconds: float,
    seed: int,
) -> Point:
    name = f"{scene.name}/{kind} at a random time/{count}"

    def attempt(place: Path) -> Result:
        times = generator(seed, name)
        scene.prepare(place)
        process = processes.start(scene.line(place))
        time.sleep(times.uniform(0, seconds))
        ready = send(process, numbers, times)
        outcome = processes.finish(process)
        if not ready:
            result = judge(scene, place, outcome, None)
            return Result(f"{outcome.end} before main", result.broken)
        silent = len(numbers) > 1 and not outcome.err  # a second signal may end it without a word
        codes = {0, *(code(number) for number in numbers)}
        return judge(scene, place, outcome, codes, mute=silent)

    return Point(f"{kind} at a random time", name, attempt)


def send(
    process: subprocess.Popen[bytes], numbers: Iterable[signal.Signals], times: random.Random
) -> bool:
    """Send the signals, with random pauses between them; whether the command was ready for them.

    A signal to a process that has ended does nothing.
    """
    ready = _ready(process.pid)
    for place, number in enumerate(numbers):
        if place:
            time.sleep(gap(times))
        process.send_signal(number)
    return ready


def gap(times: random.Random) -> float:
    """Seconds between two signals: mostly short, so that the second meets what the first began."""
    return GAP * times.random() ** 4


def _ready(process: int) -> bool:
    """Whether the command has seen to SIGTERM, so that the others are seen to as well, or is over.

    It catches it from its first line, and ignores it once it has made up its exit code.
    """
    with contextlib.suppress(OSError):
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            status = Path(f"/proc/{process}/status").read_text()
            seen = re.findall(r"^Sig(?:Cgt|Ign):\s*([0-9a-f]+)", status, re.MULTILINE)
            return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in seen)
    return True


def code(number: signal.Signals) -> int:
    """The exit code of a command that such a signal has ended."""
    return -number if number == signal.SIGKILL else 128 + number


def programs(count: int, seed: int) -> Iterator[Point]:
    """`count` runs of a program that catches Ctrl-C twice, and as many in which it forks too."""
    for kind in ("SIGINT twice", "SIGINT twice and a fork"):
        for number in range(count):
            yield _program(kind, number, seed)


def _program(kind: str, number: int, seed: int) -> Point:
    name = f"a program/{kind}/{number}"
    scene = writing("write")

    def attempt(place: Path) -> Result:
        times = generator(seed, name)
        scene.prepare(place)
        program = Path(__file__).with_name("interrupted.py")
        folders = place / "plan.toml", place / "weights", place / "other"
        delay = [str(times.uniform(0, 0.5))] if "fork" in kind else []
        process = processes.start([sys.executable, str(program), *map(str, folders), *delay])
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(times.uniform(0, 0.5))
            process.send_signal(signal.SIGINT)
            time.sleep(gap(times))
            process.send_signal(signal.SIGINT)
            outcome = processes.finish(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the child that it may have left
        broken = [*_said(outcome), *state(scene, place / "weights", outcome)]
        broken += state(scene, place / "other", outcome)
        return Result(outcome.end, tuple(broken))

    return Point(f"a program that goes on after {kind}", name, attempt)


def _said(outcome: Outcome) -> Iterator[str]:
    """What the program found wrong."""
    if outcome.code != 0:
        last = outcome.err.splitlines()[-1] if outcome.err else "nothing on stderr"
        yield f"the program ends with {outcome.end}: {last}"
        return
    said = json.loads(outcome.out.splitlines()[-1])
    for failure in said["failures"]:
        yield f"the program meets {failure.split(': ')[0]}"
    for spare in said["spare"]:
        yield f"the program keeps open {UNIQUE.sub('*', Path(spare).name)}"


def ignored(count: int) -> Iterator[Point]:
    """Signals that whoever started the command has had ignored, as nohup does: it goes on."""
    scene = next(iter(long_scenes()))
    for number in (signal.SIGHUP, signal.SIGINT):
        for attempt in range(count):
            yield _ignored(scene, number, attempt)


IGNORING = r"""
import os, signal, sys
signal.signal(int(sys.argv[1]), signal.SIG_IGN)
os.write(1, b"ignored\n")
os.execv(sys.argv[2], sys.argv[2:])
"""


def _ignored(scene: Scene, number: signal.Signals, count: int) -> Point:
    name = f"{scene.name}/{number.name} that is ignored/{count}"

    def attempt(place: Path) -> Result:
        scene.prepare(place)
        line = [sys.executable, "-ISc", IGNORING, str(int(number)), *scene.line(place)]
        process = processes.start(line)
        assert process.stdout is not None
        # nohup ignores the signal before the command exists; `communicate` reads what follows.
        os.read(process.stdout.fileno(), len(b"ignored\n"))
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.05)
        return judge(scene, place, processes.finish(process), {0})

    return Point("a signal that is ignored", name, attempt)
