# SPDX-License-Identifier: MIT
"""Calls functions that block in such a way that Ctrl-C and a failed task end the wait.

What the functions do is not known here.  obstore does not return before the network does, whatever
signal arrives.  So other threads call it, and who wants the result waits for a lock, as Python lets
a signal handler run meanwhile.  (Its coroutines would do, too, but a process that ends right after
one of them may abort: the thread that delivered the result still wants the interpreter.)
"""

from __future__ import annotations

import _thread
import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from fastinit.machine.parallel import stop_if_asked

T = TypeVar("T")
LOOK_SECONDS = 0.05
"""How often a wait looks whether another task has failed."""


def begin(function: Callable[[], T]) -> Pending[T]:
    """Let a new thread call `function`, and do not wait for it; call it here if there is none.

    Nothing can be left of such a thread: it ends when the function does.  `Thread.start` would wait
    for the thread to begin, and after Ctrl-C in that wait neither may know of the other.
    """
    pending = Pending(function)
    try:
        _thread.start_new_thread(pending.run, ())
    except (RuntimeError, MemoryError):  # a limit of threads or memory
        pending.run()
    return pending


def wait(function: Callable[[], T]) -> T:
    """What `function` returns, called by a new thread."""
    return begin(function).wait()


class Pending(Generic[T]):
    """What a function will return that a thread calls."""

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.results: list[T] = []
        self.error: BaseException | None = None
        self.ended = threading.Lock()
        self.ended.acquire()

    def run(self) -> None:
        """Call the function, and end every wait."""
        try:
            self.results.append(self.function())
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            self.error = error
        self.ended.release()

    def wait(self, seconds: float = math.inf) -> T:
        """What it returned; raises what it raised.

        Raises:
            TimeoutError: it has not ended within so many seconds.
            Stopped: another task of `parallel.run` has failed.
        """
        end = time.monotonic() + seconds
        while not self.ended.acquire(timeout=LOOK_SECONDS):
            stop_if_asked()
            if time.monotonic() > end:
                raise TimeoutError
        self.ended.release()
        if self.error is not None:
            raise self.error
        return self.results[0]
