# SPDX-License-Identifier: MIT
"""The C layer on other machines: built for AArch64 and big-endian s390x, run under an emulator.

`cross/fills.c` answers requests with the values of every instruction set it was built with. They
must be those of the package on this machine, and those of the reference. A build for this machine
shows that the program itself is right.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import reference as ref
from twins import EXTREME_WORDS, INFINITY, bits, extreme_pairs, scheme_of

from fastinit import _native, distributions, dtypes, instruction_sets

ROOT = Path(__file__).parent.parent
FLAGS = (
    "-std=c11 -ffp-contract=off -fno-math-errno -Wall -Wextra -Wconversion -Werror"
    f" -I{ROOT / 'src_c'}"
).split()

SEED = 2**63 + 12345
NAME = "h.0.attn.bias"
DTYPES = list(ref.DTYPES)


# ---- machines -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How to build for a machine and how to run what was built."""

    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...]
    isas: tuple[str, ...]


KINDS = {
    # -O1 for this machine: half the time to build, and it is the program that is tested.
    "native": Kind("gcc", ("-O1",), (), instruction_sets.available()),
    "aarch64": Kind(
        "aarch64-linux-gnu-gcc", ("-O3", "-static"), ("qemu-aarch64",), ("neon", "scalar")
    ),
    "s390x": Kind("s390x-linux-gnu-gcc", ("-O3", "-static"), ("qemu-s390x",), ("scalar",)),
}


def build(kind: Kind, folder: Path) -> Path:
    """The program, from all of src_c; files are compiled side by side."""
    sources = [*sorted((ROOT / "src_c").glob("*.c")), ROOT / "tests" / "cross" / "fills.c"]
    objects = [folder / f"{source.stem}.o" for source in sources]

    def compiled(source: Path, target: Path) -> None:
        command = [kind.compiler, *kind.flags, *FLAGS, "-c", source, "-o", target]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(compiled, sources, objects))
    program = folder / "fills"
    subprocess.run([kind.compiler, *kind.flags, *objects, "-o", program], check=True)
    return program


