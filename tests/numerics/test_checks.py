# SPDX-License-Identifier: MIT
"""Each check of an argument, with what it takes and with many wrong values.

What arrays, schemes and plans say of a wrong argument is in their own tests.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from fastinit.integers import integer_of
from fastinit.numerics.checks import (
    LIMIT,
    check_at_least,
    check_axes,
    check_choice,
    check_count,
    check_factor,
    check_finite,
    check_flag,
    check_integer,
    check_multiplier,
    check_number,
    check_shape,
    check_whole,
    integers_of,
    is_plain_shape,
    size_of,
)
from fastinit.texts import quoted

INF, NAN = math.inf, math.nan


class Refusing:
    """Has what a number has, and refuses, as tensors of several elements or on no device do."""

    def __init__(self, error):
        self.error = error

    def __index__(self):
        raise self.error

    __int__ = __float__ = __index__

    def __repr__(self):
        return f"Refusing({type(self.error).__name__})"


class Seven:
    """Stands for an integer, as a tensor of one element does."""

    def __index__(self):
        return 7


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no device")


REFUSING = [Refusing(error("no")) for error in (TypeError, ValueError, RuntimeError)]
NEITHER = [None, [1], (1,), {1: 1}, {1}, range(3), object(), 1j, *REFUSING, Unshowable()]
"""Neither numbers nor texts."""
TEXTS = ["", "1", "True", np.str_("1"), b"1", bytearray(b"1"), memoryview(b"1")]
BOOLS = [True, False, np.True_, np.False_, np.array(True)]
FRACTIONS = [1.0, 0.5, -0.0, 1e300, NAN, INF, np.float32(1), np.float64(2), Decimal(1), Fraction(1)]
NOT_WHOLE = [*NEITHER, *TEXTS, *BOOLS, *FRACTIONS, np.array([1]), np.array(1.0), np.ones(3)]
WHOLE = [
    (0, 0),
    (-3, -3),
    (10**30, 10**30),
    (np.int8(-3), -3),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.array(5), 5),
    (Seven(), 7),
]


def shown(value):
    """An id that is short and the same in every process, whatever the value's own `repr`."""
    return quoted(value).partition(" at 0x")[0][:20]


def message_of(error, check, *args):
    with pytest.raises(error) as caught:
        check(*args)
    message = str(caught.value)
    assert len(message) < 600
    assert message.isprintable()
    return message


# --- whole numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", NOT_WHOLE, ids=shown)
def test_what_does_not_stand_for_an_integer_is_not_one(value):
    assert integer_of(value) is None
    message = message_of(TypeError, check_whole, "n", value)
    assert message.startswith("n is ")
    assert message.endswith(": need a whole number")


@pytest.mark.parametrize(("value", "number"), WHOLE, ids=shown)
def test_what_stands_for_an_integer_becomes_a_plain_one(value, number):
    for found in (integer_of(value), check_whole("n", value)):
        assert found == number
        assert type(found) is int


def test_a_whole_number_that_is_refused_is_quoted_with_what_is_needed():
    assert message_of(TypeError, check_whole, "n", True) == "n is True: need a whole number"
    assert message_of(TypeError, check_whole, "n", "2", "pass 3") == "n is '2': pass 3"


@pytest.mark.parametrize("value", NOT_WHOLE, ids=shown)
def test_a_count_is_a_whole_number(value):
    message = message_of(TypeError, check_count, "layers", value)
    assert message.startswith("layers is ")
    assert message.endswith(": need a whole number of 1 or more")


@pytest.mark.parametrize("least", [0, 1, 2])
def test_a_count_is_neither_too_small_nor_beyond_any_shape(least):
    for count in (least, np.int16(least + 1), LIMIT - 1):
        assert check_count("layers", count, least) == count
        assert type(check_count("layers", count, least)) is int
    for count in (least - 1, -(10**5000)):
        message = message_of(ValueError, check_count, "layers", count, least)
        assert message.endswith(f": need a whole number of {least} or more")
    for count in (LIMIT, np.uint64(LIMIT), 10**5000):
        assert check_at_least("groups", count, least) == count
        message = message_of(ValueError, check_count, "layers", count, least)
        assert message.endswith(": need less than 2**63")


@pytest.mark.parametrize("value", NOT_WHOLE, ids=shown)
def test_a_bounded_integer_is_an_integer(value):
    message = message_of(TypeError, check_integer, "seed", value, 2**64)
    assert message.startswith("seed is ")
    assert message.endswith(": need an integer, such as seed=0")


