# SPDX-License-Identifier: MIT
"""docs/comparison.py sees today what docs/comparison.md says that it saw."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"\d[\d,.]*")
PACKAGES = ("torch", "jax", "keras", "flax", "transformers", "megatron")
MISSING = [package for package in PACKAGES if find_spec(package) is None]
pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"could not import {', '.join(MISSING)}"),
]


def page():
    """(question, library, what was seen) for each row of the page's table."""
    text = (ROOT / "docs/comparison.md").read_text("utf-8").split("## Checks that ran")[1]
    lines = re.findall(r"^\| *(\d*) *\| *(.*?) *\| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    rows, question = [], ""
    for number, asked, library, seen in lines:
        question = asked if number else question
        if question:
            rows.append((question, library, seen))
    return rows


def numbers(text):
    """The numbers in a text."""
    return [float(number.strip(",.").replace(",", "")) for number in NUMBER.findall(text)]


def test_the_answers_are_those_of_the_page(tmp_path):
    """Numbers within a tenth: torch's generators differ a little between instruction sets."""
    command = [sys.executable, str(ROOT / "docs/comparison.py"), "--json", tmp_path / "seen.json"]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=600)
    answers = [
        tuple(answer.values()) for answer in json.loads((tmp_path / "seen.json").read_text())
    ]
    expected = page()
    assert [answer[:2] for answer in answers] == [row[:2] for row in expected]
    for (question, library, seen), (_, _, said) in zip(answers, expected, strict=True):
        assert NUMBER.sub("", seen) == NUMBER.sub("", said), (question, library)
        assert numbers(seen) == pytest.approx(numbers(said), rel=0.1), (question, library)
