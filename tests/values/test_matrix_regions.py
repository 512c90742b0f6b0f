# SPDX-License-Identifier: MIT
"""Distributions of a whole tensor in parts: any region, memory, threads and process, same bits."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import sys
import threading
import time
import tracemalloc
from functools import cache
from unittest import mock

import numpy as np
import pytest
import reference as ref
from fills import DTYPES, SEED, filled, made, same, sampler_of
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinit as fi
from fastinit.backends.selection import active
from fastinit.memory import chunks
from fastinit.numerics import linalg
from fastinit.numerics.dtypes import DTYPES as DTYPE_TABLE
from fastinit.values.distributions import Constant
from fastinit.values.matrices import Blocks
from fastinit.values.stream import Stream

# JAX, once another test has imported it, warns of every fork, as Python 3.12 does of BLAS's
# threads.  OpenBLAS ends its own before a fork.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning"),
    pytest.mark.filterwarnings(
        r"ignore:.*use of fork\(\) may lead to deadlocks:DeprecationWarning"
    ),
]

GUARD = 0xA5
ROWS = 2**14
FLOAT32 = DTYPE_TABLE["float32"]

CASES = [
    (fi.identity(0.3), (9, 13)),
    (fi.identity(batch_axis=1), (6, 3, 8)),
    (fi.dirac(2), (6, 2, 4, 3)),
    (fi.dirac(layout="jax"), (3, 2, 3, 5)),
    (fi.schemes.zero_hadamard(), (19, 7)),
    (fi.schemes.zero_hadamard(), (7, 19)),
    (fi.schemes.zero_hadamard(), (9, 4, 3)),
    (fi.schemes.zero_hadamard(layout="keras"), (3, 2, 4, 9)),
    (fi.sparse(0.4, std=1), (23, 11)),
    (fi.xavier_normal(packed=(8, 3, 1)), (12, 9)),
    (fi.xavier_uniform(packed=(8, 3, 1), layout="jax"), (2, 5, 12)),
    (fi.glorot_normal(packed=(2, 5), in_axis=2, out_axis=1), (4, 7, 6)),
    (fi.orthogonal(), (11, 14)),
    (fi.orthogonal(3.0, layout="jax", batch_axis=1), (6, 3, 8)),
    (fi.schemes.delta_orthogonal(), (6, 5, 3, 2)),
    (fi.schemes.delta_orthogonal(layout="jax"), (4, 3, 5, 6)),
    (fi.schemes.spectral_normalised(), (11, 14)),
    (fi.schemes.spectral_normalised(batch_axis=0), (3, 6, 4, 2)),
    (fi.identity(2.0, batch_axis=(0, 2)), (3, 5, 4, 6)),
    (fi.identity(batch_axis=2), (5, 4, 6)),
    (fi.dirac(3, layout="keras"), (3, 2, 3, 9)),
    (fi.schemes.torch_embedding(padding=4), (9, 13)),
    (fi.schemes.torch_embedding(padding=-1), (70, 5)),
    (fi.schemes.keras_lstm_bias(), (4 * 70,)),
    (fi.xavier_normal(packed=(1,) * 29 + (2,) * 3), (35, 8)),
    (fi.schemes.parts(fi.normal(), "4", fi.zeros(), "-2:, 3:9", fi.uniform(0, 1)), (9, 13)),
    (fi.schemes.parts(fi.zeros(), "1:4", fi.orthogonal(), ":, ::3", fi.ones()), (5, 6)),
    (
        fi.schemes.parts(
            fi.orthogonal(batch_axis=0),
            "1:3, :, 2:",
            fi.schemes.delta_orthogonal(layout="jax"),
            "::2, 1::2",
            fi.schemes.table("i0 + 10 * i1 + 100 * i2"),
            "2, 3",
            fi.schemes.mapped(fi.normal(), "exp(x)"),
            "1, -1, 1::3",
            fi.schemes.same_as("v", fi.normal()),
        ),
        (4, 5, 7),
    ),
    (fi.schemes.parts(fi.he_normal(), ":, 0:4", fi.orthogonal(), "3:3", fi.ones()), (12, 9)),
    (fi.schemes.mapped(fi.uniform(0, 1), "log(16 * x)"), (12, 9)),
    (fi.schemes.inverse_softplus_log_uniform(0.001, 0.1, floor=1e-4), (70,)),
    (fi.schemes.same_as("v", fi.sparse(0.4)), (23, 11)),
    (fi.schemes.norms_of("v", (9, 4, 13), (2, 0), fi.normal()), (9, 1, 13)),
    (fi.schemes.norms_of("v", (40, 9), -1, fi.uniform(-1, 1)), (1, 9)),
    (fi.schemes.norms_of("v", (40, 9), (), fi.ones()), ()),
    (fi.schemes.slice_of("v", (6, 12, 9), "4, 1:12", fi.normal()), (11, 9)),
    (fi.schemes.slice_of("v", (12, 13), ":, 2:11", fi.he_normal()), (12, 9)),
    (fi.schemes.slice_of("v", (5, 6, 13), ":, 1::2, ::3", fi.uniform(0, 1)), (5, 3, 5)),
    (fi.schemes.slice_of("v", (9, 13, 3), ":, :, 1", fi.truncated_normal()), (9, 13)),
    (fi.schemes.slice_of("v", (4, 5, 6, 3), "1:, 2, :4, ::2", fi.dirac()), (3, 4, 2)),
    (
        fi.schemes.parts(
            fi.ones(), "2:5, ::2", fi.schemes.slice_of("v", (4, 3, 9), "1, :, 2:6", fi.normal())
        ),
        (6, 7),
    ),
    (fi.schemes.slice_of("v", (70, 11), "3:66, 1::3", fi.orthogonal()), (63, 4)),
    (fi.schemes.linspace(-1, 3.3, axis=1), (3, 7, 4)),
    (fi.schemes.log_arange(), (12, 9)),
    (fi.schemes.sinusoid("interleaved", padding=1), (2, 8, 7)),
    (fi.schemes.sinusoid("halves", endpoint=True), (11, 9)),
    (fi.schemes.literal(((1, 2, 3.5), (-1e-3, 0, 7))), (2, 3)),
    (fi.schemes.table("sin(i1 / 3) - i0 % 3 * n1"), (7, 12)),
]


@cache
def whole(number, dtype):
    """The tensor of a case, made by one thread in one piece."""
    scheme, shape = CASES[number]
    out = made(shape, scheme, dtype=dtype, threads=1)
    out.setflags(write=False)
    return out


def index_along(dim):
    """An integer or a slice that does not leave an axis of `dim`."""
    bound = st.none() | st.integers(-dim, dim)
    step = st.none() | st.sampled_from([1, 2, 3, -1, -2, -200])
    slices = st.builds(slice, bound, bound, step)
    return slices | st.integers(-dim, dim - 1)


@st.composite
def cases_and_regions(draw):
    number = draw(st.integers(0, len(CASES) - 1))
    shape = CASES[number][1]
    region = [draw(index_along(dim)) for dim in shape]
    return number, tuple(region[: draw(st.integers(0, len(region)))])


@st.composite
def memories(draw, shape, dtype):
    """Guarded memory, a view of it of `shape`, any axes and steps, and where that lies."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in shape]
    dims = [shape[axis] * abs(step) for axis, step in zip(order, steps, strict=True)]
    kind, there = ref.DTYPES[dtype], np.zeros(dims, bool)
    memory = np.full(there.size * kind.itemsize, GUARD, np.uint8).view(kind).reshape(dims)
    cut, back = tuple(slice(None, None, step) for step in steps), np.argsort(np.array(order, int))
    there[cut] = True
    return memory, memory[(..., *cut)].transpose(back), there


