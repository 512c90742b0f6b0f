# SPDX-License-Identifier: MIT
"""Open files that are closed whatever signals arrive, and their locks.  Reads and writes nothing.

Python runs signal handlers, which may raise KeyboardInterrupt, after any call and at the beginning
of any function, in `finally` blocks and `__exit__` too, but never inside a function that is written
in C.  `map` is written in C.  So here it carries a descriptor from `os.open` into a list, and from
the list into `os.closerange`, without a Python instruction in between.  `io.IOBase` ends a `with`
block in the same way: its `__exit__` is written in C and calls `close`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import methodcaller
from typing import Any, TypeVar

from fastinit.machine import locks, storage

F = TypeVar("F", bound="OpenFile")


class OpenFile(io.IOBase):
    """A file or folder, opened once and closed once, at the latest at the end of the `with` block.

    Create the object first, and open the file inside the `with` block.
    """

    close: Callable[[], Any]
    """Close it, if it is open.  It reports no error: what was written has been flushed before."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._locked = False
        self._process = os.getpid()
        ends = map((1).__add__, map(self._numbers.pop, [0]))
        closing = map(os.closerange, self._numbers, ends)  # as os.close, but it ignores errors
        self.close = partial(next, closing, None)

    def open(
        self, path: str | os.PathLike[str], flags: int, mode: int = 0o666, dir_fd: int | None = None
    ) -> int:
        """Open what is at `path`, and return the descriptor."""
        opener = partial(os.open, flags=flags | storage.AS_BYTES, mode=mode, dir_fd=dir_fd)
        self._numbers.extend(map(opener, [path]))
        return self.fileno()

    def fileno(self) -> int:
        """The descriptor of the open file."""
        return self._numbers[0]

    def lock(self, *, shared: bool = False) -> bool | None:
        """Lock it; False if another holder has the lock, None if the file system has no locks.

        Any number may hold a `shared` lock, while nobody holds the other kind.
        """
        self._locked = True
        return locks.lock(self.fileno(), shared=shared)

    def release(self) -> None:
        """Unlock and close it.

        Closing does not suffice: a process that was forked meanwhile has a copy of the descriptor,
        which would keep the lock until that process ends.  The forked process itself only closes,
        because the lock is its parent's.
        """
        try:
            if self._numbers and self._locked and self._process == os.getpid():
                self._locked = False
                locks.unlock(self.fileno())
        finally:
            self.close()

    def check(self) -> None:
        """Close a copy of the descriptor: some file systems report errors only then."""
        closing = map(os.close, map(os.dup, self._numbers))
        next(closing)


class OpenFiles(io.IOBase):
    """Files; those that are still open at the end of the `with` block are closed there."""

    close: Callable[[], Any]
    """Close them all."""

    def __init__(self) -> None:
        self._files: list[OpenFile] = []
        self.close = partial(any, map(methodcaller("close"), self._files))

    def new(self) -> OpenFile:
        """Add another file, which is not open yet."""
        return self.add(OpenFile())

    def add(self, file: F) -> F:
        """Add a file, or a folder, which is not open yet."""
        self._files.append(file)
        return file

    def release(self, file: OpenFile) -> None:
        """Unlock and close one of them, for good."""
        file.release()
        with suppress(ValueError):  # it was released before
            self._files.remove(file)


def read_into(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill `buffer` from `offset`, and return how many bytes the file had for it."""
    begin = offset  # one call of the system may give only a part
    while buffer and (count := storage.read(descriptor, buffer, offset)):
        buffer, offset = buffer[count:], offset + count
    return offset - begin
