# SPDX-License-Identifier: MIT
"""Files that `memmap` makes: modes, room on the disk, and processes that work on the same file."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from broken_calls import always
from checkpoint_plans import contents
from mapped_files import BESIDE, INIT, expected, made
from test_space import fill_up, small_disk  # noqa: F401 - a fixture

import fastinit as fi
from fastinit.checkpoints import maps
from fastinit.checkpoints.files import Folder
from fastinit.checkpoints.pieces import CHUNK
from fastinit.errors import CheckpointError, VerifyError
from fastinit.machine.descriptors import OpenFiles


def test_new_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        made(tmp_path / "new" / "e.bin")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "new").iterdir()} == {0o640}


@pytest.mark.parametrize("level", ["none", "file", "full"])
def test_each_level_of_durability_makes_the_same_files(tmp_path, level, monkeypatch):
    flushes = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda place: flushes.append(place) or real(place))
    made(tmp_path / "e.bin", durability=level)
    fi.verify(tmp_path / "e.bin")
    assert (
        {"none": 0, "file": 2}.get(level, 4) <= len(flushes) <= {"none": 0, "file": 2}.get(level, 9)
    )


def test_a_full_disk_is_an_error_before_anything_is_mapped(small_disk):  # noqa: F811
    with pytest.raises(CheckpointError, match=r"needs 8,388,608 bytes, .* are available: free"):
        made(small_disk / "e.bin", (2**21,))
    assert not contents(small_disk)
    old = made(small_disk / "e.bin", (2**19,))
    with pytest.raises(CheckpointError, match=r"needs 3,145,728 bytes"):
        made(small_disk / "e.bin", (3 * 2**18,), overwrite=True)
    assert (old == expected((2**19,))).all()
    fi.verify(small_disk / "e.bin")


@pytest.mark.parametrize("fill", [True, False])
def test_a_disk_that_fills_up_meanwhile_is_an_error_and_leaves_nothing(
    small_disk,  # noqa: F811
    monkeypatch,
    fill,
):
    monkeypatch.setattr(Folder, "check_space", lambda self, needed: None)
    with pytest.raises(CheckpointError, match=r"cannot create .*No space left.*bytes are needed"):
        made(small_disk / "e.bin", (2**21,), fill=fill)
    assert not contents(small_disk)


def test_every_page_of_a_map_can_be_written_on_a_full_disk(small_disk):  # noqa: F811
    mapped = made(small_disk / "e.bin", (2**19,), fill=False)
    fill_up(small_disk / "filler", 0)
    fi.fill(mapped, INIT, seed=3, name="e")
    fi.verify(small_disk / "e.bin")


def test_zeros_are_written_where_the_file_system_cannot_allocate(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    path = tmp_path / "e.npy"
    assert not made(path, (CHUNK + 5,), fill=False).any()
    assert path.stat().st_blocks * 512 >= path.stat().st_size == 4 * (CHUNK + 5) + 128


def test_an_allocated_file_is_noted_as_filled_when_it_is(tmp_path):
    path = tmp_path / "e.npy"
    mapped = made(path, fill=False)
    assert '"filled":0' in path.with_name(f"e.npy{BESIDE}").read_text()
    fi.fill(mapped[:20], INIT, seed=3, name="e", shape=mapped.shape, region=np.s_[:20])
    with pytest.raises(
        VerifyError, match=r"element 140 \(row 20, column 0\) is 0.0.*fill=False: f"
    ):
        made(path)
    assert (made(path, fill=False)[:20] == expected()[:20]).all()
    fi.fill(mapped[20:], INIT, seed=3, name="e", shape=mapped.shape, region=np.s_[20:])
    counts = []
    assert (made(path, progress=counts.append) == expected()).all()
    assert sum(counts) == 1400
    assert '"filled":1' in path.with_name(f"e.npy{BESIDE}").read_text()
    mapped[0, 0] = 5
    assert made(path)[0, 0] == made(path, fill=False)[0, 0] == 5


ROWS = """
import sys
import numpy as np
import fastinit as fi
path, begin, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
part = np.s_[begin:end]
mm = fi.memmap(path)
fi.fill(mm[part], "normal(std=0.02)", seed=3, name="e", shape=mm.shape, region=part)
"""


def test_several_processes_fill_a_region_each(tmp_path):
    path = tmp_path / "e.bin"
    made(path, (3000, 100), fill=False)
    edges = [0, 999, 1000, 3000]
    running = [
        subprocess.Popen([sys.executable, "-c", ROWS, str(path), str(begin), str(end)])
        for begin, end in pairwise(edges)
    ]
    assert [process.wait(60) for process in running] == [0] * 3
    assert (made(path, (3000, 100)) == expected((3000, 100))).all()


SAME_CALL = """
import os, sys
import fastinit as fi
drawn = []
mm = fi.memmap(sys.argv[1], (1000, 1000), "normal(std=0.02)", seed=3, progress=drawn.append)
mm[int(sys.argv[2]), 0] = 1
print(os.stat(sys.argv[1]).st_ino, len(drawn))
"""


def test_processes_that_make_the_same_call_share_one_file(tmp_path):
    command = [sys.executable, "-c", SAME_CALL, str(tmp_path / "e.bin")]
    running = [
        subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(3)
    ]
    found = [process.communicate(timeout=60)[0].split() for process in running]
    assert len({inode for inode, _ in found}) == 1
    assert sorted(int(calls) > 1 for _, calls in found) == [False, False, True]
    mapped = fi.memmap(tmp_path / "e.bin")
    assert mapped[:3, 0].tolist() == [1, 1, 1]
    assert sorted(contents(tmp_path)) == ["e.bin", f"e.bin{BESIDE}"]


def test_another_writer_in_the_folder_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "GRACE", 0.1)
    made(tmp_path / "there.bin")
    with OpenFiles() as opened, Folder(tmp_path, opened):
        with pytest.raises(CheckpointError, match=r"another process is writing into .*wait until"):
            made(tmp_path / "e.bin")
        made(tmp_path / "there.bin")
    made(tmp_path / "e.bin")


def test_what_a_killed_process_left_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "GRACE", 0.0)
    waits = iter(range(50))
    monkeypatch.setattr(maps.time, "sleep", lambda _: next(waits))
    left = tmp_path / f".e.bin.{'0' * 32}.fastinit"
    left.write_bytes(b"")
    with OpenFiles() as opened, Folder(tmp_path, opened):
        with pytest.raises(CheckpointError, match="another process is writing into"):
            made(tmp_path / "e.bin")
        assert left.exists()
    made(tmp_path / "e.bin")
    assert not left.exists()


def test_a_folder_that_cannot_be_listed_tells_no_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "GRACE", 0.0)
    with OpenFiles() as opened, Folder(tmp_path, opened):
        monkeypatch.setattr(os, "listdir", always(5))
        with pytest.raises(CheckpointError, match="another process is writing into"):
            made(tmp_path / "e.bin")


def test_it_finishes_a_file_that_another_process_left_when_it_was_killed(tmp_path):
    body = f"""
import os, signal, fastinit as fi
def kill(_): os.kill(os.getpid(), signal.SIGKILL)
fi.memmap({str(tmp_path / "e.bin")!r}, (3000, 1000), {INIT!r}, seed=3, progress=kill)
"""
    assert subprocess.run([sys.executable, "-c", body], check=False).returncode == -9
    assert re.fullmatch(r"\.e\.bin\.[0-9a-f]{32}\.fastinit", *contents(tmp_path))
    made(tmp_path / "e.bin", (3000, 1000))
    assert sorted(contents(tmp_path)) == ["e.bin", f"e.bin{BESIDE}"]
    fi.verify(tmp_path / "e.bin")
