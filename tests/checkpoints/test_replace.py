# SPDX-License-Identifier: MIT
"""Overwriting: until every new file is complete the old checkpoint stays, and then nothing is lost.

What an undisturbed overwrite leaves is in test_write.py, and what Ctrl-C does in
test_interrupts.py.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from broken_calls import Broken, always
from checkpoint_plans import contents, failure, mixed_plan, plan_of, temporaries

import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import files, verify, write, write_shard
from fastinit.checkpoints.layout import layout_of
from fastinit.errors import CheckpointError

OPTIONS = {"seed": 3, "max_shard_size": "60KB", "threads": 2}
OVERWRITE = {**OPTIONS, "overwrite": True}
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """Size of shard -> the files of an undisturbed write of `mixed_plan`."""
    found = {}
    for size in ("60KB", "5GB"):
        folder = tmp_path_factory.mktemp("right")
        write(mixed_plan(), folder, **{**OPTIONS, "max_shard_size": size})
        found[size] = contents(folder)
    return found


def waiting(folder):
    """The complete files that wait for their names."""
    return [name for name in temporaries(folder) if files.SEALED.fullmatch(name)]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("open", errno.EMFILE),
        ("posix_fallocate", errno.ENOSPC),
        ("pwrite", errno.ENOSPC),
        ("fsync", errno.EIO),
        ("rename", errno.EIO),
    ],
)
def test_an_overwrite_that_fails_before_all_is_complete_keeps_the_old_checkpoint(
    tmp_path, monkeypatch, name, code
):
    write(mixed_plan(), tmp_path, seed=9, max_shard_size="30KB")
    old = contents(tmp_path)
    kept = 0
    for k in range(1, 200):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, Broken(getattr(os, name), k, code))
            found = failure(tmp_path, OVERWRITE)
        if not found or "every file of the new checkpoint is complete" in found:
            break
        assert contents(tmp_path) == old
        kept += 1
    assert kept > 3
    write(mixed_plan(), tmp_path, **OVERWRITE)
    verify(tmp_path)


def test_the_sealed_index_is_gone_for_good_before_the_files_that_it_vouches_for(
    tmp_path, monkeypatch
):
    write(mixed_plan(), tmp_path, **{**OPTIONS, "seed": 9})
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", always(errno.EIO))
        assert "every file of the new checkpoint is complete" in failure(tmp_path, OVERWRITE)
    sealed = waiting(tmp_path)
    events, unlink, fsync = [], os.unlink, os.fsync

    def remove(name, **options):
        events.append(name)
        unlink(name, **options)

    def flush(descriptor):
        events.append("flush")
        fsync(descriptor)

    monkeypatch.setattr(os, "unlink", remove)
    monkeypatch.setattr(os, "fsync", flush)
    write(mixed_plan(), tmp_path, **{**OVERWRITE, "seed": 4})
    first = events.index(files.sealed(INDEX))
    assert events[first + 1] == "flush"
    assert set(sealed) & set(events[:first]) == set()
    assert set(sealed) <= set(events)
    verify(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        *(("rename", old, new) for old in ("5GB", "20KB") for new in ("60KB", "5GB")),
        ("unlink", "20KB", "60KB"),
        ("unlink", "20KB", "5GB"),
        ("unlink", "5GB", "60KB"),
        ("fsync", "20KB", "60KB"),
    ],
)
def test_an_overwrite_that_fails_at_its_end_is_finished_without_drawing(
    tmp_path, monkeypatch, right, name, old, new
):
    options = {**OVERWRITE, "max_shard_size": new}
    begun = 0
    for k in range(1, 100):
        folder = tmp_path / f"{k}"
        write(mixed_plan(), folder, seed=9, max_shard_size=old)
        broken = Broken(getattr(os, name), k)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            found = failure(folder, options)
        if broken.calls < k:
            break
        if "every file of the new checkpoint is complete" not in found:
            assert not temporaries(folder)
            continue
        begun += 1
        assert waiting(folder) == temporaries(folder)
        if (folder / INDEX).exists():
            verify(folder)  # an index never names a mixture, and there is no spare shard
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", always(errno.EIO))
            report = write(mixed_plan(), folder, **options)
        assert report.resumed == tuple(
            n for n in report.files if n.startswith("model") and n != INDEX
        )
        assert contents(folder) == right[new]
    assert begun > (0 if name == "unlink" else 1)


def test_an_overwrite_is_finished_without_the_option_once_the_old_checkpoint_is_gone(
    tmp_path, monkeypatch, right
):
    write(mixed_plan(), tmp_path, seed=9, max_shard_size="20KB")
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", always(errno.EIO))
        assert "every file of the new checkpoint is complete" in failure(tmp_path, OVERWRITE)
    assert "already holds a checkpoint" in failure(tmp_path, OPTIONS)
    (tmp_path / INDEX).unlink()
    monkeypatch.setattr(os, "pwrite", always(errno.EIO))
    write(mixed_plan(), tmp_path, **OPTIONS)
    assert contents(tmp_path) == right["60KB"]


def interrupted_overwrite(folder, monkeypatch):
    """An overwrite of seed 3 over seed 9 that failed after two of five names were changed."""
    write(mixed_plan(), folder, seed=9, max_shard_size="20KB")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", Broken(os.rename, 8))
        assert "cannot rename" in failure(folder, OVERWRITE)
    assert len(waiting(folder)) == 3


@pytest.mark.parametrize("options", [{"seed": 4}, {"dtype": "float16"}, {"max_shard_size": "5GB"}])
def test_another_call_does_not_finish_it_and_removes_it_only_if_told_to(
    tmp_path, monkeypatch, options
):
    interrupted_overwrite(tmp_path, monkeypatch)
    before = contents(tmp_path)
    found = failure(tmp_path, {**OPTIONS, **options})
    assert "another call had nearly put in place: repeat that call to finish it" in found
    assert contents(tmp_path) == before
    write(mixed_plan(), tmp_path, **{**OVERWRITE, **options})
    assert not temporaries(tmp_path)
    verify(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_file_that_is_gone_meanwhile_is_drawn_again(tmp_path, monkeypatch, right, damage):
    interrupted_overwrite(tmp_path, monkeypatch)
    shard = next(tmp_path / name for name in waiting(tmp_path) if "model-" in name)
    data = shard.read_bytes()
    shard.unlink()
    if damage == "short":
        shard.write_bytes(data[:-1])
    report = write(mixed_plan(), tmp_path, **OPTIONS)
    assert len(report.resumed) == 2
    assert contents(tmp_path) == right["60KB"]


def test_what_a_run_left_that_died_while_it_sealed_is_swept(tmp_path):
    write(mixed_plan(), tmp_path, **OPTIONS)
    old = contents(tmp_path)
    for name in ("config.json", "model-00001-of-00003.safetensors"):
        (tmp_path / files.sealed(name)).write_bytes(b"complete")
    (tmp_path / files.sealed("mine.txt")).write_bytes(b"mine")
    assert "already holds a checkpoint" in failure(tmp_path, OPTIONS)
    assert contents(tmp_path) == {**old, files.sealed("mine.txt"): b"mine"}


def test_a_shard_can_be_written_beside_a_replacement_that_waits(tmp_path, monkeypatch, right):
    interrupted_overwrite(tmp_path, monkeypatch)
    shard = layout_of(mixed_plan(), seed=3, max_shard_size="60KB").shards[2]
    (tmp_path / files.sealed(shard.file)).unlink()
    write_shard(shard.to_json(), tmp_path)
    write(mixed_plan(), tmp_path, **OPTIONS)
    assert contents(tmp_path) == right["60KB"]


DEATH = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from checkpoint_plans import mixed_plan
from fastinit.checkpoints import write
rename, left = os.rename, {renames}

def last(*args, **options):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    rename(*args, **options)

os.rename = last
write(mixed_plan(), {folder!r}, **{options!r})
"""


