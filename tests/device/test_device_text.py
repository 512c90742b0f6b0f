# SPDX-License-Identifier: MIT
"""The device text, as C++ on this CPU, makes the bits of the native backend.

What it has under __CUDA_ARCH__ is compiled by test_device_compile.py and seen to run by nothing
here: benchmarks/device.py shows it on a device.
"""

from __future__ import annotations

import device_text
import numpy as np
import pytest
from device_fills import CASES, DTYPES, Job, Memory, Rows, Scattered, check_jobs, packed, source
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(
        device_text.missing() is not None, reason=f"{device_text.COMPILER} is not installed"
    ),
]


@pytest.fixture(scope="module", autouse=True)
def built():
    device_text.build_all()


ALL_DTYPES = pytest.mark.parametrize("dtype", DTYPES)
PASS = 8 * device_text.THREADS * 4  # elements of the longest pass
WRAP = 2**32  # Philox blocks with one counter word 1


def per_block(dtype):
    return 2 if dtype == "float64" else 4


def splits(start, count, dtype):
    """Whether the upper halves of these elements' block numbers differ: the host splits these."""
    limit = WRAP * per_block(dtype)
    return start // limit != (start + count - 1) // limit


# ---- rows ---------------------------------------------------------------------------------------

CUTS = (
    (0, 1),
    (3, 1),
    (0, PASS),
    (0, PASS - 1),
    (1, PASS + 1),
    (2**34 + 7, PASS // 2 + 3),
    (0, 3 * PASS + 2),
    (4, 2 * PASS),
)
"""Starts and counts: whole passes, ragged ends on either side, and block numbers past 2^32."""


@ALL_DTYPES
@pytest.mark.parametrize("case", CASES)
def test_a_row_is_the_native_one(case, dtype):
    drawn = source(case, dtype)
    for start, count in CUTS:
        Rows(start, count).check(drawn, grid=(2, 1))


@ALL_DTYPES
@pytest.mark.parametrize("offset", range(1, 8))
def test_a_row_may_begin_anywhere_in_memory(dtype, offset):
    for start in (0, offset, 5):
        Rows(start, PASS + 9).check(source("symmetric", dtype), (1, 1), offset)


@ALL_DTYPES
@pytest.mark.parametrize("which", [0, -1])
def test_a_row_may_end_where_its_upper_block_number_does(dtype, which):
    drawn = source("normal", dtype)
    for blocks in (1, 5, device_text.THREADS, 8 * device_text.THREADS + 1):
        end = 3 * WRAP * per_block(dtype)
        start = end - blocks * per_block(dtype)
        for skip in (0, 1):
            Rows(start + skip, end - start - skip).check(drawn, (1, 1), which=which)
        Rows(end, 70).check(drawn, (1, 1), which=which)


@ALL_DTYPES
def test_a_row_may_end_with_the_last_element_number(dtype):
    Rows(2**63 - 1001, 1001).check(source("truncated", dtype), (1, 1))


@ALL_DTYPES
@pytest.mark.parametrize("which", [0, -1])
def test_rows_lie_at_equal_distances(dtype, which):
    drawn = source("normal", dtype)
    for grid in ((1, 1), (1, 7), (3, 2)):
        Rows(10, 37, 20, 1000, 40).check(drawn, grid, which=which)
        Rows(10, 1027, 5, 1027, 1027).check(drawn, grid, 1, which)


@ALL_DTYPES
@pytest.mark.parametrize("case", ["uniform", "clipped", "symmetric", "truncated", "constant"])
def test_short_rows_have_kernels_of_their_own_with_the_same_bits(case, dtype):
    for start, count in CUTS:
        Rows(start, count).check(source(case, dtype), (2, 1), which=-1)


@given(
    case=st.sampled_from(list(CASES)),
    dtype=st.sampled_from(list(DTYPES)),
    start=st.integers(0, 2**60),
    count=st.integers(1, 2 * PASS),
    rows=st.integers(1, 4),
    start_step=st.integers(0, 2**40),
    gap=st.integers(0, 20),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    offset=st.integers(0, 15),
    which=st.integers(-1, 1),
)
@settings(max_examples=60, deadline=None)
def test_any_rows_are_the_native_ones(
    case, dtype, start, count, rows, start_step, gap, grid, offset, which
):
    assume(not any(splits(start + row * start_step, count, dtype) for row in range(rows)))
    Rows(start, count, rows, start_step, count + gap).check(
        source(case, dtype), grid, offset, which
    )


# ---- scattered elements -------------------------------------------------------------------------


@ALL_DTYPES
@pytest.mark.parametrize("case", CASES)
def test_scattered_elements_are_the_native_ones(case, dtype):
    transposed = Scattered(3, [(7, 50, 1), (9, 1, 8)])
    transposed.check(source(case, dtype), grid=1)


@ALL_DTYPES
def test_scattered_elements_may_lie_backwards_and_far_apart(dtype):
    drawn = source("symmetric", dtype)
    Scattered(2**62, [(5, -(2**40), -3), (11, 2**33 + 1, 20)]).check(drawn, 2)
    Scattered(12345, [(300, 4096, 1)]).check(drawn, 1)
    Scattered(0, [(1, 0, 1)]).check(drawn, 3)


axis = st.tuples(st.integers(1, 6), st.integers(-(2**30), 2**30), st.booleans())


@given(
    case=st.sampled_from(list(CASES)),
    dtype=st.sampled_from(list(DTYPES)),
    start=st.integers(2**36, 2**62),
    axes=st.lists(axis, min_size=1, max_size=6).filter(
        lambda axes: np.prod([count for count, _, _ in axes]) <= 2000
    ),
    grid=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_any_scattered_elements_are_the_native_ones(case, dtype, start, axes, grid):
    lie, stride = [], 1
    for count, step, backwards in axes:
        lie.append((count, step, -stride if backwards else stride))
        stride *= count + 1
        if stride > 2**20:
            break
    Scattered(start, lie).check(source(case, dtype), grid)


@given(count=st.integers(1, 2**31 - 1), n=st.integers(0, 2**31 - 1))
def test_an_axis_may_have_any_count_of_31_bits(count, n):
    """The text divides two numbers of an axis's length right; the rest of the axes follows."""
    shift = (count - 1).bit_length()
    magic = (2**32 * (2**shift - count)) // count + 1
    assert magic < 2**32
    high = n * magic >> 32
    assert high + n < 2**32
    assert (high + n) >> shift == n // count


# ---- jobs ---------------------------------------------------------------------------------------


@ALL_DTYPES
@pytest.mark.parametrize("case", CASES)
def test_jobs_are_the_native_fills(case, dtype):
    jobs = [Job("a", 0, 5), Job("b", 3, PASS + 1, 2), Job("c", 2**34 + 1, 300), Job("d", 0, 1, 3)]
    check_jobs(case, dtype, jobs)


@pytest.mark.parametrize("count", [1, 2, 3, 95, 96])
def test_a_launch_holds_up_to_96_jobs(count):
    jobs = [Job(f"layer.{i}", i, 1 + 7 * i, 1 + i % 3) for i in range(count)]
    check_jobs("normal", "float32", jobs)


@given(
    case=st.sampled_from(list(CASES)),
    dtype=st.sampled_from(list(DTYPES)),
    runs=st.lists(
        st.tuples(st.integers(0, 2**33), st.integers(1, PASS + 20), st.integers(1, 3)),
        min_size=1,
        max_size=8,
    ),
    which=st.integers(-1, 1),
)
@settings(max_examples=40, deadline=None)
def test_any_jobs_are_the_native_fills(case, dtype, runs, which):
    assume(not any(splits(start, count, dtype) for start, count, _ in runs))
    jobs = [Job(f"w{i}", *run) for i, run in enumerate(runs)]
    check_jobs(case, dtype, jobs, which)


# ---- the whole ----------------------------------------------------------------------------------


def test_the_cases_reach_every_kernel():
    for dtype in DTYPES:
        reached = {kernel for case in CASES for kernel in source(case, dtype).kernels}
        assert reached == set(device_text.KERNELS), dtype


def test_the_parameters_of_jobs_fit_a_launch():
    layout = device_text.layout()
    assert layout["fi_device_jobs"][1] <= 4096
    assert layout["fi_spec"][1] == len(packed("fi_spec")) == 104


def test_guard_bytes_are_looked_at():
    memory = Memory(8, 1)
    memory.bytes[:] = 7
    memory.assert_holds(np.full(8, 7, np.uint8))
    memory.whole[memory.first + 8] = 0
    with pytest.raises(AssertionError):
        memory.assert_holds(np.full(8, 7, np.uint8))


SHARES = {
    "float32": 3_000_000,
    "float16": 700_000,
    "bfloat16": 700_000,
    "float8_e4m3fn": 400_000,
    "float8_e5m2": 400_000,
    "float64": 200_000,
}
"""Elements of each case and kernel in the large comparison: 10^8 together."""


@pytest.mark.slow
@ALL_DTYPES
def test_many_values_are_the_native_ones(dtype):
    for i, case in enumerate(CASES):
        Rows(2**34 * i + 4 * i + 1, SHARES[dtype]).check(source(case, dtype, case), (1, 1))


def test_the_large_comparison_has_100_million_values():
    count = sum(
        share * len(source(case, dtype).kernels)
        for dtype, share in SHARES.items()
        for case in CASES
    )
    assert count >= 100_000_000
