# SPDX-License-Identifier: MIT
"""Opens files and folders of any format as memory-mapped arrays.  Needs no recipe.

Stricter than the reference reader, never laxer: a file that opens here opens everywhere.  Nothing
is believed that can be checked: lengths, offsets, names and index entries come from strangers.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from fastinit.checkpoints.advice import BusyError, explained, given
from fastinit.checkpoints.files import sealed
from fastinit.checkpoints.formats import DEFAULT, FORMATS, MARKS, SINGLE_FORMATS, format_of
from fastinit.checkpoints.formats.base import Format, Header, Index
from fastinit.checkpoints.formats.sidecars import SIDECAR_LIMIT, Sidecar, described
from fastinit.checkpoints.hints import file_hint, folder_hint, unfinished_in
from fastinit.errors import CheckpointError, InvalidCheckpointError
from fastinit.machine import storage
from fastinit.machine.descriptors import OpenFile, read_into
from fastinit.machine.folders import new_folder
from fastinit.magic import HEAD
from fastinit.plans.reading import BESIDE
from fastinit.plans.tensors import MAX_AXES
from fastinit.texts import listed, printable, quoted

MISSING = "is missing: write or fetch it again"
FETCH = "write or fetch it again, and what is there is kept"
REPEAT = (
    "every file is complete, and some have hidden names: repeat the same command to put it in place"
)
SHRUNK = "it became shorter while it was read"
REPLACED = "was replaced while it was read: try again"
NO_FILE = "is not a regular file"
NEVER_FILES = {errno.ENXIO: NO_FILE, errno.ELOOP: "is a link that leads back to itself"}


def open_file(
    file: OpenFile, path: Path, *, part: bool = False, writable: bool = False
) -> tuple[int, int]:
    """(descriptor, size) of a regular file; a pipe would wait for ever, a device has no size.

    What is a `part` of a checkpoint, and no file, makes that invalid; else the path is mistaken.
    """
    doing, access = ("open for writing", os.O_RDWR) if writable else ("open", os.O_RDONLY)
    with explained(path, doing, reader=not writable):
        try:
            descriptor = file.open(path, access | storage.NO_WAIT)
            state = os.fstat(descriptor)
        except OSError as error:
            if error.errno not in NEVER_FILES:
                raise
            raise _no_file(path, NEVER_FILES[error.errno], part) from error
    if not stat.S_ISREG(state.st_mode):
        raise _no_file(path, NO_FILE, part)
    return descriptor, state.st_size


def _no_file(path: Path, why: str, part: bool) -> CheckpointError:
    return (InvalidCheckpointError if part else CheckpointError)(f"{printable(path)} {why}")


def read_exactly(descriptor: int, buffer: memoryview, offset: int, path: Path) -> None:
    """Fill `buffer` from `offset`; unlike a memory map this survives a file that shrinks."""
    with explained(path, "read", reader=True):
        count = read_into(descriptor, buffer, offset)
    if count < len(buffer):
        raise InvalidCheckpointError(f"{printable(path)} ends at byte {offset + count:,}: {SHRUNK}")


def read_header(descriptor: int, size: int, path: Path, form: Format) -> Header:
    """Parse and check the header of an open file of `size` bytes."""
    head = bytearray(min(size, HEAD))
    read_exactly(descriptor, memoryview(head), 0, path)
    try:
        start, end = form.header_place(head, size)
        text = bytearray(end - start)
        read_exactly(descriptor, memoryview(text), start, path)
        return form.parse_header(path.name, text, size)
    except ValueError as error:
        hint = "" if form.resembles(head) else file_hint(bytes(head), path.name)
        raise InvalidCheckpointError(
            f"{printable(path)} is not a valid {form.name} file: {error}{hint}"
        ) from error


def read_index(path: Path, form: Format) -> Index:
    """The index of a checkpoint that has several files."""
    text = _text(path, "an index", form.index_limit)
    try:
        return form.parse_index(bytes(text))
    except ValueError as error:
        hint = "" if text.startswith(b"{") else file_hint(bytes(text[:HEAD]), path.name)
        raise InvalidCheckpointError(
            f"{printable(path)} is not a valid index: {error}{hint}"
        ) from error


def sidecar_of(path: Path) -> Sidecar | None:
    """The sidecar of the file at `path`, if it has one."""
    beside = path.with_name(path.name + BESIDE)
    if not _is_there(beside):
        return None
    with _sidecar_checked(beside):
        return Sidecar.parse(_text(beside, "a sidecar", SIDECAR_LIMIT))


@contextmanager
def _sidecar_checked(beside: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise InvalidCheckpointError(
            f"{printable(beside)} is not a valid sidecar: {error}"
        ) from error


def _text(path: Path, what: str, limit: int) -> bytearray:
    """The content of a small file."""
    with OpenFile() as opened:
        descriptor, size = open_file(opened, path, part=True)
        if size > limit:
            raise InvalidCheckpointError(
                f"{printable(path)} has {size:,} bytes: {what} has at most {limit:,}"
            )
        text = bytearray(size)
        read_exactly(descriptor, memoryview(text), 0, path)
    return text


def form_of(path: Path) -> Format:
    """The format of one file: what its sidecar describes, if it has one."""
    default = format_of(DEFAULT)
    if not path.name or path.name.endswith(default.suffix):
        return default
    sidecar = sidecar_of(path)
    if sidecar is None:
        return default
    with _sidecar_checked(path.with_name(path.name + BESIDE)):
        return described(path.name, sidecar)


def read_described(descriptor: int, size: int, path: Path) -> tuple[Format, Header]:
    """The format and the header of an open file with a sidecar, of which both may be replaced.

    Its sidecar goes before a file does.  So what was read beside a file that still has its name
    belongs to it.
    """
    form = form_of(path)
    with explained(path, "look at", reader=True):
        stays = os.path.samestat(os.fstat(descriptor), os.stat(path))
    if not stays or form.name not in SINGLE_FORMATS:
        raise CheckpointError(f"{printable(path)} {REPLACED}")
    return form, read_header(descriptor, size, path, form)


class Checkpoint(Mapping[str, np.ndarray[Any, np.dtype[Any]]]):
    """Tensor name -> array mapped from its file; a file is opened when first needed.

    The arrays are read-only unless the checkpoint is `writable`; then they are shared maps, and
    what is written into them goes to the files.  The folder stays locked against `write` as long as
    a writable checkpoint lives.

    Should another program cut a mapped file short, touching the lost part ends this process: that
    is what the operating system does.  `verify` does not map and reports it instead.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, index: str | None = None, writable: bool = False
    ) -> None:
        """Open a folder or a file; `index` is the folder's index if it has another name."""
        self.path = given(path)
        self.writable = writable
        self.is_folder = os.path.isdir(self.path)
        self.folder = self.path if self.is_folder else self.path.parent
        self.index: Index | None = None
        self.weight_map: dict[str, str]
        self._headers: dict[str, Header] = {}
        self._states: dict[str, os.stat_result] = {}
        self._mapped: MutableMapping[str, mmap.mmap] = {}
        self._written: set[str] = set()
        self.form = format_of(DEFAULT) if self.is_folder else form_of(self.path)
        file = index or self.path.name
        if self.is_folder and index is None:
            self.form, file = _mark(self.path)
        if self.is_folder and file in (index, self.form.index):
            self.index = read_index(self._path(file), self.form)
            self.weight_map = self.index.weight_map
            self.files = tuple(sorted(set(self.weight_map.values())))
        else:
            self.weight_map = dict.fromkeys(self.header(file).tensors, file)
            self.files = (file,)
        if writable:
            self._prepare_writing()

    def _prepare_writing(self) -> None:
        """Lock the folder, unless it is that of a file which is no part of a checkpoint."""
        if self.form.single is None:
            self._mapped = WeakValueDictionary()
        if self.form.name not in FORMATS:
            return
        self._lock = new_folder()
        with explained(self.folder, "lock", reader=True):
            self._lock.enter(self.folder, follow=True)
            if self._lock.lock(shared=True) is False:
                self._lock.close()
                raise BusyError(self.folder)

    def header(self, file: str) -> Header:
        """What one of its files says about itself; the file is read, not mapped, and only once."""
        if file not in self._headers:
            with OpenFile() as opened:
                self._read_header(*self._open(opened, file), file)
        return self._headers[file]

    def _read_header(self, descriptor: int, size: int, file: str) -> Header:
        path = self.folder / file
        with explained(path, "look at", reader=True):
            self._states[file] = os.fstat(descriptor)
        if self.form.name in SINGLE_FORMATS:
            self.form, header = read_described(descriptor, size, path)
        else:
            header = read_header(descriptor, size, path, self.form)
        self._headers[file] = header
        return header

    def open_file(self, opened: OpenFile, file: str) -> tuple[int, int]:
        """(descriptor, size) of one of its files, which is the one whose header was read."""
        self.header(file)
        descriptor, size = self._open(opened, file)
        with explained(self.folder / file, "look at", reader=True):
            if not os.path.samestat(os.fstat(descriptor), self._states[file]):
                raise CheckpointError(f"{printable(self.folder / file)} {REPLACED}")
        return descriptor, size

    def _open(self, opened: OpenFile, file: str, *, writable: bool = False) -> tuple[int, int]:
        return open_file(opened, self._path(file), part=self.is_folder, writable=writable)

    def is_missing(self, file: str) -> bool:
        """Whether a file that the folder's index, or a link in it, names is absent."""
        return self.is_folder and not _is_there(self.folder / file)

    def _path(self, file: str) -> Path:
        if self.is_missing(file):
            raise InvalidCheckpointError(f"{printable(self.folder / file)} {MISSING}")
        return self.folder / file

    def _map(self, file: str) -> tuple[mmap.mmap, Header]:
        """A file's bytes and header, of the same file: another may have its name by now.

        Where every tensor has its own file, the map lives only as long as the arrays that use it:
        each holds a descriptor, and there may be more tensors than a process may open files.
        """
        if file in self._mapped:
            return self._mapped[file], self._headers[file]
        path = self.folder / file
        if self.writable and path.is_symlink():
            raise CheckpointError(
                f"{printable(path)} is a symbolic link to {printable(os.readlink(path))}: what is "
                "written would change a file that others may share, so copy the checkpoint first"
            )
        with OpenFile() as opened:
            descriptor, size = self._open(opened, file, writable=self.writable)
            header = self._read_header(descriptor, size, file)
            mapped = _mapped(descriptor, size, path, writable=self.writable)
        if self.writable:
            self._written.add(file)
        if self.writable or self.form.single is not None:
            self._mapped[file] = mapped
        return mapped, header

    def flush(self) -> None:
        """Wait until everything that was written through the arrays is on disk.

        The system writes it sooner or later in any case, and other processes see it at once.

        Raises:
            CheckpointError: the disk reports a fault, and what was written may be lost.
        """
        for file in sorted(self._written):
            mapped = self._mapped.get(file)
            with explained(self.folder / file, "flush"), OpenFile() as opened:
                if mapped is not None:
                    mapped.flush()
                else:  # its arrays are gone
                    os.fsync(self._open(opened, file, writable=True)[0])

    def __getitem__(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        file = self.weight_map[name]
        mapped, header = self._map(file)
        place = printable(self.folder / file)
        if name not in header.tensors:
            said = "which the index says is there" if self.index else "as it had when opened"
            raise InvalidCheckpointError(f"{place} has no tensor {quoted(name)}, {said}")
        stored = header.tensors[name]
        if stored.dtype not in self.form.arrays:
            raise CheckpointError(
                f"{place}: tensor {quoted(name)} has dtype {stored.dtype}, whose packed elements "
                f"a NumPy array cannot hold: read it with {self.form.name} and torch"
            )
        if len(stored.shape) > MAX_AXES:
            raise CheckpointError(
                f"{place}: tensor {quoted(name)} has {len(stored.shape):,} axes, "
                f"but a NumPy array has at most {MAX_AXES}"
            )
        return np.ndarray(stored.shape, self.form.arrays[stored.dtype], mapped, stored.start)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of this name; opens no file."""
        return name in self.weight_map

    def __iter__(self) -> Iterator[str]:
        return iter(self.weight_map)

    def __len__(self) -> int:
        return len(self.weight_map)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {len(self)} tensors in {len(self.files)} files)"


def _mapped(descriptor: int, size: int, path: Path, *, writable: bool) -> mmap.mmap:
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    try:
        with explained(path, "map", reader=not writable):
            return mmap.mmap(descriptor, size, access=access)
    except ValueError as error:  # Python's own check of the size
        raise InvalidCheckpointError(f"{printable(path)} cannot be mapped: {SHRUNK}") from error


def _mark(folder: Path) -> tuple[Format, str]:
    """The file that makes `folder` a checkpoint, and the format that this file stands for."""
    found = [
        (form, name)
        for form in FORMATS.values()
        for name in form.marks
        if _is_there(folder / name, follow=False)
    ]
    if len(found) > 1:
        names = " and ".join(name for _, name in found)
        raise InvalidCheckpointError(
            f"{printable(folder)} holds both {names}: programs differ in which they "
            "read, so remove the one that is out of date, or pass the file"
        )
    if found:
        return found[0]
    neither = f"neither {' nor '.join(MARKS)}"
    if unfinished := unfinished_in(folder):
        complete = not set(map(sealed, MARKS)).isdisjoint(unfinished)
        raise InvalidCheckpointError(
            f"{printable(folder)} is incomplete: it holds {listed(unfinished)}, but {neither}; "
            f"{REPEAT if complete else FETCH}"
        )
    raise CheckpointError(
        f"{printable(folder)} holds no checkpoint: {neither} is there{folder_hint(folder)}"
    )


def _is_there(path: Path, *, follow: bool = True) -> bool:
    """Whether the file, or at least a link, is there; raises where the system does not tell."""
    with explained(path, "open", reader=True):
        try:
            os.stat(path, follow_symlinks=follow)
        except (FileNotFoundError, NotADirectoryError):  # the latter through a link
            return False
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise _no_file(path, NEVER_FILES[errno.ELOOP], True) from error
    return True


def open_checkpoint(path: str | os.PathLike[str], *, writable: bool = False) -> Checkpoint:
    """Open a folder or one safetensors file as memory maps, without a copy.

    Args:
        path: any safetensors checkpoint, a file or a folder with an index or one
            model.safetensors, which need not be fastinit's; or a folder of .npy files that
            `write` made; or a file that `memmap` made.
        writable: whether what is written into the arrays goes to the files, as in training on
            disk.  Then `verify` says where training has changed the values.  The call needs
            permission to write, and while the checkpoint lives, `write` does not replace it; other
            processes may open it too, writable or not, and see what is written.

    Returns:
        A mapping from tensor name to an array; bfloat16 and float8 as in ml_dtypes.  The
        name of a tensor that NumPy cannot show, such as one of packed 4-bit floats, raises
        CheckpointError when it is looked up.

    Raises:
        TypeError: `path` is neither a string nor a path object.
        ValueError: the path is empty.
        InvalidCheckpointError: a file, or the set of files, does not follow the format.
        CheckpointError: there is no checkpoint, the system refuses to open it, or it is to be
            writable and another process is writing the folder.
    """
    return Checkpoint(path, writable=writable)
