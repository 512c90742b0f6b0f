# SPDX-License-Identifier: MIT
"""What `_machine.pyx` does, without an extension.  Only state.py imports this file.

The C library saves and restores the floating-point state (fegetenv and fesetenv, C11 7.6.4).

CPython runs the handlers of signals when a function begins, after a call and at the end of a loop's
body, at no other place.  So an order of steps can keep a handler from coming in between, as the
comments say.  Two guarantees are weaker than the extension's.  A signal during `import fastinit`
may leave the default state in force until the exception is dropped.  And `work_together` survives
two errors that come before it can note the first, not any number of them.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

R = TypeVar("R")

STATE_SIZE = 256
"""Bytes of room for C's fenv_t: 32 on x86-64, 8 on AArch64."""

DEFAULT_STATE = ctypes.c_void_p(-1)
"""FE_DFL_ENV of glibc and musl: round to nearest, keep denormals, mask exceptions."""

HAVE_STATE = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
"""On other machines the extension leaves the state alone, too; on macOS and Windows it does not."""


def _function(name: str) -> Callable[[Any], int]:
    """A function of the C library that takes a pointer to a state."""
    try:
        found = getattr(ctypes.CDLL(None), name)
    except AttributeError:  # Python itself does not need the library of mathematics
        found = getattr(ctypes.CDLL("libm.so.6"), name)
    found.argtypes, found.restype = [ctypes.c_void_p], ctypes.c_int
    return found  # type: ignore[no-any-return]


if HAVE_STATE:
    _save, _restore = _function("fegetenv"), _function("fesetenv")
else:

    def _save(state: Any) -> int:
        return 0

    _restore = _save


def in_default_floats(
    function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> R:
    """Call `function` in IEEE 754's default floating-point state.

    Saving changes nothing, and what changes the state is inside `try`; between that and the call in
    `finally` there is no place for a handler.
    """
    saved = ctypes.create_string_buffer(STATE_SIZE)
    _save(saved)
    try:
        _restore(DEFAULT_STATE)
        return function(*args, **kwargs)
    finally:
        _restore(saved)


class DefaultFloats:
    """IEEE 754's default floating-point state, from the making until `__exit__`."""

    def __init__(self) -> None:
        self._saved: Any = ctypes.create_string_buffer(STATE_SIZE)
        _save(self._saved)
        self._left = False
        _restore(DEFAULT_STATE)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if not getattr(self, "_left", True):
            _restore(self._saved)
            self._left = True

    def __del__(self) -> None:
        self.__exit__()


def holding(lock: threading.Lock, function: Callable[..., R], *args: Any) -> R:
    """Call `function` while `lock` is held.

    The methods of a lock are C's, and `with` has no place for a handler between the first of them
    and what ends in the second.
    """
    with lock:
        return function(*args)


def work_together(
    work: Callable[[], None],
    join: Callable[[], None],
    lock: threading.Lock,
    errors: list[BaseException],
    helping: list[threading.Lock],
) -> None:
    """Call `work`, wait until each lock in `helping` is free, and call `join` until it returns.

    Errors are raised by none of these: the first is put into `errors`, which ends the work of the
    helpers.  All but `work` may be done again, so an error, such as Ctrl-C, only begins it anew.

    Args:
        lock: held by a helper while it adds to `helping`, which it does not do once the work ended.
    """
    begun = False
    while True:
        try:
            while True:  # twice: a handler may come at the end of a loop's body
                try:
                    if not begun:
                        begun = True
                        work()
                    with lock:
                        pass
                    for ended in helping:
                        with ended:
                            pass
                    join()
                    return
                except BaseException as error:  # noqa: BLE001 - `errors` is looked at
                    errors += [error][: not errors]  # no call: there is no place for a handler
        except BaseException as error:  # noqa: BLE001 - as above
            errors += [error][: not errors]


def dependent_adds(count: int, step: int = 1) -> int:
    """`count` times `step`, by additions that each wait for the last: one clock cycle each.

    Raises:
        ImportError: it takes compiled code, which without an extension only Numba can make.
    """
    found: int = import_module("fastinit.numba.clock").dependent_adds(count, step)
    return found
