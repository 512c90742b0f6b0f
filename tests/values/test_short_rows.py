# SPDX-License-Identifier: MIT
"""Short rows: elements that lie scattered, in the tensor or in memory, against the reference.

Regions and views of whole arrays are in test_cuts.py, where a fill is cut in test_chunks.py, and
how many instructions it takes in test_tracking_losses.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import reference as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import assert_same_bits, reference_values, scheme_of, spec_of

import fastinit as fi
from fastinit.backends import _native
from fastinit.numerics.dtypes import resolve
from fastinit.schemes.sampling import sampler
from fastinit.values.stream import checked

SEED, NAME = 2**40 + 1, "h.3.mlp.weight"
DTYPES = list(ref.DTYPES)
DISTRIBUTIONS = [
    ref.Uniform(-0.1, 0.7),
    ref.Normal(),
    ref.Truncated(1.0, 0.0, 3.0, 5.0),
    ref.Constant(-0.3),
]
GUARD = 0xA5
RANGE_ERROR = "fastinit's C layer was given an argument outside its range"

View = Callable[[ref.Array], ref.Array]


def numbers_of(start: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> ref.Array:
    """Every element's number."""
    numbers = np.full(shape, start, np.uint64)
    for axis, (count, step) in enumerate(zip(shape, steps, strict=True)):
        along = np.arange(count, dtype=np.uint64) * np.uint64(step)
        numbers += along.reshape(count, *[1] * (len(shape) - axis - 1))
    return numbers


def check(
    distribution: ref.Distribution,
    dtype: str,
    start: int,
    steps: tuple[int, ...],
    dims: tuple[int, ...],
    view: View = lambda memory: memory,
) -> None:
    """Fill a view of memory of the shape `dims`, and see that nothing beside it is written."""
    kind = ref.DTYPES[dtype]
    memory = np.full((*dims, kind.itemsize), GUARD, np.uint8).view(kind)[..., 0]
    right = memory.copy()
    there = view(right)
    numbers = numbers_of(start, there.shape, steps)
    there[...] = reference_values(SEED, NAME, distribution, numbers, dtype)
    out = view(memory).view(f"u{kind.itemsize}")
    drawn = sampler(scheme_of(distribution), (8,), checked(SEED, NAME), resolve(dtype))
    drawn.draw_array(out, start, steps)
    assert_same_bits(memory, right)


# ---- bits ---------------------------------------------------------------------------------------

