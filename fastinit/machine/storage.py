# SPDX-License-Identifier: MIT
"""The system's calls on open files, and what takes their place where Python has none.

Linux has all of them.  macOS lacks the reservation of space, the start of a write-back and copies
inside the system.  Windows lacks those, reads and writes at an offset, owners and modes; it neither
renames nor removes a file that is open.  Nothing here knows what files hold.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

POSIX = os.open in os.supports_dir_fd
"""Whether folders can be opened, and files be renamed and removed while they are open."""

FOLDER = getattr(os, "O_DIRECTORY", 0)
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
AS_BYTES = getattr(os, "O_BINARY", 0)
"""Flags of `os.open`; 0 where the system has none, and Windows alone knows text files."""

FLUSHABLE = os.O_RDONLY if POSIX else os.O_RDWR
"""How to open a file that is only to be flushed."""

MOST_READ = 2**24
"""Bytes that are read at once without `preadv`: such a read takes a buffer of its own."""

NO_COPY = {
    errno.EXDEV,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.EBADF,
    errno.EINTR,
    errno.EPERM,
    errno.ETXTBSY,
}
"""What `copy_file_range` says where it cannot copy: file systems, kernels and sandboxes differ."""

NO_ALLOCATION = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}

_POSITIONS = [threading.Lock() for _ in range(64)]
"""Whoever moves the position of a descriptor holds one of them until the data is there."""


@contextmanager
def _at(descriptor: int, offset: int) -> Iterator[None]:
    """Set the position of a file for one read or write; other threads wait with theirs."""
    with _POSITIONS[descriptor % len(_POSITIONS)]:
        os.lseek(descriptor, offset, os.SEEK_SET)
        yield


def read(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read into `buffer` from `offset` by one call, and return how many bytes came."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], offset)
    with _at(descriptor, offset):
        data = os.read(descriptor, min(len(buffer), MOST_READ))
    buffer[: len(data)] = data
    return len(data)


def write(descriptor: int, data: memoryview, offset: int) -> int:
    """Write `data` at `offset` by one call, and return how many bytes went."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, offset)
    with _at(descriptor, offset):
        return os.write(descriptor, data)


def copy(source: int, start: int, target: int, offset: int, size: int) -> int:
    """Copy from `start` of a file to `offset` of another inside the system, by one call.

    File systems may share the blocks (Btrfs, XFS), and servers copy them (NFS 4.2); elsewhere the
    system copies from page to page.

    Returns:
        How many bytes; 0 where it cannot, or where `source` ends.
    """
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source, target, size, start, offset)
    except OSError as error:
        if error.errno not in NO_COPY:
            raise
        return 0


def allocate(descriptor: int, size: int) -> None:
    """Give a file its size, and reserve the space where the system and the file system can."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in NO_ALLOCATION:
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)  # free the part that was reserved
                raise
    os.ftruncate(descriptor, size)


def begin_flush(descriptor: int, offset: int, size: int) -> None:
    """Have the disk begin with what was written there, and do not wait; only a hint.

    Pages that are not on disk yet cannot be dropped: being told that they are not needed, Linux
    starts to write them.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)


def reserved(state: os.stat_result) -> int:
    """Bytes of a file that have a place on disk, as far as the system tells."""
    return 512 * getattr(state, "st_blocks", 0)


def available(place: os.PathLike[str] | str | int) -> int | None:
    """Bytes that may still be written there; None where the system does not know.

    Blocks that are reserved for root are not counted: a container's root does not get them.
    """
    if hasattr(os, "statvfs"):
        state = os.statvfs(place)
        return state.f_frsize * state.f_bavail if state.f_blocks else None
    if isinstance(place, int):
        return None
    import shutil  # with archives and compression, which only this needs

    with suppress(AttributeError):
        return shutil.disk_usage(place).free
    return None


def without_inodes(place: os.PathLike[str] | str) -> bool:
    """Whether a file system with a fixed number of files has reached it."""
    if not hasattr(os, "statvfs"):
        return False
    state = os.statvfs(place)
    return bool(state.f_files) and not state.f_favail


def give_owner(descriptor: int, user: int, group: int) -> None:
    """Change the owner of a file where files have one that a descriptor reaches; -1 keeps it."""
    if hasattr(os, "fchown"):
        os.fchown(descriptor, user, group)


def give_mode(descriptor: int, mode: int) -> None:
    """Change the permissions of a file where a descriptor reaches them."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
