# SPDX-License-Identifier: MIT
"""Compiled kernels kept on disk for the next process.  What they compute is not known here.

A file is named after the kernel, and after a digest of the text, the options and NVRTC's version.
It is looked for in `__pycache__` beside this file, and in the user's cache (XDG_CACHE_HOME, else
``~/.cache``), and written to the first of them that can be written to.  If neither can, what is not
found there is compiled by every process.
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
    kind, digest = f"{kernel.symbol}-{kernel.groups}-{target}", _digest(options)
    name = f"{kind}-{digest[:24]}.code"
    for where in folders():
        if (code := kept_files.read(where / name)) is not None:
            return code
    code = compiling.compiled(text(), options)
    if (chosen := folder()) is not None:
        kept_files.write(chosen / name, code, outdated=f"{kind}-*.code")
    return code


def _digest(options: tuple[str, ...]) -> str:
    """Of everything that code is made of."""
    made_of = text().digest, options, compiling.version()
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


def folders() -> list[Path]:
    """Where files may be."""
    users = _users_cache()
    return [CODE_FOLDER] if users is None else [CODE_FOLDER, users]


def folder() -> Path | None:
    """Where files are written; None if there is no place for them."""
    return next(filter(_writable, folders()), None)


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
