# SPDX-License-Identifier: MIT
"""Exact instruction counts of the device's kernels, without a device.

NVRTC compiles each kernel, nvdisasm takes it apart, and the instructions of the loop that stores
full passes are counted: those that a thread executes for one pass, per value.  NVRTC, nvdisasm and
cuda-bindings come from packages: `pip install -e '.[cuda]' 'nvidia-cuda-nvdisasm==13.*'`.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tracking.results import DEVICE_INSTRUCTIONS, Row, TrackingError

SOURCES = Path(__file__).parents[2] / "src_c"
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
"""One of each generation that CUDA 13 compiles for."""

COUNTED = "sm_90"
KERNELS = (
    ("uniform", "float32", "FI_UNIFORM_INSIDE"),
    ("uniform, clamped", "float32", "FI_UNIFORM"),
    ("normal", "float32", "FI_NORMAL"),
    ("clipped", "float32", "FI_CLIPPED"),
    ("truncated -2..2", "float32", "FI_SYMMETRIC"),
    ("truncated -1..2", "float32", "FI_TRUNCATED"),
    ("uniform", "bfloat16", "FI_UNIFORM_INSIDE"),
    ("normal", "bfloat16", "FI_NORMAL"),
    ("truncated -2..2", "bfloat16", "FI_SYMMETRIC"),
    ("normal", "float16", "FI_NORMAL"),
    ("normal", "float8_e4m3fn", "FI_NORMAL"),
)
"""What is counted: distribution, dtype, and the constant of the kernel in C."""

GROUP = f"instructions {COUNTED}"
PASS_VALUES = 16
"""Of a thread: 4 blocks of 4."""


def missing() -> str | None:
    """What is not here and has to be for counting; None if all is."""
    try:
        nvrtc()
    except ImportError as error:
        return str(error)
    return None if disassembler() else "nvdisasm"


def nvrtc() -> Any:
    """The bindings of NVRTC, whose library has been found.

    Raises:
        ImportError: the bindings or the library are not here.
    """
    try:
        from cuda.bindings import nvrtc
    except ImportError:
        raise ImportError("cuda-bindings") from None
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError:
        raise ImportError("NVRTC") from None
    return nvrtc


def disassembler() -> str | None:
    """The path of nvdisasm: of the package, or of a CUDA toolkit."""
    inside = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin", "nvdisasm")
    return str(inside) if inside.exists() else shutil.which("nvdisasm")


def compiled(architecture: str, *options: str) -> bytes:
    """The device text as machine code.

    Args:
        architecture: such as "sm_90".
        options: such as "-DFI_ONLY=FI_ROWS(FI_NORMAL,FI_FLOAT32)"; every kernel without it.

    Raises:
        TrackingError: the text does not compile, or not without a warning; with what NVRTC says.
    """
    bindings = nvrtc()
    text = (SOURCES / "isa_cuda.cu").read_bytes()
    status, program = bindings.nvrtcCreateProgram(text, b"isa_cuda.cu", 0, [], [])
    given = [f"-arch={architecture}", "-default-device", "-std=c++20"]
    given += [f"-I{SOURCES}", f"-I{SOURCES / 'nvrtc'}", *options]
    (status,) = bindings.nvrtcCompileProgram(program, len(given), [o.encode() for o in given])
    log = _taken(bindings.nvrtcGetProgramLogSize, bindings.nvrtcGetProgramLog, program)
    said = log.rstrip(b"\0").decode().strip()
    if status.value or said:
        raise TrackingError(f"NVRTC, {' '.join(given)}: {status.name}\n{said}")
    code = _taken(bindings.nvrtcGetCUBINSize, bindings.nvrtcGetCUBIN, program)
    bindings.nvrtcDestroyProgram(program)
    return code


def _taken(size_of: Any, take: Any, program: Any) -> bytes:
    _, size = size_of(program)
    found = bytearray(size)
    take(program, found)
    return bytes(found)


def version() -> str | None:
    """That of NVRTC, on which the counts depend; None if nothing can be counted here."""
    if missing():
        return None
    _, *numbers = nvrtc().nvrtcVersion()
    return ".".join(map(str, numbers))


def rows(wants: Callable[[str], bool], twice: str | None = None) -> list[Row]:
    """Compile and count kernels.

    Args:
        wants: whether a row of this key is asked for.
        twice: the count of a kernel whose key contains this is doubled: a loss made on purpose.
    """
    found = []
    for distribution, dtype, kernel in KERNELS:
        key = f"{GROUP}: {distribution} {dtype}"
        if wants(key):
            figure = instructions(kernel, f"FI_{dtype.upper()}") / PASS_VALUES
            if twice and twice in key:
                figure *= 2
            name = f"{distribution} {dtype}"
            found.append(Row(GROUP, name, DEVICE_INSTRUCTIONS, figure, (figure, figure), 0))
    return found


@functools.cache
def instructions(kernel: str, dtype: str, architecture: str = COUNTED) -> int:
    """What a thread executes for a full pass of a row."""
    code = compiled(architecture, f"-DFI_ONLY=FI_ROWS({kernel},{dtype})")
    return loop_length(disassembled(code))


def disassembled(code: bytes) -> str:
    """The text that nvdisasm makes of machine code."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        command = [str(disassembler()), "--print-code", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrackingError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


