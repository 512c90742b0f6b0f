# SPDX-License-Identifier: MIT
"""Crashes for real: limits, other users, and signals to a writing process."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from checkpoint_plans import contents, large_plan, mixed_plan, temporaries

from fastinit.checkpoints import verify, write

OPTIONS = {"seed": 3, "max_shard_size": "60KB", "threads": 2}
INDEX = "model.safetensors.index.json"
SOON = 5.0
"""Seconds: a user sees a fraction of one; a busy machine may take more."""


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


def script(body):
    """A program that can use the tests' plans, says when it begins, and may be slowed."""
    return (
        f"import sys, time, resource; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from checkpoint_plans import *\n"
        "from fastinit.checkpoints import write\n"
        "from fastinit.errors import CheckpointError\n"
        "print('begin', flush=True)\n" + body
    )


def test_a_limit_of_file_size_is_a_clean_error(tmp_path):
    body = (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"try: write(mixed_plan(), {str(tmp_path / 'x')!r}, seed=3)\n"
        "except CheckpointError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script(body)], capture_output=True, text=True)
    assert "File too large; raise the file size limit (ulimit -f), or write smaller files" in (
        result.stdout
    )
    assert contents(tmp_path / "x").keys() == {"config.json"}


def test_a_folder_without_permission_is_a_clean_error():
    if os.geteuid():
        pytest.skip("becoming another user needs root")
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        body = (
            "import os; os.setgid(65534); os.setuid(65534)\n"
            f"try: write(mixed_plan(), {name!r}, seed=3)\n"
            "except CheckpointError as error: print(error)\n"
            f"try: write(mixed_plan(), {name + '/new'!r}, seed=3)\n"
            "except CheckpointError as error: print(error)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", script(body)], capture_output=True, text=True, check=True
        )
        assert result.stdout.count("Permission denied; give yourself permission to write") == 2
        assert not contents(Path(name))


def test_a_folder_that_cannot_even_be_looked_into_is_a_clean_error():
    if os.geteuid():
        pytest.skip("becoming another user needs root")
    with tempfile.TemporaryDirectory() as name:  # mode 0700: nobody else may pass
        body = (
            "import os; os.setgid(65534); os.setuid(65534)\n"
            f"try: write(mixed_plan(), {name + '/a/b'!r}, seed=3)\n"
            "except CheckpointError as error: print(error)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", script(body)], capture_output=True, text=True, check=True
        )
        assert "Permission denied; give yourself permission" in result.stdout
        assert not contents(Path(name))


def test_a_checkpoint_that_cannot_be_looked_into_is_a_clean_error():
    if os.geteuid():
        pytest.skip("becoming another user needs root")
    with tempfile.TemporaryDirectory() as name:
        write(mixed_plan(), name + "/weights", seed=3)
        body = (
            "from fastinit.checkpoints import open, verify\n"
            "import os; os.setgid(65534); os.setuid(65534)\n"
            "for call in open, verify:\n"
            f"    try: call({name + '/weights'!r})\n"
            "    except CheckpointError as error: print(error)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", script(body)], capture_output=True, text=True, check=True
        )
        assert result.stdout.count("cannot open") == 2
        assert result.stdout.count("Permission denied") == 2


def test_after_its_import_the_package_imports_nothing_more(tmp_path):
    """As in a service that gives up its rights, or changes its root folder, once it has started.

    It may then be unable to read even the standard library, which only an error message needs.
    """
    body = (
        "import fastinit as fi\n"
        "class Unreadable:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Unreadable())\n"
        f"folder = {str(tmp_path / 'x')!r}\n"
        "fi.write(mixed_plan(), folder, seed=3)\n"
        "print(fi.verify(folder).tensors, fi.open(folder)['double'].shape)\n"
        "fi.array((64, 64), 'orthogonal()', seed=0, name='w', dtype='bfloat16')\n"
        "sys.meta_path.pop(0)\n"
        "try: fi.array((64, 64), 'orthogonl()', seed=0, name='w')\n"
        "except ValueError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script(body)], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("begin\n9 (1000, 3)\n")
    assert "did you mean 'orthogonal'" in result.stdout


def test_a_read_only_file_is_replaced_by_an_overwrite(tmp_path):
    write(mixed_plan(), tmp_path, seed=9)
    (tmp_path / "model.safetensors").chmod(0o444)
    write(mixed_plan(), tmp_path, seed=3, overwrite=True)
    verify(tmp_path)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_respected(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write(mixed_plan(), tmp_path / "x", **OPTIONS)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "x").iterdir()}
    assert modes == {mode}


