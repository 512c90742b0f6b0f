# SPDX-License-Identifier: MIT
"""A fork waits until no thread compiles.  What is compiled is not known here.

Numba compiles under one lock.  A child that is forked while another thread holds it inherits a lock
that nobody will release, and hangs at its first compilation.  So the thread that forks takes the
lock first.  It waits for the function that is being compiled, seconds at most; children started
by `subprocess` and by multiprocessing's "spawn" do not fork in this sense, and wait for nothing.

LLVM has another such lock, which a thread also takes to read compiled code or to give it back, as
when a function is collected as garbage.  It is taken second, as compiling takes it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock

from fastinit.machine.signals import around_forks


@cache
def guard() -> None:
    """Let every later fork of this process wait; calling it again changes nothing."""
    llvm: AbstractContextManager[Any] = getattr(ffi.lib, "_lock", nullcontext())

    def take() -> None:
        global_compiler_lock.acquire()
        llvm.__enter__()

    def give_back() -> None:
        llvm.__exit__(None, None, None)
        global_compiler_lock.release()

    around_forks(take, give_back)
