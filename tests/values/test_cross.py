# SPDX-License-Identifier: MIT
"""The C layer on other machines: built for AArch64 and big-endian s390x, run under an emulator.

`fills.c` answers requests with the values of every instruction set it was built with. They
must be those of the package on this machine, and those of the reference. A build for this machine
shows that the program itself is right.
"""

from __future__ import annotations

import os
import shutil

import pytest
import reference as ref
from built_once import built_once
from c_driver import CASES, Kind, Machine, assert_same_answers, build
from cross_requests import Fill, Map, Words

from fastinit.backends import instruction_sets

pytestmark = pytest.mark.native

DTYPES = list(ref.DTYPES)

# ---- machines -----------------------------------------------------------------------------------

KINDS = {
    # -O1 for this machine: half the time to build, and it is the program that is tested.
    "native": Kind("gcc", ("-O1",), (), instruction_sets.available()),
    "aarch64": Kind(
        "aarch64-linux-gnu-gcc", ("-O3", "-static"), ("qemu-aarch64",), ("neon", "scalar")
    ),
    "s390x": Kind("s390x-linux-gnu-gcc", ("-O3", "-static"), ("qemu-s390x",), ("scalar",)),
    # Other compilers for this machine, such as FASTINIT_COMPILERS="gcc-11 clang-16".
    **{
        name: Kind(name, ("-O3", "-w"), (), instruction_sets.available())
        for name in os.environ.get("FASTINIT_COMPILERS", "").split()
    },
}


MACHINES = [pytest.param(name, marks=pytest.mark.slow) for name in KINDS]
"""To build the program takes half a minute."""


@pytest.fixture(scope="module", params=MACHINES)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Run the test for each machine; skip, by name, those for which a tool is missing."""
    kind = KINDS[request.param]
    for tool in (kind.compiler, *kind.emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not in this machine")
    folder = built_once(tmp_path_factory, request.param, lambda folder: build(kind, folder))
    return Machine(request.param, kind, folder / "fills")


# ---- tests --------------------------------------------------------------------------------------


def test_every_distribution_and_dtype_has_the_same_bits(machine):
    requests = [
        Fill(distribution, dtype, start, count)
        for distribution, kinds in CASES
        for dtype in kinds
        for start, count in [(0, 1500), (5, 300), (2**34 - 130, 260)]
    ]
    assert_same_answers(machine, requests)


def test_extreme_words_have_the_same_values(machine):
    requests = [
        Map(distribution, dtype)
        for distribution, kinds in CASES
        for dtype in kinds
        if not isinstance(distribution, ref.Constant)
    ]
    assert_same_answers(machine, requests)


EDGES = [
    ref.Uniform(-0.1, 0.7),
    ref.Normal(),
    ref.Truncated(1.0, 0.0, 3.0, 5.0),
    ref.Constant(-0.3),
]
LENGTHS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257, 3001]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_length_has_the_same_bits(machine, dtype):
    requests = [
        Fill(distribution, dtype, start, count)
        for distribution in EDGES
        for count in LENGTHS
        for start in (0, 3)
    ]
    assert_same_answers(machine, requests)


# Blocks cross a multiple of 2^32 at element 2^34, float64's at 2^33; elements end at 2^63.
STARTS = [
    1,
    127,
    2**32 - 1,
    2**33 - 129,
    2**33,
    2**34 - 1,
    2**34 + 3,
    2**40 + 7,
    2**62,
    2**63 - 400,
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_start_has_the_same_bits(machine, dtype):
    requests = [Fill(distribution, dtype, start, 400) for distribution in EDGES for start in STARTS]
    assert_same_answers(machine, requests)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_have_the_same_bits(machine, dtype):
    requests = [
        Fill(distribution, dtype, start, count, axes, gap)
        for distribution in EDGES
        for start, count, axes, gap in [
            (0, 5, ((9, 7),), 0),
            (2, 2, ((700, 2),), 1),  # gapless in the tensor only
            (3, 1, ((1100, 3),), 0),
            (5, 1, ((700, 4096),), 0),
            (7, 3, ((40, 1001), (20, 5)), 2),
            (1, 16, ((2, 2**40), (3, 2**20), (5, 64)), 3),
            (11, 129, ((3, 1000),), 0),
            (13, 600, ((3, 1000),), 5),
            (2**33 - 50, 33, ((5, 2**32 + 1),), 0),
            (2**34 - 30, 7, ((40, 2),), 1),  # the carry within rows that overlap
            (1, 1, ((8, 2**60),), 0),
            (4, 130, ((3, 0),), 0),
            (2**63 - 33 * 6, 6, ((11, 18), (3, 6)), 0),  # to the last element there can be
        ]
    ]
    assert_same_answers(machine, requests)


def test_raw_words_are_the_same(machine):
    starts = [0, 1, 2, 3, 2**32 - 6, 2**34 - 5, 2**34 * 5 - 300, 2**63 - 2, 2**64 - 1000]
    assert_same_answers(
        machine, [Words(start, count) for start in starts for count in (0, 1, 129, 700)]
    )


@pytest.mark.parametrize("machine", MACHINES[:2], indirect=True)
def test_the_callers_floating_point_state_changes_nothing(machine):
    """Denormals as zero, rounding up and, on AArch64, halves of another format."""
    fills = [
        Fill(distribution, dtype, 3, count, axes)
        for distribution, kinds in CASES
        for dtype in kinds
        for count, axes in ((300, ()), (2, ((100, 5),)))
    ]
    maps = [
        Map(distribution, dtype)
        for distribution in (ref.Normal(1e-42), ref.Truncated(1e-42, 0.0, -1.0, 2.0))
        for dtype in DTYPES
    ]
    assert_same_answers(machine, [Words(0, 300), *fills, *maps], "unusual")
