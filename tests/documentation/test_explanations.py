# SPDX-License-Identifier: MIT
"""The pages of docs/explanation: their examples run, and their links lead somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_pages import LINK, anchors

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs/explanation").glob("*.md"))


def test_the_pages_are_these():
    names = {"inverse", "mup-and-depth", "promises", "scales", "stream-in-words"}
    assert {page.stem for page in PAGES} == names


def test_the_examples_of_the_pages_run_and_print_what_they_say():
    """In one process, with one thread: these products are too small for more."""
    command = [sys.executable, "-m", "doctest", *map(str, PAGES)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert found.returncode == 0, found.stdout
    assert sum(page.read_text("utf-8").count(">>> ") for page in PAGES) > 60


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page):
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"
