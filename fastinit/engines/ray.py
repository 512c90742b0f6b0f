# SPDX-License-Identifier: MIT
"""The engine `ray`: tasks of a Ray cluster, one that is there or one of this machine alone."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any

from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.engines.base import ATTEMPTS, divided, imported, no_workers, relayed
from fastinit.errors import CheckpointError
from fastinit.machine import signals
from fastinit.machine.parallel import thread_count

_CANCEL_SECONDS = 30.0
_STORE = 2**27
"""Bytes for objects of a Ray that is started here: answers are short."""


@contextmanager
def start(*, workers: int | None, threads: int | None, address: str | None) -> Iterator[Engine]:
    """Ray as it runs already, or at an address, or else on this machine for one `with` block."""
    ray = imported("ray", "ray")
    there = ray.is_initialized() or address is not None or bool(os.environ.get("RAY_ADDRESS"))
    if there:
        no_workers("Ray", workers)
        threads = thread_count(threads) if threads else 1
        cpus = None
    else:
        workers, threads = divided(workers, threads)
        cpus = workers * threads
    ours = not ray.is_initialized()
    if ours:
        _begin(ray, address, cpus)
    try:
        _check_fits(ray, threads)
        if workers is None:
            workers = int(ray.cluster_resources().get("CPU", 1)) // threads
        yield RayEngine(ray, workers, threads)
    finally:
        if ours:
            with _signals_kept():
                ray.shutdown()


def _begin(ray: Any, address: str | None, cpus: int | None) -> None:
    """Connect to a cluster, or start one of this machine with so many CPUs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray warns of otherwise
    options: dict[str, Any] = {} if address is None else {"address": address}
    if cpus is not None:
        options = {"address": "local", "num_cpus": cpus, "object_store_memory": _STORE}
    try:
        with _signals_kept():
            ray.init(
                include_dashboard=False if cpus else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **options,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "start Ray here" if address is None else f"reach a Ray cluster at {address}"
        raise CheckpointError(f"cannot {where}: {error}") from error


def _check_fits(ray: Any, threads: int) -> None:
    """Raise if no machine has the CPUs of a task, which would wait for ever."""
    machines = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    if machines and threads > max(machines):
        raise ValueError(
            f"threads is {threads}, but the largest machine of the Ray cluster has "
            f"{max(machines):g} CPUs: pass fewer"
        )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Give signals back to who handled them: Ray takes SIGTERM, and the files would stay."""
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError):  # not in the main thread
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


class RayEngine(Engine):
    """Tasks of Ray, each of which takes a CPU per thread; Ray repeats those of dead workers."""

    name = "ray"

    def __init__(self, ray: Any, workers: int, threads: int) -> None:
        self.workers = max(1, workers)
        self.threads = threads
        self._ray = ray
        self._references: dict[Future[str], Any] = {}
        self._functions: dict[Callable[..., str], Any] = {}

    def submit(self, function: Callable[..., str], /, *arguments: Any) -> Future[str]:
        """Have Ray call the function."""
        if function not in self._functions:  # Ray keeps a copy of each that it is given
            self._functions[function] = self._ray.remote(function).options(
                num_cpus=self.threads, max_retries=ATTEMPTS - 1, scheduling_strategy="SPREAD"
            )
        reference = self._functions[function].remote(*arguments)
        future = relayed(reference.future(), self._explained)
        self._references[future] = reference
        future.add_done_callback(lambda done: self._references.pop(done, None))
        return future

    def _explained(self, error: BaseException) -> BaseException:
        """The error that a task raised, without Ray's frame, or an error of Ray in our words."""
        errors = self._ray.exceptions
        if isinstance(error, errors.RayTaskError):
            cause: BaseException | None = getattr(error, "cause", None)
            return cause or error
        if not isinstance(error, errors.RayError):
            return error
        return CheckpointError(
            f"Ray gave up a task ({type(error).__name__}): see that its machines stay up and have "
            "memory, and run the same command again to carry on"
        )

    def abandon(self, futures: Iterable[Future[str]]) -> None:
        """Cancel the tasks; Ray kills the processes of those that run."""
        futures = list(futures)
        for reference in list(map(self._references.get, futures)):
            if reference is not None:
                self._ray.cancel(reference, force=True)
        wait(futures, _CANCEL_SECONDS)
