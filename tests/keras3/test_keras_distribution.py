# SPDX-License-Identifier: MIT
"""JAX distributes a model over 8 devices: each draws its own part, which is that of the whole."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

TESTS = Path(__file__).parents[1]


def start(devices, *arguments):
    """A process that is told, before it imports JAX, to pretend to have so many devices."""
    settings = {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(TESTS),
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "keras_devices", *map(str, arguments)],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_hold(processes):
    """Every check holds in each of the processes; none is left behind."""
    try:
        for process in processes:
            output, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors[-4000:]
            assert output.splitlines()[-1] == "every check holds"
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def on_jax(keras):
    if keras.backend.backend() != "jax":
        pytest.skip("runs with KERAS_BACKEND=jax")


def test_a_model_over_8_devices_is_the_whole(on_jax):
    assert_hold([start(8)])


def test_two_processes_draw_their_own_parts(on_jax):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert_hold([start(4, number, address) for number in range(2)])
