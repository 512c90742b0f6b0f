# SPDX-License-Identifier: MIT
"""Folders of .npy files that are there already: carried on, completed, replaced, left alone."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
from broken_calls import Broken, always
from checkpoint_plans import contents, plan_of, temporaries
from npy_checkpoints import FILES, OPTIONS, PLAN, RECIPE

import fastinit as fi
from fastinit.checkpoints import layout_of, write_shard
from fastinit.errors import CheckpointError, InvalidCheckpointError


def refusal(folder, plan=PLAN, **options):
    """What a write says that leaves the folder as it is."""
    before = contents(folder)
    with pytest.raises(CheckpointError) as caught:
        fi.write(plan, folder, **{**OPTIONS, **options})
    assert contents(folder) == before
    return str(caught.value)


def interrupt(monkeypatch, folder, writes, plan=PLAN, **options):
    """A write that fails at one of its writes."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", Broken(os.pwrite, writes))
        with pytest.raises(CheckpointError, match="cannot write"):
            fi.write(plan, folder, threads=1, **{**OPTIONS, **options})


def claims(folder):
    return [name for name in temporaries(folder) if name.endswith(".begun.fastinit")]


# --- carrying on -----------------------------------------------------------------------------


def test_an_interrupted_write_is_carried_on(folder, tmp_path, monkeypatch):
    right = contents(folder)
    for writes in range(1, 100):
        again = tmp_path / f"{writes}"
        broken = Broken(os.pwrite, writes)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", broken)
            try:
                fi.write(PLAN, again, threads=1, **OPTIONS)
            except CheckpointError:
                assert not (again / RECIPE).exists()
        if broken.calls < writes:
            break
        done = {file for file in FILES if (again / file).exists()}
        report = fi.write(PLAN, again, **OPTIONS)
        assert set(report.resumed) == done
        assert contents(again) == right
    assert writes > len(PLAN)


def test_a_folder_that_was_not_finished_says_so(tmp_path, monkeypatch):
    interrupt(monkeypatch, tmp_path, 4)
    (claim,) = claims(tmp_path)
    assert claim == f".stream-1.seed-3.plan-{PLAN.digest}.begun.fastinit"
    with pytest.raises(InvalidCheckpointError, match=r"is incomplete: it holds \.stream-1"):
        fi.open(tmp_path)


@pytest.mark.parametrize("options", [{"seed": 4}, {"plan": plan_of(("half", (3,), "ones()"))}])
def test_another_call_does_not_carry_on(tmp_path, monkeypatch, options):
    """The arrays do not tell their seed, so the folder must."""
    interrupt(monkeypatch, tmp_path, 4)
    assert "holds files of another call, which is not finished" in refusal(tmp_path, **options)
    plan = options.pop("plan", PLAN)
    fi.write(plan, tmp_path, overwrite=True, **{**OPTIONS, **options})
    assert not temporaries(tmp_path)
    assert fi.verify(tmp_path).digest == plan.digest


def test_a_file_of_the_same_name_that_is_not_ours_is_refused(tmp_path):
    fi.write(PLAN, tmp_path / "theirs", seed=9, format="npy")
    (tmp_path / "ours").mkdir()
    os.rename(tmp_path / "theirs" / "half.npy", tmp_path / "ours" / "half.npy")
    assert "half.npy is not what this call would write there" in refusal(tmp_path / "ours")


def test_files_of_other_names_are_left_alone(tmp_path):
    np.save(tmp_path / "mine.npy", np.arange(3))
    fi.write(PLAN, tmp_path, **OPTIONS)
    fi.write(plan_of(("w", (3,), "ones()")), tmp_path, overwrite=True, **OPTIONS)
    assert set(contents(tmp_path)) == {"mine.npy", "w.npy", "config.json", RECIPE}
    assert fi.verify(tmp_path).files == ("w.npy",)


# --- shards on several machines --------------------------------------------------------------


def test_shards_from_descriptions_are_completed_by_write(folder, tmp_path):
    right = contents(folder)
    again = tmp_path / "again"
    shards = [json.loads(json.dumps(s.to_json())) for s in layout_of(PLAN, **OPTIONS).shards]
    for shard in (*shards, *shards):
        write_shard(shard, again)
    report = fi.write(PLAN, again, **OPTIONS)
    assert report.resumed == FILES
    assert contents(again) == right
    write_shard(shards[0], again)  # a task may be repeated when all is done
    assert contents(again) == right


