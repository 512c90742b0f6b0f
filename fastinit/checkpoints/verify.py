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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastinit.checkpoints.families import (
    check_family,
    check_folder,
    check_recipes,
    header_of,
    recipes_of,
    trusting,
)
from fastinit.checkpoints.formats.base import Stored
from fastinit.checkpoints.pieces import CHUNK, PIECES, Piece, Run, chunks
from fastinit.checkpoints.read import Checkpoint, read_exactly
from fastinit.checkpoints.recipe import Recipe
from fastinit.errors import VerifyError
from fastinit.machine.descriptors import OpenFile
from fastinit.machine.floats import default_floats
from fastinit.machine.parallel import run, thread_count
from fastinit.numerics.dtypes import DTYPES, DType
from fastinit.schemes.custom import trusted
from fastinit.texts import quoted
from fastinit.values.custom import DrawFunction
from fastinit.values.matrices import wide
from fastinit.values.stream import VERSION

if TYPE_CHECKING:
    from fastinit.values.samplers import Sampler

ByteArray = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` compared and found equal: `size` is bytes of values.

    `plan`, `digest`, `seed` and `stream` are what the recipe says; the digest is the plan's.
    `rounded` tensors were made by linear algebra, and are equal to rounding rather than to the bit;
    so are `not_portable` ones, by custom distributions whose bits differ between machines.
    `custom` has the labels of all custom distributions in the recipe.

    `refilled` has the seed of each tensor that `refill` drew with another seed or scheme than
    `write`.  In files that fastinit did not write, only such tensors have a recipe: `digest` and
    `plan` are then empty, and `unknown` counts the other tensors, of which nothing can be said.
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
    not_portable: int = 0
    custom: tuple[str, ...] = ()
    refilled: Mapping[str, int] = field(default_factory=dict)
    unknown: int = 0


@default_floats
def verify(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    custom: Iterable[DrawFunction] = (),
) -> VerifyReport:
    """Make every value of a checkpoint again and compare every byte.

    Tensors made by linear algebra, such as orthogonal ones, are compared within rounding, as
    another machine's library rounds otherwise, and so are those of custom distributions that call
    the C library.

    This shows that the weights are what the recipe in the files says.  Whether that is the recipe
    you mean, the report tells; config.json is not checked.

    Args:
        path: a folder that `write` made, or one of its .safetensors files.
        threads: number of threads, >= 1; by default FASTINIT_THREADS, or else the number of CPUs
            that this process may use.
        progress: called with the number of bytes compared since its last call.
        custom: the custom distributions that the recipe may name: what
            `fastinit.numba.distribution` made.  No file makes fastinit import a module.

    Raises:
        TypeError: `path` is neither a string nor a path object.
        ValueError: the path is empty, or the number of threads is out of range.
        VerifyError: the first element, in the order of files and bytes, that is not what the
            recipe gives; or an index, a recipe or a set of files that do not belong together; or a
            custom distribution with another source than the recipe's.
        UntrustedError: the recipe names a custom distribution that was not given.
        InvalidCheckpointError: a file that is not a whole file of its format; VerifyError is one.
        CheckpointError: the path is not that of a checkpoint; a file that the system does not let
            us read, or one of a stream version that this fastinit does not know.
    """
    begin = time.perf_counter()
    workers = thread_count(threads)
    checkpoint = Checkpoint(path)
    headers = {file: header_of(checkpoint, file) for file in checkpoint.files}
    found = recipes_of(checkpoint, headers)
    check_recipes(found, headers)
    check_family(found)
    functions = trusted(custom)
    recipes = {file: trusting(file, own, functions) for file, own in found.items() if own}
    check_folder(checkpoint, headers, ours=any(own.has_plan for own in recipes.values()))
    rounded = not_portable = 0
    stored: list[Stored] = []
    for file, own in recipes.items():
        compared = ComparedFile(checkpoint, file, own, progress)
        for error in compared.run(workers):
            raise error
        rounded += compared.rounded
        not_portable += compared.not_portable
        stored += compared.covered.values()
    recipe = next(iter(recipes.values()))
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
        not_portable=not_portable,
        custom=tuple(sorted({label for recipe in recipes.values() for label in recipe.custom})),
        refilled={name: seed for own in recipes.values() for name, seed in own.refilled.items()},
        unknown=sum(len(header.tensors) for header in headers.values()) - len(stored),
    )


class _Tensor(NamedTuple):
    """A tensor of a file, and what draws the values that it should have."""

    name: str
    sampler: Sampler
    stored: Stored
    kind: DType


def _offset(piece: Piece[_Tensor]) -> int:
    """Where a piece is in the file."""
    return piece.tensor.stored.start + piece.start


class ComparedFile:
    """One file being compared by several threads, as far as its recipe covers it.

    It stops at the first tensor that differs, or goes on to find `every` one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        file: str,
        recipe: Recipe,
        progress: Callable[[int], None] | None,
        *,
        every: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.path = checkpoint.folder / file
        self.header = checkpoint.header(file)
        self.every = every
        self.kinds = {code: DTYPES[name] for name, code in checkpoint.form.codes.items()}
        self.recipe = recipe
        self.progress = progress
        self.lock = threading.Lock()
        self.local = threading.local()
        self.wrong: list[tuple[int, VerifyError]] = []
        self.different: set[str] = set()
        self.rounded = self.not_portable = 0

    @property
    def covered(self) -> dict[str, Stored]:
        """The tensors that the recipe covers."""
        tensors = self.header.tensors
        return {name: stored for name, stored in tensors.items() if name in self.recipe.init}

    def run(self, workers: int) -> list[VerifyError]:
        """The first difference, or that of every tensor that differs, in the order of bytes."""
        with OpenFile() as opened:
            self.descriptor, _ = self.checkpoint.open_file(opened, self.path.name)
            run(self.tasks(), self.work, workers, self.prepare)
        # Tasks are claimed in the order of bytes, and as a difference is noted and not raised,
        # those claimed are finished: so the first one is among those found, whichever thread
        # was the fastest and however long a matrix took.
        wrong: dict[str | None, VerifyError] = {}
        for _, error in sorted(self.wrong, key=lambda found: found[0]):
            wrong.setdefault(error.tensor, error)
        return list(wrong.values())[: None if self.every else 1]

    def tasks(self) -> Iterator[list[Piece[_Tensor]]]:
        """Neighbouring pieces of one tensor or of many, a chunk in all, up to what is wrong."""
        for pieces in chunks(self.runs(), CHUNK, PIECES):
            if not self.every and any(offset < _offset(pieces[0]) for offset, _ in self.wrong):
                return
            yield pieces

    def runs(self) -> Iterator[Run[_Tensor] | None]:
        """Each tensor as a whole; None for one that is left out."""
        for name, stored in self.header.tensors.items():
            if name not in self.recipe.init:
                yield None
                continue
            try:
                sampler = self.sampler(name, stored)
            except VerifyError as error:
                self.wrong.append((stored.start, error))
                if not self.every:
                    return
                yield None
                continue
            if sampler.tolerance:
                custom = self.recipe.is_custom(name)
                self.not_portable += custom
                self.rounded += not custom
            kind = self.kinds[stored.dtype]
            yield Run(_Tensor(name, sampler, stored, kind), 0, stored.size, kind.size)

    def sampler(self, name: str, stored: Stored) -> Sampler:
        """What is compared: the values before they are rounded, where they are not exact."""
        if stored.dtype not in self.kinds:
            raise VerifyError(
                f"tensor {quoted(name)} has dtype {stored.dtype}, which no recipe draws: "
                f"recipes draw {', '.join(self.kinds)}, so another program wrote it",
                self.path.name,
                name,
            )
        kind = self.kinds[stored.dtype]
        try:
            sampler = self.recipe.sampler(name, stored.shape, kind.name)
            if sampler.tolerance and sampler.dtype != wide(kind):
                sampler = self.recipe.sampler(name, stored.shape, wide(kind).name)
            return sampler
        except ValueError as error:
            raise VerifyError(f"{error}", self.path.name, name) from error

    def prepare(self) -> None:
        """Allocate what a thread reads and draws into."""
        self.local.buffers = np.empty(CHUNK, np.uint8), np.empty(CHUNK, np.uint8)

    def work(self, pieces: list[Piece[_Tensor]]) -> None:
        """Read a task's bytes at once, and compare piece by piece what is not known to differ."""
        found, expected = self.local.buffers
        begin = _offset(pieces[0])
        size = _offset(pieces[-1]) + pieces[-1].size - begin
        read_exactly(self.descriptor, found[:size].data, begin, self.path)
        for piece in pieces:
            start = _offset(piece) - begin
            place = slice(start, start + piece.size)
            if self.every and piece.tensor.name in self.different:
                continue
            if not self.compare(piece, found[place], expected[place]) and not self.every:
                return
        if self.progress:
            with self.lock:
                self.progress(size)

    def compare(self, piece: Piece[_Tensor], found: ByteArray, expected: ByteArray) -> bool:
        """Whether a piece is what the recipe gives; notes where it is not."""
        compared = _beyond if piece.tensor.sampler.tolerance else _different
        try:
            wrong = compared(piece, found, expected)
        except ValueError as error:  # of a custom distribution's values
            self.note(piece, self.undrawn(piece, error))
            return False
        if wrong is not None:
            self.note(piece, self.difference(piece, found, expected, wrong))
        return wrong is None

    def note(self, piece: Piece[_Tensor], error: VerifyError) -> None:
        """Keep the error of a piece: the first one of each tensor counts."""
        self.wrong.append((_offset(piece), error))
        self.different.add(piece.tensor.name)

    def undrawn(self, piece: Piece[_Tensor], error: ValueError) -> VerifyError:
        """The error for a piece whose values cannot be made."""
        name = piece.tensor.name
        message = f"tensor {quoted(name)} cannot be drawn: {error}"
        return VerifyError(message, self.path.name, name)

    def difference(
        self, piece: Piece[_Tensor], found: ByteArray, expected: ByteArray, place: int
    ) -> VerifyError:
        """The error that names the first element of a piece that differs."""
        name, _, stored, kind = piece.tensor
        item = kind.numpy
        index = piece.start // item.itemsize + place
        values = found.view(item)[place], expected.view(item)[place]
        texts = [str(value) for value in values]
        if texts[0] == texts[1]:  # two NaNs, say: only their bits tell them apart
            texts = [f"{value} (0x{value.tobytes()[::-1].hex()})" for value in values]
        return VerifyError(
            f"tensor {quoted(name)}, element {index}{_position(index, stored.shape)} "
            f"is {texts[0]}, but the recipe gives {texts[1]}",
            self.path.name,
            name,
            index,
        )


def _different(piece: Piece[_Tensor], found: ByteArray, expected: ByteArray) -> int | None:
    """The first element of a piece that differs in any bit, if one does; makes what is expected."""
    sampler = piece.tensor.sampler
    size = sampler.dtype.size
    sampler.draw(expected, piece.start // size)
    equal = found == expected
    return None if equal.all() else int(np.argmin(equal)) // size


def _beyond(piece: Piece[_Tensor], found: ByteArray, expected: ByteArray) -> int | None:
    """The first element that no other machine would have made, if there is one."""
    kind, sampler = piece.tensor.kind, piece.tensor.sampler
    start, count = piece.start // kind.size, piece.size // kind.size
    near = sampler.possible(found.view(kind.numpy), start, kind)
    if near.all():
        return None
    wanted = np.empty(count, sampler.dtype.numpy)
    sampler.draw(wanted.view(np.uint8), start)
    expected[:] = kind.cast(wanted).view(np.uint8)
    return int(np.argmin(near))


def _position(index: int, shape: tuple[int, ...]) -> str:
    """Where an element is, in words, if that says more than its number."""
    if len(shape) < 2:
        return ""
    where: list[int] = []
    for dimension in reversed(shape):
        index, place = divmod(index, dimension)
        where.insert(0, place)
    return f" (row {where[0]}, column {where[1]})" if len(shape) == 2 else f" (at {quoted(where)})"
