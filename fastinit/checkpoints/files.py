# SPDX-License-Identifier: MIT
"""A folder, and files that appear in it whole or not at all.  Knows nothing of tensors.

Rules, each against a loss that happened to somebody: write beside the target and rename (a reader
never sees half a file); flush the file before the rename and the folder after it (a power cut
cannot leave a name without its data), unless less durability is asked for; allocate first (a full
disk is found before the work is done); hold a lock while alive (what a killed writer left can be
told from what a living one writes); keep the folder open and name files relative to it (nobody can
swap it meanwhile).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, cast, get_args

from fastinit.errors import CheckpointError

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.fastinit")
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
NO_ALLOCATION = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
NO_FOLDER_FLUSH = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EROFS}
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
ADVICE = {
    errno.EACCES: "give yourself permission to write there, or choose another folder",
    errno.EPERM: "give yourself permission to write there, or choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EFBIG: "pass a smaller max_shard_size, or raise the file size limit (ulimit -f)",
    errno.EIO: "the disk reported a fault: check it, or choose another folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENAMETOOLONG: "choose a folder with a shorter name",
    errno.ENOTDIR: "choose a folder",
}


Durability = Literal["none", "file", "full"]
"""What is flushed to disk: nothing; files before their rename; and the folder after it too."""


def check_durability(durability: str) -> Durability:
    """The level itself, if there is such a one."""
    if durability not in get_args(Durability):
        raise ValueError(
            f"durability is {durability!r}: choose from {', '.join(get_args(Durability))}"
        )
    return cast("Durability", durability)


@contextmanager
def explained(path: Path, doing: str, needed: int = 0) -> Iterator[None]:
    """Turn an OSError of the body into a CheckpointError that names the file and a way out."""
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "run the same command again to carry on")
        if error.errno in NO_SPACE:
            wanted = f"{needed:,} bytes are needed, " if needed else ""
            advice = f"{wanted}{_free(path.parent):,} are free: free some, or choose another folder"
        raise CheckpointError(
            f"cannot {doing} {path}: {error.strerror or error}; {advice}"
        ) from error


def _free(path: Path | int) -> int:
    """Bytes that this user may still write there."""
    with suppress(OSError):
        state = os.statvfs(path)
        return state.f_frsize * (state.f_bavail if os.geteuid() else state.f_bfree)
    return 0


class Folder:
    """An open folder, locked against other writers, and the temporary files made in it.

    Leaving the `with` block removes every temporary file that was not published.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        exclusive: bool = True,
        durability: Durability = "full",
    ) -> None:
        self.path = Path(path)
        self.durability = durability
        self.temporaries: dict[str, TemporaryFile] = {}
        with explained(self.path, "open"):
            linked = self.path.is_symlink()
        if linked:
            raise CheckpointError(
                f"{self.path} is a symbolic link to {os.readlink(self.path)}: pass its target"
            )
        with explained(self.path, "open"):
            _make(self.path, durable=durability == "full")
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self.descriptor = os.open(self.path, flags)
            alone = not exclusive or _lock(self.descriptor)
        if not alone:
            _close(self.descriptor)
            raise CheckpointError(
                f"another process is writing into {self.path}: wait until it ends, "
                "or choose another folder"
            )

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for temporary in list(self.temporaries.values()):
            temporary.discard()
        _close(self.descriptor)

    def names(self) -> set[str]:
        """What is in the folder."""
        with explained(self.path, "list"):
            return set(os.listdir(self.descriptor))

    def begins_with(self, name: str, content: bytes, size: int) -> bool:
        """Whether `name` is a regular file of `size` bytes that begins with `content`."""
        with explained(self.path / name, "read"):
            return self._begins_with(name, content, size)

    def _begins_with(self, name: str, content: bytes, size: int) -> bool:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a symbolic link is never ours
                return False
            raise
        try:
            state = os.fstat(descriptor)
            return (
                stat.S_ISREG(state.st_mode)
                and state.st_size == size
                and os.pread(descriptor, len(content), 0) == content
            )
        finally:
            _close(descriptor)

    def is_folder(self, name: str) -> bool:
        """Whether `name` is a folder, which no file can replace."""
        with suppress(FileNotFoundError):
            state = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
            return stat.S_ISDIR(state.st_mode)
        return False

    def check_space(self, needed: int) -> None:
        """Raise when the file system has fewer bytes left; one that cannot tell says 0 blocks."""
        with explained(self.path, "measure"):
            known = os.fstatvfs(self.descriptor).f_blocks > 0
        if known and _free(self.descriptor) < needed:
            raise CheckpointError(
                f"{self.path} needs {needed:,} bytes, {_free(self.descriptor):,} are free: "
                "free some, or choose another folder"
            )

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with explained(self.path / name, "remove"), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def sync(self) -> None:
        """Make names that were added and removed survive a power cut, if that is asked for."""
        if self.durability == "full":
            with explained(self.path, "flush"):
                os.fsync(self.descriptor)

    def flush(self, name: str) -> None:
        """Flush a file that is there already: who wrote it may have asked for less."""
        if self.durability == "none":
            return
        with explained(self.path / name, "flush"):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self.descriptor)
            try:
                os.fsync(descriptor)
            finally:
                _close(descriptor)

    def sweep(self) -> None:
        """Remove the temporary files of dead writers: those whose lock can be had."""
        for name in self.names():
            if TEMPORARY.fullmatch(name):
                with suppress(OSError):
                    self._sweep(name)

    def _sweep(self, name: str) -> None:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self.descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=self.descriptor)
        finally:
            _close(descriptor)


