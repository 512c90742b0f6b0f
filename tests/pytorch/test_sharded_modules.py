# SPDX-License-Identifier: MIT
"""Whole modules in real process groups: every process fills its part of what one process makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import process_groups
import pytest
from process_groups import Task

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")

TASKS = [
    Task("sharded_modules", function, size)
    for function in ("fully_sharded", "tensor_parallel", "flat")
    for size in (2, 3, 4)
]
EXAMPLES = Path(__file__).parents[2] / "examples" / "sharded"


@pytest.fixture(scope="module")
def found():
    return process_groups.run(TASKS, timeout=240)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.function}-{task.size}")
def test_all_processes_have_parts_of_what_one_process_makes(found, task):
    assert sorted(found[task]) == list(range(task.size))
    for rank, ways in found[task].items():
        assert ways, rank
        assert all(ways.values()), (rank, ways)


@pytest.mark.parametrize("name", ["fsdp2", "hsdp", "tp"])
def test_the_examples_run(name):
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "FASTINIT_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "processes hold the weights" in done.stdout or "replicas" in done.stdout
