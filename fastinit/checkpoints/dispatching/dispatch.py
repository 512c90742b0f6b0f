# SPDX-License-Identifier: MIT
"""Has shards written by the workers of an engine.  Draws no more than it takes to check them.

The coordinator makes, allocates, completes and names every file; workers write ranges of files that
are there.  A few tasks per worker are under way at a time, so a few files are open, whatever the
model's size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import NamedTuple

from fastinit.checkpoints.digests import DIGEST_PAGE, Digest
from fastinit.checkpoints.dispatching import journals
from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.checkpoints.dispatching.tasks import Answer, Task, header_digest, perform
from fastinit.checkpoints.files import Folder, TemporaryFile
from fastinit.checkpoints.layout import Shard
from fastinit.checkpoints.outputs import Left, Output, Progress, first_digest
from fastinit.checkpoints.pieces import CHUNK, Span
from fastinit.errors import CheckpointError
from fastinit.texts import printable
from fastinit.values.samplers import LazySampler

RANGE = 2**26
"""Bytes of a range: workers share a huge tensor, and little is lost with one that dies."""

FILES = 256
"""Files that are open at a time, at most: systems allow 1024 or so."""

CHECKED = 8
"""Of what one worker writes, the coordinator draws an eighth, to compare it."""

AHEAD = 4
"""Tasks per worker that are under way: none has to wait for the coordinator."""


class _Range(NamedTuple):
    """A range that is under way."""

    work: _Work
    span: Span


class _Checks:
    """Which ranges begin with values that are drawn here, too, to be compared.

    The first of each worker, and as many more as the coordinator draws in a part of the time that
    one of them takes: so it holds up none, however many there are.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.workers: set[str] = set()
        self.written = self.drawn = 0

    def wanted(self, size: int, worker: str) -> bool:
        """Whether to check a range of `size` bytes that a worker wrote."""
        self.written += size
        allowed = self.written // (CHECKED * self.engine.workers)
        first = min(size, CHUNK)
        if worker in self.workers and self.drawn + first > allowed:
            return False
        self.workers.add(worker)
        self.drawn += first
        return True


class _Work:
    """One shard in the hands of workers."""

    def __init__(
        self, target: Folder, shard: Shard, publish: bool, left: Left | None, checks: _Checks
    ) -> None:
        self.shard = shard
        self.output = Output(target, shard, publish, left)
        self.header = header_digest(shard)
        self.text = json.dumps(shard.to_json())
        self.checks = checks
        self.output.file.write(self.output.header, 0)
        self.noted = self.output.file.journal is not None
        self.output.count(len(self.output.header))

    def task(self, span: Span, threads: int) -> Task:
        """What a worker is asked for."""
        file = self.output.file
        folder = str(file.folder.path.absolute())
        return Task(folder, file.names[0], self.text, *span, threads, file.durability)

    def accept(self, span: Span, answer: Answer) -> None:
        """Count a range that a worker wrote, if its values are those that this machine draws.

        Raises:
            CheckpointError: they are not.
        """
        self._check(span, answer)
        output = self.output
        output.digests[span] = answer.digest
        if not output.publish or span.size < output.left:
            if not self.noted:
                journals.begin(output.file, self.shard)
                self.noted = True
            journals.note(output.file, span, answer.digest)
        output.count(span.size)

    def _check(self, span: Span, answer: Answer) -> None:
        shard = self.shard
        wrong = "" if answer.header == self.header else "another header"
        if not wrong and self.checks.wanted(span.size, answer.worker):
            expected = first_digest(shard, span)
            if expected not in (None, answer.first):
                wrong = f"other values from byte {span.begin:,} on"
        if wrong:
            raise CheckpointError(
                f"{printable(self.output.file.path)}: the worker {printable(answer.worker)} wrote "
                f"{wrong} than this machine makes: install the same fastinit and libraries on "
                "every machine, and if they are the same, have that machine checked"
            )

    def digest(self) -> str:
        """The digest of all its values."""
        digest = Digest()
        for text in self.output.digests.values():
            digest.merge(text)
        return digest.text()


def fill_by(
    engine: Engine,
    target: Folder,
    shards: Sequence[Shard],
    threads: int,
    progress: Progress | None,
    *,
    publish: bool,
    left: Mapping[str, Left],
) -> tuple[list[TemporaryFile], dict[str, str]]:
    """Have the shards written; publish each when it is complete, or return them.

    Returns:
        The files, and the digest of the values of each, by its name.
    """
    works: list[_Work] = []
    ranges = _ranges(target, shards, works, publish, left, _Checks(engine))
    pending: dict[Future[str], _Range] = {}
    try:
        while True:
            limit = AHEAD * engine.workers
            while _may_begin(pending, limit) and (begun := next(ranges, None)):
                task = begun.work.task(begun.span, threads).text()
                functions = begun.work.shard.trusted
                pending[engine.submit(perform, task, functions)] = begun
            if not pending:
                break
            done = wait(pending, return_when=FIRST_COMPLETED).done
            for future in [one for one in pending if one in done]:  # in the order of ranges
                work, span = pending.pop(future)
                work.accept(span, _answer(future, engine))
                if progress:
                    progress(span.size)
    except BaseException:
        engine.abandon(pending)
        raise
    return [work.output.file for work in works], {work.shard.file: work.digest() for work in works}


def _may_begin(pending: Mapping[Future[str], _Range], limit: int) -> bool:
    """Whether one more range may be under way: tasks are limited, and so are open files."""
    if len(pending) < min(limit, FILES):
        return True
    return len(pending) < limit and len({id(begun.work) for begun in pending.values()}) < FILES


def _answer(future: Future[str], engine: Engine) -> Answer:
    try:
        return Answer(**json.loads(future.result()))
    except CancelledError:
        raise CheckpointError(
            f"the engine {engine.name} cancelled a task: see that it stays up, and run the same "
            "command again"
        ) from None


def _ranges(
    target: Folder,
    shards: Iterable[Shard],
    works: list[_Work],
    publish: bool,
    left: Mapping[str, Left],
    checks: _Checks,
) -> Iterator[_Range]:
    """Every range that is missing; a file is made when its first one is wanted."""
    for shard in shards:
        work = _Work(target, shard, publish, left.get(shard.file), checks)
        works.append(work)
        for span in _cut(work.output.missing, _made_whole(shard)):
            yield _Range(work, span)


def _made_whole(shard: Shard) -> list[Span]:
    """Where tensors lie that each worker would have to make entirely, to write a part."""
    found, begin = [], 0
    kinds: dict[tuple[str, tuple[int, ...], str], bool] = {}
    for entry in shard.entries:
        kind = entry.init, entry.shape, entry.dtype
        if kind not in kinds:
            kinds[kind] = isinstance(shard.sampler(entry), LazySampler)
        if kinds[kind] and entry.size:
            found.append(Span(begin, begin + entry.size))
        begin += entry.size
    return found


def _cut(missing: Iterable[Span], whole: Iterable[Span]) -> Iterator[Span]:
    """Ranges of `RANGE` bytes, or more where the cut would lie in what is made whole."""
    for begin, end in missing:
        while begin < end:
            cut = begin + RANGE
            for first, last in whole:
                if first < cut < last:
                    cut = -(-last // DIGEST_PAGE) * DIGEST_PAGE
            cut = min(cut, end)
            yield Span(begin, cut)
            begin = cut
