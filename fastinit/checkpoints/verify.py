# SPDX-License-Identifier: MIT
"""Checking a checkpoint against its own recipe, byte for byte.  Changes nothing on disk.

Every value is made again and compared, so no digest has to be kept and nothing but the file is
needed.  Memory is two chunks per thread, whatever the model's size, and what the tensors in work
take that are made whole (matrices/).
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastinit.checkpoints.layout import CHUNK, PIECES, SHARD_NAME, chunks
from fastinit.checkpoints.read import (
    DTYPES,
    Checkpoint,
    Header,
    Stored,
    open_file,
    read_exactly,
)
from fastinit.checkpoints.recipe import KEY, Recipe
from fastinit.dtypes import resolve
from fastinit.errors import CheckpointError
from fastinit.floats import default_floats
from fastinit.matrices import wide
from fastinit.parallel import run, thread_count
from fastinit.stream import VERSION

if TYPE_CHECKING:
    from fastinit.samplers import Sampler

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class VerifyError(CheckpointError):
    """A checkpoint that differs from its recipe: in which file, tensor and element, where known."""

    def __init__(
        self, message: str, file: str, tensor: str | None = None, index: int | None = None
    ) -> None:
        super().__init__(f"{file}: {message}")
        self.message = message
        self.file = file
        self.tensor = tensor
        self.index = index

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it can come back from another process."""
        return VerifyError, (self.message, self.file, self.tensor, self.index)


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` compared and found equal: `size` is bytes of values.

    `plan`, `digest`, `seed` and `stream` are what the recipe says; the digest is the plan's.
    `rounded` tensors were made by linear algebra, and are equal to rounding rather than to the bit.
    """

    path: Path
    plan: str
    digest: str
    seed: int
    stream: int
    files: tuple[str, ...]
    tensors: int
    rounded: int
    parameters: int
    size: int
    seconds: float


@default_floats
def verify(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Make every value of a checkpoint again and compare every byte.

    Tensors made by linear algebra, such as orthogonal ones, are compared within rounding, as
    another machine's library rounds otherwise.

    It shows that the weights are what the recipe in the files says.  That the recipe is the one
    you mean, look at the report; config.json is not covered.

    Args:
        path: a folder that `write` made, or one of its files.
        threads: None means FASTINIT_THREADS, or the CPUs this process may use.
        progress: called with the number of bytes compared since its last call.

    Raises:
        VerifyError: the first element, in the order of files and bytes, that is not what the
            recipe gives; or an index, a recipe or a set of files that do not belong together.
        CheckpointError: a file that cannot be read or is no safetensors file.
    """
    begin = time.perf_counter()
    workers = thread_count(threads)
    checkpoint = Checkpoint(path)
    headers = {file: _header(checkpoint, file) for file in checkpoint.files}
    recipes = {file: _recipe(file, header) for file, header in headers.items()}
    _check_family(recipes)
    _check_folder(checkpoint, headers)
    rounded = 0
    for file, header in headers.items():
        compared = _File(checkpoint.folder / file, header, recipes[file], progress)
        compared.verify(workers)
        rounded += compared.rounded
    recipe = next(iter(recipes.values()))
    stored = [stored for header in headers.values() for stored in header.tensors.values()]
    return VerifyReport(
        path=checkpoint.path,
        plan=recipe.plan,
        digest=recipe.digest,
        seed=recipe.seed,
        stream=VERSION,
        files=checkpoint.files,
        tensors=len(stored),
        rounded=rounded,
        parameters=sum(math.prod(tensor.shape) for tensor in stored),
        size=sum(tensor.size for tensor in stored),
        seconds=time.perf_counter() - begin,
    )


def _header(checkpoint: Checkpoint, file: str) -> Header:
    if not os.path.exists(checkpoint.folder / file):
        raise VerifyError("the file is missing, the index names it: write it again", file)
    return checkpoint.header(file)


def _recipe(file: str, header: Header) -> Recipe:
    text = header.metadata.get(KEY)
    if text is None:
        raise VerifyError(
            "has no recipe: fastinit did not write it, or another program dropped the metadata, "
            "so there is nothing to verify against",
            file,
        )
    try:
        recipe = Recipe.parse(text)
    except ValueError as error:
        raise VerifyError(f"{error}", file) from error
    for name in header.tensors.keys() ^ recipe.init.keys():
        where = "the recipe" if name in header.tensors else "the file"
        raise VerifyError(f"tensor {name!r} is missing from {where}", file, name)
    return recipe


def _check_family(recipes: dict[str, Recipe]) -> None:
    """Every shard must come from one call: same seed, same plan."""
    (first, recipe), *others = recipes.items()
    for file, other in others:
        if (other.seed, other.digest) != (recipe.seed, recipe.digest):
            raise VerifyError(
                f"is of seed {other.seed} and plan {other.digest}, {first} is of seed "
                f"{recipe.seed} and plan {recipe.digest}: the files do not belong together",
                file,
            )


def _check_folder(checkpoint: Checkpoint, headers: dict[str, Header]) -> None:
    """The index must say where each tensor is, once, and how large all are; no shard is spare."""
    if checkpoint.index is None:
        return
    for file, header in headers.items():
        said = {name for name, place in checkpoint.weight_map.items() if place == file}
        for name in sorted(header.tensors.keys() ^ said):
            if name in said:
                raise VerifyError(f"tensor {name!r} is not in it, the index says so", file, name)
            place = checkpoint.weight_map.get(name, "no file")
            raise VerifyError(f"tensor {name!r} is in it, the index says {place}", file, name)
    stored = [stored for header in headers.values() for stored in header.tensors.values()]
    true = {
        "total_size": sum(tensor.size for tensor in stored),
        "total_parameters": sum(math.prod(tensor.shape) for tensor in stored),
    }
    said_totals = checkpoint.index.get("metadata")
    if said_totals != true:
        raise VerifyError(f"the index has metadata {said_totals}, the files give {true}", "index")
    for name in sorted(os.listdir(checkpoint.folder)):
        if SHARD_NAME.fullmatch(name) and name not in headers:
            raise VerifyError("is a shard that the index does not name: remove it", name)


class _Piece(NamedTuple):
    """`size` bytes of a tensor, from byte `start` of it."""

    name: str
    sampler: Sampler
    stored: Stored
    start: int
    size: int

    @property
    def offset(self) -> int:
        """Where it is in the file."""
        return self.stored.start + self.start


class _File:
    """One file being compared by several threads."""

    def __init__(
        self,
        path: Path,
        header: Header,
        recipe: Recipe,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.path = path
        self.header = header
        self.recipe = recipe
        self.progress = progress
        self.lock = threading.Lock()
        self.local = threading.local()
        self.wrong: list[tuple[int, VerifyError]] = []
        self.rounded = 0

    def verify(self, workers: int) -> None:
        self.descriptor, _ = open_file(self.path)
        try:
            run(self.tasks(), self.work, workers)
        finally:
            os.close(self.descriptor)
        if self.wrong:
            # Tasks are claimed in the order of bytes, and as a difference is noted and not raised,
            # those claimed are finished: so the first one is among those found, whichever thread
            # was the fastest and however long a matrix took.
            raise min(self.wrong, key=lambda found: found[0])[1]

    def tasks(self) -> Iterator[list[_Piece]]:
        """Neighbouring pieces of one tensor or of many, a chunk in all, up to what is wrong."""
        for cut in chunks(self.tensors(), CHUNK, PIECES):
            pieces = [_Piece(*tensor, start, size) for tensor, start, size in cut]
            if any(offset < pieces[0].offset for offset, _ in self.wrong):
                return
            yield pieces

    def tensors(self) -> Iterator[tuple[tuple[str, Sampler, Stored], int, int]]:
        """Each tensor with its bytes and those of an element, up to one that cannot be drawn."""
        for name, stored in self.header.tensors.items():
            try:
                sampler = self.sampler(name, stored)
            except VerifyError as error:
                self.wrong.append((stored.start, error))
                return
            self.rounded += sampler.tolerance > 0
            yield (name, sampler, stored), stored.size, DTYPES[stored.dtype].itemsize

    def sampler(self, name: str, stored: Stored) -> Sampler:
        """What is compared: the values before they are rounded, where they are not exact."""
        try:
            kind = resolve(DTYPES[stored.dtype])
            sampler = self.recipe.sampler(name, stored.shape, kind.name)
            if sampler.tolerance and sampler.dtype != wide(kind):
                sampler = self.recipe.sampler(name, stored.shape, wide(kind).name)
            return sampler
        except ValueError as error:
            raise VerifyError(f"{error}", self.path.name, name) from error

    def work(self, pieces: list[_Piece]) -> None:
        """Read a task's bytes at once, and compare piece by piece up to one that differs."""
        if not hasattr(self.local, "buffers"):
            self.local.buffers = np.empty(CHUNK, np.uint8), np.empty(CHUNK, np.uint8)
        found, expected = self.local.buffers
        begin = pieces[0].offset
        size = pieces[-1].offset + pieces[-1].size - begin
        read_exactly(self.descriptor, found[:size].data, begin, self.path)
        for piece in pieces:
            place = slice(piece.offset - begin, piece.offset - begin + piece.size)
            if not self.compare(piece, found[place], expected[place]):
                return
        if self.progress:
            with self.lock:
                self.progress(size)

    def compare(self, piece: _Piece, found: Bytes, expected: Bytes) -> bool:
        """Whether a piece is what the recipe gives; notes where it is not."""
        wrong = (_beyond if piece.sampler.tolerance else _different)(piece, found, expected)
        if wrong is not None:
            self.wrong.append((piece.offset, self.difference(piece, found, expected, wrong)))
        return wrong is None

    def difference(self, piece: _Piece, found: Bytes, expected: Bytes, place: int) -> VerifyError:
        """The error that names the first element of a piece that differs."""
        item = DTYPES[piece.stored.dtype]
        index = piece.start // item.itemsize + place
        values = found.view(item)[place], expected.view(item)[place]
        texts = [str(value) for value in values]
        if texts[0] == texts[1]:  # two NaNs, say: only their bits tell them apart
            texts = [f"{value} (0x{value.tobytes()[::-1].hex()})" for value in values]
        return VerifyError(
            f"tensor {piece.name!r}, element {index}{_position(index, piece.stored.shape)} "
            f"is {texts[0]}, the recipe gives {texts[1]}",
            self.path.name,
            piece.name,
            index,
        )


def _different(piece: _Piece, found: Bytes, expected: Bytes) -> int | None:
    """The first element of a piece that differs in any bit, if one does; makes what is expected."""
    size = piece.sampler.dtype.size
    piece.sampler.draw(expected, piece.start // size)
    equal = found == expected
    return None if equal.all() else int(np.argmin(equal)) // size


def _beyond(piece: _Piece, found: Bytes, expected: Bytes) -> int | None:
    """The first element that no value within the sampler's tolerance rounds to, if there is one.

    A zero is exact: it stands where nothing is added up.
    """
    kind, sampler = resolve(DTYPES[piece.stored.dtype]), piece.sampler
    wanted = np.empty(piece.size // kind.size, sampler.dtype.numpy)
    sampler.draw(wanted.view(np.uint8), piece.start // kind.size)
    expected[:] = kind.cast(wanted).view(np.uint8)
    margin = wanted.dtype.type(sampler.tolerance)
    with np.errstate(over="ignore"):
        least, most = kind.cast(wanted - margin), kind.cast(wanted + margin)
    values = found.view(kind.numpy).astype(np.float64)
    near = (values >= least.astype(np.float64)) & (values <= most.astype(np.float64))
    near &= (wanted != 0) | (found.view(kind.words) == 0)
    return None if near.all() else int(np.argmin(near))


def _position(index: int, shape: tuple[int, ...]) -> str:
    """Where an element is, in words, if that says more than its number."""
    if len(shape) < 2:
        return ""
    where = [int(i) for i in np.unravel_index(index, shape)]
    return f" (row {where[0]}, column {where[1]})" if len(shape) == 2 else f" (at {where})"
