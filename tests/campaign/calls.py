# SPDX-License-Identifier: MIT
"""System calls that fail, and processes that die or are interrupted at one.  Needs strace.

A scene is run once, traced and undisturbed.  That gives the list of its calls; then each call gets
each fault that it can have, in a run of its own.  Counting starts anew in each process, so a call
is known by its name and its number among the calls of that name; a run in which another call than
the one of the list was hit is itself a failure.

One thread works, so that the list is the same every time.  `crowds` does without a list: there
several threads have the fault, each at the same call of its own.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import processes
from points import Point, Result, place_in
from processes import Outcome
from promises import judge
from scenes import Scene

ERRORS = {
    "openat": "EACCES EMFILE ENFILE ENOMEM ENOSPC EDQUOT EROFS ESTALE EIO EINTR",
    "mkdir": "EACCES ENOSPC EDQUOT EROFS ESTALE EIO",
    "mkdirat": "EACCES ENOSPC EDQUOT EROFS ESTALE EIO",
    "flock": "ENOLCK EIO ESTALE EINTR EAGAIN",
    "fallocate": "ENOSPC EDQUOT EFBIG EIO EOPNOTSUPP EINTR",
    "ftruncate": "EFBIG EIO EINTR",
    "pwrite64": "ENOSPC EDQUOT EFBIG ESTALE EIO EAGAIN EINTR",
    "copy_file_range": "EIO ENOSPC EDQUOT EXDEV EOPNOTSUPP EINVAL ENOSYS EINTR",
    "fsync": "EIO ENOSPC EDQUOT ESTALE EINVAL EROFS EINTR",
    "fadvise64": "EINVAL EIO",
    "sync_file_range": "EINVAL EIO ENOSPC",
    "rename": "EACCES ENOSPC EDQUOT EROFS ESTALE EXDEV EIO",
    "renameat": "EACCES ENOSPC EDQUOT EROFS ESTALE EXDEV EIO",
    "renameat2": "EACCES ENOSPC EDQUOT EROFS ESTALE EXDEV EIO",
    "link": "EACCES EMLINK ENOSPC EIO",
    "linkat": "EACCES EMLINK ENOSPC EIO",
    "unlink": "EACCES EBUSY EROFS ESTALE EIO",
    "unlinkat": "EACCES EBUSY EROFS ESTALE EIO",
    "close": "EIO ENOSPC EDQUOT EINTR",
    "newfstatat": "EACCES ENOMEM ESTALE EIO",
    "fstat": "ENOMEM ESTALE EIO",
    "stat": "EACCES ENOMEM ESTALE EIO",
    "lstat": "EACCES ENOMEM ESTALE EIO",
    "statx": "EACCES ENOMEM ESTALE EIO",
    "readlink": "EACCES EIO",
    "statfs": "EACCES ENOSYS ESTALE EIO",
    "fstatfs": "ENOSYS ESTALE EIO",
    "getdents64": "EACCES ESTALE EIO",
    "read": "EIO ESTALE EINTR",
    "pread64": "EIO ESTALE EAGAIN EINTR",
    "preadv": "EIO ESTALE EAGAIN EINTR",
    "lseek": "EIO EINVAL",
    "ioctl": "EIO",
    "fcntl": "EMFILE EIO",
    "mmap": "ENOMEM EACCES EAGAIN ENODEV",
    "write": "EIO ENOSPC EPIPE EBADF EINTR",
    "clone": "EAGAIN ENOMEM",
    "clone3": "EAGAIN ENOMEM",
    "sched_getaffinity": "EINVAL EPERM",
}
"""The calls that are disturbed, and what each may say: what Linux's manual pages, NFS and quotas
give.  Absence (ENOENT) is left out: it would not be a fault but another state of the folder."""

NAMELESS = {"clone", "clone3", "sched_getaffinity"}  # calls that concern no file
REMOVES = {"unlink", "unlinkat"}
CROWDED = {
    "write": ("flock", "fallocate", "pwrite64", "fsync", "renameat"),
    "overwrite": ("flock", "fallocate", "pwrite64", "fsync", "renameat"),
    "verify": ("preadv",),
}
"""Of a command, the calls that no interpreter makes while it starts: counting finds only ours."""

LINE = re.compile(r"(\d+) +(\w+)\((.*)")
STREAM = re.compile(r"[12]<")
UNIQUE = re.compile(r"[0-9a-f]{32}")
PATH = re.compile(r'"[^"]*"|<[^>]*>')
PIPE = re.compile(r"pipe:\[\d+\]")


@dataclass(frozen=True)
class Call:
    """The `number`-th call of that name in a process; `what` it concerns, for people."""

    name: str
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.name} {self.number} of {self.what}"


@dataclass(frozen=True)
class Fault:
    """What a call meets: `action` as strace has it, from the `first` to the `last` call after it.

    `kind` names the row of the table; `codes` are the exit codes that are allowed then.
    """

    kind: str
    action: str
    codes: frozenset[int]
    until: str = "0"  # how many calls further; "+" for ever

    def option(self, call: Call) -> str:
        """The fault at that call, as an option of strace."""
        number = call.number
        when = f"{number}+" if self.until == "+" else f"{number}..{number + int(self.until)}"
        return f"inject={call.name}:{self.action}:when={when}"

    def __str__(self) -> str:
        return (
            self.action.partition("=")[2] + {"0": "", "1": " twice", "+": " for ever"}[self.until]
        )


def error(name: str, call: Call, *, forever: bool = False) -> Fault:
    """That the call fails.  A thread that is refused is done without."""
    codes = frozenset({0} if call.name.startswith("clone") else {0, 2})
    kind = "a call fails from then on" if forever else "a call fails"
    return Fault(kind, f"error={name}", codes, "+" if forever else "0")


KILL = Fault("killed at a call", "signal=KILL", frozenset({-signal.SIGKILL}))
SIGNALS = (
    Fault("SIGINT at a call", "signal=INT", frozenset({0, 128 + signal.SIGINT})),
    Fault("SIGINT at two calls", "signal=INT", frozenset({0, 128 + signal.SIGINT}), "1"),
    Fault("SIGTERM at a call", "signal=TERM", frozenset({0, 128 + signal.SIGTERM})),
    Fault("SIGHUP at a call", "signal=HUP", frozenset({0, 128 + signal.SIGHUP})),
)


def missing() -> str:
    """Why no call can be disturbed here, or nothing."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True)
    return f"strace may trace nothing here: {done.stderr.decode()}" if done.returncode else ""


