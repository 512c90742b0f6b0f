# SPDX-License-Identifier: MIT
"""The numbers that define how the words of a stream become the values of one dtype.

They are the contract between distributions, which work them out, and backends, which compute with
them.  docs/stream.md, sections 4 to 10, has the formulas in which they appear under these names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["uniform", "normal", "clipped", "symmetric", "truncated", "constant"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """How a word becomes a value of one dtype.

    The floats are float64 numbers for float64 and float32 numbers for all other dtypes, except
    `low` and `high`, which are numbers of the dtype.

    Attributes:
        kind: the map from words to values.  "symmetric" is the truncated normal whose bounds are
            equally far from the mean, "truncated" every other one.
        scale, shift: a standard value z becomes ``scale * z + shift``; for a uniform, z is the
            word's integer.
        low, high: the closed interval that no value leaves.
        base, slope: for truncated normals, the tail probability of a word in either tail.
        sign_and, sign_xor: for truncated normals, the bits of the word from which the sign follows.
        octave: for truncated normals far from the mean, the power of two by which the tail
            probability is scaled.
        pattern: the bits of a constant.
    """

    kind: Kind
    scale: float = 1.0
    shift: float = 0.0
    low: float = 0.0
    high: float = 0.0
    base: tuple[float, float] = (0.0, 0.0)
    slope: tuple[float, float] = (0.0, 0.0)
    sign_and: int = 0
    sign_xor: int = 0
    octave: int = 0
    pattern: int = 0
