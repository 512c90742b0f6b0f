# SPDX-License-Identifier: MIT
"""Durability levels: what is flushed, when, and that nothing else depends on them.

What a killed process leaves at each level is in test_crashes.py.
"""

from __future__ import annotations

import errno
import os
import stat

import pytest
from checkpoint_plans import contents, mixed_plan, plan_of

from fastinit.checkpoints import layout_of, outputs, verify, write, write_shard
from fastinit.errors import CheckpointError

LEVELS = ("none", "file", "full")
OPTIONS = {"seed": 3, "max_shard_size": "60KB", "threads": 2}


class Events(list):
    """What was asked of the disk, in order: file, folder or rename, and which inode."""

    def kinds(self):
        return [kind for kind, _ in self]

    def count(self, kind):
        return self.kinds().count(kind)


@pytest.fixture
def events(monkeypatch):
    """The flushes and renames of the test."""
    found = Events()
    fsync, rename = os.fsync, os.rename

    def flush(descriptor):
        state = os.fstat(descriptor)
        found.append(("folder" if stat.S_ISDIR(state.st_mode) else "file", state.st_ino))
        fsync(descriptor)

    def move(old, new, **options):
        rename(old, new, **options)
        found.append(("rename", os.stat(new, dir_fd=options["dst_dir_fd"]).st_ino))

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "rename", move)
    return found


def files_of(folder):
    return len(contents(folder))


def test_full_flushes_each_file_before_its_name_and_the_folder_after(tmp_path, events):
    write(mixed_plan(), tmp_path / "x", **OPTIONS, durability="full")
    assert events.count("rename") == files_of(tmp_path / "x")
    folder = ("folder", (tmp_path / "x").stat().st_ino)
    for number, (kind, inode) in enumerate(events):
        if kind == "rename":
            assert ("file", inode) in events[:number]
            assert folder in events[number:]
    assert events[0] == ("folder", tmp_path.stat().st_ino)  # the name of the new folder itself


def test_file_flushes_each_file_before_its_name_and_no_folder(tmp_path, events):
    write(mixed_plan(), tmp_path / "a" / "b", **OPTIONS, durability="file")
    assert events.count("folder") == 0
    assert events.count("file") == events.count("rename") == files_of(tmp_path / "a" / "b")
    for number, (kind, inode) in enumerate(events):
        if kind == "rename":
            assert ("file", inode) in events[:number]


def test_none_flushes_nothing(tmp_path, events, monkeypatch):
    monkeypatch.setattr(outputs, "FLUSH", 1000)
    write(mixed_plan(), tmp_path / "a" / "b", **OPTIONS, durability="none")
    assert events.kinds() == ["rename"] * files_of(tmp_path / "a" / "b")


def test_full_is_the_default(tmp_path, events):
    report = write(mixed_plan(), tmp_path / "x", **OPTIONS)
    silent = sorted(events.kinds())  # two threads have no order
    events.clear()
    write(mixed_plan(), tmp_path / "y", **OPTIONS, durability="full")
    assert sorted(events.kinds()) == silent
    assert report.durability == "full"


@pytest.mark.parametrize("level", LEVELS)
def test_an_overwrite_flushes_as_much(tmp_path, events, level):
    write(mixed_plan(), tmp_path, seed=9, max_shard_size="30KB")
    events.clear()
    write(mixed_plan(), tmp_path, **OPTIONS, overwrite=True, durability=level)
    files = files_of(tmp_path)
    assert events.count("rename") == 2 * files  # to a hidden name, and when all are complete again
    assert events.count("file") == (0 if level == "none" else files)
    assert (events.count("folder") > 0) == (level == "full")
    verify(tmp_path)


@pytest.mark.parametrize("level", LEVELS)
def test_a_shard_written_apart_flushes_as_much(tmp_path, events, level):
    shard = layout_of(mixed_plan(), seed=3, max_shard_size="60KB").shards[0].to_json()
    write_shard(shard, tmp_path, durability=level)
    flushes = {"none": [], "file": ["file"], "full": ["file"]}[level]
    names = ["folder"] if level == "full" else []
    assert events.kinds() == [*names, *flushes, "rename", *names]


