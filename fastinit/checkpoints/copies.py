# SPDX-License-Identifier: MIT
"""Copies bytes of one file into another, where possible inside the system.  It draws no values.

Where the system cannot, the bytes pass through a buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastinit.checkpoints.advice import explained
from fastinit.checkpoints.read import read_exactly
from fastinit.checkpoints.writable import WritableFile
from fastinit.machine import storage

COPIED = 2**23  # bytes at a time: a few ms in memory, so that Ctrl-C need not wait long


@dataclass(frozen=True)
class Copy:
    """`size` bytes of an open file, from byte `start`."""

    descriptor: int
    path: Path
    start: int
    size: int

    def into(
        self, file: WritableFile, offset: int, buffer: np.ndarray[Any, np.dtype[np.uint8]]
    ) -> None:
        """Put them at `offset` of another file; the buffer has room for some of them."""
        done = self._inside(file, offset)
        while done < self.size:
            data = buffer[: self.size - done].data
            read_exactly(self.descriptor, data, self.start + done, self.path)
            file.write(data, offset + done)
            done += len(data)

    def _inside(self, file: WritableFile, offset: int) -> int:
        """Have the system copy; returns how many bytes it did, all or the first ones.

        A file that became shorter meanwhile ends it, too, which reading it tells.
        """
        done = 0
        with explained(file.path, "copy what stays into", self.size):
            while done < self.size:
                count = storage.copy(
                    *(self.descriptor, self.start + done),
                    *(file.file.fileno(), offset + done, self.size - done),
                )
                if count == 0:
                    break
                done += count
        return done


def copies(descriptor: int, path: Path, start: int, end: int) -> Iterator[Copy]:
    """The bytes from `start` to `end` of an open file, cut where blocks can be shared."""
    while start < end:
        stop = min(end, (start // COPIED + 1) * COPIED)
        yield Copy(descriptor, path, start, stop - start)
        start = stop
