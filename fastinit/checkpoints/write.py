# SPDX-License-Identifier: MIT
"""Writing a plan to disk as a checkpoint.  What the bytes are is settled in layout.py.

Threads claim chunks over all tensors and shards without a pause in between; each fills its own
buffer and writes it at its place.  So memory is one chunk per thread, whatever the model's size.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeAlias

import numpy as np

from fastinit.checkpoints.files import Durability, Folder, TemporaryFile, check_durability
from fastinit.checkpoints.layout import (
    CHUNK,
    CONFIG,
    INDEX,
    PIECES,
    SHARD_NAME,
    SINGLE,
    Layout,
    Shard,
    chunks,
    layout_of,
)
from fastinit.dtypes import resolve
from fastinit.errors import CheckpointError
from fastinit.floats import default_floats
from fastinit.parallel import run, stop_if_asked, thread_count

if TYPE_CHECKING:
    from fastinit.samplers import Sampler

BEGIN = 2**24  # bytes after which the disk is told to begin: it works from the start
FLUSH = 2**28  # bytes after which it is waited for: so Ctrl-C never waits long

Progress = Callable[[int], None]


@dataclass(frozen=True)
class WriteReport:
    """What `write` did: `size` is bytes of values, `resumed` the files found finished.

    `cpu_seconds` is what the whole process used meanwhile, in all threads and in the system.
    """

    folder: Path
    files: tuple[str, ...]
    tensors: int
    parameters: int
    size: int
    seconds: float
    cpu_seconds: float
    durability: Durability
    resumed: tuple[str, ...]


@default_floats
def write(
    plan: Any,
    folder: str | os.PathLike[str],
    *,
    seed: SupportsIndex,
    dtype: str | None = None,
    max_shard_size: int | str = "5GB",
    threads: int | None = None,
    overwrite: bool = False,
    durability: str = "full",
    progress: Progress | None = None,
) -> WriteReport:
    """Write every tensor of `plan` into `folder`, as safetensors in the layout of the hub.

    The same arguments give the same bytes for any number of threads.  A file appears under its
    name when it is complete, and flushed as `durability` says; the index, or the only file, comes
    last and makes it a checkpoint.  After a crash the same call carries on with the files that are
    missing.

    Args:
        plan: a `Plan`, or anything `fastinit.plan` reads.
        folder: made if missing; unrelated files in it are left alone.
        seed: 0 <= seed < 2**64.
        dtype: element type of the tensors that have none of their own; None leaves it to the plan.
        max_shard_size: bytes of values in a file, as a number or as "500MB", "5GB".
        threads: None means FASTINIT_THREADS, or the CPUs this process may use.
        overwrite: replace a checkpoint that is there.  It stays until the new one is complete,
            so there must be room for both.  A config.json that is there stays if the plan has
            none.
        durability: what a power cut, or a crash of the machine, can undo.  "full": nothing that
            was reported; each file is flushed to disk before it gets its name, and the folder
            after it.  "file": names, never contents; files are flushed, the folder is not, so
            every name there stands for a whole file, but the last ones may be missing, and an
            overwrite may leave a mixture, which `verify` finds.  "none": anything; nothing is
            flushed, names may stand for files with holes.  A process that dies leaves whole files
            alone at every level.
        progress: called with the number of bytes of values done since its last call.

    Raises:
        ValueError: an argument, a name, a shape or a scale that cannot work; nothing is written.
        CheckpointError: the folder or the disk refuses.  No temporary file is left.
    """
    begin, cpu_begin = time.perf_counter(), time.process_time()
    level = check_durability(durability)
    layout = layout_of(plan, seed=seed, dtype=dtype, max_shard_size=max_shard_size)
    workers = thread_count(threads)
    with Folder(folder, durability=level) as target:
        target.sweep()
        names = target.names()
        resumed = set() if overwrite else _finished(target, layout, names)
        missing = [shard for shard in layout.shards if shard.file not in resumed]
        _check_replaceable(target, layout)
        target.check_space(sum(layout.files.values()) - _sizes(layout, resumed))
        for name in resumed:
            target.flush(name)
        if progress:
            progress(sum(s.data_size for s in layout.shards if s.file in resumed))
        if overwrite:
            _replace(target, layout, names, workers, progress)
        else:
            _add(target, layout, missing, workers, progress)
    return WriteReport(
        folder=target.path,
        files=tuple(layout.files),
        tensors=layout.tensors,
        parameters=layout.parameters,
        size=layout.size,
        seconds=time.perf_counter() - begin,
        cpu_seconds=time.process_time() - cpu_begin,
        durability=level,
        resumed=tuple(shard.file for shard in layout.shards if shard.file in resumed),
    )


def write_shard(
    description: dict[str, Any],
    folder: str | os.PathLike[str],
    *,
    threads: int | None = None,
    durability: str = "full",
) -> None:
    """Write one shard from `Shard.to_json`, on any machine, any number of times.

    Once every shard is there, `write` with the same plan finds them and adds the index.

    Args:
        description: what `Shard.to_json` gave, perhaps through JSON.
        folder, threads, durability: as for `write`, which flushes what it finds once more.

    Raises:
        ValueError: it is no such description; an argument that cannot work.
        CheckpointError: the folder holds a finished checkpoint or another shard of that name, or
            it or the disk refuses.
    """
    shard, workers = Shard.from_json(description), thread_count(threads)
    with Folder(folder, exclusive=False, durability=check_durability(durability)) as target:
        names = target.names()
        if shard.file in names and _is_ours(target, shard.file, shard):
            target.flush(shard.file)
            target.sync()
            return
        _check_uncommitted(target, names)
        target.check_space(shard.file_size)
        _fill(target, [shard], workers, None, publish=True)


def _sizes(layout: Layout, names: Iterable[str]) -> int:
    return sum(layout.files[name] for name in names)


def _finished(target: Folder, layout: Layout, names: set[str]) -> set[str]:
    """The shards that an interrupted run completed; raises for anything it cannot have made."""
    _check_uncommitted(target, names)
    shards = {shard.file: shard for shard in layout.shards}
    found = {name for name in names if SHARD_NAME.fullmatch(name)}
    for name in sorted(found):
        _is_ours(target, name, shards.get(name))
    config = layout.config
    if config and CONFIG in names and not target.begins_with(CONFIG, config, len(config)):
        raise CheckpointError(
            f"{target.path / CONFIG} differs from this plan's: remove it, pass overwrite=True "
            "(--overwrite), or choose another folder"
        )
    return found


def _check_uncommitted(target: Folder, names: set[str]) -> None:
    for name in (INDEX, SINGLE):
        if name in names:
            raise CheckpointError(
                f"{target.path} already holds a checkpoint ({name}): pass overwrite=True "
                "(--overwrite on the command line) to replace it, or choose another folder"
            )


def _is_ours(target: Folder, name: str, shard: Shard | None) -> bool:
    """True for a finished file of this very call; anything else under its name is an error."""
    if shard is None or not target.begins_with(name, shard.header, shard.file_size):
        raise CheckpointError(
            f"{target.path / name} is not what this call would write there: repeat the call "
            "that began it, pass overwrite=True (--overwrite), or choose another folder"
        )
    return True


def _check_replaceable(target: Folder, layout: Layout) -> None:
    for name in layout.files:
        if target.is_folder(name):
            raise CheckpointError(
                f"{target.path / name} is a folder, a file must go there: remove it, "
                "or choose another folder"
            )


def _add(
    target: Folder, layout: Layout, missing: list[Shard], workers: int, progress: Progress | None
) -> None:
    """Publish each file as it is finished, so that an interrupted run can be carried on."""
    if layout.config is not None:
        if CONFIG in target.names():
            target.flush(CONFIG)
        else:
            _small_file(target, CONFIG, layout.config).publish()
    _fill(target, missing, workers, progress, publish=True)
    if layout.index is not None:
        _small_file(target, INDEX, layout.index).publish()


def _replace(
    target: Folder, layout: Layout, names: set[str], workers: int, progress: Progress | None
) -> None:
    """Put everything new, complete, beside the old checkpoint, and only then change names.

    The old index goes first and the new one comes last, so at no time does an index name a
    mixture.  A numbered shard that is not ours belongs to the old checkpoint, even if a run that
    died here has removed the index that said so.
    """
    config = layout.config and _small_file(target, CONFIG, layout.config)
    index = layout.index and _small_file(target, INDEX, layout.index)
    shards = _fill(target, layout.shards, workers, progress, publish=False)
    same_config = layout.config is None or (
        CONFIG in names and target.begins_with(CONFIG, layout.config, len(layout.config))
    )
    if INDEX in names:
        target.remove(INDEX)
    if SINGLE in names and not (index is None and same_config):
        target.remove(SINGLE)  # else one rename replaces the old checkpoint by the new
    target.sync()
    for file in [config, *shards, index]:
        if file:
            file.publish()
    for name in sorted(names - layout.files.keys()):
        if SHARD_NAME.fullmatch(name):
            target.remove(name)
    target.sync()


def _small_file(target: Folder, name: str, content: bytes) -> TemporaryFile:
    file = TemporaryFile(target, name, len(content))
    file.write(content, 0)
    file.complete()
    return file


_Piece: TypeAlias = "tuple[Sampler, int, int]"
"""What draws a tensor, the byte of it where the piece begins, and how many bytes it has."""


class _Task(NamedTuple):
    """`size` bytes for `offset` in the file: pieces of tensors, or the header if there are none."""

    output: _Output
    offset: int
    size: int
    pieces: list[_Piece]


def _fill(
    target: Folder,
    shards: Iterable[Shard],
    workers: int,
    progress: Progress | None,
    *,
    publish: bool,
) -> list[TemporaryFile]:
    """Write the shards; publish each when it is complete, or return them."""
    outputs: list[_Output] = []
    local = threading.local()
    lock = threading.Lock()

    def tasks() -> Iterator[_Task]:
        for shard in shards:
            outputs.append(_Output(target, shard, publish))
            yield from outputs[-1].tasks(shard)

    def work(task: _Task) -> None:
        if not hasattr(local, "buffer"):
            local.buffer = np.empty(CHUNK, np.uint8)
        task.output.put(task, local.buffer)
        if progress and task.pieces:
            with lock:
                progress(task.size)

    run(tasks(), work, workers)
    return [output.file for output in outputs]


def _chunks(shard: Shard) -> Iterator[list[_Piece]]:
    """The bytes of all values, cut into chunks; a sampler lives as long as its tensor's pieces."""
    tensors = ((shard.sampler(e), e.size, resolve(e.dtype).size) for e in shard.entries)
    return chunks(tensors, CHUNK, PIECES)


