# SPDX-License-Identifier: MIT
"""Opening checkpoints: what is mapped, and the indices that are refused.  Headers: test_headers."""

from __future__ import annotations

import errno
import json
import mmap
import os

import numpy as np
import pytest
from checkpoint_plans import mixed_plan, plan_of, tensors_of
from safetensors.numpy import load_file, save_file

import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import write
from fastinit.errors import CheckpointError, InvalidCheckpointError

INDEX = "model.safetensors.index.json"


def test_one_file_opens_alone(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    whole = checkpoints.open(tmp_path)
    path = tmp_path / whole.weight_map["wte.weight"]
    alone = checkpoints.open(path)
    assert set(alone) < set(whole)
    np.testing.assert_array_equal(alone["wte.weight"], whole["wte.weight"])
    assert repr(alone) == f"Checkpoint({str(path)!r}, {len(alone)} tensors in 1 files)"
    with pytest.raises(KeyError, match="absent"):
        whole["absent"]


def test_a_shard_is_opened_when_it_is_needed(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="50KB")
    opened = checkpoints.open(tmp_path)
    (tmp_path / opened.weight_map["brain"]).unlink()
    assert opened["half"].shape == (1001,)
    with pytest.raises(CheckpointError, match="is missing: write or fetch it again"):
        opened["brain"]


def test_a_linked_shard_opens_as_in_a_hub_cache(tmp_path):
    write(mixed_plan(), tmp_path / "blobs", seed=3, max_shard_size="60KB")
    (tmp_path / "snapshot").mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert tensors_of(tmp_path / "snapshot") == tensors_of(tmp_path / "blobs")


def test_a_foreign_file_opens_without_a_recipe(tmp_path):
    arrays = {
        f"x{i}": np.arange(6).reshape(2, 3).astype(t)
        for i, t in enumerate(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f8", "?"])
    }
    save_file(arrays, tmp_path / "foreign.safetensors")
    for name, array in checkpoints.open(tmp_path / "foreign.safetensors").items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)


def test_an_array_outlives_its_checkpoint(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    array = checkpoints.open(tmp_path)["wte.weight"]
    assert np.isfinite(array).all()


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no checkpoint: neither .*index.json nor"):
        checkpoints.open(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"cannot open .*absent: No such file or directory; check the path"
    ):
        checkpoints.open(tmp_path / "absent")


def test_two_checkpoints_in_one_folder_are_refused(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"holds both .*remove the one that is out of date"):
        checkpoints.open(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        checkpoints.open(tmp_path)


@pytest.mark.parametrize(
    ("module", "name", "code", "words"),
    [
        (mmap, "mmap", errno.ENOMEM, r"cannot map .*ors: Cannot allocate .*ulimit -v\), and try"),
        (os, "fstat", errno.ESTALE, r"cannot open .*ors: Stale .*mount it again, then try again$"),
        (os, "preadv", errno.EIO, r"cannot read .*the disk reported a fault: check it$"),
        (os, "open", errno.EACCES, r"cannot open .*give yourself permission to read there$"),
        (os, "stat", errno.EACCES, r"cannot open .*give yourself permission to read there$"),
    ],
)
def test_what_the_system_refuses_names_the_file_and_a_way_out(
    tmp_path, monkeypatch, module, name, code, words
):
    write(mixed_plan(), tmp_path, seed=3)
    original = getattr(module, name)

    def refuse(place, *arguments, **options):
        if name == "stat" and str(place) == str(tmp_path):
            return original(place, *arguments, **options)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(module, name, refuse)
        with pytest.raises(CheckpointError, match=words) as caught:
            dict(checkpoints.open(tmp_path))
        assert not isinstance(caught.value, InvalidCheckpointError)


def test_verify_maps_no_file(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, seed=3)
    monkeypatch.setattr(mmap, "mmap", None)
    assert checkpoints.verify(tmp_path).tensors == 9
    assert checkpoints.verify(tmp_path / "model.safetensors").tensors == 9


def test_a_file_that_shrinks_before_it_is_mapped_is_invalid(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, seed=3)
    original = mmap.mmap

    def late(descriptor, size, **options):
        os.truncate(tmp_path / "model.safetensors", size - 1)
        return original(descriptor, size, **options)

    monkeypatch.setattr(mmap, "mmap", late)
    with pytest.raises(InvalidCheckpointError, match="cannot be mapped: it became shorter while"):
        checkpoints.open(tmp_path)["half"]


def test_a_file_that_was_replaced_before_it_is_mapped_is_read_anew(tmp_path):
    write(plan_of(("a", (4,), "zeros()"), ("b", (2,), "zeros()")), tmp_path, seed=3)
    opened = checkpoints.open(tmp_path)
    write(plan_of(("a", (2,), "ones()")), tmp_path, seed=3, overwrite=True)
    assert opened["a"].tolist() == [1, 1]
    with pytest.raises(InvalidCheckpointError, match="has no tensor 'b', as it had when opened"):
        opened["b"]


@pytest.mark.parametrize("reading", [checkpoints.open, checkpoints.verify])
def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch, reading):
    write(mixed_plan(), tmp_path, seed=3)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"path is '': it is empty; name a folder, or '\.' for"):
        reading("")


def test_an_index_that_names_an_absent_tensor_is_found(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["ghost"] = index["weight_map"]["half"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="has no tensor 'ghost', which the index"):
        checkpoints.open(tmp_path)["ghost"]


@pytest.mark.parametrize(
    "file",
    [
        "../x.safetensors",
        "/x.safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        "C:x.safetensors",
        "x\0.safetensors",
        "x.SAFETENSORS",
        ".safetensors",
        "x.bin",
        "..",
        "",
        3,
        None,
        ["x"],
    ],
)
def test_an_index_may_name_only_plain_files(tmp_path, file):
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"a": file}}))
    with pytest.raises(CheckpointError, match=r"is not a valid index: tensor 'a' is said to be in"):
        checkpoints.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not a valid index"),
        (b"[]", "the JSON is not an object"),
        (b"{}", "it has no weight_map"),
        (b'{"weight_map": {}}', "it has no weight_map"),
        (b'{"weight_map": []}', "it has no weight_map"),
        (b'{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "'a' appears twice"),
        (b'{"weight_map": {"\\ud800": "x.safetensors"}}', "has the name"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b" " * (10 * 2**20 + 1), "an index has at most 10,485,760"),
    ],
)
def test_a_broken_index_is_refused(tmp_path, text, message):
    (tmp_path / INDEX).write_bytes(text)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.open(tmp_path)


def test_a_file_of_ours_is_read_alike_by_both(tmp_path):
    write(plan_of(("w", (50, 3), "normal(std=0.02)")), tmp_path, seed=9)
    np.testing.assert_array_equal(
        load_file(tmp_path / "model.safetensors")["w"], checkpoints.open(tmp_path)["w"]
    )
