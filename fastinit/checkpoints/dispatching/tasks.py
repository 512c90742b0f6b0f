# SPDX-License-Identifier: MIT
"""A task of a worker: to write a range of a shard into a file that is there.  Makes no file.

It is plain text, and so is the answer.  It may be done twice, at once or after another: it writes
the same bytes to the same place.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from fastinit.checkpoints.advice import NoSpaceError, explained
from fastinit.checkpoints.layout import Shard
from fastinit.checkpoints.outputs import fill_range
from fastinit.checkpoints.pieces import Span
from fastinit.checkpoints.writable import WritableFile, check_durability
from fastinit.errors import CheckpointError
from fastinit.machine import storage
from fastinit.machine.descriptors import OpenFile
from fastinit.machine.floats import default_floats
from fastinit.machine.folders import new_folder
from fastinit.schemes.custom import Trusted
from fastinit.texts import printable

SHARDS = 2
"""How many shards a worker remembers between two of their ranges."""


@dataclass(frozen=True)
class Task:
    """Which bytes go where: `name` in `folder` is the file, `shard` the JSON of `Shard.to_json`."""

    folder: str
    name: str
    shard: str
    begin: int
    end: int
    threads: int
    durability: str

    def text(self) -> str:
        """It as JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Answer:
    """What a task did: the digests of the header, of the range and of its first chunk; where."""

    header: str
    digest: str
    first: str
    worker: str

    def text(self) -> str:
        """It as JSON."""
        return json.dumps(asdict(self))


def header_digest(shard: Shard) -> str:
    """The digest of what a shard's values come behind."""
    return hashlib.sha256(shard.header).hexdigest()


@default_floats
def perform(text: str, functions: Trusted = ()) -> str:
    """Do the task that `Task.text` gave, and return the text of its `Answer`.

    Args:
        text: the task.
        functions: the custom distributions that its shard names.

    Raises:
        CheckpointError: the file cannot be opened or written here.
    """
    task = Task(**json.loads(text))
    worker = f"{platform.node()}, process {os.getpid()}"
    shard = _shard(task.shard, functions)
    try:
        digest, first = _written(task, shard)
    except NoSpaceError as error:
        raise NoSpaceError(f"{error} (worker {worker})") from error
    except CheckpointError as error:
        raise CheckpointError(f"{error} (worker {worker})") from error
    return Answer(header_digest(shard), digest, first, worker).text()


@lru_cache(maxsize=SHARDS)
def _shard(text: str, functions: Trusted) -> Shard:
    return Shard.from_json(json.loads(text), functions)


def _written(task: Task, shard: Shard) -> tuple[str, str]:
    path = os.path.join(task.folder, shard.file)
    with new_folder() as folder, OpenFile() as opened:
        file = WritableFile(opened, Path(path), check_durability(task.durability))
        with explained(file.path, "open"):
            folder.enter(Path(task.folder))
        try:
            flags = os.O_RDWR | storage.NO_WAIT
            with explained(file.path, "open"):
                folder.open_in(opened, task.name, flags)
        except CheckpointError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise CheckpointError(
                    f"{printable(task.folder)} has not the file that the coordinator made there "
                    f"({task.name}): choose a folder on a file system that all workers share"
                ) from error
            raise
        state = os.fstat(opened.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size != shard.file_size:
            raise CheckpointError(
                f"{printable(path)} is not the file of {shard.file_size:,} bytes that the "
                "coordinator made: run the same command again"
            )
        return fill_range(file, shard, Span(task.begin, task.end), task.threads)
