# SPDX-License-Identifier: MIT
"""Files that are made anew beside the old ones: some tensors drawn, the rest copied.

It plans them and makes them; which tensors are to be drawn, and how, is for the caller to know.
Each file is wholly old or wholly new at any moment, because the new one takes its name when it is
complete, and a program that has mapped the old one keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from fastinit.checkpoints.advice import explained
from fastinit.checkpoints.copies import Copy, copies
from fastinit.checkpoints.entries import Entry
from fastinit.checkpoints.files import Folder
from fastinit.checkpoints.formats import DEFAULT, SINGLE_FORMATS
from fastinit.checkpoints.formats.base import Format, Header, Stored
from fastinit.checkpoints.outputs import fill
from fastinit.checkpoints.pieces import PIECES, Piece, Run, Span, chunks, wanted_of
from fastinit.checkpoints.read import Checkpoint, read_exactly
from fastinit.checkpoints.recipe import Recipe
from fastinit.errors import CheckpointError
from fastinit.machine import storage
from fastinit.machine.descriptors import OpenFile
from fastinit.numerics.dtypes import DTYPES, DType
from fastinit.properties import cached_property
from fastinit.texts import printable, quoted

if TYPE_CHECKING:
    from fastinit.values.samplers import Sampler


@dataclass(frozen=True)
class Renewal:
    """One file: what it holds now (`head` are the bytes before the values), and what it will."""

    form: Format
    file: str
    head: bytes
    found: Header
    recipe: Recipe
    names: frozenset[str]

    @cached_property
    def header(self) -> bytes:
        """The first bytes of the new file, up to the values."""
        assert self.form.renew_header is not None  # `check_format` comes first
        header = self.form.renew_header(self.head, self.recipe)
        self.form.check_header(self.file, header)
        return header

    @property
    def values(self) -> int:
        """Bytes of all values."""
        return sum(stored.size for stored in self.found.tensors.values())

    @property
    def drawn(self) -> int:
        """Bytes of the values that are drawn."""
        return sum(self.found.tensors[name].size for name in self.names)

    @property
    def file_size(self) -> int:
        """Bytes of the new file."""
        return len(self.header) + self.values

    def start(self, name: str) -> int:
        """Where a tensor begins in the new file."""
        return self.found.tensors[name].start - len(self.head) + len(self.header)

    def kind(self, name: str) -> DType:
        """The dtype of a tensor; raises ValueError for one that no scheme draws."""
        code = self.found.tensors[name].dtype
        for dtype, known in self.form.codes.items():
            if known == code:
                return DTYPES[dtype]
        raise ValueError(
            f"tensor {quoted(name)} in {printable(self.file)} has dtype {code}, which no scheme "
            f"draws: schemes draw {', '.join(self.form.codes)}; leave it out"
        )

    def sampler(self, name: str) -> Sampler:
        """What draws a tensor."""
        return self.recipe.sampler(name, self.found.tensors[name].shape, self.kind(name).name)

    def check(self) -> None:
        """Raise ValueError for what cannot be drawn, or a header that readers refuse."""
        kinds: set[tuple[object, ...]] = set()
        for name in sorted(self.names):
            stored, init = self.found.tensors[name], self.recipe.init[name]
            kind = (init, stored.shape, stored.dtype)
            if kind not in kinds:
                Entry(name, stored.shape, self.kind(name).name, init)
                self.sampler(name)
                kinds.add(kind)
        self.header  # noqa: B018 - raises what readers refuse


@dataclass(frozen=True)
class _Source:
    """A renewal and the open old file: what `fill` takes."""

    renewal: Renewal
    descriptor: int
    folder: Folder

    @property
    def file(self) -> str:
        return self.renewal.file

    @property
    def header(self) -> bytes:
        return self.renewal.header

    @property
    def file_size(self) -> int:
        return self.renewal.file_size

    def chunks(self, limit: int, wanted: Span) -> Iterator[list[Piece[Sampler]] | Copy]:
        """What is drawn and what is copied of a span of the values, in their order."""
        renewal, begin = self.renewal, 0
        tensors = renewal.found.tensors.items()
        for is_drawn, group in groupby(tensors, key=lambda item: item[0] in renewal.names):
            stored = dict(group)
            end = begin + sum(one.size for one in stored.values())
            part = Span(begin, end).within(wanted)
            if is_drawn:
                inner = Span(part.begin - begin, part.end - begin)
                yield from chunks(self._drawn(stored, inner), limit, PIECES)
            else:
                path, first = self.folder.path / self.file, len(renewal.head)
                yield from copies(self.descriptor, path, first + part.begin, first + part.end)
            begin = end

    def _drawn(self, tensors: dict[str, Stored], wanted: Span) -> Iterator[Run[Sampler]]:
        """What of tensors that are drawn is in a span of them."""
        runs = (
            Run(name, 0, stored.size, self.renewal.kind(name).size)
            for name, stored in tensors.items()
        )
        for name, *place in wanted_of(runs, wanted):
            yield Run(self.renewal.sampler(name), *place)


def check_format(path: Path, form: Format) -> None:
    """Raise CheckpointError for a format in which no file can be made anew alone."""
    if form.name in SINGLE_FORMATS:
        raise CheckpointError(
            f"{printable(path)} is a memory-mapped file of one tensor, with its recipe beside it: "
            "fill its map again with fastinit.fill, or make the file anew with fastinit.memmap and "
            "overwrite=True"
        )
    if form.renew_header is None:
        raise CheckpointError(
            f"{printable(path)} holds {form.name} files, which have one recipe for all of them, so "
            "none can be replaced alone: write the checkpoint again, with --overwrite, and with "
            f"--rules for other schemes; or write it in the format {DEFAULT}"
        )


def head_of(checkpoint: Checkpoint, file: str) -> bytes:
    """The bytes of a file before its values."""
    header = checkpoint.header(file)
    with OpenFile() as opened:
        descriptor, size = checkpoint.open_file(opened, file)
        head = bytearray(min((stored.start for stored in header.tensors.values()), default=size))
        read_exactly(descriptor, memoryview(head), 0, checkpoint.folder / file)
    return bytes(head)


def check_replaceable(folder: Path, files: Iterable[str]) -> None:
    """Raise CheckpointError for a link: what it leads to would stay as it is."""
    for file in files:
        path = folder / file
        if os.path.islink(path):
            raise CheckpointError(
                f"{printable(path)} is a symbolic link to {printable(os.readlink(path))}, as in a "
                "cache of the hub, and no file behind a link is replaced: copy the checkpoint to a "
                "folder of its own first, as cp -rL does"
            )


def space_for(renewals: Iterable[Renewal]) -> int:
    """Bytes that must be free: files are made one after another, each beside the old one."""
    return max((renewal.file_size for renewal in renewals), default=0)


def make(
    target: Folder, renewal: Renewal, workers: int, progress: Callable[[int], None] | None
) -> None:
    """Make one file anew, and give it the old one's name, owner and mode."""
    old = target.opened.new()
    try:
        _open(target, renewal, old)
        target.imitate([renewal.file])
        source = _Source(renewal, old.fileno(), target)
        (file,) = fill(target, [source], workers, progress, publish=storage.POSIX)
    finally:
        target.opened.release(old)
    if not storage.POSIX:  # which replaces no file that is open
        file.publish()


def _open(target: Folder, renewal: Renewal, old: OpenFile) -> None:
    """Open the old file; raises CheckpointError if another one has its name by now."""
    path = target.path / renewal.file
    with explained(path, "open"):
        size = target.open_for_reading(old, renewal.file)
    head = bytearray(len(renewal.head))
    if size == len(head) + renewal.values:
        read_exactly(old.fileno(), memoryview(head), 0, path)
    if head != renewal.head:
        raise CheckpointError(
            f"{printable(path)} was changed meanwhile: find out by whom, then run the same command "
            "again"
        )
