# SPDX-License-Identifier: MIT
"""What another library can set in a process: a function for each setting.  No test.

It does not import fastinit, so a setting can be made before that is.
"""

from __future__ import annotations

import contextlib
import ctypes
import decimal
import locale
import platform
import sys
import warnings
from collections.abc import Callable

import numpy as np

ENVIRONMENT = 32  # bytes of fenv_t on x86-64 (glibc: x87's, then MXCSR); 8 on aarch64


def _environment() -> ctypes.Array[ctypes.c_ubyte]:
    found = (ctypes.c_ubyte * ENVIRONMENT)()
    ctypes.CDLL("libm.so.6").fegetenv(found)
    return found


def floating_point(*, rounding: int = 0, flush: bool = False, x87: int = 0x37F, unmasked: int = 0):
    """Set the control words of this thread: `rounding` 0 to 3 as both units count, Intel's order.

    `flush` is flush-to-zero and denormals-are-zero; `unmasked` are exceptions that raise SIGFPE.
    """
    found = _environment()
    if platform.machine() == "x86_64":
        csr = 0x1F80 & ~(unmasked << 7) | rounding << 13 | (0x8040 if flush else 0)
        found[28:32] = csr.to_bytes(4, "little")
        found[0:2] = ((x87 & ~unmasked) | rounding << 10).to_bytes(2, "little")
    else:
        order = {0: 0, 1: 2, 2: 1, 3: 3}  # nearest, down, up, to zero
        found[0:4] = (order[rounding] << 22 | (1 << 24 if flush else 0)).to_bytes(4, "little")
    ctypes.CDLL("libm.so.6").fesetenv(found)


def state() -> tuple[int, ...]:
    """The control words in force, without the sticky flags."""
    found = bytes(_environment())
    if platform.machine() == "x86_64":
        return int.from_bytes(found[28:32], "little") & 0xFFC0, int.from_bytes(found[:2], "little")
    return (int.from_bytes(found[:4], "little"),)


def hostile_decimal() -> None:
    """Few digits, narrow exponents, another rounding, and every signal an exception."""
    for context in (decimal.DefaultContext, decimal.getcontext()):
        context.prec, context.rounding = 3, decimal.ROUND_UP
        context.Emax, context.Emin, context.capitals, context.clamp = 5, -5, 0, 1
        for signal in context.traps:
            context.traps[signal] = True


def numpy_calls() -> None:
    def refuse(kind: str, flag: int) -> None:
        raise AssertionError(f"NumPy called for {kind}")

    np.seterrcall(refuse)
    np.seterr(all="call")


def comma_locale() -> None:
    """A locale with a decimal comma, if this machine has one."""
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "ru_RU.UTF-8"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            return


def talkative() -> None:
    """Whatever changes how numbers are read and shown, and what is said about them."""
    np.set_printoptions(legacy="1.13", precision=1)
    warnings.simplefilter("error")
    comma_locale()
    sys.set_int_max_str_digits(640)


SETTINGS: dict[str, Callable[[], object]] = {
    "undisturbed": lambda: None,
    "round down": lambda: floating_point(rounding=1),
    "round up": lambda: floating_point(rounding=2),
    "round to zero": lambda: floating_point(rounding=3),
    "flush denormals": lambda: floating_point(flush=True),
    "round up and flush": lambda: floating_point(rounding=2, flush=True),
    "x87 in single precision, up": lambda: floating_point(x87=0x87F),
    "overflow is a signal": lambda: floating_point(unmasked=0b1101),
    "numpy raises": lambda: np.seterr(all="raise"),
    "numpy calls": numpy_calls,
    "decimal with few digits": hostile_decimal,
    "other texts, warnings are errors": talkative,
}
