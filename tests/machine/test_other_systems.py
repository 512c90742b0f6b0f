# SPDX-License-Identifier: MIT
"""fastinit where Python lacks what Linux has: macOS, Windows, and a system without any locks.

Each test runs in a process that other_systems.py has changed.  It shows that no missing name is
used, and that the order of steps suits a system that does not rename what is open; it is no run
on such a system.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SMALL
from other_systems import OTHER_SYSTEM, SYSTEMS

import fastinit as fi
from fastinit.checkpoints.files import Folder
from fastinit.errors import CheckpointError
from fastinit.machine import folders, pages, signals, storage
from fastinit.machine.descriptors import OpenFiles

TESTS = Path(__file__).parents[1]
HEAD = "import fastinit as fi, numpy as np, os, sys\n"

system = pytest.mark.parametrize("system", SYSTEMS)
two_systems = pytest.mark.parametrize("system", ["windows", "bare"])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a program, or the command line, on another system."""
    (tmp_path / "small.toml").write_text(SMALL)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))

    def run(system, body, code=0):
        monkeypatch.setenv(OTHER_SYSTEM, system)
        program = f"import other_systems\n{HEAD}{body}"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


def shell(words):
    """A program that runs the command line."""
    return (
        f"sys.argv = ['fastinit', {', '.join(map(repr, words.split()))}]\n"
        "from fastinit.__main__ import main\nmain()\n"
    )


@system
def test_a_checkpoint_has_the_same_bytes(run, system, tmp_path):
    fi.write(tmp_path / "small.toml", tmp_path / "here", seed=3, max_shard_size="100KB")
    run(
        system,
        "fi.write('small.toml', 'there', seed=3, max_shard_size='100KB')\n"
        "assert fi.verify('there').tensors == 5\n"
        "opened = fi.open('there')\n"
        "w = fi.array((640, 64), 'normal(std=0.02)', seed=3, name='wte.weight')\n"
        "assert (opened['wte.weight'] == w).all()\n"
        "assert not fi.stats('there').differing\n",
    )
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


@system
def test_a_checkpoint_is_replaced_and_refilled(run, system, tmp_path):
    fi.write(tmp_path / "small.toml", tmp_path / "here", seed=4)
    fi.refill(tmp_path / "here", ["h.1.mlp.weight"], seed=5)
    run(
        system,
        "fi.write('small.toml', 'there', seed=3)\n"
        "fi.write('small.toml', 'there', seed=4, overwrite=True)\n"
        "fi.refill('there', ['h.1.mlp.weight'], seed=5)\n"
        "fi.verify('there')\n"
        "fi.write('small.toml', 'arrays', seed=3, format='npy')\n"
        "fi.write('small.toml', 'arrays', seed=4, format='npy', overwrite=True)\n"
        "fi.verify('arrays')\n",
    )
    file = "model.safetensors"
    assert (tmp_path / "there" / file).read_bytes() == (tmp_path / "here" / file).read_bytes()


@system
def test_a_file_is_made_mapped_and_filled(run, system):
    run(
        system,
        "rows = fi.memmap('e.npy', (100, 64), 'normal()', seed=0, fill=False)\n"
        "fi.fill(rows, 'normal()', seed=0, name='e')\n"
        "rows.flush(); del rows\n"
        "rows = fi.memmap('e.npy', (100, 64), 'normal()', seed=0)\n"
        "del rows\n"
        "fi.memmap('e.npy', (100, 64), 'uniform(-1, 1)', seed=0, overwrite=True)\n"
        "fi.verify('e.npy')\n"
        "big = fi.open('e.npy', writable=True)\n"
        "big['e'][:] = 0; big.flush()\n",
    )


@pytest.mark.slow
@system
def test_the_command_line_works(run, system, tmp_path):
    run(system, shell("write small.toml out --seed 3"))
    run(system, shell("verify out"))
    run(system, shell("refill out wte.weight --seed 9"))
    run(system, shell("write small.toml out --seed 3"), code=2)
    assert '"backend": "native"' in run(system, shell("info --json"))
    with open(tmp_path / "out" / "model.safetensors", "r+b") as file:
        file.seek(-4, 2)
        file.write(b"\1\1\1\1")
    run(system, shell("verify out"), code=1)


@pytest.mark.slow
@system
def test_local_workers_write_a_checkpoint(run, system):
    run(
        system,
        "fi.write('small.toml', 'out', seed=3, max_shard_size='100KB', engine='local', workers=2)\n"
        "fi.verify('out')\n",
    )


def test_a_second_writer_is_refused_and_what_a_dead_one_left_is_removed(run, tmp_path):
    """Windows has no flock, but ranges of bytes, of which each descriptor can lock some."""
    run(
        "windows",
        "from fastinit.checkpoints.files import Folder, TemporaryFile\n"
        "from fastinit.machine.descriptors import OpenFiles\n"
        "with OpenFiles() as opened, Folder('out', opened) as folder:\n"
        "    file = TemporaryFile(folder, 'model.safetensors', 100)\n"
        "    with OpenFiles() as others:\n"
        "        other = Folder('out', others, exclusive=False)\n"
        "        other.sweep()\n"
        "        assert other.names() == set(file.names), 'its lock is held'\n"
        "    for path in ('out', 'out/../out'):\n"
        "        try: fi.write('small.toml', path, seed=3)\n"
        "        except fi.FastinitError as error: assert 'another process' in str(error)\n"
        "        else: raise AssertionError\n"
        "    os._exit(7)\n",
        code=7,
    )
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(left) == 2
    assert folders.LOCK_FILE in left
    run("windows", "fi.write('small.toml', 'out', seed=3)\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "model.safetensors",
        "config.json",
    }