@dataclass(frozen=True)
class Machine:
    """A built program."""

    name: str
    kind: Kind
    program: Path

    def answers(self, requests: Sequence[Request], *arguments: str) -> list[dict[str, ref.Array]]:
        """What each instruction set makes of each request, as arrays of the elements' bits."""
        run = subprocess.run(
            [*self.kind.emulator, self.program, *arguments],
            input="\n".join(request.line() for request in requests) + "\n",
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        lines = [line.split(" ") for line in run.stdout.splitlines()]
        each = len(self.kind.isas)
        assert len(lines) == each * len(requests)
        found = []
        for i, request in enumerate(requests):
            answer = {}
            for isa, status, text in lines[each * i : each * (i + 1)]:
                assert status == "0", (request, isa)
                big = np.frombuffer(bytes.fromhex(text), f">u{request.item_size}")
                answer[isa] = big.astype(big.dtype.newbyteorder("="))
            assert tuple(answer) == self.kind.isas
            found.append(answer)
        return found


@pytest.fixture(scope="module", params=list(KINDS))
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Run the test for each machine; skip, by name, those for which a tool is missing."""
    kind = KINDS[request.param]
    for tool in (kind.compiler, *kind.emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not in this machine")
    folder = tmp_path_factory.mktemp(request.param)
    return Machine(request.param, kind, build(kind, folder))


# ---- requests -----------------------------------------------------------------------------------


SPEC: dict[str, object] = {
    "key": SEED,
    "subsequence": ref.subsequence(NAME),
    "shift": 0.0,
    "scale": 1.0,
    "low": 0.0,
    "high": 0.0,
    "base": (0.0, 0.0),
    "slope": (0.0, 0.0),
    "sign_and": 0,
    "sign_xor": 0,
    "octave": 0,
    "distribution": 0,
    "pattern": 0,
}
"""The fields of fi_spec in their order."""


def numbers_of(distribution: ref.Distribution, dtype: str) -> dict[str, object]:
    """Those fields, filled in."""
    drawn = scheme_of(distribution).distribution((8,))
    assert isinstance(drawn, distributions.Independent)
    return {**SPEC, **drawn._numbers(dtypes.resolve(dtype))}


def spec_of(distribution: ref.Distribution, dtype: str) -> _native.Spec:
    code = dtypes.resolve(dtype).code
    return _native.Spec(dtype=code, **numbers_of(distribution, dtype))  # type: ignore[arg-type]


def spec_text(distribution: ref.Distribution, dtype: str) -> str:
    """Those fields as the program reads them: floats in hexadecimal."""

    def text(value: object) -> str:
        if isinstance(value, tuple):
            return " ".join(map(text, value))
        return value.hex() if isinstance(value, float) else str(value)

    return " ".join(map(text, numbers_of(distribution, dtype).values()))


@dataclass(frozen=True)
class Fill:
    """Rows of a tensor."""

    distribution: ref.Distribution
    dtype: str
    start: int
    count: int
    step: int = 0
    rows: int = 1

    @property
    def item_size(self) -> int:
        return ref.DTYPES[self.dtype].itemsize

    def line(self) -> str:
        code = dtypes.resolve(self.dtype).code
        where = f"{self.start} {self.step} {self.count} {self.rows}"
        return f"fill {code} {where} {spec_text(self.distribution, self.dtype)}"

    def native(self) -> ref.Array:
        out = np.empty(self.rows * self.count, ref.DTYPES[self.dtype])
        where = (self.start, self.step, self.rows, self.count, self.count * self.item_size)
        _native.fill_rows(out.view(np.uint8), spec_of(self.distribution, self.dtype), *where)
        return out

    def reference(self) -> ref.Array:
        starts = [self.start + row * self.step for row in range(self.rows)]
        where = (SEED, NAME, self.distribution)
        return np.concatenate([ref.values(*where, s, self.count, self.dtype) for s in starts])


@dataclass(frozen=True)
class Words:
    """Raw words."""

    start: int
    count: int
    item_size = 4

    def line(self) -> str:
        return f"words {self.start} {self.count} {SEED} {ref.subsequence(NAME)}"

    def native(self) -> ref.Array:
        out = np.empty(self.count, np.uint32)
        _native.words(out, self.start, SEED, ref.subsequence(NAME))
        return out

    def reference(self) -> ref.Array:
        return ref.words(SEED, NAME, self.start, self.count)


@dataclass(frozen=True)
class Map:
    """What extreme words stand for; they come with the request."""

    distribution: ref.Distribution
    dtype: str

    @property
    def item_size(self) -> int:
        return ref.DTYPES[self.dtype].itemsize

    @property
    def words(self) -> ref.Array:
        return EXTREME_PAIRS if self.dtype == "float64" else EXTREME_WORDS

    def line(self) -> str:
        code = dtypes.resolve(self.dtype).code
        given = f"given {len(self.words)} {' '.join(map(str, self.words.tolist()))}"
        return f"{given}\nmap {code} {spec_text(self.distribution, self.dtype)}"

    def native(self) -> ref.Array:
        per_value = 2 if self.dtype == "float64" else 1
        out = np.empty(len(self.words) // per_value, ref.DTYPES[self.dtype])
        spec = spec_of(self.distribution, self.dtype)
        _native.map_words(out.view(np.uint8), spec, self.words)
        return out

    def reference(self) -> ref.Array:
        return ref.map_words(self.words, self.distribution, self.dtype)


Request = Fill | Words | Map

PAIRS = extreme_pairs().reshape(-1, 2)
EXTREME_PAIRS = np.concatenate([PAIRS[:-975:29], PAIRS[-975:]]).reshape(-1)


def assert_same_answers(machine: Machine, requests: Sequence[Request], *arguments: str) -> None:
    for request, answer in zip(requests, machine.answers(requests, *arguments), strict=True):
        native, reference = bits(request.native()), bits(request.reference())
        np.testing.assert_array_equal(native, reference, f"the package: {request}")
        for isa, values in answer.items():
            np.testing.assert_array_equal(values, reference, f"{machine.name}, {isa}: {request}")


# ---- tests --------------------------------------------------------------------------------------

ALL = tuple(DTYPES)
WIDE = ("float64", "float32", "bfloat16")  # the exponents of float32

CASES: list[tuple[ref.Distribution, tuple[str, ...]]] = [
    (ref.Uniform(-1.0, 1.0), ALL),
    (ref.Uniform(-0.1, 0.7), ALL),
    (ref.Uniform(-1e-44, 1e-42), ALL),
    (ref.Uniform(-3e38, 3e38), WIDE),
    (ref.Normal(), ALL),
    (ref.Normal(0.02, 0.01), ALL),
    (ref.Normal(1e-42), ALL),
    (ref.Normal(1e-6, 100.0), ALL),
    (ref.Normal(1e39, -1e39), ("float8_e4m3fn", "float8_e5m2")),
    (ref.Clipped(1.0, 0.0, -2.0, 2.0, corrected=True), ALL),
    (ref.Clipped(1e-42, 0.0, -1.0, 0.0), ALL),  # -0 meets the bound 0
    (ref.Clipped(1.0, -0.7, 0.7, INFINITY), ALL),
    (ref.Truncated(0.02, 0.0, -2.0, 2.0, corrected=True), ALL),
    (ref.Truncated(1.0, 0.0, -1.0, 3.0), ALL),
    (ref.Truncated(1e-42, 0.0, -1.0, 2.0), ALL),
    (ref.Truncated(1.0, 0.0, -1e-5, 8.0), ALL),
    (ref.Truncated(1.0, 0.0, -1.0, 0.0), ALL),
    (ref.Truncated(1.0, 0.0, 6.0, 8.0), ALL),  # octave > 0
    (ref.Truncated(1.0, 0.0, -INFINITY, -6.0), ALL),
    (ref.Truncated(1.0, 0.0, 13.0, 40.0), ALL),
    (ref.Constant(0.0), ALL),
    (ref.Constant(1.0), ALL),
    (ref.Constant(-0.3), ALL),
    (ref.Constant(1e-44), ALL),
]


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
        Fill(distribution, dtype, start, count, step, rows)
        for distribution in EDGES
        for start, count, step, rows in [
            (0, 5, 7, 9),
            (11, 129, 1000, 3),
            (2**33 - 50, 33, 2**32 + 1, 5),
            (1, 1, 2**60, 8),
            (4, 130, 0, 3),
        ]
    ]
    assert_same_answers(machine, requests)


def test_raw_words_are_the_same(machine):
    starts = [0, 1, 2, 3, 2**32 - 6, 2**34 - 5, 2**34 * 5 - 300, 2**63 - 2, 2**64 - 1000]
    assert_same_answers(
        machine, [Words(start, count) for start in starts for count in (0, 1, 129, 700)]
    )


@pytest.mark.parametrize("machine", ["native", "aarch64"], indirect=True)
def test_the_callers_floating_point_state_changes_nothing(machine):
    """Denormals as zero, rounding up and, on AArch64, halves of another format."""
    fills = [Fill(distribution, dtype, 3, 300) for distribution, kinds in CASES for dtype in kinds]
    maps = [
        Map(distribution, dtype)
        for distribution in (ref.Normal(1e-42), ref.Truncated(1e-42, 0.0, -1.0, 2.0))
        for dtype in DTYPES
    ]
    assert_same_answers(machine, [Words(0, 300), *fills, *maps], "unusual")
