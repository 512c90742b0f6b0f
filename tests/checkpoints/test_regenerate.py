# SPDX-License-Identifier: MIT
"""Regenerating: whatever is lost or damaged comes back to the byte, or is refused untouched."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import pytest
from broken_calls import Broken
from checkpoint_plans import contents, mixed_plan, plan_of, safetensors_file, temporaries
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinit as fi
from fastinit.checkpoints import refill, regenerate, verify, write
from fastinit.errors import CheckpointError, InvalidCheckpointError, VerifyError

INDEX = "model.safetensors.index.json"
SHARDS = {"seed": 3, "max_shard_size": "60KB"}
NAMES = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


def written(folder, **options):
    """A checkpoint of three files, and its bytes."""
    write(mixed_plan(), folder, **{**SHARDS, **options})
    return contents(folder)


def remove(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def break_header(path):
    data = bytearray(path.read_bytes())
    data[8:20] = b"x" * 12
    path.write_bytes(data)


def strip_recipe(path):
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    del header["__metadata__"]
    path.write_bytes(safetensors_file(header, data[size:]))


def spoil_recipe(path):
    path.write_bytes(path.read_bytes().replace(b'\\"stream\\":1', b'\\"stream\\":0'))


def retype(path):
    data = path.read_bytes().replace(b'"BF16"', b'"I16" ')
    for width in (b"16", b"32", b"64"):
        data = data.replace(b'"F' + width, b'"I' + width)
    path.write_bytes(data)


def flip(path):
    """One bit of the first and of the last value."""
    data = bytearray(path.read_bytes())
    data[8 + int.from_bytes(data[:8], "little")] ^= 1
    data[-1] ^= 1
    path.write_bytes(data)


LOSSES = [remove, cut, empty, break_header, strip_recipe, spoil_recipe, retype, flip]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("file", NAMES)
def test_each_loss_of_each_file_is_made_good_to_the_byte(tmp_path, loss, file):
    right = written(tmp_path)
    loss(tmp_path / file)
    spoilt = contents(tmp_path)
    with pytest.raises(CheckpointError):
        verify(tmp_path)
    said = regenerate(tmp_path, plan=mixed_plan(), dry_run=True)
    assert contents(tmp_path) == spoilt
    report = regenerate(tmp_path, plan=mixed_plan(), threads=2)
    assert contents(tmp_path) == right
    assert (said.tensors, said.files, said.index) == (report.tensors, report.files, report.index)
    if loss is flip:
        assert report.tensors
        assert not report.files
    else:
        assert report.files.keys() == {file}
        assert not report.tensors
    assert not report.index


def spoil_index(path):
    path.write_text("{")


def misplace(path):
    index = json.loads(path.read_text())
    index["weight_map"]["half"], index["weight_map"]["double"] = NAMES[2], NAMES[1]
    path.write_text(json.dumps(index))


def forget(path):
    index = json.loads(path.read_text())
    del index["weight_map"]["half"]
    path.write_text(json.dumps(index))


def miscount(path):
    index = json.loads(path.read_text())
    index["metadata"]["total_size"] += 1
    path.write_text(json.dumps(index))


@pytest.mark.parametrize("loss", [remove, spoil_index, misplace, forget, miscount])
@pytest.mark.parametrize("also", [None, *NAMES])
def test_a_lost_index_comes_back_also_with_a_lost_file(tmp_path, loss, also):
    right = written(tmp_path)
    loss(tmp_path / INDEX)
    if also:
        (tmp_path / also).unlink()
    report = regenerate(tmp_path, plan=mixed_plan() if also else None)
    assert contents(tmp_path) == right
    assert report.index
    assert list(report.files) == ([also] if also else [])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(LOSSES), min_size=4, max_size=4),
    st.sets(st.sampled_from(["1", "2", "3", "4"]), min_size=1, max_size=3),
    st.sampled_from([None, "bfloat16", "float16"]),
)
def test_any_files_but_one_come_back_if_the_index_is_there(losses, lost, dtype):
    plan = plan_of(
        *((f"w{i}.{j}", (30, 10 + j), "normal(std=0.02)") for i in range(4) for j in range(3)),
        ("b", (5,), "ones()", "float32"),
        name="plan",
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(plan, folder, seed=6, dtype=dtype, max_shard_size="1500")
        right = contents(folder)
        files = sorted(name for name in right if name.startswith("model-"))
        for number, loss in zip(lost, losses, strict=False):
            loss(folder / files[int(number)])
        regenerate(folder, plan=plan)
        assert contents(folder) == right


def test_all_pairs_of_lost_files(tmp_path):
    right = written(tmp_path)
    for pair in combinations(NAMES, 2):
        for name in pair:
            (tmp_path / name).unlink()
        # what is left may show no dtype where the plan sets none: then it must be given
        regenerate(tmp_path, plan=mixed_plan(), dtype="float32")
        assert contents(tmp_path) == right


@pytest.mark.slow
def test_a_preset_is_found_by_the_recipe(tmp_path):
    small = fi.plan("gpt2")
    write(small, tmp_path, seed=1, dtype="float8_e4m3fn", max_shard_size="60MB")
    file = sorted(tmp_path.glob("model-*"))[1]
    right = file.read_bytes()
    file.unlink()
    regenerate(tmp_path)
    assert file.read_bytes() == right


def test_what_is_right_is_not_touched(tmp_path):
    written(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    report = regenerate(tmp_path)
    assert [*report.tensors, *report.files, report.index, report.size] == ["", 0]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert report.path == tmp_path


def test_every_tensor_that_differs_is_named(tmp_path):
    right = written(tmp_path, max_shard_size="5GB")
    data = bytearray(right["model.safetensors"])
    opened = fi.open(tmp_path)
    for name in ("half", "double", "wte.weight"):
        place = data.find(opened[name].tobytes())
        data[place + 10] ^= 1
        data[place + 100] ^= 1
    del opened
    (tmp_path / "model.safetensors").write_bytes(data)
    report = regenerate(tmp_path, threads=3)
    assert report.tensors.keys() == {"half", "double", "wte.weight"}
    assert "tensor 'half', element 5 is" in report.tensors["half"]
    assert contents(tmp_path) == right


def test_refilled_tensors_stay_in_files_that_are_left_and_are_lost_with_their_file(tmp_path):
    right = written(tmp_path)
    refill(tmp_path, ["brain", "double"], seed=9)
    refilled = contents(tmp_path)
    file = fi.open(tmp_path).weight_map["brain"]
    assert file != fi.open(tmp_path).weight_map["double"] == NAMES[2]
    flip(tmp_path / NAMES[2])
    regenerate(tmp_path)
    assert contents(tmp_path) == refilled
    (tmp_path / file).unlink()
    report = regenerate(tmp_path, plan=mixed_plan())
    assert contents(tmp_path)[file] == right[file]
    assert dict(verify(tmp_path).refilled) == {"double": 9}
    assert list(report.files) == [file]


def test_a_single_file_is_repaired_alone(tmp_path):
    right = written(tmp_path)
    flip(tmp_path / NAMES[1])
    (tmp_path / NAMES[0]).unlink()
    regenerate(tmp_path / NAMES[1])
    assert (tmp_path / NAMES[1]).read_bytes() == right[NAMES[1]]


def test_refilled_tensors_of_a_stranger_s_file_are_repaired(tmp_path):
    entries = {
        name: {"dtype": "F32", "shape": [8], "data_offsets": [32 * i, 32 * i + 32]}
        for i, name in enumerate("abc")
    }
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(entries, bytes(96)))
    refill(tmp_path, "b", scheme="ones()", seed=1)
    right = contents(tmp_path)
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    assert regenerate(tmp_path).tensors.keys() == {"b"}
    assert contents(tmp_path) == right


def test_all_tensors_need_not_fit_into_one_header(tmp_path, monkeypatch):
    plan = plan_of(*((f"layer.{i}.weight", (30, 10), "normal(std=0.02)") for i in range(60)))
    write(plan, tmp_path, seed=6, max_shard_size="30KB")
    right = contents(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    from fastinit.checkpoints.formats.safetensors import shards

    longest = max(int.from_bytes(right[name][:8], "little") for name in right if "-of-" in name)
    monkeypatch.setattr(shards, "HEADER_LIMIT", longest + 1)
    with pytest.raises(ValueError, match="choose a smaller max_shard_size"):
        write(plan, tmp_path / "whole", seed=6)
    regenerate(tmp_path, plan=plan)
    assert contents(tmp_path) == right


# --- refusals: nothing is changed ----------------------------------------------------------------


def refused(folder, error, message, **options):
    before = contents(folder)
    with pytest.raises(error, match=message):
        regenerate(folder, **options)
    assert contents(folder) == before
    assert not temporaries(folder)


def test_a_lost_file_needs_the_plan(tmp_path):
    written(tmp_path)
    (tmp_path / NAMES[0]).unlink()
    flip(tmp_path / NAMES[1])
    message = r"00001-of-00003.* \(it is missing\) can be made again from the plan 'mixed' of "
    refused(tmp_path, InvalidCheckpointError, message)
    refused(tmp_path, ValueError, "but the recipes say .*with the same rules", plan="gpt2")


@pytest.mark.parametrize("spoil", [None, flip])
def test_another_plan_is_refused_where_no_file_is_lost_too(tmp_path, spoil):
    written(tmp_path)
    if spoil:
        spoil(tmp_path / NAMES[1])
    refused(tmp_path, ValueError, "but the recipes say .*with the same rules", plan="gpt2")


def test_a_dtype_that_nothing_shows_is_asked_for(tmp_path):
    rows = (("w", (64,), "ones()"), ("b", (64,), "ones()", "float32"))
    write(plan_of(*rows), tmp_path, seed=1, dtype="bfloat16", max_shard_size=256)
    right = contents(tmp_path)
    file = json.loads(right[INDEX])["weight_map"]["w"]
    (tmp_path / file).unlink()
    message = r"files that are left show none, and dtype is None: pass the dtype="
    refused(tmp_path, InvalidCheckpointError, message, plan=plan_of(*rows))
    regenerate(tmp_path, plan=plan_of(*rows), dtype="bfloat16")
    assert contents(tmp_path) == right


def test_a_dtype_that_differs_from_what_is_left_is_refused(tmp_path):
    written(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    message = "show float32, and dtype is 'float16'"
    refused(tmp_path, InvalidCheckpointError, message, plan=mixed_plan(), dtype="float16")


def test_without_the_index_two_lost_files_are_too_many(tmp_path):
    written(tmp_path)
    for name in (INDEX, NAMES[0], NAMES[1]):
        (tmp_path / name).unlink()
    options = {"plan": mixed_plan(), "dtype": "float32"}
    message = "nothing says which tensors were in which .* the index is lost, too: .*--seed 3"
    refused(tmp_path, InvalidCheckpointError, message, **options)
    write(mixed_plan(), tmp_path, **SHARDS)
    misplace(tmp_path / INDEX)
    for name in NAMES[1:]:
        (tmp_path / name).unlink()
    regenerate(tmp_path, **options)  # that index still says what the two held between them
    verify(tmp_path)


@pytest.mark.parametrize("loss", [break_header, cut, strip_recipe])
def test_a_lone_file_that_is_lost_needs_plan_and_seed(tmp_path, loss):
    write(mixed_plan(), tmp_path, seed=3)
    loss(tmp_path / "model.safetensors")
    message = "nothing says from which plan and seed .*fastinit write SOURCE DIR --seed N --overw"
    refused(tmp_path, InvalidCheckpointError, message, plan=mixed_plan())


def test_files_of_two_calls_are_refused(tmp_path):
    written(tmp_path / "3")
    written(tmp_path / "4", seed=4)
    (tmp_path / "3" / NAMES[0]).write_bytes((tmp_path / "4" / NAMES[0]).read_bytes())
    refused(tmp_path / "3", VerifyError, "belong together", plan=mixed_plan())


def test_a_spare_shard_is_told_of(tmp_path):
    right = written(tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(right[NAMES[0]])
    (tmp_path / NAMES[1]).unlink()
    for dry_run in (True, False):
        options = {"plan": mixed_plan(), "dry_run": dry_run}
        refused(tmp_path, VerifyError, "the index does not name: remove it", **options)


def test_a_link_in_the_place_of_a_file_is_refused(tmp_path):
    written(tmp_path / "x")
    cut(tmp_path / "x" / NAMES[0])
    os.rename(tmp_path / "x" / NAMES[0], tmp_path / "blob")
    (tmp_path / "x" / NAMES[0]).symlink_to(tmp_path / "blob")
    for dry_run in (True, False):
        options = {"plan": mixed_plan(), "dry_run": dry_run}
        refused(tmp_path / "x", CheckpointError, "is a symbolic link", **options)


def test_npy_files_and_what_is_no_checkpoint_are_refused(tmp_path, folder):
    with pytest.raises(CheckpointError, match="npy files, which have one recipe for all"):
        regenerate(folder)
    for place in (tmp_path / "absent", tmp_path):
        with pytest.raises(CheckpointError, match=r"holds no checkpoint|cannot open"):
            regenerate(place)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("file", ["x.bin", "x.npy"])
def test_memory_mapped_files_are_refused(tmp_path, file):
    path = tmp_path / file
    mapped = fi.memmap(path, (8,), "ones()", seed=1)
    message = f"{file} is a memory-mapped file of one tensor, .* fastinit.memmap and overwrite=True"
    for value in (1, 0):
        mapped[3] = value
        before = contents(tmp_path)
        for call in (lambda: regenerate(path), lambda: refill(path, "x", seed=2)):
            with pytest.raises(CheckpointError, match=message):
                call()
        assert contents(tmp_path) == before
    path.write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=message):
        regenerate(path)


def test_a_stranger_s_lost_file_and_index_cannot_be_made(tmp_path):
    entry = {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}
    places = {}
    for number, name in enumerate("ab", 1):
        file = f"model-0000{number}-of-00002.safetensors"
        (tmp_path / file).write_bytes(safetensors_file({name: entry}, bytes(32)))
        places[name] = file
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    refused(tmp_path, InvalidCheckpointError, r"nothing says .*\(no file has a recipe\)")
    refill(tmp_path, "a", scheme="ones()", seed=1)
    assert not regenerate(tmp_path).tensors
    (tmp_path / INDEX).unlink()
    refused(tmp_path, InvalidCheckpointError, "index.json is missing: fetch it again")
    (tmp_path / places["b"]).unlink()
    refused(tmp_path, InvalidCheckpointError, "nothing says what was in .*: fetch it again")


def test_an_index_that_names_ten_thousand_files_is_told_of_in_few_words(tmp_path):
    written(tmp_path)
    os.rename(tmp_path / NAMES[0], tmp_path / "model-00001-of-09999.safetensors")
    for name in (*NAMES[1:], INDEX):
        (tmp_path / name).unlink()
    with pytest.raises(InvalidCheckpointError) as caught:
        regenerate(tmp_path)
    assert len(str(caught.value)) < 8000


# --- calls that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [("posix_fallocate", errno.ENOSPC), ("pwrite", errno.EIO), ("rename", errno.EROFS)],
)
def test_every_call_may_fail_and_the_same_call_finishes(tmp_path, monkeypatch, name, code):
    right = written(tmp_path / "right")
    for k in range(1, 100):
        folder = tmp_path / str(k)
        written(folder, durability="none")
        flip(folder / NAMES[0])
        flip(folder / NAMES[2])
        (folder / NAMES[1]).unlink()
        (folder / INDEX).unlink()
        spoilt = contents(folder)
        broken = Broken(getattr(os, name), k, code)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            with suppress(CheckpointError):
                regenerate(folder, plan=mixed_plan())
        assert not temporaries(folder)
        found = contents(folder)
        assert all(data in (spoilt.get(file), right[file]) for file, data in found.items())
        assert found.keys() >= spoilt.keys()
        regenerate(folder, plan=mixed_plan())
        assert contents(folder) == right
        if broken.calls < k:
            break
    assert 1 < k < 99


# --- the command line ----------------------------------------------------------------------------


def test_the_command_makes_again_and_says_what(tmp_path, main, small):
    folder = tmp_path / "x"
    assert main("write", small, folder, "--max-shard-size", "1KB")[0] == 0
    right = contents(folder)
    files = sorted(name for name in right if name.startswith("model-"))
    flip(folder / files[0])
    (folder / files[1]).unlink()
    (folder / INDEX).unlink()
    code, _, err = main("regenerate", folder)
    assert (code, len(err.splitlines())) == (1, 1)
    code, out, _ = main("regenerate", folder, "--plan", small, "--dry-run")
    assert code == 0
    assert "would make again" in out
    code, out, _ = main("regenerate", folder, "--plan", small, "--json")
    found = json.loads(out)
    assert (code, list(found["files"]), bool(found["tensors"])) == (0, [files[1]], True)
    assert contents(folder) == right
    code, out, _ = main("regenerate", folder)
    assert "made again 0 tensors and 0 files, 0 B" in out
    assert main("regenerate", folder, "--rules", "x.toml")[0] == 2


def test_the_command_prints_a_line_for_each(tmp_path, main):
    written(tmp_path)
    flip(tmp_path / NAMES[0])
    (tmp_path / INDEX).unlink()
    code, out, _ = main("regenerate", tmp_path)
    first, *_, index, last = out.splitlines()
    assert code == 0
    assert first.startswith("drawn again: model-00001-of-00003.safetensors: tensor 'wte.weight', e")
    assert index.startswith("made again: ")
    assert "made again 1 tensors and 0 files, and the index" in last
