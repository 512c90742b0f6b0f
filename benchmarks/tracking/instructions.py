# SPDX-License-Identifier: MIT
"""Exact instruction counts of the kernels, from callgrind: the same on any load and any clock.

Valgrind knows no AVX-512, so the best instruction set it counts on x86-64 is AVX2.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastinit.backends import instruction_sets
from fastinit.machine import parallel
from tracking.machine import COMPILER
from tracking.results import INSTRUCTIONS, Row, TrackingError

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("instructions.c")
ISAS = tuple(isa for isa in instruction_sets.available() if isa != "avx512")
SAMPLES = 2**16  # of each kernel; a call's own cost is then some 0.01 instructions a sample


def group_of(isa: str) -> str:
    """The heading of the counts of one instruction set."""
    return f"instructions {isa}"


def missing() -> str | None:
    """The tool without which nothing can be counted here; None if all are here."""
    return next((tool for tool in (COMPILER, "valgrind") if shutil.which(tool) is None), None)


def rows(flags: Sequence[str] = (), twice: str | None = None) -> list[Row]:
    """Build the driver and count every kernel.

    Args:
        flags: for the compiler, after the project's own.
        twice: kernels whose key contains this run twice: a loss made on purpose.
    """
    with tempfile.TemporaryDirectory() as folder:
        driver = build(Path(folder), flags)
        return [row for isa in ISAS for row in _rows(driver, isa, twice)]


def _rows(driver: Path, isa: str, twice: str | None) -> list[Row]:
    once = counts(driver, isa)
    doubled = counts(driver, isa, calls=2) if twice else once
    found = []
    for name, count in once.items():
        if twice and twice in f"{group_of(isa)}: {name}":
            count = doubled[name]
        figure = count / SAMPLES
        found.append(Row(group_of(isa), name, INSTRUCTIONS, figure, (figure, figure), 0))
    return found


def build(folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile the driver and the library's C with the project's flags; return the program."""
    flags = [*project_flags(), "-I", str(ROOT / "src_c"), *flags]
    sources = [DRIVER, *sorted((ROOT / "src_c").glob("*.c"))]
    objects = [folder / f"{source.stem}.o" for source in sources]
    with ThreadPoolExecutor(parallel.thread_count()) as pool:
        list(pool.map(lambda a, b: _run(COMPILER, *flags, "-c", a, "-o", b), sources, objects))
    program = folder / "instructions"
    _run(COMPILER, *objects, "-o", program)
    return program


def project_flags() -> list[str]:
    """What setup.py compiles the extension with."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "C_FLAGS":
            return list(ast.literal_eval(node.value))
    raise TrackingError("setup.py has no list C_FLAGS")


def counts(driver: Path, isa: str, calls: int = 1) -> dict[str, int]:
    """Instructions of each kernel over `SAMPLES` samples: what `measured` in the driver executes.

    Callgrind counts only inside that function and writes one file a call of it, in order.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = _run(
            "valgrind",
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=measured",
            "--dump-after=measured",
            f"--callgrind-out-file={folder}/out",
            *(driver, isa, SAMPLES, calls),
        )
        names = found.splitlines()
        return {name: _total(Path(folder, f"out.{i + 1}")) for i, name in enumerate(names)}


def _total(path: Path) -> int:
    lines = path.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))


def _run(*command: object) -> str:
    """Run a program and return what it prints; what it says of a failure is the error."""
    words = [str(word) for word in command]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    if found.returncode:
        raise TrackingError(f"{' '.join(words)}: exit status {found.returncode}\n{found.stderr}")
    return found.stdout
