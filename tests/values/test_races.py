# SPDX-License-Identifier: MIT
"""Threads that fill one memory together write, and read, nothing of each other's.

ThreadSanitizer watches `fills.c`, in which four threads make each answer: parts of 37 elements
side by side, or rows, by every kernel of every instruction set of this machine.  The bits are
compared too.  The C layer has one variable, the table in force, which is set before any thread
begins.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import c_driver
import pytest
import reference as ref
from built_once import built_once
from c_driver import CASES, Kind, Machine, assert_same_answers, build
from cross_requests import Fill, Map, Words

from fastinit.backends import instruction_sets

pytestmark = [pytest.mark.native, pytest.mark.slow]

WATCHED = (
    "-O1",
    "-fsanitize=thread",
    "-fno-tree-loop-optimize",
)  # loops stay loops, built soon


def compiler() -> str:
    """gcc, with its ThreadSanitizer, or a skip."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not in this machine")
    found = subprocess.run(["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True)
    if not Path(found.stdout.strip()).is_absolute():
        pytest.skip("gcc's libtsan is not in this machine")
    return "gcc"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    kind = Kind(compiler(), WATCHED, (), instruction_sets.available())
    folder = built_once(tmp_path_factory, "watched", lambda folder: build(kind, folder))
    return Machine("watched", kind, folder / "fills")


def test_no_thread_touches_what_another_one_writes(watched):
    requests = [
        request
        for distribution, kinds in CASES
        for dtype in kinds
        for request in (
            Fill(distribution, dtype, 3, 300),
            Fill(distribution, dtype, 1, 5, ((6, 7),), 1),
            Fill(distribution, dtype, 2**34 - 130, 130, ((3, 131),)),
        )
    ]
    requests += [Map(ref.Normal(), dtype) for dtype in ref.DTYPES]
    requests += [Map(ref.Truncated(1.0, 0.0, -1.0, 3.0), dtype) for dtype in ref.DTYPES]
    requests += [Words(start, 700) for start in (0, 3, 2**34 * 4 - 300)]
    assert_same_answers(watched, requests, "threads")


PLANTED = {
    "parts that overlap": ("least(PART, run_of(whole)", "least(PART + 1, run_of(whole)"),
    "one row for all": ("(ptrdiff_t)number * r.axis", "0 * r.axis"),
}


@pytest.mark.parametrize("race", PLANTED)
def test_a_race_is_found(watched, race):
    """Parts that overlap have the same values: nothing but the watch shows it."""
    source = Path(c_driver.FILLS).read_text("utf-8")
    right, wrong = PLANTED[race]
    assert source.count(right) == 1
    folder = watched.program.parent
    racy = folder / f"{race.replace(' ', '_')}.c"
    racy.write_text(source.replace(right, wrong), "utf-8")
    run = subprocess.run(
        [build(watched.kind, folder, racy), "threads"],
        input=Fill(ref.Normal(), "float32", 0, 600, ((4, 600),) if "row" in race else ()).line(),
        capture_output=True,
        text=True,
    )
    assert "WARNING: ThreadSanitizer: data race" in run.stderr
    assert run.returncode == 66
