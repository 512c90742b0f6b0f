"""What all tests share: one run per instruction set, and the switch for slow tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastinit import instruction_sets


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(params=["scalar", "avx2", "avx512"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once per instruction set; skip, by name, those this machine lacks."""
    before = instruction_sets.active()
    if request.param not in instruction_sets.available():
        pytest.skip(f"{request.param}: not in this machine")
    yield instruction_sets.select(request.param)
    instruction_sets.select(before)
