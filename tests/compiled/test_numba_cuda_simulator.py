# SPDX-License-Identifier: MIT
"""CUDA kernels in Numba's simulator, which is part of Numba and needs no card.

It runs a kernel as Python, so this is about what a kernel may call and with which arguments;
test_numba_cuda_ptx.py is about what NVVM makes of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

TESTS = Path(__file__).parents[1]


@pytest.mark.long
def test_in_the_simulator_every_check_of_kernels_holds():
    import cuda_checks

    run = subprocess.run(
        [sys.executable, "-W", "error", str(TESTS / "cuda_simulation.py")],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [check.__name__ for check in cuda_checks.CHECKS]
