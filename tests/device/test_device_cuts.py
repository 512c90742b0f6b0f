# SPDX-License-Identifier: MIT
"""The cut of a region into launches: every element in its place, once, whatever the limits are."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinit.cuda import cuts
from fastinit.cuda.arrays import DeviceArray
from fastinit.cuda.cuts import DeviceAxes, DeviceRows, DeviceRun, cut
from fastinit.memory.regions import Axis, Region
from fastinit.numerics.dtypes import DTYPES

FLOAT32, FLOAT64 = DTYPES["float32"], DTYPES["float64"]
POINTER = 2**20


def places(array, part):
    """The address and the element number of each index, by definition."""
    for index in itertools.product(*map(range, array.shape)):
        place = sum(at * stride for at, stride in zip(index, array.strides, strict=True))
        number = sum(at * axis.step for at, axis in zip(index, part.axes, strict=True))
        yield array.pointer + place, part.start + number


def filled(piece, size):
    """The same of a piece."""
    if isinstance(piece, DeviceRun):
        piece = DeviceRows(piece.pointer, piece.start, 0, piece.count, 1, 0)
    if isinstance(piece, DeviceRows):
        for row, n in itertools.product(range(piece.rows), range(piece.count)):
            place = piece.pointer + row * piece.out_step + n * size
            yield place, piece.start + row * piece.start_step + n
        return
    counts = [range(axis.count) for axis, _ in piece.axes]
    for index in itertools.product(*counts):
        number, place = piece.start, piece.pointer
        for at, (axis, stride) in zip(index, piece.axes, strict=True):
            number, place = number + at * axis.step, place + at * stride
        yield place, number


def check(array, part, dtype):
    """The pieces fill what the region says, each element once."""
    pieces = list(cut(array, part, dtype))
    found = [each for piece in pieces for each in filled(piece, dtype.size)]
    assert len(found) == part.count
    assert dict(found) == dict(places(array, part))
    return pieces


@st.composite
def fills(draw):
    """An array of a region of some tensor: steps of all kinds, strides of all orders."""
    counts = draw(st.lists(st.integers(1, 5), max_size=5))
    axes, step = [], 1
    for count in reversed(counts):
        step *= draw(st.sampled_from([1, 1, 1, 2, 3]))
        axes.insert(0, Axis(count, step))
        step *= count
    start = draw(st.integers(0, 200))
    for number, axis in enumerate(axes):
        if draw(st.booleans()) and draw(st.booleans()):
            start += (axis.count - 1) * axis.step
            axes[number] = Axis(axis.count, -axis.step)
    order = draw(st.permutations(range(len(counts))))
    strides, stride, pointer = [0] * len(counts), 4, POINTER
    for axis in order if draw(st.booleans()) else reversed(range(len(counts))):
        stride *= draw(st.sampled_from([1, 1, 1, 2]))
        sign = draw(st.sampled_from([1, 1, 1, -1]))
        strides[axis] = sign * stride
        pointer += (counts[axis] - 1) * stride if sign < 0 else 0
        stride *= counts[axis]
    return DeviceArray(pointer, tuple(counts), tuple(strides), 0, 0), Region(start, tuple(axes))


@settings(max_examples=200, deadline=None)
@given(
    fills(),
    st.sampled_from([1, 3, 100]),
    st.sampled_from([1, 8, 10**9]),
    st.sampled_from([1, 2, 6]),
    st.sampled_from([1, 4, 10**9]),
    st.sampled_from([4, 8, 64, 2**34]),
)
def test_every_element_gets_its_number_once(fill, shortest, least, axes, most, apart):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "SHORTEST_ROW", shortest)
        patch.setattr(cuts, "LEAST_PER_LAUNCH", least)
        patch.setattr(cuts, "MOST_SCATTERED_AXES", axes)
        patch.setattr(cuts, "MOST_SCATTERED", most)
        patch.setattr(cuts, "blocks_apart", lambda dtype: apart)
        for piece in check(*fill, FLOAT32):
            if isinstance(piece, DeviceAxes):
                assert piece.total <= most
                assert len(piece.axes) <= axes
                strides = [abs(stride) for _, stride in piece.axes]
                assert strides == sorted(strides)
                continue
            rows, step = (piece.rows, piece.start_step) if isinstance(piece, DeviceRows) else (1, 0)
            for row in range(rows):
                first = piece.start + row * step
                assert first // apart == (first + piece.count - 1) // apart


def array_of(shape, size=4, pointer=POINTER):
    strides = [size * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return DeviceArray(pointer, tuple(shape), tuple(strides), 0, 0)


def whole(shape, start=0):
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return Region(start, tuple(map(Axis, shape, steps)))


def test_a_contiguous_tensor_is_one_run():
    shape = (3, 4096, 1024)
    assert list(cut(array_of(shape), whole(shape), FLOAT32)) == [DeviceRun(POINTER, 0, 3 * 2**22)]


@pytest.mark.parametrize(("dtype", "bound"), [(FLOAT32, 2**34), (FLOAT64, 2**33)])
def test_a_run_is_cut_where_the_upper_half_of_the_block_number_changes(dtype, bound):
    array, part = array_of((100,), dtype.size), Region(bound - 7, (Axis(100, 1),))
    cut_at = POINTER + 7 * dtype.size
    expected = [DeviceRun(POINTER, bound - 7, 7), DeviceRun(cut_at, bound, 93)]
    assert list(cut(array, part, dtype)) == expected


def test_a_run_to_the_last_element_number():
    part = Region(2**63 - 5, (Axis(5, 1),))
    assert list(cut(array_of((5,)), part, FLOAT32)) == [DeviceRun(POINTER, 2**63 - 5, 5)]


def test_a_run_of_several_bounds_is_cut_at_each():
    count = 3 * 2**34
    pieces = list(cut(array_of((count,)), Region(5, (Axis(count, 1),)), FLOAT32))
    assert [piece.start for piece in pieces] == [5, 2**34, 2 * 2**34, 3 * 2**34]
    assert sum(piece.count for piece in pieces) == count


def test_only_the_row_that_crosses_is_cut():
    part = Region(2**34 - 2500, (Axis(5, 2000), Axis(1000, 1)))
    assert list(cut(array_of((5, 1000)), part, FLOAT32)) == [
        DeviceRows(POINTER, 2**34 - 2500, 2000, 1000, 1, 4000),
        DeviceRun(POINTER + 4000, 2**34 - 500, 500),
        DeviceRun(POINTER + 6000, 2**34, 500),
        DeviceRows(POINTER + 8000, 2**34 + 1500, 2000, 1000, 3, 4000),
    ]


def test_rows_that_all_cross_are_all_cut():
    part = Region(2**34 - 1, (Axis(3, 2**34), Axis(1000, 1)))
    pieces = list(cut(array_of((3, 1000)), part, FLOAT32))
    assert [piece.count for piece in pieces] == [1, 999] * 3
    assert [piece.start for piece in pieces[::2]] == [n * 2**34 - 1 for n in (1, 2, 3)]


def test_rows_far_apart_that_do_not_cross_are_one_launch():
    part = Region(2**62, (Axis(7, 2**59), Axis(1000, 1)))
    assert len(list(cut(array_of((7, 1000)), part, FLOAT32))) == 1


def test_short_rows_are_scattered_and_long_ones_are_not():
    for count, kind in ((cuts.SHORTEST_ROW - 1, DeviceAxes), (cuts.SHORTEST_ROW, DeviceRows)):
        part = Region(0, (Axis(9, 2 * count), Axis(count, 1)))
        (piece,) = cut(array_of((9, count)), part, FLOAT32)
        assert isinstance(piece, kind)


def test_a_transposed_tensor_is_one_launch_along_memory():
    part = Region(0, (Axis(300, 1), Axis(200, 300)))
    (piece,) = cut(array_of((300, 200)), part, FLOAT32)
    assert piece == DeviceAxes(POINTER, 0, ((Axis(200, 300), 4), (Axis(300, 1), 800)))


def test_axes_that_were_permuted_in_tensor_and_memory_alike_are_one_run():
    array = DeviceArray(POINTER, (5, 3, 4), (4, 80, 20), 0, 0)
    part = Region(0, (Axis(5, 1), Axis(3, 20), Axis(4, 5)))
    assert list(cut(array, part, FLOAT32)) == [DeviceRun(POINTER, 0, 60)]


@pytest.mark.parametrize("shape", [(0,), (3, 0, 4)])
def test_nothing_is_no_launch(shape):
    assert list(cut(array_of(shape), Region(0, tuple(Axis(n, 1) for n in shape)), FLOAT32)) == []


def test_a_tensor_of_no_axes_is_one_element():
    assert list(cut(array_of(()), Region(12, ()), FLOAT32)) == [DeviceRun(POINTER, 12, 1)]


@given(
    st.integers(0, 300),
    st.integers(0, 40),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([8, 64, 1000]),
)
def test_the_rows_that_cross_are_found(start, step, rows, count, apart):
    firsts = [start + row * step for row in range(rows)]
    right = [n for n, first in enumerate(firsts) if first // apart != (first + count - 1) // apart]
    assert cuts._crossing(start, Axis(rows, step), count, apart) == right


def test_rows_that_overlap_in_the_tensor_are_not_looked_at_one_by_one():
    rows = 10**10
    windows = Region(0, (Axis(rows, 1), Axis(600, 1)))
    (piece,) = cut(DeviceArray(POINTER, windows.shape, (2400, 4), 0, 0), windows, FLOAT32)
    assert piece == DeviceRows(POINTER, 0, 1, 600, rows, 2400)
