# SPDX-License-Identifier: MIT
"""Every kernel writes and reads its memory alone: beside it lie pages that no one may touch.

fenced.py makes the calls, in a process of its own, which one byte too far ends by SIGSEGV.
test_memory_errors.py repeats them under sanitizers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import fenced
import pytest

pytestmark = pytest.mark.native


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(fenced.__file__)
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", script, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(script.parents[1])},
    )


def test_no_call_leaves_its_memory(isa):
    done = run("sweep", isa)
    assert done.returncode == 0, done.stderr
    calls = dict(line.removesuffix(" calls").split(": ") for line in done.stdout.splitlines())
    assert calls.keys() == {"fills", "rows", "words", "measures", "copies"}
    assert sum(map(int, calls.values())) > 40_000


@pytest.mark.parametrize("what", fenced.PLANTED)
def test_an_access_too_far_ends_the_process(what):
    done = run("plant", what)
    if what == "a guard byte":
        assert done.returncode == 1
        assert "AssertionError" in done.stderr
    else:
        assert done.returncode == -signal.SIGSEGV
        assert "Segmentation fault" in done.stderr