chunk_sizes = st.sampled_from([7, 64, chunks.LEAST])


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(cases_and_regions(), st.sampled_from(DTYPES), st.integers(1, 3), chunk_sizes, st.data())
def test_any_region_in_any_memory_is_the_same_part_of_the_whole(case, dtype, threads, size, data):
    number, region = case
    scheme, shape = CASES[number]
    expected = whole(number, dtype)[region]
    memory, out, there = data.draw(memories(expected.shape, dtype))
    with mock.patch.multiple(chunks, LEAST=size, APART=size, TURN=size):
        filled(out, scheme, shape=shape, region=region, threads=threads)
        part = made(shape, scheme, dtype=dtype, region=region, threads=threads)
    assert same(out, expected)
    assert same(part, expected)
    assert set(memory[~there].tobytes()) <= {GUARD}


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.integers(0, len(CASES) - 1), st.data(), st.sampled_from(DTYPES), chunk_sizes)
def test_any_flat_run_is_the_same_part_of_the_whole(number, data, dtype, size):
    scheme, shape = CASES[number]
    flat = whole(number, dtype).reshape(-1)
    start, stop = (data.draw(st.integers(0, flat.size)) for _ in range(2))
    step = data.draw(st.sampled_from([1, 1, 2, 3, 150, -1, -5]))
    run = range(start, stop, step)
    if len(run) and max(run) >= flat.size:
        run = run[1:]
    with mock.patch.multiple(chunks, LEAST=size, APART=size, TURN=size):
        part = made(shape, scheme, dtype=dtype, region=run, threads=2)
    assert same(part, flat[np.array(run, int)])


