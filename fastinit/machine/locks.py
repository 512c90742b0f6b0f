# SPDX-License-Identifier: MIT
"""Locks of open files, which end with the process that holds them.  What files hold is not known.

Unix locks a file as a whole.  Windows locks ranges of bytes, keeps others from reading and writing
them, and has one kind of lock.  There a lock of a file holds `SHARES` bytes far behind its end, and
a shared lock one of these, so at most that many processes share one.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

try:
    import fcntl
except ModuleNotFoundError:
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ModuleNotFoundError:
    msvcrt = None  # type: ignore[assignment]

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}

FIRST, SHARES = 2**43, 64
"""The bytes that stand for a file on Windows, behind 8 TiB, where no file of ours ends."""


def lock(descriptor: int, *, shared: bool) -> bool | None:
    """Lock a file; False if another holder has the lock, None if there are no locks.

    Any number may hold a `shared` lock, while nobody holds the other kind.
    """
    if fcntl:
        return _whole(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    if not msvcrt:
        return None
    ranges = [(FIRST + byte, 1) for byte in range(SHARES)] if shared else [(FIRST, SHARES)]
    return any(_range(descriptor, begin, size, "LK_NBLCK") for begin, size in ranges)


def unlock(descriptor: int) -> None:
    """Unlock a file; what was not locked, or cannot be unlocked, is left to the closing."""
    if fcntl:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    elif msvcrt:
        for begin, size in [(FIRST, SHARES), *((FIRST + byte, 1) for byte in range(SHARES))]:
            _range(descriptor, begin, size, "LK_UNLCK")


def _whole(descriptor: int, operation: int) -> bool | None:
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        if error.errno == errno.EWOULDBLOCK:
            return False
        raise
    return True


def _range(descriptor: int, begin: int, size: int, operation: str) -> bool:
    """Lock or unlock a range of bytes: Windows has the same error for whatever prevents it."""
    os.lseek(descriptor, begin, os.SEEK_SET)
    with suppress(OSError):
        msvcrt.locking(descriptor, getattr(msvcrt, operation), size)  # type: ignore[attr-defined]
        return True
    return False
