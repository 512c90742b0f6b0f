# SPDX-License-Identifier: MIT
"""Copies bytes of one file into another, where possible inside the system.  It draws no values.

`copy_file_range` lets a file system share the blocks (Btrfs, XFS) or a server copy them (NFS 4.2);
elsewhere the system copies from page to page.  Where it cannot, the bytes pass through a buffer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastinit.checkpoints.advice import explained
from fastinit.checkpoints.read import read_exactly
from fastinit.checkpoints.writable import WritableFile

COPIED = 2**23  # bytes at a time: a few ms in memory, so that Ctrl-C need not wait long
NOT_INSIDE = {
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
        """Have the system copy; returns how many bytes it did, all or the first ones."""
        done = 0
        if not hasattr(os, "copy_file_range"):  # macOS has none
            return done
        with explained(file.path, "copy what stays into", self.size):
            while done < self.size:
                try:
                    count = os.copy_file_range(
                        *(self.descriptor, file.file.fileno(), self.size - done),
                        *(self.start + done, offset + done),
                    )
                except OSError as error:
                    if error.errno not in NOT_INSIDE:
                        raise
                    return done
                if count == 0:  # the file became shorter, which reading it tells
                    return done
                done += count
        return done


def copies(descriptor: int, path: Path, start: int, end: int) -> Iterator[Copy]:
    """The bytes from `start` to `end` of an open file, cut where blocks can be shared."""
    while start < end:
        stop = min(end, (start // COPIED + 1) * COPIED)
        yield Copy(descriptor, path, start, stop - start)
        start = stop
