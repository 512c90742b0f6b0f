# SPDX-License-Identifier: MIT
"""Recognises integers among arguments.  It raises nothing: the caller says what is wrong."""

from __future__ import annotations

import operator
from typing import Any


def integer_of(value: Any) -> int | None:
    """`value` as an int if it stands for one and is not a bool, else None.

    Having `__index__` is not enough: an array has it, and refuses.

    >>> import numpy as np
    >>> integer_of(np.int64(3)), integer_of(3.0), integer_of(True)
    (3, None, None)
    """
    if type(value) is int:  # nearly always
        return value
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # the last from a tensor without values
        return None
