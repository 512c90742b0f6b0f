# SPDX-License-Identifier: MIT
"""JAX distributes a model over 8 devices: each draws its own part, which is that of the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

TESTS = Path(__file__).parents[1]


def test_a_model_over_8_devices_is_the_whole(keras):
    """In a process that is told, before it imports JAX, to pretend to have so many devices."""
    if keras.backend.backend() != "jax":
        pytest.skip("runs with KERAS_BACKEND=jax")
    settings = {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(TESTS),
    }
    program = [sys.executable, "-W", "error", "-m", "keras_devices"]
    done = subprocess.run(program, env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "every check holds"
