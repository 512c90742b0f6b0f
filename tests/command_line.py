# SPDX-License-Identifier: MIT
"""What the tests of the command line share: plans, and how to run it in a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys

SMALL = """
name = "small"

[sizes]
width = 64
layers = 3

[[tensor]]
name = "wte.weight"
shape = "(10 * width, width)"
init = "normal(std=0.02)"

[[tensor]]
name = "h.{i}.mlp.weight"
repeat = "layers"
shape = "(width, 4 * width)"
init = "he_normal()"

[[tensor]]
name = "ln_f.bias"
shape = "(width,)"
dtype = "float64"
init = "zeros()"

[config]
model_type = "small"
"""
SMALL_PARAMETERS = 640 * 64 + 3 * 64 * 256 + 64
SMALL_SIZE = 4 * (SMALL_PARAMETERS - 64) + 8 * 64

# Long enough to be interrupted on the scalar instruction set: 16 files of 16 MiB.
LARGE = """
[[tensor]]
name = "layer.{i}.weight"
repeat = 16
shape = "(4096, 1024)"
init = "truncated_normal(std=0.02)"
"""


def command(*arguments):
    return [sys.executable, "-m", "fastinit", *map(str, arguments)]


def in_a_process(*arguments, cwd=None, **environment):
    """Run the command line in a new process."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def assert_one_line(text, words=""):
    """One line from fastinit, no traceback, with these words (a regular expression)."""
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    assert text.startswith("fastinit: ")
    assert "Traceback" not in text
    assert re.search(words, text), text
