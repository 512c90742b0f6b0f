# SPDX-License-Identifier: MIT
"""Which signals end a program, and what may be done around a fork, on systems that have them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals by which users, systems and terminals end programs; Windows has no SIGHUP."""


def around_forks(before: Callable[[], object], after: Callable[[], object]) -> None:
    """Call `before` ahead of every later fork of this process, and `after` on both sides of it."""
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
