# SPDX-License-Identifier: MIT
"""Draws shards by several threads and uploads them, each in order.  It does not choose the shards.

Threads claim chunks over all tensors and shards, as in outputs.py, but an upload takes its bytes
from the first to the last: so who has drawn a chunk waits for its turn, adds it to the upload, and
passes the turn on.  Meanwhile earlier parts are on their way.  Memory is a chunk per thread and
the parts on their way, whatever the size of the model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastinit.checkpoints.layout import Layout, Shard
from fastinit.checkpoints.objects import calls
from fastinit.checkpoints.objects.answers import explained
from fastinit.checkpoints.objects.calls import LOOK_SECONDS, Pending
from fastinit.checkpoints.objects.prefix import Prefix
from fastinit.checkpoints.outputs import Progress
from fastinit.checkpoints.pieces import CHUNK, Piece, Span
from fastinit.errors import CheckpointError
from fastinit.machine.parallel import run, stop_if_asked
from fastinit.texts import printable

if TYPE_CHECKING:
    from fastinit.values.samplers import Sampler

PART_SIZE = 2**23  # bytes of a part, of which S3 takes 5 MiB or more
OBJECT_PARTS = 10_000  # parts of an object at most, on S3 and Google Cloud Storage
LARGEST_PART = 5 * 2**30  # bytes, on S3
PARTS_AT_ONCE = 8  # parts on their way at once: one takes about a tenth of a fast connection
IN_FLIGHT = 96 * 2**20  # bytes on their way at once, unless two parts alone are more
UNANSWERED = 16  # files that wait for their last answer at once

ABORT_SECONDS = 5.0
"""How long an interrupted write waits for the store to take unfinished uploads back."""


def part_size(size: int) -> int:
    """Bytes of each part of an object; the last one may have fewer.

    >>> part_size(5 * 10**9), part_size(10**12)
    (8388608, 100663296)
    """
    unit = 2**20
    return max(PART_SIZE, -(-size // (OBJECT_PARTS * unit)) * unit)


def at_once(part: int) -> int:
    """How many parts are on their way at once, while another one is filled.

    >>> at_once(part_size(5 * 10**9)), at_once(part_size(10**12))
    (8, 1)
    """
    return max(1, min(PARTS_AT_ONCE, IN_FLIGHT // part - 1))


def check_sizes(target: Prefix, layout: Layout) -> None:
    """Raise if a file is larger than an object can be."""
    for name, size in layout.files.items():
        if part_size(size) > LARGEST_PART:
            most = OBJECT_PARTS * LARGEST_PART
            raise CheckpointError(
                f"{printable(target.path / name)} would have {size:,} bytes, and an object has "
                f"{most:,} at most: pass a smaller max_shard_size, or cut the tensor into several"
            )


class _Task(NamedTuple):
    """The next `size` bytes of an upload: pieces of tensors, or the header if there are none."""

    upload: _Upload
    size: int
    pieces: list[Piece[Sampler]]
    turn: threading.Lock
    after: threading.Lock


class _Upload:
    """A shard on its way."""

    def __init__(self, target: Prefix, shard: Shard) -> None:
        self.name = shard.file
        self.header = shard.header
        self.left = shard.file_size
        part = part_size(shard.file_size)
        self.weight = min(shard.file_size, part * (at_once(part) + 1))
        self.writer = target.open(shard.file, part, at_once(part))
        self.closing: Pending[None] | None = None


def upload(
    target: Prefix, shards: Iterable[Shard], workers: int, progress: Progress | None
) -> None:
    """Upload the shards; each appears when its last byte has arrived.

    If that fails or is interrupted, the store is told to forget the parts of unfinished ones.
    """
    with _Uploads(target) as uploads:

        def work(task: _Task) -> None:
            data = _bytes(task)
            while not task.turn.acquire(timeout=LOOK_SECONDS):
                stop_if_asked()
            uploads.add(task, data)
            if progress and task.pieces:
                progress(task.size)
            task.after.release()

        run(_tasks(target, shards), work, workers)
        uploads.finish()


def _tasks(target: Prefix, shards: Iterable[Shard]) -> Iterator[_Task]:
    """The header and every chunk of each shard; each has to wait for the one before.

    A lock that is acquired and released by whoever has the turn cannot be left locked by Ctrl-C: if
    it is never released, those who wait for it find that the crew has stopped.
    """
    turn = threading.Lock()
    for shard in shards:
        upload = _Upload(target, shard)
        for pieces in chain([[]], shard.chunks(CHUNK, Span(0, shard.data_size))):
            size = sum(piece.size for piece in pieces) if pieces else len(upload.header)
            after = threading.Lock()
            after.acquire()
            yield _Task(upload, size, pieces, turn, after)
            turn = after


def _bytes(task: _Task) -> bytes | np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """A task's bytes, in new memory: obstore does not copy them, and reads them later."""
    if not task.pieces:
        return task.upload.header
    buffer, begin = np.empty(task.size, np.uint8), 0
    for sampler, start, size in task.pieces:
        stop_if_asked()
        sampler.draw(buffer[begin : begin + size], start // sampler.dtype.size)
        begin += size
    return buffer


class _Uploads:
    """The uploads under way; only the thread whose turn it is uses it."""

    def __init__(self, target: Prefix) -> None:
        self.target = target
        self.under_way: list[_Upload] = []

    def __enter__(self) -> _Uploads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Take back what is unfinished, as far as the store answers soon."""
        end = time.monotonic() + ABORT_SECONDS
        aborts = [self._abort(upload, kind, error, trace) for upload in self.under_way]
        for abort in aborts:
            with suppress(Exception):
                abort.wait(end - time.monotonic())

    def _abort(
        self, upload: _Upload, kind: type[BaseException] | None, error: object, trace: object
    ) -> Pending[None]:
        """Have the store forget an upload; one that has all its bytes may appear instead."""
        if upload.closing is not None:
            return upload.closing
        return calls.begin(lambda: upload.writer.__exit__(kind, error, trace))

    def add(self, task: _Task, data: bytes | np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        """Add a task's bytes to its upload, and begin to close it after the last."""
        upload = task.upload
        if upload not in self.under_way:
            self._make_room(upload.weight)
            self.under_way.append(upload)
        with explained(self.target.path / upload.name, "upload"):
            calls.wait(lambda: upload.writer.write(data))
        upload.left -= task.size
        if not upload.left:
            upload.closing = calls.begin(upload.writer.close)

    def _make_room(self, weight: int) -> None:
        """Wait for the uploads that were closed first, until there is memory for another."""
        while self.under_way and (
            len(self.under_way) == UNANSWERED
            or sum(upload.weight for upload in self.under_way) + weight > IN_FLIGHT
        ):
            self._finish_first()

    def finish(self) -> None:
        """Wait until every object is there."""
        while self.under_way:
            self._finish_first()

    def _finish_first(self) -> None:
        upload = self.under_way[0]
        assert upload.closing is not None
        with explained(self.target.path / upload.name, "upload"):
            upload.closing.wait()
        del self.under_way[0]