class TemporaryFile:
    """A file under a name of its own until `publish` gives it its final one."""

    def __init__(self, folder: Folder, final: str, size: int) -> None:
        self.folder = folder
        self.final = final
        self.path = folder.path / final
        self.descriptor = -1
        with explained(self.path, "create", size):
            while not self._open():
                pass
            _allocate(self.descriptor, size)

    def _open(self) -> bool:
        """Open and lock under a fresh name; False when a sweeper took it in between.

        Registered before it exists, so that an interrupt at any point leaves nothing behind.
        """
        self.close()
        self.name = f".{self.final}.{uuid.uuid4().hex}.fastinit"  # a pid repeats in a retried task
        self.folder.temporaries[self.name] = self
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(self.name, flags, 0o666, dir_fd=self.folder.descriptor)
        if _lock(self.descriptor) and os.fstat(self.descriptor).st_nlink:
            return True
        self.discard()
        return False

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Put all of `data` at `offset`; one call of the system may take only a part."""
        data = memoryview(data)
        with explained(self.path, "write", len(data)):
            while data:
                written = os.pwrite(self.descriptor, data, offset)
                data, offset = data[written:], offset + written

    def flush(self) -> None:
        """Wait until what was written is on disk, unless nothing is to be flushed.

        A failure is final: the data may be lost.
        """
        if self.folder.durability != "none":
            with explained(self.path, "flush"):
                os.fsync(self.descriptor)

    def begin_flush(self, offset: int, size: int) -> None:
        """Have the disk begin with what was written there, and do not wait; only a hint.

        Pages that are not on disk yet cannot be dropped: being told that they are not needed,
        Linux starts to write them.
        """
        if self.folder.durability != "none" and hasattr(os, "posix_fadvise"):  # macOS has none
            with suppress(OSError):
                os.posix_fadvise(self.descriptor, offset, size, os.POSIX_FADV_DONTNEED)

    def complete(self) -> None:
        """Everything is written: flush it, or where nothing is flushed, hear what closing says.

        A network file system may report only then that the data never arrived.  Closing a
        duplicate asks it as well, and keeps the lock.
        """
        self.flush()
        if self.folder.durability == "none":
            with explained(self.path, "close"):
                os.close(os.dup(self.descriptor))

    def close(self) -> None:
        """Give up the descriptor, and the lock with it."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            _close(descriptor)

    def publish(self) -> None:
        """Rename a complete file to its final name, and flush that too."""
        at = self.folder.descriptor
        with explained(self.path, "rename a temporary file to"):
            os.rename(self.name, self.final, src_dir_fd=at, dst_dir_fd=at)
        del self.folder.temporaries[self.name]
        self.close()
        self.folder.sync()

    def discard(self) -> None:
        """Remove it.  Never fails: what cannot be removed now, the next writer sweeps."""
        with suppress(OSError):
            os.unlink(self.name, dir_fd=self.folder.descriptor)
        self.close()
        self.folder.temporaries.pop(self.name, None)


def _make(path: Path, *, durable: bool) -> None:
    """Create the folder and its parents, each name flushed to disk in the folder above it.

    The folder's own name is flushed if it is there already, too: who made it may not have.
    """
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):  # somebody else was faster
            os.mkdir(folder)
    if durable:
        for folder in reversed(missing or [path]):
            _flush_name(folder)


def _flush_name(path: Path) -> None:
    """Make a folder's name survive a power cut, where we may and the file system can."""
    try:
        descriptor = os.open(path / "..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_FLUSH:  # a mount point may lie in an image of no writes
            raise
    finally:
        _close(descriptor)


def _close(descriptor: int) -> None:
    """Close; an error now says nothing new, for what matters has been flushed or completed."""
    with suppress(OSError):
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock the file, or say that somebody else has; file systems without locks are trusted."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return True
        if error.errno == errno.EWOULDBLOCK:
            return False
        raise
    return True


def _allocate(descriptor: int, size: int) -> None:
    """Reserve the whole size, so that a full disk shows here and not after an hour."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except AttributeError:  # macOS has none
        os.ftruncate(descriptor, size)
    except OSError as error:
        if error.errno not in NO_ALLOCATION:
            raise
        os.ftruncate(descriptor, size)
