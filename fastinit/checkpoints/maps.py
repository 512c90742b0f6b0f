# SPDX-License-Identifier: MIT
"""Files of one array each that programs map into memory: `memmap` makes and opens them.

A sidecar is never beside a file that it does not describe, so a new one comes before its file, and
if there is an old file, its sidecar goes first and the new one comes last.  Killed in between, a
call leaves a sidecar without a file, or a file without a sidecar.  What a file looks like is the
format's to say, and outputs.py draws the values.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, SupportsIndex, get_args

import numpy as np

from fastinit.checkpoints import outputs
from fastinit.checkpoints.advice import BusyError, explained, given
from fastinit.checkpoints.files import Folder, TemporaryFile, small_file
from fastinit.checkpoints.formats.sidecars import Sidecar, sidecar_for, single_format
from fastinit.checkpoints.layout import Shard, single_shard
from fastinit.checkpoints.pieces import CHUNK
from fastinit.checkpoints.read import open_file, read_described, sidecar_of
from fastinit.checkpoints.verify import verify
from fastinit.checkpoints.writable import Durability, check_durability
from fastinit.checkpoints.write import write
from fastinit.docstrings import shares
from fastinit.errors import CheckpointError, VerifyError
from fastinit.machine import storage
from fastinit.machine.descriptors import OpenFile, OpenFiles
from fastinit.machine.floats import default_floats
from fastinit.machine.parallel import thread_count
from fastinit.numerics.checks import check_shape
from fastinit.numerics.dtypes import resolve
from fastinit.plans import Tensor
from fastinit.plans.reading import BESIDE
from fastinit.schemes import Scheme
from fastinit.schemes import scheme as scheme_of
from fastinit.schemes.custom import trusted
from fastinit.texts import printable, quoted
from fastinit.values.custom import DrawFunction

MapMode = Literal["r+", "r", "c"]
"""How NumPy maps a file: to read and write, to read, or to write into memory alone."""

PAUSE = 0.05  # seconds between two looks at whether another process has made the file
GRACE = 2.0  # seconds in which one that holds the lock should begin, or end


@shares(write)
@default_floats
def memmap(
    path: str | os.PathLike[str],
    shape: Iterable[SupportsIndex] | SupportsIndex | None = None,
    scheme: Scheme | str | None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
    dtype: Any = "float32",
    mode: str = "r+",
    fill: bool = True,
    overwrite: bool = False,
    threads: int | None = None,
    durability: str = "full",
    progress: outputs.Progress | None = None,
    custom: Iterable[DrawFunction] = (),
) -> np.memmap[Any, np.dtype[Any]]:
    """Map a file of one tensor into memory, and make the file first if it is not there.

    Before anything is drawn, the file has its whole size on disk, so a full disk is an error then
    and not a crash later.  It gets its name when it is complete.  A sidecar beside it, called
    PATH.fastinit.json, holds the recipe: `fastinit.verify` draws every value again, and
    ``fastinit.memmap(path)`` maps the file without further arguments.

    If the file is there already, the same call maps it with whatever was written into it since: it
    compares recipe and size, but no values.  If several processes make the call at once, one makes
    the file, and the others wait for it.

    Args:
        path: of the file.  One that ends with .npy is as `numpy.save` writes it; any other holds
            the values alone, in row-major order.  Folders above it are created.
        shape: of the tensor, with one element or more; None if the file is there.
        scheme: such as ``fastinit.normal(std=0.02)``, or its text form; None if the file is there.
        seed: 0 <= seed < 2**64; None if the file is there.
        name: the tensor's name, on which its values depend; by default the file's name without its
            suffix.
        dtype: one that `fastinit.array` takes; a .npy file has float32, float16 or float64.
        mode: "r+" to read and write; "r" to read; "c" to keep what is written in memory alone.
        fill: False leaves zeros in a new file, for several processes to fill a region each.  The
            sidecar says so.  The same call with True then compares every value with the recipe,
            and notes that the file is filled.
        overwrite: make the file anew, whatever is there.  It takes the old one's place when it is
            complete; maps of the old one keep the old values.
        threads, durability, progress: as for `write`.
        custom: the custom distributions that the text of a scheme may name.

    Returns:
        An array of that shape and dtype; bfloat16 and float8 are those of ml_dtypes.

    Raises:
        TypeError: an argument of the wrong type; or some of shape, scheme and seed, but not all.
        ValueError: an argument, a name or a path that cannot work; nothing is written.
        UntrustedError: a scheme names a custom distribution that `custom` lacks; a ValueError.
        VerifyError: the first element that is not filled, of a file made with ``fill=False``.
        InvalidCheckpointError: the file and its sidecar contradict each other.
        CheckpointError: there is another file, or the disk or the system refuses.

    >>> import tempfile
    >>> import fastinit as fi
    >>> path = f"{tempfile.mkdtemp()}/embedding.npy"
    >>> rows = fi.memmap(path, (1000, 64), "normal(std=0.02)", seed=0, dtype="float16")
    >>> bool((rows == fi.array((1000, 64), "normal(std=0.02)", seed=0, name="embedding",
    ...                        dtype="float16")).all())
    True
    """
    target = _file(path)
    if mode not in get_args(MapMode):
        raise ValueError(f"mode is {quoted(mode)}: choose from {', '.join(get_args(MapMode))}")
    more = name is not None or dtype != "float32" or overwrite or not fill
    if shape is None and scheme is None and seed is None and not more:
        return _mapped(target, mode)
    if shape is None or scheme is None or seed is None:
        raise TypeError(
            "shape, scheme and seed belong together: give all to make a file, or the path alone to "
            "map one that is there"
        )
    functions = trusted(custom)
    drawn = scheme_of(scheme, custom=functions) if isinstance(scheme, str) else scheme
    label = target.stem if name is None else name
    tensor = Tensor(label, check_shape(shape), drawn, resolve(dtype).name)
    shard = single_shard(target.name, single_format(target.name), tensor, seed=seed)
    request = _Request(
        target, shard, fill, thread_count(threads), check_durability(durability), progress
    )
    request.put(overwrite=overwrite)
    return _mapped(target, mode)


def _file(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is there, or that may be."""
    found = given(path)
    if os.path.isdir(found):
        raise CheckpointError(f"{printable(found)} is a folder: pass the path of a file")
    return found


