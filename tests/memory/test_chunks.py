# SPDX-License-Identifier: MIT
"""Chunks: no cut, turn, copy past the caches or number of threads leaves a trace."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
import reference as ref
from fills import sampler_of
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import assert_same_bits, scheme_of

import fastinit as fi
from fastinit.backends import _native
from fastinit.memory import chunks as chunking
from fastinit.memory.arrays import ONE_THREAD
from fastinit.memory.chunks import BYPASS_SIZE, LEAST, Copied, Direct, chunks
from fastinit.memory.regions import region_of

SCHEME = ref.Truncated(1.0, 0.0, -1.0, 3.0)
STREAM = {"seed": 2**40 + 1, "name": "h.3.mlp.weight"}
DTYPES = list(ref.DTYPES)
RANGE_ERROR = "fastinit's C layer was given an argument outside its range"


def drawn(shape, **options):
    return fi.array(shape, scheme_of(SCHEME), **STREAM, **options)


def filled(out, **options):
    return fi.fill(out, scheme_of(SCHEME), **STREAM, **options)


CHUNK = 2**20  # float32 values that a thread draws at a time, where there are enough of them


@pytest.fixture(scope="module")
def long_run():
    values = ref.values(STREAM["seed"], STREAM["name"], SCHEME, 0, 2 * CHUNK + 1, "float32")
    values.setflags(write=False)
    return values


# Around the sizes at which a fill is cut, or given to several threads.
COUNTS = [LEAST - 1, LEAST, LEAST + 1, ONE_THREAD, ONE_THREAD + 1, CHUNK, CHUNK + 1, 2 * CHUNK + 1]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("ahead", [0, 4, 60])
def test_chunk_edges_leave_no_trace(long_run, count, ahead):
    out = np.empty(count + ahead // 4, np.float32)[ahead // 4 :]
    for threads in (None, 1, 2):
        out[...] = 0
        assert_same_bits(filled(out, shape=(count,), threads=threads), long_run[:count])


@pytest.mark.parametrize("threads", range(1, 9))
def test_the_number_of_threads_leaves_no_trace(long_run, threads):
    assert_same_bits(drawn((2 * CHUNK + 1,), threads=threads), long_run)
    scattered = np.empty((2, LEAST + 7), np.float32).T[::-1]
    filled(scattered, threads=threads)
    assert_same_bits(scattered.reshape(-1), long_run[: 2 * (LEAST + 7)])


def test_no_chunk_is_longer_than_its_sampler_wants():
    for scheme, most in ((fi.normal(), 2**20), (fi.zeros(), 2**26), (fi.sparse(0.5), 2**18)):
        source = sampler_of(scheme, (2**28, 1))
        assert source.chunk == most
    out = np.empty(3 * CHUNK, np.uint32)
    part = region_of(out.shape, None)
    sizes = [[chunk.out.size for chunk in chunks(out, part, 1, most)] for most in (LEAST, 2**26)]
    assert [max(size) for size in sizes] == [LEAST, CHUNK]
    assert [sum(size) for size in sizes] == [out.size, out.size]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.data(), st.sampled_from([2**12, 2**16]))
def test_no_more_is_drawn_apart_than_may_be(data, most):
    """Nor much less: small pieces would be slow."""
    shape = tuple(data.draw(st.integers(1, 3000)) for _ in range(data.draw(st.integers(1, 3))))
    memory = np.broadcast_to(np.uint32(0), shape)
    strides = data.draw(st.permutations([4 * 3000**axis for axis in range(len(shape))]))
    out = np.lib.stride_tricks.as_strided(memory, shape, strides)
    with mock.patch.object(chunking, "TURN", 64):
        sides = chunking._sides(out, most)
    assert math.prod(sides) <= most
    assert all(1 <= side <= dim for side, dim in zip(sides, shape, strict=True))
    assert sides == list(shape) or math.prod(sides) > most / 4


SHAPE = (300, 40, 24)
VIEWS = {
    "whole": (lambda out: out, Direct),
    "parts of rows": (lambda out: out[:, :, :9], Direct),
    "rows backwards": (lambda out: out[:, ::-1], Direct),
    "rows in another order": (lambda out: out.swapaxes(0, 1), Direct),
    "elements apart": (lambda out: out[:, :, ::2], Copied),
    "elements backwards": (lambda out: out[:, :, ::-1], Copied),
    "transposed": (lambda out: out.T, Copied),
}
ALL = np.s_[:, :, :]


@pytest.mark.parametrize(("view", "kind"), VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("region", [ALL, np.s_[:, 1::2], np.s_[::-1, :, ::-3], np.s_[:, 7:, 5:8]])
@pytest.mark.parametrize("most", [LEAST, 2**12])
def test_chunks_hold_each_element_once_and_by_its_number(monkeypatch, view, kind, region, most):
    """What lies apart in memory only is copied, and what lies in another order there."""
    monkeypatch.setattr(chunking, "LEAST", most)
    dims = view(np.empty(SHAPE, np.int8)).shape
    numbers = np.arange(math.prod(dims), dtype=np.uint32).reshape(dims)[region]
    out = view(np.empty(SHAPE, np.uint32))[tuple(map(slice, numbers.shape))]
    out[...] = numbers
    for chunk in chunks(out, region_of(dims, region), 3, most):
        along = [axis.step * np.arange(axis.count) for axis in chunk.axes]
        here = chunk.start + sum(np.ix_(*along))
        np.testing.assert_array_equal(chunk.out, here)
        chunk.out[...] = 2**32 - 1
        assert chunk.out.size <= most
        if region is ALL:
            assert type(chunk) is kind
    assert (out == 2**32 - 1).all()


@pytest.mark.parametrize(
    ("shape", "region", "view"),
    [
        ((2**16, 3), np.s_[:, :2], np.s_[:]),
        ((2**17, 4096), np.s_[:, 7:8], np.s_[:]),
        ((2**15, 4, 4), np.s_[:, 1:3, 1:3], np.s_[:]),
        ((2**14, 4, 4, 9), np.s_[:, 1:3, ::2, 4], np.s_[::-1]),
        ((50, 50, 50), np.s_[::2, ::2, ::2], np.s_[:, ::-1]),
    ],
)
def test_what_is_small_is_one_chunk_however_it_lies(shape, region, view):
    """A call of Python for each of many short rows would take longer than all that is drawn."""
    out = np.broadcast_to(np.int8(0), shape)[region].astype(np.uint32)[view]
    assert len(list(chunks(out, region_of(shape, region), 1, 2**20))) == 1


@pytest.mark.native
def test_copies_need_one_shape_and_size():
    for out, source in (
        (np.zeros(3, "u4"), np.zeros(4, "u4")),
        (np.zeros(3, "u4"), np.zeros(3, "u2")),
        (np.zeros((3, 1), "u4"), np.zeros(3, "u4")),
    ):
        with pytest.raises(ValueError, match="copy needs two arrays of one shape and element size"):
            _native.copy(out, source)
        assert not out.any()
    with pytest.raises(ValueError, match=RANGE_ERROR):
        _native.copy(np.zeros((), "u4"), np.zeros((), "u4"))
    with pytest.raises(ValueError, match=RANGE_ERROR):
        _native.copy(np.zeros(2, "c16"), np.zeros(2, "c16"))
    with pytest.raises((ValueError, BufferError)):
        _native.copy(np.broadcast_to(np.uint32(0), 3), np.zeros(3, "u4"))
    nothing = np.zeros((0, 3), "u4")
    assert _native.copy(nothing, nothing.copy()) is None


@pytest.mark.parametrize("value", [0.0, 0.1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_long_constants_are_that_everywhere(dtype, value):
    out = fi.array((3 * CHUNK + 5,), fi.constant(value), **STREAM, dtype=dtype, threads=3)
    wide = np.float64 if dtype == "float64" else np.float32
    assert_same_bits(out, np.full(out.shape, value, wide).astype(out.dtype))


@pytest.mark.parametrize("dtype", ["float8_e5m2", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("axes", [(2, 0, 1), (0, 2, 1), (2, 1, 0)])
def test_large_transposed_outputs_bypass_the_cache_and_are_right(dtype, axes):
    kind = ref.DTYPES[dtype]
    side = round((2 * BYPASS_SIZE / kind.itemsize) ** (1 / 3)) + 1
    raw = np.zeros((side, side + 1, side + 2), kind)
    out = raw[:, 1:, :-1].transpose(axes)
    plain = out.view(f"u{kind.itemsize}")
    assert all(chunk.bypass_cache for chunk in chunks(plain, region_of(out.shape, None), 2, 2**18))
    filled(out, threads=2)
    assert_same_bits(np.ascontiguousarray(out), drawn(out.shape, dtype=dtype))
    assert not raw[:, 0].view(f"u{kind.itemsize}").any()
    assert not raw[:, :, -1].view(f"u{kind.itemsize}").any()


@pytest.mark.parametrize("threads", [0, -1, True, 1.0, "2"])
def test_a_number_of_threads_that_is_none_is_an_error(threads):
    out = np.full(8, 7.0, np.float32)
    with pytest.raises(ValueError, match=r"^threads is .*: pass a whole number of 1 or more"):
        filled(out, threads=threads)
    assert (out == 7.0).all()
