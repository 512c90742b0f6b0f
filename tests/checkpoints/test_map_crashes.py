# SPDX-License-Identifier: MIT
"""`memmap` killed, or refused, at every call of the system: no file is beside a false sidecar."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from broken_calls import Broken
from checkpoint_plans import contents
from mapped_files import BESIDE, expected, made

import fastinit as fi
from fastinit.errors import CheckpointError

CALLS = ("open", "pwrite", "fsync", "rename", "unlink", "posix_fallocate", "fchmod", "listdir")
SHAPE = (300, 100)
SEEDS = {"new": 3, "old": 4}
PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
SCENES = ("nothing", "a pair", "a sidecar", "a file")


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def prepare(folder, scene):
    """What is there before the call."""
    folder.mkdir()
    if scene == "nothing":
        return
    made(folder / "e.bin", SHAPE, seed=SEEDS["old"])
    if scene == "a sidecar":
        (folder / "e.bin").unlink()
    if scene == "a file":
        (folder / f"e.bin{BESIDE}").unlink()


def call(folder, scene, **options):
    overwrite = scene in ("a pair", "a file")
    return made(folder / "e.bin", SHAPE, threads=1, overwrite=overwrite, **options)


class Killer:
    """Functions of the system that end this process at the k-th call of any."""

    def __init__(self, k):
        self.left = k

    def wrap(self, function):
        def wrapped(*args, **options):
            self.left -= 1
            if not self.left:
                os._exit(9)
            return function(*args, **options)

        return wrapped


def kill_everywhere(parent, scene, options):
    """Fork, kill the k-th call in the child, for every k; prints how many there were.

    Runs in a process without threads, which forks safely.
    """
    for k in range(1, 1000):
        folder = Path(parent) / str(k)
        prepare(folder, scene)
        child = os.fork()
        if not child:
            killer = Killer(k)
            for name in CALLS:
                setattr(os, name, killer.wrap(getattr(os, name)))
            try:
                call(folder, scene, **options)
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != 9:
            break
    print(json.dumps([k, code]))


def check(folder, scene, *, filled=True):
    """Whatever happened: no file, or a whole one, whose sidecar is its own if there is one."""
    path, beside = folder / "e.bin", folder / f"e.bin{BESIDE}"
    if not path.exists():
        assert scene in ("nothing", "a sidecar")
        return "absent"
    data = path.read_bytes()
    values = {which: expected(SHAPE, seed=seed).tobytes() for which, seed in SEEDS.items()}
    if not filled:
        values["new"] = bytes(len(data))
    (which,) = [which for which, wanted in values.items() if wanted == data]
    if not beside.exists():
        assert scene in ("a pair", "a file")
        return f"{which} without sidecar"
    text = json.loads(beside.read_text())
    assert (text["seed"], text["filled"]) == (SEEDS[which], int(which == "old" or filled))
    if text["filled"]:
        assert fi.verify(path).seed == SEEDS[which]
    return which


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(
    ("scene", "fill"),
    [
        ("nothing", True),
        ("a pair", True),
        *(slow(scene, True) for scene in ("a sidecar", "a file")),
        *(slow(scene, False) for scene in SCENES),
    ],
)
def test_a_kill_at_any_call_leaves_no_false_sidecar(tmp_path, scene, fill):
    code = f"""
import sys
sys.path[:0] = {PATHS!r}
from test_map_crashes import kill_everywhere
kill_everywhere({str(tmp_path)!r}, {scene!r}, {{"fill": {fill}}})
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, code = json.loads(run.stdout)
    assert (count > 15, code) == (True, 0)
    seen = set()
    for k in range(1, count + 1):
        folder = tmp_path / str(k)
        seen.add(check(folder, scene, filled=fill))
        call(folder, scene, fill=fill)
        assert check(folder, scene, filled=fill) == "new"
        assert sorted(contents(folder)) == ["e.bin", f"e.bin{BESIDE}"]
    assert (
        seen
        == {
            "nothing": {"absent", "new"},
            "a sidecar": {"absent", "new"},
            "a pair": {"old", "old without sidecar", "new without sidecar", "new"},
            "a file": {"old without sidecar", "new without sidecar", "new"},
        }[scene]
    )


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("scene", ["nothing", "a pair", slow("a sidecar"), slow("a file")])
def test_a_refusal_of_any_call_leaves_no_false_sidecar(tmp_path, monkeypatch, scene, name):
    failed = 0
    for k in range(1, 40):
        folder = tmp_path / str(k)
        prepare(folder, scene)
        broken = Broken(getattr(os, name), k, errno.EIO)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            try:
                call(folder, scene)
            except CheckpointError:
                failed += 1
        left = [name for name in contents(folder) if name.endswith(".fastinit")]
        assert not left or name == "unlink"
        if not broken.struck:
            break
        check(folder, scene)
        call(folder, scene)
        assert check(folder, scene) == "new"
    assert k < 39
    assert failed or name in ("fchmod", "unlink")