def _mapped(path: Path, mode: str) -> np.memmap[Any, np.dtype[Any]]:
    """Map a file that is there, which its sidecar describes."""
    if sidecar_of(path) is None:
        raise CheckpointError(_without_recipe(path))
    writable = mode == "r+"
    with OpenFile() as opened:
        descriptor, size = open_file(opened, path, writable=writable)
        form, header = read_described(descriptor, size, path)
        (stored,) = header.tensors.values()
        dtype = form.arrays[stored.dtype]
        with (
            explained(path, "map", reader=not writable),
            open(descriptor, "r+b" if writable else "rb", closefd=False) as file,
        ):
            found: np.memmap[Any, Any] = np.memmap(file, dtype, mode, stored.start, stored.shape)  # type: ignore[call-overload]
    found.filename = os.path.abspath(path)  # NumPy knows the descriptor alone
    return found


def _without_recipe(path: Path) -> str:
    if not os.path.lexists(path):
        return f"{printable(path)} is not there: give shape, scheme and seed to make it"
    return (
        f"{printable(path)} has no recipe, because {printable(path.name + BESIDE)} is not beside "
        "it: pass overwrite=True to make the file anew, choose another path, or map it with NumPy"
    )


def _is_locked(temporary: Path) -> bool:
    """Whether the process that made a temporary file lives."""
    with OpenFile() as file:
        try:
            file.open(temporary, os.O_RDONLY | storage.NO_FOLLOW | storage.NO_WAIT)
        except PermissionError:  # another user's, who may well live
            return True
        try:
            return file.lock(shared=True) is False
        finally:
            file.release()


