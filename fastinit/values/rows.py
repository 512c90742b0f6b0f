# SPDX-License-Identifier: MIT
"""Rows of elements, as `Sampler.draw_rows` is given them: their memory and their numbers.

For samplers in NumPy (samplers.py, matrices/), to which a call for each row would cost more than
its few elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.numerics.dtypes import DType

Bytes = memoryview | npt.NDArray[np.uint8]
ElementNumbers = npt.NDArray[np.int64]


def table(out: Bytes, dtype: DType, rows: int, count: int, out_step: int) -> npt.NDArray[Any]:
    """The words of the rows, of shape (rows, count); writing to them writes to `out`."""
    return np.ndarray((rows, count), dtype.words, out, strides=(out_step, dtype.size))


def starts(start: int, start_step: int, rows: int) -> ElementNumbers:
    """Each row's first element number."""
    return start + start_step * np.arange(rows, dtype=np.int64)


def numbers(start: int, start_step: int, rows: int, count: int) -> ElementNumbers:
    """Every element's number, of shape (rows, count)."""
    return np.add.outer(starts(start, start_step, rows), np.arange(count, dtype=np.int64))