WIDTHS = {"STG.E.128": 16, "STG.E.64": 8, "STG.E": 4, "STG.E.U16": 2, "STG.E.U8": 1}
"""Stores to memory and how many bytes they write; whole blocks are stored by the widest."""


def loop_length(text: str) -> int:
    """The shortest way once round the innermost loop with the widest stores, in instructions.

    Raises:
        TrackingError: the kernel has no such loop.
    """
    code, targets = _parsed(text)
    widths = [WIDTHS.get(name, 0) for _, name, _ in code]
    store = widths.index(max(widths))
    loops = [
        (end - targets[label], targets[label], end)
        for end, (_, name, label) in enumerate(code)
        if name.startswith("BRA") and targets[label] <= store <= end
    ]
    if not any(widths) or not loops:
        raise TrackingError("there is no loop that stores")
    _, head, end = min(loops)
    return _distance(code, targets, head, store) + _distance(code, targets, store, end) + 1


_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(@\S+\s+)?(\S+)(.*);")
Code = list[tuple[bool, str, str]]
"""Of each instruction: whether it depends on a predicate, its name, the label it names."""


def _parsed(text: str) -> tuple[Code, dict[str, int]]:
    """The instructions of a text of one kernel, and the instruction that each label is at."""
    code: Code = []
    targets = {"": 0}
    for line in text.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            targets[label[1]] = len(code)
        elif found := _INSTRUCTION.match(line):
            guard, name, operands = found.groups()
            # A branch may name a second predicate before its label.
            target = re.search(r"`\((\.L_x_\d+)\)", operands)
            depends = bool(guard) or bool(re.match(r"\s*!?U?P\d", operands))
            code.append((depends, name, target[1] if target else ""))
    return code, targets


def _distance(code: Code, targets: dict[str, int], start: int, end: int) -> int:
    """How many instructions are executed, at the least, from `start` to before `end`."""
    seen, edge, steps = {start}, [start], 0
    while end not in seen:
        after = {follower for at in edge for follower in _followers(code, targets, at)}
        edge = sorted(after - seen)
        if not edge:
            raise TrackingError("the loop's stores are not on a way round it")
        seen |= after
        steps += 1
    return steps


def _followers(code: Code, targets: dict[str, int], at: int) -> Sequence[int]:
    depends, name, label = code[at]
    branch = name.startswith("BRA")
    followers = [targets[label]] if branch else []
    if depends or not (branch or name == "EXIT"):
        followers.append(at + 1)
    return [follower for follower in followers if follower < len(code)]
