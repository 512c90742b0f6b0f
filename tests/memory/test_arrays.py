# SPDX-License-Identifier: MIT
"""`fill` and `array` as calls: what they take and refuse.

Which bits come out is in test_bits.py and test_cuts.py; threads, forks and signals are in
test_processes.py.
"""

from __future__ import annotations

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import reference
from fills import BIG, DTYPES, NAME, NORMAL, SEED, filled, made, same

import fastinit as fi

# --- what comes back -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (0, 3), (3, 0), (0,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fill_returns_the_array_it_was_given(shape, dtype):
    out = np.zeros(shape, made(1, dtype=dtype).dtype)
    assert filled(out) is out
    assert same(out, made(shape, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_array_makes_a_writable_contiguous_array_of_its_own(dtype):
    found = made((7, 5), dtype=dtype)
    assert (found.shape, found.dtype.name) == ((7, 5), dtype)
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.flags.owndata
    assert len(np.unique(found.astype(np.float64))) > 10


def test_a_dtype_may_be_a_name_or_numpys():
    assert same(made(9, dtype="bfloat16"), made(9, dtype=ml_dtypes.bfloat16))
    assert same(made(9, dtype="float64"), made(9, dtype=np.float64))
    assert same(made(9, dtype="float16"), made(9, dtype=np.dtype("<f2")))
    assert made(9).dtype == np.float32


def test_a_shape_may_be_one_number_or_any_integers():
    assert same(made(12), made((12,)))
    assert same(made([np.int64(3), 4]), made((3, 4)))


def test_a_scheme_a_text_and_a_distribution_draw_alike():
    assert same(made((3, 4), "normal(std=0.02)"), made((3, 4)))
    assert same(made((3, 4), NORMAL.distribution((3, 4))), made((3, 4)))


def test_the_scale_comes_from_the_whole_tensor():
    whole = made((600, 50), fi.he_normal())
    rows = made((600, 50), fi.he_normal(), region=np.s_[200:210])
    assert same(rows, whole[200:210])
    out = np.empty((10, 50), np.float32)
    assert same(filled(out, fi.he_normal(), shape=(600, 50), region=np.s_[200:210]), rows)


def test_names_and_seeds_settle_the_values():
    values = {
        fi.array(64, NORMAL, seed=seed, name=name).tobytes()
        for seed in (0, 1, 2**32, 2**64 - 1)
        for name in ("", "w", "w ", "W", "größe", "w" * 1000)
    }
    assert len(values) == 24


# --- odd arrays ------------------------------------------------------------------------------


class Tagged(np.ndarray):
    """A subclass, as in many libraries."""


RECORD = np.dtype([("tag", "i1"), ("x", "f4"), ("y", "f8")])
ODD = {
    "fortran": lambda: np.zeros((6, 4), np.float32, order="F"),
    "transposed": lambda: np.zeros((4, 6), np.float32).T,
    "every other": lambda: np.zeros((12, 8), np.float32)[::2, ::2],
    "backwards": lambda: np.zeros((6, 4), np.float32)[::-1, ::-1],
    "unaligned": lambda: np.zeros(97, np.uint8)[1:].view(np.float32).reshape(6, 4),
    "field": lambda: np.zeros((6, 4), RECORD)["x"],
    "field of float64": lambda: np.zeros((6, 4), RECORD)["y"],
    "bytearray": lambda: np.frombuffer(bytearray(96), np.float32).reshape(6, 4),
    "subclass": lambda: np.zeros((6, 4), np.float32).view(Tagged),
    "matrix": lambda: np.zeros((6, 4), np.float32).view(np.matrix),
    "masked": lambda: np.ma.masked_array(np.zeros((6, 4), np.float32), mask=np.eye(6, 4)),
}


@pytest.mark.parametrize("kind", ODD)
def test_any_writable_array_gets_the_same_values(kind):
    out = ODD[kind]()
    assert filled(out) is out
    assert same(np.asarray(out), made((6, 4), dtype=out.dtype))


def test_a_field_of_a_record_leaves_the_others_alone():
    records = np.zeros(1000, RECORD)
    records["tag"], records["y"] = 7, 0.5
    filled(records["x"])
    assert (records["tag"] == 7).all()
    assert (records["y"] == 0.5).all()
    assert same(records["x"], made(1000))


# --- misuse ----------------------------------------------------------------------------------

OUT_MISTAKES = [
    (
        [1.0, 2.0],
        TypeError,
        r"out is a list: need a NumPy array, such as np\.empty\(shape, 'float32'\)",
    ),
    (bytearray(8), TypeError, "out is a bytearray"),
    (memoryview(bytearray(8)), TypeError, "out is a memoryview"),
    (np.float32(3), TypeError, "out is a float32"),
    (None, TypeError, "out is a NoneType"),
    (np.zeros(3, ">f4"), ValueError, r"dtype\('>f4'\) is not supported: choose from float32"),
    (np.zeros(3, "i4"), ValueError, "int32.* is not supported: choose from"),
    (np.zeros(3, "c8"), ValueError, "complex64.* is not supported"),
    (np.zeros(3, bool), ValueError, "bool.* is not supported"),
    (np.zeros(3, object), ValueError, "'O'.* is not supported"),
    (np.zeros(3, np.longdouble), ValueError, "is not supported"),
    (np.zeros(3, RECORD), ValueError, "is not supported"),
    (np.broadcast_to(np.zeros(3, "f4"), (2, 3)), ValueError, "out is read-only.*'r\\+'"),
    (
        np.lib.stride_tricks.as_strided(np.zeros(3, "f4"), (2, 3), (0, 4)),
        ValueError,
        r"strides \(0, 4\): several elements share one address",
    ),
]


@pytest.mark.parametrize(
    ("out", "error", "words"), OUT_MISTAKES, ids=[row[2][:24] for row in OUT_MISTAKES]
)
def test_an_out_that_cannot_be_filled_is_explained(out, error, words):
    before = bytes(out) if isinstance(out, np.ndarray) and out.dtype != object else None
    with pytest.raises(error, match=words):
        filled(out)
    if before is not None:
        assert bytes(out) == before


def test_a_read_only_array_is_not_written():
    out = np.zeros(5, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        filled(out)
    assert not out.any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (4, 5)}, r"out has shape \(2, 3\), but the region of shape \(4, 5\)"),
        ({"shape": (4, 5), "region": np.s_[0:2]}, r"has shape \(2, 5\)"),
        ({"shape": (4, 5), "region": range(6)}, r"has shape \(6,\)"),
        ({"region": np.s_[0]}, r"has shape \(3,\)"),
        ({"shape": (3, 2)}, r"has shape \(3, 2\)"),
        ({"shape": 6}, r"has shape \(6,\)"),
    ],
)
def test_an_out_of_another_shape_than_the_region_is_explained(options, words):
    out = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=words):
        filled(out, **options)
    assert not out.any()


