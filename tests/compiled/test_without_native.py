# SPDX-License-Identifier: MIT
"""A package without the C extensions: the same values and files, a notice, and clear errors."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import fastinit as fi  # noqa: E402 - only with Numba
from fastinit.backends import native  # noqa: E402
from fastinit.machine import state_in_python  # noqa: E402

TESTS = Path(__file__).parents[1]
NOTICE = "fastinit: this package was built without the C extensions, so the backend numba draws"


@pytest.fixture(scope="module")
def pure(tmp_path_factory):
    """A folder with a copy of the package, as FASTINIT_NO_NATIVE=1 builds it."""
    folder = tmp_path_factory.mktemp("pure")
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyx", "*.c")
    shutil.copytree(Path(fi.__file__).parent, folder / "fastinit", ignore=ignored)
    (folder / "fastinit/_no_native.py").touch()
    return folder


@pytest.fixture(scope="module")
def no_numba(tmp_path_factory):
    """A folder in front of which Numba is not found."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "numba.py").write_text("raise ModuleNotFoundError('hidden', name='numba')")
    return folder


def run(arguments, *folders, **environment):
    path = [*map(str, folders), str(TESTS), str(TESTS / "package")]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FASTINIT_")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**kept, "PYTHONPATH": os.pathsep.join(path), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folders[0],
    )


def python(code, *folders, **environment):
    return run(["-c", code], *folders, **environment)


def last_line(done):
    return done.stderr.splitlines()[-1]


def digest(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_command_line_writes_and_verifies_the_native_bytes(pure, tmp_path, small):
    fi.write(small, tmp_path / "native", seed=3)
    command = ["-m", "fastinit"]
    done = run([*command, "write", small, tmp_path / "ours", "--seed", 3], pure)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "ours") == digest(tmp_path / "native")
    assert done.stderr.count(NOTICE) == 1
    assert len(done.stderr.splitlines()) == 1
    done = run([*command, "verify", tmp_path / "native"], pure, FASTINIT_BACKEND="numba")
    assert (done.returncode, done.stderr) == (0, "")
    fi.verify(tmp_path / "ours")


def test_any_thread_and_dtype_has_the_native_bits_and_nothing_is_imported_before(pure):
    code = (
        "import sys, hashlib, fastinit as fi\n"
        "assert not {'numba', 'llvmlite'} & sys.modules.keys()\n"
        "for dtype in ('float32', 'bfloat16', 'float64'):\n"
        "    w = fi.array((900, 1200), 'he_normal', seed=1, name='w', dtype=dtype, threads=3)\n"
        "    print(hashlib.sha256(w.tobytes()).hexdigest())\n"
        "assert not [m for m in sys.modules if m.endswith(('._machine', '._native'))]"
    )
    done = python(code, pure, FASTINIT_BACKEND="numba")
    assert (done.returncode, done.stderr) == (0, "")
    ours = [
        fi.array((900, 1200), "he_normal", seed=1, name="w", dtype=dtype).tobytes()
        for dtype in ("float32", "bfloat16", "float64")
    ]
    assert done.stdout.split() == [hashlib.sha256(each).hexdigest() for each in ours]


def test_a_program_is_warned_once_and_may_make_it_an_error(pure):
    code = "import fastinit as fi\nfor n in range(3): fi.array(n, 'ones', seed=0, name='w')"
    done = python(code, pure)
    assert done.returncode == 0
    assert done.stderr.count("BackendWarning: this package was built without") == 1
    assert python(code, pure, FASTINIT_BACKEND="numba").stderr == ""
    done = python(f"import warnings; warnings.simplefilter('error')\n{code}", pure)
    assert "BackendWarning: this package was built without" in last_line(done)


def test_info_says_which_backend_and_why(pure):
    found = run(["-m", "fastinit", "info"], pure, FASTINIT_ISA="avx2").stdout.splitlines()
    assert "backend          numba" in found
    assert "backend from     this package was built without the C extensions" in found
    assert any(line.startswith("compiled for     ") for line in found)
    assert any("avx2 has no effect: only the backend native looks at it" in line for line in found)
    assert not any(line.startswith(("instruction set", "available")) for line in found)


def test_without_numba_too_one_error_says_what_to_install(pure, no_numba, tmp_path, small):
    command = ["-m", "fastinit"]
    for arguments in (["info"], ["--help"], ["plan", "gpt2"]):
        done = run([*command, *arguments], pure, no_numba)
        assert (done.returncode, done.stderr) == (0, "")
    assert "backend          none" in run([*command, "info"], pure, no_numba).stdout.splitlines()
    words = (
        "no backend can draw values: this package was built without the C extensions, and "
        "fastinit.numba needs Numba 0.61 or newer, but numba is not installed: pip install "
        "'fastinit-weights[numba]'; or install it with a C compiler and without FASTINIT_NO_NATIVE"
    )
    done = run([*command, "write", small, tmp_path / "x"], pure, no_numba)
    assert (done.returncode, done.stderr) == (2, f"fastinit: {words}\n")
    done = python("import fastinit as fi; fi.array(3, 'ones', seed=0, name='w')", pure, no_numba)
    assert last_line(done) == f"fastinit.errors.BackendError: {words}"


def test_the_native_backend_cannot_be_forced(pure):
    code = "import fastinit as fi; fi.array(3, 'ones', seed=0, name='w')"
    assert last_line(python(code, pure, FASTINIT_BACKEND="native")) == (
        "fastinit.errors.BackendError: FASTINIT_BACKEND=native: backend 'native' cannot be used: "
        "this package was built without the C extensions: install it with a C compiler and "
        "without FASTINIT_NO_NATIVE, or unset FASTINIT_BACKEND"
    )