@pytest.mark.parametrize("bits", [32, 63, 64])
def test_a_bounded_integer_lies_below_its_bound(bits):
    for value in (0, np.uint8(7), 2**bits - 1):
        assert check_integer("seed", value, 2**bits) == value
        assert type(check_integer("seed", value, 2**bits)) is int
    for value in (-1, 2**bits, 10**5000):
        message = message_of(ValueError, check_integer, "seed", value, 2**bits)
        assert message.endswith(f": need 0 <= seed < 2**{bits}")


# --- numbers ---------------------------------------------------------------------------------

NOT_NUMBERS = [*NEITHER, *TEXTS, *BOOLS[:-1], np.complex64(1), np.array([1.0, 2.0]), np.array(None)]
NUMBERS = [(2, 2.0), (0.5, 0.5), (np.float32(0.5), 0.5), (np.int8(-3), -3.0), (np.array(2.5), 2.5)]
NUMBERS += [(Decimal("0.5"), 0.5), (Fraction(1, 4), 0.25), (Seven(), 7.0), (5e-324, 5e-324)]
FINITE = [check_finite, check_factor, check_multiplier]


@pytest.mark.parametrize("check", [check_number, *FINITE])
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=shown)
def test_what_is_not_a_number_is_refused(check, value):
    message = message_of(TypeError, check, "std", value)
    assert message.startswith("std is ")
    assert ": need a number" in message


@pytest.mark.parametrize("check", [check_number, check_finite])
@pytest.mark.parametrize(("value", "number"), NUMBERS, ids=shown)
def test_numbers_of_all_types_become_plain_floats(check, value, number):
    assert check("std", value) == number
    assert type(check("std", value)) is float


@pytest.mark.parametrize("check", [check_number, check_finite, check_factor])
def test_minus_zero_is_zero(check):
    assert math.copysign(1, check("std", -0.0)) == 1


def test_a_number_in_quotes_is_shown_without_them():
    expected = "std is '0.02': need a number, without quotes: std=0.02"
    assert message_of(TypeError, check_number, "std", "0.02") == expected
    assert message_of(TypeError, check_number, "std", "relu") == "std is 'relu': need a number"


@pytest.mark.parametrize("check", [check_number, *FINITE])
@pytest.mark.parametrize("value", [10**400, -(10**400), Fraction(10**400)], ids=lambda v: "huge")
def test_a_number_beyond_every_float_is_refused(check, value):
    message = message_of(ValueError, check, "std", value)
    assert message.startswith("std is ")
    assert message.endswith(": need a finite number")


def test_a_number_may_be_infinite_where_nothing_else_is_asked():
    assert check_number("high", INF) == INF
    assert math.isnan(check_number("high", np.float32(NAN)))


@pytest.mark.parametrize("check", FINITE)
@pytest.mark.parametrize("value", [NAN, INF, -INF, np.float32(INF)], ids=str)
def test_a_number_that_is_not_finite_is_refused_where_it_must_be(check, value):
    message = message_of(ValueError, check, "std", value)
    assert message.startswith(f"std is {float(value)!r}: need a finite number")


def test_a_factor_is_not_negative_and_a_multiplier_above_zero():
    assert check_factor("gain", 0) == 0
    assert check_factor("gain", 5e-324) == check_multiplier("gain", 5e-324) == 5e-324
    expected = "gain is -1.0: need a finite number >= 0"
    assert message_of(ValueError, check_factor, "gain", -1) == expected
    for value in (0, -0.0, -1):
        message = message_of(ValueError, check_multiplier, "gain", value)
        assert message == f"gain is {float(value) + 0.0!r}: need a finite number > 0"


# --- flags and choices -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [*NEITHER, *TEXTS, *FRACTIONS, 0, 1, np.True_, np.array(True)], ids=shown
)
def test_only_true_and_false_are_flags(value):
    message = message_of(TypeError, check_flag, "first", value)
    assert message.startswith("first is ")
    assert message.endswith(": need True or False")
    assert check_flag("first", True) is True
    assert check_flag("first", False) is False


@pytest.mark.parametrize(
    "value", [*NEITHER, *TEXTS, *BOOLS, *FRACTIONS, "Torch", "torch ", np.array("torch")], ids=shown
)
def test_a_choice_is_one_of_the_texts_listed(value):
    message = message_of(ValueError, check_choice, "layout", value, ("torch", "jax"), "; or none")
    assert message.startswith("layout ")
    assert message.endswith(" is unknown: choose from torch, jax; or none")


