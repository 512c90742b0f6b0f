# SPDX-License-Identifier: MIT
"""Verifying: every byte counts, and the message says which one."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import sys
import threading
import time

import numpy as np
import pytest
from checkpoint_plans import contents, large_plan, mixed_plan, plan_of, safetensors_file

import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import layout_of, verify, write
from fastinit.checkpoints.recipe import Recipe
from fastinit.errors import CheckpointError, InvalidCheckpointError, VerifyError

INDEX = "model.safetensors.index.json"
DTYPES = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]


def edit(path, offset, change):
    """Change one byte in place."""
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([change(byte)]))


def rewrite_header(path, change):
    """Replace the header by a changed one, keeping the data."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def rewrite_recipe(path, change):
    def inner(header):
        recipe = json.loads(header["__metadata__"]["fastinit"])
        change(recipe)
        header["__metadata__"]["fastinit"] = json.dumps(recipe)

    rewrite_header(path, inner)


def rewrite_index(folder, change):
    index = json.loads((folder / INDEX).read_text())
    change(index)
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize("max_shard_size", ["5GB", "60KB"])
@pytest.mark.parametrize("threads", [1, 3])
def test_what_was_written_verifies_and_is_not_changed(tmp_path, max_shard_size, threads):
    written = write(mixed_plan(), tmp_path, seed=3, max_shard_size=max_shard_size)
    before = contents(tmp_path)
    seen = []
    report = verify(tmp_path, threads=threads, progress=seen.append)
    assert (report.tensors, report.parameters, report.size) == (
        written.tensors,
        written.parameters,
        written.size,
    )
    assert report.files == tuple(f for f in written.files if f.endswith(".safetensors"))
    assert report.path == tmp_path
    assert report.seconds > 0
    assert sum(seen) == report.size
    assert contents(tmp_path) == before


def test_one_shard_verifies_alone(tmp_path):
    write(mixed_plan(), tmp_path / "a", seed=3, max_shard_size="60KB")
    for path in (tmp_path / "a").glob("*.safetensors"):
        alone = tmp_path / "renamed.safetensors"
        alone.write_bytes(path.read_bytes())
        assert verify(alone).files == ("renamed.safetensors",)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("bit", [0, 7])
def test_one_flipped_bit_is_named(tmp_path, dtype, where, bit):
    plan = plan_of(("a", (7,), "zeros()"), ("w", (70, 31), "normal(std=0.02)"))
    write(plan, tmp_path, seed=3, dtype=dtype)
    (shard,) = layout_of(plan, seed=3, dtype=dtype).shards
    item = shard.entries[1].size // shard.entries[1].count
    start = len(shard.header) + shard.entries[0].size
    offset = {"first": 0, "middle": 1085 * item, "last": 2170 * item - 1}[where]
    edit(tmp_path / "model.safetensors", start + offset, lambda byte: byte ^ (1 << bit))
    index = offset // item
    with pytest.raises(
        VerifyError,
        match=rf"^model.safetensors: tensor 'w', element {index} "
        rf"\(row {index // 31}, column {index % 31}\) is .*, but the recipe gives ",
    ) as caught:
        verify(tmp_path)
    error = caught.value
    assert (error.file, error.tensor, error.index) == ("model.safetensors", "w", index)


def test_a_verify_error_can_come_from_another_process():
    error = VerifyError("is wrong", "model.safetensors", "w", 3)
    again = pickle.loads(pickle.dumps(error))
    assert (again.file, again.tensor, again.index) == ("model.safetensors", "w", 3)
    assert str(again) == str(error)


def test_the_message_shows_both_values(tmp_path):
    write(plan_of(("w", (3,), "ones()"), ("c", (1, 2, 2), "ones()")), tmp_path, seed=0)
    path = tmp_path / "model.safetensors"
    good = path.read_bytes()
    path.write_bytes(good[:4100] + struct.pack("<f", 0.25) + good[4104:])
    with pytest.raises(VerifyError, match=r"element 1 is 0.25, but the recipe gives 1.0$"):
        verify(tmp_path)
    path.write_bytes(good[:4120] + struct.pack("<f", -2) + good[4124:])
    with pytest.raises(VerifyError, match=r"element 3 \(at \[0, 1, 1\]\) is -2.0, but the recipe"):
        verify(tmp_path)


def test_values_that_look_alike_are_shown_by_their_bits(tmp_path, monkeypatch):
    write(plan_of(("w", (3,), "ones()")), tmp_path, seed=0)
    path = tmp_path / "model.safetensors"
    good = path.read_bytes()
    path.write_bytes(good[:4096] + struct.pack("<I", 0x7FC00001) + good[4100:])
    original = Recipe.sampler

    def nan_sampler(*args):
        inner = original(*args)

        class Nan:
            dtype = inner.dtype
            tolerance = inner.tolerance

            def draw(self, out, start):
                out.view(np.float32)[:] = np.nan

        return Nan()

    monkeypatch.setattr(Recipe, "sampler", nan_sampler)
    with pytest.raises(
        VerifyError, match=r"is nan \(0x7fc00001\), but the recipe gives nan \(0x7fc0"
    ):
        verify(tmp_path)


