# SPDX-License-Identifier: MIT
"""What Numba compiles for: the processor, and how wide the vectors are that are written out.

It may be another than the machine's (NUMBA_CPU_NAME), and a missing instruction would end the
process, so Numba is asked, not the machine.  What is computed is not known here.
"""

from __future__ import annotations

import llvmlite.binding
from numba.core import config
from numba.core.registry import cpu_target

_FEATURES = set(cpu_target.target_context.codegen()._tm_features.split(","))

LANES = 16 if "+avx512f" in _FEATURES else 8 if {"+avx2", "+fma"} <= _FEATURES else 1
"""Lanes of 32 bits in a vector; 1 where nothing is written in vectors but by LLVM itself."""

HAS_HALF = "+f16c" in _FEATURES
"""Whether an instruction rounds to float16."""


def target_cpu() -> str:
    """The processor that Numba compiles for, by LLVM's name."""
    name: str = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    return name
