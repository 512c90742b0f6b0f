# SPDX-License-Identifier: MIT
"""What all tests share: instruction sets, frameworks, the command line, what is skipped."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import SMALL

from fastinit import cli
from fastinit.backends import selection


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")
    parser.addoption(
        "--long", action="store_true", help="and those that CI leaves to releases, half an hour"
    )
    parser.addoption(
        "--only-skips",
        action="append",
        metavar="REASON",
        help="fail the run on a skip whose reason does not contain REASON; may be repeated",
    )

    parser.addoption(
        "--only-listed", metavar="FILE", help="run the tests that FILE lists, no other"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if listed := config.getoption("--only-listed"):
        names = set(Path(listed).read_text("utf-8").splitlines())
        known = {name for item in items for name in _listed_as(item)}
        if missing := names - known:
            raise pytest.UsageError(f"{listed} lists tests that are not there: {min(missing)}")
        chosen = [item for item in items if names & _listed_as(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen
    long, slow = config.getoption("--long"), config.getoption("--slow")
    for item in items:
        if not long and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: run with --long"))
        elif not (long or slow) and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def _listed_as(item: pytest.Item) -> set[str]:
    """The names under which a test is listed: its own, or that of a file skipped as a whole."""
    return {item.nodeid, item.nodeid.partition("::")[0]}


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """List the skips that --only-skips does not expect."""
    for report in _unexpected_skips(terminalreporter, config):
        terminalreporter.write_line(f"UNEXPECTED SKIP {report.nodeid}: {report.longrepr}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """List all skips in the file that LIST_SKIPS names; fail the run for those not expected.

    A variable of the environment, because .ci/run cannot add an option to the README's command.
    """
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal and (file := os.environ.get("LIST_SKIPS")):
        names = (report.nodeid for report in terminal.stats.get("skipped", []))
        Path(file).write_text("".join(f"{name}\n" for name in names), "utf-8")
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


OTHER_BACKEND = os.environ.get(selection.BACKEND_VARIABLE, "") not in ("", "native")
"""Whether tests run on another backend than the native one, which alone has instruction sets."""

FORCED_ISA = os.environ.get(selection.ISA_VARIABLE)


def _instruction_sets() -> list[str]:
    if OTHER_BACKEND:
        return ["numba"]
    return [FORCED_ISA] if FORCED_ISA else ["scalar", "avx2", "avx512", "neon"]


@pytest.fixture(params=_instruction_sets())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once per instruction set; skip, by name, those this machine lacks.

    Once under FASTINIT_ISA, and under FASTINIT_BACKEND=numba, as Numba compiles for one.
    """
    if OTHER_BACKEND:
        assert selection.active().name == request.param
        yield request.param
        return
    from fastinit.backends import instruction_sets

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


@pytest.fixture
def main(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Any, str, str]]:
    """Run the whole command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["fastinit", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def small(tmp_path: Path) -> str:
    """The path of a plan of 5 tensors."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)
