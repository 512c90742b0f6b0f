# SPDX-License-Identifier: MIT
"""Builds the program `fills.c`, asks it, and compares its answers.  Holds no test.

For which machines, and what is asked: test_cross.py and test_races.py.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import reference as ref
from cross_requests import Request
from twins import INFINITY, bits

ROOT = Path(__file__).parents[2]
FLAGS = (
    "-std=c11 -ffp-contract=off -fno-math-errno -pthread -Wall -Wextra -Wconversion -Werror"
    f" -I{ROOT / 'src_c'}"
).split()


@dataclass(frozen=True)
class Kind:
    """How to build for a machine and how to run what was built."""

    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...]
    isas: tuple[str, ...]


FILLS = Path(__file__).with_name("fills.c")


def build(kind: Kind, folder: Path, source: Path = FILLS) -> Path:
    """The program, of all of src_c; files are compiled side by side.

    What another program in the folder was linked of is not compiled again.
    """
    sources = [*sorted((ROOT / "src_c").glob("*.c")), source]
    objects = [folder / f"{source.stem}.o" for source in sources]

    def compiled(source: Path, target: Path) -> None:
        command = [kind.compiler, *kind.flags, *FLAGS, "-c", source, "-o", target]
        if not target.exists():
            subprocess.run(command, check=True)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(compiled, sources, objects))
    program = folder / source.stem
    subprocess.run([kind.compiler, *kind.flags, *FLAGS, *objects, "-o", program], check=True)
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


def assert_same_answers(machine: Machine, requests: Sequence[Request], *arguments: str) -> None:
    for request, answer in zip(requests, machine.answers(requests, *arguments), strict=True):
        native, reference = bits(request.native()), bits(request.reference())
        np.testing.assert_array_equal(native, reference, f"the package: {request}")
        for isa, values in answer.items():
            np.testing.assert_array_equal(values, reference, f"{machine.name}, {isa}: {request}")


ALL = tuple(ref.DTYPES)
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