# Steps in the tensor, memory and which part of it: rows around the sizes at which they are listed,
# drawn and picked together, in the tensor near to each other, apart and far apart.
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], View]] = {
    "backwards": ((1,), (1500,), lambda a: a[::-1]),
    "every second": ((2,), (1500,), lambda a: a),
    "every third, apart in memory": ((3,), (4000,), lambda a: a[::2]),
    "every fifth": ((5,), (1100,), lambda a: a),
    "a column": ((4097,), (1100,), lambda a: a),
    "two of three in memory": ((2, 1), (1100, 3), lambda a: a[:, :2]),
    "two of many": ((4097, 1), (700, 2), lambda a: a),
    "three of many, backwards": ((1001, 1), (400, 4), lambda a: a[::-1, 1:]),
    "seven of eight": ((8, 1), (200, 9), lambda a: a[:, :7]),
    "64 of 100": ((100, 1), (40, 64), lambda a: a),
    "127 of 4096": ((4096, 1), (9, 127), lambda a: a),
    "128 of 4097": ((4097, 1), (9, 130), lambda a: a[:, 1:-1]),
    "256 of 4097": ((4097, 1), (5, 256), lambda a: a),
    "401 of 4096": ((4096, 1), (5, 401), lambda a: a),
    "512 of 513": ((513, 1), (5, 515), lambda a: a[:, 2:-1]),
    "rows that overlap": ((5, 1), (300, 9), lambda a: a),
    "one row again and again": ((0, 1), (300, 6), lambda a: a),
    "squares": ((16, 4, 1), (300, 3, 3), lambda a: a[:, :2, 1:]),
    "cubes": ((64, 16, 4, 1), (40, 3, 3, 5), lambda a: a[:, ::-1, :, 1:4]),
    "a corner of each square": ((9, 2), (700, 2), lambda a: a),
    "axes out of order": ((1, 64, 8), (4, 30, 5), lambda a: a),
    "one element": ((1,), (3,), lambda a: a[1:2]),
    "one axis of one": ((7, 3, 1), (4, 1, 5), lambda a: a),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_rows_have_the_references_bits(isa, name, dtype):
    for start in (0, 3):
        for distribution in DISTRIBUTIONS:
            check(distribution, dtype, start, *CASES[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_carry_may_come_anywhere_in_a_row_and_between_rows(isa, dtype):
    """Element 2^34, of float64 2^33, begins block 2^32, of which counter word 1 is another."""
    edge = 2**33 if dtype == "float64" else 2**34
    for before in range(30):
        for steps in ((9, 1), (2, 1), (40, 1)):
            check(ref.Normal(), dtype, edge - before, steps, (5, 6), lambda a: a[:, :5])
    for step in (1, 3, 8, 2**20 + 1, 2**33):
        check(ref.Normal(), dtype, edge - min(500 * step, edge), (step,), (1000,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_the_last_row_may_end_with_the_last_element_there_can_be(isa, dtype, count):
    for step in (count, 3 * count + 1, 2**40):
        start = 2**63 - count - 5 * step
        check(ref.Normal(), dtype, start, (step, 1), (6, count))


@pytest.mark.native
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_a_row_past_the_last_element_there_can_be_is_refused(isa, dtype, count):
    for step in (count, 3 * count + 1, 2**40):
        start = 2**63 - count - 5 * step
        out = np.full((6, count), GUARD, f"u{ref.DTYPES[dtype].itemsize}")
        with pytest.raises(ValueError, match=RANGE_ERROR):
            _native.fill_array(out, spec_of(ref.Normal(), dtype, SEED, NAME), start + 1, (step, 1))
        assert (out == GUARD).all()


@st.composite
def layouts(draw):
    """Steps, the shape of memory, and the slices of it that are filled, in any order of axes."""
    axes = draw(st.integers(1, 4))
    small = st.integers(1, 7)
    shape = [draw(small | st.sampled_from([30, 129, 600])) for _ in range(axes)]
    while np.prod(shape) > 3000:
        shape[int(np.argmax(shape))] = draw(small)
    near = st.integers(0, 12)
    steps = [draw(near | st.sampled_from([64, 4096, 4097, 2**32 + 4, 2**40])) for _ in shape]
    if draw(st.booleans()):
        steps[-1] = 1
    strides = [draw(st.sampled_from([1, 1, 2, -1, -3])) for _ in shape]
    gaps = [draw(st.integers(0, 2)) for _ in shape]
    dims = [n * abs(stride) + gap for n, stride, gap in zip(shape, strides, gaps, strict=True)]
    order = draw(st.permutations(range(axes)))

    def view(memory):
        out = memory.transpose(order)
        picked = [
            slice(None, n * stride, stride) if stride > 0 else slice(n * -stride - 1, None, stride)
            for n, stride in zip(shape, strides, strict=True)
        ]
        return out[tuple(picked)]

    held = [0] * axes
    for place, axis in enumerate(order):
        held[axis] = dims[place]
    return (
        tuple(steps),
        tuple(held),
        view,
        sum((n - 1) * s for n, s in zip(shape, steps, strict=True)),
    )


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(layouts(), st.data(), st.sampled_from(DTYPES), st.sampled_from(DISTRIBUTIONS))
def test_any_rows_have_the_references_bits(layout, data, dtype, distribution):
    steps, dims, view, reach = layout
    edge = 2**33 if dtype == "float64" else 2**34
    starts = st.integers(0, 999) | st.integers(edge - 2000, edge) | st.just(2**63 - 1 - reach)
    check(distribution, dtype, data.draw(starts), steps, dims, view)


@pytest.mark.parametrize(
    ("shape", "view"),
    [
        ((4000, 16), np.s_[::-1]),
        ((4000, 1), np.s_[::-1]),
        ((3000, 5), np.s_[:, ::-1]),
        ((70, 6, 16), np.s_[:, :4, :8]),
        ((70, 6, 16), np.s_[::-1, ::-1, ::-1]),
        ((200, 300), np.s_[::-1, 7:8]),
        ((200, 300), np.s_[:, 150]),
        ((200, 300), np.s_[::-2, 299]),
    ],
)
def test_rows_that_run_backwards_or_apart_hold_what_plain_ones_do(shape, view):
    """Both as strides of the output and as a region, on their own and together."""
    whole = fi.array(shape, fi.normal(), seed=5, name="w")
    part = fi.array(shape, fi.normal(), seed=5, name="w", region=view)
    np.testing.assert_array_equal(part, whole[view])
    out = np.zeros(shape, np.float32)[view]
    fi.fill(out, fi.normal(), seed=5, name="w", shape=shape, region=view)
    np.testing.assert_array_equal(out, whole[view])
    small = fi.array(out.shape, fi.normal(), seed=5, name="w")
    fi.fill(out, fi.normal(), seed=5, name="w")
    np.testing.assert_array_equal(out, small)


# ---- what the border refuses --------------------------------------------------------------------


@pytest.mark.native
@pytest.mark.parametrize(
    ("out", "steps", "message"),
    [
        (np.zeros(3, "u4"), (1, 1), "an array of 1 axes and 4-byte elements does not fit 2 steps"),
        (np.zeros((), "u4"), (), "an array of 0 axes and 4-byte elements does not fit 0 steps"),
        (np.zeros(3, "u2"), (1,), "and 2-byte elements does not fit 1 steps and 4-byte values"),
        (np.zeros(3, "u4"), (2**62,), RANGE_ERROR),
        (np.zeros((3, 3), "u4"), (2**62, 2**62), RANGE_ERROR),
    ],
)
def test_an_array_that_does_not_fit_is_refused(out, steps, message):
    with pytest.raises(ValueError, match=message):
        _native.fill_array(out, spec_of(ref.Normal(), "float32", SEED, NAME), 0, steps)
    assert not out.any()


@pytest.mark.native
def test_what_cannot_be_written_or_counted_is_refused():
    spec = spec_of(ref.Normal(), "float32", SEED, NAME)
    with pytest.raises((ValueError, BufferError)):
        _native.fill_array(np.broadcast_to(np.uint32(0), 3), spec, 0, (1,))
    with pytest.raises(OverflowError):
        _native.fill_array(np.zeros(3, "u4"), spec, 0, (-1,))
    with pytest.raises(TypeError):
        _native.fill_array(None, spec, 0, (1,))


@pytest.mark.native
def test_an_empty_array_is_filled():
    out = np.zeros((4, 0, 3), "u4")
    assert (
        _native.fill_array(out, spec_of(ref.Normal(), "float32", SEED, NAME), 2**63 - 1, (1, 1, 1))
        is None
    )


# ---- samplers that are not the kernels ----------------------------------------------------------

SQUARE = (90, 70)
CUBE = (40, 30, 20)


@pytest.mark.parametrize(
    ("scheme", "shape", "region"),
    [
        (fi.sparse(0.5), SQUARE, np.s_[:, 3:5]),
        (fi.sparse(0.5), SQUARE, np.s_[1::3, 65:2:-2]),
        (fi.identity(), SQUARE, np.s_[:, 3:5]),
        (fi.identity(), SQUARE, np.s_[1::3, 65:2:-2]),
        (fi.orthogonal(), SQUARE, np.s_[:, 7]),
        (fi.orthogonal(), CUBE, np.s_[:, 3:9, 2:4]),
        (fi.orthogonal(), CUBE, np.s_[::3, ::2, 19::-5]),
        (fi.orthogonal(), CUBE, np.s_[::-2, 3:9, 2:10]),
    ],
)
@pytest.mark.parametrize("step", [1, -1, 2])
def test_a_matrix_in_narrow_parts_is_those_of_the_whole(scheme, shape, region, step):
    right = fi.array(shape, scheme, seed=1, name="w")[region]
    for axis in range(right.ndim):
        dims = [dim * (1 + (number == axis)) for number, dim in enumerate(right.shape)]
        memory = np.full(dims, np.nan, np.float32)
        out = np.moveaxis(np.moveaxis(memory, axis, 0)[::step][: right.shape[axis]], 0, axis)
        fi.fill(out, scheme, seed=1, name="w", shape=shape, region=region)
        np.testing.assert_array_equal(out, right)
        assert np.isnan(memory).sum() == memory.size - right.size