@pytest.mark.parametrize("level", LEVELS)
def test_files_that_are_found_finished_are_flushed_too(tmp_path, events, level):
    shards = layout_of(mixed_plan(), seed=3, max_shard_size="60KB").shards
    for shard in shards:
        write_shard(shard.to_json(), tmp_path, durability="none")
    config = write(mixed_plan(), tmp_path, **OPTIONS, durability="none")
    (tmp_path / config.files[-1]).unlink()
    events.clear()
    write_shard(shards[0].to_json(), tmp_path, durability=level)
    names = ["folder"] if level == "full" else []
    flushes = [] if level == "none" else ["file"]
    assert events.kinds() == [*names, *flushes, *names]
    events.clear()
    report = write(mixed_plan(), tmp_path, **OPTIONS, durability=level)
    assert len(report.resumed) == len(shards)
    flushed = {inode for kind, inode in events if kind == "file"}
    there = {path.stat().st_ino for path in tmp_path.iterdir()}
    assert flushed == (set() if level == "none" else there)


@pytest.mark.parametrize("level", LEVELS)
def test_full_flushes_the_name_of_a_folder_that_is_there(tmp_path, events, monkeypatch, level):
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    write(mixed_plan(), ".", **OPTIONS, durability=level)
    assert (("folder", tmp_path.stat().st_ino) in events) == (level == "full")


@pytest.mark.parametrize("name", ["open", "fsync"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.EIO])
def test_a_name_is_flushed_where_we_may_and_the_file_system_can(tmp_path, monkeypatch, name, code):
    (tmp_path / "x").mkdir()
    function, above = getattr(os, name), tmp_path.stat()

    def broken(place, *args, **options):
        if options.get("dir_fd") is None and os.path.samestat(above, os.stat(place)):
            raise OSError(code, os.strerror(code))
        return function(place, *args, **options)

    monkeypatch.setattr(os, name, broken)
    if (name, code) in (("open", errno.EACCES), ("fsync", errno.EINVAL)):
        write(mixed_plan(), tmp_path / "x", **OPTIONS)
        verify(tmp_path / "x")
    else:
        with pytest.raises(CheckpointError, match=r"cannot open .*x: "):
            write(mixed_plan(), tmp_path / "x", **OPTIONS)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_what_closing_says_counts_where_nothing_is_flushed(tmp_path, monkeypatch, level, overwrite):
    close = os.close

    def broken(descriptor):
        state = os.fstat(descriptor)
        close(descriptor)
        if stat.S_ISREG(state.st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", broken)
        if level == "none":
            with pytest.raises(CheckpointError, match=r"cannot close .*reported a fault"):
                write(mixed_plan(), tmp_path, **OPTIONS, durability=level, overwrite=overwrite)
            assert not contents(tmp_path)
            return
        write(mixed_plan(), tmp_path, **OPTIONS, durability=level, overwrite=overwrite)
    verify(tmp_path)


def test_the_level_changes_no_byte(tmp_path):
    for level in LEVELS:
        report = write(mixed_plan(), tmp_path / level, **OPTIONS, durability=level)
        assert report.durability == level
        assert report.cpu_seconds > 0
        assert contents(tmp_path / level) == contents(tmp_path / "none")


@pytest.mark.parametrize("level", ["fsync", "", "FULL", None, True, 2, ["full"]])
def test_an_unknown_level_is_refused_before_anything_is_made(tmp_path, level):
    plan = plan_of(("w", (10,), "zeros()"))
    shard = layout_of(plan, seed=0).shards[0].to_json()
    for call in (
        lambda: write(plan, tmp_path / "x", seed=0, durability=level),
        lambda: write_shard(shard, tmp_path / "x", durability=level),
    ):
        with pytest.raises(ValueError, match=r"durability is .*: choose from none, file, full"):
            call()
    assert not (tmp_path / "x").exists()


def test_a_finished_file_that_cannot_be_flushed_is_an_error(tmp_path, monkeypatch):
    shard = layout_of(mixed_plan(), seed=3, max_shard_size="60KB").shards[0].to_json()
    write_shard(shard, tmp_path, durability="none")

    def broken(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(CheckpointError, match=r"cannot flush .*model-00001.*reported a fault"):
        write_shard(shard, tmp_path, durability="file")


def test_a_level_of_any_length_is_refused_in_a_short_line(tmp_path):
    with pytest.raises(
        ValueError, match=r"^durability is .*: choose from none, file, full"
    ) as error:
        write(mixed_plan(), tmp_path, **OPTIONS, durability="full\x1b" * 10**5)
    assert len(str(error.value)) < 600
