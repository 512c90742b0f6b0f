# SPDX-License-Identifier: MIT
"""Checks of arguments: numbers, flags, choices, axes and shapes.  It knows no scheme and no file.

Every `check_` function takes what the argument is called and its value, and returns the value as a
plain Python object.  It raises TypeError or ValueError, and the message says what was given.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeGuard

import numpy as np

from fastinit.integers import integer_of
from fastinit.texts import quoted

Shape = tuple[int, ...]

LIMIT = 2**63
"""Elements, bytes and counts stay below it: offsets are signed 64-bit in files and in arrays."""

NOT_NUMBERS = (bool, np.bool_, str, bytes, bytearray, memoryview, np.complexfloating)
"""Types that `float` converts, though their values are not real numbers."""


def check_number(what: str, value: Any) -> float:
    """`value` as a float, -0 as 0; it may be infinite or NaN.

    >>> check_number("std", 2)
    2.0
    """
    if not isinstance(value, NOT_NUMBERS):
        try:
            return float(value) + 0.0
        except OverflowError:
            raise ValueError(f"{what} is {quoted(value)}: need a finite number") from None
        except (TypeError, ValueError, RuntimeError):  # the last is torch's
            pass
    raise TypeError(f"{what} is {quoted(value)}: need a number{_without_quotes(what, value)}")


def _without_quotes(what: str, value: object) -> str:
    """What to write instead of a number in quotes."""
    if isinstance(value, str):
        with suppress(ValueError):
            return f", without quotes: {what}={float(value):g}"
    return ""


def check_finite(what: str, value: Any) -> float:
    """`value` as a finite float."""
    number = check_number(what, value)
    if not math.isfinite(number):
        raise ValueError(f"{what} is {number!r}: need a finite number")
    return number


def check_factor(what: str, value: Any) -> float:
    """`value` as a finite float that is not negative."""
    number = check_number(what, value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{what} is {number!r}: need a finite number >= 0")
    return number


def check_multiplier(what: str, value: Any) -> float:
    """`value` as a finite float above 0."""
    number = check_number(what, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{what} is {number!r}: need a finite number > 0")
    return number


def check_whole(what: str, value: Any, need: str = "need a whole number") -> int:
    """`value` as an int of any size; `need` ends the message."""
    number = integer_of(value)
    if number is None:
        raise TypeError(f"{what} is {quoted(value)}: {need}")
    return number


def check_at_least(what: str, value: Any, least: int) -> int:
    """`value` as an int of `least` or more."""
    need = f"need a whole number of {least} or more"
    number = check_whole(what, value, need)
    if number < least:
        raise ValueError(f"{what} is {quoted(number)}: {need}")
    return number


def check_count(what: str, value: Any, least: int = 1) -> int:
    """`value` as an int of `least` or more, below `LIMIT`: a shape could have no more.

    >>> check_count("layers", 12)
    12
    """
    number = check_at_least(what, value, least)
    if number >= LIMIT:
        raise ValueError(f"{what} is {quoted(number)}: need less than 2**63")
    return number


def check_integer(what: str, value: Any, below: int) -> int:
    """`value` as an int, 0 <= value < `below`, a power of two."""
    number = integer_of(value)
    if number is None:
        raise TypeError(f"{what} is {quoted(value)}: need an integer, such as {what}=0")
    if not 0 <= number < below:
        bits = below.bit_length() - 1
        raise ValueError(f"{what} is {quoted(number)}: need 0 <= {what} < 2**{bits}")
    return number


def check_flag(what: str, value: Any) -> bool:
    """`value` itself, if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} is {quoted(value)}: need True or False")
    return value


def check_choice(what: str, value: Any, choices: Collection[str], remark: str = "") -> str:
    """`value` as a plain text, if it is one of `choices`; `remark` ends the message."""
    if isinstance(value, str) and value in choices:
        return str(value)
    known = ", ".join(choices)
    raise ValueError(f"{what} {quoted(value)} is unknown: choose from {known}{remark}")


def check_axes(what: str, value: Any) -> int | tuple[int, ...]:
    """`value` as an int or a tuple of ints.

    >>> check_axes("batch_axis", [0, 1])
    (0, 1)
    """
    axis = integer_of(value)
    axes = integers_of(value) if axis is None else axis
    if axes is None:
        raise TypeError(f"{what} is {quoted(value)}: need an integer, or a tuple of integers")
    return axes


def integers_of(value: object) -> tuple[int, ...] | None:
    """The items of `value` as ints; None unless it has items and each stands for an integer."""
    items = _items(value)
    if items is None:
        return None
    numbers = tuple(number for item in items if (number := integer_of(item)) is not None)
    return numbers if len(numbers) == len(items) else None


def _items(value: object) -> tuple[object, ...] | None:
    """The items of a sequence or another iterable; None for texts, tables and single values."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        with suppress(TypeError):  # an array of no axis has `__iter__`, and refuses
            return tuple(value)
    return None


def check_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of ints, none negative, with fewer than 2**63 elements in all.

    >>> check_shape(8), check_shape([2, 3])
    ((8,), (2, 3))
    """
    dims = shape if is_plain_shape(shape) else tuple(map(_check_dim, _dims(shape)))
    if not 0 < math.prod(dims) < LIMIT and size_of(dims) is None:  # the product alone is faster
        raise ValueError(f"shape {quoted(dims)} has 2**63 elements or more: no memory holds it")
    return dims


def is_plain_shape(shape: object) -> TypeGuard[tuple[int, ...]]:
    """Whether it is a tuple of plain ints, none negative, as it nearly always is."""
    if type(shape) is not tuple:
        return False
    for dim in shape:  # noqa: SIM110 - `all` of a generator takes three times as long
        if type(dim) is not int or dim < 0:
            return False
    return True


def size_of(shape: tuple[int, ...], item_size: int = 1, limit: int = LIMIT) -> int | None:
    """The size of a tensor of this shape; None if it is `limit` or more, each 0 taken as 1.

    A dimension of 0 does not make an absurd axis reasonable.

    >>> size_of((2, 3), 4), size_of((2**62, 0, 2))
    (24, None)
    """
    size = item_size
    for dim in shape:
        if dim > 1:
            size *= dim
            if size >= limit:
                return None
    return 0 if 0 in shape else size


def _dims(shape: object) -> tuple[object, ...]:
    items = (shape,) if integer_of(shape) is not None else _items(shape)
    if items is None:
        raise TypeError(f"shape is {quoted(shape)}: need integers, such as (1024, 4096)")
    return items


def _check_dim(dim: object) -> int:
    number = integer_of(dim)
    if number is None or number < 0:
        raise ValueError(f"shape has an axis of {quoted(dim)}: need integers >= 0")
    return number
