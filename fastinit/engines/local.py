# SPDX-License-Identifier: MIT
"""The engine `local`: processes on this machine.  What such a process does is in worker.py.

A thread per worker hands it one task at a time.  So a worker that dies costs its task alone, which
goes to another process.  The processes are started anew, not forked: a fork of a process with
threads can hang, and `multiprocessing` would run the caller's script again.
"""

from __future__ import annotations

import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.engines.base import ATTEMPTS, divided
from fastinit.engines.worker import receive, send
from fastinit.errors import CheckpointError

_JOIN_SECONDS = 10.0


@contextmanager
def start(*, workers: int | None, threads: int | None, address: str | None) -> Iterator[Engine]:
    """Processes on this machine, for one `with` block."""
    engine = LocalEngine(*divided(workers, threads))
    try:
        yield engine
    finally:
        engine.stop()


class _Job(NamedTuple):
    """A task that waits for a worker, as its pickle."""

    call: bytes
    future: Future[str]


class LocalEngine(Engine):
    """Processes on this machine, each started when there is a task for it."""

    name = "local"

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.workers = workers
        self.threads = threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._crew: list[threading.Thread] = []
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._ending = False

    def submit(self, function: Callable[..., str], /, *arguments: Any) -> Future[str]:
        """Have the function called in a process."""
        future: Future[str] = Future()
        self._jobs.put(_Job(pickle.dumps((function, arguments)), future))
        if len(self._crew) < self.workers:
            helper = threading.Thread(target=self._employ, name="fastinit-engine", daemon=True)
            self._crew.append(helper)
            try:
                helper.start()
            except RuntimeError as error:  # a limit of threads
                self._crew.remove(helper)
                raise _unable(error) from error
        return future

    def abandon(self, futures: Iterable[Future[str]]) -> None:
        """Cancel the tasks, and kill the processes, which may be killed at any time."""
        self._ending = True
        running = [future for future in futures if not future.cancel()]
        self._kill()
        wait(running, _JOIN_SECONDS)
        self._ending = False

    def stop(self) -> None:
        """End the processes and the threads."""
        self._ending = True
        for _ in self._crew:
            self._jobs.put(None)
        self._kill()
        for helper in self._crew:
            helper.join(_JOIN_SECONDS)

    def _kill(self) -> None:
        for process in list(self._processes):
            process.kill()

    def _employ(self) -> None:
        """Give tasks to one process at a time, until `stop`."""
        process: subprocess.Popen[bytes] | None = None
        while job := self._jobs.get():
            if job.future.set_running_or_notify_cancel():
                try:
                    process = self._do(job, process)
                except BaseException as error:  # noqa: BLE001 - the caller gets it
                    job.future.set_exception(error)
                    process = None
        if process:
            self._end(process)

    def _do(
        self, job: _Job, process: subprocess.Popen[bytes] | None
    ) -> subprocess.Popen[bytes] | None:
        """Have a task done, by another process if one dies; returns the one that did it."""
        code = 0
        for _ in range(ATTEMPTS):
            if self._ending:
                break
            process = process or self._hired()
            try:
                send(process.stdin, job.call)  # type: ignore[arg-type] # it is a pipe
                result, error = pickle.loads(receive(process.stdout))  # type: ignore[arg-type]
            except (EOFError, OSError):
                code, process = self._end(process), None
                continue
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)
            return process
        job.future.set_exception(CheckpointError(_death(code)))
        return process

    def _hired(self) -> subprocess.Popen[bytes]:
        """A new process, which finds the modules that this one finds."""
        code = (
            f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}\n"
            "from fastinit.engines.worker import serve; serve()"
        )
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,  # Ctrl-C is for the coordinator, which ends the others
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # so on Windows
            )
        except OSError as error:
            raise _unable(error) from error
        self._processes.add(process)
        if self._ending:  # whoever killed the others did not see this one
            process.kill()
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Kill a process, if it lives, and return its exit code."""
        process.kill()
        with suppress(OSError):
            process.__exit__(None, None, None)  # closes the pipes, and waits
        self._processes.discard(process)
        return process.returncode


def _unable(error: Exception) -> CheckpointError:
    """What to say if the system refuses another process, or a thread that waits for one."""
    return CheckpointError(
        f"the engine local cannot start a worker: {getattr(error, 'strerror', None) or error}; "
        "pass fewer workers, or raise the limits of processes, files and memory (ulimit)"
    )


def _death(code: int) -> str:
    """What to say of a task that no worker survived."""
    how = f"with exit code {code}"
    if code < 0:
        with suppress(ValueError):
            how = f"by {signal.Signals(-code).name}"
    return (
        f"{ATTEMPTS} workers of the engine local ended during the same task, the last one {how}: "
        "if the machine has run out of memory, pass fewer workers or threads; then run the same "
        "command again to carry on"
    )