def test_wide_elements_behind_narrow_ones_are_compared_too(tmp_path):
    plan = plan_of(
        ("wide", (500,), "normal(std=0.02)", "float32"),
        ("narrow", (777,), "normal(std=0.02)", "float8_e4m3fn"),
    )
    write(plan, tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8:size]), data[size:]
    header["narrow"]["data_offsets"], header["wide"]["data_offsets"] = [0, 777], [777, 2777]
    path.write_bytes(safetensors_file(header, values[2000:] + values[:2000]))
    assert verify(tmp_path).tensors == 2
    edit(path, path.stat().st_size - 1, lambda byte: byte ^ 1)
    with pytest.raises(VerifyError, match=r"tensor 'wide', element 499 is"):
        verify(tmp_path)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_first_of_many_errors_is_named_whatever_the_timing(tmp_path, threads, monkeypatch):
    monkeypatch.setattr(sys.modules["fastinit.checkpoints.verify"], "CHUNK", 4096)
    plan = plan_of(("w", (500, 1000), "normal(std=0.02)"))
    write(plan, tmp_path, seed=3)
    for element in [499_999, 300_000, 123_457, 123_456, 250_000]:
        edit(tmp_path / "model.safetensors", 4096 + 4 * element + 1, lambda byte: byte ^ 1)
    for _ in range(10):
        with pytest.raises(VerifyError, match=r"element 123456 \(row 123, column 456\)"):
            verify(tmp_path, threads=threads)


def test_a_later_error_that_is_found_sooner_waits_for_the_first(tmp_path, monkeypatch):
    module = sys.modules["fastinit.checkpoints.verify"]
    monkeypatch.setattr(module, "CHUNK", 4096)
    write(plan_of(("w", (4, 1024), "normal(std=0.02)")), tmp_path, seed=3)
    for chunk in (0, 1):
        edit(tmp_path / "model.safetensors", 4096 * (chunk + 1), lambda byte: byte ^ 1)
    second_found = threading.Event()
    difference = module.ComparedFile.difference

    def ordered(self, task, *others):
        error = difference(self, task, *others)
        if task.start == 0:
            assert second_found.wait(10)
            time.sleep(0.05)
        else:
            second_found.set()
        return error

    monkeypatch.setattr(module.ComparedFile, "difference", ordered)
    with pytest.raises(VerifyError, match=r"element 0 \(row 0, column 0\)"):
        verify(tmp_path, threads=2)


def test_an_error_in_a_matrix_that_takes_long_comes_before_a_later_one(tmp_path):
    plan = plan_of(("q", (512, 512), "orthogonal()"), ("w", (500, 1000), "normal(std=0.02)"))
    write(plan, tmp_path, seed=3)
    for start in (4096, 4096 + 4 * 512 * 512):
        edit(tmp_path / "model.safetensors", start + 3, lambda byte: byte ^ 0x40)
    for _ in range(5):
        with pytest.raises(VerifyError, match=r"tensor 'q', element 0 \(row 0, column 0\)"):
            verify(tmp_path, threads=2)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_wrong_value_comes_before_a_later_tensor_that_cannot_be_drawn(tmp_path, threads):
    rows = (("a", (512, 512), "orthogonal()"), ("b", (5,), "ones()"), ("c", (5,), "ones()"))
    write(plan_of(*rows), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    rewrite_recipe(path, lambda recipe: recipe["init"].update(c="magic()"))
    with pytest.raises(VerifyError, match="tensor 'c' cannot be drawn"):
        verify(tmp_path, threads=threads)
    edit(path, path.stat().st_size - 4 * 10, lambda byte: byte ^ 1)
    with pytest.raises(VerifyError, match="tensor 'b', element 0 is"):
        verify(tmp_path, threads=threads)


def test_an_error_in_the_first_file_comes_before_one_in_the_second(tmp_path):
    write(large_plan(2), tmp_path, seed=3, max_shard_size="8MB")
    for number in (2, 1):
        path = tmp_path / f"model-0000{number}-of-00002.safetensors"
        edit(path, path.stat().st_size - 1, lambda byte: byte ^ 1)
    with pytest.raises(VerifyError, match=r"^model-00001-of-00002.safetensors"):
        verify(tmp_path, threads=4)


def test_a_file_that_shrinks_meanwhile_is_an_error_not_a_crash(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    module = sys.modules["fastinit.checkpoints.verify"]
    check = module.check_folder

    def shrink(*args, **options):
        check(*args, **options)
        os.truncate(path, 8192)

    monkeypatch.setattr(module, "check_folder", shrink)
    with pytest.raises(CheckpointError, match="it became shorter while it was read"):
        verify(tmp_path)


def test_an_unreadable_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, seed=3)

    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(CheckpointError, match=r"cannot read .*model.safetensors: Input/output"):
        verify(tmp_path)


def test_a_foreign_file_has_no_recipe(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    rewrite_header(path, lambda header: header["__metadata__"].pop("fastinit"))
    assert checkpoints.open(tmp_path)["half"].shape == (1001,)
    with pytest.raises(VerifyError, match="has no recipe: fastinit did not write it, or"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(seed=-1), "its recipe is not valid: .*-1"),
        (lambda r: r.pop("digest"), "exactly the fields"),
        (lambda r: r["init"].pop("half"), "tensor 'half' is missing from the recipe"),
        (lambda r: r["init"].update(ghost="ones()"), "tensor 'ghost' is missing from the file"),
        (lambda r: r["init"].update(half="magic()"), "tensor 'half' cannot be drawn: "),
        (lambda r: r["init"].update(half="ones()"), "tensor 'half', element 0 is .* gives 1.0"),
        (lambda r: r.update(seed=4), "tensor '.*', element 0 "),
    ],
)
def test_a_recipe_that_does_not_fit_is_found(tmp_path, change, message):
    write(mixed_plan(), tmp_path, seed=3)
    rewrite_recipe(tmp_path / "model.safetensors", change)
    with pytest.raises(VerifyError, match=message):
        verify(tmp_path)


