# SPDX-License-Identifier: MIT
"""Limits of a process, full disks, and standard streams that are full, closed or left.

A limit under which `fastinit --version` does not even start is the interpreter's affair: below it
only what is on disk counts.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import processes
from points import Point, Result
from promises import judge
from scenes import Scene

PAGE = 4096
LIMITS: dict[str, tuple[int, ...]] = {
    "FSIZE": (0, 1, 100, *range(PAGE - 1, 4 * PAGE, PAGE // 2)),
    "NOFILE": tuple(range(3, 24)),
    "AS": tuple(2**20 * size for size in range(60, 700, 20)),
}
"""Resource limits, and the values that are tried: bytes, descriptors, bytes of address space."""


@cache
def starts(name: str, value: int) -> bool:
    """Whether the command line starts at all under a limit."""
    return (
        processes.run(processes.limited(processes.command("--version"), **{name: value})).code == 0
    )


def limits(scene: Scene) -> Iterator[Point]:
    """The scene under every value of every resource limit."""
    for name, values in LIMITS.items():
        for value in values:
            yield _limit(scene, name, value)


def _limit(scene: Scene, name: str, value: int) -> Point:
    def attempt(place: Path) -> Result:
        scene.prepare(place)
        outcome = processes.run(processes.limited(scene.line(place), **{name: value}))
        if starts(name, value):
            return judge(scene, place, outcome, {0, 2})
        result = judge(scene, place, outcome, None)
        return Result("does not start", result.broken)

    return Point(f"RLIMIT_{name}", f"{scene.name}/RLIMIT_{name}/{value}", attempt)


# --- full disks ----------------------------------------------------------------------------------


def no_disks() -> str:
    """Why no small disk can be mounted here, or nothing."""
    if os.geteuid():
        return "mounting a small file system needs root"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "mounting a small file system is not allowed" if done.returncode else ""


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A tmpfs in that folder."""
    folder.mkdir()
    _mount("-t", "tmpfs", "none", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # at once, whoever looks at it


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def leave(folder: Path, room: int, unit: str) -> None:
    """Make the disk so small that only so many more pages, or files, fit into it."""
    state = os.statvfs(folder)
    if unit == "pages":
        option = f"size={(state.f_blocks - state.f_bfree + room) * state.f_frsize}"
    else:
        option = f"nr_inodes={state.f_files - state.f_ffree + room}"
    _mount("-o", f"remount,{option}", folder)


def full_disks(scene: Scene) -> Iterator[Point]:
    """The scene on a disk with room for 1 more page, 2, ... up to enough, and for few files."""
    needed = sum(-(-len(data) // PAGE) for data in scene.after.values())
    for room in range(1, needed + 4):
        yield _full(scene, room, "pages")
    for room in range(len(scene.after) + 4):
        yield _full(scene, room, "files")


def _full(scene: Scene, room: int, unit: str) -> Point:
    def attempt(place: Path) -> Result:
        with disk(place / "disk"):
            inner = place / "disk"
            scene.prepare(inner)
            leave(inner, room, unit)
            outcome = processes.run(scene.line(inner))
            leave(inner, 1000, unit)
            return judge(scene, inner, outcome, {0, 2})

    return Point(f"no room for {unit}", f"{scene.name}/room for {room} {unit}", attempt)


# --- standard streams ----------------------------------------------------------------------------

STREAMS = {
    "stdout full": (">/dev/full", {0, 2}),
    "stdout closed": (">&-", {0, 2}),
    "stderr full": ("2>/dev/full", {0, 2}),
    "stderr closed": ("2>&-", {0, 2}),
    "both closed": (">&- 2>&-", {0, 2}),
    "stdin closed": ("<&-", {0}),
    "reader left": ("| true", {0}),
}
"""What is done to the standard streams, as a shell writes it, and the exit codes then allowed."""


def streams(scene: Scene) -> Iterator[Point]:
    """The scene with each stream out of order."""
    for kind, (redirection, codes) in STREAMS.items():
        yield _stream(scene, kind, redirection, codes)


def _stream(scene: Scene, kind: str, redirection: str, codes: set[int]) -> Point:
    def attempt(place: Path) -> Result:
        scene.prepare(place)
        program = f'set -o pipefail; "$@" {redirection}'
        outcome = processes.run(["bash", "-c", program, "bash", *scene.line(place)])
        return judge(scene, place, outcome, codes, mute=True)

    return Point("stdin, stdout or stderr out of order", f"{scene.name}/{kind}", attempt)
