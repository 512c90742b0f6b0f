# SPDX-License-Identifier: MIT
"""Properties that are computed once hold no lock that a fork could leave behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastinit
from fastinit.properties import cached_property

PACKAGE = Path(fastinit.__file__).parent


class Square:
    """Counts how often its area is computed."""

    def __init__(self, side):
        self.side, self.computed = side, 0

    @cached_property
    def area(self):
        """The area."""
        self.computed += 1
        return self.side**2


def test_a_property_is_computed_once_for_each_object():
    small, large = Square(2), Square(3)
    assert [small.area, large.area, small.area, large.area] == [4, 9, 4, 9]
    assert (small.computed, large.computed) == (1, 1)
    assert Square.area.__doc__ == "The area."


def test_no_module_uses_those_that_hold_a_lock():
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "properties.py":
            assert not re.search("functools.*cached_property", path.read_text("utf-8")), path


BEFORE = """
import os, signal, threading, warnings
import fastinit as fi
warnings.simplefilter("ignore")  # newer Pythons warn of any fork beside a thread


def forked(task):
    if (child := os.fork()) == 0:
        signal.alarm(20)
        task()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


"""

COMPUTING = f"""{BEFORE}
from fastinit.properties import cached_property
inside, end = threading.Event(), threading.Event()


class Slow:
    @cached_property
    def value(self):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            end.wait()
        return 1


threading.Thread(target=lambda: Slow().value, daemon=True).start()
inside.wait()
forked(lambda: Slow().value)
end.set()
"""

FILLING = f"""{BEFORE}
def fill(number):
    fi.array((2, 3), fi.normal(std=1 + number / 1000), seed=1, name=f"w{{number}}", threads=1)


def fill_on():
    number = 0
    while True:
        fill(number := number + 1)


threading.Thread(target=fill_on, daemon=True).start()
for _ in range(100):
    forked(lambda: fill(0))
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("script", [COMPUTING, FILLING], ids=["computing", "filling"])
def test_a_process_that_is_forked_beside_a_busy_thread_can_fill(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
