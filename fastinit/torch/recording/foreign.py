# SPDX-License-Identifier: MIT
"""Random generators other than PyTorch's: whether one has run.

What they gave cannot be made again.  What is done about it is in understanding.py.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np


class RandomStates:
    """Remembers the states of the global generators of Python and NumPy."""

    def __init__(self) -> None:
        self._python, self._numpy = random.getstate(), _numpy_state()

    def changed(self) -> str:
        """The generator that has run, or "".

        Whatever becomes a tensor from then on may hold its numbers.
        """
        if random.getstate() != self._python:
            return "random"
        return "numpy.random" if _numpy_state() != self._numpy else ""


def _numpy_state() -> tuple[Any, ...]:
    state: Any = np.random.get_state(legacy=False)
    inner = state["state"]
    return inner["pos"], inner["key"].tobytes(), state["has_gauss"]