def test_without_locks_no_file_is_taken_for_a_dead_writers(run, tmp_path):
    run(
        "bare",
        "from fastinit.checkpoints.files import Folder, TemporaryFile\n"
        "from fastinit.machine.descriptors import OpenFiles\n"
        "with OpenFiles() as opened, Folder('out', opened) as folder:\n"
        "    file = TemporaryFile(folder, 'model.safetensors', 100)\n"
        "    folder.sweep()\n"
        "    assert folder.names() == set(file.names)\n"
        "    assert folder.file.lock() is None\n"
        "assert not os.path.exists(file.names[0])\n",
    )


def test_shared_locks_exclude_a_writer_alone(run):
    run(
        "windows",
        "fi.write('small.toml', 'out', seed=3, format='npy')\n"
        "first, second = (fi.open('out', writable=True) for _ in range(2))\n"
        "def writes():\n"
        "    try: fi.write('small.toml', 'out', seed=4, format='npy', overwrite=True)\n"
        "    except fi.FastinitError as error: return str(error)\n"
        "assert 'is open for writing' in writes()\n"
        "del first\n"
        "assert 'is open for writing' in writes()\n"
        "del second\n"
        "assert writes() is None\n",
    )


@two_systems
def test_what_is_open_is_not_replaced_and_the_message_says_so(run, system):
    run(
        system,
        "fi.write('small.toml', 'out', seed=3)\n"
        "tensor = fi.open('out')['wte.weight']\n"
        "try: fi.write('small.toml', 'out', seed=4, overwrite=True)\n"
        "except fi.FastinitError as error: assert 'close whatever has it open' in str(error)\n"
        "else: raise AssertionError\n"
        "del tensor\n"
        "fi.write('small.toml', 'out', seed=4, overwrite=True)\n"
        "fi.verify('out')\n",
    )


@two_systems
def test_links_and_folders_in_the_place_of_files_are_refused(run, system, tmp_path):
    (tmp_path / "out" / "config.json").mkdir(parents=True)
    run(
        system,
        "try: fi.write('small.toml', 'out', seed=3)\n"
        "except fi.FastinitError as error: assert 'config.json' in str(error)\n"
        "else: raise AssertionError\n"
        "os.rmdir('out/config.json')\n"
        "open('elsewhere', 'w').close()\n"
        "os.symlink('../elsewhere', 'out/model.safetensors')\n"
        "try: fi.write('small.toml', 'out', seed=3)\n"
        "except fi.FastinitError as error: assert 'model.safetensors' in str(error)\n"
        "else: raise AssertionError\n",
    )


# ---- parts --------------------------------------------------------------------------------------


def test_reads_and_writes_at_an_offset_without_the_systems(monkeypatch, tmp_path):
    """A read gives at most `MOST_READ` bytes, as one of the system may."""
    monkeypatch.delattr("os.preadv")
    monkeypatch.delattr("os.pwrite")
    monkeypatch.setattr(storage, "MOST_READ", 5)
    with open(tmp_path / "file", "w+b") as file:
        assert storage.write(file.fileno(), memoryview(b"0123456789"), 3) == 10
        buffer = bytearray(7)
        assert storage.read(file.fileno(), memoryview(buffer), 4) == 5
        assert buffer == b"12345\0\0"
        assert storage.read(file.fileno(), memoryview(buffer), 13) == 0
    assert (tmp_path / "file").read_bytes() == b"\0\0\0" + b"0123456789"


def test_what_a_system_does_not_tell_or_have(monkeypatch, tmp_path):
    for name in ("statvfs", "fchown", "fchmod", "sysconf", "register_at_fork", "copy_file_range"):
        monkeypatch.delattr(f"os.{name}")
    with open(tmp_path / "file", "wb") as file:
        number = file.fileno()
        storage.give_owner(number, 1, 1)
        storage.give_mode(number, 0)
        assert storage.copy(number, 0, number, 0, 10) == 0
        assert storage.available(number) is None
    assert not storage.without_inodes(tmp_path)
    assert pages.physical_memory() == pages.LITTLE
    signals.around_forks(print, print)


def test_free_space_where_only_shutil_knows_it(monkeypatch, tmp_path):
    monkeypatch.delattr("os.statvfs")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("usage", (), {"free": 123}))
    monkeypatch.setattr("fastinit.checkpoints.files.new_folder", folders.FolderByPath)
    assert storage.available(tmp_path) == 123
    with OpenFiles() as opened, Folder(tmp_path, opened) as folder:
        folder.check_space(123)
        with pytest.raises(CheckpointError, match="123 are available"):
            folder.check_space(124)
