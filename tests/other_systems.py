# SPDX-License-Identifier: MIT
"""Makes this process look like one of another system, as far as fastinit can see.  Holds no test.

`become` has to come before fastinit is imported.  The names that Python lacks on that system are
removed, and what it refuses is refused.  As a plugin of pytest, whole files of tests run so:
`OTHER_SYSTEM=windows pytest -p other_systems tests/checkpoints/test_round_trips.py`.
"""

from __future__ import annotations

import _signal
import errno
import mmap
import os
import select
import stat
import sys
import types

OTHER_SYSTEM = "OTHER_SYSTEM"

MACOS = {
    "os": ("copy_file_range", "posix_fadvise", "posix_fallocate", "sched_getaffinity"),
    "mmap": ("MADV_HUGEPAGE",),
}
"""What Python has on Linux and not on macOS."""

WINDOWS = {
    "os": (
        *MACOS["os"],
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK"),
        *("POSIX_FADV_DONTNEED", "chown", "fchmod", "fchown", "fdatasync", "fork", "forkpty"),
        *("fstatvfs", "killpg", "lchown", "mkfifo", "nice"),
        *("posix_spawn", "pread", "preadv", "pwrite", "pwritev", "register_at_fork", "sendfile"),
        *("setsid", "statvfs", "sync", "sysconf", "wait3", "wait4"),
    ),
    "mmap": MACOS["mmap"],
    "select": ("epoll", "poll"),
    "_signal": ("SIGHUP", "SIGQUIT", "SIGUSR1", "alarm", "pthread_kill", "setitimer"),
    "modules": ("fcntl", "grp", "pwd", "resource", "syslog", "termios"),
}
"""What Python has on Linux and not on Windows, but for what pytest and NumPy need here."""

BARE = {**WINDOWS, "modules": (*WINDOWS["modules"], "msvcrt")}
"""As Windows, but files cannot be locked at all."""

SYSTEMS = {"macos": MACOS, "windows": WINDOWS, "bare": BARE}


def become(system: str) -> None:
    """Take away what Python lacks on `system`, and refuse what that refuses."""
    import subprocess  # noqa: F401 - before there is a module by which it knows Windows

    if system != "macos":
        if system == "windows":
            sys.modules["msvcrt"] = locking_by_ranges()
        refuse_what_windows_refuses()
    named = {"os": os, "mmap": mmap, "select": select, "_signal": _signal}
    for name in SYSTEMS[system].get("modules", ()):
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in SYSTEMS[system].items():
        for name in names if module in named else ():
            vars(named[module]).pop(name, None)
    if "signal" in sys.modules:
        for name in SYSTEMS[system].get("_signal", ()):
            vars(sys.modules["signal"]).pop(name, None)


def locking_by_ranges() -> types.ModuleType:
    """A module `msvcrt` whose locks are those of ranges, by Linux's locks of open files."""
    import fcntl
    import struct

    module = types.ModuleType("msvcrt")
    module.LK_UNLCK, module.LK_NBLCK = 0, 2  # type: ignore[attr-defined]

    def locking(descriptor: int, operation: int, size: int) -> None:
        begin = os.lseek(descriptor, 0, os.SEEK_CUR)
        kind = fcntl.F_UNLCK if operation == module.LK_UNLCK else fcntl.F_WRLCK
        whole = struct.pack("hhqqi4x", kind, os.SEEK_SET, begin, size, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole)
        except OSError as error:
            raise PermissionError(errno.EACCES, "Permission denied") from error

    module.locking = locking  # type: ignore[attr-defined]
    return module


def refuse_what_windows_refuses() -> None:
    """Folders are not opened; what is open is neither renamed, nor replaced, nor removed."""
    real_open, real_unlink, real_replace, real_fsync = os.open, os.unlink, os.replace, os.fsync
    real_listdir, real_stat = os.listdir, os.stat
    import fcntl

    def opened(path, flags, mode=0o777, *, dir_fd=None):
        assert dir_fd is None, "there are no descriptors of folders"
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_open(path, flags, mode)

    def looked_at(path, *, dir_fd=None, follow_symlinks=True):
        assert dir_fd is None, "there are no descriptors of folders"
        return real_stat(path, follow_symlinks=follow_symlinks)

    def listed(path="."):
        if isinstance(path, int):
            raise TypeError("listdir: path should be string, bytes, os.PathLike or None, not int")
        return real_listdir(path)

    def closed(path):
        if os.path.basename(path).startswith("tmp"):  # a temporary file of Python's own
            return
        if not os.path.lexists(path) or not stat.S_ISREG(real_stat(path).st_mode):
            return
        inode = real_stat(path).st_ino
        for number in real_listdir("/proc/self/fd"):
            try:
                in_use = os.fstat(int(number)).st_ino == inode
            except OSError:  # that of the listing itself
                continue
            if in_use:
                raise PermissionError(errno.EACCES, "it is open", path)
        with open("/proc/self/maps", encoding="utf-8") as maps:
            if any(line.split()[4] == str(inode) for line in maps):
                raise PermissionError(errno.EACCES, "it is mapped", path)

    def removed(path, *, dir_fd=None):
        assert dir_fd is None, "there are no descriptors of folders"
        closed(path)
        real_unlink(path)

    def replaced(old, new, *, src_dir_fd=None, dst_dir_fd=None):
        assert src_dir_fd is dst_dir_fd is None, "there are no descriptors of folders"
        closed(old)
        closed(new)
        real_replace(old, new)

    def renamed(old, new, **options):
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, "File exists", new)
        replaced(old, new, **options)

    def flushed(descriptor):
        if not isinstance(descriptor, int):
            descriptor = descriptor.fileno()
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real_fsync(descriptor)

    os.supports_dir_fd, os.supports_fd = set(), {looked_at}
    os.open, os.stat, os.listdir, os.fsync = opened, looked_at, listed, flushed
    os.unlink = os.remove = removed
    os.rename, os.replace = renamed, replaced


if os.environ.get(OTHER_SYSTEM):
    become(os.environ[OTHER_SYSTEM])