# What `array` must find wrong without having asked for 4 EiB of memory.
ABSURD = (2**40, 2**20)
MISTAKES = [
    ({"scheme": "normal(-1)"}, ValueError, "std is -1.0"),
    ({"scheme": "norml"}, ValueError, "did you mean 'normal'"),
    ({"scheme": fi.normal}, TypeError, r"scheme is <function normal.*: call it, normal\(\)"),
    ({"scheme": None}, TypeError, "scheme is None"),
    ({"scheme": 0.02}, TypeError, "scheme is 0.02"),
    ({"scheme": fi.constant(1e39)}, ValueError, "1e\\+39"),
    ({"scheme": fi.normal(1e5), "dtype": "float16"}, ValueError, "beyond float16's largest"),
    ({"scheme": fi.uniform(1e-50, 2e-50)}, ValueError, "no float32 number lies between"),
    ({"scheme": fi.he_normal(in_axis=2, out_axis=0)}, ValueError, "axis 2 does not exist"),
    ({"dtype": "int8"}, ValueError, "'int8' is not supported: choose from float32, .*float64"),
    ({"dtype": "f4"}, ValueError, "'f4' is not supported"),
    ({"dtype": ">f4"}, ValueError, "'>f4' is not supported"),
    ({"dtype": np.dtype(">f8")}, ValueError, "'>f8'.* is not supported"),
    ({"dtype": None}, (TypeError, ValueError), "dtype None"),
    ({"dtype": [("x", "f4")]}, (TypeError, ValueError), "dtype .* is not supported"),
    ({"dtype": {}}, (TypeError, ValueError), "dtype .* is not supported"),
    ({"seed": -1}, ValueError, r"seed is -1: need 0 <= seed < 2\*\*64"),
    ({"seed": 2**64}, ValueError, "seed is 18446744073709551616"),
    ({"seed": True}, TypeError, "seed is True: need an integer"),
    ({"seed": 1.0}, TypeError, "seed is 1.0: need an integer"),
    ({"seed": "1"}, TypeError, "seed is '1': need an integer"),
    ({"seed": None}, TypeError, "seed is None: need an integer"),
    ({"name": None}, TypeError, "name is None: need a string"),
    ({"name": b"w"}, TypeError, "name is b'w': need a string"),
    ({"name": "\ud800"}, ValueError, "lone surrogate"),
    ({"threads": 0}, ValueError, "threads is 0: pass a whole number of 1 or more"),
    ({"threads": -1}, ValueError, "threads is -1"),
    ({"threads": True}, ValueError, "threads is True"),
    ({"threads": 2.0}, ValueError, "threads is 2.0"),
    ({"threads": "2"}, ValueError, "threads is '2'"),
    ({"region": np.s_[0 : 2**40 + 1]}, IndexError, "leaves axis 0"),
    ({"region": range(2**60, 2**60 + 1)}, IndexError, "leaves the tensor"),
    ({"region": range(-1, 3)}, IndexError, "leaves the tensor"),
    ({"region": 2**40}, IndexError, "leaves axis 0"),
    ({"region": np.s_[::0]}, IndexError, "steps by 0"),
    ({"region": np.s_[..., ...]}, IndexError, r"more than one '\.\.\.'"),
    ({"region": np.s_[0, 0, 0]}, IndexError, r"3 indices, but shape .* has 2 axes"),
    ({"region": [0, 1]}, TypeError, r"index \[0, 1\]: need slices"),
    ({"region": 1.5}, TypeError, "index 1.5: need slices"),
    ({"region": True}, TypeError, "index True: need slices"),
    ({"region": "0:3"}, TypeError, "index '0:3': need slices"),
    ({"region": np.array([True, False])}, TypeError, "need slices"),
    ({"shape": (3, -1)}, ValueError, "axis of -1"),
    ({"shape": (3, 2.0)}, ValueError, "axis of 2.0"),
    ({"shape": "33"}, TypeError, "shape is '33'"),
    ({"shape": None}, TypeError, "shape is None"),
    ({"shape": (2**40, 2**23)}, ValueError, r"2\*\*63 elements or more"),
]


