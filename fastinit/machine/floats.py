# SPDX-License-Identifier: MIT
"""Arithmetic that no setting of another library changes.  It computes no values itself.

Another library may have told the processor to flush denormals to zero or to round another way,
NumPy to raise an error at an underflow, `decimal` to keep three digits.  The kernels set their own
state; every public function that computes, compares, reads or writes a scale in Python runs with
`default_floats`, and `decimal` works in a context of `exact_decimals`.
"""

from __future__ import annotations

import contextvars
import decimal
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from fastinit.machine.state import in_default_floats

P = ParamSpec("P")
R = TypeVar("R")


def default_floats(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` with rounding to nearest, denormals and a silent NumPy; then restore all.

    No line here restores anything, because a signal's handler could prevent it: `in_default_floats`
    restores the processor's state, and NumPy's ends with the context that it is a variable of.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        inside = contextvars.copy_context()
        value: R = in_default_floats(inside.run, (_silenced, function, args, kwargs), {})
        return value

    return run


def _silenced(function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    np.seterr(all="ignore")
    return function(*args, **kwargs)


def exact_decimals(digits: int) -> decimal.Context:
    """A context of `digits` digits and the widest exponents, whatever `DefaultContext` is."""
    return decimal.Context(
        prec=digits,
        rounding=decimal.ROUND_HALF_EVEN,
        Emin=decimal.MIN_EMIN,
        Emax=decimal.MAX_EMAX,
        capitals=1,
        clamp=0,
        flags=[],
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )
