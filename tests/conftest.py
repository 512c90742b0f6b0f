# SPDX-License-Identifier: MIT
"""What all tests share: one run per instruction set, the frameworks, the switch for slow tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from fastinit import instruction_sets


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")
    parser.addoption(
        "--only-skips",
        action="append",
        metavar="REASON",
        help="fail the run on a skip whose reason does not contain REASON; may be repeated",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """List the skips that --only-skips does not expect."""
    for report in _unexpected_skips(terminalreporter, config):
        terminalreporter.write_line(f"UNEXPECTED SKIP {report.nodeid}: {report.longrepr}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for them."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal and _unexpected_skips(terminal, session.config) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unexpected_skips(
    terminal: pytest.TerminalReporter, config: pytest.Config
) -> list[pytest.TestReport]:
    expected = config.getoption("--only-skips")
    if expected is None:
        return []
    return [
        report
        for report in terminal.stats.get("skipped", [])
        if not any(reason in str(report.longrepr) for reason in expected)
    ]


@pytest.fixture(params=["scalar", "avx2", "avx512", "neon"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once per instruction set; skip, by name, those this machine lacks."""
    before = instruction_sets.active()
    if request.param not in instruction_sets.available():
        pytest.skip(f"{request.param}: not in this machine")
    yield instruction_sets.select(request.param)
    instruction_sets.select(before)


@pytest.fixture(scope="session")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def jax() -> Any:
    return pytest.importorskip("jax")


@pytest.fixture(scope="session")
def keras() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if "KERAS_BACKEND" not in os.environ:  # read at import; the default is TensorFlow
            patch.setenv("KERAS_BACKEND", "jax")
        return pytest.importorskip("keras")
