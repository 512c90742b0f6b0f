# SPDX-License-Identifier: MIT
"""Faults: whatever breaks while writing, what is there is absent or right, and a call resumes."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
import time
from functools import partial

import pytest
from broken_calls import Broken, always
from checkpoint_plans import contents, failure, mixed_plan, plan_of, temporaries

import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import layout_of, verify, write
from fastinit.checkpoints.files import Folder, TemporaryFile
from fastinit.checkpoints.layout import Shard
from fastinit.errors import CheckpointError
from fastinit.machine.descriptors import OpenFiles
from fastinit.numerics.dtypes import resolve

OPTIONS = {"seed": 3, "max_shard_size": "60KB", "threads": 2}
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """File name -> bytes of an undisturbed write of `mixed_plan`."""
    folder = tmp_path_factory.mktemp("right")
    write(mixed_plan(), folder, **OPTIONS)
    return contents(folder)


def assert_absent_or_right(folder, right):
    """No temporary file, and no final name over anything but the complete content."""
    assert not temporaries(folder)
    for name, data in contents(folder).items():
        assert right[name] == data


CALLS = [
    (os, "mkdir", errno.EACCES, "cannot open .*Permission denied; give yourself permission"),
    (os, "open", errno.EMFILE, "Too many open files; raise the limit"),
    (os, "posix_fallocate", errno.ENOSPC, "bytes are needed, and the file system refuses them"),
    (
        os,
        "posix_fallocate",
        errno.EFBIG,
        "cannot create .*raise the file size limit .*, or write smaller",
    ),
    (os, "pwrite", errno.EIO, "cannot write .*the disk reported a fault"),
    (os, "pwrite", errno.EDQUOT, "cannot write .*your quota is used up"),
    (os, "fsync", errno.EIO, "cannot (flush|open) .*the disk reported a fault"),
    (os, "rename", errno.EROFS, "cannot rename .*the file system is read-only"),
    (os, "listdir", errno.EIO, "cannot list .*the disk reported a fault"),
    (os, "statvfs", errno.EIO, "cannot measure .*the disk reported a fault"),
    (fcntl, "flock", errno.EINTR, "a signal came in between: run the same command again"),
]


@pytest.mark.parametrize(
    ("module", "name", "code", "message"), CALLS, ids=[f"{c[1]}-{c[2]}" for c in CALLS]
)
def test_every_call_may_fail_and_a_second_write_resumes(
    tmp_path, monkeypatch, right, module, name, code, message
):
    for k in range(1, 200):
        folder = tmp_path / f"{k}"
        broken = Broken(getattr(module, name), k, code)
        with monkeypatch.context() as patch:
            patch.setattr(module, name, broken)
            found = failure(folder, OPTIONS)
        if broken.calls < k:
            break
        assert not found or re.search(message, found)
        assert found or broken.struck[-1] == fcntl.LOCK_UN  # closing unlocks, too
        if folder.exists():
            assert_absent_or_right(folder, right)
        if not (folder / INDEX).exists():
            write(mixed_plan(), folder, **OPTIONS)
        assert contents(folder) == right
    assert 1 < k < 199


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EINTR, "a signal came in between: run the same command again to carry on"),
        (
            errno.ESTALE,
            "the network file system lost track of it: mount it again, then run the same",
        ),
        (errno.ETIMEDOUT, "the server of the file system does not answer: when it does, run the"),
        (errno.ENOTCONN, "the server of the file system does not answer: when it does, run the"),
        (errno.ENFILE, "too many files are open in the system: end other programs, and run the"),
        (errno.ENOMEM, "the system is out of memory: end other programs, and run the same"),
        (errno.EUCLEAN, r"the file system is damaged: have it checked \(fsck\), or choose another"),
        (errno.ENODEV, "the disk is gone: connect and mount it again, or choose another folder"),
        (errno.ENOENT, "it was removed or renamed meanwhile: find out by whom, then run the same"),
        (errno.EXDEV, "the file system cannot do this: choose another folder"),
        (errno.EBUSY, "another program is using it: end that program, or choose another folder"),
        (errno.ENOTTY, "; run the same command again to carry on"),
    ],
)
def test_an_error_says_what_to_do(tmp_path, monkeypatch, code, advice):
    monkeypatch.setattr(os, "rename", always(code))
    with pytest.raises(CheckpointError, match=f"cannot rename .*{advice}"):
        write(mixed_plan(), tmp_path, **OPTIONS)


def test_a_name_that_cannot_be_looked_at_is_a_clean_error(tmp_path, monkeypatch):
    stat = os.stat

    def broken(place, *, dir_fd=None, follow_symlinks=True):
        if dir_fd is not None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return stat(place, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "stat", broken)
    with pytest.raises(CheckpointError, match=r"cannot look at .*config.json: Stale .*mount it"):
        write(mixed_plan(), tmp_path, **OPTIONS)


@pytest.mark.parametrize("name", ["open", "preadv", "fstat"])
def test_what_is_there_may_be_unreadable(tmp_path, monkeypatch, right, name):
    shards = layout_of(mixed_plan(), seed=3, max_shard_size="60KB").shards
    for shard in shards:
        checkpoints.write_shard(shard.to_json(), tmp_path)
    for k in range(1, 50):
        with monkeypatch.context() as patch:
            broken = Broken(getattr(os, name), k)
            patch.setattr(os, name, broken)
            found = failure(tmp_path, OPTIONS)
        if broken.calls < k:
            break
        assert re.search("cannot (open|read|list|create|flush) .*the disk reported a fault", found)
        assert_absent_or_right(tmp_path, right)
        (tmp_path / INDEX).unlink(missing_ok=True)
        (tmp_path / "config.json").unlink(missing_ok=True)
    assert k > len(shards)


def test_what_is_there_may_be_read_in_parts(tmp_path, monkeypatch, right):
    """As network file systems give it: what is finished is known all the same."""
    write(mixed_plan(), tmp_path, **OPTIONS)
    (tmp_path / INDEX).unlink()
    preadv, pread = os.preadv, os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, place: pread(file, min(size, 7), place))
    monkeypatch.setattr(os, "preadv", lambda file, into, place: preadv(file, [into[0][:7]], place))
    assert len(write(mixed_plan(), tmp_path, **OPTIONS).resumed) == 3
    assert contents(tmp_path) == right


@pytest.mark.parametrize("name", ["listdir", "open"])
def test_what_may_not_be_read_needs_permission_to_read(tmp_path, monkeypatch, name):
    with OpenFiles() as opened, Folder(tmp_path, opened) as folder:
        monkeypatch.setattr(os, name, always(errno.EACCES))
        doing = folder.names if name == "listdir" else partial(folder.begins_with, "x", b"", 0)
        with pytest.raises(CheckpointError, match="give yourself permission to read there, or"):
            doing()
        monkeypatch.undo()


def test_a_full_disk_that_cannot_even_tell_its_space_is_a_clean_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", always(errno.ENOSPC))
    monkeypatch.setattr(os, "statvfs", always(errno.EIO))
    monkeypatch.setattr(Folder, "check_space", lambda self, needed: None)
    with pytest.raises(CheckpointError, match="bytes are needed, and the file system refuses them"):
        write(mixed_plan(), tmp_path, **OPTIONS)


def test_a_chunk_of_many_tensors_ends_soon_after_another_failed(tmp_path, monkeypatch):
    drawing, drawn = threading.Event(), []

    class Slow:
        dtype = resolve("float32")

        def draw(self, out, start):
            drawn.append(start)
            drawing.set()
            time.sleep(0.01)

    def fail(self, data, offset):
        assert drawing.wait(10)
        raise CheckpointError("the header cannot be written")

    plan = plan_of(*((f"t{i}", (4,), "zeros()") for i in range(1000)))
    shard = layout_of(plan, seed=3).shards[0].to_json()
    monkeypatch.setattr(Shard, "sampler", lambda self, entry: Slow())
    monkeypatch.setattr(TemporaryFile, "write", fail)
    with pytest.raises(CheckpointError, match="the header cannot be written"):
        checkpoints.write_shard(shard, tmp_path, threads=2)
    assert len(drawn) < 500


def test_a_file_system_without_preallocation_works(tmp_path, monkeypatch, right):
    for code in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", always(code))
            write(mixed_plan(), tmp_path / str(code), **OPTIONS)
        assert contents(tmp_path / str(code)) == right
    monkeypatch.delattr(os, "posix_fallocate")
    write(mixed_plan(), tmp_path / "none", **OPTIONS)
    assert contents(tmp_path / "none") == right


def test_a_file_system_without_locks_works(tmp_path, monkeypatch, right):
    monkeypatch.setattr(fcntl, "flock", always(errno.ENOLCK))
    write(mixed_plan(), tmp_path / "x", **OPTIONS)
    assert contents(tmp_path / "x") == right


def test_a_file_system_that_cannot_tell_its_space_works(tmp_path, monkeypatch, right):
    real = os.statvfs("/")
    unknown = os.statvfs_result((*real[:2], 0, 0, 0, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda place: unknown)
    write(mixed_plan(), tmp_path / "x", **OPTIONS)
    assert contents(tmp_path / "x") == right


@pytest.mark.parametrize("longest", [1, 7, 1000])
def test_short_writes_are_carried_on(tmp_path, monkeypatch, longest):
    plan = plan_of(("w", (100, 13), "normal(std=0.02)"), config={})
    write(plan, tmp_path / "right", seed=3)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:longest], at))
    write(plan, tmp_path / "x", seed=3)
    assert contents(tmp_path / "x") == contents(tmp_path / "right")


def test_a_writer_whose_new_file_was_swept_takes_another_name(tmp_path, monkeypatch, right):
    flock = fcntl.flock
    taken = []

    def sweeper_is_faster(descriptor, operation):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if name.endswith(".fastinit") and len(taken) < 3:
            taken.append(name)
            if len(taken) == 1:
                os.unlink(name)
            else:
                raise BlockingIOError(errno.EWOULDBLOCK, "locked")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweeper_is_faster)
    write(mixed_plan(), tmp_path / "x", **OPTIONS)
    assert len(taken) == 3
    assert contents(tmp_path / "x") == right


def test_files_of_dead_writers_are_swept_and_of_living_ones_are_not(tmp_path):
    dead = tmp_path / f".model.safetensors.{'0' * 32}.fastinit"
    dead.write_bytes(b"x" * 100)
    with OpenFiles() as opened, Folder(tmp_path, opened, exclusive=False) as living:
        temporary = TemporaryFile(living, "model-00009-of-00009.safetensors", 10)
        write(mixed_plan(), tmp_path, **OPTIONS)
        assert temporaries(tmp_path) == temporary.names
    assert not temporaries(tmp_path)


def test_a_folder_is_listed_from_its_beginning_whoever_has_listed_it(tmp_path):
    (tmp_path / "x").touch()
    with OpenFiles() as opened, Folder(tmp_path, opened) as folder:
        assert folder.names() == {"x"}
        with os.scandir(folder.file.fileno()) as listing:  # moves the descriptor's place
            next(listing)
            assert folder.names() == {"x"}


def test_a_temporary_name_that_is_taken_is_not_written_through(tmp_path, monkeypatch):
    name = bytes(range(16))
    monkeypatch.setattr(os, "urandom", lambda count: name[:count])
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".config.json.{name.hex()}.fastinit").symlink_to(tmp_path / "victim")
    with pytest.raises(CheckpointError, match=r"cannot create .*config.json: File exists"):
        write(mixed_plan(), tmp_path, **OPTIONS)
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_second_writer_is_told_to_wait(tmp_path):
    with (
        OpenFiles() as opened,
        Folder(tmp_path, opened),
        pytest.raises(CheckpointError, match=r"another process is writing into .*wait until it"),
    ):
        write(mixed_plan(), tmp_path, **OPTIONS)
    write(mixed_plan(), tmp_path, **OPTIONS)


def test_writers_at_the_same_time_corrupt_nothing(tmp_path):
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        results = []

        def one(seed, folder=folder, results=results):
            try:
                results.append(write(mixed_plan(), folder, **{**OPTIONS, "seed": seed}))
            except CheckpointError as error:
                results.append(str(error))

        threads = [threading.Thread(target=one, args=(seed,)) for seed in (3, 4, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refusals = [result for result in results if isinstance(result, str)]
        assert len(refusals) == 2
        assert all("another process" in text or "already holds" in text for text in refusals)
        verify(folder)
        assert not temporaries(folder)


def test_shards_written_twice_at_the_same_time_are_right(tmp_path, right):
    shards = layout_of(mixed_plan(), seed=3, max_shard_size="60KB").shards
    tasks = [shard.to_json() for shard in shards] * 3
    threads = [
        threading.Thread(
            target=checkpoints.write_shard, args=(task, tmp_path), kwargs={"threads": 2}
        )
        for task in tasks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write(mixed_plan(), tmp_path, **OPTIONS)
    assert contents(tmp_path) == right


def test_a_shard_of_another_call_replaces_nothing(tmp_path):
    first = layout_of(mixed_plan(), seed=0, max_shard_size="60KB").shards
    second = layout_of(mixed_plan(), seed=1, max_shard_size="60KB").shards
    checkpoints.write_shard(first[0].to_json(), tmp_path)
    before = contents(tmp_path)
    checkpoints.write_shard(first[0].to_json(), tmp_path)  # again: nothing to do
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        checkpoints.write_shard(second[0].to_json(), tmp_path)
    assert contents(tmp_path) == before
    write(mixed_plan(), tmp_path, seed=0, max_shard_size="60KB")
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        checkpoints.write_shard(second[1].to_json(), tmp_path)
    (tmp_path / second[1].file).unlink()
    with pytest.raises(CheckpointError, match="already holds a checkpoint"):
        checkpoints.write_shard(second[1].to_json(), tmp_path)
    with pytest.raises(ValueError, match="the description of a shard has no 'entries'"):
        checkpoints.write_shard({"file": "model.safetensors"}, tmp_path)
