# SPDX-License-Identifier: MIT
"""From a word to a sign and the probability of a tail, for distributions that are symmetric.

docs/stream.md, section 22.3, defines every bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from fastinit.numba.arithmetic import plus, smaller, times
from fastinit.numba.compiling import chosen_by_type, exact

u32, u64, f32, f64 = np.uint32, np.uint64, np.float32, np.float64

BELOW_ONE32 = f32(1.0 - 2.0**-24)
BELOW_ONE64 = 1.0 - 2.0**-53
"""The largest numbers below 1."""


@exact
def _of_word(w: Any) -> Any:
    p = times(plus(f32(w & u32(0x7FFFFFFF)), f32(0.5)), f32(2.0**-31))
    sign = f32(-1.0) if w & u32(0x80000000) else f32(1.0)
    return sign, smaller(p, BELOW_ONE32)


@exact
def _of_wide_word(w: Any) -> Any:
    p = times(plus(f64(w & u64(0x7FFFFFFFFFFFFFFF)), 0.5), 2.0**-63)
    sign = -1.0 if w & u64(0x8000000000000000) else 1.0
    return sign, smaller(p, BELOW_ONE64)


def _sign_and_tail(w: Any) -> Any:
    """The one for the type of w."""


@chosen_by_type(_sign_and_tail)
def _sign_and_tail_of(w: Any) -> Any:
    if w == types.uint64:
        return lambda w: _of_wide_word(w)
    return lambda w: _of_word(u32(w))


@exact
def sign_and_tail(w: Any) -> Any:
    """A sign, and the probability of a value further out on its side, from one word.

    The words of the normal distribution's tails: small probabilities have all their bits, so tails
    are resolved to 2**-32 (for float64 tensors 2**-64), further than those of a uniform draw.

    Args:
        w: the raw word, a draw `w`: uint64 for float64 results, else uint32 for float32 ones.

    Returns:
        1 or -1, equally likely, and p, 0 < p < 1, uniform: of all values with that sign the share p
        lies further out.

    >>> import numpy as np
    >>> [float(x) for x in sign_and_tail(np.uint32(0x80000000))] == [-1.0, 2.0**-32]
    True
    """
    return _sign_and_tail(w)
