# SPDX-License-Identifier: MIT
"""What the page of the room jax shows runs."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("jax")
pytest.importorskip("flax")

PATH = Path(__file__).resolve().parents[2] / "docs/howto/jax.md"


def test_the_examples_of_the_page_run_and_print_what_it_says():
    found = doctest.testfile(str(PATH), module_relative=False)
    assert found.attempted > 30
    assert found.failed == 0


def test_every_block_of_the_page_is_an_example():
    blocks = re.findall(r"```python\n(.*?)```", PATH.read_text("utf-8"), re.DOTALL)
    assert blocks
    assert all(">>>" in block for block in blocks)
