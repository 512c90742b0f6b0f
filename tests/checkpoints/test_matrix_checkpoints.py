# SPDX-License-Identifier: MIT
"""Checkpoints of distributions of a whole tensor: what is written, how closely it is verified."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from checkpoint_plans import contents, plan_of, tensors_of
from command_line import in_a_process

import fastinit as fi
import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import layout_of, verify, write
from fastinit.errors import VerifyError
from fastinit.numerics.dtypes import resolve

EXACT = [
    ("identity", (9, 13), "identity(gain=0.3)"),
    ("dirac", (6, 2, 3, 3), "dirac(groups=2)"),
    ("hadamard", (19, 7), "zero_hadamard()"),
    ("hadamard.conv", (3, 4, 9), "zero_hadamard(layout='keras')"),
    ("sparse", (61, 30), "sparse(sparsity=0.4, std=1)"),
    ("sparse.empty", (5, 0), "sparse(sparsity=0.4)"),
    ("packed", (12, 9), "xavier_normal(packed=(8, 3, 1))"),
    ("packed.jax", (9, 12), "he_uniform(layout='jax', packed=(8, 4))"),
]
ROUNDED = [
    ("orthogonal", (70, 40), "orthogonal()"),
    ("orthogonal.stack", (3, 8, 6), "orthogonal(gain=2.5, layout='jax', batch_axis=0)"),
    ("orthogonal.column", (3, 8, 6), "orthogonal(column_axis=1)"),
    ("orthogonal.empty", (0, 6), "orthogonal()"),
    ("delta", (6, 5, 3, 3), "delta_orthogonal()"),
    ("spectral", (30, 20), "spectral_normalised()"),
    ("spectral.stack", (4, 6, 5), "spectral_normalised(gain=0.5, batch_axis=0)"),
]
DTYPES = ["float32", "bfloat16"]
PLAN = plan_of(
    *((f"{name}.{dtype}", *row, dtype) for name, *row in EXACT + ROUNDED for dtype in DTYPES),
    name="matrices",
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("max_shard_size", ["5GB", "20KB", "5KB", 1])
def test_files_hold_what_array_makes_and_verify(tmp_path, threads, max_shard_size):
    write(PLAN, tmp_path, seed=3, threads=threads, max_shard_size=max_shard_size)
    opened = checkpoints.open(tmp_path)
    for tensor in PLAN:
        expected = fi.array(
            tensor.shape, tensor.scheme, seed=3, name=tensor.name, dtype=tensor.dtype
        )
        assert opened[tensor.name].tobytes() == expected.tobytes()
    report = verify(tmp_path, threads=threads)
    assert (report.tensors, report.rounded) == (len(PLAN), len(DTYPES) * len(ROUNDED))


@pytest.mark.parametrize("chunk", [64, 1000])
def test_the_chunks_of_a_file_leave_no_trace(tmp_path, monkeypatch, chunk):
    write(PLAN, tmp_path / "a", seed=3)
    for module in ("outputs", "verify"):
        monkeypatch.setattr(sys.modules[f"fastinit.checkpoints.{module}"], "CHUNK", chunk)
    write(PLAN, tmp_path / "b", seed=3, threads=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert verify(tmp_path / "b", threads=2).rounded == len(DTYPES) * len(ROUNDED)


def test_a_removed_shard_is_made_again_the_same(tmp_path):
    write(PLAN, tmp_path, seed=3, max_shard_size="5KB")
    before, whole = contents(tmp_path), tensors_of(tmp_path)
    shards = sorted(name for name in before if name.startswith("model-"))
    (tmp_path / "model.safetensors.index.json").unlink()
    for name in shards[1::2]:
        (tmp_path / name).unlink()
    report = write(PLAN, tmp_path, seed=3, max_shard_size="5KB")
    assert list(report.resumed) == shards[::2]
    assert contents(tmp_path) == before
    assert tensors_of(tmp_path) == whole


def test_the_texts_in_the_recipe_are_the_schemes(tmp_path):
    for shard in layout_of(PLAN, seed=3, max_shard_size="5KB").shards:
        for name, text in shard.recipe.init.items():
            (tensor,) = (tensor for tensor in PLAN if tensor.name == name)
            assert fi.scheme(text) == tensor.scheme
            assert str(fi.scheme(text)) == text
            assert text in [row[2] for row in EXACT + ROUNDED]


# --- what verify allows, and what it finds ---------------------------------------------------


def written(folder, init, shape, dtype):
    """A file of one tensor w; the file's path, and where its values begin."""
    plan = plan_of(("w", shape, init, dtype))
    write(plan, folder, seed=3)
    (shard,) = layout_of(plan, seed=3).shards
    return folder / "model.safetensors", len(shard.header)


def values_of(path, start, dtype):
    """The values of the one tensor of a file, to be changed in place."""
    return np.memmap(path, resolve(dtype).numpy, "r+", offset=start)


def assert_found(folder, index):
    with pytest.raises(VerifyError, match=rf"^model.safetensors: tensor 'w', element {index} "):
        verify(folder)


