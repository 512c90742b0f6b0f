# SPDX-License-Identifier: MIT
"""What `import fastinit` does before the rest of the package is imported.

It prepares the process of the command line (program.py), loads the C extensions where there are
any, and keeps floats as IEEE 754 defines them until `finish`, because Python may compile source
files, and read the numbers in them, meanwhile.  It defines no function that users call.
"""

from __future__ import annotations

import os

from fastinit import program

if program.is_this_process():
    program.begin()


NO_NATIVE = "fastinit._no_native"
"""A module that setup.py adds to a package that it builds without the extensions, on request."""


def _exists(module: str) -> bool:
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return False
    return True


def _load(extension: str) -> None:
    """Import one of our extensions, or say why that cannot be.

    It may be missing where the package was built without, or where another backend is asked for.
    """
    try:
        if _exists(extension) or _exists(NO_NATIVE) or _other_backend():
            return
    except ImportError as error:
        raise ImportError(f"{extension} cannot be loaded: {error}") from error
    raise ImportError(  # the source folder hides the installed package
        f"{extension} is not built in {os.path.dirname(__file__)} for this Python: if "
        "fastinit is installed, run Python from another folder; to use this one, run "
        "pip install -e . in its parent"
    )


def _other_backend() -> bool:
    return os.environ.get("FASTINIT_BACKEND", "") not in ("", "native")


_load("fastinit.machine._machine")
_load("fastinit.backends._native")
from fastinit.machine.state import DefaultFloats  # noqa: E402 - only now

_floats = DefaultFloats()


def finish() -> None:
    """Restore the floating-point state of the thread."""
    _floats.__exit__()
