# SPDX-License-Identifier: MIT
"""Cuts: any part, in any memory, by any number of threads, is that part of the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import assert_same_bits, bits, scheme_of, spec_of

import fastinit as fi
from fastinit.backends import _native, instruction_sets

SCHEME = ref.Truncated(1.0, 0.0, -1.0, 3.0)
STREAM = {"seed": 2**40 + 1, "name": "h.3.mlp.weight"}
DTYPES = list(ref.DTYPES)
RANGE_ERROR = "fastinit's C layer was given an argument outside its range"
WORDS = np.arange(5, dtype=np.uint32)
EDGES = [0, 1, 3, 4, 5, 7, 127, 128, 129, 511, 512, 513, 1027]


def drawn(shape, **options):
    return fi.array(shape, scheme_of(SCHEME), **STREAM, **options)


def filled(out, **options):
    return fi.fill(out, scheme_of(SCHEME), **STREAM, **options)


def elements(start, count, dtype="float32"):
    return ref.values(STREAM["seed"], STREAM["name"], SCHEME, start, count, dtype)


# ---- regions ------------------------------------------------------------------------------------


def index_along(dim):
    """An integer or a slice that does not leave an axis of `dim`."""
    bound = st.none() | st.integers(-dim, dim)
    step = st.none() | st.sampled_from([1, 2, 3, 5, 200, -1, -2, -7, -200])
    slices = st.builds(slice, bound, bound, step)
    return slices | st.integers(-dim, dim - 1) if dim else slices


@st.composite
def shapes_and_regions(draw):
    shape = tuple(draw(st.lists(st.integers(0, 9) | st.sampled_from([130, 300]), max_size=4)))
    while math.prod(shape) > 20000:
        shape = shape[1:]
    region = [draw(index_along(dim)) for dim in shape]
    kept = draw(st.integers(0, len(region)))
    if draw(st.booleans()):
        dots = draw(st.integers(0, kept))
        left_out = len(region) - kept
        return shape, (*region[:dots], ..., *region[dots + left_out :])
    return shape, tuple(region[:kept])


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(shapes_and_regions(), st.sampled_from(DTYPES), st.none() | st.integers(1, 8))
def test_any_region_is_the_same_part_of_the_whole(case, dtype, threads):
    shape, region = case
    whole = drawn(shape, dtype=dtype)
    part = drawn(shape, dtype=dtype, region=region, threads=threads)
    assert_same_bits(part, whole[region])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 3000), st.data(), st.sampled_from(DTYPES))
def test_any_flat_run_is_the_same_part_of_the_whole(count, data, dtype):
    start, stop = (data.draw(st.integers(0, count)) for _ in range(2))
    step = data.draw(st.sampled_from([1, 1, 1, 2, 3, 7, 127, 1000, -1, -5]))
    run = range(start, stop, step)
    if len(run) and max(run) >= count:
        run = run[1:]
    whole = elements(0, count, dtype)
    part = drawn((count,), dtype=dtype, region=run, threads=3)
    assert_same_bits(part, whole[np.array(run, dtype=int)])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**62), st.integers(0, 700), st.sampled_from(DTYPES), st.integers(0, 700))
def test_a_cut_stream_is_the_whole_stream(start, count, dtype, cut):
    cut = min(cut, count)
    whole = elements(start, count, dtype)
    parts = [range(start, start + cut), range(start + cut, start + count)]
    joined = np.concatenate([drawn((2**63 - 1,), dtype=dtype, region=part) for part in parts])
    assert_same_bits(joined, whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("edge", [2**31, 2**32, 2**33, 2**34, 2**35, 2**62], ids=lambda e: hex(e))
def test_a_run_across_a_large_power_of_two_is_the_references(isa, edge, dtype):
    """Element 2^34 begins block 2^32 (of float64, element 2^33): there the counter carries."""
    for before in (0, 1, 130, 600):
        run = range(edge - before, edge + 601)
        part = drawn((2**63 - 1,), dtype=dtype, region=run)
        assert_same_bits(part, elements(run.start, len(run), dtype))


@pytest.mark.parametrize("row", [4096, 16384])
def test_a_block_of_a_tensor_of_a_terabyte_is_the_references(row):
    """Rows 4096 and 16384 of 2^20 columns begin at elements 2^32 and 2^34."""
    shape = (2**20, 2**20)
    part = drawn(shape, region=np.s_[row - 2 : row + 2, 2**20 - 77 :], threads=2)
    for index, values in enumerate(part):
        start = (row - 2 + index) * 2**20 + 2**20 - 77
        assert_same_bits(values, elements(start, 77))
    column = drawn(shape, region=np.s_[row + 1 : row - 2 : -1, 5], threads=2)
    places = [(row + 1 - index) * 2**20 + 5 for index in range(3)]
    assert_same_bits(column, np.concatenate([elements(place, 1) for place in places]))


def test_rows_that_cross_the_carry_in_one_call_are_the_references():
    part = drawn((2**30, 2**5), region=np.s_[2**29 - 40 : 2**29 + 40], threads=1)
    assert_same_bits(part.reshape(-1), elements(2**34 - 40 * 32, 80 * 32))


# ---- memory -------------------------------------------------------------------------------------

GUARD = 0xA5


def guarded(shape, dtype):
    """An array of guard bytes."""
    kind = ref.DTYPES[dtype]
    count = math.prod(shape)
    return np.full(count * kind.itemsize, GUARD, np.uint8).view(kind).reshape(shape)


VIEWS = {
    "whole": lambda a: a,
    "inner block": lambda a: a[3:-2, 5:-1],
    "rows reversed": lambda a: a[2:-2][::-1],
    "columns reversed": lambda a: a[:, 1:-1][:, ::-1],
    "both reversed": lambda a: a[::-1, ::-1],
    "every second row": lambda a: a[1::2],
    "every third column": lambda a: a[:, 1::3],
    "transposed": lambda a: a.T,
    "transposed block": lambda a: a[2:-3, 4:-4].T,
    "one column": lambda a: a[:, 7],
    "one row": lambda a: a[4],
    "one element": lambda a: a[4:5, 6:7],
    "no axis": lambda a: a[3:4, 5:6].reshape(()),
    "new axes": lambda a: a[:, None, 2:9, None],
    "three axes": lambda a: a.reshape(4, -1, a.shape[1]).transpose(1, 2, 0),
    "windows": lambda a: a.reshape(4, -1, a.shape[1])[:, ::2, 3:-3].transpose(2, 0, 1),
    "no rows": lambda a: a[5:5],
    "no columns": lambda a: a[:, 5:5],
    "Fortran": lambda a: a.reshape(-1)[: a.size // 6 * 6].reshape((6, -1), order="F"),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_leave_no_trace_and_nothing_else_is_written(dtype, view):
    memory, written = guarded((28, 301), dtype), np.zeros((28, 301), bool)
    out = view(memory)
    view(written)[...] = True
    assert filled(out, threads=2) is out
    assert_same_bits(out, elements(0, out.size, dtype).reshape(out.shape))
    untouched = memory.view(f"u{memory.itemsize}")[~written]
    assert (np.ascontiguousarray(untouched).view(np.uint8) == GUARD).all()


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.data(), st.sampled_from(DTYPES), st.integers(1, 4))
def test_any_view_takes_any_region(data, dtype, threads):
    """Strides of the output and steps of the region, in every pairing."""
    picked = [data.draw(st.sampled_from([1, 2, 3, -1, -2])) for _ in range(6)]
    memory = guarded((24, 26, 40), dtype)
    out = memory[:: picked[0], :: picked[1], :: picked[2]]
    out = out.transpose(data.draw(st.permutations(range(3))))
    dims = tuple(n * abs(step) for n, step in zip(out.shape, picked[3:], strict=True))
    region = tuple(slice(None, None, step) for step in picked[3:])
    filled(out, shape=dims, region=region, threads=threads)
    assert_same_bits(out, drawn(dims, dtype=dtype)[region])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", EDGES)
def test_any_address_will_do_and_nothing_else_is_written(isa, dtype, count):
    kind = ref.DTYPES[dtype]
    size = count * kind.itemsize
    right = elements(9, count, dtype).view(np.uint8)
    for offset in range(64):
        raw = np.full(size + 192, GUARD, np.uint8)
        out = raw[64 + offset :][:size].view(kind)
        filled(out, shape=(count + 9,), region=range(9, 9 + count))
        np.testing.assert_array_equal(raw[64 + offset :][:size], right)
        assert (raw[: 64 + offset] == GUARD).all()
        assert (raw[64 + offset + size :] == GUARD).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_goes_to_any_address_and_nowhere_else(dtype):
    kind = ref.DTYPES[dtype]
    for count in EDGES:
        for offset in (0, 1, 7, 63):
            raw = np.full(count * kind.itemsize + 192, GUARD, np.uint8)
            inside = slice(64 + offset, 64 + offset + count * kind.itemsize)
            fi.fill(raw[inside].view(kind), fi.constant(0.1), **STREAM)
            right = ref.map_words(np.zeros(2 * count, np.uint32), ref.Constant(0.1), dtype)
            np.testing.assert_array_equal(raw[inside], right[:count].view(np.uint8))
            raw[inside] = GUARD
            assert (raw == GUARD).all()


def test_a_memory_map_is_filled_in_place(tmp_path):
    path = tmp_path / "w.bin"
    out = np.memmap(path, np.float32, "w+", offset=20, shape=(300, 70))
    filled(out[10:290, ::-1], threads=2)
    out.flush()
    stored = np.fromfile(path, np.float32, offset=20).reshape(300, 70)
    assert_same_bits(stored[10:290, ::-1], elements(0, 280 * 70).reshape(280, 70))
    assert not stored[:10].any()
    assert not stored[290:].any()


def test_an_array_without_axes_is_element_0():
    assert_same_bits(drawn(()).reshape(1), elements(0, 1))


# ---- errors: what is said, and that nothing has been written ------------------------------------

SHAPE = (4, 6)

WRONG_REGIONS = [
    (np.s_[0:5], IndexError, "region 0:5 leaves axis 0 of shape (4, 6): need bounds from -4 to 4"),
    (
        np.s_[:, -7::2],
        IndexError,
        "region -7::2 leaves axis 1 of shape (4, 6): need bounds from -6 to 6",
    ),
    (np.s_[4], IndexError, "region 4 leaves axis 0 of shape (4, 6)"),
    (np.s_[0, -7], IndexError, "region -7 leaves axis 1 of shape (4, 6)"),
    (np.s_[0, 0, 0], IndexError, "region has 3 indices, but shape (4, 6) has 2 axes"),
    (np.s_[..., 0, ...], IndexError, "region has more than one '...'"),
    (np.s_[::0], IndexError, "region steps by 0 along axis 0"),
    (
        range(20, 25),
        IndexError,
        "region range(20, 25) leaves the tensor: shape (4, 6) has elements 0 to 23",
    ),
    (
        range(2, -2, -1),
        IndexError,
        "region range(2, -2, -1) leaves the tensor: shape (4, 6) has elements 0 to 23",
    ),
    ([0, 1], TypeError, "region has an index [0, 1]: need slices, integers, '...' or one range;"),
    (True, TypeError, "region has an index True: need slices, integers, '...' or one range;"),
    (np.s_[0.5:], TypeError, "region has an index 0.5: need slices, integers, '...' or one range;"),
]


@pytest.mark.parametrize(("region", "error", "message"), WRONG_REGIONS)
def test_a_region_outside_the_tensor_is_an_error(region, error, message):
    out = np.full(SHAPE, 7.0, np.float32)
    with pytest.raises(error) as raised:
        filled(out, region=region)
    assert str(raised.value).startswith(message)
    assert (out == 7.0).all()
    with pytest.raises(error):
        drawn(SHAPE, region=region)


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ((4, 6), {"shape": (6, 4)}, "but the region of shape (6, 4) has shape (6, 4)"),
        ((4, 6), {"region": np.s_[1:]}, "but the region of shape (4, 6) has shape (3, 6)"),
        ((1, 6), {"shape": (4, 6), "region": 0}, "but the region of shape (4, 6) has shape (6,)"),
        ((6, 1), {"shape": (4, 6), "region": range(6)}, "of shape (4, 6) has shape (6,)"),
    ],
)
def test_an_output_of_another_shape_is_an_error(out, options, message):
    memory = np.full(out, 7.0, np.float32)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        filled(memory, **options)
    assert str(raised.value).startswith(f"out has shape {out}, ")
    assert str(raised.value).endswith(message)
    assert (memory == 7.0).all()


def test_a_read_only_output_is_an_error(tmp_path):
    out = np.full(8, 7.0, np.float32)
    out.setflags(write=False)
    with pytest.raises(ValueError, match=r"^out is read-only: pass a writable array"):
        filled(out)
    assert (out == 7.0).all()
    (tmp_path / "w.bin").write_bytes(bytes(32))
    with pytest.raises(ValueError, match=r"or open the memory map 'r\+'$"):
        filled(np.memmap(tmp_path / "w.bin", np.float32, "r"))


@pytest.mark.parametrize("dtype", [">f4", ">f8", "i4", "u1", "?", "c8", "g", "M8[s]", "O"])
def test_an_output_of_another_dtype_is_an_error(dtype):
    out = np.zeros(8, dtype)
    before = out.copy()
    with pytest.raises(ValueError, match=r"^dtype .* is not supported: choose from float32, "):
        filled(out)
    assert (out == before).all()


@pytest.mark.parametrize("out", [[0.0] * 4, bytearray(16), memoryview(bytearray(16)), None, 1.0])
def test_an_output_that_is_no_array_is_an_error(out):
    with pytest.raises(TypeError, match=rf"^out is a {type(out).__name__}: need a NumPy array"):
        filled(out)


def test_an_output_whose_elements_share_a_place_is_an_error():
    memory = np.full((1, 6), 7.0, np.float32)
    out = np.lib.stride_tricks.as_strided(memory, (4, 6), (0, 4))
    with pytest.raises(ValueError, match=r"^out has strides \(0, 4\): several elements share one"):
        filled(out)
    assert (memory == 7.0).all()
    single = np.lib.stride_tricks.as_strided(memory, (1, 6), (0, 4))
    assert_same_bits(filled(single).reshape(-1), elements(0, 6))


def test_a_tensor_with_2_to_63_elements_is_an_error():
    with pytest.raises(ValueError, match=r"has 2\*\*63 elements or more: no memory holds it"):
        drawn((2**32, 2**31), region=range(4))
    assert bits(drawn((2**63 - 1,), region=range(2**63 - 5, 2**63 - 1))).tolist() == [
        int(pattern) for pattern in bits(elements(2**63 - 5, 4))
    ]


# ---- the border to C ----------------------------------------------------------------------------


def refused(message, call, *arguments):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        call(*arguments)
    assert str(raised.value) == message


@pytest.mark.native
def test_the_border_refuses_what_does_not_fit():
    spec, raw = spec_of(SCHEME, "float32"), np.full(64, GUARD, np.uint8)
    fill_rows, fill = _native.fill_rows, _native.fill
    refused("rows of 17 elements do not fit in 64 bytes", fill_rows, raw, spec, 0, 0, 1, 17, 68)
    refused("rows of 4 elements do not fit in 64 bytes", fill_rows, raw, spec, 0, 0, 2, 4, 15)
    refused("5 rows 16 bytes apart do not fit in 64 bytes", fill_rows, raw, spec, 0, 0, 5, 4, 16)
    refused("2 rows 61 bytes apart do not fit in 64 bytes", fill_rows, raw, spec, 0, 0, 2, 1, 61)
    refused(RANGE_ERROR, fill, raw, spec, 2**63 - 15)
    refused(RANGE_ERROR, fill_rows, raw, spec, 0, 2**62, 4, 4, 16)
    refused(RANGE_ERROR, fill_rows, raw, spec, 2**63, 2**63, 2, 4, 16)
    refused("5 words do not make 64 bytes of values", _native.map_words, raw, spec, WORDS)
    refused(RANGE_ERROR, _native.map_words, raw[:20], spec_of(ref.Constant(1.0), "float32"), WORDS)
    refused(RANGE_ERROR, _native.words, np.zeros(2, np.uint32), 2**64 - 1, 0, 0)
    assert (raw == GUARD).all()


@pytest.mark.native
def test_the_border_refuses_what_it_does_not_know():
    numbers = {"key": 0, "subsequence": 0}
    raw = np.full(64, GUARD, np.uint8)
    for wrong in ({"distribution": 6}, {"octave": 129}, {"sign_and": 1}, {"sign_xor": 1}):
        spec = _native.Spec(**{"dtype": 0, "distribution": 0, **numbers, **wrong})
        refused(RANGE_ERROR, _native.fill, raw, spec, 0)
    assert (raw == GUARD).all()


@pytest.mark.native
def test_an_instruction_set_that_is_not_there_is_an_error():
    before = instruction_sets.active()
    with pytest.raises(
        fi.errors.BackendError, match=r"^instruction set 'mmx' does not exist here: choose"
    ):
        instruction_sets.select("mmx")
    assert instruction_sets.active() == before
