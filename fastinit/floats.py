# SPDX-License-Identifier: MIT
"""The floating-point state of the calling thread, as IEEE 754 has it by default.

Another library may have told the processor to flush denormals to zero or to round another way.
The kernels undo that for themselves; whatever computes, reads or writes a scale in Python does it
with this.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fastinit import _native

P = ParamSpec("P")
R = TypeVar("R")


def default_floats(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` to nearest, with denormals, and then put back what was set."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        saved = _native.float_enter()
        try:
            return function(*args, **kwargs)
        finally:
            _native.float_leave(saved)

    return run