def test_a_shard_of_another_call_is_refused(tmp_path):
    ours, theirs = (layout_of(PLAN, seed=seed, format="npy").shards for seed in (3, 4))
    write_shard(ours[0].to_json(), tmp_path)
    for shard in theirs[:2]:
        with pytest.raises(CheckpointError, match="holds files of another call"):
            write_shard(shard.to_json(), tmp_path)
    fi.write(PLAN, tmp_path, **OPTIONS)
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        write_shard(theirs[0].to_json(), tmp_path)
    (tmp_path / RECIPE).write_text("{}")
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        write_shard(ours[0].to_json(), tmp_path)


def test_of_two_calls_that_begin_at_once_one_sees_the_other(tmp_path, monkeypatch):
    """Both have looked and found nothing; now each puts its claim there."""
    ours, theirs = (layout_of(PLAN, seed=seed, format="npy").shards[0] for seed in (3, 4))
    rename = os.rename

    def slow(*args, **options):
        monkeypatch.setattr(os, "rename", rename)
        write_shard(theirs.to_json(), tmp_path)
        return rename(*args, **options)

    monkeypatch.setattr(os, "rename", slow)
    with pytest.raises(CheckpointError, match=r"holds files of another call.*seed-4"):
        write_shard(ours.to_json(), tmp_path)
    assert claims(tmp_path) == [f".stream-1.seed-4.plan-{PLAN.digest}.begun.fastinit"]
    fi.write(PLAN, tmp_path, seed=4, format="npy")
    assert fi.verify(tmp_path).seed == 4


# --- replacing -------------------------------------------------------------------------------


def test_a_checkpoint_is_replaced_only_by_overwrite(folder):
    assert "already holds a checkpoint (fastinit.json): pass overwrite=True" in refusal(folder)
    fi.write(PLAN, folder, seed=4, format="npy", overwrite=True)
    assert fi.verify(folder).seed == 4


@pytest.mark.parametrize("text", ["{}", "x" * 200])
def test_a_recipe_that_cannot_be_read_is_replaced_and_nothing_else(folder, text):
    (folder / RECIPE).write_text(text)
    fi.write(plan_of(("w", (3,), "ones()")), folder, overwrite=True, **OPTIONS)
    assert set(contents(folder)) == {*FILES, "w.npy", "config.json", RECIPE}


@pytest.mark.parametrize("name", ["rename", "unlink", "fsync"])
def test_an_overwrite_that_fails_at_its_end_is_finished_without_drawing(
    tmp_path, monkeypatch, name
):
    new = plan_of(("half", (9,), "ones()"), ("w", (5,), "normal(std=1)"), config={"a": 1})
    fi.write(new, tmp_path / "right", **OPTIONS)
    right, finished = contents(tmp_path / "right"), 0
    for k in range(1, 100):
        again = tmp_path / f"{k}"
        fi.write(PLAN, again, seed=9, format="npy")
        broken = Broken(getattr(os, name), k)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            try:
                fi.write(new, again, overwrite=True, **OPTIONS)
                message = ""
            except CheckpointError as error:
                message = str(error)
        if broken.calls < k:
            break
        if (again / RECIPE).exists():
            fi.verify(again)  # the recipe never names a mixture
        with monkeypatch.context() as patch:
            if "every file of the new checkpoint is complete" in message:
                patch.setattr(os, "pwrite", always(errno.EIO))
                finished += 1
            fi.write(new, again, overwrite=True, **OPTIONS)
        fi.verify(again)
        assert contents(again) == right
    assert finished > 1


def test_what_an_overwrite_left_is_removed_by_another(tmp_path, monkeypatch):
    """Even then a file that no recipe names stays."""
    fi.write(PLAN, tmp_path, seed=9, format="npy")
    np.save(tmp_path / "mine.npy", np.arange(3))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", always(errno.EIO))
        with pytest.raises(CheckpointError, match="every file of the new checkpoint is complete"):
            fi.write(plan_of(("half", (3,), "ones()")), tmp_path, overwrite=True, **OPTIONS)
    assert not (tmp_path / RECIPE).exists()
    fi.write(plan_of(("w", (3,), "ones()")), tmp_path, overwrite=True, **OPTIONS)
    assert set(contents(tmp_path)) == {"mine.npy", "w.npy", "config.json", RECIPE}


def test_formats_do_not_replace_each_other(folder, tmp_path):
    message = "holds a checkpoint in another format (fastinit.json), which safetensors files cannot"
    assert message in refusal(folder, format="safetensors", overwrite=True)
    other = tmp_path / "other"
    fi.write(PLAN, other, seed=3)
    for overwrite in (False, True):
        message = "in another format (model.safetensors), which npy files cannot replace: remove it"
        assert message in refusal(other, overwrite=overwrite)


def test_two_formats_in_one_folder_are_refused(folder, tmp_path):
    fi.write(PLAN, tmp_path / "other", seed=3)
    os.rename(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(InvalidCheckpointError, match=r"both model\.safetensors and fastinit\.json"):
        fi.open(folder)