def trace(
    scene: Scene, place: Path, names: Iterable[str], *options: str
) -> tuple[Outcome, list[str]]:
    """Run the scene under strace: how it ended, and the lines that strace wrote."""
    log = place / "strace.log"
    fixed = [
        "-f",
        "-y",
        "-qq",
        "-s",
        "0",
        "-o",
        str(log),
        "-e",
        f"trace={','.join(f'?{name}' for name in names)}",
    ]
    outcome = processes.run(["strace", *fixed, *scene.tampering, *options, *scene.line(place)])
    if not log.exists():
        raise RuntimeError(f"strace did not run, {outcome.end}: {outcome.err}")
    return outcome, log.read_text(errors="backslashreplace").splitlines()


def calls(scene: Scene, scratch: Path, *, others: bool = False) -> list[Call]:
    """The calls of an undisturbed run that concern the point's folder or the standard streams.

    With `others`, instead of them those of the rest that come after the first of them: modules
    that are imported late, memory, and what the interpreter does at its end.
    """
    with place_in(scratch) as place:
        scene.prepare(place)
        outcome, lines = trace(scene, place, ERRORS)
        if outcome.code != 0:
            raise RuntimeError(f"{scene.name} fails undisturbed, {outcome.end}: {outcome.err}")
        return list(_calls(lines, place, others))


