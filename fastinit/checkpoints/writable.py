# SPDX-License-Identifier: MIT
"""An open file into which bytes are put, at any place and by any thread, and flushed.

Who made the file, what it is called, and when it gets its final name, are for files.py to know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast, get_args

from fastinit.checkpoints.advice import explained
from fastinit.machine import storage
from fastinit.machine.descriptors import OpenFile
from fastinit.texts import quoted

Durability = Literal["none", "file", "full"]
"""What is flushed to disk: nothing; files before their rename; and the folder after it too."""


def check_durability(durability: str) -> Durability:
    """The level itself, if there is such a one."""
    if durability not in get_args(Durability):
        raise ValueError(
            f"durability is {quoted(durability)}: choose from {', '.join(get_args(Durability))}"
        )
    return cast("Durability", durability)


class WritableFile:
    """A file that is open for writing; `path` is what messages call it."""

    def __init__(self, file: OpenFile, path: Path, durability: Durability) -> None:
        self.file = file
        self.path = path
        self.durability = durability

    def allocate(self, size: int) -> None:
        """Reserve the whole size, so that a full disk shows here and not after an hour."""
        storage.allocate(self.file.fileno(), size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Put all of `data` at `offset`; one call of the system may take only a part."""
        data = memoryview(data)
        with explained(self.path, "write", len(data)):
            while data:
                written = storage.write(self.file.fileno(), data, offset)
                data, offset = data[written:], offset + written

    def flush(self) -> None:
        """Wait until what was written is on disk, unless nothing is to be flushed.

        A failure is final: the data may be lost.
        """
        if self.durability != "none":
            with explained(self.path, "flush"):
                os.fsync(self.file.fileno())

    def begin_flush(self, offset: int, size: int) -> None:
        """Have the disk begin with what was written there, and do not wait; only a hint."""
        if self.durability != "none":
            storage.begin_flush(self.file.fileno(), offset, size)

    def settle(self) -> None:
        """Flush it, or where nothing is flushed, hear what closing says.

        A network file system may report only then that the data never arrived.  Closing a
        copy of the descriptor asks it as well, and keeps the lock.
        """
        self.flush()
        if self.durability == "none":
            with explained(self.path, "close"):
                self.file.check()