@pytest.mark.parametrize(
    ("change", "error", "words"), MISTAKES, ids=[row[2][:40] for row in MISTAKES]
)
def test_a_mistake_is_found_before_anything_is_allocated(change, error, words):
    given = {"shape": ABSURD, "scheme": NORMAL, "seed": SEED, "name": NAME, **change}
    tracemalloc.start()
    try:
        with pytest.raises(error, match=words):
            fi.array(given.pop("shape"), given.pop("scheme"), **given)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("threads", [0, "2"])
@pytest.mark.parametrize("shape", [(0,), (3,), (BIG,)])
def test_a_wrong_thread_count_is_refused_whatever_the_size(shape, threads):
    out = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match="threads is"):
        filled(out, threads=threads)
    assert not out.any()


@pytest.mark.parametrize("text", ["0", "two", "-1", "1.5"])
def test_a_wrong_thread_count_in_the_environment_is_found_before_allocation(monkeypatch, text):
    monkeypatch.setenv("FASTINIT_THREADS", text)
    with pytest.raises(ValueError, match=f"FASTINIT_THREADS is '{text}'"):
        made(ABSURD)


@pytest.mark.parametrize(
    ("shape", "dtype"), [(ABSURD, "float32"), ((2**62,), "float64"), ((2**62,), "float8_e5m2")]
)
def test_an_absurd_array_is_an_error_and_no_crash(shape, dtype):
    with pytest.raises((MemoryError, ValueError)):
        made(shape, dtype=dtype)