# --- signals -------------------------------------------------------------------------------------


def started(body):
    """A running program, at the moment its write begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", script(body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begin\n"
    return process


def slow_write(folder, pause, size=2**19, **options):
    arguments = "".join(f"{key}={value!r}, " for key, value in options.items())
    return (
        f"write(large_plan(8, {size}), {str(folder)!r}, seed=3, max_shard_size='5MB', {arguments}"
        f"progress=lambda size: (print('chunk', flush=True), time.sleep({pause})))\n"
    )


def kill(process, moments):
    """SIGKILL a little after one of the 18 moments that the program reports."""
    for _ in range(moments.randrange(18)):
        process.stdout.readline()
    time.sleep(moments.uniform(0, 0.01))
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("level", [*(slow(level) for level in ("none", "file")), "full"])
def test_a_killed_write_leaves_only_whole_files_and_resumes(tmp_path, level):
    write(large_plan(8, 2**19), tmp_path / "right", seed=3, max_shard_size="5MB")
    right = contents(tmp_path / "right")
    moments = random.Random(20)
    partial = 0
    for attempt in range(15):
        folder = tmp_path / str(attempt)
        kill(started(slow_write(folder, 0.005, durability=level)), moments)
        found = contents(folder) if folder.exists() else {}
        whole = {name: data for name, data in found.items() if not name.endswith(".fastinit")}
        assert all(right[name] == data for name, data in whole.items())
        partial += 0 < len(whole) < len(right)
        if INDEX not in whole:
            report = write(large_plan(8, 2**19), folder, seed=3, max_shard_size="5MB")
            assert set(report.resumed) == {name for name in whole if name.startswith("model-")}
        assert contents(folder) == right
    assert partial > 3


def test_a_killed_overwrite_leaves_the_old_checkpoint_or_can_be_repeated(tmp_path):
    write(large_plan(8, 2**19), tmp_path / "right", seed=3, max_shard_size="5MB")
    right = contents(tmp_path / "right")
    folder = tmp_path / "x"
    write(mixed_plan(), folder, seed=9, max_shard_size="30KB")
    old = contents(folder)
    moments = random.Random(21)
    for _ in range(8):
        kill(started(slow_write(folder, 0.005, overwrite=True)), moments)
        found = {n: d for n, d in contents(folder).items() if not n.endswith(".fastinit")}
        if INDEX in found:
            assert found in (old, right)
    write(large_plan(8, 2**19), folder, seed=3, max_shard_size="5MB", overwrite=True)
    assert contents(folder) == right


@pytest.mark.parametrize("threads", [1, slow(2), 4])
@pytest.mark.parametrize("pause", [0, slow(0.01)])
def test_ctrl_c_ends_a_write_soon_and_leaves_no_temporary(tmp_path, threads, pause):
    process = started(slow_write(tmp_path / "x", pause, size=2**28, threads=threads))
    time.sleep(0.3)
    begin = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.perf_counter() - begin < SOON
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
    assert not temporaries(tmp_path / "x")
    assert INDEX not in contents_names(tmp_path / "x")


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_write_of_tiny_tensors_soon(tmp_path, threads):
    body = (
        f"plan = plan_of(*((f't{{i}}', (3,), 'normal()') for i in range(100_000)))\n"
        f"write(plan, {str(tmp_path / 'x')!r}, seed=0, threads={threads},\n"
        "      progress=lambda size: print('chunk', flush=True))\n"
    )
    process = started(body)
    for _ in range(3):
        assert process.stdout.readline() == b"chunk\n"
    begin = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.perf_counter() - begin < SOON
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    assert not temporaries(tmp_path / "x")
    assert not contents(tmp_path / "x")


def contents_names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_a_storm_of_ctrl_c_corrupts_nothing(tmp_path):
    write(large_plan(8, 2**19), tmp_path / "right", seed=3, max_shard_size="5MB")
    right = contents(tmp_path / "right")
    moments = random.Random(22)
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        process = started(slow_write(folder, 0.005, threads=3))
        for _ in range(moments.randrange(12)):
            process.stdout.readline()
        for _ in range(5):
            process.send_signal(signal.SIGINT)
            time.sleep(moments.uniform(0, 0.01))
        process.communicate(timeout=30)
        for name, data in contents(folder).items() if folder.exists() else ():
            assert name.endswith(".fastinit") or right[name] == data
        if not (folder / INDEX).exists():
            write(large_plan(8, 2**19), folder, seed=3, max_shard_size="5MB")
        assert contents(folder) == right
