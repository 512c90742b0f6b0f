# SPDX-License-Identifier: MIT
"""Distributions of a whole tensor in parts: any region, memory, threads and process, same bits."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import threading
from functools import cache
from unittest import mock

import numpy as np
import pytest
import reference as ref
from fills import DTYPES, SEED, filled, made, same
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinit as fi
from fastinit import arrays, chunks

# JAX, once another test has imported it, warns of every fork, as Python 3.12 does of BLAS's
# threads.  OpenBLAS ends its own before a fork.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning"),
    pytest.mark.filterwarnings(
        r"ignore:.*use of fork\(\) may lead to deadlocks:DeprecationWarning"
    ),
]

GUARD = 0xA5

CASES = [
    (fi.identity(0.3), (9, 13)),
    (fi.identity(batch_axis=1), (6, 3, 8)),
    (fi.dirac(2), (6, 2, 4, 3)),
    (fi.dirac(layout="jax"), (3, 2, 3, 5)),
    (fi.zero_hadamard(), (19, 7)),
    (fi.zero_hadamard(), (7, 19)),
    (fi.zero_hadamard(), (9, 4, 3)),
    (fi.zero_hadamard(layout="keras"), (3, 2, 4, 9)),
    (fi.sparse(0.4, std=1), (23, 11)),
    (fi.xavier_normal(packed=(8, 3, 1)), (12, 9)),
    (fi.xavier_uniform(packed=(8, 3, 1), layout="jax"), (2, 5, 12)),
    (fi.glorot_normal(packed=(2, 5), in_axis=2, out_axis=1), (4, 7, 6)),
    (fi.orthogonal(), (11, 14)),
    (fi.orthogonal(3.0, layout="jax", batch_axis=1), (6, 3, 8)),
    (fi.delta_orthogonal(), (6, 5, 3, 2)),
    (fi.delta_orthogonal(layout="jax"), (4, 3, 5, 6)),
    (fi.spectral_normalised(), (11, 14)),
    (fi.spectral_normalised(batch_axis=0), (3, 6, 4, 2)),
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


chunk_sizes = st.sampled_from([7, 64, chunks.CHUNK])


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(cases_and_regions(), st.sampled_from(DTYPES), st.integers(1, 3), chunk_sizes, st.data())
def test_any_region_in_any_memory_is_the_same_part_of_the_whole(case, dtype, threads, size, data):
    number, region = case
    scheme, shape = CASES[number]
    expected = whole(number, dtype)[region]
    memory, out, there = data.draw(memories(expected.shape, dtype))
    with mock.patch.object(chunks, "CHUNK", size):
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
    with mock.patch.object(chunks, "CHUNK", size):
        part = made(shape, scheme, dtype=dtype, region=run, threads=2)
    assert same(part, flat[np.array(run, int)])


# --- threads, forks, the floating-point state ------------------------------------------------

LARGE = [(fi.orthogonal(), (400, 300)), (fi.spectral_normalised(), (400, 300))]


@pytest.mark.parametrize(("scheme", "shape"), LARGE)
def test_linear_algebra_done_again_gives_the_same_bits(scheme, shape):
    expected = made(shape, scheme, threads=1)
    for threads in (1, 2, 3):
        memory = np.empty(math.prod(shape) + threads, np.float32)
        out = memory[threads:].reshape(shape)  # at another address each time
        assert same(filled(out, scheme, threads=threads), expected)


def test_a_tensor_is_made_once_however_many_threads_draw(monkeypatch):
    calls = []
    haar = fi.linalg.haar
    monkeypatch.setattr(
        "fastinit.matrices.orthogonal.haar", lambda *a, **b: calls.append(1) or haar(*a, **b)
    )
    with mock.patch.object(chunks, "CHUNK", 64):
        found = made((60, 50), fi.orthogonal(), threads=4)
    assert len(calls) == 1
    assert same(found, made((60, 50), fi.orthogonal()))


def test_nothing_is_made_for_a_region_of_no_elements(monkeypatch):
    monkeypatch.delattr("fastinit.matrices.orthogonal.haar")
    assert made((60, 50), fi.orthogonal(), region=np.s_[5:5]).shape == (0, 50)
    for shape in ((0, 4), (4, 0)):
        for scheme in (fi.orthogonal(), fi.sparse(0.5), fi.spectral_normalised()):
            source = arrays.sampler(scheme, shape, seed=SEED, name="w", dtype="float32")
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
    source = arrays.sampler(fi.orthogonal(), (6, 5), seed=SEED, name="w", dtype="float32")
    out = np.empty((6, 5), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr("fastinit.matrices.orthogonal.haar", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            source.draw(out.view(np.uint8).reshape(-1), 0)
    source.draw(out.view(np.uint8).reshape(-1), 0)
    assert same(out, made((6, 5), fi.orthogonal()))
