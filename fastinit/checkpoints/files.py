# SPDX-License-Identifier: MIT
"""A folder, and files that appear in it whole or not at all.  Knows nothing of tensors.

Rules, each against a loss that happened to somebody: write beside the target and rename (a reader
never sees half a file); flush the file before the rename and the folder after it (a power cut
cannot leave a name without its data), unless less durability is asked for; allocate first (a full
disk is found before the work is done); hold a lock while alive (what a killed writer left can be
told from what a living one writes); keep the folder open and name files relative to it (nobody can
swap it meanwhile).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Collection, Sequence
from contextlib import suppress

from fastinit.checkpoints.advice import (
    ELSEWHERE,
    BusyError,
    NoSpaceError,
    explained,
    given,
)
from fastinit.checkpoints.inodes import imitate, make_folder
from fastinit.checkpoints.writable import Durability, WritableFile
from fastinit.errors import CheckpointError
from fastinit.machine import storage
from fastinit.machine.descriptors import OpenFile, OpenFiles, read_into
from fastinit.machine.folders import new_folder
from fastinit.texts import printable

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.fastinit")
JOURNAL = re.compile(r"(\..+\.[0-9a-f]{32})\.ranges\.fastinit")
CLAIM = re.compile(r"\..+\.begun\.fastinit")
SEALED = re.compile(r"\.(.+)\.complete\.fastinit")
NEVER_OURS = {errno.ELOOP, errno.ENXIO}  # what opening a symbolic link and a socket gives


def sealed(name: str) -> str:
    """The name under which a finished file waits until others are finished as well."""
    return f".{name}.complete.fastinit"


def journal_of(temporary: str) -> str:
    """The name of the journal of a temporary file: which of its bytes are complete."""
    return f"{temporary.removesuffix('.fastinit')}.ranges.fastinit"


class Folder:
    """An open folder, locked against other writers, and the temporary files made in it.

    Leaving the `with` block removes every temporary file that was not published or kept.

        with OpenFiles() as opened, Folder(path, opened) as folder:

    A signal can keep this class from removing files and from unlocking, which take many steps.
    Even then, leaving the outer block closes every file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        opened: OpenFiles,
        *,
        exclusive: bool = True,
        durability: Durability = "full",
    ) -> None:
        self.path = given(path)
        self.opened = opened
        self.durability = durability
        self.process = os.getpid()
        self.temporaries: OrderedDict[TemporaryFile, None] = OrderedDict()
        self.models: Sequence[str] = ()
        with explained(self.path, "open"):
            target = os.readlink(self.path) if self.path.is_symlink() else None
        if target is not None:
            raise CheckpointError(
                f"{printable(self.path)} is a symbolic link to {printable(target)}: pass its target"
            )
        self.file = opened.add(new_folder())
        with explained(self.path, "open"):
            make_folder(self.path, durable=durability == "full")
            self.file.enter(self.path)
            alone = not exclusive or self.file.lock() is not False
        if not alone:
            raise BusyError(self.path, f", {ELSEWHERE}")

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() != self.process:
            return  # forked meanwhile: the files are the parent's
        try:
            self._discard()
        finally:
            self.opened.release(self.file)

    def _discard(self) -> None:
        """Remove unfinished files, the last one first; a signal makes it miss one file at most."""
        interruption = None
        for temporary in reversed(list(self.temporaries)):
            try:
                temporary.discard()
            except BaseException as error:  # noqa: BLE001 - kept and raised below
                interruption = error
        if interruption:
            raise interruption

    def names(self) -> set[str]:
        """What is in the folder."""
        with explained(self.path, "list"):
            return self.file.names()

    def begins_with(self, name: str, content: bytes, size: int) -> bool:
        """Whether `name` is a regular file of `size` bytes that begins with `content`."""
        with explained(self.path / name, "read"), OpenFile() as file:
            if self.open_for_reading(file, name) != size:
                return False
            found = bytearray(len(content))
            read_into(file.fileno(), memoryview(found), 0)
            return found == content

    def read(self, name: str, limit: int) -> bytes:
        """The content of a regular file, or nothing if it is another thing or has more bytes."""
        with explained(self.path / name, "read"), OpenFile() as file:
            size = self.open_for_reading(file, name)
            if size is None or size > limit:
                return b""
            content = bytearray(size)
            count = read_into(file.fileno(), memoryview(content), 0)
            return bytes(content[:count])

    def open_for_reading(self, file: OpenFile, name: str) -> int | None:
        """Open a regular file for reading, and return its size; None if it is another thing."""
        try:
            self._open(file, name, os.O_RDONLY | storage.NO_WAIT)
        except OSError as error:
            if error.errno in NEVER_OURS:
                return None
            raise
        state = os.fstat(file.fileno())
        return state.st_size if stat.S_ISREG(state.st_mode) else None

    def _open(self, file: OpenFile, name: str, flags: int, mode: int = 0o666) -> int:
        return self.file.open_in(file, name, flags, mode)

    def is_folder(self, name: str) -> bool:
        """Whether `name` is a folder, which no file can replace."""
        with explained(self.path / name, "look at"), suppress(FileNotFoundError):
            state = self.file.state(name)
            return stat.S_ISDIR(state.st_mode)
        return False

    def imitate(self, names: Sequence[str]) -> None:
        """Give new files the owner and mode of those they replace, else of the first of `names`."""
        self.models = names

    def model(self, name: str) -> os.stat_result | None:
        """The state of the file whose owner and mode a new file `name` gets, if there is one."""
        for model in (name, *self.models) if self.models else ():
            with suppress(OSError):
                state = self.file.state(model, follow=True)
                if stat.S_ISREG(state.st_mode):
                    return state
        return None

    def check_space(self, needed: int) -> None:
        """Raise when the file system has fewer bytes left, as far as it can tell."""
        with explained(self.path, "measure"):
            left = self.file.available()
        if left is not None and left < needed:
            raise NoSpaceError(
                f"{printable(self.path)} needs {needed:,} bytes, {left:,} are available: "
                f"free some, {ELSEWHERE}"
            )

    def rename(self, old: str, new: str) -> None:
        """Give a complete file its final name, in place of the file that has it."""
        with explained(self.path / new, "rename a temporary file to"):
            self.file.rename(old, new)

    def put(self, name: str, content: bytes) -> None:
        """Write a small file; it appears whole or not at all."""
        small_file(self, name, content).publish()

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with explained(self.path / name, "remove"), suppress(FileNotFoundError):
            self.file.remove(name)

    def sync(self) -> None:
        """Make names that were added and removed survive a power cut, if that is asked for."""
        if self.durability == "full":
            with explained(self.path, "flush"):
                self.file.flush()

    def flush(self, name: str) -> None:
        """Flush a file that is there already: who wrote it may have asked for less."""
        if self.durability == "none":
            return
        with explained(self.path / name, "flush"), OpenFile() as file:
            os.fsync(self._open(file, name, storage.FLUSHABLE))

    def sweep(self, keep: Collection[str] = ()) -> None:
        """Remove the temporary files of dead writers: those whose lock can be had.

        Those called in `keep` stay, and so do their journals.
        """
        names = self.names()
        for name in sorted(names.difference(keep)):
            if TEMPORARY.fullmatch(name):
                with suppress(OSError):
                    self._sweep(name)
        for name in sorted(names):
            match = JOURNAL.fullmatch(name)
            if match and f"{match[1]}.fastinit" not in keep:
                with suppress(OSError):
                    self.file.remove(name)

    def _sweep(self, name: str) -> None:
        with OpenFile() as file:
            try:
                self._open(file, name, os.O_RDWR | storage.NO_WAIT)  # NFS locks what can be written
            except PermissionError:  # complete, in place of a read-only file
                self._open(file, name, os.O_RDONLY | storage.NO_WAIT)
            try:
                if file.lock():
                    if not storage.POSIX:
                        file.release()
                    self.file.remove(name)
            finally:
                file.release()

    def keep(self) -> None:
        """Keep the temporary files, which are sealed."""
        self.temporaries.clear()


