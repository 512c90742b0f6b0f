# SPDX-License-Identifier: MIT
"""Numba: the values of fastinit in your own compiled functions.

This file holds the public names.  Every function but `numbers`, `stream`, `distribution` and
`default_floats` is compiled, and works inside `numba.njit` functions and `numba.cuda.jit` kernels,
whatever their options, and from Python.

>>> import numba
>>> import numpy as np
>>> import fastinit as fi
>>> import fastinit.numba as fn
>>> @numba.njit
... def add_noise(x, numbers, key, subsequence):
...     for i in range(x.size):
...         x[i] += fn.element(numbers, key, subsequence, i)
>>> x = np.zeros(6, np.float32)
>>> add_noise(x, fn.numbers(fi.normal(std=0.1), x.shape), *fn.stream(seed=7, name="noise"))
>>> bool((x == fi.array(6, fi.normal(std=0.1), seed=7, name="noise")).all())
True
"""

from fastinit.numba import requirement as _requirement

_requirement.check()

# isort: split
from fastinit.machine.floats import default_floats  # noqa: E402 - only now
from fastinit.numba import forks as _forks  # noqa: E402
from fastinit.numba.circles import arctan, cos_turns, sin_turns  # noqa: E402
from fastinit.numba.distribution import CustomDistribution, distribution  # noqa: E402
from fastinit.numba.elements import (  # noqa: E402
    clipped_normal,
    element,
    normal,
    truncated_normal,
    uniform,
    value,
)
from fastinit.numba.exponentials import exp, expm1  # noqa: E402
from fastinit.numba.logarithms import minus_log  # noqa: E402
from fastinit.numba.numbers import (  # noqa: E402
    ClippedNumbers,
    ConstantNumbers,
    NormalNumbers,
    StreamNumbers,
    TruncatedNumbers,
    UniformNumbers,
    numbers,
    stream,
)
from fastinit.numba.rounding import (  # noqa: E402
    to_bfloat16,
    to_float8_e4m3fn,
    to_float8_e5m2,
    to_float16,
)
from fastinit.numba.tails import sign_and_tail  # noqa: E402
from fastinit.numba.values import (  # noqa: E402
    signed_uniform,
    signed_uniform64,
    standard_normal,
    standard_normal64,
)
from fastinit.numba.words import block, philox4x32, word, word64  # noqa: E402

_forks.guard()

__all__ = [
    "ClippedNumbers",
    "ConstantNumbers",
    "CustomDistribution",
    "NormalNumbers",
    "StreamNumbers",
    "TruncatedNumbers",
    "UniformNumbers",
    "arctan",
    "block",
    "clipped_normal",
    "cos_turns",
    "default_floats",
    "distribution",
    "element",
    "exp",
    "expm1",
    "minus_log",
    "normal",
    "numbers",
    "philox4x32",
    "sign_and_tail",
    "signed_uniform",
    "signed_uniform64",
    "sin_turns",
    "standard_normal",
    "standard_normal64",
    "stream",
    "to_bfloat16",
    "to_float8_e4m3fn",
    "to_float8_e5m2",
    "to_float16",
    "truncated_normal",
    "uniform",
    "value",
    "word",
    "word64",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
