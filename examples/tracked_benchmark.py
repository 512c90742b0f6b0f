# SPDX-License-Identifier: MIT
"""A benchmark that is tracked over commits: pytest-benchmark keeps a result for each, and compares.

    python examples/tracked_benchmark.py

It needs pytest-benchmark and git.  A temporary repository gets two commits: the first draws weights
by NumPy, the second by fastinit.  In your repository, run the two commands that are printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TEST = """
import model

def test_weights(benchmark):
    assert benchmark(model.weights).std() > 0.019
"""
BY_NUMPY = """
import numpy as np

def weights():
    return np.random.default_rng(0).normal(0, 0.02, (1024, 1024)).astype("float32")
"""
BY_FASTINIT = """
import fastinit as fi

def weights():
    return fi.array((1024, 1024), fi.normal(std=0.02), seed=0, name="w")
"""

GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
for role in ("AUTHOR", "COMMITTER"):
    GIT |= {f"GIT_{role}_NAME": "example", f"GIT_{role}_EMAIL": "example@localhost"}


def run(folder: Path, *command: str) -> str:
    """What a command prints."""
    environment = {**os.environ, **GIT, "COLUMNS": "100", "PY_COLORS": "0"}
    found = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return found.stdout


def commit(folder: Path, code: str, subject: str) -> str:
    """Commit a version of model.py, and keep how fast it is: a file named after the commit."""
    (folder / "model.py").write_text(code)
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "-qm", subject)
    command = ["pytest", "--benchmark-autosave", "--benchmark-max-time=0.3"]
    print("$", *command, f"  # at the commit '{subject}'")
    run(folder, sys.executable, "-m", *command, "-q", "-p", "no:cacheprovider")
    return run(folder, "git", "rev-parse", "--short", "HEAD").strip()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, "git", "init", "-q")
        (folder / "test_speed.py").write_text(TEST)
        (folder / ".gitignore").write_text(".benchmarks\n__pycache__\n")
        commits = [
            commit(folder, BY_NUMPY, "weights by NumPy"),
            commit(folder, BY_FASTINIT, "weights by fastinit"),
        ]
        print("commits", *commits)
        command = ["compare", "--columns=min,median,rounds", "--sort=fullname"]
        print("$ pytest-benchmark", *command)
        print(run(folder, sys.executable, "-m", "pytest_benchmark", *command))
