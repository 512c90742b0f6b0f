# SPDX-License-Identifier: MIT
"""The engine `mpi`: the processes of one MPI job, of which the first one coordinates.

Under `mpiexec -n N` every process makes the same call.  Rank 0 makes it really; the others work for
it, and then return or raise what it did.  Without mpiexec, MPI is asked to start the workers.
"""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.engines.base import imported
from fastinit.machine import signals
from fastinit.machine.parallel import thread_count

R = TypeVar("R")


@contextmanager
def start(*, workers: int | None, threads: int | None, address: str | None) -> Iterator[Engine]:
    """The processes of this job, or new ones, for one `with` block."""
    communicator = _world()
    futures = imported("mpi4py.futures", "mpi")
    count = thread_count(threads) if threads else 1
    if communicator.Get_size() > 1:
        if workers is not None:
            raise ValueError(
                f"workers is {workers}, but mpiexec has started {communicator.Get_size()} "
                "processes, of which one coordinates: leave workers out"
            )
        yield JobEngine(futures, communicator, count)
        return
    if workers is None:
        raise ValueError(
            "the engine mpi has one process: run the same command under mpiexec -n N, or pass "
            "workers (--workers) to have MPI start them"
        )
    with futures.MPIPoolExecutor(max_workers=workers) as pool:
        yield _SpawnedEngine(pool, workers, count)


def _world() -> Any:
    try:
        return imported("mpi4py.MPI", "mpi").COMM_WORLD
    except RuntimeError as error:
        raise ImportError(
            f"mpi4py finds no MPI library ({str(error).splitlines()[0]}): load the module of your "
            "cluster, or pip install mpich",
            name="mpi4py",
        ) from error


class _Outcome:
    """What a call returned or raised, so that it can be sent to the other processes."""

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self.result = result
        self.error = error

    @classmethod
    def of(cls, call: Callable[[], Any]) -> _Outcome:
        """Make a call."""
        try:
            return cls(call())
        except BaseException as error:  # noqa: BLE001 - raised in every process
            return cls(error=error)

    def pickled(self) -> bytes:
        """It for another process: an error that cannot be pickled becomes its text.

        What ends rank 0, such as a signal, ends the others with the same exit code.
        """
        if isinstance(self.error, SystemExit):
            return pickle.dumps(_Outcome(error=SystemExit(self.error.code)))
        try:
            data = pickle.dumps(self)
            pickle.loads(data)
        except Exception:  # noqa: BLE001 - whatever its class does
            error = RuntimeError(f"{type(self.error).__name__}: {self.error}")
            return pickle.dumps(_Outcome(error=error))
        return data

    def get(self) -> Any:
        """Return or raise it."""
        if self.error is not None:
            raise self.error
        return self.result


class _MpiEngine(Engine):
    """Tasks of an executor of mpi4py."""

    name = "mpi"
    executor: Executor

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self.threads = threads

    def submit(self, function: Callable[..., str], /, *arguments: Any) -> Future[str]:
        """Have a process call the function."""
        return self.executor.submit(function, *arguments)


class _SpawnedEngine(_MpiEngine):
    """Processes that MPI started for us."""

    def __init__(self, pool: Executor, workers: int, threads: int) -> None:
        super().__init__(workers, threads)
        self.executor = pool


class JobEngine(_MpiEngine):
    """The processes of a job: all of them lead the same call, which rank 0 makes."""

    def __init__(self, futures: Any, communicator: Any, threads: int) -> None:
        super().__init__(communicator.Get_size() - 1, threads)
        self._futures = futures
        self._communicator = communicator
        self._leading = False
        self.leads = communicator.Get_rank() == 0

    def lead(self, call: Callable[[], R]) -> R:
        """Make the call on rank 0; work for it on the others.  All return or raise the same."""
        if self._leading:
            return call()
        self._leading = True
        try:
            return self._led(call) if self.leads else self._followed()
        finally:
            self._leading = False

    def _led(self, call: Callable[[], R]) -> R:
        with self._futures.MPICommExecutor(self._communicator, root=0) as executor:
            self.executor = executor
            outcome = _Outcome.of(call)
        self._communicator.bcast(outcome.pickled(), root=0)
        result: R = outcome.get()
        return result

    def _followed(self) -> Any:
        with _signals_ignored(), self._futures.MPICommExecutor(self._communicator, root=0):
            pass  # it ends when rank 0 has all it wants
        outcome: _Outcome = pickle.loads(self._communicator.bcast(None, root=0))
        return outcome.get()


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Leave signals to rank 0, which gets them as well and ends the others."""
    with ExitStack() as stack:
        for number in signals.ENDING:
            with suppress(ValueError):  # not in the main thread
                stack.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        yield