LINEAR_ALGEBRA = [
    ("orthogonal()", (70, 40)),
    ("orthogonal(gain=30)", (70, 40)),
    ("orthogonal(gain=1e-6)", (70, 40)),
    ("delta_orthogonal()", (20, 20, 1)),
    ("spectral_normalised()", (30, 20)),
]
EVERY_DTYPE = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]


def scale_of(init):
    return {"orthogonal(gain=30)": 30, "orthogonal(gain=1e-6)": 1e-6}.get(init, 1)


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
@pytest.mark.parametrize(("init", "shape"), LINEAR_ALGEBRA)
def test_what_another_library_would_have_rounded_otherwise_verifies(tmp_path, init, shape, dtype):
    """Every value is made anew from one that is a few units of float32's rounding away."""
    path, start = written(tmp_path, init, shape, dtype)
    wide = "float64" if dtype == "float64" else "float32"
    true = fi.array(shape, init, seed=3, name="w", dtype=wide).reshape(-1).astype(np.float64)
    error = scale_of(init) * (1e-14 if dtype == "float64" else 1e-6)
    for sign in (-1, 1):
        other = true + sign * error * (-1) ** np.arange(true.size)
        values_of(path, start, dtype)[:] = other.astype(wide).astype(resolve(dtype).numpy)
        assert verify(tmp_path).rounded == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_a_step_of_a_narrow_type_that_no_rounding_explains_is_found(tmp_path, dtype):
    """One step of the dtype away, where every value within the tolerance rounds to the old one."""
    init, shape = "orthogonal()", (70, 40)
    path, start = written(tmp_path, init, shape, dtype)
    true = fi.array(shape, init, seed=3, name="w").reshape(-1)
    row, margin = resolve(dtype), np.float32(2e-6)
    settled = (true - margin).astype(row.numpy) == (true + margin).astype(row.numpy)
    values = values_of(path, start, dtype)
    index = int(np.flatnonzero(settled & (np.abs(true) > 0.01))[5])
    values[index] = np.nextafter(values[index], row.numpy.type(0))
    with pytest.raises(VerifyError) as found:
        verify(tmp_path)
    assert found.value.index == index


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
@pytest.mark.parametrize("value", ["smallest", -0.0])
def test_a_zero_beside_the_matrix_is_exact(tmp_path, dtype, value):
    path, start = written(tmp_path, "delta_orthogonal()", (6, 4, 3), dtype)
    kind = resolve(dtype).numpy.type
    values = values_of(path, start, dtype)
    assert values[3] == 0
    values[3] = np.nextafter(kind(0), kind(1)) if value == "smallest" else kind(value)
    with pytest.raises(VerifyError) as found:
        verify(tmp_path)
    assert found.value.index == 3


def large_element(values):
    """The index of the first value that is no smaller than a typical one."""
    sizes = np.abs(values.astype(np.float64))
    return int(np.argmax(sizes >= sizes[sizes > 0].mean()))


MORE = "a 25th more"
CHANGES = {
    "a NaN": lambda value: math.nan,
    "the sign": lambda value: -value,
    "twice": lambda value: 2 * value,
    "zero": lambda value: 0 * value,
    MORE: lambda value: 1.04 * value,
}
SMALL = "orthogonal(gain=1e-6)"  # all zeros in float8, a few units of float16
WRONG = [
    (init, shape, dtype, change)
    for init, shape in LINEAR_ALGEBRA
    for dtype in EVERY_DTYPE
    for change in CHANGES
    if not (init == SMALL and (dtype.startswith("float8") or (dtype, change) == ("float16", MORE)))
    and not (dtype.startswith("float8") and change == MORE)
]


@pytest.mark.parametrize(("init", "shape", "dtype", "change"), WRONG)
def test_a_value_that_is_wrong_is_found_and_named(tmp_path, init, shape, dtype, change):
    path, start = written(tmp_path, init, shape, dtype)
    values = values_of(path, start, dtype)
    index = large_element(values)
    values[index] = CHANGES[change](float(values[index]))
    assert_found(tmp_path, index)


