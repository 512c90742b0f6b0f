# SPDX-License-Identifier: MIT
"""What the pages claim: each claim stands where it is quoted, and what backs it exists."""

from __future__ import annotations

import ast
import re
from datetime import date
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = ROOT / "docs/claims.md"
PROMISES = ROOT / "docs/explanation/promises.md"
COMPARISON = ROOT / "docs/comparison.md"
PAGES = {
    "README": ROOT / "README.md",
    "Index": ROOT / "docs/index.md",
    "Comparison": COMPARISON,
}
ALONE = {"", "nothing", "not found", "not measured", "not looked at", "writes none"}
"""Cells of the comparison that claim no more than that nobody looked, or found anything."""


def rows(text):
    """The cells of each row of the tables of a page, without their headers."""
    lines = text.splitlines()
    tables = [line for line in lines if line.startswith("| ")]
    after = {lines[i - 1] for i, line in enumerate(lines) if line.startswith("|---")}
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in tables if row not in after
    ]


def section(page, heading):
    """What stands under a heading of the second level."""
    return page.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]


def plain(text):
    """A text without line breaks, emphasis, code marks and the targets of links."""
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return " ".join(re.sub(r"[*`\[\]]|^> ?", "", text).split())


@cache
def functions(file):
    """The names of the functions of a file of tests."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named_tests(page):
    """(file, test or an empty text) for each test that a page names."""
    return re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text("utf-8"))


CLAIMED = [(heading, row) for heading in PAGES for row in rows(section(CLAIMS, heading))]


def test_there_are_claims_of_each_page():
    count = [sum(heading == page for heading, _ in CLAIMED) for page in PAGES]
    assert count[0] > 20
    assert count[1] > 3
    assert count[2] > 5


@pytest.mark.parametrize(("heading", "row"), CLAIMED, ids=lambda value: str(value[0])[:40])
def test_a_claim_stands_on_its_page_and_says_how_it_was_checked(heading, row):
    claim, check, checked = row
    if not claim.startswith("every "):  # every number, every letter of the comparison
        assert claim[0] == claim[-1] == '"'
        assert plain(claim[1:-1]) in plain(PAGES[heading].read_text("utf-8"))
    assert re.search(r"`|\]\(|sources", check)
    assert date(2026, 11, 1) < date.fromisoformat(checked)


@pytest.mark.parametrize("page", [CLAIMS, PROMISES], ids=lambda page: page.stem)
def test_every_test_that_a_page_names_exists(page):
    named = named_tests(page)
    assert len(named) > 20
    assert [test for file, test in named if test and test not in functions(file)] == []
    assert [file for file, _ in named if not (ROOT / file).exists()] == []


def test_every_promise_names_a_test():
    promises = rows(section(PROMISES, "Promises"))
    assert len(promises) > 20
    assert [promise for promise, held in promises if "::test_" not in held] == []


def test_every_command_that_a_claim_names_exists():
    commands = re.findall(r"`python ([\w/.]+\.py)", CLAIMS.read_text("utf-8"))
    assert len(set(commands)) > 5
    assert [file for file in commands if not (ROOT / file).exists()] == []


def test_the_figures_of_the_readme_are_those_of_the_page_of_performance():
    peers = section(ROOT / "docs/performance.md", "Peers")
    figures = {row[0].split(" (")[0]: row[1:3] for row in rows(peers) if len(row) == 7}
    quoted = [row for row in rows(section(ROOT / "README.md", "Speed")) if row[0] in figures]
    assert len(quoted) == 5
    for fill, speed, share in quoted:
        assert [speed, share] == figures[fill], fill


def test_each_cell_of_the_comparison_has_a_check_or_a_source():
    numbers = {row[0] for row in rows(section(COMPARISON, "Checks that ran"))} - {""}
    letters = set(re.findall(r"^- \*\*(\w)\*\*", section(COMPARISON, "Sources"), re.MULTILINE))
    cells = [
        cell
        for heading in ("Libraries of initialisers", "What builds whole models")
        for row in rows(section(COMPARISON, heading))
        if row[0] not in ("", "what it is for")
        for cell in row[1:]
    ]
    assert len(cells) > 90
    used = set()
    for cell in cells:
        found = re.findall(r"\[(\w+)\]\(#(?:checks-that-ran|sources)\)", cell)
        assert found or cell in ALONE, cell
        used |= set(found)
    assert used == numbers | letters
