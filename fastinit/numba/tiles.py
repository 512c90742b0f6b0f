# SPDX-License-Identifier: MIT
"""A tile of words made into values, rounded to a dtype.  Whose words they are is not known here.

Each step over the tile is one plain loop, which LLVM turns into vector instructions; only the
look-up of quantiles is not (lookups.py).  What a value is, is in values.py and quantiles.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types

from fastinit.machine.floats import default_floats
from fastinit.numba.compiling import OPTIONS, chosen_by_type
from fastinit.numba.elements import value
from fastinit.numba.lookups import quantiles_into
from fastinit.numba.numbers import (
    ClippedNumbers,
    NormalNumbers,
    ScalarNumbers,
    TruncatedNumbers,
    UniformNumbers,
    scalar_numbers,
)
from fastinit.numba.quantiles import (
    far_quantile64,
    is_beyond64,
    is_far64,
    near_quantile64,
    tail_quantile64,
    tail_root64,
)
from fastinit.numba.rounding import (
    finite_to_bfloat16,
    finite_to_float8_e4m3fn,
    finite_to_float8_e5m2,
    finite_to_float16,
)
from fastinit.numba.values import (
    bounded,
    bounded64,
    placed,
    placed64,
    plain_tail,
    plain_tail64,
    symmetric_tail,
    truncated_tail,
    truncated_tail64,
)
from fastinit.numerics.dtypes import DType
from fastinit.values.numbers import Numbers

u8, u32, u64, f32, f64 = np.uint8, np.uint32, np.uint64, np.float32, np.float64

TOP_BIT, TOP_BIT64 = u32(1 << 31), u64(1 << 63)


class SymmetricNumbers(NamedTuple):
    """Of a truncated normal whose bounds are equally far, in float32: both tails are one."""

    scale: Any
    shift: Any
    low: Any
    high: Any
    base: Any
    slope: Any


TileNumbers = ScalarNumbers | SymmetricNumbers


def tile_numbers(numbers: Numbers, dtype: DType) -> TileNumbers:
    """The numbers of `dtype` as `values_into` takes them."""
    found = scalar_numbers(numbers, dtype)
    if numbers.kind == "symmetric" and dtype.name != "float64":
        assert isinstance(found, TruncatedNumbers)
        return SymmetricNumbers(*found[:4], found.base0, found.slope0)
    return found


@default_floats
def plain_tuple(numbers: TileNumbers) -> tuple[float, ...]:
    """The numbers as Python's own, without their class, which Numba takes a microsecond to find.

    How many there are says which class it was; `with_class` finds it again.
    """
    mark = (0,) if isinstance(numbers, ClippedNumbers) else ()  # a uniform has as many
    return (*(number.item() for number in numbers), *mark)


def with_class(numbers: Any, to: Any) -> Any:
    """The numbers of a plain tuple as those of their class, float64 if `to` is, else float32."""


@chosen_by_type(with_class)
def _with_class_of(numbers: Any, to: Any) -> Any:
    real = f64 if to.instance_class is _Float64 else f32
    if len(numbers) == 2:
        return lambda numbers, to: NormalNumbers(real(numbers[0]), real(numbers[1]))
    if len(numbers) == 4:
        return lambda numbers, to: UniformNumbers(
            real(numbers[0]), real(numbers[1]), real(numbers[2]), real(numbers[3])
        )
    if len(numbers) == 5:
        return lambda numbers, to: ClippedNumbers(
            real(numbers[0]), real(numbers[1]), real(numbers[2]), real(numbers[3])
        )
    if len(numbers) == 6:
        return lambda numbers, to: SymmetricNumbers(
            real(numbers[0]),
            real(numbers[1]),
            real(numbers[2]),
            real(numbers[3]),
            real(numbers[4]),
            real(numbers[5]),
        )
    return lambda numbers, to: TruncatedNumbers(
        real(numbers[0]),
        real(numbers[1]),
        real(numbers[2]),
        real(numbers[3]),
        real(numbers[4]),
        real(numbers[5]),
        real(numbers[6]),
        real(numbers[7]),
        u32(numbers[8]),
        u32(numbers[9]),
        u32(numbers[10]),
    )


# ---- what values become -------------------------------------------------------------------------


class _Float64(NamedTuple):
    """Says that values are float64 and stay so."""

    none: Any = u8(0)


class _Float32(NamedTuple):
    """Says that they are float32 and stay so; as for those below."""

    none: Any = u8(0)


class _Float16(NamedTuple):
    """Says that they become float16; and so on."""

    none: Any = u8(0)


class _BFloat16(NamedTuple):
    none: Any = u8(0)


class _E4M3(NamedTuple):
    none: Any = u8(0)


class _E5M2(NamedTuple):
    none: Any = u8(0)


FLOAT64, FLOAT32, FLOAT16 = _Float64(), _Float32(), _Float16()
BFLOAT16, E4M3, E5M2 = _BFloat16(), _E4M3(), _E5M2()
"""What values become, as types: a function as an argument would keep code from being cached."""

_ROUNDINGS = {
    _Float16: finite_to_float16,
    _BFloat16: finite_to_bfloat16,
    _E4M3: finite_to_float8_e4m3fn,
    _E5M2: finite_to_float8_e5m2,
}


def _rounded(x: Any, to: Any) -> Any:
    """The value as what `to` says."""


@chosen_by_type(_rounded)
def _rounded_of(x: Any, to: Any) -> Any:
    rounding = _ROUNDINGS.get(to.instance_class)
    if rounding is None:
        return lambda x, to: x
    return lambda x, to: rounding(x)


# ---- from words to values -----------------------------------------------------------------------


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def room_for(count: Any) -> Any:
    """Memory for a tile of `count` words, and for its quantiles, tail probabilities and signs."""
    room = np.empty(4 * count, u32)  # at once: an allocation takes as long as a hundred values
    z, tails = room[count : 2 * count].view(f32), room[2 * count : 3 * count].view(f32)
    return room[:count], (z, tails, room[3 * count :])


def values_into(out: Any, numbers: Any, words: Any, room: Any, to: Any) -> None:
    """The values of a tile of words, rounded by `to`; `room` is what `room_for` makes."""


@chosen_by_type(values_into)
def _values_into_of(out: Any, numbers: Any, words: Any, room: Any, to: Any) -> Any:
    kind, wide = numbers.instance_class, numbers.types[0] == types.float64
    if kind is UniformNumbers or kind not in (_WIDE_STEPS if wide else _STEPS):

        def straight(out: Any, numbers: Any, words: Any, room: Any, to: Any) -> None:
            for i in range(out.size):
                out[i] = _rounded(value(numbers, words[i]), to)

        return straight
    if wide:
        return _in_wide_steps(*_WIDE_STEPS[kind])
    if kind is TruncatedNumbers:
        return _truncated
    return _in_steps(*_STEPS[kind])


_STEPS: dict[type, Any] = {
    NormalNumbers: (plain_tail, placed),
    ClippedNumbers: (plain_tail, bounded),
    SymmetricNumbers: (symmetric_tail, bounded),
    TruncatedNumbers: (truncated_tail, bounded),
}
"""From a word to a tail probability, and from its quantile to a value."""


def _in_steps(tail_of: Any, end: Any) -> Any:
    """Of a distribution in which the sign of a value is the upper bit of the word."""

    def in_steps(out: Any, numbers: Any, words: Any, room: Any, to: Any) -> None:
        z, tails = room[0][: out.size], room[1][: out.size]
        for i in range(z.size):
            tails[i], _ = tail_of(numbers, words[i])
        quantiles_into(z, tails, u32(0))
        for i in range(z.size):
            out[i] = _rounded(end(numbers, z[i], u32(words[i] & TOP_BIT)), to)

    return in_steps


def _truncated(out: Any, numbers: Any, words: Any, room: Any, to: Any) -> None:
    z, tails, signs = room[0][: out.size], room[1][: out.size], room[2]
    for i in range(z.size):
        tails[i], signs[i] = truncated_tail(numbers, words[i])
    quantiles_into(z, tails, numbers.octave)
    for i in range(z.size):
        out[i] = _rounded(bounded(numbers, z[i], signs[i]), to)


_WIDE_STEPS: dict[type, Any] = {
    NormalNumbers: (plain_tail64, placed64),
    ClippedNumbers: (plain_tail64, bounded64),
    TruncatedNumbers: (truncated_tail64, bounded64),
}
"""The same in float64; a tail probability and its sign are one word there."""


def _in_wide_steps(tail_of: Any, end: Any) -> Any:
    """The centre of the distribution for all, and then the tails, 15 % of a normal, together.

    A logarithm for every value would cost most of the time.  `words` are overwritten.
    """

    def in_steps(out: Any, numbers: Any, words: Any, room: Any, to: Any) -> None:
        p, place = room[0].view(f64), room[2]
        for i in range(out.size):
            p[i], words[i] = tail_of(numbers, words[i])
            out[i] = near_quantile64(p[i])
        count = 0
        for i in range(out.size):
            place[count] = u32(i)
            count += is_far64(p[i])
        for i in range(count):
            p[i] = p[place[i]]
        beyond = False
        for i in range(count):
            p[i] = tail_root64(p[i])
            beyond |= is_beyond64(p[i])
        if beyond:
            for i in range(count):
                out[place[i]] = far_quantile64(p[i])
        else:
            for i in range(count):
                p[i] = tail_quantile64(p[i])
            for i in range(count):
                out[place[i]] = p[i]
        for i in range(out.size):
            out[i] = end(numbers, out[i], words[i])

    return in_steps
