# SPDX-License-Identifier: MIT
"""The device text of src_c built as C++ for this CPU, and launched.  No test.

One library per dtype and number of groups, built by g++ when it is first asked for and kept in
build/device_text under the digest of everything that it is built from.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastinit.cuda import launches

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "device_text"
COMPILER = "g++"
SOURCE = Path("tests/device_text.cpp")
FLAGS = [
    "-O1",
    "-std=c++20",
    "-march=native",  # a fused operation is otherwise a call
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-strict-aliasing",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Wno-missing-field-initializers",
    "-Werror",
    "-Isrc_c",  # no path of this machine, and no linking: a compiler cache then knows the object
]

DTYPES = (
    "FI_FLOAT32",
    "FI_FLOAT16",
    "FI_BFLOAT16",
    "FI_FLOAT8_E4M3FN",
    "FI_FLOAT8_E5M2",
    "FI_FLOAT64",
)
"""In the order of dtype_list.h."""

KERNELS = (
    "FI_UNIFORM",
    "FI_NORMAL",
    "FI_CLIPPED",
    "FI_SYMMETRIC",
    "FI_TRUNCATED",
    "FI_CONSTANT",
    "FI_UNIFORM_INSIDE",
)
"""In the order of fi_distribution, and the uniform without a clamp."""

THREADS = 256
"""In a block of threads."""


def missing() -> str | None:
    """The tool without which nothing can be built here; None if it is here."""
    return None if shutil.which(COMPILER) else COMPILER


def run(name: str, grid: tuple[int, int], parameters: Sequence[Any], groups: int) -> None:
    """Launch a kernel.

    Args:
        name: such as "rows_FI_NORMAL_FI_FLOAT32".
        grid: blocks of threads in x and y.
        parameters: the kernel's arguments, as ctypes objects or writable buffers.
        groups: what V_GROUPS the kernel is compiled with.
    """
    kernel = getattr(library(dtype_of(name), groups), f"launch_{name}")
    kernel.restype = ctypes.c_size_t
    addresses = [ctypes.addressof(_object(parameter)) for parameter in parameters]
    found = kernel((ctypes.c_uint * 2)(*grid), (ctypes.c_void_p * len(addresses))(*addresses))
    assert found == 0, f"{name}: {found} threads did not come to the barrier"


def dtype_of(name: str) -> str:
    """The constant of the dtype at the end of a kernel's name."""
    return next(dtype for dtype in DTYPES if name.endswith(dtype))


def _object(parameter: Any) -> Any:
    if isinstance(parameter, ctypes._SimpleCData | ctypes.Structure | ctypes.Array):
        return parameter
    view = memoryview(parameter).cast("B")
    return (ctypes.c_ubyte * len(view)).from_buffer(view)


class _Member(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("offset", ctypes.c_size_t), ("size", ctypes.c_size_t))


def layout() -> dict[str, tuple[int, int]]:
    """Offset and size of every member of the kernels' parameters, and size of each structure.

    The keys are like "fi_device_rows.start"; those of structures have no member.
    """
    members = (_Member * 1000).in_dll(library(DTYPES[0], 1), "LAYOUT")
    found = {}
    for member in members:
        if member.name is None:
            break
        found[member.name.decode()] = (member.offset, member.size)
    return found


def build_all() -> None:
    """Build every library that is not kept yet, side by side."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(_built, [(dtype, groups) for dtype in DTYPES for groups in groups_of(dtype)]))


def groups_of(dtype: str) -> tuple[int, ...]:
    """What V_GROUPS kernels of a dtype, such as "FI_FLOAT32", are compiled with."""
    return launches.PASS_GROUPS_64 if dtype == "FI_FLOAT64" else launches.PASS_GROUPS


def _built(which: tuple[str, int]) -> Path:
    dtype, groups = which
    path = KEPT / f"{dtype}-{groups}-{_digest()}.so"
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(KEPT / f"{dtype}-{groups}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            build(path, dtype, groups)
    return path


@functools.cache
def library(dtype: str, groups: int) -> ctypes.CDLL:
    """The kernels of a dtype; what the compiler says of a failing build is the error."""
    return ctypes.CDLL(str(_built((dtype, groups))))


def build(path: Path, dtype: str, groups: int) -> None:
    """Compile one library; earlier ones of the same kind go."""
    for old in path.parent.glob(f"{dtype}-{groups}-*"):
        old.unlink()
    part, object_file = path.with_suffix(".part"), path.with_suffix(".o")
    options = [f"-DDTYPE={dtype}", f"-DV_GROUPS={groups}"]
    _run(COMPILER, *FLAGS, *options, "-c", SOURCE, "-o", object_file)
    _run(COMPILER, "-shared", object_file, "-o", part)
    object_file.unlink()
    os.replace(part, path)


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stderr}"


@functools.cache
def _digest() -> str:
    """Of the texts, the flags, the compiler and the machine."""
    found = hashlib.sha256()
    folder = ROOT / "src_c"
    texts = [*folder.rglob("*.h"), folder / "isa_cuda.cu", folder / "octaves.c"]
    for text in [*sorted(texts), ROOT / SOURCE, (ROOT / SOURCE).with_name("cuda_host.h")]:
        found.update(text.read_bytes())
    version = subprocess.run([COMPILER, "--version"], capture_output=True, check=True).stdout
    found.update(repr((FLAGS, version, platform.node(), platform.machine())).encode())
    return found.hexdigest()[:16]