def _calls(lines: Iterable[str], place: Path, others: bool) -> Iterator[Call]:
    numbers: Counter[str] = Counter()
    begun = False
    for name, rest in _main(lines):
        numbers[name] += 1
        ours = str(place) in rest
        begun = begun or ours
        ours = ours or name in NAMELESS or (name == "write" and bool(STREAM.match(rest)))
        if begun and name in ERRORS and ours != others:
            yield Call(name, numbers[name], _what(rest, place))


def _main(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and arguments of each call of the first thread, in the order of their beginnings."""
    first = None
    for line in lines:
        if match := LINE.match(line):
            first = first or match[1]
            if match[1] == first:
                yield match[2], match[3]


def _what(rest: str, place: Path) -> str:
    """The last file that the call's arguments name, below the point's folder."""
    arguments = UNIQUE.sub("*", rest.split(" = ")[0]).replace(str(place), "place")
    paths = [path[1:-1] for path in PATH.findall(arguments) if len(path) > 2]
    return PIPE.sub("a pipe", paths[-1]) if paths else "the process"


def point(scene: Scene, call: Call, fault: Fault, *, exact: bool = True) -> Point:
    """One call of a scene with one fault; `exact` if the call is from the scene's list."""

    def attempt(place: Path) -> Result:
        scene.prepare(place)
        outcome, lines = trace(scene, place, [call.name], "-e", fault.option(call))
        if not exact and not any("(INJECTED)" in line for line in lines):
            return Result("not reached")
        leftovers, mute = call.name in REMOVES, call.name == "write"
        result = judge(scene, place, outcome, fault.codes, leftovers=leftovers, mute=mute)
        if exact and not _hit(lines, call, place, killed=fault is KILL):
            return replace(result, broken=(*result.broken, "another call was hit"))
        return result

    return Point(fault.kind, f"{scene.name}/{call}/{fault}", attempt)


def _hit(lines: list[str], call: Call, place: Path, *, killed: bool) -> bool:
    """Whether the fault came at the call of the list: where a process dies, what was before it."""
    mine = [rest for name, rest in _main(lines) if name == call.name]
    if killed:  # its last call may be missing in the trace
        return len(mine) in (call.number - 1, call.number)
    return len(mine) >= call.number and _what(mine[call.number - 1], place) == call.what


def once_each(scene: Scene, scratch: Path) -> Iterator[Point]:
    """CI's sample: of every two calls, one kills the process and the other fails."""
    for number, call in enumerate(calls(scene, scratch)):
        errors = ERRORS[call.name].split()
        fails = error(errors[call.number % len(errors)], call)
        yield point(scene, call, fails if number % 2 else KILL)


def every_fault(scene: Scene, scratch: Path) -> Iterator[Point]:
    """Each call with each fault."""
    for call in calls(scene, scratch):
        errors = ERRORS[call.name].split()
        yield point(scene, call, KILL)
        for name in errors:
            yield point(scene, call, error(name, call))
        yield point(scene, call, error(errors[0], call, forever=True))
        for fault in SIGNALS:
            yield point(scene, call, fault)


def late(scene: Scene, scratch: Path) -> Iterator[Point]:
    """Calls that are none of ours fail: late imports, memory, the end of the interpreter."""
    for call in calls(scene, scratch, others=True):
        fault = error(ERRORS[call.name].split()[0], call)
        yield point(scene, call, replace(fault, kind="another call fails"))


def crowds(scene: Scene, most: int = 12) -> Iterator[Point]:
    """The n-th call of every thread fails."""
    for name in CROWDED[scene.name.partition(",")[0]]:
        for number in range(1, most + 1):
            call = Call(name, number, "each thread")
            for code in ERRORS[name].split():
                fault = replace(error(code, call), kind="a call of each thread fails")
                yield point(scene, call, fault, exact=False)


def lonely(scene: Scene, scratch: Path) -> Iterator[Point]:
    """The system gives fewer threads than are asked for, or none."""
    for call in calls(scene, scratch):
        if call.name.startswith("clone"):
            for code in ERRORS[call.name].split():
                for forever in (False, True):
                    fault = error(code, call, forever=forever)
                    fault = replace(fault, kind="a thread is refused")
                    yield point(scene, call, fault, exact=False)
