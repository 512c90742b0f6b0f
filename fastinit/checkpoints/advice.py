# SPDX-License-Identifier: MIT
"""Says what the system's errors mean for who writes or reads a checkpoint, and what to do.

Touches no file but for asking how much room is left.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastinit.checkpoints.targets import COPYING, located
from fastinit.errors import CheckpointError
from fastinit.machine import storage
from fastinit.texts import printable, quoted

AGAIN = "run the same command again to carry on"
ELSEWHERE = "or choose another folder"

SERVER = "the server of the file system does not answer: when it does, {again}"
DAMAGED = "the file system is damaged: have it checked (fsck){elsewhere}"
GONE = "the disk is gone: connect and mount it again{elsewhere}"
UNABLE = "the file system cannot do this: {other}"
PERMISSION = "give yourself permission to {verb} there{elsewhere}"
IN_USE = "close whatever has it open or mapped, or give yourself permission to {verb} there"
BUSY = "another program is using it: end that program{elsewhere}"

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
ADVICE = {
    errno.EACCES: PERMISSION if storage.POSIX else f"{IN_USE}{{elsewhere}}",
    errno.EPERM: PERMISSION,
    errno.EROFS: "the file system is read-only: {other}",
    errno.EFBIG: "raise the file size limit (ulimit -f), or write smaller files (max_shard_size)",
    errno.EIO: "the disk reported a fault: check it{elsewhere}",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "too many files are open in the system: end other programs, and {again}",
    errno.ENOMEM: "the system is out of memory: end other programs, and {again}",
    errno.ENAMETOOLONG: "choose a folder with a shorter name",
    errno.ENOTDIR: "choose a folder",
    errno.EISDIR: "a folder is in the way: remove it{elsewhere}",
    errno.EEXIST: "a file of that name is in the way: remove it{elsewhere}",
    errno.ENOENT: "it was removed or renamed meanwhile: find out by whom, then {again}",
    errno.ELOOP: "a symbolic link is in the way: remove it{elsewhere}",
    errno.EBUSY: BUSY,
    errno.ETXTBSY: BUSY,
    errno.EMLINK: "the folder above holds too many folders: choose another",
    errno.EINTR: "a signal came in between: {again}",
    errno.EAGAIN: "the system was busy: {again}",
    errno.ESTALE: "the network file system lost track of it: mount it again, then {again}",
    errno.ETIMEDOUT: SERVER,
    errno.ENOTCONN: SERVER,
    errno.ECONNREFUSED: SERVER,
    errno.ECONNRESET: SERVER,
    errno.ECONNABORTED: SERVER,
    errno.EHOSTDOWN: SERVER,
    errno.EHOSTUNREACH: SERVER,
    errno.ENETDOWN: SERVER,
    errno.ENETUNREACH: SERVER,
    errno.EBADMSG: DAMAGED,
    getattr(errno, "EUCLEAN", errno.EBADMSG): DAMAGED,  # Linux has it, macOS has not
    errno.ENODEV: GONE,
    errno.ENXIO: GONE,
    errno.EINVAL: UNABLE,
    errno.EILSEQ: UNABLE,
    errno.ENOSYS: UNABLE,
    errno.EOPNOTSUPP: UNABLE,
    errno.EXDEV: UNABLE,
}
"""What to do about each error that is likely."""

READING = {
    errno.ENOMEM: "the system is out of memory: end other programs, or raise the limit of address "
    "space (ulimit -v), and {again}",
    errno.ENAMETOOLONG: "pass a shorter path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.ENOENT: "check the path, and whether a program removed or renamed it",
}
"""What differs for who only reads."""

WRITER = {"again": AGAIN, "elsewhere": f", {ELSEWHERE}", "other": "choose another folder"}
READER = {"again": "try again", "elsewhere": "", "other": "copy it to another one first"}
READS = ("list", "look at", "measure", "read")  # what a writer does, too, and needs no more for


class NoSpaceError(CheckpointError):
    """The file system or a quota has no room."""


class BusyError(CheckpointError):
    """The lock of a folder is held elsewhere."""

    def __init__(self, folder: Path, instead: str = "") -> None:
        super().__init__(
            f"another process is writing into {printable(folder)}, or a checkpoint there is open "
            f"for writing: wait until it ends{instead}"
        )


@contextmanager
def explained(path: Path, doing: str, needed: int = 0, *, reader: bool = False) -> Iterator[None]:
    """Turn an OSError of the body into a CheckpointError that names the file and a way out.

    Args:
        path: what the body works on.
        doing: what it does with it, as in "cannot open".
        needed: bytes that it needs on disk.
        reader: whether the program only reads, and cannot choose another folder.
    """
    try:
        yield
    except CheckpointError:
        raise  # an OSError too, and explained already
    except OSError as error:
        text = f"cannot {doing} {printable(path)}: {error.strerror or error}"
        if error.errno in NO_SPACE:
            raise NoSpaceError(f"{text}; {_no_space(error, path.parent, needed)}") from error
        raise CheckpointError(f"{text}; {_advice(error.errno or 0, doing, reader)}") from error


def _advice(code: int, doing: str, reader: bool) -> str:
    advice = ADVICE.get(code, "{again}")
    if reader:
        advice = READING.get(code, advice)
    verb = "read" if reader or doing in READS else "write"
    return advice.format(verb=verb, **(READER if reader else WRITER))


def given(path: str | os.PathLike[str]) -> Path:
    """The path that a caller gave for what works on disk alone.

    Raises:
        ValueError: it is empty, a URL, or a URL that a Path has changed.
    """
    place = located(path)
    if isinstance(place, Path):
        return place
    command = COPYING.get(place.partition(":")[0])
    how = f", as by {command} {printable(place)} FOLDER" if command else ""
    raise ValueError(
        f"path is {quoted(str(place))}: only `write` reaches an object store; copy the checkpoint "
        f"to a folder first{how}"
    )


def _no_space(error: OSError, folder: Path, needed: int) -> str:
    """Why there is no room, and how to make some; it never contradicts the refusal."""
    if error.errno == errno.EDQUOT:
        return (
            "your quota is used up, even if the disk has free space: remove files of yours, ask "
            f"for a larger quota, {ELSEWHERE}"
        )
    with suppress(OSError):
        if storage.without_inodes(folder):
            return (
                f"no inodes are left, even if space remains: remove files of any size, {ELSEWHERE}"
            )
    wanted = f"{needed:,} bytes are needed" if needed else "more bytes are needed"
    with suppress(OSError):
        left = storage.available(folder)
        if left is not None and left < max(needed, 1):
            return f"{wanted}, {left:,} are available: free some, {ELSEWHERE}"
    return (
        f"{wanted}, and the file system refuses them whatever it reports as free (there "
        f"is a limit, or blocks are reserved): free more, {ELSEWHERE}"
    )
