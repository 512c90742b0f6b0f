# SPDX-License-Identifier: MIT
"""The floating-point state, locks that signals leave in order, and a clock: whose code does it.

It is the extension's where that was built, and else that of state_in_python.py, which says what is
then less certain.  start.py has seen by then which of the two this package was built with.
"""

from __future__ import annotations

try:
    from fastinit.machine._machine import (
        DefaultFloats,
        dependent_adds,
        holding,
        in_default_floats,
        work_together,
    )
except ModuleNotFoundError as error:
    if error.name != "fastinit.machine._machine":
        raise
    from fastinit.machine.state_in_python import (  # type: ignore[assignment]
        DefaultFloats,
        dependent_adds,
        holding,
        in_default_floats,
        work_together,
    )

__all__ = ["DefaultFloats", "dependent_adds", "holding", "in_default_floats", "work_together"]
