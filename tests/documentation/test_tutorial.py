# SPDX-License-Identifier: MIT
"""The tutorial runs from its first line to its last, in Python and in a shell."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

PATH = Path(__file__).resolve().parents[2] / "docs/tutorial.md"


@pytest.fixture
def threads_of_torch():
    """Their number, which the page sets, as it was."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.usefixtures("threads_of_torch")
def test_the_tutorial_prints_what_it_says_and_its_commands_work_in_the_same_folder(
    main, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(PATH), module_relative=False)
    assert found.attempted > 30
    assert found.failed == 0
    commands = re.findall(r"^fastinit (.*)$", PATH.read_text("utf-8"), re.MULTILINE)
    names = [command.split()[0] for command in commands]
    assert names == ["plan", "write", "diff", "verify", "stats"]
    for command in commands:
        assert main(*command.split())[0] == 0, command