# --- how much memory and how many calls a region takes ----------------------------------------

HUGE = 2**31
FAR = [
    (fi.identity(), (HUGE, HUGE), np.s_[5:7, 5:7], np.eye(2)),
    (fi.identity(), (HUGE, HUGE - 2), np.s_[-3:, -1:], [[1], [0], [0]]),
    (fi.identity(batch_axis=1), (2**20,) * 3, np.s_[7:9, 2**19, 8:11], [[0, 0, 0], [1, 0, 0]]),
    (fi.identity(batch_axis=2), (2**20,) * 3, np.s_[7:9, 8, -1:], [[0], [1]]),
    (fi.dirac(), (2**28, 2**28, 3), np.s_[-1:, -2:, :], [[[0, 0, 0], [0, 1, 0]]]),
    (fi.dirac(2**10), (2**28, 2**18, 3), np.s_[2**19 + 5, 5], [0, 1, 0]),
    (fi.schemes.zero_hadamard(), (2**30, 2**30), np.s_[9, 8:10], [0, 1]),
    (
        fi.schemes.zero_hadamard(layout="jax"),
        (2**20, 2**40),
        range(2**40 - 2, 2**40 + 3),
        2.0**-20 * np.array([1, 1, 1, -1, 1]),
    ),
    (
        fi.schemes.zero_hadamard(layout="jax"),
        (2**20, 2**40),
        range(2 * 2**40 - 2, 2 * 2**40 + 2),
        2.0**-20 * np.array([1, -1, 1, 1]),
    ),
    (
        fi.schemes.zero_hadamard(),
        (2**31, 2**28, 3),
        np.s_[3, 1:3],
        2.0**-15.5 * np.array([[0, -1, 0]] * 2),
    ),
    (
        fi.schemes.slice_of("v", (HUGE, HUGE), "7:, 5:", fi.identity()),
        (HUGE - 7, HUGE - 5),
        np.s_[:2, 1:4],
        [[0, 1, 0], [0, 0, 1]],
    ),
    (
        fi.schemes.slice_of("v", (2**20, 2**20, 2**20), ":, ::2, 8", fi.identity(batch_axis=1)),
        (2**20, 2**19),
        np.s_[7:9, 2**18 : 2**18 + 2],
        [[0, 0], [1, 1]],
    ),
]


