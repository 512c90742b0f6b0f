# SPDX-License-Identifier: MIT
"""Runs many short tasks on a few threads.  Nothing here depends on what the tasks do.

The tasks release the GIL for nearly all of their time, so plain threads are enough.  The threads
are started for one call and joined before it returns.  So nothing is left that a fork could break,
unlike after an OpenMP region or with a live executor.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Generic, TypeVar

from fastinit.integers import integer_of
from fastinit.machine import cpus, state
from fastinit.machine.floats import default_floats
from fastinit.texts import quoted

T = TypeVar("T")
THREADS_VARIABLE = "FASTINIT_THREADS"

MOST = 8192
"""Maximum number of threads: Linux supports no more CPUs, and each thread takes some memory."""

JOIN_SECONDS = 1.0
"""How long a thread that has done its work may take to end."""

_local = threading.local()  # .crew: the crew whose task this thread is running


class Stopped(Exception):  # noqa: N818 - it is not an error
    """Raised in a task by `stop_if_asked`; `run` raises the error that stopped the task."""


OVER = Stopped()
"""Replaces the errors of a crew whose `run` has ended."""


def stop_if_asked() -> None:
    """End a long task of `run` if another task has failed or Ctrl-C came; else do nothing."""
    crew = getattr(_local, "crew", None)
    if crew is not None and crew.errors and crew.errors[0] is not OVER:
        raise Stopped


def thread_count(threads: int | None = None) -> int:
    """How many threads to use: `threads`, else FASTINIT_THREADS, else the CPUs we may use.

    Raises:
        ValueError: the argument or the variable is not a whole number from 1 to MOST.

    >>> thread_count(3)
    3
    """
    if threads is None:
        return default_threads().number
    number = integer_of(threads)
    if number is None or number < 1:
        raise ValueError(f"threads is {quoted(threads)}: pass a whole number of 1 or more, or None")
    if number > MOST:
        raise ValueError(f"threads is over {MOST:,}: no machine has more CPUs; pass fewer, or None")
    return number


def default_threads() -> cpus.Cpus:
    """How many threads are used by default, and where the number comes from.

    Raises:
        ValueError: FASTINIT_THREADS is not a whole number from 1 to MOST.
    """
    text = os.environ.get(THREADS_VARIABLE, "")
    if not text:
        return cpus.usable()
    digits = text.lstrip("0") if text.isascii() and text.isdigit() else ""
    if not digits:
        raise ValueError(
            f"{THREADS_VARIABLE} is {quoted(text)}: set it to a whole number of 1 or more, or "
            "unset it to use every CPU this process may use"
        )
    if len(digits) > len(str(MOST)) or int(digits) > MOST:
        raise ValueError(
            f"{THREADS_VARIABLE} is over {MOST:,}: no machine has more CPUs; set it to fewer, or "
            "unset it"
        )
    return cpus.Cpus(int(digits), THREADS_VARIABLE)


def run(
    tasks: Iterable[T],
    work: Callable[[T], None],
    threads: int,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Call `work(task)` for each task, on the calling thread and up to `threads` - 1 helpers.

    Helpers are started one by one, as long as there are tasks and the system allows more threads.
    Each thread calls `prepare` before its first claim, to allocate its buffers; a helper that gets
    no memory ends.  So if threads or memory are limited, fewer threads do all the tasks.

    Tasks are claimed one by one, in order.  So when a task fails, every earlier task has been
    claimed, and is finished before this returns.  The first exception, which may be Ctrl-C in the
    caller, stops further claims and is raised here once the helpers have ended.
    """
    if threads > 1 and isinstance(tasks, Sized):
        threads = min(threads, len(tasks))
    if threads <= 1:
        prepare()
        for task in tasks:
            work(task)
        return
    _Crew(iter(tasks), work, prepare).run(threads - 1)


class _Crew(Generic[T]):
    """The threads of one `run`, what they share, and how they stop.

    Steps that a signal handler must not interrupt halfway are in state.py: holding the lock,
    storing an error, and waiting for the helpers, which use the caller's buffers and files.
    """

    def __init__(
        self, tasks: Iterator[T], work: Callable[[T], None], prepare: Callable[[], None]
    ) -> None:
        self.tasks = tasks
        self.work = work
        self.prepare = prepare
        self.lock = threading.Lock()
        self.finished = False
        self.errors: list[BaseException] = []
        self.helpers: list[threading.Thread] = []
        self.helping: list[threading.Lock] = []  # each held until its helper has ended

    @property
    def stopped(self) -> bool:
        """Whether no thread may claim another task: none is left, or something failed."""
        return self.finished or bool(self.errors)

    def run(self, helper_count: int) -> None:
        self.prepare()
        outer = getattr(_local, "crew", None)

        def work() -> None:
            self.recruit(helper_count)
            self.labour()

        state.work_together(work, self.join, self.lock, self.errors, self.helping)
        _local.crew = outer  # in case a signal kept `labour` from doing so
        if self.errors:
            try:
                raise self.errors[0]
            finally:
                # Otherwise the traceback and this object would keep each other alive.  The list is
                # not emptied: a helper whose start was interrupted may begin only now, and must
                # find the crew stopped.
                self.errors[:] = [OVER]

    def recruit(self, count: int) -> None:
        """Start up to `count` helpers, but no more once the crew has stopped."""
        for number in range(1, count + 1):
            if self.stopped:
                return
            try:
                ended, name = threading.Lock(), f"fastinit-{number}"
                ended.acquire()
                helper = threading.Thread(target=self.help, args=[ended], name=name, daemon=True)
                self.helpers.append(helper)  # before it starts: a start that is cut off may succeed
                helper.start()
            except (RuntimeError, MemoryError):  # a limit of threads or memory: do without it
                return

    def help(self, ended: threading.Lock) -> None:
        """Run a helper: announce it before its first claim, work, and announce its end."""
        try:
            self.prepare()
        except MemoryError:
            return
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            self.errors.append(error)
            return
        try:
            if state.holding(self.lock, self.announce, ended):
                self.labour()
        except BaseException as error:  # noqa: BLE001 - as above
            self.errors.append(error)
        finally:
            ended.release()

    def announce(self, ended: threading.Lock) -> bool:
        """Make the caller wait for a helper, unless the crew has stopped; needs the lock."""
        if self.stopped:
            return False
        self.helping.append(ended)
        return True

    @default_floats
    def labour(self) -> None:
        """Claim and do tasks until none is left or something fails."""
        outer, _local.crew = getattr(_local, "crew", None), self
        try:
            while claimed := state.holding(self.lock, self.claim):
                self.work(claimed[0])
        finally:
            _local.crew = outer

    def claim(self) -> tuple[T] | None:
        """The next task, or None if no thread may claim another; needs the lock."""
        if self.stopped:
            return None
        for task in self.tasks:
            return (task,)
        self.finished = True
        return None

    def join(self) -> None:
        """Wait for the threads of the helpers to end; they no longer touch anything.

        `Thread.join` alone is not enough: after Ctrl-C interrupts it, CPython up to 3.12 takes a
        thread that still runs for one that has ended, and after two interrupts within microseconds
        it keeps the lock that it waits for.  So the wait has a limit; by now a helper has nothing
        left to do.  A helper whose start was interrupted cannot be joined; it will find the crew
        stopped, or hang before it begins, and touch nothing.
        """
        for helper in self.helpers:
            with contextlib.suppress(RuntimeError):  # it has not started
                helper.join(JOIN_SECONDS)
