# SPDX-License-Identifier: MIT
"""A process that does one thing again and again holds no more memory, descriptors or threads.

A few hundred turns show a descriptor that is left open, and some kilobytes in each turn; the long
ones, 100,000 fills and 10,000 writes, also what is a few bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import steady

STEADY = Path(steady.__file__)
MOST_BYTES, MOST_BLOCKS = 3_000_000, 2000
"""What fragments, caches of a limited size, and the system, which may give a huge page of 2 MiB for
a small one, may add in the second half of all turns."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc"),
]

TURNS = {"fills": 3000, "writes": 600, "readings": 200, "maps": 400, "errors": 500}
MANY = {"fills": 100_000, "writes": 10_000, "readings": 2000, "maps": 10_000, "errors": 10_000}


def repeated(what: str, times: int, source: Path = STEADY) -> list[dict[str, int]]:
    """What the process held after a tenth, a half and all of the turns."""
    done = subprocess.run(
        [sys.executable, source, what, str(times)],
        capture_output=True,
        text=True,
        # One heap: of several, each keeps fragments of what the threads of a fill gave back.
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines()]


def grown(samples: list[dict[str, int]]) -> dict[str, int]:
    """By how much the process has grown in the second half."""
    _, half, end = samples
    return {key: end[key] - half[key] for key in end if key != "turns"}


def check(samples: list[dict[str, int]]) -> None:
    growth = grown(samples)
    assert growth.pop("resident") < MOST_BYTES
    assert growth.pop("blocks") < MOST_BLOCKS
    assert set(growth.values()) == {0}


@pytest.mark.parametrize("what", TURNS)
def test_nothing_is_held_after_some_turns(what):
    check(repeated(what, TURNS[what]))


@pytest.mark.long
@pytest.mark.parametrize("what", MANY)
def test_nothing_is_held_after_very_many_turns(what):
    check(repeated(what, MANY[what]))


LEAKS = {
    "memory": "KEPT.append(bytearray(30_000))",
    "objects": "KEPT.extend(str(turn + n) for n in range(20))",
    "a descriptor": "KEPT.append(os.open('/dev/null', os.O_RDONLY))",
    "a thread": "threading.Thread(target=threading.Event().wait, daemon=True).start()",
}


@pytest.mark.parametrize("leak", LEAKS)
def test_what_is_held_is_found(tmp_path, leak):
    """A fill that keeps a little each time."""
    source = STEADY.read_text("utf-8")
    head = "def fills(turn: int) -> None:\n"
    assert source.count(head) == 1
    leaking = tmp_path / "leaking.py"
    leaking.write_text(source.replace(head, f"KEPT = []\n\n\n{head}    {LEAKS[leak]}\n"), "utf-8")
    samples = repeated("fills", 400, leaking)
    with pytest.raises(AssertionError):
        check(samples)