# --- large tensors ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_a_part_of_a_tensor_far_beyond_memory_is_addressed(dtype):
    """2**40 elements: every way of naming the same ones gives the same values."""
    shape, row, column = (2**20, 2**20), 2**20 - 3, 2**20 - 1000
    first = row * 2**20 + column
    block = made(shape, dtype=dtype, region=np.s_[row : row + 2, column:])
    assert block.shape == (2, 1000)
    run = made(shape, dtype=dtype, region=range(first, first + 1000))
    assert same(run, block[0])
    assert same(made(shape, dtype=dtype, region=np.s_[row, -1000:]), block[0])
    assert same(made((2**40,), dtype=dtype, region=range(first, first + 1000)), run)
    assert same(made(shape, dtype=dtype, region=range(first + 999, first - 1, -1)), run[::-1])
    strided = made(shape, dtype=dtype, region=range(first, first + 2**20 + 1, 2**20))
    assert same(strided, block[:, 0])
    assert not same(run, made(1000, dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("start", [2**31 - 7, 2**32 - 7, 2**34 - 7, 2**61 - 2000])
def test_an_element_far_out_is_the_references(start, dtype):
    found = made((2**20, 2**41), dtype=dtype, region=range(start, start + 1000))
    expected = reference.values(SEED, NAME, reference.Normal(0.02), start, 1000, dtype)
    assert same(found, expected)


@pytest.mark.slow
def test_an_array_of_more_than_2_to_the_32_elements_is_filled_to_its_end():
    """4 GiB of float8; its ends and the places round 2**31 and 2**32."""
    count = 2**32 + 2**20 + 7
    out = np.zeros(count, ml_dtypes.float8_e5m2)
    filled(out, fi.normal())
    for start in (0, 2**31 - 500, 2**32 - 500, count - 1000):
        run = made(count, fi.normal(), dtype="float8_e5m2", region=range(start, start + 1000))
        assert same(out[start : start + 1000], run)
    for start in range(0, count, 2**28):
        assert np.count_nonzero(out[start : start + 4096].view(np.uint8)) > 4000


# --- memory maps -----------------------------------------------------------------------------


def test_a_memory_map_on_disk_is_filled(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(bytes(16 + 4 * BIG))
    out = np.memmap(path, np.float32, "r+", offset=16, shape=(BIG,))
    assert filled(out) is out
    out.flush()
    assert path.read_bytes() == bytes(16) + made(BIG).tobytes()


def test_part_of_a_memory_map_is_filled(tmp_path):
    path = tmp_path / "w.npy"
    out = np.lib.format.open_memmap(path, "w+", np.float64, (100, 60))
    filled(out[20:30, ::2], shape=(100, 30), region=np.s_[20:30])
    del out
    found = np.load(path)
    assert same(found[20:30, ::2], made((100, 30), dtype="float64")[20:30])
    assert np.count_nonzero(found) == 300


def test_a_read_only_memory_map_is_refused(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(bytes(400))
    with pytest.raises(ValueError, match=r"out is read-only: .*memory map 'r\+'"):
        filled(np.memmap(path, np.float32, "r"))
    assert path.read_bytes() == bytes(400)


def test_a_copy_on_write_memory_map_leaves_the_file_alone(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(bytes(400))
    assert same(filled(np.memmap(path, np.float32, "c")), made(100))
    assert path.read_bytes() == bytes(400)
