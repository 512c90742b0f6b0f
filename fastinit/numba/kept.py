# SPDX-License-Identifier: MIT
"""Compiled code kept on disk for the next process.  What the code computes is not known here.

Numba's own cache looks at one file for changes, raises what the disk raises, and runs whatever it
reads.  This one lies in the folder that Numba chooses (NUMBA_CACHE_DIR, else `__pycache__` beside
the source, else the user's cache), and never fails a call: what cannot be read is compiled, and
what cannot be written is not kept (machine/kept_files.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import njit
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.serialize import dumps

from fastinit.machine import kept_files


def kept(function: Callable[..., None], **options: Any) -> Callable[..., None]:
    """Compile a function by `numba.njit`, and keep its code where there is a place for that."""
    compiled: Any = njit(**options)(function)
    with contextlib.suppress(RuntimeError, OSError):  # Numba finds no folder that it can write to
        compiled._cache = KeptCode(function)
    found: Callable[..., None] = compiled
    return found


@cache
def sources() -> str:
    """A digest of every source of this room, and of the versions of Numba and LLVM."""
    versions = numba.__version__, llvmlite.__version__
    found = hashlib.sha256(repr(versions).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


class KeptCode(NullCache):  # type: ignore[misc]
    """The code of one function, a file per signature, processor and Python.

    The code reads Python's objects, so that of one version is wrong in another.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self._code = CompileResultCacheImpl(function)
        self._folder = Path(self._code.locator.get_cache_path())
        self._name = f"fastinit{function.__name__}"

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The code for a signature, or None."""
        context.refresh()
        try:
            code = kept_files.read(self._path(signature, context.codegen()))
            return None if code is None else self._code.rebuild(context, pickle.loads(code))
        except Exception:  # noqa: BLE001 - whatever it is, the code can be compiled
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the code for a signature, and drop what older sources made for it."""
        if not self._code.check_cachable(compiled):
            return
        code = dumps(self._code.reduce(compiled))
        path = self._path(signature, compiled.codegen)
        kept_files.write(path, code, outdated=f"{path.name.rpartition('-')[0]}-*.code")

    def _path(self, signature: Any, codegen: Any) -> Path:
        python = sysconfig.get_config_var("SOABI") or sys.version
        made_for = signature, codegen.magic_tuple(), python
        kind = hashlib.sha256(repr(made_for).encode()).hexdigest()
        return self._folder / f"{self._name}-{kind[:24]}-{sources()[:24]}.code"
