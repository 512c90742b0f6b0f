# SPDX-License-Identifier: MIT
"""How a row is timed: its yardsticks run before and after every round.

`track.py` gives the options; pytest alone skips all of this (--benchmark-skip in pyproject.toml).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from fastinit.bench import measure
from tracking.results import CYCLES, TIMES

Call = Callable[[], object]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tracking")
    group.addoption("--size", choices=("full", "small", "toy"), default="full")
    group.addoption("--row", action="append", metavar="TEXT", help="only rows whose key has TEXT")
    group.addoption("--twice", metavar="TEXT", help="do the work of rows with TEXT twice")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what --row does not ask for; the id of a benchmark is the key of its row."""
    wanted = config.getoption("--row")
    if wanted is not None:
        items[:] = [item for item in items if any(text in item.callspec.id for text in wanted)]


@dataclass(frozen=True)
class Tracker:
    """Times one row with pytest-benchmark and leaves it in the `extra_info` of its JSON."""

    benchmark: Any
    size: str
    twice: str | None

    @property
    def toy(self) -> bool:
        """Whether to take the smallest buffers there are."""
        return self.size == "toy"

    def __call__(
        self,
        row: tuple[str, str],
        call: Call,
        *,
        samples: int,
        beside: tuple[str, Call],
        unit: str,
        rounds: int,
        all_threads: bool = False,
    ) -> None:
        """Time `call`.

        Args:
            row: its group and name.
            samples: how many values a call makes.
            beside: another yardstick than the clock, and its name: such as memset.
            unit: which yardstick the figure is in; the other is kept with it.
            rounds: of full size.
            all_threads: whether the call and what runs beside it take every CPU.
        """
        clock, other = [], []

        def look() -> None:
            clock.append(measure.clock_cycle())
            other.append(measure.timed(beside[1]))

        if self.twice and self.twice in f"{row[0]}: {row[1]}":
            call = doubled(call)
        self.benchmark.pedantic(call, setup=look, rounds=self._rounds(rounds), warmup_rounds=1)
        look()
        seconds = self.benchmark.stats.stats.data
        yardsticks = {
            CYCLES: [samples * cycle for cycle in clock[1:]],  # without the unmeasured round
            TIMES + beside[0]: other[1:],
        }
        ratios = {key: round_ratios(seconds, looks) for key, looks in yardsticks.items()}
        if all_threads:
            figures = {key: statistics.median(values) for key, values in ratios.items()}
        else:
            figures = {key: min(seconds) / min(looks) for key, looks in yardsticks.items()}
        self.benchmark.extra_info.update(
            group=row[0], name=row[1], unit=unit, figures=figures, ratios=ratios
        )

    def _rounds(self, rounds: int) -> int:
        return {"full": rounds, "small": max(5, rounds // 3), "toy": 1}[self.size]


def doubled(call: Call) -> Call:
    """Twice the work: a loss made on purpose, to see that the gate finds it."""

    def run() -> None:
        call()
        call()

    return run


def round_ratios(seconds: list[float], looks: list[float]) -> list[float]:
    """Each round by the faster of the looks before and after it: one may have been interrupted."""
    quieter = map(min, pairwise(looks))
    return [taken / look for taken, look in zip(seconds, quieter, strict=True)]


@pytest.fixture
def track(benchmark: Any, request: pytest.FixtureRequest) -> Tracker:
    option = request.config.getoption
    return Tracker(benchmark, option("--size"), option("--twice"))


def pytest_make_parametrize_id(val: object) -> str | None:
    """A row is found by its key."""
    return f"{val[0]}: {val[1]}" if isinstance(val, tuple) else None
