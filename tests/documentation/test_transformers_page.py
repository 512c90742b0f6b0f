# SPDX-License-Identifier: MIT
"""What the page of the room transformers shows runs."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")
pytest.importorskip("transformers")

import fastinit as fi  # noqa: E402 - only where transformers is

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "howto/transformers.md").read_text("utf-8")


def test_the_examples_of_the_page_run_and_print_what_it_says():
    found = doctest.testfile(str(DOCS / "howto/transformers.md"), module_relative=False)
    assert found.attempted > 20
    assert found.failed == 0


def test_the_commands_of_the_page_are_those_of_the_command_line(main, tmp_path):
    import transformers

    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=2, vocab_size=30, architectures=["GPT2LMHeadModel"]
    )
    config.save_pretrained(tmp_path / "path" / "to")
    commands = re.findall(r"```sh\nfastinit (.*)\n```", PAGE)
    assert len(commands) == 2
    for number, command in enumerate(commands):
        words = [
            word.replace("path/to", str(tmp_path / "path/to")).replace(
                "weights/", str(tmp_path / str(number))
            )
            for word in command.split()
        ]
        assert main(*words)[0] == 0, command
        weights = fi.open(tmp_path / str(number))
        assert {str(weights[name].dtype) for name in weights} == {"bfloat16"}
