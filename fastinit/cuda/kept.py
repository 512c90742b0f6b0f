# SPDX-License-Identifier: MIT
"""Compiled kernels kept on disk for the next process.  What they compute is not known here.

A file is named after the kernel, and after a digest of the text, the options and NVRTC's version.
It lies in `__pycache__` beside this file, else in the user's cache (XDG_CACHE_HOME, else
``~/.cache``); where neither can be written to, every process compiles.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fastinit.cuda import compiling
from fastinit.cuda.launches import Kernel
from fastinit.cuda.text import text
from fastinit.machine import kept_files

CODE_FOLDER = Path(__file__).parent / "__pycache__"


def code_for(kernel: Kernel, architecture: int) -> bytes:
    """The code of a kernel for an architecture: that on disk, or else compiled now.

    Raises:
        BackendError: it cannot be compiled.
    """
    target = compiling.target(architecture)
    options = compiling.options(kernel, target)
    path = path_of(kernel, target, options)
    if path is not None and (code := kept_files.read(path)) is not None:
        return code
    code = compiling.compiled(text(), options)
    if path is not None:
        kept_files.write(path, code, outdated=f"{path.name.rpartition('-')[0]}-*.code")
    return code


def path_of(kernel: Kernel, target: str, options: tuple[str, ...]) -> Path | None:
    """The file of a kernel; None if there is no folder for it."""
    made_of = text().digest, options, compiling.version()
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()
    where = folder()
    name = f"{kernel.symbol}-{kernel.groups}-{target}-{digest[:24]}.code"
    return None if where is None else where / name


def folder() -> Path | None:
    """Where files are kept; None if there is no place for them."""
    for candidate in (CODE_FOLDER, _users_cache()):
        if candidate is not None and _writable(candidate):
            return candidate
    return None


def _users_cache() -> Path | None:
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # there is no home
        return None
    return base / "fastinit"


def _writable(path: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK | os.X_OK)
