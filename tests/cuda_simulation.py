# SPDX-License-Identifier: MIT
"""Run every check of CUDA kernels in Numba's simulator.  No test.

A program of its own, as NUMBA_ENABLE_CUDASIM=1 must be set before Numba is imported.  It prints the
checks that passed.  The simulator runs a kernel as Python, which calls the compiled functions.
"""

from __future__ import annotations

import cuda_checks
from numba import cuda


def launch(kernel, out, *arguments):
    """Two blocks of three threads."""
    cuda.jit(kernel)[2, 3](out, *arguments)


if __name__ == "__main__":
    assert cuda.simulator
    for check in cuda_checks.CHECKS:
        check(launch, 97)
        print(check.__name__)
