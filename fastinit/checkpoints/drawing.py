# SPDX-License-Identifier: MIT
"""Who draws the missing shards of a write: threads of this process, or an engine.

How they do it is in outputs.py and dispatch.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastinit.checkpoints.dispatching.dispatch import fill_by
from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.checkpoints.files import Folder, TemporaryFile
from fastinit.checkpoints.layout import Shard
from fastinit.checkpoints.outputs import Left, Progress, fill
from fastinit.machine.parallel import thread_count


class Drawing:
    """Who draws, and what is known of it: what is `left` to begin with, and `digests` afterwards.

    `digests` has those of the values in the files that an engine wrote.
    """

    def __init__(
        self, engine: Engine | None, threads: int | None, progress: Progress | None
    ) -> None:
        self.engine = engine
        self.threads = engine.threads if engine and threads is None else thread_count(threads)
        self.progress = progress
        self.left: Mapping[str, Left] = {}
        self.digests: Mapping[str, str] = {}

    def size_left(self, shard: Shard) -> int:
        """Bytes of a shard's values that are missing."""
        left = self.left.get(shard.file, Left("", {}))
        return sum(end - begin for begin, end in left.missing(shard.data_size))

    def fill(
        self, target: Folder, shards: Sequence[Shard], *, publish: bool
    ) -> list[TemporaryFile]:
        """Write the shards; publish each when it is complete, or return them."""
        if self.engine is None:
            return fill(
                *(target, shards, self.threads, self.progress), publish=publish, left=self.left
            )
        files, self.digests = fill_by(
            *(self.engine, target, shards, self.threads, self.progress),
            publish=publish,
            left=self.left,
        )
        return files
