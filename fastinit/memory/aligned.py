# SPDX-License-Identifier: MIT
"""New memory that frameworks take as it is.  Nothing here fills it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.machine.pages import ask_for_huge_pages
from fastinit.numerics.checks import Shape

HOST_ALIGNMENT = 64
"""Bytes.  JAX and TensorFlow use a NumPy array without a copy if its address is a multiple."""


def empty(shape: Shape, dtype: Any) -> npt.NDArray[Any]:
    """A new array whose memory begins at a multiple of HOST_ALIGNMENT and is fast to fill.

    >>> empty((3, 5), "float16").ctypes.data % HOST_ALIGNMENT
    0
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    memory = np.empty(size + HOST_ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % HOST_ALIGNMENT
    ask_for_huge_pages(memory.ctypes.data, memory.nbytes)
    out: npt.NDArray[Any] = memory[first : first + size].view(kind).reshape(shape)
    return out
