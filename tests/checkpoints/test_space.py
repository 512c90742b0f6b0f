# SPDX-License-Identifier: MIT
"""Full disks for real: small file systems in memory and in a file, reserved blocks, no inodes.

Quotas are not, as few kernels have them switched on: there the system's answer is made up.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from broken_calls import Broken, always
from checkpoint_plans import contents, mixed_plan, plan_of

from fastinit.checkpoints import verify, write, write_shard
from fastinit.checkpoints.files import Folder
from fastinit.checkpoints.layout import layout_of
from fastinit.errors import CheckpointError

FOUR = plan_of(*((f"t{i}", (2**18,), "normal(std=0.02)") for i in range(4)))  # 1 MiB each
TWO = plan_of(*((f"t{i}", (2**18,), "normal(std=0.02)") for i in range(2)))
SHARDS = [f"model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4)]
OPTIONS = {"seed": 0, "max_shard_size": "1100KB", "threads": 1}
PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[1])]


@contextmanager
def mounted(path, *arguments):
    """A file system at that path; skips where it cannot be had."""
    path.mkdir()
    command = ["mount", *arguments, str(path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "none") as path:
        yield path


@pytest.fixture
def reserving_disk(tmp_path):
    """An ext4 of 24 MiB of which half is reserved, for a user and for whoever has root's powers."""
    if not shutil.which("mkfs.ext4"):
        pytest.skip("needs mkfs.ext4")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(24 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "50", str(image)], check=True)
    with mounted(tmp_path / "disk", "-o", "loop,resuid=65533", str(image)) as path:
        yield path


@pytest.fixture
def unchecked(monkeypatch):
    """The room is not measured first, as if another program took it meanwhile."""
    monkeypatch.setattr(Folder, "check_space", lambda self, needed: None)


def failure(plan, folder, **options):
    """What a write says when it fails."""
    with pytest.raises(CheckpointError) as caught:
        write(plan, folder, **{**OPTIONS, **options})
    return str(caught.value)


def left(path):
    """Bytes that may be used."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


def fill_up(path, leave):
    """Take all but so many bytes of the file system."""
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, left(path.parent) - leave)


# --- before anything is written ------------------------------------------------------------------


def test_a_full_disk_is_found_before_anything_is_written(small_disk):
    found = failure(FOUR, small_disk / "x")
    assert re.search(r"needs 4,[0-9,]+ bytes, 4,194,304 are available: free some", found)
    assert not contents(small_disk / "x")


def test_blocks_that_are_reserved_for_root_are_not_counted(reserving_disk):
    state = os.statvfs(reserving_disk)
    assert state.f_bfree * state.f_frsize > left(reserving_disk) + 4 * 2**20
    fill_up(reserving_disk / "filler", 3 * 2**20)
    found = failure(FOUR, reserving_disk / "x")
    assert re.search(r"needs 4,[0-9,]+ bytes, [0-3],[0-9,]+ are available: free some", found)
    assert not contents(reserving_disk / "x")
    (reserving_disk / "filler").unlink()
    write(FOUR, reserving_disk / "x", **OPTIONS)
    verify(reserving_disk / "x")


def test_an_overwrite_that_has_no_room_says_that_the_old_checkpoint_takes_it(small_disk):
    write(TWO, small_disk / "x", **OPTIONS)
    old = contents(small_disk / "x")
    found = failure(FOUR, small_disk / "x", overwrite=True)
    assert "the existing checkpoint stays, and takes its space until the new one" in found
    assert "remove it first if you can do without it" in found
    assert contents(small_disk / "x") == old


# --- while it is written -------------------------------------------------------------------------


def test_a_disk_that_fills_up_keeps_the_finished_files_and_says_so(small_disk, unchecked):
    found = failure(FOUR, small_disk / "x")
    assert re.search(r"cannot create .*00004.*No space.* 1,[0-9,]+ bytes are needed, ", found)
    needed, available = re.search(
        "; ([0-9,]+) bytes are needed, ([0-9,]+) are available", found
    ).groups()
    assert int(needed.replace(",", "")) > int(available.replace(",", "")) == left(small_disk)
    assert f"3 of 4 shards are complete and stay, {SHARDS[0]} to {SHARDS[2]}: with more" in found
    assert "the same command writes the others; to give up, remove the complete ones" in found
    assert sorted(contents(small_disk / "x")) == SHARDS[:3]
    for path in (small_disk / "x").iterdir():
        verify(path)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert write(FOUR, small_disk / "x", **OPTIONS).resumed == tuple(SHARDS[:3])
    verify(small_disk / "x")


AS_ROOT_OF_A_CONTAINER = """
import sys
sys.path[:0] = {paths!r}
from test_space import FOUR, OPTIONS
from fastinit.checkpoints import write
from fastinit.checkpoints.files import Folder
from fastinit.errors import CheckpointError
Folder.check_space = lambda self, needed: None
try:
    write(FOUR, {folder!r}, **OPTIONS)
except CheckpointError as error:
    print(error)
