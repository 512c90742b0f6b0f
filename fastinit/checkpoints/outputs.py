# SPDX-License-Identifier: MIT
"""Draws files, or ranges of one, into files that are open, by several threads.  Chooses neither.

Threads claim chunks over all tensors and files without a pause in between; each fills its own
buffer and writes it at its place.  So memory is one chunk per thread, whatever the model's size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastinit.checkpoints.copies import Copy
from fastinit.checkpoints.digests import Digest, digest_of
from fastinit.checkpoints.files import Folder, TemporaryFile
from fastinit.checkpoints.layout import Shard
from fastinit.checkpoints.pieces import CHUNK, Piece, Span
from fastinit.checkpoints.writable import WritableFile
from fastinit.machine.parallel import run, stop_if_asked

if TYPE_CHECKING:
    from fastinit.values.samplers import Sampler

BEGIN = 2**24  # bytes after which write-back is started: the disk need not wait for a flush
FLUSH = 2**28  # bytes after which a thread waits for the disk, so that Ctrl-C need not wait long

Progress = Callable[[int], None]
Buffer = np.ndarray[Any, np.dtype[np.uint8]]


class Contents(Protocol):
    """What a file is to hold: a shard of a new checkpoint, or a file that is made anew."""

    @property
    def file(self) -> str:
        """Its name."""

    @property
    def header(self) -> bytes:
        """The bytes before the values."""

    @property
    def file_size(self) -> int:
        """Bytes of the file."""

    def chunks(self, limit: int, wanted: Span) -> Iterator[list[Piece[Sampler]] | Copy]:
        """A span of the values, in order: bytes of another file, or at most `limit` to draw."""


class Left(NamedTuple):
    """What a killed writer left of a file: a temporary file, and what is complete in it."""

    name: str
    digests: Mapping[Span, str]

    def missing(self, size: int) -> list[Span]:
        """The ranges of `size` bytes of values that are not complete."""
        found, begin = [], 0
        for done in sorted(self.digests):
            if begin < done.begin:
                found.append(Span(begin, done.begin))
            begin = max(begin, done.end)
        return [*found, Span(begin, size)] if begin < size else found


class _Chunk(NamedTuple):
    """`size` bytes for `offset` among the values: pieces of tensors, or what is copied."""

    offset: int
    size: int
    content: list[Piece[Sampler]] | Copy

    @property
    def pieces(self) -> list[Piece[Sampler]]:
        """What is drawn."""
        return [] if isinstance(self.content, Copy) else self.content

    def draw(self, buffer: Buffer) -> Buffer:
        """The bytes of its pieces, in a buffer of `CHUNK` bytes."""
        begin = 0
        for sampler, start, size in self.pieces:
            stop_if_asked()  # a chunk may hold many small matrices, which take long
            sampler.draw(buffer[begin : begin + size], start // sampler.dtype.size)
            begin += size
        return buffer[: self.size]


def _chunks(contents: Contents, wanted: Span) -> Iterator[_Chunk]:
    """A span of the values, cut into chunks."""
    offset = wanted.begin
    for content in contents.chunks(CHUNK, wanted):
        size = content.size if isinstance(content, Copy) else sum(piece.size for piece in content)
        yield _Chunk(offset, size, content)
        offset += size


class _Writing:
    """The bytes that several threads put into a file, and how the disk keeps up with them."""

    def __init__(self, file: WritableFile) -> None:
        self.file = file
        self.lock = threading.Lock()
        self.unflushed = 0

    def put(self, data: bytes | memoryview, offset: int) -> None:
        """Write bytes."""
        self.file.write(data, offset)
        self._keep_busy(offset + len(data), len(data))

    def copy(self, source: Copy, offset: int, buffer: Buffer) -> None:
        """Write bytes of another file."""
        source.into(self.file, offset, buffer)
        self._keep_busy(offset + source.size, source.size)

    def _keep_busy(self, end: int, size: int) -> None:
        """Keep the disk busy meanwhile: start write-back often, and wait for it now and then."""
        with self.lock:
            before, self.unflushed = self.unflushed, self.unflushed + size
            begins, due = self.unflushed // BEGIN > before // BEGIN, self.unflushed >= FLUSH
            if due:
                self.unflushed = 0
        if due:
            self.file.flush()
        elif begins:
            self.file.begin_flush(max(0, end - BEGIN), BEGIN)


class Output:
    """Contents on their way into a file; whoever writes the last byte finishes it."""

    def __init__(
        self, target: Folder, contents: Contents, publish: bool, left: Left | None
    ) -> None:
        self.header = contents.header
        self.file = TemporaryFile(target, contents.file, contents.file_size, left and left.name)
        kept = left is not None and self.file.names == [left.name]
        self.digests = dict(left.digests) if left and kept else {}
        self.missing = Left("", self.digests).missing(contents.file_size - len(self.header))
        self.publish = publish
        self.lock = threading.Lock()
        self.left = len(self.header) + sum(span.size for span in self.missing)

    def count(self, size: int) -> bool:
        """Count what was written, and finish the file if that was the last.

        Counted after a thread's own flush: nobody uses the file once `left` is 0.
        """
        with self.lock:
            self.left -= size
            last = self.left == 0
        if last:
            self.finish()
        return last

    def finish(self) -> None:
        """Everything is written: complete the file, and publish it if asked."""
        self.file.complete()
        if self.publish:
            self.file.publish()
        else:
            self.file.close()  # the folder is locked, and open files are limited


class _Task(NamedTuple):
    """What a thread claims: a chunk of an output, or its header."""

    output: Output
    writing: _Writing
    chunk: _Chunk | None

    def do(self, buffer: Buffer) -> None:
        """Make its bytes, and write them."""
        header, chunk = self.output.header, self.chunk
        if chunk is None:
            self.writing.put(header, 0)
            self.output.count(len(header))
            return
        if isinstance(chunk.content, Copy):
            self.writing.copy(chunk.content, len(header) + chunk.offset, buffer)
        else:
            self.writing.put(chunk.draw(buffer).data, len(header) + chunk.offset)
        self.output.count(chunk.size)


def fill(
    target: Folder,
    files: Iterable[Contents],
    workers: int,
    progress: Progress | None,
    *,
    publish: bool,
    left: Mapping[str, Left] | None = None,
) -> list[TemporaryFile]:
    """Write the files; publish each when it is complete, or return them.

    `left` says what a killed writer left of a file; what is complete in it is not drawn again.
    """
    made: list[TemporaryFile] = []
    local = threading.local()
    lock = threading.Lock()

    def tasks() -> Iterator[_Task]:
        for contents in files:
            output = Output(target, contents, publish, (left or {}).get(contents.file))
            made.append(output.file)
            writing = _Writing(output.file)
            if output.header or not output.missing:  # else the file may be finished before it
                yield _Task(output, writing, None)
            for wanted in output.missing:
                for chunk in _chunks(contents, wanted):
                    yield _Task(output, writing, chunk)

    def prepare() -> None:
        local.buffer = np.empty(CHUNK, np.uint8)

    def work(task: _Task) -> None:
        task.do(local.buffer)
        if progress and task.chunk:
            with lock:
                progress(task.chunk.size)

    run(tasks(), work, workers, prepare)
    return made


def fill_range(file: WritableFile, shard: Shard, wanted: Span, threads: int) -> tuple[str, str]:
    """Write a range of a shard's values into its file, and let it settle.

    Returns:
        The digests of the range, and of its first chunk.
    """
    writing, digest, start = _Writing(file), Digest(), len(shard.header)
    local = threading.local()
    first = [digest.text()]  # of nothing

    def prepare() -> None:
        local.buffer = np.empty(CHUNK, np.uint8)

    def work(chunk: _Chunk) -> None:
        data = chunk.draw(local.buffer)
        digest.add(data, chunk.offset)
        if chunk.offset == wanted.begin:
            first[0] = digest_of(data, chunk.offset)
        writing.put(data.data, start + chunk.offset)

    run(_chunks(shard, wanted), work, threads, prepare)
    file.settle()
    return digest.text(), first[0]


def first_digest(shard: Shard, wanted: Span) -> str | None:
    """The digest of the first chunk of a range, drawn here.

    None where machines may differ: of values that linear algebra makes, say.
    """
    for chunk in _chunks(shard, wanted):
        if any(sampler.tolerance for sampler, *_ in chunk.pieces):
            return None
        return digest_of(chunk.draw(np.empty(CHUNK, np.uint8)), chunk.offset)
    return Digest().text()
