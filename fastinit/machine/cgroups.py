# SPDX-License-Identifier: MIT
"""Finds the folders of this process's control groups, in Linux's versions 1 and 2.

It does not interpret the files in them.  Nothing here raises: what cannot be read or understood
counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")

_ESCAPE = re.compile(r"\\([0-7]{3})")


class Group(NamedTuple):
    """A control group: the version of its hierarchy, and its folder."""

    version: int
    folder: Path


class _Mount(NamedTuple):
    """A place where a hierarchy is mounted: its group `top` and the groups below."""

    controllers: frozenset[str]  # of version 1; version 2 does not list them
    top: str
    point: str

    def shows(self, path: str) -> bool:
        """Whether the group `path` can be seen here."""
        return f"{path}/".startswith(f"{self.top.rstrip('/')}/") and ".." not in path.split("/")


def groups(controller: str, root: Path = ROOT) -> tuple[Group, ...]:
    """The groups that may limit what this process gets from `controller`, innermost first.

    They are the process's own group in each hierarchy that may have the controller, and those
    above it, as far up as they are mounted.

    Args:
        controller: such as "cpu" or "memory".
        root: the root of the file system; tests pass another one.
    """
    return _groups(controller, read(root / "proc/self/cgroup"), root)


def read(path: Path) -> str:
    """The text of a small file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return ""


@lru_cache(maxsize=4)
def _groups(controller: str, memberships: str, root: Path) -> tuple[Group, ...]:
    """Cached, because mounts hardly change; a process that moves has other `memberships`."""
    mounts = list(_mounts(read(root / "proc/self/mountinfo")))
    return tuple(
        Group(2 if names is None else 1, folder)
        for names, path in _memberships(memberships)
        if names is None or controller in names
        for folder in _folders(path, [mount for mount in mounts if _fits(mount, names)], root)
    )


def _fits(mount: _Mount, names: frozenset[str] | None) -> bool:
    return not mount.controllers if names is None else bool(mount.controllers & names)


def _memberships(text: str) -> Iterator[tuple[frozenset[str] | None, str]]:
    """The lines of /proc/self/cgroup: controllers, None for version 2, and the group's path."""
    for line in text.split("\n"):
        fields = line.split(":", 2)
        if len(fields) == 3 and fields[2].startswith("/"):
            number, names, path = fields
            if names:
                yield frozenset(names.split(",")), path
            elif number == "0":
                yield None, path


def _mounts(text: str) -> Iterator[_Mount]:
    """The hierarchies among the lines of /proc/self/mountinfo."""
    for line in text.split("\n"):
        mount, _, system = line.partition(" - ")
        before, after = mount.split(" "), system.split(" ")
        if len(before) < 6 or len(after) < 3 or after[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(after[2].split(",")) if after[0] == "cgroup" else frozenset()
        yield _Mount(controllers, _unescaped(before[3]), _unescaped(before[4]))


def _unescaped(text: str) -> str:
    """A path of mountinfo, in which spaces and the like are written as octal numbers."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _folders(path: str, mounts: list[_Mount], root: Path) -> Iterator[Path]:
    """A group's folder and those above it, in the mount that shows most of them.

    If no mount shows the group, as in some containers, it is the top of what is mounted.
    """
    showing = [mount for mount in mounts if mount.shows(path)]
    for mount in sorted(showing, key=lambda mount: len(mount.top))[:1]:
        point = root / mount.point.lstrip("/")
        below = [part for part in path[len(mount.top.rstrip("/")) :].split("/") if part]
        for count in range(len(below), -1, -1):
            yield point.joinpath(*below[:count])
    if not showing:
        for mount in mounts[:1]:
            yield root / mount.point.lstrip("/")
