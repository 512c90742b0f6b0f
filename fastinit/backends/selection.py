# SPDX-License-Identifier: MIT
"""Which backend computes: the native one, numba where C is missing, or FASTINIT_BACKEND's."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Any

from fastinit.backends.base import Backend
from fastinit.errors import BackendError, BackendWarning
from fastinit.machine.state import in_default_floats
from fastinit.texts import QUOTED, printable, quoted

BACKEND_VARIABLE = "FASTINIT_BACKEND"

ISA_VARIABLE = "FASTINIT_ISA"
"""What `instruction_sets` looks at, for the native backend alone."""

BACKENDS = {"native": "fastinit.backends.native", "numba": "fastinit.numba.backend"}
"""Every backend, best first, and its module, which is imported when it is selected.

A backend that needs a framework lies in the framework's room, so it is known by text alone.
"""

NOT_BUILT = "this package was built without the C extensions"

_active: Backend | BackendError | None = None
"""The backend in force; None until the first value is wanted of another than the native one; or
what was wrong with FASTINIT_BACKEND: an error that is raised then, not on import."""

_name, _reason = "native", ""
"""What is to be in force, and why."""

NOTICE = (
    f"{NOT_BUILT}, so the backend numba draws the same values more slowly; install it with a C "
    "compiler and without FASTINIT_NO_NATIVE, or set FASTINIT_BACKEND=numba to omit this notice"
)

_notices = iter([NOTICE])
"""What is still to be said; an iterator, because only one thread can take from it."""


def is_built() -> bool:
    """Whether this package has the kernels in C; start.py has loaded them then."""
    return "fastinit.backends._native" in sys.modules


def active() -> Backend:
    """The backend in force.

    Warns:
        BackendWarning: it is not native because that was not built; once per process.

    Raises:
        BackendError: FASTINIT_BACKEND, or a setting of that backend, cannot be; or there is none.
    """
    chosen = _active or _first()
    if isinstance(chosen, BackendError):
        raise chosen.with_traceback(None)  # or it would keep every frame that it passed before
    chosen.check()
    return chosen


def _first() -> Backend | BackendError:
    """Import the backend that is wanted, and put it in force."""
    global _active
    try:
        _active = _imported(_name)
    except BackendError as error:
        _active = _refused(error)
        return _active
    if _reason == NOT_BUILT:
        for notice in _notices:
            warnings.warn(notice, BackendWarning, stacklevel=3)
    return _active


def _refused(error: BackendError) -> BackendError:
    """The error of a backend that was not selected by a call."""
    if _reason == NOT_BUILT:
        return BackendError(
            f"no backend can draw values: {NOT_BUILT}, and {error.__cause__}; or install it with a "
            "C compiler and without FASTINIT_NO_NATIVE"
        )
    name = os.environ.get(BACKEND_VARIABLE, "")
    return BackendError(f"{BACKEND_VARIABLE}={printable(name, QUOTED)}: {error}")


def _imported(name: str) -> Backend:
    if name == "cuda":
        raise BackendError(
            "backend 'cuda' is not selected: memory of a CUDA device finds its kernels by itself "
            f"(see FASTINIT_CUDA), and for other memory there are {', '.join(BACKENDS)}"
        )
    if name not in BACKENDS:
        raise BackendError(
            f"backend {quoted(name)} does not exist: choose from {', '.join(BACKENDS)}"
        )
    if name == "native" and not is_built():
        raise BackendError(
            f"backend 'native' cannot be used: {NOT_BUILT}: install it with a C compiler and "
            f"without FASTINIT_NO_NATIVE, or unset {BACKEND_VARIABLE}"
        )
    try:
        # Python may compile source files now, and read the numbers in them.
        found: Backend = in_default_floats(import_module, (BACKENDS[name],), {}).BACKEND
    except ImportError as error:
        raise BackendError(f"backend {quoted(name)} cannot be used: {error}") from error
    return found


def select(name: str | None = None) -> Backend:
    """Put the backend `name` in force, or the best one for None, and return it.

    No bit of any value depends on it.

    Raises:
        BackendError: there is no such backend, or what it needs is not installed.
    """
    global _active, _name, _reason
    chosen = name or _best()
    _active = found = _imported(chosen)
    _name, _reason = chosen, "selected by the program" if name else "the best one here"
    return found


def _best() -> str:
    return "native" if is_built() else "numba"


def select_from_environment() -> None:
    """Choose what FASTINIT_BACKEND names, or else the best one; only the native one at once."""
    global _active, _name, _reason
    forced = os.environ.get(BACKEND_VARIABLE) or None
    _active, _name = None, forced or _best()
    _reason = BACKEND_VARIABLE if forced else "the best one here" if is_built() else NOT_BUILT
    if _name == "native" or _name not in BACKENDS:
        _first()


def summary() -> dict[str, Any]:
    """The name of the backend in force, why it is, and what its code is made for.

    Raises:
        BackendError: as for `active`, but not if there is no backend, which then is the summary.
    """
    try:
        chosen = active()
    except BackendError as error:
        if _reason != NOT_BUILT:
            raise
        return {"backend": "none", "backend from": str(error)}
    found = {"backend": chosen.name, "backend from": _reason, **chosen.details()}
    isa = os.environ.get(ISA_VARIABLE)
    if isa and chosen.name != "native":
        remark = f"{printable(isa, QUOTED)} has no effect: only the backend native looks at it"
        found[ISA_VARIABLE] = remark
    return found
