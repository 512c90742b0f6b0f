# SPDX-License-Identifier: MIT
"""What several engines share: executors, defaults, and errors.  Starts nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib import import_module
from typing import Any

from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.machine.parallel import thread_count

ATTEMPTS = 4
"""How many workers a task may cost: a machine may be lost, but a task that ends every worker that
gets it, as by taking too much memory, must come to an end."""


class ExecutorEngine(Engine):
    """An engine of an executor whose workers are other processes.

    The executor stays its owner's: nothing here shuts it down.

    Args:
        executor: what has the tasks of `concurrent.futures`.
        workers: how many tasks it runs at the same time.
        threads: how many threads a task has, unless `write` says.
        name: what reports call it.
    """

    def __init__(
        self, executor: Executor, *, workers: int, threads: int = 1, name: str = "executor"
    ) -> None:
        self.executor = executor
        self.workers = workers
        self.threads = threads
        self.name = name

    def submit(self, function: Callable[..., str], /, *arguments: Any) -> Future[str]:
        """Hand the call on to the executor."""
        return self.executor.submit(function, *arguments)


def relayed(inner: Future[str], explained: Callable[[BaseException], BaseException]) -> Future[str]:
    """A future of the same result, or of its error as `explained` says it."""
    outer = Future[str]()

    def finish(done: Future[str]) -> None:
        if not outer.set_running_or_notify_cancel():
            return
        try:
            outer.set_result(done.result())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            outer.set_exception(explained(error))

    inner.add_done_callback(finish)
    outer.add_done_callback(lambda done: done.cancelled() and inner.cancel())
    return outer


def divided(workers: int | None, threads: int | None) -> tuple[int, int]:
    """Workers and threads of each, by default so many that every CPU of this machine has one."""
    cpus = thread_count()
    if workers is None:
        workers = max(1, cpus // thread_count(threads)) if threads else cpus
    return workers, thread_count(threads) if threads else max(1, cpus // workers)


def no_workers(engine: str, workers: int | None) -> None:
    """Raise if a cluster that is there already was to have another number of workers."""
    if workers is not None:
        raise ValueError(
            f"workers is {workers}, but the {engine} cluster is there already and has its own: "
            "leave workers out"
        )


def imported(package: str, engine: str) -> Any:
    """The library of an engine.

    Raises:
        ImportError: it is not installed; the message says how to get it.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise ImportError(
            f"the engine {engine} needs {error.name}, which is not installed: "
            f"pip install 'fastinit-weights[{engine}]'",
            name=error.name,
        ) from None