@pytest.fixture
def unmarked(pure, tmp_path):
    """The source tree, not built: nothing says that the extensions were left out."""
    shutil.copytree(pure / "fastinit", tmp_path / "fastinit")
    (tmp_path / "fastinit/_no_native.py").unlink()
    return tmp_path


def test_a_source_tree_that_is_not_built_says_so_unless_numba_is_asked_for(unmarked):
    code = "import fastinit as fi; print(fi.array(3, 'ones', seed=0, name='w'))"
    words = f"ImportError: fastinit.machine._machine is not built in {unmarked / 'fastinit'}"
    assert last_line(python(code, unmarked)).startswith(words)
    assert last_line(python(code, unmarked, FASTINIT_BACKEND="native")).startswith(words)
    done = python(code, unmarked, FASTINIT_BACKEND="numba")
    assert (done.stdout, done.stderr) == ("[1. 1. 1.]\n", "")


@pytest.mark.parametrize("name", ["machine/_machine", "backends/_native"])
@pytest.mark.parametrize("backend", ["", "numba"])
def test_an_extension_that_is_there_and_broken_stays_an_error(pure, tmp_path, name, backend):
    shutil.copytree(pure / "fastinit", tmp_path / "fastinit")
    suffix = Path(native._native.__file__).name.removeprefix("_native")
    (tmp_path / f"fastinit/{name}{suffix}").write_bytes(b"\x7fELF and no more")
    done = python("import fastinit", tmp_path, FASTINIT_BACKEND=backend)
    module = f"fastinit.{name.replace('/', '.')}"
    assert last_line(done).startswith(f"ImportError: {module} cannot be loaded: ")


def test_floats_and_threads_stay_in_order_under_foreign_settings(pure):
    code = (
        "import hashlib, numpy as np, fastinit as fi\n"
        "from foreign_settings import floating_point, state\n"
        "for setting in ({}, {'flush': True}, {'rounding': 2}, {'x87': 0x87F}):\n"
        "    floating_point(**setting)\n"
        "    before = state()\n"
        "    w = fi.array(2**20, fi.normal(std=1e-39), seed=0, name='w', threads=2)\n"
        "    d = fi.truncated_normal(std=0.1, low=6.0, high=8.0).distribution((5, 5)).std\n"
        "    kept = state() == before\n"
        "    floating_point()\n"
        "    print(hashlib.sha256(w.tobytes()).hexdigest(), d.hex(), kept)"
    )
    done = python(code, pure, FASTINIT_BACKEND="numba")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    w = fi.array(2**20, fi.normal(std=1e-39), seed=0, name="w")
    d = fi.truncated_normal(std=0.1, low=6.0, high=8.0).distribution((5, 5)).std
    assert lines == [f"{hashlib.sha256(w.tobytes()).hexdigest()} {d.hex()} True"] * 4


def test_the_tests_of_threads_pass(pure):
    """Those of the machine room, on the stand-in: Ctrl-C, limits, errors of helpers.

    Not the one that limits memory: LLVM ends the process if it gets none while it compiles.
    """
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not limit_of_memory"]
    arguments += [
        TESTS / "machine/test_parallel.py",
        "--rootdir",
        TESTS.parent,
        "-c",
        TESTS.parent / "pyproject.toml",
    ]
    done = run(arguments, pure, FASTINIT_BACKEND="numba")
    assert done.returncode == 0, done.stdout[-2000:]
    assert " passed" in done.stdout


# --- the stand-in by itself ----------------------------------------------------------------------


def test_a_clock_of_dependent_additions():
    assert state_in_python.dependent_adds(12345, 7) == 12345 * 7
    assert state_in_python.dependent_adds(0) == 0


def test_an_error_leaves_the_state_as_it_was(monkeypatch):
    monkeypatch.syspath_prepend(TESTS / "package")
    from foreign_settings import floating_point, state

    def broken():
        assert state() == default
        raise KeyboardInterrupt

    default = state()
    floating_point(rounding=2, flush=True)
    before = state()
    try:
        with pytest.raises(KeyboardInterrupt):
            state_in_python.in_default_floats(broken, (), {})
        assert state() == before
        floats = state_in_python.DefaultFloats()
        assert state() == default
        floats.__exit__()
        assert state() == before
        floats = state_in_python.DefaultFloats()
        del floats
        assert state() == before
    finally:
        floating_point()


def test_errors_while_it_waits_do_not_end_the_wait():
    """The first is kept, the work is not begun again, and every helper is waited for."""
    lock, helper = threading.Lock(), threading.Lock()
    helper.acquire()
    errors, begun, joins = [], [], []

    def work():
        begun.append(1)
        raise ValueError("the first")

    def join():
        joins.append(helper.locked())
        if len(joins) < 4:
            raise KeyboardInterrupt

    threading.Timer(0.2, helper.release).start()
    state_in_python.work_together(work, join, lock, errors, [helper])
    assert [str(error) for error in errors] == ["the first"]
    assert (begun, joins) == ([1], [False] * 4)


def test_the_stand_in_has_what_the_extension_has():
    from fastinit.machine import _machine, state

    for name in state.__all__:
        assert getattr(state, name) is getattr(_machine, name)
        assert hasattr(state_in_python, name)
