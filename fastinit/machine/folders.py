# SPDX-License-Identifier: MIT
"""Open folders, in which files are reached by their names.  It knows no file's content or purpose.

Where the system opens folders, a file is found relative to the descriptor: nobody can put another
folder or a symbolic link in between.  Windows opens none.  There paths are joined, a lock is that
of a hidden file in the folder, and names are not flushed: NTFS keeps a journal of them.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from fastinit.machine import storage
from fastinit.machine.descriptors import OpenFile

LOCK_FILE = ".lock.fastinit"


class OpenFolder(OpenFile):
    """A folder, opened once and closed once, as an `OpenFile` is."""

    def enter(self, path: Path, *, follow: bool = False) -> None:
        """Open the folder at `path`; a symbolic link to one only if it may `follow` it."""
        self.open(path, os.O_RDONLY | storage.FOLDER | (0 if follow else storage.NO_FOLLOW))

    def open_in(self, file: OpenFile, name: str, flags: int, mode: int = 0o666) -> int:
        """Open `name`, which must not be a symbolic link, and return the descriptor."""
        return file.open(name, flags | storage.NO_FOLLOW, mode, self.fileno())

    def state(self, name: str, *, follow: bool = False) -> os.stat_result:
        """What the system says of `name`."""
        return os.stat(name, dir_fd=self.fileno(), follow_symlinks=follow)

    def rename(self, old: str, new: str) -> None:
        """Give `old` another name, in place of the file that has it."""
        os.rename(old, new, src_dir_fd=self.fileno(), dst_dir_fd=self.fileno())

    def remove(self, name: str) -> None:
        """Remove the file `name`."""
        os.unlink(name, dir_fd=self.fileno())

    def names(self) -> set[str]:
        """What is in the folder.

        It opens another descriptor: one that was read before has to be rewound, and a rewind that
        fails goes unnoticed and leaves nothing to read.
        """
        with OpenFile() as file:
            return set(os.listdir(self.open_in(file, ".", os.O_RDONLY | storage.FOLDER)))

    def flush(self) -> None:
        """Make names that were added and removed survive a power cut."""
        os.fsync(self.fileno())

    def available(self) -> int | None:
        """Bytes that may still be written into it; None where the system does not know."""
        return storage.available(self.fileno())


class FolderByPath(OpenFolder):
    """What stands for an open folder where the system has none."""

    def enter(self, path: Path, *, follow: bool = False) -> None:
        """Remember the folder at `path`, if it is one and can be listed."""
        with os.scandir(path):
            self._path = os.path.abspath(path)

    def open_in(self, file: OpenFile, name: str, flags: int, mode: int = 0o666) -> int:
        """Open `name`, and return the descriptor; whoever is quick can still put a link there.

        Raises:
            OSError: ELOOP for a symbolic link or a folder, among others.
        """
        path = os.path.join(self._path, name)
        if os.path.islink(path) or os.path.isdir(path):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return file.open(path, flags, mode)

    def lock(self, *, shared: bool = False) -> bool | None:
        """Lock a file in it that is there for nothing else."""
        self.open_in(self, LOCK_FILE, os.O_RDWR | os.O_CREAT)
        return super().lock(shared=shared)

    def release(self) -> None:
        """Unlock and close it, and remove the hidden file unless others have it open."""
        super().release()
        with suppress(OSError):
            self.remove(LOCK_FILE)

    def state(self, name: str, *, follow: bool = False) -> os.stat_result:
        """What the system says of `name`."""
        return os.stat(os.path.join(self._path, name), follow_symlinks=follow)

    def rename(self, old: str, new: str) -> None:
        """Give `old` another name, in place of the file that has it."""
        os.replace(os.path.join(self._path, old), os.path.join(self._path, new))

    def remove(self, name: str) -> None:
        """Remove the file `name`."""
        os.unlink(os.path.join(self._path, name))

    def names(self) -> set[str]:
        """What is in the folder, but for the file that its lock needs."""
        return set(os.listdir(self._path)) - {LOCK_FILE}

    def flush(self) -> None:
        """Nothing: names of files cannot be flushed."""

    def available(self) -> int | None:
        """Bytes that may still be written into it; None where the system does not know."""
        return storage.available(self._path)


def new_folder() -> OpenFolder:
    """A folder that is not open yet, of the kind that this system has."""
    return OpenFolder() if storage.POSIX else FolderByPath()
