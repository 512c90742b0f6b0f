# SPDX-License-Identifier: MIT
"""The tutorial runs from its first line to its last, in Python and in a shell."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PATH = Path(__file__).resolve().parents[2] / "docs/tutorial.md"


@pytest.fixture
def threads_of_torch():
    """Their number, which the page sets, as it was."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.usefixtures("threads_of_torch")
def test_the_tutorial_prints_what_it_says():
    found = doctest.testfile(str(PATH), module_relative=False)
    assert found.attempted > 30
    assert found.failed == 0


def test_the_commands_of_the_tutorial_do_their_work(main, tmp_path):
    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=2, vocab_size=30, architectures=["GPT2LMHeadModel"]
    )
    config.save_pretrained(tmp_path / "model")
    commands = re.findall(r"^fastinit (.*)$", PATH.read_text("utf-8"), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["plan", "write", "verify", "stats"]
    for command in commands:
        words = [word.replace("path/to", str(tmp_path)) for word in command.split()]
        assert main(*words)[0] == 0, command
