# SPDX-License-Identifier: MIT
"""Which instruction set the kernels use: the best this machine has, unless one is forced.

It needs the extension, so only the native backend imports it; FASTINIT_ISA is looked at then.
"""

from __future__ import annotations

import os

from fastinit.backends import _native
from fastinit.backends.selection import ISA_VARIABLE
from fastinit.errors import BackendError
from fastinit.texts import QUOTED, printable, quoted

_refused: BackendError | None = None
"""What was wrong with FASTINIT_ISA; raised when the first value is wanted, not on import."""


def available() -> tuple[str, ...]:
    """The instruction sets that this build and this machine both have, best first."""
    return tuple(name for name, supported in _native.isas().items() if supported)


def active() -> str:
    """The one in force."""
    check()
    return _native.active_isa()


def select(name: str | None = None) -> str:
    """Put `name` in force, or the best one for None, and return its name.

    No bit of any value depends on it.

    Raises:
        BackendError: no such instruction set, or this machine lacks it.
    """
    if (name is not None and name not in _native.isas()) or not _native.select_isa(name):
        what = "does not exist here" if name not in _native.isas() else "is not in this machine"
        raise BackendError(
            f"instruction set {quoted(name)} {what}: choose from {', '.join(available())}"
        )
    global _refused
    _refused = None
    return active()


def check() -> None:
    """Raise the BackendError of a FASTINIT_ISA that cannot be."""
    if _refused is not None:
        raise _refused.with_traceback(None)  # or it would keep every frame that it passed before


def select_from_environment() -> None:
    """Put in force what FASTINIT_ISA names, or else the best one."""
    global _refused
    name = os.environ.get(ISA_VARIABLE) or None
    try:
        select(name)
    except BackendError as error:
        _refused = BackendError(f"{ISA_VARIABLE}={printable(name, QUOTED)}: {error}")


select_from_environment()
