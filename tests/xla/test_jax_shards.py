# SPDX-License-Identifier: MIT
"""Sharded arrays, on 8 pretended devices and in 2 processes; tests/jax_shards.py has the checks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
SCRIPT = Path(__file__).parents[1] / "jax_shards.py"


def started(*arguments):
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, "FASTINIT_THREADS": "1"}, **pipes)


def assert_done(*processes):
    """Wait for processes; none is left behind."""
    try:
        ends = [process.communicate(timeout=150) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (out, errors) in zip(processes, ends, strict=True):
        assert process.returncode == 0, errors[-3000:]
        assert out.endswith("done\n")


def test_every_sharding_is_the_whole_cut_into_blocks_that_are_drawn_once(jax):
    assert_done(started("devices"))


@pytest.mark.slow
def test_each_of_two_processes_fills_its_own_part_alone(jax):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert_done(*(started("process", port, rank) for rank in range(2)))
