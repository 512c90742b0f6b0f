# SPDX-License-Identifier: MIT
"""Are many streams uncorrelated?  A thousand names, seeds, derived draws, and rows of one tensor.

The correlation of two streams is the cosine of the angle between their values: normals point in
all directions equally.  So the cosines of all pairs are independent in pairs, and the distribution
of each is known exactly: its square is Beta(1/2, (n - 1) / 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from laws import Array
from p_values import Result, z_test
from scipy import stats

from fastinit.backends.selection import active
from fastinit.numerics.dtypes import DTYPES
from fastinit.values.distributions import Normal
from fastinit.values.draws import stream_of
from fastinit.values.stream import Stream

SEED = 2026
STREAMS, VALUES = 1000, 2**16


def normals(streams: Sequence[Stream], starts: Sequence[int], size: int = VALUES) -> Array:
    """Float32 normals of each stream from an element on, of shape (streams, size)."""
    out = np.empty((len(streams), size), np.float32)
    for row, stream, start in zip(out, streams, starts, strict=True):
        sampler = Normal(1.0, 0.0).sampler(DTYPES["float32"], stream, active())
        sampler.draw(row.view(np.uint8), start)
    return out


def first(streams: Sequence[Stream]) -> Array:
    """The first values of each stream."""
    return normals(streams, [0] * len(streams))


FAMILIES: dict[str, Callable[[], Array]] = {
    "names w0 to w999": lambda: first([Stream(SEED, f"w{i}") for i in range(STREAMS)]),
    "seeds 0 to 999": lambda: first([Stream(i, "w") for i in range(STREAMS)]),
    "draws 0 to 999": lambda: first([stream_of(Stream(SEED, "w"), i) for i in range(STREAMS)]),
    "rows 0 to 999": lambda: normals(
        [Stream(SEED, "w")] * STREAMS, range(0, STREAMS * VALUES, VALUES)
    ),
}
"""By the name that tables show: values of a thousand streams."""


def judged(rows: Array) -> list[Result]:
    """Tests of the correlations of all pairs of rows."""
    count, size = rows.shape
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    r = (unit @ unit.T)[np.triu_indices(count, 1)].astype(np.float64)
    greatest = float(np.max(np.abs(r)))
    one = stats.beta.sf(greatest**2, 0.5, (size - 1) / 2)
    square = r * r
    spread = 2 * (size - 1) / (size**2 * (size + 2))
    return [
        # Of independent cosines; those of pairs are nearly so.
        Result("greatest correlation", greatest, -math.expm1(r.size * math.log1p(-one))),
        z_test("mean", r.mean() * math.sqrt(r.size * size)),
        z_test("mean square", (square.mean() - 1 / size) / math.sqrt(spread / r.size)),
    ]
