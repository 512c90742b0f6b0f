# SPDX-License-Identifier: MIT
"""The command that makes the tables of docs/quality.md, and the rows of that page."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import cases
import correlations
import pytest
import run
from p_values import Result
from tables import pretty, table

FOLDER = Path(__file__).resolve().parent
PAGE = (FOLDER.parent.parent / "docs" / "quality.md").read_text("utf-8")


def test_this_folder_does_not_hide_the_standard_library():
    assert statistics.median([1, 2, 4]) == 2


@pytest.mark.slow
def test_the_command_prints_its_tables(tmp_path):
    options = ["--values", "1e6", "--case", "fastinit normal bfloat16", "--jobs", "1"]
    command = [sys.executable, FOLDER / "run.py", "values", *options, "--json", "found.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "| fastinit normal bfloat16 | " in done.stdout
    assert "0 of 28 tests of fastinit fail at a rate of 1e-07 each." in done.stdout
    content = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert len(content["results"]["fastinit normal bfloat16 (values)"]) == 28


def test_rows_name_the_tests_that_fail():
    lags = [Result("lag 1", 9.0, 1e-20, False), Result("lag 2, squares", 9.0, 1e-20, False)]
    assert run.failures([Result("mean", 0.1, 0.9, False), *lags]) == "lag"
    assert run.failures([Result("chi-square", 0.1, 1.0), Result("mean", 1.0, 1.0, False)]) == (
        "chi-square"
    )
    row = run.row_of_results("a family", [Result("mean", 1234.5, 0.5, False)])
    assert row == {"": "a family", "mean (p)": "1,234 (0.50)", "fails": "-"}


def test_tables_are_markdown():
    rows = [{"a": "x", "b": 1}, {"a": "y", "b": 2}]
    assert table(rows) == "| a | b |\n|---|--:|\n| x | 1 |\n| y | 2 |"
    assert table([]) == ""
    assert [pretty(p) for p in (0.5, 0.004, 3e-7, 1e-30, 0.9999)] == [
        *("0.50", "0.0040", "3e-07", "0", "0.9999"),
    ]


@pytest.mark.parametrize(
    "label", [case.label for case in cases.CASES.values()] + list(correlations.FAMILIES)
)
def test_the_page_has_a_row_for_each_case(label):
    assert f"\n| {label} | " in PAGE