@dataclass(frozen=True)
class _Request:
    """The file that a call wants to be there."""

    path: Path
    shard: Shard
    filled: bool
    workers: int
    durability: Durability
    progress: outputs.Progress | None

    @property
    def sidecar(self) -> Sidecar:
        """The sidecar that belongs to it."""
        (entry,) = self.shard.entries
        recipe, start = self.shard.recipe.text(), len(self.shard.header)
        return sidecar_for(entry, recipe, start, filled=self.filled)

    def put(self, *, overwrite: bool) -> None:
        """Find the file, or make it, or wait for the process that makes it."""
        self._check_place()
        end = time.monotonic() + GRACE
        made = False
        while not made:
            found = None if overwrite else self._seen()
            if found is not None and (found.filled or not self.filled):
                break
            if found is not None:
                self._check_values()
            try:
                made = self._make(overwrite, checked=found is not None)
            except BusyError:
                if self._is_being_made():
                    end = time.monotonic() + GRACE
                elif time.monotonic() > end:
                    raise
                time.sleep(PAUSE)
        if self.progress and not made:
            self.progress(self.shard.data_size)

    def _check_place(self) -> None:
        """Raise if something other than a file is where the file or its sidecar must go."""
        beside = self.path.with_name(self.path.name + BESIDE)
        if os.path.isdir(beside):
            why = "is a folder where a file must go: remove it"
            raise CheckpointError(f"{printable(beside)} {why}")
        if os.path.islink(self.path):
            raise CheckpointError(
                f"{printable(self.path)} is a symbolic link to "
                f"{printable(os.readlink(self.path))}: pass its target"
            )

    def _found(self) -> Sidecar | None:
        """The sidecar of the file, if that is there; raises for any other file."""
        if not os.path.lexists(self.path):
            return None
        found = sidecar_of(self.path)
        if found is None:
            raise CheckpointError(_without_recipe(self.path))
        if differences := found.differences(self.sidecar):
            raise CheckpointError(
                f"{printable(self.path)} is there already, and made with {', '.join(differences)}: "
                "pass overwrite=True to replace it, the path alone to map it, or another path"
            )
        return found

    def _seen(self) -> Sidecar | None:
        """As `_found`, at a moment when another process may be about to change it."""
        with suppress(CheckpointError):
            return self._found()
        return None

    def _check_values(self) -> None:
        """Raise VerifyError unless a file that was left to be filled has all its values."""
        try:
            verify(
                self.path,
                threads=self.workers,
                progress=self.progress,
                custom=self.shard.trusted,
            )
        except VerifyError as error:
            raise VerifyError(
                f"{error.message}; it was made with fill=False: fill the rest of it, pass "
                "fill=False to map it as it is, or overwrite=True to make it anew",
                error.file,
                error.tensor,
                error.index,
            ) from error

    def _is_being_made(self) -> bool:
        """Whether a process is at work on a file of this name."""
        temporary = re.compile(rf"\.{re.escape(self.path.name)}\.[0-9a-f]{{32}}\.fastinit")
        with suppress(OSError):
            names = filter(temporary.fullmatch, os.listdir(self.path.parent))
            return any(_is_locked(self.path.parent / name) for name in names)
        return False

    def _make(self, overwrite: bool, *, checked: bool) -> bool:
        """Whether the file is made, or noted as filled; not if another process was faster."""
        with (
            OpenFiles() as opened,
            Folder(self.path.parent, opened, durability=self.durability) as target,
        ):
            target.sweep()
            found = None if overwrite else self._found()
            if found is None:
                self._write(target)
            elif checked and not found.filled:
                target.flush(self.path.name)  # what was written through maps
                self._beside(target).publish()
            return found is None or checked

    def _write(self, target: Folder) -> None:
        """Complete the file and its sidecar, and give them their names in order."""
        replacing = self.path.name in target.names()
        if replacing:
            target.imitate([self.path.name])
        target.check_space(self.shard.file_size)
        file = self._filled(target) if self.filled else self._allocated(target)
        beside = self._beside(target)
        if replacing:
            target.remove(beside.final)
            target.sync()
            file.publish()
            beside.publish()
        else:
            beside.publish()
            file.publish()

    def _beside(self, target: Folder) -> TemporaryFile:
        content = self.sidecar.text().encode()
        return small_file(target, self.path.name + BESIDE, content)

    def _filled(self, target: Folder) -> TemporaryFile:
        (file,) = outputs.fill(target, [self.shard], self.workers, self.progress, publish=False)
        return file

    def _allocated(self, target: Folder) -> TemporaryFile:
        """Zeros with a place on disk for each, so that no map of them finds the disk full."""
        header, size = self.shard.header, self.shard.file_size
        file = TemporaryFile(target, self.path.name, size)
        file.write(header, 0)
        if storage.reserved(os.fstat(file.file.fileno())) < size:  # the system could not
            zeros = memoryview(bytes(CHUNK))
            for start in range(len(header), size, CHUNK):
                file.write(zeros[: size - start], start)
        file.complete()
        return file
