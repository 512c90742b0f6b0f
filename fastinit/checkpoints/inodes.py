# SPDX-License-Identifier: MIT
"""What a file system keeps beside contents: names of folders, owner and mode.  Opens no weights."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from fastinit.machine import storage
from fastinit.machine.folders import new_folder

NO_FOLDER_FLUSH = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EROFS}


def make_folder(path: Path, *, durable: bool) -> None:
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
    with new_folder() as above:
        try:
            above.enter(path / "..", follow=True)
        except PermissionError:
            return
        try:
            above.flush()
        except OSError as error:
            if error.errno not in NO_FOLDER_FLUSH:  # a mount point may lie in a read-only image
                raise


def imitate(descriptor: int, model: os.stat_result) -> None:
    """Copy owner and mode; if the group cannot be kept, no group gets access."""
    mode = stat.S_IMODE(model.st_mode) & 0o777
    with suppress(OSError):
        storage.give_owner(descriptor, model.st_uid, model.st_gid)
    if os.fstat(descriptor).st_gid != model.st_gid:
        with suppress(OSError):
            storage.give_owner(descriptor, -1, model.st_gid)
    if os.fstat(descriptor).st_gid != model.st_gid:
        mode &= ~0o070
    with suppress(OSError):  # a file system without modes
        storage.give_mode(descriptor, mode)
