# SPDX-License-Identifier: MIT
"""Fills of a device's memory end to end: host logic, and the kernel text on this CPU.

Bits are compared with those of the backend in force, memory around them with what it was.
"""

from __future__ import annotations

import ctypes
import math

import device_text
import numpy as np
import pytest
from fills import DTYPES, sampler_of

import fastinit as fi
from fastinit import cuda
from fastinit.cuda import cuts, launches, parameters
from fastinit.memory.regions import Axis, Region, region_of
from fastinit.numerics import dtypes

LAWS = {
    "uniform": fi.uniform(-0.05, 0.05),
    "uniform_positive": fi.uniform(0.0, 1.0),
    "uniform_odd": fi.uniform(-1.0, 0.3333),
    "normal": fi.normal(std=0.02),
    "clipped": fi.clipped_normal(std=0.02),
    "symmetric": fi.truncated_normal(std=0.02),
    "truncated": fi.truncated_normal(std=0.02, mean=0.001, low=-1.0, high=3.0),
    "constant": fi.constant(0.7),
}
"""One for each kernel, and more."""


def array_at(view, *, device=0, stream=0):
    """NumPy's memory as a device's."""
    return cuda.DeviceArray(view.ctypes.data, view.shape, view.strides, device, stream)


def task(view, scheme, dims, region=None, name="w", seed=7, dtype=None, **where):
    source = sampler_of(scheme, dims, dtype or view.dtype, name=name, seed=seed)
    part = region if isinstance(region, Region) else region_of(dims, region)
    return cuda.DeviceTask(array_at(view, **where), source, part)


def expected(scheme, dims, region=None, name="w", seed=7, dtype="float32"):
    return fi.array(dims, scheme, seed=seed, name=name, dtype=dtype, region=region)


def same_bits(view, values):
    return view.tobytes() == np.ascontiguousarray(values).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", LAWS)
def test_every_distribution_and_dtype_has_the_bits_of_the_cpu(driver, law, dtype):
    kind = dtypes.resolve(dtype).numpy
    memory = np.full(5000, 3, kind)
    cuda.draw([task(memory[7:4807], LAWS[law], (4800,))])
    assert same_bits(memory[7:4807], expected(LAWS[law], (4800,), dtype=dtype))
    assert (memory[:7] == 3).all()
    assert (memory[4807:] == 3).all()
    (launch,) = driver.launched
    assert launch.symbol.endswith(f"FI_{dtype.upper()}")


