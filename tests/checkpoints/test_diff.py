# SPDX-License-Identifier: MIT
"""diff: what differs between two checkpoints, in whatever files."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stats import ONE, change, put, written

import fastinit as fi
from fastinit.checkpoints import diff
from fastinit.errors import CheckpointError, InvalidCheckpointError

ROWS = [(f"w.{n}", (40 + 11 * n, 30), "normal(std=1)") for n in range(6)]


def pair(tmp_path, one, other):
    """What differs between two arrays."""
    for side, array in (("a", one), ("b", other)):
        (tmp_path / side).mkdir(exist_ok=True)
        put(tmp_path / side / ONE, {"w": array})
    return diff(tmp_path / "a", tmp_path / "b")


def expected(one, other):
    """The same by NumPy, of float64 arrays without infinities or NaN."""
    apart = np.abs(one - other)
    size = np.maximum(np.abs(one), np.abs(other))
    relative = (apart[size > 0] / size[size > 0]).max(initial=0)
    return apart.max(initial=0), relative, math.sqrt(np.mean(apart**2))


def test_checkpoints_of_one_seed_are_the_same_in_any_files(tmp_path):
    one = written(tmp_path / "one", *ROWS)
    shards = written(tmp_path / "shards", *ROWS[::-1], max_shard_size=8000)
    arrays = written(tmp_path / "npy", *ROWS, format="npy")
    for other in (one, shards, arrays):
        report = diff(one, other, threads=2)
        assert report.equal
        assert (report.same, report.different) == (6, ())
    assert report.size == sum(4 * math.prod(shape) for _, shape, _ in ROWS)


def test_the_first_difference_and_the_largest_are_found(tmp_path):
    one = written(tmp_path / "one", *ROWS)
    other = written(tmp_path / "other", *ROWS)
    change(other, "w.3", lambda x: x + 0.5 * (np.arange(x.size).reshape(x.shape) % 500 == 77))
    report = diff(one, other)
    (tensor,) = report.different
    assert not report.equal
    assert (tensor.name, tensor.first, tensor.position, tensor.count) == ("w.3", 77, (2, 17), 2190)
    assert tensor.differing == 5
    a, b = (fi.open(path)["w.3"].astype(np.float64) for path in (one, other))
    assert tensor.values == (a[2, 17], b[2, 17])
    found = tensor.largest, tensor.relative, tensor.rms
    assert found == pytest.approx(expected(a, b), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([1, 7, 8, 9, 2**16 - 1, 2**16, 2**16 + 1, 300_000]),
    kinds=st.tuples(*[st.sampled_from(["float32", "float16", "bfloat16", "float64", "int32"])] * 2),
    changed=st.integers(0, 20),
)
def test_differences_are_those_of_numpy(tmp_path_factory, seed, size, kinds, changed):
    random = np.random.default_rng(seed)
    types = [np.dtype(getattr(ml_dtypes, kind, kind)) for kind in kinds]
    values = random.integers(-20, 20, size).astype(np.float64)
    other = values.copy()
    other[random.integers(0, size, changed)] += 3
    report = pair(tmp_path_factory.mktemp("diff"), values.astype(types[0]), other.astype(types[1]))
    places = np.flatnonzero(values != other)
    if not places.size and kinds[0] == kinds[1]:
        assert report.equal
        return
    (tensor,) = report.different
    assert tensor.differing == places.size
    assert tensor.first == (places[0] if places.size else None)
    found = tensor.largest, tensor.relative, tensor.rms
    assert found == pytest.approx(expected(values, other), rel=1e-12)


def test_bits_decide_within_a_dtype(tmp_path):
    nan, other_nan = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    a = np.array([0.0, nan, 1, math.inf, 2], np.float32)
    assert pair(tmp_path, a, a.copy()).equal
    b = np.array([-0.0, nan, 1, math.inf, 2], np.float32)
    (tensor,) = pair(tmp_path, a, b).different
    assert (tensor.differing, tensor.first, tensor.largest, tensor.rms) == (1, 0, 0.0, 0.0)
    b[:2] = 0.0, other_nan
    (tensor,) = pair(tmp_path, a, b).different
    assert (tensor.differing, tensor.first, tensor.not_finite) == (1, 1, 1)
    assert math.isnan(tensor.values[0])


def test_values_decide_between_dtypes(tmp_path):
    a = np.array([0.0, math.nan, 1, math.inf, 0.5], np.float32)
    b = np.array([-0.0, math.nan, 1, math.inf, 0.5]).astype(ml_dtypes.bfloat16)
    report = pair(tmp_path, a, b)
    (tensor,) = report.different
    assert (tensor.dtypes, tensor.differing, tensor.first) == (("F32", "BF16"), 0, None)
    assert not report.equal


@pytest.mark.parametrize(
    ("a", "b", "relative"),
    [
        (5e307, -5e307, 2),
        (5e-324, 0.0, 1),
        (1e-310, 4e-310, 0.75),
        (1e200, 2e200, 0.5),
        (math.inf, 1.0, 0),
    ],
)
def test_no_difference_is_lost_to_overflow_or_underflow(tmp_path, a, b, relative):
    (tensor,) = pair(tmp_path, np.array([a, 1.0]), np.array([b, 1.0])).different
    if math.isinf(a):
        assert (tensor.not_finite, tensor.largest) == (1, 0)
        return
    assert tensor.largest == abs(a - b)
    assert tensor.relative == pytest.approx(relative)
    assert tensor.rms == pytest.approx(abs(a - b) / math.sqrt(2), rel=1e-12, abs=5e-324)


def test_names_and_shapes_of_one_side_are_listed(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    written(one, ("a", (4,), "ones()"), ("b", (2, 3), "ones()"), ("c", (), "ones()"))
    written(other, ("a", (4,), "ones()"), ("b", (3, 2), "ones()"), ("d", (), "ones()"))
    report = diff(one, other)
    assert (report.only_a, report.only_b) == (("c",), ("d",))
    assert report.shapes == {"b": ((2, 3), (3, 2))}
    assert (report.same, report.equal) == (1, False)
    assert diff(one, other, "a").equal
    with pytest.raises(ValueError, match="no tensor matches 'x"):
        diff(one, other, "x*")


def test_packed_tensors_are_compared_by_bytes(tmp_path):
    for side, content in (("a", bytes(8)), ("b", bytes(7) + b"\1")):
        (tmp_path / side).mkdir()
        put(tmp_path / side / ONE, {"w": ("F4", (4, 4), content)})
    assert diff(tmp_path / "a", tmp_path / "a").equal
    (tensor,) = diff(tmp_path / "a", tmp_path / "b").different
    assert (tensor.count, tensor.differing, tensor.first, tensor.values) == (8, 1, None, None)
    put(tmp_path / "b" / ONE, {"w": np.zeros((4, 4), np.float32)})
    report = diff(tmp_path / "a", tmp_path / "b")
    assert (report.equal, report.not_compared) == (False, {"w": ("F4", "F32")})


def test_progress_counts_the_bytes_of_the_first(tmp_path):
    one = written(tmp_path / "one", ("w", (3000, 500), "normal(std=1)"), dtype="bfloat16")
    other = written(tmp_path / "other", ("w", (3000, 500), "normal(std=1)"), dtype="float64")
    seen: list[int] = []
    report = diff(one, other, progress=seen.append)
    assert sum(seen) == report.size == 3_000_000


def test_what_is_no_checkpoint_is_an_error(tmp_path):
    one = written(tmp_path / "one", *ROWS)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        diff(one, tmp_path)
    other = written(tmp_path / "other", *ROWS, max_shard_size=8000)
    next(other.glob("*.safetensors")).unlink()
    with pytest.raises(InvalidCheckpointError, match="is missing"):
        diff(one, other)


def test_an_index_that_names_what_a_file_lacks_is_an_error(tmp_path):
    one = written(tmp_path / "one", *ROWS, ("other", (3,), "ones()"))
    shards = written(tmp_path / "shards", *ROWS, max_shard_size=8000)
    index = shards / "model.safetensors.index.json"
    index.write_text(index.read_text().replace('"w.0"', '"other"'))
    with pytest.raises(InvalidCheckpointError, match="has no tensor 'other', which the index says"):
        diff(one, shards)
