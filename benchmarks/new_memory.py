# SPDX-License-Identifier: MIT
"""What precedes each call of a race whose calls fill new memory, so that none pays for the last."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastinit.bench import measure


def pages_of(size: int) -> Callable[[str], object]:
    """A function that writes to `size` bytes, frees them, and waits until other threads sleep."""

    def before(name: str) -> None:
        np.ones(size, np.uint8)
        measure.asleep()

    return before