LAYOUTS = {
    "contiguous": ((6, 700), None, lambda whole: whole),
    "rows": ((40, 700), np.s_[3:40:2, 50:650], lambda whole: whole),
    "short rows": ((40, 700), np.s_[::3, 100:110], lambda whole: whole),
    "columns": ((300, 6), np.s_[:, 1], lambda whole: whole),
    "backwards": ((7, 600), np.s_[::-1, ::-1], lambda whole: whole),
    "rows backwards": ((7, 600), np.s_[::-1, :], lambda whole: whole),
    "spaced": ((2000,), np.s_[3:1990:3], lambda whole: whole),
    "transposed memory": ((30, 70), None, lambda whole: np.asfortranarray(whole)),
    "flipped memory": ((30, 70), None, lambda whole: whole[::-1, ::-1]),
    "gaps in rows": ((9, 600), None, lambda whole: np.zeros((9, 650), whole.dtype)[:, :600]),
    "gaps everywhere": ((9, 60), None, lambda whole: np.zeros((18, 120), whole.dtype)[::2, ::2]),
    "no axes": ((6, 7), (2, 3), lambda whole: whole),
    "nothing": ((6, 7), np.s_[2:2, :], lambda whole: whole),
    "eight axes": ((2, 3) * 4, np.s_[..., 1:, ::-2], lambda whole: whole),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_region_and_layout_has_its_elements(driver, layout, dtype):
    dims, region, placed = LAYOUTS[layout]
    values = expected(LAWS["normal"], dims, region, dtype=dtype)
    out = placed(np.zeros_like(values))
    cuda.draw([task(out, LAWS["normal"], dims, region)])
    assert out.tolist() == values.tolist()


@pytest.mark.parametrize("start", [2**34 - 1030, 2**33 - 1030, 2**62 + 1, 2**63 - 2001])
@pytest.mark.parametrize("dtype", ["float32", "float8_e5m2", "float64"])
def test_starts_where_the_block_number_needs_64_bits(driver, dtype, start):
    out = np.zeros(2000, dtypes.resolve(dtype).numpy)
    region = range(start, start + 2000)
    cuda.draw([task(out, LAWS["symmetric"], (2**63 - 1,), region)])
    assert same_bits(out, expected(LAWS["symmetric"], (2**63 - 1,), region, dtype=dtype))
    bound = cuts.blocks_apart(dtypes.resolve(dtype))
    crosses = start // bound != (start + 1999) // bound
    assert driver.launches == 1
    assert driver.launched[0].symbol.startswith("jobs" if crosses else "rows")


def test_rows_that_cross_are_cut_and_drawn(driver):
    part = Region(2**34 - 2500, (Axis(5, 2000), Axis(1000, 1)))
    out = np.zeros((5, 1000), np.float32)
    cuda.draw([task(out, LAWS["normal"], (2**40,), part)])
    for row in range(5):
        first = part.start + 2000 * row
        values = expected(LAWS["normal"], (2**40,), range(first, first + 1000))
        assert same_bits(out[row], values)


def test_many_tensors_are_few_launches(driver):
    sizes = [1, 3, 768, 4096, 5000, 20001, 0, 17] * 30
    outs = [np.zeros(size, np.float32) for size in sizes]
    laws = [LAWS["normal"], LAWS["constant"], LAWS["uniform"]]
    tasks = [task(out, laws[n % 3], out.shape, name=f"w{n}") for n, out in enumerate(outs)]
    cuda.draw(tasks)
    for n, out in enumerate(outs):
        assert same_bits(out, expected(laws[n % 3], out.shape, name=f"w{n}"))
    assert driver.launches == 3  # 70 jobs each


def test_more_tensors_than_jobs_fit_into_a_launch(driver):
    outs = [np.zeros(5, np.float32) for _ in range(2 * parameters.MOST_JOBS + 1)]
    cuda.draw(task(out, LAWS["normal"], (5,), name=f"w{n}") for n, out in enumerate(outs))
    for n, out in enumerate(outs):
        assert same_bits(out, expected(LAWS["normal"], (5,), name=f"w{n}"))
    assert [launch.symbol[:4] for launch in driver.launched] == ["jobs", "jobs", "rows"]


def test_tensors_of_other_seeds_dtypes_and_laws_do_not_share_a_launch(driver):
    outs = [np.zeros(9, kind) for kind in (np.float32, np.float32, np.float64, np.float32)]
    seeds, laws = (1, 2, 1, 1), ("normal", "normal", "normal", "uniform")
    cuda.draw(
        task(out, LAWS[law], (9,), seed=seed)
        for out, law, seed in zip(outs, laws, seeds, strict=True)
    )
    assert driver.launches == 4
    for out, law, seed in zip(outs, laws, seeds, strict=True):
        assert same_bits(out, expected(LAWS[law], (9,), seed=seed, dtype=out.dtype))


def test_shards_of_one_tensor_are_jobs(driver):
    out = np.zeros((12, 100), np.float32)
    cuda.draw(
        task(out[row : row + 3], LAWS["normal"], (12, 100), np.s_[row : row + 3, :])
        for row in range(0, 12, 3)
    )
    assert same_bits(out, expected(LAWS["normal"], (12, 100)))
    assert driver.launches == 1


@pytest.mark.parametrize(
    ("preset", "most"), [("llama-3-8b", 5), ("gpt2-xl", 11), ("mixtral-8x7b", 12)]
)
def test_whole_models_are_few_launches(driver, preset, most):
    driver.count_only()
    tensors = list(fi.plan(preset))
    tasks = []
    for tensor in tensors:
        size = math.prod(tensor.shape)
        array = cuda.DeviceArray(2**40, (size,), (2,), 0, 0)
        source = sampler_of(tensor.scheme, tensor.shape, "bfloat16", name=tensor.name)
        tasks.append(cuda.DeviceTask(array, source, Region(0, (Axis(size, 1),))))
    cuda.draw(tasks)
    assert driver.launches <= most


def test_a_grid_has_enough_blocks_and_no_more(driver):
    driver.count_only()
    most = launches.BLOCKS_PER_MULTIPROCESSOR * driver.cards[0].multiprocessors
    law = sampler_of(LAWS["normal"], (2**40,), "float32")
    for region, size, grid in [
        (Region(0, (Axis(8192, 1),)), 4, (1, 1)),
        (Region(1, (Axis(8192, 1),)), 4, (2, 1)),
        (Region(0, (Axis(2**31, 1),)), 4, (most, 1)),
        (Region(0, (Axis(8, 2**20), Axis(2**19, 1))), 4, (most // 8, 8)),
        (Region(0, (Axis(10**6, 2**12), Axis(2**11, 1))), 4, (1, most)),
        (Region(0, (Axis(1000, 3),)), 4, (4, 1)),
        (Region(0, (Axis(2**30, 3),)), 4, (most, 1)),
    ]:
        strides = [size * axis.step for axis in region.axes]
        out = cuda.DeviceArray(2**40, region.shape, tuple(strides), 0, 0)
        cuda.draw([cuda.DeviceTask(out, law, region)])
        assert driver.launched[-1].grid == grid


def test_blocks_of_jobs_are_in_proportion_and_cover_the_grid(driver):
    driver.count_only()
    sizes = [5, 2**24, 2**20, 4097, 2**24]
    tasks = [
        cuda.DeviceTask(
            cuda.DeviceArray(2**40, (size,), (4,), 0, 0),
            sampler_of(LAWS["normal"], (size,), "float32", name=f"w{size}"),
            region_of((size,), None),
        )
        for size in sizes
    ]
    cuda.draw(tasks)
    (launch,) = driver.launched
    (jobs,) = launch.arguments
    firsts = [job.first for job in jobs.job[: jobs.count]]
    own = np.diff([*firsts, jobs.blocks])
    assert jobs.blocks == launch.grid[0]
    assert (own >= 1).all()
    assert own[1] == own[4] > 10 * own[2]
    assert own.sum() <= launches.BLOCKS_PER_MULTIPROCESSOR * 4 + len(sizes)


def test_what_is_compiled_is_named_by_kind_numbers_dtype_and_groups(driver):
    out = np.zeros((40, 700), np.float32)
    cuda.draw([task(out, LAWS["normal"], out.shape)])
    cuda.draw([task(out[:, :600], LAWS["normal"], (40, 600))])
    cuda.draw([task(out[:, :100], LAWS["uniform"], (40, 100))])
    assert driver.compiled == [
        (*START, "-DFI_ONLY=FI_ROWS(FI_NORMAL,FI_FLOAT32)", "-DV_GROUPS=8"),
        (*START, "-DFI_ONLY=FI_ROWS(FI_NORMAL,FI_FLOAT32)", "-DV_GROUPS=1"),
        (*START, "-DFI_ONLY=FI_SCATTERED(FI_UNIFORM,FI_FLOAT32)", "-DV_GROUPS=1"),
    ]
    cuda.draw([task(out, LAWS["normal"], out.shape)])
    assert len(driver.compiled) == driver.loads == 3


@pytest.mark.parametrize(
    ("law", "dtype", "rows", "count", "groups"),
    [
        ("normal", "float32", 1, 5, 8),
        ("normal", "bfloat16", 3, 8192, 8),
        ("normal", "float32", 3, 8191, 4),
        ("normal", "float32", 3, 4095, 1),
        ("truncated", "float32", 1, 10**5, 4),
        ("uniform", "float8_e5m2", 3, 10**5, 4),
        ("normal", "float64", 3, 1024, 2),
        ("normal", "float64", 3, 1023, 1),
    ],
)
def test_threads_make_as_many_blocks_as_their_kernel_is_fast_with(
    driver, law, dtype, rows, count, groups
):
    whole = np.zeros((rows, 2 * count), dtypes.resolve(dtype).numpy)[:, :count]
    cuda.draw([task(whole, LAWS[law], whole.shape)])
    (launch,) = driver.launched
    assert (launch.symbol.split("_")[0], launch.groups) == ("rows", groups)


START = ("-arch=sm_90", "-default-device", "-std=c++20")


@pytest.mark.parametrize(
    ("low", "high", "inside"),
    [(-0.05, 0.05, False), (-1.0, 1.0, True), (0.0, 1.0, True), (0.0, 1e-30, False)],
)
def test_a_uniform_that_cannot_leave_its_bounds_has_no_clamp(low, high, inside):
    source = sampler_of(fi.uniform(low, high), (3,))
    name = parameters.kernel_name(source.numbers, source.dtype)
    assert name == ("FI_UNIFORM_INSIDE" if inside else "FI_UNIFORM")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 64, 65, 1000, 2**20 - 1, 2**30 + 1, 2**31 - 1])
def test_division_by_multiplication_is_division(count):
    magic, shift = parameters.divisor(count)
    assert magic < 2**32
    edges = [0, 1, count - 1, count, count + 1, 2 * count - 1, 2**31 - 1, 2**31 - count]
    for n in {n for n in edges if 0 <= n < 2**31}:
        assert ((n * magic >> 32) + n) >> shift == n // count


@pytest.mark.parametrize("kind", ["Spec", "Rows", "Axis", "Axes", "Job", "Jobs"])
def test_structures_are_those_of_the_kernel_text(driver, kind):
    layout = device_text.layout()
    ours = getattr(parameters, f"{kind}Parameter")
    name = "fi_spec" if kind == "Spec" else f"fi_device_{kind.lower()}"
    assert ctypes.sizeof(ours) <= parameters.PARAMETER_SIZE
    assert layout[name] == (0, ctypes.sizeof(ours))
    for field, _ in ours._fields_:
        place = getattr(ours, field)
        assert layout[f"{name}.{field}"] == (place.offset, place.size)


@pytest.mark.parametrize("function", [cuda.draw, cuda.prepare])
def test_one_task_is_not_tasks(driver, function):
    with pytest.raises(TypeError, match=r"one DeviceTask: .* such as \[task\]"):
        function(task(np.ones(5, np.float32), LAWS["normal"], (5,)))


@pytest.mark.parametrize("means", [(0.0, -1e-60), (-1e-60, 0.0)])
def test_a_shift_of_minus_zero_is_not_that_of_zero(driver, means):
    """-1e-60 is -0 in float32, and then all values are 0 of either sign."""
    schemes = [fi.normal(std=0.0, mean=mean) for mean in means]
    wanted = [expected(scheme, (3000,)) for scheme in schemes]
    assert not same_bits(*wanted)
    for at_once in (True, False):
        filled = [np.ones(3000, np.float32) for _ in means]
        tasks = [task(out, scheme, (3000,)) for out, scheme in zip(filled, schemes, strict=True)]
        for together in [tasks] if at_once else [[each] for each in tasks]:
            cuda.draw(together)
        assert all(map(same_bits, filled, wanted)), at_once