class _Output:
    """A shard being written by several threads; the one that does its last byte finishes it."""

    def __init__(self, target: Folder, shard: Shard, publish: bool) -> None:
        self.header = shard.header
        self.file = TemporaryFile(target, shard.file, shard.file_size)
        self.publish = publish
        self.lock = threading.Lock()
        self.left = shard.file_size
        self.unflushed = 0

    def tasks(self, shard: Shard) -> Iterator[_Task]:
        """The header and then every chunk, of one tensor or of many."""
        offset = len(self.header)
        yield _Task(self, 0, offset, [])
        for pieces in _chunks(shard):
            size = sum(size for _, _, size in pieces)
            yield _Task(self, offset, size, pieces)
            offset += size

    def put(self, task: _Task, buffer: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Make a task's bytes, write them, and count them."""
        begin = 0
        for sampler, start, size in task.pieces:
            stop_if_asked()  # a chunk may hold many small matrices, which take long
            sampler.draw(buffer[begin : begin + size], start // sampler.dtype.size)
            begin += size
        data = buffer[: task.size].data if task.pieces else memoryview(self.header)
        self.file.write(data, task.offset)
        self._flush_some(task.offset + task.size, task.size)
        if self._last(task.size):
            self.finish()

    def _flush_some(self, end: int, size: int) -> None:
        """Keep the disk busy meanwhile: it is told to begin often, and waited for now and then."""
        with self.lock:
            before, self.unflushed = self.unflushed, self.unflushed + size
            begins, due = self.unflushed // BEGIN > before // BEGIN, self.unflushed >= FLUSH
            if due:
                self.unflushed = 0
        if due:
            self.file.flush()
        elif begins:
            self.file.begin_flush(max(0, end - BEGIN), BEGIN)

    def _last(self, size: int) -> bool:
        """Counted after a thread's own flush: nobody uses the file once `left` is 0."""
        with self.lock:
            self.left -= size
            return self.left == 0

    def finish(self) -> None:
        """Everything is written: make it last, and if it may be seen, visible."""
        self.file.complete()
        if self.publish:
            self.file.publish()
        else:
            self.file.close()  # the folder is locked, and open files are limited