"""


def test_a_root_that_gets_no_reserved_blocks_is_not_contradicted(reserving_disk):
    """A container's root has no CAP_SYS_RESOURCE: what is reserved is free, and yet refused."""
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    fill_up(reserving_disk / "filler", 2 * 2**20 + 2**19)
    free = os.statvfs(reserving_disk).f_bfree * os.statvfs(reserving_disk).f_frsize
    assert free > 5 * 2**20
    code = AS_ROOT_OF_A_CONTAINER.format(paths=PATHS, folder=str(reserving_disk / "x"))
    less = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]
    found = subprocess.run(
        [*less, sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert re.search("No space left on device; 1,[0-9,]+ bytes are needed, [0-9,]+ are", found)
    needed, available = re.search(
        "; ([0-9,]+) bytes are needed, ([0-9,]+) are available", found
    ).groups()
    assert int(needed.replace(",", "")) > int(available.replace(",", ""))
    assert f"2 of 4 shards are complete and stay, {SHARDS[0]} to {SHARDS[1]}: " in found


def test_a_refusal_of_what_seems_free_is_not_contradicted(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", Broken(os.posix_fallocate, 2, errno.ENOSPC))
    found = failure(FOUR, tmp_path)
    assert re.search(r"1,[0-9,]+ bytes are needed, and the file system refuses them", found)
    assert f"1 of 4 shards are complete and stay, {SHARDS[0]}: with more room" in found


def test_a_disk_that_fills_up_without_preallocation_is_a_clean_error(
    small_disk, unchecked, monkeypatch
):
    monkeypatch.delattr(os, "posix_fallocate")
    found = failure(FOUR, small_disk / "x", max_shard_size="5GB")
    assert re.search(r"cannot write .*No space left.*bytes are needed", found)
    assert "complete" not in found
    assert not contents(small_disk / "x")


@pytest.mark.parametrize("limit", ["1100KB", "5GB"])
def test_a_full_disk_during_an_overwrite_keeps_the_old_checkpoint(small_disk, unchecked, limit):
    write(TWO, small_disk / "x", seed=0, max_shard_size=limit)
    old = contents(small_disk / "x")
    found = failure(FOUR, small_disk / "x", seed=1, max_shard_size=limit, overwrite=True)
    assert "bytes are needed" in found
    assert "the existing checkpoint stays" in found
    assert contents(small_disk / "x") == old
    verify(small_disk / "x")


def test_a_shard_for_which_there_is_no_room_is_a_clean_error(small_disk):
    fill_up(small_disk / "filler", 2**19)
    shard = layout_of(FOUR, seed=0, max_shard_size="1100KB").shards[0].to_json()
    with pytest.raises(CheckpointError, match=r"needs 1,[0-9,]+ bytes, [0-9,]+ are available"):
        write_shard(shard, small_disk / "x")
    assert not contents(small_disk / "x")


def test_a_file_system_without_inodes_says_so(tmp_path):
    with mounted(
        tmp_path / "disk", "-t", "tmpfs", "-o", "size=64m,nr_inodes=5", "none"
    ) as path:  # the root, the folder and three files
        found = failure(FOUR, path / "x")
        assert re.search(
            "cannot create .*00004.*No space left on device; no inodes are left", found
        )
        assert f"3 of 4 shards are complete and stay, {SHARDS[0]} to {SHARDS[2]}" in found
        assert sorted(contents(path / "x")) == SHARDS[:3]


def test_a_file_system_that_does_not_count_inodes_has_some(tmp_path, monkeypatch):
    real = os.statvfs("/")
    uncounted = os.statvfs_result((*real[:5], 0, 0, 0, *real[8:]))
    monkeypatch.setattr(os, "statvfs", lambda place: uncounted)
    monkeypatch.setattr(os, "posix_fallocate", always(errno.ENOSPC))
    assert "inodes" not in failure(FOUR, tmp_path)


@pytest.mark.parametrize("name", ["open", "posix_fallocate", "pwrite"])
def test_a_quota_that_is_used_up_is_not_a_matter_of_free_space(tmp_path, monkeypatch, name):
    function = getattr(os, name)

    def broken(place, *args, **options):
        if (
            ".00003" in str(place)
            or "-00003-" in str(place)
            or (isinstance(place, int) and "-00003-" in os.readlink(f"/proc/self/fd/{place}"))
        ):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return function(place, *args, **options)

    monkeypatch.setattr(os, name, broken)
    found = failure(FOUR, tmp_path)
    assert "Disk quota exceeded; your quota is used up, even if the disk has free space" in found
    assert "ask for a larger quota" in found
    assert "bytes" not in found
    assert f"2 of 4 shards are complete and stay, {SHARDS[0]} to {SHARDS[1]}: " in found
    monkeypatch.undo()
    assert write(FOUR, tmp_path, **OPTIONS).resumed == tuple(SHARDS[:2])


def test_a_folder_that_cannot_be_listed_any_more_still_says_that_there_is_no_room(
    tmp_path, monkeypatch
):
    def broken(*args):
        monkeypatch.setattr(os, "listdir", always(errno.EIO))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", broken)
    assert "the file system refuses them" in failure(mixed_plan(), tmp_path)