class TemporaryFile(WritableFile):
    """A file under a name of its own until `publish` gives it its final one.

    Args:
        left: the temporary name of a file of that size which a killed writer left; if it can be
            had, it becomes this file, with all that was written into it.
    """

    def __init__(self, folder: Folder, final: str, size: int, left: str | None = None) -> None:
        self.folder = folder
        self.final = final
        self.model = folder.model(final)
        self.journal: str | None = None
        super().__init__(OpenFile(), folder.path / final, folder.durability)
        with explained(self.path, "create", size):
            if left is None or not self._take(left, size):
                while not self._open():
                    pass
            self.allocate(size)

    def _take(self, name: str, size: int) -> bool:
        """Open and lock what a killed writer left; False if it is another thing by now."""
        self.names, self.journal = [name], journal_of(name)
        self.file = self.folder.opened.new()
        self.folder.temporaries[self] = None
        with suppress(OSError):
            self.folder._open(self.file, name, os.O_RDWR | storage.NO_WAIT)
            state = os.fstat(self.file.fileno())
            if stat.S_ISREG(state.st_mode) and state.st_size == size and self.file.lock():
                self._make_mode()
                return True
        self.discard()
        return False

    def _make_mode(self) -> None:
        """Give a file that another call made the mode that `_open` would: of any file, its journal.

        That call may have replaced a checkpoint, which is begun in private.
        """
        assert self.journal is not None
        with suppress(OSError):  # a file system without modes
            state = self.folder.file.state(self.journal)
            storage.give_mode(self.file.fileno(), 0o600 if self.model else state.st_mode & 0o666)

    def _open(self) -> bool:
        """Open and lock under a fresh name; False when a sweeper took it in between.

        Registered before it exists, so that an interrupt at any point leaves nothing behind.
        """
        name = f".{self.final}.{os.urandom(16).hex()}.fastinit"  # a pid repeats in a retried task
        self.names = [name]
        self.file = self.folder.opened.new()
        self.folder.temporaries[self] = None
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        self.folder._open(self.file, name, flags, 0o600 if self.model else 0o666)
        if self.file.lock() is not False and os.fstat(self.file.fileno()).st_nlink:
            return True
        self.discard()
        return False

    def complete(self) -> None:
        """Everything is written: give it owner and mode, and let it settle.

        Owner and mode come this late, so that what a killed writer leaves can be written by its
        user, and thus be opened and locked by whoever sweeps.
        """
        if self.model:
            with explained(self.path, "set the mode of"):
                imitate(self.file.fileno(), self.model)
        self.settle()

    def close(self) -> None:
        """Give up the descriptor, and the lock with it."""
        self.folder.opened.release(self.file)

    def _let_go(self) -> None:
        """Close it early where a file that is open can be neither renamed nor removed."""
        if not storage.POSIX:
            self.close()

    def note(self, line: str) -> None:
        """Add a line to the journal, for who finds the file should this process be killed.

        A line that cannot be written is only work that would be done again.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with suppress(OSError), OpenFile() as journal:
            self.journal = journal_of(self.names[0])
            descriptor = self.folder._open(journal, self.journal, flags)
            os.write(descriptor, f"\n{line}\n".encode())  # a line that was cut stays apart

    def _forget(self) -> None:
        """Remove the journal, if there is one: nothing is left to be done again."""
        if self.journal:
            with suppress(OSError):
                self.folder.file.remove(self.journal)
            self.journal = None

    def publish(self) -> None:
        """Rename a complete file to its final name, and flush that too."""
        self._let_go()
        self.folder.rename(self.names[-1], self.final)
        self._forget()
        del self.folder.temporaries[self]
        self.close()
        self.folder.sync()

    def seal(self) -> None:
        """Rename a complete file to the name under which a later run finds it.

        Until `Folder.keep` is called, leaving the folder removes it, the one sealed last first.
        """
        self.folder.temporaries.move_to_end(self)
        self.names.append(sealed(self.final))
        self._let_go()
        self.folder.rename(*self.names)
        self._forget()

    def discard(self) -> None:
        """Remove it.  Never fails: what cannot be removed now, the next writer sweeps."""
        self._let_go()
        for name in self.names:
            with suppress(OSError):
                self.folder.file.remove(name)
        self._forget()
        self.close()
        self.folder.temporaries.pop(self, None)


def small_file(target: Folder, name: str, content: bytes) -> TemporaryFile:
    """A complete temporary file with that content."""
    file = TemporaryFile(target, name, len(content))
    file.write(content, 0)
    file.complete()
    return file
