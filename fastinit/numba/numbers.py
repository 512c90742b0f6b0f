# SPDX-License-Identifier: MIT
"""The numbers of schemes and streams in the form that compiled functions take.  Nothing is drawn.

Numba chooses a function by the types of its arguments, so the class of the numbers says which
distribution it is, and the type of their fields, float32 or float64, how it is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from fastinit.machine.floats import default_floats
from fastinit.numerics.checks import check_shape
from fastinit.numerics.dtypes import DType, resolve
from fastinit.schemes.scheme import Scheme
from fastinit.schemes.scheme import scheme as scheme_of
from fastinit.texts import quoted
from fastinit.values.distributions import Independent
from fastinit.values.numbers import Numbers
from fastinit.values.stream import checked


class UniformNumbers(NamedTuple):
    """Of a uniform distribution; `fastinit.values.numbers.Numbers` says what each is."""

    scale: Any
    shift: Any
    low: Any
    high: Any


class NormalNumbers(NamedTuple):
    """Of a plain normal without an interval."""

    scale: Any
    shift: Any


class ClippedNumbers(NamedTuple):
    """Of a clipped normal, and of a plain one in a float8 type, which saturates."""

    scale: Any
    shift: Any
    low: Any
    high: Any


class TruncatedNumbers(NamedTuple):
    """Of a truncated normal; the fields of `base` and `slope` are apart, upper tail first."""

    scale: Any
    shift: Any
    low: Any
    high: Any
    base0: Any
    base1: Any
    slope0: Any
    slope1: Any
    sign_and: Any
    sign_xor: Any
    octave: Any


class ConstantNumbers(NamedTuple):
    """Of a constant: the value itself."""

    value: Any


ScalarNumbers = UniformNumbers | NormalNumbers | ClippedNumbers | TruncatedNumbers | ConstantNumbers


class StreamNumbers(NamedTuple):
    """Of a stream: the key and the subsequence."""

    key: Any
    subsequence: Any


def stream(seed: SupportsIndex, name: str) -> StreamNumbers:
    """The key and the subsequence of the tensor `name`, as `element` and `word` take them.

    Numba compiles a function that is first called with a small Python integer for int64, and then
    refuses one from 2**63 on; half of all names have such a subsequence.  These are uint64.

    Args:
        seed: 0 <= seed < 2**64.
        name: any text that has a UTF-8 form.

    Returns:
        A named tuple of two NumPy uint64 numbers.

    Raises:
        ValueError: the seed is out of range, or the name holds a lone surrogate.
        TypeError: the seed is not an integer, or the name is not a string.

    >>> stream(seed=7, name="w")
    StreamNumbers(key=np.uint64(7), subsequence=np.uint64(2347026877809978270))
    """
    found = checked(seed, name)
    return StreamNumbers(np.uint64(found.seed), np.uint64(found.subsequence))


@default_floats
def numbers(
    scheme: Scheme | str,
    shape: Sequence[SupportsIndex] | SupportsIndex,
    *,
    dtype: Any = "float32",
    name: str = "",
) -> ScalarNumbers:
    """The numbers from which compiled functions make the values of a scheme, such as `element`.

    Args:
        scheme: one whose elements each come from their own word, such as ``fi.he_normal()``, or
            its text.
        shape: of the whole tensor; scales follow from it.
        dtype: of the tensor, as for `fastinit.array`.  Values of narrow dtypes are computed in
            float32, inside the interval of the dtype, and rounded by `to_bfloat16` or another.
        name: of the tensor, for schemes that look at it, such as ``auto``.

    Returns:
        A named tuple of float64 numbers for float64, and else of float32 numbers.

    Raises:
        TypeError: an argument is none of these.
        ValueError: the scheme does not suit the shape or the dtype, or its elements depend on
            their place or on each other.

    >>> import fastinit as fi
    >>> numbers(fi.normal(std=0.5), (64, 64))
    NormalNumbers(scale=np.float32(0.5), shift=np.float32(0.0))
    """
    chosen = scheme_of(scheme)  # type: ignore[arg-type]
    kind = resolve(dtype)
    size = check_shape(shape)
    found = chosen.for_tensor(name, size).distribution_of(size)
    if not isinstance(found, Independent):
        raise ValueError(
            f"{quoted(str(chosen))} makes elements that depend on their place or on each other, or "
            "maps them by a formula: compiled functions draw uniforms, normals and constants; for "
            "others use fastinit.array or fastinit.fill"
        )
    return scalar_numbers(found.numbers(kind.name), kind)


@default_floats
def scalar_numbers(given: Numbers, dtype: DType) -> ScalarNumbers:
    """The numbers of `dtype` as a named tuple; denormal ones too, whatever else flushes them."""
    real = np.float64 if dtype.name == "float64" else np.float32
    if given.kind == "constant":
        pattern = np.array([given.pattern], f"u{dtype.size}")
        return ConstantNumbers(real(pattern.view(dtype.numpy)[0]))
    bell = real(given.scale), real(given.shift)
    ends = real(given.low), real(given.high)
    if given.kind == "uniform":
        return UniformNumbers(*bell, *ends)
    if given.kind == "normal" and dtype.size > 1:
        return NormalNumbers(*bell)
    if given.kind in ("normal", "clipped"):
        return ClippedNumbers(*bell, *ends)
    base, slope = map(real, given.base), map(real, given.slope)
    signs = np.uint32(given.sign_and), np.uint32(given.sign_xor)
    fields = (*bell, *ends, *base, *slope, *signs, np.uint32(given.octave))
    return TruncatedNumbers._make(fields)
