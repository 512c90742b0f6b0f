# SPDX-License-Identifier: MIT
"""What an engine is: whoever runs tasks elsewhere, again if need be.  Runs none itself.

The engines that fastinit comes with are in the room above, and known here by their names alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, SupportsIndex, TypeVar

from fastinit.integers import integer_of
from fastinit.machine.parallel import thread_count
from fastinit.texts import home, quoted

R = TypeVar("R")

ENGINES = {
    "local": "fastinit.engines.local",
    "ray": "fastinit.engines.ray",
    "dask": "fastinit.engines.dask",
    "mpi": "fastinit.engines.mpi",
}
"""Name -> the module whose `start` starts the engine."""

CLIENTS = {"distributed": "fastinit.engines.dask"}
"""Package -> the module whose `wrap` makes an engine of an object of that package."""

ADDRESSED = ("ray", "dask")
"""The engines of clusters, which have an address."""

MOST_WORKERS = 2**16


class Engine(ABC):
    """Runs tasks on other processes or machines.

    A task is a call of a function with arguments, all of which can be pickled.  It may run any
    number of times, on any machine that sees the folder: running it again changes nothing.  So an
    engine starts it again when the worker that had it dies.
    """

    name: str = "custom"
    """What reports and messages call it."""

    workers: int
    """How many tasks run at the same time."""

    threads: int = 1
    """How many threads a task has, unless the caller says."""

    leads: bool = True
    """Whether this process makes the call, and not another that runs the same program."""

    @abstractmethod
    def submit(self, function: Callable[..., str], /, *arguments: Any) -> Future[str]:
        """Have the function called somewhere; an exception that it raises is the future's."""

    def abandon(self, futures: Iterable[Future[str]]) -> None:
        """Cancel tasks whose results nobody wants; by default, wait for those that run."""
        running = [future for future in futures if not future.cancel()]
        wait(running)

    def lead(self, call: Callable[[], R]) -> R:
        """Make the call that submits tasks.  An engine that many processes start makes it once."""
        return call()


class Start(Protocol):
    """How a module starts its engine, for one `with` block.

    `threads` is what the caller gives, or None.
    """

    def __call__(
        self, *, workers: int | None, threads: int | None, address: str | None
    ) -> AbstractContextManager[Engine]:
        """Check the arguments, and start it."""


def check(
    engine: object,
    target: object,
    workers: SupportsIndex | None,
    threads: int | None,
    address: str | None,
) -> int | None:
    """The number of workers, if these arguments go together: before anything is started.

    Raises:
        TypeError: an engine that is not one, or an address that is no text.
        ValueError: an unknown name, or an argument that the engine does not take.
    """
    if engine is None or isinstance(engine, str):
        _check_name(engine, workers, address)
    else:
        _check_object(engine, workers, address)
    if engine is not None and not isinstance(target, Path):
        raise ValueError(
            f"engine is {quoted(engine)}, and {quoted(str(target))} is not a folder: workers share "
            "files, which object stores do not have; leave engine out, or write into a folder"
        )
    if threads is not None:
        thread_count(threads)
    return None if workers is None else _worker_count(workers)


def _check_name(engine: str | None, workers: object, address: object) -> None:
    if engine is None:
        for name, value in (("workers", workers), ("address", address)):
            if value is not None:
                raise ValueError(
                    f"{name} is {quoted(value)}, but there is no engine that takes it: pass engine "
                    f"(--engine), one of {', '.join(ENGINES)}"
                )
    elif engine not in ENGINES:
        raise ValueError(f"engine is {quoted(engine)}: choose from {', '.join(ENGINES)}")
    elif address is not None:
        _check_address(engine, address)


def _check_address(engine: str, address: object) -> None:
    if engine not in ADDRESSED:
        raise ValueError(
            f"address is {quoted(address)}, but the engine {engine} takes none: leave it out, or "
            f"choose the engine {' or '.join(ADDRESSED)}"
        )
    if not isinstance(address, str):
        raise TypeError(f"address is {quoted(address)}: need the text that the cluster gives")
    if not address:
        raise ValueError("address is '': it is empty; leave it out for workers on this machine")


def _check_object(engine: object, workers: object, address: object) -> None:
    if not (isinstance(engine, Engine) or home(engine) in CLIENTS):
        raise TypeError(
            f"engine is {quoted(engine)}: need {', '.join(map(repr, ENGINES))}, a "
            "fastinit.engines.Engine or a distributed.Client"
        )
    for name, value in (("workers", workers), ("address", address)):
        if value is not None:
            raise ValueError(
                f"{name} is {quoted(value)}, but the engine runs already: leave {name} out"
            )


def _worker_count(workers: SupportsIndex) -> int:
    number = integer_of(workers)
    if number is None or not 1 <= number <= MOST_WORKERS:
        raise ValueError(
            f"workers is {quoted(workers)}: pass a whole number from 1 to {MOST_WORKERS:,}, or None"
        )
    return number


@contextmanager
def started(
    engine: Any, workers: int | None, threads: int | None, address: str | None
) -> Iterator[Engine | None]:
    """The engine that checked arguments ask for; what is started here is stopped here."""
    if engine is None or isinstance(engine, Engine):
        yield engine
    elif isinstance(engine, str):
        start: Start = import_module(ENGINES[engine]).start
        with start(workers=workers, threads=threads, address=address) as running:
            yield running
    else:
        wrapped: Engine = import_module(CLIENTS[home(engine)]).wrap(engine)
        yield wrapped
