# SPDX-License-Identifier: MIT
"""The value of a word or an element; the class of the numbers, known when compiled, chooses how."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from numba import types
from numba.core.errors import TypingError

from fastinit.numba.compiling import chosen_by_type, exact
from fastinit.numba.numbers import (
    ClippedNumbers,
    ConstantNumbers,
    NormalNumbers,
    TruncatedNumbers,
    UniformNumbers,
)
from fastinit.numba.values import VALUES
from fastinit.numba.words import word, word64

u32, u64 = np.uint32, np.uint64


def _class_of(numbers: Any, function: str, *classes: type) -> type:
    """The class of numbers whose type is given.

    Raises:
        TypingError: it is not among `classes`; Numba shows it with the line of the call.
    """
    found: type | None = getattr(numbers, "instance_class", None)
    if found is None or found not in classes:
        raise TypingError(
            f"fastinit.numba.{function} got {numbers}: need what fastinit.numba.numbers returns, "
            f"{' or '.join(each.__name__ for each in classes)}"
        )
    return found


def _is_wide(numbers: Any) -> bool:
    return bool(numbers.types[0] == types.float64)


def _value(numbers: Any, w: Any) -> Any:
    """The one for the class of the numbers."""


@chosen_by_type(_value)
def _value_of(numbers: Any, w: Any) -> Any:
    narrow, wide = VALUES[_class_of(numbers, "value", *VALUES)]
    if _is_wide(numbers):
        return lambda numbers, w: wide(numbers, u64(w))
    return lambda numbers, w: narrow(numbers, u32(w))


@exact
def value(numbers: Any, w: SupportsIndex) -> Any:
    """The value of a word under any distribution, before it is rounded to a narrow dtype.

    Args:
        numbers: what `fastinit.numba.numbers` returns.
        w: a word, 0 <= w < 2**32; for float64 what `word64` gives, 0 <= w < 2**64.

    Returns:
        float64 if the numbers are, and else float32.

    >>> import fastinit as fi
    >>> from fastinit.numba import numbers
    >>> float(value(numbers(fi.uniform(0.0, 1.0), (8,)), 2**30))
    0.75
    """
    return _value(numbers, w)


def _element(numbers: Any, key: Any, subsequence: Any, i: Any) -> Any:
    """The one for the class of the numbers."""


@chosen_by_type(_element)
def _element_of(numbers: Any, key: Any, subsequence: Any, i: Any) -> Any:
    found = _class_of(numbers, "element", *VALUES)
    narrow, wide = VALUES[found]
    if found is ConstantNumbers:
        return lambda numbers, key, subsequence, i: numbers.value
    if _is_wide(numbers):
        return lambda numbers, key, subsequence, i: wide(numbers, word64(key, subsequence, i))
    return lambda numbers, key, subsequence, i: narrow(numbers, word(key, subsequence, i))


@exact
def element(numbers: Any, key: SupportsIndex, subsequence: SupportsIndex, i: SupportsIndex) -> Any:
    """Element `i` of a tensor, before it is rounded to a narrow dtype.

    Args:
        numbers: what `fastinit.numba.numbers` returns for the tensor's scheme, shape and dtype.
        key, subsequence: of the tensor, what `fastinit.numba.stream` returns.
        i: its number in the whole tensor, in row-major order; 0 <= i < 2**63.

    Returns:
        float64 if the numbers are, and else float32.

    >>> import fastinit as fi
    >>> from fastinit.numba import numbers, stream
    >>> whole = fi.array((3, 4), fi.he_normal(), seed=7, name="w")
    >>> element(numbers(fi.he_normal(), (3, 4)), *stream(7, "w"), 11) == float(whole[2, 3])
    True
    """
    return _element(numbers, key, subsequence, i)


# ---- a distribution by its name -----------------------------------------------------------------


def _uniform(numbers: Any, w: Any) -> Any:
    """Section 4, if the numbers are a uniform's."""


@chosen_by_type(_uniform)
def _uniform_of(numbers: Any, w: Any) -> Any:
    _class_of(numbers, "uniform", UniformNumbers)
    return lambda numbers, w: _value(numbers, w)


@exact
def uniform(numbers: UniformNumbers, w: SupportsIndex) -> Any:
    """The value of a word under a uniform distribution: half * s + mid, inside [low, high].

    s is `signed_uniform` of the word; half and mid are half the width and the middle of the
    interval.

    Args:
        numbers: those of a uniform scheme.
        w: as for `value`.

    Returns:
        As `value`.

    >>> import fastinit as fi
    >>> from fastinit.numba import numbers
    >>> float(uniform(numbers(fi.uniform(-1.0, 1.0), (8,)), 2**30)) == 0.5 + 2.0**-24
    True
    """
    return _uniform(numbers, w)


def _normal(numbers: Any, w: Any) -> Any:
    """Section 5, if the numbers are a normal's."""


@chosen_by_type(_normal)
def _normal_of(numbers: Any, w: Any) -> Any:
    _class_of(numbers, "normal", NormalNumbers, ClippedNumbers)
    return lambda numbers, w: _value(numbers, w)


@exact
def normal(numbers: NormalNumbers | ClippedNumbers, w: SupportsIndex) -> Any:
    """The value of a word under a plain normal distribution: std * z + mean.

    z is `standard_normal` of the word, or `standard_normal64`.  In the float8 types the result
    stays among the finite numbers.

    Args:
        numbers: those of a plain normal scheme.
        w: as for `value`.

    Returns:
        As `value`.

    >>> import fastinit as fi
    >>> from fastinit.numba import numbers, standard_normal
    >>> normal(numbers(fi.normal(std=2.0), (8,)), 5) == 2 * standard_normal(5)
    True
    """
    return _normal(numbers, w)


def _clipped_normal(numbers: Any, w: Any) -> Any:
    """Section 6, if the numbers are a clipped normal's."""


@chosen_by_type(_clipped_normal)
def _clipped_normal_of(numbers: Any, w: Any) -> Any:
    _class_of(numbers, "clipped_normal", ClippedNumbers)
    return lambda numbers, w: _value(numbers, w)


@exact
def clipped_normal(numbers: ClippedNumbers, w: SupportsIndex) -> Any:
    """The value of a word under a clipped normal: min(max(std * z + mean, low), high).

    Args:
        numbers: those of a clipped normal scheme.
        w: as for `value`.

    Returns:
        As `value`.

    >>> import fastinit as fi
    >>> from fastinit.numba import numbers
    >>> float(clipped_normal(numbers(fi.clipped_normal(std=0.5), (8,)), 0))
    1.0
    """
    return _clipped_normal(numbers, w)


def _truncated_normal(numbers: Any, w: Any) -> Any:
    """Section 7, if the numbers are a truncated normal's."""


@chosen_by_type(_truncated_normal)
def _truncated_normal_of(numbers: Any, w: Any) -> Any:
    _class_of(numbers, "truncated_normal", TruncatedNumbers)
    return lambda numbers, w: _value(numbers, w)


@exact
def truncated_normal(numbers: TruncatedNumbers, w: SupportsIndex) -> Any:
    """The value of a word under a truncated normal, by its inverse distribution function.

    Args:
        numbers: those of a truncated normal scheme.
        w: as for `value`.

    Returns:
        As `value`.

    >>> import fastinit as fi
    >>> from fastinit.numba import numbers
    >>> float(truncated_normal(numbers(fi.truncated_normal(std=0.5), (8,)), 0))
    1.0
    """
    return _truncated_normal(numbers, w)
