# SPDX-License-Identifier: MIT
"""Compiled code that is kept on disk: damaged, full, written twice at once; never a failure."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
numba = pytest.importorskip("numba")

from fastinit.numba import kept  # noqa: E402 - only with Numba


def doubled(x):
    for i in range(x.size):
        x[i] *= 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def hits():
    """Call it as a new process would; how many times its code was found on disk."""
    function = kept.kept(doubled)
    x = np.arange(5.0)
    function(x)
    assert x.tolist() == [0, 2, 4, 6, 8]
    return sum(function.stats.cache_hits.values())


def files(folder):
    return sorted(folder.rglob("*.code"))


def test_code_is_found_again(folder):
    assert hits() == 0
    assert hits() == 1
    assert len(files(folder)) == 1
    assert not list(folder.rglob("*.new"))


@pytest.mark.parametrize("how", ["empty", "short", "half", "a bit", "the end", "another's"])
def test_a_damaged_file_is_compiled_again_and_mended(folder, how):
    assert hits() == 0
    (path,) = files(folder)
    right = path.read_bytes()
    middle = len(right) // 2
    path.write_bytes(
        {
            "empty": b"",
            "short": right[:31],
            "half": right[:middle],
            "a bit": right[:middle] + bytes([right[middle] ^ 4]) + right[middle + 1 :],
            "the end": right[:-1],
            "another's": b"no digest at all" * 999,
        }[how]
    )
    assert hits() == 0
    assert hits() == 1
    assert files(folder) == [path]


def test_code_whose_digest_is_right_and_that_numba_cannot_take_is_compiled(folder, monkeypatch):
    assert hits() == 0
    monkeypatch.setattr(kept.pickle, "loads", lambda code: ("of", "another", "Numba"))
    assert hits() == 0


def test_other_sources_leave_nothing_behind(folder, monkeypatch):
    assert hits() == 0
    (old,) = files(folder)
    monkeypatch.setattr(kept, "sources", lambda: "0" * 64)
    assert hits() == 0
    (new,) = files(folder)
    assert new != old


def test_another_python_finds_nothing_and_leaves_it_there(folder, monkeypatch):
    """Versions that share a folder, as of one checkout: compiled code reads Python's objects."""
    assert hits() == 0
    with monkeypatch.context() as other:
        other.setattr(kept.sysconfig, "get_config_var", lambda name: "cpython-399t-x86_64")
        assert hits() == 0
        assert hits() == 1
    assert hits() == 1
    assert len(files(folder)) == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_keeps_nothing_and_fails_nothing(small_disk, monkeypatch):
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(small_disk))
    function = kept.kept(doubled)  # the folder is there before the disk is full
    state = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - 4096))
    x = np.ones(3)
    function(x)
    assert x.tolist() == [2, 2, 2]
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["filler"]
    (small_disk / "filler").unlink()
    assert hits() == 0
    assert hits() == 1


def test_no_folder_at_all_is_no_failure(monkeypatch):
    monkeypatch.setattr(kept, "KeptCode", lambda function: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # only what Numba raises is expected
        kept.kept(doubled)

    def refused(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(kept, "KeptCode", refused)
    x = np.ones(2)
    kept.kept(doubled)(x)
    assert x.tolist() == [2, 2]


FILL = "import fastinit as fi; print(fi.array(5, 'normal', seed=0, name='w').tobytes().hex())"


def test_two_processes_may_write_it_at_once(tmp_path):
    environment = {**os.environ, "FASTINIT_BACKEND": "numba", "NUMBA_CACHE_DIR": str(tmp_path)}
    start = [sys.executable, "-W", "error", "-c", FILL]
    both = [
        subprocess.Popen(start, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    found = [process.communicate(timeout=300) for process in both]
    assert found[0] == found[1]
    assert found[0][1] == b""
    assert len(list(tmp_path.rglob("fastinit_float32-*.code"))) == 1
    again = subprocess.run(start, env=environment, capture_output=True, check=True, timeout=300)
    assert again.stdout == found[0][0]
