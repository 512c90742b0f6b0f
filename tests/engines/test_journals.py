# SPDX-License-Identifier: MIT
"""A coordinator that is killed at any point: the next call finds what is complete."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from checkpoint_plans import contents, plan_of
from engine_stubs import Inline

import fastinit as fi
from fastinit.checkpoints.dispatching import dispatch
from fastinit.checkpoints.hints import unfinished_in

PAGE = 4096
PLAN = plan_of(
    ("w", (4 * PAGE + 5,), "normal(std=0.02)"), ("b", (70,), "normal(std=1.0)"), config={"a": 1}
)
"""A file of five ranges, of which the last is short, and one of one range."""
OPTIONS = {"seed": 3, "max_shard_size": 4 * 4 * PAGE + 100}
CHANGES = ("pwrite", "write", "fsync", "rename", "unlink", "posix_fallocate", "open")


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    monkeypatch.setattr(dispatch, "RANGE", 4 * PAGE)


@pytest.fixture
def right(tmp_path):
    fi.write(PLAN, tmp_path / "right", **OPTIONS)
    return contents(tmp_path / "right")


class Snapshots:
    """Copies of a folder, each from before a call of the system that may change it."""

    def __init__(self, folder, copies, monkeypatch):
        self.folder = folder
        self.copies = copies
        self.lock = threading.Lock()
        self.found = []
        for name in CHANGES:
            monkeypatch.setattr(os, name, self.watched(getattr(os, name)))

    def watched(self, call):
        def first_copied(*arguments, **named):
            if not self.lock.locked():
                with self.lock:
                    self.take()
            return call(*arguments, **named)

        return first_copied

    def take(self):
        now = contents(self.folder) if self.folder.exists() else {}
        if not self.found or contents(self.found[-1]) != now:
            copy = self.copies / str(len(self.found))
            copy.mkdir(parents=True)
            for name, data in now.items():
                (copy / name).write_bytes(data)
            self.found.append(copy)


def noted(folder):
    """The lines of ranges in all journals of a folder, those that were cut off apart."""
    texts = [path.read_text() for path in folder.glob(".*.ranges.fastinit")]
    return [line for text in texts for line in text.splitlines() if line.count(" ") == 2]


def snapshots(tmp_path, monkeypatch, **options):
    with monkeypatch.context() as patch:
        watching = Snapshots(tmp_path / "x", tmp_path / "copies", patch)
        fi.write(PLAN, tmp_path / "x", **OPTIONS, engine=Inline(), **options)
        watching.take()
    return watching.found


@pytest.mark.parametrize("engine", [Inline, lambda: None], ids=["engine", "threads"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_write_that_died_at_any_point_is_carried_on(
    tmp_path, monkeypatch, right, engine, overwrite
):
    if overwrite:
        fi.write(PLAN, tmp_path / "x", seed=9)
        (tmp_path / "old").mkdir()
    found = snapshots(tmp_path, monkeypatch, overwrite=overwrite)
    assert len(found) > 15
    kept = 0
    for folder in found:
        lines = len(noted(folder))
        whole = {name: data for name, data in contents(folder).items() if name in right}
        if not overwrite:
            assert all(right[name] == data for name, data in whole.items())
        runner = engine()
        committed = "model.safetensors.index.json" in whole and contents(folder) == right
        if not committed:
            fi.write(PLAN, folder, **OPTIONS, engine=runner, overwrite=overwrite)
        assert contents(folder) == right
        if runner and lines and not committed and not overwrite:
            done = sum(name.startswith("model-") for name in whole)
            assert len(runner.tasks) <= 6 - lines - (done == 2)
            kept += lines
    assert kept > 3 or overwrite or engine is not Inline


def test_another_call_removes_what_was_left(tmp_path, monkeypatch, right):
    fi.write(PLAN, tmp_path / "other", seed=4)
    for folder in snapshots(tmp_path, monkeypatch):
        fi.write(PLAN, folder, seed=4, overwrite=True)
        assert contents(folder) == contents(tmp_path / "other")


@pytest.fixture
def left(tmp_path, monkeypatch):
    """A folder whose coordinator died with three ranges of the first file complete."""
    found = snapshots(tmp_path, monkeypatch)
    return next(folder for folder in found if len(noted(folder)) == 3)


def journal_in(folder):
    (path,) = folder.glob(".*.ranges.fastinit")
    return path


def test_what_is_left_is_known_as_ours(left):
    assert len(unfinished_in(left)) == 2
    with pytest.raises(fi.errors.CheckpointError):
        fi.open(left)


def test_digests_of_ranges_that_were_left_count(left, tmp_path, right):
    engine = Inline()
    report = fi.write(PLAN, left, **OPTIONS, engine=engine)
    assert len(engine.tasks) == 3
    fresh = fi.write(PLAN, tmp_path / "fresh", **OPTIONS, engine=Inline())
    assert report.digests == fresh.digests


@pytest.mark.parametrize(
    ("change", "tasks"),
    [
        (lambda text: text.replace("\n0 ", "\n1 "), 4),  # not at a page
        (lambda text: text + "\n12288 24576 " + "0" * 32 + "\n", 6),  # overlaps others
        (lambda text: text + "\n49152 16", 3),  # cut off
        (lambda text: text.rstrip("\n")[:-1], 4),  # cut off
        (lambda text: text + "\n0 99999999 " + "0" * 32 + "\n", 3),  # beyond the end
        (lambda text: text + "\0" * 100 + "\udcff\n", 3),
        (lambda text: text.replace("shard ", "shard 0"), 6),  # of another call
        (lambda text: "", 6),
    ],
)
def test_lines_that_make_no_sense_are_left_out(left, right, change, tasks):
    path = journal_in(left)
    path.write_text(change(path.read_text()), errors="surrogateescape")
    engine = Inline()
    fi.write(PLAN, left, **OPTIONS, engine=engine)
    assert contents(left) == right
    assert len(engine.tasks) == tasks


@pytest.mark.parametrize("was_private", [True, False])
def test_a_file_that_was_left_gets_the_mode_of_a_new_one(left, was_private):
    """A call that replaces a checkpoint begins in private; the next may have none to replace."""
    path = Path(str(journal_in(left)).replace(".ranges", ""))
    path.chmod(0o600 if was_private else 0o666)
    expected = (left / "config.json").stat().st_mode
    fi.write(PLAN, left, **OPTIONS, engine=Inline())
    assert {path.stat().st_mode for path in left.iterdir()} == {expected}


def test_a_file_of_another_size_or_kind_is_not_taken(left, right):
    path = Path(str(journal_in(left)).replace(".ranges", ""))
    path.write_bytes(path.read_bytes()[:-1])
    fi.write(PLAN, left, **OPTIONS, engine=Inline())
    assert contents(left) == right


def test_a_journal_without_its_file_is_removed(left, right):
    Path(str(journal_in(left)).replace(".ranges", "")).unlink()
    fi.write(PLAN, left, **OPTIONS, engine=Inline())
    assert contents(left) == right


def test_a_journal_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch, right):
    write = os.write

    def broken(descriptor, data):
        if data.startswith(b"\nshard"):
            raise OSError(28, "full")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", broken)
    fi.write(PLAN, tmp_path / "x", **OPTIONS, engine=Inline())
    assert contents(tmp_path / "x") == right


def test_progress_begins_with_what_was_left(left):
    sizes = []
    fi.write(PLAN, left, **OPTIONS, engine=Inline(), progress=sizes.append)
    assert sum(sizes) == PLAN.size()
    assert sizes[0] == 3 * 4 * PAGE