def test_the_tolerance_of_float32_and_float64_lies_between_rounding_and_error(tmp_path):
    for dtype, allowed, refused in (("float32", 1e-6, 1e-3), ("float64", 1e-14, 1e-9)):
        path, start = written(tmp_path / dtype, "orthogonal()", (70, 40), dtype)
        values = values_of(path, start, dtype)
        values[77] += allowed
        assert verify(tmp_path / dtype).rounded == 1
        values[77] += refused
        assert_found(tmp_path / dtype, 77)


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
@pytest.mark.parametrize(("name", "shape", "init"), [row for row in EXACT if math.prod(row[1])])
def test_any_bit_of_an_exact_tensor_is_found_and_named(tmp_path, name, shape, init, dtype):
    path, start = written(tmp_path, init, shape, dtype)
    data = np.memmap(path, np.uint8, "r+", offset=start)
    size = resolve(dtype).size
    for index in (0, math.prod(shape) // 2, math.prod(shape) - 1):
        for byte, bit in ((0, 1), (size - 1, 128)):
            data[index * size + byte] ^= bit
            assert_found(tmp_path, index)
            data[index * size + byte] ^= bit
    assert verify(tmp_path).rounded == 0


def test_a_tensor_of_zero_gain_is_exact(tmp_path):
    path, start = written(tmp_path, "orthogonal(gain=0)", (7, 5), "float32")
    assert verify(tmp_path).rounded == 0
    values_of(path, start, "float32")[3] = -0.0
    assert_found(tmp_path, 3)


GAINS = [1e-3, 0.1, 0.3, 0.7, 1.0, 3.3, 100.0]


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
@pytest.mark.parametrize("gain", GAINS)
def test_an_element_that_is_the_whole_norm_verifies(tmp_path, dtype, gain):
    """It lies on the dtype's last number below the norm, and on another machine on the next one."""
    path, start = written(tmp_path, f"spectral_normalised(gain={gain})", (1, 1), dtype)
    assert verify(tmp_path).rounded == 1
    row, values = resolve(dtype), values_of(path, start, dtype)
    sign = math.copysign(1, values[0])
    nudge = 1e-13 if dtype == "float64" else 1e-7
    for norm in (gain * (1 - nudge), gain, gain * (1 + nudge)):
        values[0] = sign * row.at_most(norm)
        verify(tmp_path)
    for wrong in (row.at_most(gain * 0.7), row.at_least(gain * 1.4)):
        values[0] = sign * wrong
        if row.size > 1 or gain > 1e-3:  # else 0 and the first step are what rounding explains
            assert_found(tmp_path, 0)


# --- denormals: a step is more than the tolerance --------------------------------------------

TINY = [("float32", 1e-44), ("float32", 1e-41), ("bfloat16", 1e-38), ("float16", 1e-44)]
TINY += [("float8_e5m2", 1e-45), ("float64", 1e-322), ("float64", 1e-316)]
STEPS = {"orthogonal": 1, "delta_orthogonal": 1, "spectral_normalised": 7}


def tiny(folder, name, gain, dtype):
    """A file of tiny values w: its values, those in the wide type, and the wide type's step."""
    shape = (6, 4, 3) if name == "delta_orthogonal" else (12, 12)
    path, start = written(folder, f"{name}(gain={gain})", shape, dtype)
    wide = np.dtype("float64" if dtype == "float64" else "float32")
    true = fi.array(shape, f"{name}(gain={gain})", seed=3, name="w", dtype=wide).reshape(-1)
    return values_of(path, start, dtype), true, np.nextafter(wide.type(0), wide.type(1))


@pytest.mark.parametrize(("dtype", "gain"), TINY)
@pytest.mark.parametrize("name", STEPS)
def test_denormals_verify_as_they_are_and_a_rounding_away(tmp_path, name, gain, dtype):
    values, true, step = tiny(tmp_path, name, gain, dtype)
    assert verify(tmp_path).rounded == 1
    inside = true != 0 if name == "delta_orthogonal" else np.full(true.shape, True)
    for sign in (-1, 1):
        values[inside] = (true + sign * STEPS[name] * step).astype(values.dtype)[inside]
        assert verify(tmp_path).rounded == 1


@pytest.mark.parametrize(
    ("dtype", "gain"), [row for row in TINY if row[0] in ("float32", "float64")]
)
@pytest.mark.parametrize("name", STEPS)
def test_denormals_that_no_rounding_explains_are_found(tmp_path, name, gain, dtype):
    values, true, step = tiny(tmp_path, name, gain, dtype)
    index = int(np.flatnonzero(true)[5])
    for wrong in (true[index] + 12 * step, true[index] - 12 * step, math.nan):
        values[index] = wrong
        assert_found(tmp_path, index)
    if name != "spectral_normalised":
        values[index] = true[index] + 2 * step
        assert_found(tmp_path, index)


@pytest.mark.parametrize(("dtype", "gain"), TINY)
@pytest.mark.parametrize("value", ["smallest", -0.0])
def test_a_zero_beside_a_matrix_of_denormals_is_exact(tmp_path, dtype, gain, value):
    values, true, _ = tiny(tmp_path, "delta_orthogonal", gain, dtype)
    kind = values.dtype.type
    assert true[3] == 0
    values[3] = np.nextafter(kind(0), kind(1)) if value == "smallest" else kind(value)
    assert_found(tmp_path, 3)


def test_the_first_of_several_wrong_values_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["fastinit.checkpoints.verify"], "CHUNK", 256)
    path, start = written(tmp_path, "orthogonal()", (70, 40), "float32")
    values = values_of(path, start, "float32")
    values[[2000, 700, 701, 2799]] += 1
    values[[3, 500]] += 1e-6
    for threads in (1, 2, 4):
        with pytest.raises(VerifyError, match=r"element 700 \(row 17, column 20\) is "):
            verify(tmp_path, threads=threads)


def test_the_command_line_says_how_many_were_rounded(tmp_path):
    written(tmp_path, "orthogonal()", (7, 5), "float32")
    done = in_a_process("verify", tmp_path)
    assert done.returncode == 0
    assert "to the last byte (1 by linear algebra, to rounding); " in done.stdout