def test_a_text_of_another_type_is_chosen_as_a_plain_one():
    found = check_choice("layout", np.str_("jax"), ("torch", "jax"))
    assert found == "jax"
    assert type(found) is str


# --- axes and shapes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 1.0, "0", b"0", {0: 1}, object(), np.array(1.0), np.True_, *REFUSING),
        *((True,), [0, 1.0], ("0",), [None], ((0,),), np.ones(2), np.array([True]), (REFUSING[0],)),
    ],
    ids=shown,
)
def test_axes_are_an_integer_or_several(value):
    message = message_of(TypeError, check_axes, "batch_axis", value)
    assert message.startswith("batch_axis is ")
    assert message.endswith(": need an integer, or a tuple of integers")


@pytest.mark.parametrize(
    ("value", "axes"),
    [
        *((-1, -1), (np.int64(2), 2), (np.array(2), 2), (10**30, 10**30)),
        *(((), ()), ([0, np.int8(1)], (0, 1)), (range(2), (0, 1)), (np.arange(2), (0, 1))),
        (iter([3]), (3,)),
    ],
    ids=shown,
)
def test_axes_become_plain_integers(value, axes):
    found = check_axes("batch_axis", value)
    assert found == axes
    assert {type(axis) for axis in (found if isinstance(found, tuple) else [found])} <= {int}


def test_integers_are_those_of_a_sequence_of_nothing_else():
    assert integers_of([1, np.int8(2)]) == (1, 2)
    assert integers_of(()) == ()
    for value in (3, "34", b"34", {3: 4}, [3, "4"], (True,), np.array(3), None):
        assert integers_of(value) is None


@pytest.mark.parametrize(
    "shape", [None, "ab", b"ab", "", {3: 4}, 1.5, True, np.array(1.5), *REFUSING, object], ids=shown
)
def test_what_has_no_integers_is_not_a_shape(shape):
    message = message_of(TypeError, check_shape, shape)
    assert message.startswith("shape is ")
    assert message.endswith(": need integers, such as (1024, 4096)")


@pytest.mark.parametrize(
    "dim", [-1, -(10**5000), np.int8(-1), *BOOLS, *FRACTIONS, "4", (4,), None, *REFUSING], ids=shown
)
def test_an_axis_of_a_shape_is_an_integer_and_not_negative(dim):
    for shape in ((4, dim), [dim], iter([dim, 4])):
        message = message_of(ValueError, check_shape, shape)
        assert message.startswith("shape has an axis of ")
        assert message.endswith(": need integers >= 0")
    assert not is_plain_shape((4, dim))


def test_a_plain_shape_is_itself():
    for shape in ((), (0,), (2, 3), (2**63 - 1,), (2**40, 0)):
        assert is_plain_shape(shape)
        assert check_shape(shape) is shape


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        *((8, (8,)), (np.int8(8), (8,)), (np.array(8), (8,)), ([], ()), ([2, 3], (2, 3))),
        *((np.array([2, 3]), (2, 3)), (iter([2]), (2,)), ((np.uint8(2), Seven()), (2, 7))),
    ],
    ids=shown,
)
def test_a_shape_of_another_kind_becomes_plain(shape, dims):
    assert not is_plain_shape(shape)
    found = check_shape(shape)
    assert found == dims
    assert is_plain_shape(found)


@pytest.mark.parametrize(
    "shape",
    [(LIMIT,), (2**32, 2**31), (2**40, 0, 2**30), (0, LIMIT), [2**62, 2], 10**5000],
    ids=shown,
)
def test_no_shape_has_two_to_the_63_elements(shape):
    message = message_of(ValueError, check_shape, shape)
    assert message.startswith("shape (")
    assert message.endswith(" has 2**63 elements or more: no memory holds it")


def test_a_size_is_below_its_limit_with_every_zero_taken_as_one():
    assert size_of(()) == 1
    assert size_of((LIMIT - 1,)) == LIMIT - 1
    assert size_of((LIMIT,)) is None
    assert size_of((2**60 - 1,), 8) == LIMIT - 8
    assert size_of((2**60,), 8) is None
    assert size_of((2**20, 0, 2**20)) == 0
    assert size_of((2**32, 0, 2**31)) is None
    assert size_of((5, 1, 2), 10, 101) == 100
    assert size_of((5, 1, 2), 10, 100) is None


def test_an_endless_shape_is_refused_at_the_first_axis_too_many():
    dims = iter([2**40, 0, 2**40, 5, 5])
    assert size_of(dims) is None
    assert list(dims) == [5, 5]
