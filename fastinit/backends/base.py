# SPDX-License-Identifier: MIT
"""What a backend is.  Nothing here computes anything.

A backend turns words into values: the same values on each, to the last bit (docs/stream.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

from fastinit.numerics.dtypes import DType
from fastinit.values.samplers import Bytes, Generator


class Backend(Generator, Protocol):
    """Draws runs of elements, raw words, and moves finished values.

    A backend is stateless: threads use it at the same time.
    """

    @property
    def name(self) -> str:
        """What FASTINIT_BACKEND calls it."""

    def check(self) -> None:
        """Raise a BackendError if a setting of the environment makes it unusable."""

    def details(self) -> dict[str, Any]:
        """What its code is made for, as `fastinit info` shows it: texts and lists of texts."""

    def copy(self, out: npt.NDArray[Any], source: npt.NDArray[Any], *, bypass_cache: bool) -> None:
        """Copy `source` to `out`, an array of the same shape and element size; any strides.

        `bypass_cache` says that `out` is larger than the caches.
        """

    def measure(self, out: npt.NDArray[Any], source: Bytes, dtype: DType, unit: float) -> None:
        """Put the sums, extremes and counts of elements into `out`, one of `numerics.moments.SUMS`.

        The bytes `source` are those of elements of `dtype`.  `unit`, a power of two and 1 but for
        float64, multiplies them before the sums.  Sums of one backend have the same bits on each
        machine; those of two backends are equal to rounding.
        """

    def philox4x32(self, words: Sequence[int]) -> tuple[int, int, int, int]:
        """One block of Philox4x32-10: four counter words, then two key words."""