@pytest.mark.parametrize(("scheme", "shape", "region", "expected"), FAR)
def test_a_region_of_a_huge_tensor_takes_memory_for_the_region_alone(
    scheme, shape, region, expected
):
    made(shape, scheme, region=region)  # what is kept from the first call on
    tracemalloc.start()
    found = made(shape, scheme, region=region)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    assert peak < 200_000


LINES = [
    (fi.identity(), (ROWS, 256), np.s_[:, 5]),
    (fi.identity(), (ROWS, 256), np.s_[:, 5:9]),
    (fi.identity(batch_axis=1), (ROWS, 4, 64), np.s_[:, 1, 5]),
    (fi.dirac(), (ROWS, 64, 3), np.s_[:, 5]),
    (fi.schemes.zero_hadamard(), (ROWS, 256), np.s_[:, 5]),
    (fi.schemes.zero_hadamard(), (ROWS, 256), np.s_[::-1, 5:9]),
    (fi.schemes.zero_hadamard(), (ROWS, 64, 3), np.s_[:, 5, 1]),
    (fi.schemes.zero_hadamard(), (ROWS, 64, 3), np.s_[:, 5]),
    (fi.sparse(0.3), (ROWS, 256), np.s_[:, 5]),
    (fi.sparse(0.3), (ROWS, 256), np.s_[:, 5:9]),
    (fi.schemes.torch_embedding(padding=77), (ROWS, 256), np.s_[:, 5]),
    (fi.schemes.torch_embedding(padding=77), (ROWS, 256), np.s_[3:, 5:9]),
    (fi.xavier_normal(packed=(30, 4, 222), layout="jax"), (ROWS, 256), np.s_[:, 28:36]),
    (fi.xavier_normal(packed=(30, 4, 222), layout="jax"), (ROWS, 256), range(0, ROWS * 256, 160)),
    (fi.xavier_normal(packed=(30, 4, 222), layout="jax"), (ROWS, 256), range(ROWS * 256)),
    (fi.xavier_normal(packed=(ROWS // 2, ROWS // 2)), (ROWS, 256), np.s_[:, 5]),
    (fi.schemes.parts(fi.normal(), "77", fi.zeros()), (ROWS, 256), np.s_[:, 5]),
    (fi.schemes.parts(fi.normal(), "77:, 3:7", fi.identity()), (ROWS, 256), np.s_[:, 5:9]),
    (fi.schemes.parts(fi.normal(), ":, ::2", fi.zeros()), (ROWS, 256), np.s_[:, 5:9]),
    (fi.schemes.mapped(fi.normal(), "x * x"), (ROWS, 256), np.s_[:, 5:9]),
    (fi.schemes.log_arange(axis=0), (ROWS, 256), np.s_[:, 5]),
    (fi.schemes.slice_of("v", (ROWS, 99), ":, 3:9", fi.normal()), (ROWS, 6), np.s_[:, 2]),
    (fi.schemes.slice_of("v", (ROWS, 99), ":, 3:9", fi.normal()), (ROWS, 6), np.s_[:]),
    (fi.schemes.slice_of("v", (ROWS, 7), ":, :5:2", fi.sparse(0.3)), (ROWS, 3), np.s_[:, 1:]),
    (fi.schemes.slice_of("v", (ROWS, 5, 7), ":, :3, :2", fi.normal()), (ROWS, 3, 2), np.s_[5:]),
    (fi.schemes.slice_of("v", (ROWS, 5, 7), ":, 3, ::4", fi.normal()), (ROWS, 2), np.s_[::-1]),
    (fi.schemes.slice_of("v", (ROWS, 9), ":, 4", fi.normal()), (ROWS,), np.s_[3::5]),
]


@pytest.mark.parametrize(("scheme", "shape", "region"), LINES)
def test_a_line_through_a_tensor_takes_no_call_for_each_element(scheme, shape, region):
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    expected = made(shape, scheme)
    sys.setprofile(count)
    try:
        found = made(shape, scheme, region=region, threads=1)
    finally:
        sys.setprofile(None)
    flat = isinstance(region, range)
    assert same(found, expected.reshape(-1)[np.array(region)] if flat else expected[region])
    assert calls < ROWS // 4


def test_a_tensor_of_many_parts_takes_time_that_grows_no_faster_than_it():
    """20,000 parts in 0.1 s; a search from the first one on for every run would take 10 s."""
    parts = tuple(Constant(number % 100) for number in range(20_000))
    source = Blocks((20_000, 3), 0, (1,) * 20_000, parts).sampler(FLOAT32, Stream(0, "w"), active())
    out = np.empty((20_000, 3), np.float32)
    begin = time.process_time()
    memory = out.view(np.uint8).reshape(-1)
    for half in (0, out.size // 2):  # either one is less than a period, so it has no short cut
        source.draw(memory[4 * half :][: 2 * out.size], half)
    assert time.process_time() - begin < 3
    assert (out == np.arange(20_000)[:, np.newaxis] % 100).all()


# --- threads, forks, the floating-point state ------------------------------------------------

LARGE = [(fi.orthogonal(), (400, 300)), (fi.schemes.spectral_normalised(), (400, 300))]


@pytest.mark.parametrize(("scheme", "shape"), LARGE)
def test_linear_algebra_done_again_gives_the_same_bits(scheme, shape):
    expected = made(shape, scheme, threads=1)
    for threads in (1, 2, 3):
        memory = np.empty(math.prod(shape) + threads, np.float32)
        out = memory[threads:].reshape(shape)  # at another address each time
        assert same(filled(out, scheme, threads=threads), expected)


def test_a_tensor_is_made_once_however_many_threads_draw(monkeypatch):
    calls = []
    haar = linalg.haar
    monkeypatch.setattr(
        "fastinit.values.matrices.orthogonal.haar", lambda *a, **b: calls.append(1) or haar(*a, **b)
    )
    with mock.patch.multiple(chunks, LEAST=64, APART=64):
        found = made((60, 50), fi.orthogonal(), threads=4)
    assert len(calls) == 1
    assert same(found, made((60, 50), fi.orthogonal()))


def test_nothing_is_made_for_a_region_of_no_elements(monkeypatch):
    monkeypatch.delattr("fastinit.values.matrices.orthogonal.haar")
    assert made((60, 50), fi.orthogonal(), region=np.s_[5:5]).shape == (0, 50)
    for shape in ((0, 4), (4, 0)):
        for scheme in (fi.orthogonal(), fi.sparse(0.5), fi.schemes.spectral_normalised()):
            source = sampler_of(scheme, shape)
            source.draw(np.empty(0, np.uint8), 0)


@pytest.mark.parametrize(("scheme", "shape"), LARGE)
def test_two_tensors_made_at_once_are_the_two_tensors(scheme, shape):
    names = ["a", "b", "c"]
    expected = [fi.array(shape, scheme, seed=SEED, name=name) for name in names]
    found = {}

    def work(name):
        found[name] = fi.array(shape, scheme, seed=SEED, name=name, threads=2)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[name], right) for name, right in zip(names, expected, strict=True))


def digest():
    return hashlib.sha256(made((400, 300), fi.orthogonal(), threads=2).tobytes()).hexdigest()


def test_a_child_forked_after_a_matrix_was_made_can_make_it():
    expected = digest()
    child = os.fork()
    if child == 0:  # no pytest in here: it must reach os._exit
        code = 1
        try:
            signal.alarm(30)
            code = 0 if digest() == expected else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_fill_that_fails_is_tried_again(monkeypatch):
    """A sampler keeps no half-made matrix."""
    source = sampler_of(fi.orthogonal(), (6, 5))
    out = np.empty((6, 5), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr("fastinit.values.matrices.orthogonal.haar", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            source.draw(out.view(np.uint8).reshape(-1), 0)
    source.draw(out.view(np.uint8).reshape(-1), 0)
    assert same(out, made((6, 5), fi.orthogonal()))
