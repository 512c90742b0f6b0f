# SPDX-License-Identifier: MIT
"""What a call takes beside time: CPU seconds and memory, by a process of its own."""

from __future__ import annotations

import os
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Usage:
    """Seconds by the clock, CPU seconds in the program and in the system, and peak MiB."""

    seconds: float
    user: float
    system: float
    peak: float

    @classmethod
    def median(cls, found: Sequence[Usage]) -> Usage:
        """Each figure's median."""
        names = [field.name for field in fields(cls)]
        return cls(*(statistics.median(getattr(one, name) for one in found) for name in names))


def in_a_child(call: Callable[[], object]) -> Usage:
    """Call it in a forked process; the peak counts what this process already had.

    Raises:
        ChildProcessError: the call failed, as its traceback on stderr says.
    """
    begin = time.perf_counter()
    child = os.fork()
    if child == 0:
        _call_and_exit(call)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise ChildProcessError("the call that was to be measured failed")
    return Usage(seconds, used.ru_utime, used.ru_stime, used.ru_maxrss / 1024)


def _call_and_exit(call: Callable[[], object]) -> None:
    """The life of the child: no exception may get out, or two processes would go on."""
    code = 1
    try:
        call()
        code = 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        os._exit(code)