@pytest.mark.parametrize("renames", [0, 3, 4, 5, 7, 9])
def test_an_overwrite_that_is_killed_among_its_renames_is_finished(
    tmp_path, monkeypatch, right, renames
):
    """Five files are sealed and then get their names; before the fifth, sealing was for nothing."""
    write(mixed_plan(), tmp_path, seed=9, max_shard_size="20KB")
    old = contents(tmp_path)
    code = DEATH.format(
        tests=str(Path(__file__).parents[1]),
        renames=renames,
        folder=str(tmp_path),
        options=OVERWRITE,
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    if renames < 5:
        assert old.items() <= contents(tmp_path).items()
    else:
        assert not (tmp_path / INDEX).exists()
        monkeypatch.setattr(os, "pwrite", always(errno.EIO))
    write(mixed_plan(), tmp_path, **OVERWRITE)
    assert contents(tmp_path) == right["60KB"]


@pytest.mark.parametrize("k", range(1, 9))
@pytest.mark.parametrize("shard", ["5GB", "60KB"])
def test_an_overwrite_that_fails_at_any_rename_mixes_no_config_with_old_weights(
    tmp_path, monkeypatch, k, shard
):
    """Old and new differ in config and weights: whoever can load anything loads one of the two."""
    old = plan_of(("w", (64, 300), "normal()"), config={"model_type": "old"})
    new = plan_of(("w", (300, 64), "normal()"), config={"model_type": "new"})
    write(old, tmp_path, seed=1, max_shard_size="5GB")
    monkeypatch.setattr(os, "rename", Broken(os.rename, k))
    try:
        write(new, tmp_path, seed=2, max_shard_size=shard, overwrite=True)
        finished = True
    except CheckpointError:
        finished = False
    monkeypatch.undo()
    config = (tmp_path / "config.json").read_text()
    try:
        shape = checkpoints.open(tmp_path)["w"].shape
    except CheckpointError:
        assert not finished
        return
    assert ('"new"' in config, shape) in [(True, (300, 64)), (False, (64, 300))]


# --- owners and modes ----------------------------------------------------------------------------


def modes(folder):
    """File name -> mode."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
@pytest.mark.parametrize("new", ["60KB", "5GB"])
def test_an_overwrite_keeps_the_modes(tmp_path, mode, new):
    write(mixed_plan(), tmp_path, **{**OPTIONS, "seed": 9})
    for path in tmp_path.iterdir():
        path.chmod(mode)
    (tmp_path / "config.json").chmod(0o604)
    write(mixed_plan(), tmp_path, **{**OVERWRITE, "max_shard_size": new})
    found = modes(tmp_path)
    assert found.pop("config.json") == 0o604
    assert set(found.values()) == {mode}  # of the files with new names, too


@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_new_files_are_their_owners_alone_until_they_are_complete(tmp_path, monkeypatch, mode):
    """Others may not read what replaces a secret; its owner can sweep what replaces any file."""
    write(mixed_plan(), tmp_path, **{**OPTIONS, "seed": 9})
    for path in tmp_path.iterdir():
        path.chmod(mode)
    pwrite, seen = os.pwrite, set()

    def noted(descriptor, data, offset):
        seen.add(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", noted)
    write(mixed_plan(), tmp_path, **OVERWRITE)
    assert seen == {0o600}


def test_what_a_killed_overwrite_of_read_only_files_left_is_removed(tmp_path, monkeypatch):
    """Nobody but root can open such a file for writing."""
    left = tmp_path / f".model.safetensors.{'0' * 32}.fastinit"
    left.write_bytes(b"complete")
    left.chmod(0o444)
    opener = os.open

    def as_a_user(path, flags, mode=0o777, *, dir_fd=None):
        if path == left.name and flags & os.O_ACCMODE != os.O_RDONLY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opener(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", as_a_user)
    write(mixed_plan(), tmp_path, **OPTIONS)
    assert not left.exists()


def test_an_overwrite_of_nothing_has_the_modes_of_any_write(tmp_path):
    write(mixed_plan(), tmp_path / "a", **OPTIONS)
    write(mixed_plan(), tmp_path / "b", **OVERWRITE)
    assert modes(tmp_path / "a") == modes(tmp_path / "b")


def test_an_overwrite_by_root_keeps_the_owner(tmp_path):
    if os.geteuid():
        pytest.skip("giving files away needs root")
    write(mixed_plan(), tmp_path, **{**OPTIONS, "seed": 9})
    for path in tmp_path.iterdir():
        os.chown(path, 1234, 4321)
    write(mixed_plan(), tmp_path, **OVERWRITE)
    assert {(p.stat().st_uid, p.stat().st_gid) for p in tmp_path.iterdir()} == {(1234, 4321)}


def test_where_the_group_cannot_be_kept_another_group_gets_no_access(tmp_path, monkeypatch):
    if os.geteuid():
        pytest.skip("giving files away needs root")
    write(mixed_plan(), tmp_path, **{**OPTIONS, "seed": 9})
    for path in tmp_path.iterdir():
        os.chown(path, -1, 4321)
        path.chmod(0o664)
    monkeypatch.setattr(os, "fchown", always(errno.EPERM))
    write(mixed_plan(), tmp_path, **OVERWRITE)
    assert set(modes(tmp_path).values()) == {0o604}


def test_a_file_system_without_modes_works(tmp_path, monkeypatch, right):
    write(mixed_plan(), tmp_path, **{**OPTIONS, "seed": 9})
    monkeypatch.setattr(os, "fchmod", always(errno.EPERM))
    write(mixed_plan(), tmp_path, **OVERWRITE)
    assert contents(tmp_path) == right["60KB"]


@pytest.mark.parametrize("size", ["60KB", "5GB"])
@pytest.mark.parametrize("kind", [stat.S_IFSOCK, stat.S_IFIFO, stat.S_IFLNK])
def test_what_is_not_a_regular_file_is_replaced(tmp_path, right, kind, size):
    options = {**OVERWRITE, "max_shard_size": size}
    for name in right[size]:
        folder = tmp_path / name
        write(mixed_plan(), folder, **{**options, "seed": 9})
        (folder / name).unlink()
        if kind == stat.S_IFLNK:
            (folder / name).symlink_to(tmp_path / "elsewhere")
        else:
            os.mknod(folder / name, kind | 0o600)
        write(mixed_plan(), folder, **options)
        assert not temporaries(folder)
        assert contents(folder) == right[size]
    assert not (tmp_path / "elsewhere").exists()
