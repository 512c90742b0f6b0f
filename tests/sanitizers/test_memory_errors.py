# SPDX-License-Identifier: MIT
"""The C layer and its border under AddressSanitizer and UndefinedBehaviorSanitizer.

The package is built once more, into a folder of its own, and the tests that call every kernel run
on it.  Copies of a C file with a planted mistake show that each kind of mistake is found, in every
instruction set.

`detect_leaks=0`: the interpreter itself leaves thousands of blocks at its end; test_steady.py looks
for what is held.  `allocator_may_return_null`: tests ask NumPy for more memory than there is.
Nothing else is suppressed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from built_once import built_once

from fastinit.backends import instruction_sets

pytestmark = [pytest.mark.native, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
FENCED = Path(__file__).with_name("fenced.py")
SANITIZERS = "-fsanitize=address,undefined,float-cast-overflow"
FLAGS = [
    "-O1",
    SANITIZERS,
    "-fno-sanitize-recover=all",
    # Calls instead of code for each access, and loops that stay loops: they compile soon.
    *("--param", "asan-instrumentation-with-call-threshold=0", "-fno-tree-loop-optimize"),
]
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",  # so that each object of Python has bounds that are watched
}


def library() -> str:
    """gcc's libasan, which the interpreter has to load first, or a skip."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not in this machine")
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True)
    path = found.stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip("gcc's libasan is not in this machine")
    return path


def build(folder: Path) -> None:
    """The package, in folder/lib."""
    places = ["--build-base", str(folder / "objects"), "--build-lib", str(folder / "lib")]
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "-j2", *places],
        cwd=ROOT,
        check=True,
        env={**os.environ, "FASTINIT_CFLAGS": " ".join(FLAGS), "LDFLAGS": SANITIZERS},
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library()
    return built_once(tmp_path_factory, "sanitized", build)


def run(lib: Path, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the package in `lib`, with the sanitizers."""
    paths = os.pathsep.join(map(str, (lib, ROOT / "tests")))
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *map(str, command)],
        cwd=lib.parent,  # not the folder that has the usual package
        env={**os.environ, **OPTIONS, "LD_PRELOAD": library(), "PYTHONPATH": paths, **variables},
        capture_output=True,
        text=True,
    )


def succeeds(lib: Path, *command: object, **variables: str) -> str:
    done = run(lib, *command, **variables)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


def test_the_built_package_is_the_one_that_runs(built):
    script = "import fastinit.backends._native as native; print(native.__file__)"
    assert succeeds(built / "lib", "-c", script).startswith(str(built))


@pytest.mark.parametrize("isa", instruction_sets.available())
def test_every_kernel_keeps_to_its_memory_and_to_what_c_defines(built, isa):
    assert "copies: " in succeeds(built / "lib", FENCED, "sweep", isa)


# Those that take every way through the border, with strides, regions and wrong arguments.
TESTS = [
    "tests/backends",
    "tests/memory/test_cuts.py",
    "tests/values/test_short_rows.py",
    "tests/package/test_processes.py::test_random_calls_never_crash",
    "tests/package/test_processes.py::test_the_border_refuses_a_buffer_that_it_cannot_use",
    "tests/package/test_processes.py::test_the_border_lets_go_of_a_buffer_it_refuses",
]


def test_the_tests_of_the_border_pass(built):
    tests = [ROOT / test for test in TESTS]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml"]
    succeeds(built / "lib", "-m", "pytest", *options, "--rootdir", ROOT, *tests)


# ---- planted mistakes ---------------------------------------------------------------------------

FILL = ROOT / "src_c" / "fill.c"
PLANTED = {
    "a kernel's write behind an array": (
        "(fi_piece){out, block, tiles}",
        "(fi_piece){out, block, tiles + 1}",
        "heap-buffer-overflow",
    ),
    "a write of one byte too many": (
        "c->copy[i].from, c->copy[i].size)",
        "c->copy[i].from, c->copy[i].size + 1)",
        "heap-buffer-overflow",
    ),
    "a shift by 64": ("start >> (2 - wide)", "start >> (64 - wide)", "shift exponent 64"),
    "an overflow": (
        "size_t tiles = count >> (7 - wide);",
        "size_t tiles = count >> (7 - wide); int n = 2147483647; n += (int)tiles; skip += n < 0;",
        "signed integer overflow",
    ),
    "a conversion": (
        "uint64_t block = start",
        "if ((int)(c->spec->scale * 1e30)) return; uint64_t block = start",
        "is outside the range of representable values of type 'int'",
    ),
}
DRAW = "import fastinit as fi; fi.array((1280 + 3,), 'normal()', seed=0, name='w')"


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_found(built, tmp_path, mistake):
    right, wrong, words = PLANTED[mistake]
    lib = with_mistake(built, tmp_path, right, wrong)
    every, best = instruction_sets.available(), instruction_sets.available()[:1]
    for isa in every if "kernel" in mistake else best:
        done = run(lib, "-c", DRAW, FASTINIT_ISA=isa)
        assert done.returncode != 0, isa
        assert words in done.stderr, (isa, done.stderr[-3000:])


def with_mistake(built: Path, place: Path, right: str, wrong: str) -> Path:
    """The built package with another fill.c."""
    source = FILL.read_text("utf-8")
    assert source.count(right) == 1
    (place / "fill.c").write_text(source.replace(right, wrong), "utf-8")
    lib = shutil.copytree(built / "lib", place / "lib")
    (extension,) = lib.glob("fastinit/backends/_native*.so")
    objects = [path for path in (built / "objects").rglob("*.o") if part_of_native(path)]
    subprocess.run(
        [
            *("gcc", "-shared", "-fPIC", "-std=c11", "-ffp-contract=off", *FLAGS),
            *(f"-I{ROOT / 'src_c'}", place / "fill.c", *objects, "-o", extension),
        ],
        check=True,
    )
    return lib


def part_of_native(path: Path) -> bool:
    """Whether an object is part of the extension of the kernels, fill.o apart."""
    return path.stem not in ("fill", "clock", "_machine")
