# SPDX-License-Identifier: MIT
"""Settings of other libraries: no bit, no text and no error of ours depends on them.

foreign_settings.py holds what is set, foreign_sweep.py what is made, every_scheme.py the schemes.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from every_scheme import CALLS
from foreign_settings import SETTINGS, floating_point, state

import fastinit as fi
from fastinit.machine import parallel
from fastinit.machine.floats import default_floats
from fastinit.schemes.registry import SCHEMES

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="foreign settings: written for glibc on x86-64 and aarch64",
)
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def made():
    """Setting -> entry -> what is made."""
    command = [sys.executable, HERE / "foreign_sweep.py", *SETTINGS]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_every_scheme_is_swept():
    assert set(CALLS) == set(SCHEMES)


@pytest.mark.slow
def test_what_is_made_undisturbed_is_no_error(made):
    found = made["undisturbed"]
    assert len(found) > 1000
    assert [key for key, value in found.items() if "Error" in value] == []
    assert found["state"] == "kept"


@pytest.mark.slow
@pytest.mark.parametrize("setting", list(SETTINGS)[1:])
def test_no_setting_of_another_library_changes_anything(made, setting):
    assert made[setting] == made["undisturbed"]


CONSTANTS = """
import sys, types, warnings
import numpy as np
from foreign_settings import floating_point, hostile_decimal
sys.dont_write_bytecode = True
if sys.argv[1] == "foreign":
    np.seterr(all="raise")
    hostile_decimal()
    warnings.simplefilter("error")
    floating_point(rounding=2, flush=True)
import fastinit
fastinit.checkpoints  # imported now
floating_point()
print(fastinit.__file__)


def numbers(code):
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from numbers(constant)
        elif isinstance(constant, float | tuple):
            yield constant


for name, module in sorted(sys.modules.items()):
    if name.startswith("fastinit"):
        for key, value in sorted(vars(module).items()):
            if isinstance(value, float | tuple):
                print(name, key, repr(value))
            if isinstance(value, types.FunctionType) and value.__module__ == name:
                print(name, key, *map(repr, numbers(value.__code__)))
"""


def test_a_package_that_is_compiled_under_foreign_settings_has_the_same_numbers(tmp_path):
    """Python reads the numbers of a source file by the processor's rounding, and keeps them."""
    copy = tmp_path / "fastinit"
    shutil.copytree(Path(fi.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "foreign_settings.py", tmp_path)
    found = []
    for mode in ("undisturbed", "foreign"):
        command = [sys.executable, "-c", CONSTANTS, mode]
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        found.append(run.stdout.splitlines())
    assert found[0][0] == str(copy / "__init__.py")
    assert len(found[0]) > 100
    assert found[0] == found[1]


def test_tasks_run_to_nearest_whatever_their_thread_began_with():
    """Helpers start with the caller's rounding, and with NumPy's default warnings."""

    def task(number):
        seen.append((state(), np.geterr()["over"]))
        tiny = np.float32(1e-40) * np.float32(number)  # a denormal: NumPy would raise
        assert tiny > 0

    seen: list[object] = []
    usual = state()
    floating_point(rounding=1, flush=True)
    foreign = state()
    try:
        with np.errstate(all="raise"):
            parallel.run(range(1, 9), task, 2)
            assert np.geterr()["over"] == "raise"
        after = state()
    finally:
        floating_point()
    assert seen == [(usual, "ignore")] * 8
    assert after == foreign != usual


def test_what_was_set_is_put_back_after_an_error():
    @default_floats
    def fails():
        raise ValueError("as it should")

    floating_point(rounding=2)
    foreign = state()
    try:
        with np.errstate(under="raise"):
            with pytest.raises(ValueError, match="as it should"):
                fails()
            with pytest.raises(ValueError, match="std is"):
                fi.array((3,), "normal(-1)", seed=0, name="w")
            with pytest.raises(ValueError, match="seed is"):
                fi.fill(np.empty(3, "float32"), "normal(1)", seed=-1, name="w")
            assert np.geterr()["under"] == "raise"
        after = state()
    finally:
        floating_point()
    assert after == foreign
