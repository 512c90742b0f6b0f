# SPDX-License-Identifier: MIT
"""Running many short tasks on a few threads.  What the tasks do is no concern of this file.

The tasks release the GIL for nearly all of their time, so plain threads are enough.  They are
started for one call and joined before it returns: nothing is left that a fork could break, which
an OpenMP region or a living executor would leave.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Generic, SupportsIndex, TypeVar

T = TypeVar("T")
VARIABLE = "FASTINIT_THREADS"

_local = threading.local()  # .crew: whose task this thread is doing


class Stopped(Exception):  # noqa: N818 - it is none
    """Raised in a task by `stop_if_asked`; `run` raises the error that it is stopped for."""


def stop_if_asked() -> None:
    """End a long task of `run` soon after another failed or Ctrl-C came; else do nothing."""
    crew = getattr(_local, "crew", None)
    if crew is not None and crew.error is not None:
        raise Stopped


def thread_count(threads: int | None = None) -> int:
    """How many threads to use: `threads`, else FASTINIT_THREADS, else the CPUs we may use.

    Raises:
        ValueError: the argument or the variable is not a whole number of 1 or more.

    >>> thread_count(3)
    3
    """
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, SupportsIndex) or threads < 1:
            raise ValueError(f"threads is {threads!r}: pass a whole number of 1 or more, or None")
        return operator.index(threads)
    text = os.environ.get(VARIABLE, "")
    if text:
        if not (text.isascii() and text.isdigit() and int(text) >= 1):
            raise ValueError(
                f"{VARIABLE} is {text!r}: set it to a whole number of 1 or more, or unset it "
                "to use every CPU this process may use"
            )
        return int(text)
    if hasattr(os, "sched_getaffinity"):  # what taskset and cpusets allow; not a quota of time
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(tasks: Iterable[T], work: Callable[[T], None], threads: int) -> None:
    """Call `work(task)` for each task, on the calling thread and up to `threads` - 1 helpers.

    Tasks are claimed one by one, in order, so when a task fails every earlier one has been
    claimed and is finished before this returns.  The first exception, Ctrl-C in the caller
    included, stops further claims and is raised here once the helpers have ended.
    """
    if threads > 1 and isinstance(tasks, Sized):
        threads = min(threads, len(tasks))
    if threads <= 1:
        for task in tasks:
            work(task)
        return
    _Crew(iter(tasks), work).run(threads - 1)


class _Crew(Generic[T]):
    """The threads of one `run`, what they share, and how they stop."""

    def __init__(self, tasks: Iterator[T], work: Callable[[T], None]) -> None:
        self.tasks = tasks
        self.work = work
        self.lock = threading.Lock()
        self.stopped = False
        self.error: BaseException | None = None
        self.helping: list[threading.Event] = []

    def run(self, helper_count: int) -> None:
        helpers = [
            threading.Thread(target=self.help, name=f"fastinit-{number}", daemon=True)
            for number in range(1, helper_count + 1)
        ]
        try:
            for helper in helpers:
                if self.stopped:  # the tasks ran out while helpers were being started
                    break
                helper.start()
            self.labour()
            self.wait(helpers)
        except BaseException as error:  # noqa: BLE001 - kept and raised below
            self.stop(error)
            self.wait(helpers)
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # or the traceback and this object would hold each other

    def help(self) -> None:
        """The life of a helper: announced before its first claim, and its end announced too."""
        ended = threading.Event()
        with self.lock:
            if self.stopped:
                return
            self.helping.append(ended)
        try:
            self.labour()
        finally:
            ended.set()

    def labour(self) -> None:
        """Claim and do tasks until there are none, or until something failed."""
        outer, _local.crew = getattr(_local, "crew", None), self
        try:
            while self.step():
                pass
        except BaseException as error:  # noqa: BLE001 - a helper has nobody else to tell
            self.stop(error)
        finally:
            _local.crew = outer

    def step(self) -> bool:
        with self.lock:
            if self.stopped:
                return False
            try:
                task = next(self.tasks)
            except StopIteration:
                self.stopped = True
                return False
        self.work(task)
        return True

    def stop(self, error: BaseException) -> None:
        """Let nobody claim another task; the first error is the one to raise."""
        self.stopped = True
        if self.error is None:
            self.error = error

    def wait(self, helpers: list[threading.Thread]) -> None:
        """Wait for every helper, whatever signals arrive: they use the caller's buffers and files.

        `Thread.join` alone cannot tell: interrupted by Ctrl-C, CPython up to 3.12 takes a thread
        that still runs for ended.  So the events decide, and joining only tidies up.  A helper
        whose start was interrupted has no `ident`; it will find `stopped` set and touch nothing.
        """
        while True:
            try:
                with self.lock:
                    helping = list(self.helping)
                for ended in helping:
                    ended.wait()
                for helper in helpers:
                    if helper.ident is not None:
                        helper.join()
            except KeyboardInterrupt as error:
                self.stop(error)
            else:
                return
