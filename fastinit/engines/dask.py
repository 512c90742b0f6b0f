# SPDX-License-Identifier: MIT
"""The engine `dask`: tasks of dask.distributed, on a cluster that is there or on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.engines.base import divided, imported, no_workers, relayed
from fastinit.errors import CheckpointError
from fastinit.machine.parallel import thread_count


@contextmanager
def start(*, workers: int | None, threads: int | None, address: str | None) -> Iterator[Engine]:
    """The cluster at an address, or processes of this machine, for one `with` block."""
    distributed = imported("distributed", "dask")
    if address is not None:
        no_workers("Dask", workers)
        with _connected(distributed, address) as client:
            yield DaskEngine(client, thread_count(threads) if threads else 1)
        return
    workers, threads = divided(workers, threads)
    options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1}
    options |= {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    options["scheduler_kwargs"] = {"dashboard_address": ":0"}  # another cluster may have the port
    with (
        _begun(distributed, options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield DaskEngine(client, threads, workers)


def _begun(distributed: Any, options: dict[str, Any]) -> Any:
    """A scheduler and workers on this machine."""
    try:
        return distributed.LocalCluster(**options)
    except (OSError, RuntimeError) as error:  # such as a worker that is killed while it starts
        raise CheckpointError(f"cannot start Dask here: {error}") from error


def wrap(client: Any) -> Engine:
    """The engine of a client that is connected; it stays open."""
    if not hasattr(client, "get_executor"):
        raise TypeError(f"engine is a {type(client).__name__}: pass a distributed.Client")
    return DaskEngine(client, 1)


def _connected(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot reach a Dask scheduler at {address}: {error}; start one there (dask "
            "scheduler), or leave the address out for processes on this machine"
        ) from error


class DaskEngine(Engine):
    """Tasks of a client; Dask repeats those of dead workers, as its `allowed-failures` says."""

    name = "dask"

    def __init__(self, client: Any, threads: int, workers: int | None = None) -> None:
        self.threads = threads
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._workers = workers

    @property
    def workers(self) -> int:  # type: ignore[override] # a cluster may grow
        """How many tasks run at the same time: Dask has one for each thread of its workers."""
        return self._workers or max(1, sum(self._client.nthreads().values()))

    def submit(self, function: Callable[..., str], /, *arguments: Any) -> Future[str]:
        """Have a worker call the function."""
        return relayed(self._executor.submit(function, *arguments), _explained)


def _explained(error: BaseException) -> BaseException:
    """An error of Dask itself in our words; any other is the task's."""
    if type(error).__name__ not in ("KilledWorker", "CancelledError", "FutureCancelledError"):
        return error
    return CheckpointError(
        f"Dask gave up a task ({type(error).__name__}): see that its machines stay up and have "
        "memory, and run the same command again to carry on"
    )