def test_a_recipe_of_a_newer_stream_is_not_called_wrong(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    rewrite_recipe(tmp_path / "model.safetensors", lambda recipe: recipe.update(stream=2))
    with pytest.raises(
        CheckpointError, match=r"stream version 2, .* use a newer fastinit"
    ) as caught:
        verify(tmp_path)
    assert not isinstance(caught.value, InvalidCheckpointError)


def test_a_dtype_that_is_never_drawn_is_found(tmp_path):
    write(plan_of(("w", (5,), "zeros()")), tmp_path, seed=3)
    rewrite_header(tmp_path / "model.safetensors", lambda h: h["w"].update(dtype="I32"))
    with pytest.raises(VerifyError, match=r"tensor .w. has dtype I32, which no recipe draws"):
        verify(tmp_path)


def test_a_file_reordered_by_another_program_still_verifies(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    rewrite_header(path, lambda h: [h.update({k: h.pop(k)}) for k in sorted(h, reverse=True)])
    assert verify(tmp_path).tensors == 9


def test_a_damaged_file_is_refused_by_the_reader(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    path = tmp_path / "model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"00002-of-00003.*is not a valid safetensors file"):
        verify(tmp_path)


def test_a_missing_shard_is_found(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(VerifyError, match=r"^model-00002-of-00003.safetensors: .* is missing"):
        verify(tmp_path)


def test_a_spare_shard_is_found(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    spare = tmp_path / "model-00001-of-00002.safetensors"
    spare.write_bytes((tmp_path / "model-00001-of-00003.safetensors").read_bytes())
    with pytest.raises(VerifyError, match="that the index does not name: remove it"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i["weight_map"].pop("half"), "'half' is in it, but the index says no file"),
        (
            lambda i: i["weight_map"].update(ghost=i["weight_map"]["half"]),
            "tensor 'ghost' is not in it, but the index says that it is",
        ),
        (
            lambda i: i["weight_map"].update(half=i["weight_map"]["brain"]),
            "tensor 'half' is (not )?in it, but the index says",
        ),
        (lambda i: i["metadata"].update(total_size=1), "the index has metadata .* files give"),
        (lambda i: i["metadata"].update(total_size=float(i["metadata"]["total_size"])), "metadata"),
        (lambda i: i["metadata"].pop("total_parameters"), "the index has metadata"),
        (lambda i: i.pop("metadata"), "the index has metadata None"),
    ],
)
def test_an_index_that_disagrees_with_the_files_is_found(tmp_path, change, message):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    rewrite_index(tmp_path, change)
    with pytest.raises(VerifyError, match=message):
        verify(tmp_path)


def test_a_total_that_is_a_truth_value_is_found(tmp_path):
    write(plan_of(("w", (), "ones()")), tmp_path, seed=3)
    data = (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00001.safetensors")
    index = {
        "metadata": {"total_size": 4, "total_parameters": True},
        "weight_map": {"w": data.name},
    }
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(VerifyError, match=r"the index has metadata .* True.*, but the files give"):
        verify(tmp_path)
    rewrite_index(tmp_path, lambda i: i["metadata"].update(total_parameters=1))
    assert verify(tmp_path).tensors == 1


def test_a_tensor_in_two_files_is_found(tmp_path):
    plan = plan_of(("a", (4,), "ones()"), ("b", (4,), "ones()"))
    write(plan, tmp_path, seed=3, max_shard_size=16)
    first, second = sorted(tmp_path.glob("model-*"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(VerifyError, match=r"tensor '[ab]' is (not )?in it, but the index says"):
        verify(tmp_path)


def test_shards_of_two_seeds_do_not_belong_together(tmp_path):
    for seed in (3, 4):
        write(mixed_plan(), tmp_path / str(seed), seed=seed, max_shard_size="60KB")
    name = "model-00002-of-00003.safetensors"
    (tmp_path / "3" / name).write_bytes((tmp_path / "4" / name).read_bytes())
    with pytest.raises(VerifyError, match=re.escape(name) + r": has seed 4 .* belong together"):
        verify(tmp_path / "3")
