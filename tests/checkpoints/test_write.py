# SPDX-License-Identifier: MIT
"""Writing checkpoints: what is on disk, who can read it, what is kept, replaced or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from checkpoint_plans import contents, large_plan, mixed_plan, plan_of, tensors_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import fastinit as fi
import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import layout_of, outputs, write, write_shard
from fastinit.checkpoints import write as write_function
from fastinit.errors import CheckpointError, VerifyError
from fastinit.plans import Plan

INDEX = "model.safetensors.index.json"


def test_a_small_plan_is_one_file_and_a_config(tmp_path):
    report = write(mixed_plan(), tmp_path / "a" / "b", seed=3)
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert report.files == ("config.json", "model.safetensors")
    assert report.folder == tmp_path / "a" / "b"
    assert (report.tensors, report.resumed) == (9, ())
    assert report.parameters == sum(t.count for t in mixed_plan())
    assert report.size == sum(x.nbytes for x in checkpoints.open(report.folder).values())
    assert report.seconds > 0


def test_the_values_are_those_of_the_sampler(tmp_path):
    plan = mixed_plan()
    write(plan, tmp_path, seed=5, max_shard_size="60KB")
    opened = checkpoints.open(tmp_path)
    shards = layout_of(plan, seed=5, max_shard_size="60KB").shards
    for shard in shards:
        for entry in shard.entries:
            expected = np.empty(entry.size, np.uint8)
            shard.sampler(entry).draw(expected, 0)
            assert opened[entry.name].tobytes() == expected.tobytes()
            assert opened[entry.name].shape == entry.shape


@pytest.mark.parametrize("max_shard_size", ["5GB", "60KB", 1])
def test_the_reference_reader_reads_it(tmp_path, max_shard_size):
    write(mixed_plan(), tmp_path, seed=3, dtype="float16", max_shard_size=max_shard_size)
    ours = checkpoints.open(tmp_path)
    names = set()
    for path in tmp_path.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            assert file.metadata()["format"] == "pt"
            names |= set(file.keys())
            for name in file.keys():  # noqa: SIM118 - no mapping
                if not ours[name].dtype.name.startswith("float8"):  # NumPy has no name for those
                    np.testing.assert_array_equal(file.get_tensor(name), ours[name], strict=True)
    assert names == set(ours)


def test_the_arrays_are_aligned_and_read_only(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    for array in checkpoints.open(tmp_path).values():
        assert array.flags.aligned
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.frameworks
@pytest.mark.parametrize("max_shard_size", ["5GB", "60KB"])
def test_torch_reads_it(tmp_path, max_shard_size):
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    write(mixed_plan(), tmp_path, seed=3, max_shard_size=max_shard_size)
    ours = checkpoints.open(tmp_path)
    tensors = {}
    for path in tmp_path.glob("*.safetensors"):
        tensors.update(load(path))
    assert tensors.keys() == ours.keys()
    for name, tensor in tensors.items():
        assert tuple(tensor.shape) == ours[name].shape
        assert str(tensor.dtype) == f"torch.{ours[name].dtype}"
        stored = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        assert stored == ours[name].tobytes()


@pytest.mark.frameworks
@pytest.mark.parametrize("max_shard_size", ["5GB", "4KB"])
def test_the_hub_loads_it_strictly_into_a_module(tmp_path, max_shard_size):
    torch = pytest.importorskip("torch")
    hub = pytest.importorskip("huggingface_hub")
    model = torch.nn.Sequential(torch.nn.Linear(60, 30), torch.nn.Linear(30, 10))
    rows = ((n, tuple(p.shape), "normal(std=0.02)") for n, p in model.state_dict().items())
    write(plan_of(*rows), tmp_path, seed=1, max_shard_size=max_shard_size)
    result = hub.load_torch_model(model, tmp_path, strict=True)
    assert not result.missing_keys
    assert not result.unexpected_keys
    for name, array in checkpoints.open(tmp_path).items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), array)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 200_000))
def test_threads_and_shard_sizes_change_no_tensor(threads, limit):
    with tempfile.TemporaryDirectory() as folder:
        write(mixed_plan(), f"{folder}/a", seed=3, threads=1)
        write(mixed_plan(), f"{folder}/b", seed=3, threads=threads, max_shard_size=limit)
        assert tensors_of(f"{folder}/a") == tensors_of(f"{folder}/b")


@pytest.mark.parametrize("chunk", [8, 24, 1000, 2**20, 2**23])
def test_the_chunk_size_changes_no_byte(tmp_path, monkeypatch, chunk):
    write(mixed_plan(), tmp_path / "a", seed=3)
    monkeypatch.setattr(outputs, "CHUNK", chunk)
    write(mixed_plan(), tmp_path / "b", seed=3, threads=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_early_flushes_change_no_byte(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path / "a", seed=3)
    monkeypatch.setattr(outputs, "FLUSH", 10_000)
    monkeypatch.setattr(outputs, "BEGIN", 5000)
    monkeypatch.setattr(outputs, "CHUNK", 4096)
    write(mixed_plan(), tmp_path / "b", seed=3, threads=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def thousands_of_tensors() -> Plan:
    """More tensors than a chunk may hold, of every size from 0 on, of each width of element."""
    dtypes = ("float64", "float32", "bfloat16", "float8_e4m3fn")
    schemes = ("normal(std=0.02)", "zeros()", "he_normal()")
    rows = (
        (f"t{i}", (i % 50, 3 + i % 7), schemes[i % 2 if i % 50 == 0 else i % 3], dtypes[i % 4])
        for i in range(3000)
    )
    return plan_of(*rows)


@pytest.mark.parametrize("pieces", [1, 2, 7, 2**10])
def test_tensors_that_share_a_chunk_are_those_of_the_sampler(tmp_path, monkeypatch, pieces):
    for module in ("layout", "verify"):
        monkeypatch.setattr(sys.modules[f"fastinit.checkpoints.{module}"], "PIECES", pieces)
    plan = thousands_of_tensors()
    seen = []
    report = write(plan, tmp_path, seed=5, threads=2, progress=seen.append)
    assert sum(seen) == report.size
    opened = checkpoints.open(tmp_path)
    for tensor in plan:
        expected = fi.array(
            tensor.shape, tensor.scheme, seed=5, name=tensor.name, dtype=tensor.dtype
        )
        assert opened[tensor.name].tobytes() == expected.tobytes()
    assert checkpoints.verify(tmp_path).tensors == len(plan)


def test_small_tensors_are_written_together(tmp_path, monkeypatch):
    offsets = []
    pwrite = os.pwrite

    def counted(descriptor, data, offset):
        offsets.append(offset)
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    write(plan_of(*((f"t{i}", (100,), "ones()") for i in range(1000))), tmp_path, seed=0)
    assert len(offsets) == 2  # the header, and all of the tensors


def test_the_disk_is_told_to_begin_meanwhile(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *args: told.append(args[1:]), raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    monkeypatch.setattr(outputs, "BEGIN", 2**21)
    for level in ("none", "file"):
        write(large_plan(2), tmp_path / level, seed=0, threads=1, durability=level)
        assert len(told) == (0 if level == "none" else 8)
    assert [offset // 2**20 for offset, _, _ in told] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert {size for _, size, _ in told} == {2**21}


def test_a_system_that_cannot_be_told_to_begin_works(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(outputs, "BEGIN", 2**21)
    write(large_plan(2), tmp_path / "a", seed=0)
    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    write(large_plan(2), tmp_path / "b", seed=0)
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    write(large_plan(2), tmp_path / "c", seed=0)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")


def test_another_seed_is_another_checkpoint(tmp_path):
    plan = plan_of(("w", (100,), "normal(std=0.02)"))
    write(plan, tmp_path / "a", seed=0)
    write(plan, tmp_path / "b", seed=1)
    assert tensors_of(tmp_path / "a") != tensors_of(tmp_path / "b")


def test_the_progress_adds_up_to_the_size(tmp_path):
    seen = []
    report = write(large_plan(2), tmp_path, seed=0, threads=3, progress=seen.append)
    assert sum(seen) == report.size
    assert len(seen) > 10


def test_an_error_in_the_progress_ends_the_write(tmp_path):
    def progress(size):
        if size:
            raise RuntimeError("the bar broke")

    with pytest.raises(RuntimeError, match="the bar broke"):
        write(large_plan(2), tmp_path, seed=0, progress=progress)
    assert contents(tmp_path).keys() == {"config.json"}


def test_bad_arguments_are_refused_before_anything_is_made(tmp_path):
    plan = plan_of(("w", (10,), "zeros()"))
    for options, message in [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0, "dtype": "int8"}, "dtype 'int8' is not supported"),
        ({"seed": 0, "max_shard_size": "big"}, "max_shard_size is 'big'"),
        ({"seed": 0, "threads": 0}, "threads is 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            write(plan, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_committed_checkpoint_is_not_touched_without_overwrite(tmp_path):
    for limit in ("5GB", "60KB"):
        folder = tmp_path / limit
        write(mixed_plan(), folder, seed=3, max_shard_size=limit)
        before = contents(folder)
        with pytest.raises(CheckpointError, match=r"already holds a checkpoint .*overwrite=True"):
            write(mixed_plan(), folder, seed=3, max_shard_size=limit)
        assert contents(folder) == before


@pytest.mark.parametrize("old", ["5GB", "60KB", "30KB"])
@pytest.mark.parametrize("new", ["5GB", "60KB", "30KB"])
def test_overwrite_leaves_exactly_the_new_checkpoint_and_foreign_files(tmp_path, old, new):
    write(mixed_plan(), tmp_path / "x", seed=3, max_shard_size=old)
    (tmp_path / "x" / "tokenizer.json").write_text("{}")
    (tmp_path / "x" / "other-00001-of-00002.safetensors").write_text("not ours")
    write(mixed_plan(), tmp_path / "x", seed=4, max_shard_size=new, overwrite=True)
    write(mixed_plan(), tmp_path / "y", seed=4, max_shard_size=new)
    found = contents(tmp_path / "x")
    assert found.pop("tokenizer.json") == b"{}"
    assert found.pop("other-00001-of-00002.safetensors") == b"not ours"
    assert found == contents(tmp_path / "y")


def test_overwrite_never_follows_an_old_index_out_of_the_folder(tmp_path):
    victim = tmp_path / "model-00001-of-00001.safetensors"
    victim.write_text("precious")
    write(mixed_plan(), tmp_path / "x", seed=3, max_shard_size="60KB")
    weight_map = {"a": "../model-00001-of-00001.safetensors", "b": str(victim)}
    (tmp_path / "x" / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    write(mixed_plan(), tmp_path / "x", seed=3, overwrite=True)
    assert victim.read_text() == "precious"


def test_unrelated_files_are_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "sub").mkdir()
    (tmp_path / ".model.safetensors.backup.fastinit").write_text("mine")
    write(mixed_plan(), tmp_path, seed=3)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / ".model.safetensors.backup.fastinit").read_text() == "mine"
    assert (tmp_path / "sub").is_dir()


def interrupted(folder, seed=3, keep=(1,), limit="60KB"):
    """A folder as a killed run leaves it: some shards, no index."""
    write(mixed_plan(), folder, seed=seed, max_shard_size=limit)
    complete = contents(folder)
    (folder / INDEX).unlink()
    for number, path in enumerate(sorted(folder.glob("model-*")), 1):
        if number not in keep:
            path.unlink()
    return complete


@pytest.mark.parametrize("keep", [(), (1,), (2,), (1, 2, 3)])
def test_finished_shards_are_kept_and_reported(tmp_path, keep):
    complete = interrupted(tmp_path, keep=keep)
    kept = sorted(p.name for p in tmp_path.glob("model-*"))
    stamps = [os.stat(tmp_path / name).st_mtime_ns for name in kept]
    seen = []
    report = write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB", progress=seen.append)
    assert list(report.resumed) == kept
    assert [os.stat(tmp_path / name).st_mtime_ns for name in kept] == stamps
    assert contents(tmp_path) == complete
    assert sum(seen) == report.size


@pytest.mark.parametrize("options", [{"seed": 4}, {"seed": 3, "dtype": "float16"}])
def test_shards_of_another_call_are_not_mixed_in(tmp_path, options):
    interrupted(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        write(mixed_plan(), tmp_path, max_shard_size="60KB", **options)
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        write(mixed_plan(), tmp_path, seed=3)  # one file: the numbered shard is a stranger
    assert contents(tmp_path) == before
    write(mixed_plan(), tmp_path, max_shard_size="60KB", overwrite=True, **options)
    checkpoints.verify(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "header", "link", "folder"])
def test_a_shard_that_is_not_whole_is_not_resumed(tmp_path, damage):
    interrupted(tmp_path)
    (path,) = tmp_path.glob("model-*")
    data = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(data[:-1])
    if damage == "header":
        path.write_bytes(data[:20] + b"!" + data[21:])
    if damage == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    if damage == "folder":
        path.mkdir()
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")


def test_another_config_is_not_replaced_without_overwrite(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config.json differs from this plan's: remove it"):
        write(mixed_plan(), tmp_path, seed=3)
    assert contents(tmp_path) == {"config.json": b"{}"}
    write(mixed_plan(), tmp_path, seed=3, overwrite=True)
    assert json.loads((tmp_path / "config.json").read_text())["hidden_size"] == 129


def test_a_plan_without_config_leaves_a_config_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    write(plan_of(("w", (10,), "zeros()")), tmp_path, seed=3)
    assert (tmp_path / "config.json").read_text() == "{}"


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(CheckpointError, match=r"is a folder where a file must go"):
        write(mixed_plan(), tmp_path, seed=3, overwrite=True)
    (tmp_path / "config.json").mkdir()
    (tmp_path / "model.safetensors").rmdir()
    with pytest.raises(CheckpointError, match=r"config.json differs from this plan's"):
        write(mixed_plan(), tmp_path, seed=3)


def test_a_link_as_target_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(
        CheckpointError, match=r"link is a symbolic link to .*real: pass its target"
    ):
        write(mixed_plan(), tmp_path / "link", seed=3)
    assert not contents(tmp_path / "real")


def test_a_path_with_an_escape_sequence_is_shown_harmless(tmp_path):
    folder = tmp_path / "a\x1b[2K"
    write(mixed_plan(), folder, seed=3)
    with pytest.raises(CheckpointError, match=r"a\\x1b\[2K already holds a checkpoint"):
        write(mixed_plan(), folder, seed=3)
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink(missing_ok=True)
    (folder / "model-00001-of-00002.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"a\\x1b\[2K/model-.* is not what this call would"):
        write(mixed_plan(), folder, seed=3)
    (folder / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot open .*a\\x1b\[2K/file: Not a directory"):
        write(mixed_plan(), folder / "file", seed=3)


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"path is '': it is empty; name a folder, or '\.' for"):
        write(mixed_plan(), "", seed=3)
    assert not contents(tmp_path)


def test_a_file_as_target_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            CheckpointError, match=r"cannot open .*Not a directory; choose a folder"
        ):
            write(mixed_plan(), target, seed=3)


def test_engines_can_write_shards_apart_and_the_writer_adds_the_index(tmp_path):
    plan = mixed_plan()
    write(plan, tmp_path / "whole", seed=3, max_shard_size="50KB")
    descriptions = [
        json.dumps(shard.to_json())
        for shard in layout_of(plan, seed=3, max_shard_size="50KB").shards
    ]
    for text in [*reversed(descriptions), descriptions[0]]:  # a retried task changes nothing
        write_shard(json.loads(text), tmp_path / "parts", threads=1)
    report = write(plan, tmp_path / "parts", seed=3, max_shard_size="50KB")
    assert len(report.resumed) == len(descriptions)
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


@pytest.mark.parametrize("chunk", [2**12, 2**20])
def test_a_description_may_have_wide_tensors_behind_narrow_ones(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(outputs, "CHUNK", chunk)
    rows = (
        ("a", (777,), "normal(std=0.02)", "float8_e4m3fn"),
        ("w", (1_000_000,), "normal(std=0.02)", "float32"),
        ("b", (33,), "normal(std=0.02)", "bfloat16"),
        ("empty", (0,), "zeros()", "float64"),
    )
    plan = plan_of(*rows)
    shard = layout_of(plan, seed=3).shards[0].to_json()
    named = {entry["name"]: entry for entry in shard["entries"]}
    write_shard({**shard, "entries": [named[row[0]] for row in rows]}, tmp_path, threads=2)
    data = (tmp_path / "model.safetensors").read_bytes()
    assert data[8 + int.from_bytes(data[:8], "little") :] == b"".join(
        fi.array(t.shape, t.scheme, seed=3, name=t.name, dtype=t.dtype).tobytes() for t in plan
    )
    assert checkpoints.verify(tmp_path / "model.safetensors").tensors == 4


MEMORY = """
import sys
sys.path.insert(0, {tests!r})
from checkpoint_plans import plan_of
from fastinit.checkpoints import verify, write
plan = plan_of(("huge", (2**15, 2**14), "normal(std=0.02)"), ("small", (2**10,), "zeros()"))
write(plan, {folder!r}, seed=0, max_shard_size="1GB")
verify({folder!r})
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)  # getrusage's peak may be the parent's, from before exec
"""


@pytest.mark.slow
def test_a_two_gigabyte_tensor_is_written_and_verified_in_little_memory(tmp_path):
    code = MEMORY.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path / "m"))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    )
    assert int(result.stdout) < 300
    for path in (tmp_path / "m").iterdir():
        path.unlink()


def test_the_public_names_are_these():
    assert checkpoints.write is write_function
    assert checkpoints.open is checkpoints.open_checkpoint
    assert issubclass(VerifyError, CheckpointError)
