# SPDX-License-Identifier: MIT
"""Refilling: the tensors that are named are drawn anew, and nothing else changes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from broken_calls import Broken, always
from checkpoint_plans import (
    contents,
    large_plan,
    mixed_plan,
    plan_of,
    safetensors_file,
    temporaries,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import fastinit as fi
from fastinit.checkpoints import refill, regenerate, verify, write
from fastinit.checkpoints.files import Folder
from fastinit.checkpoints.recipe import Recipe
from fastinit.errors import CheckpointError, InvalidCheckpointError, VerifyError
from fastinit.machine.descriptors import OpenFile, OpenFiles

INDEX = "model.safetensors.index.json"
SHARDS = {"seed": 3, "max_shard_size": "60KB"}
DRAWN = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
NARROW = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
CODES = {**DRAWN, **NARROW, "I64": None, "BOOL": None, "F4": None}
BITS = {"F64": 64, "F32": 32, "BF16": 16, "F16": 16, "I64": 64, "F4": 4}


# --- checkpoints of strangers --------------------------------------------------------------------


@st.composite
def foreign_files(draw, prefix=""):
    """(bytes of a file, name -> code): any order of names and of values, any metadata, no padding.

    The reader of safetensors takes any header; its writer would sort.
    """
    count = draw(st.integers(1, 6))
    codes = [draw(st.sampled_from(sorted(CODES))) for _ in range(count)]
    shapes = [tuple(draw(st.lists(st.integers(0, 7), max_size=3))) for _ in codes]
    shapes = [(*s, 2) if c == "F4" else s for s, c in zip(shapes, codes, strict=True)]
    sizes = [
        int(np.prod(s, dtype=int)) * BITS.get(c, 8) // 8 for s, c in zip(shapes, codes, strict=True)
    ]
    places, end = {}, 0
    for number in draw(st.permutations(range(count))):
        places[number] = (end, end + sizes[number])
        end += sizes[number]
    header = {
        f"{prefix}t{i}.größe": {"dtype": codes[i], "shape": shapes[i], "data_offsets": places[i]}
        for i in draw(st.permutations(range(count)))
    }
    if draw(st.booleans()):
        items = list(header.items())
        metadata = draw(st.dictionaries(st.sampled_from(["format", "größe", 'a"b']), st.text()))
        items.insert(draw(st.integers(0, count)), ("__metadata__", metadata))
        header = dict(items)
    values = np.random.default_rng(draw(st.integers(0, 99))).bytes(end)
    pad = b" " * draw(st.integers(0, 9))
    text = json.dumps(header, ensure_ascii=draw(st.booleans())).encode()
    named = {f"{prefix}t{i}.größe": codes[i] for i in range(count)}
    return safetensors_file(text, values, pad=pad), named


@st.composite
def foreign_checkpoints(draw):
    """(file name -> bytes, tensor -> code): one file, or some with their index."""
    count = draw(st.integers(1, 3))
    files, codes = {}, {}
    index = {"metadata": {"total_size": 0, "by": "a stranger"}, "weight_map": {}}
    for number in range(count):
        data, named = draw(foreign_files(f"file{number}."))
        name = "model.safetensors" if count == 1 else f"part-{number}.safetensors"
        files[name] = data
        codes |= named
        index["weight_map"] |= dict.fromkeys(named, name)
    if count > 1:
        files[INDEX] = json.dumps(index).encode()
    return files, codes


def header_of(data):
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def values_of(data):
    """Tensor -> bytes, by a reader of the test's own."""
    header, values = header_of(data)
    header.pop("__metadata__", None)
    return {n: values[slice(*e["data_offsets"])] for n, e in header.items()}


@settings(max_examples=30, deadline=None)
@given(foreign_checkpoints(), st.data())
def test_of_any_checkpoint_the_tensors_named_are_drawn_and_nothing_else_changes(made, data):
    files, codes = made
    able = sorted(name for name, code in codes.items() if CODES[code])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        if not able:
            with pytest.raises(ValueError, match="which no scheme draws"):
                refill(folder, "*", scheme="normal(std=0.02)", seed=5)
            assert contents(folder) == files
            return
        names = data.draw(st.lists(st.sampled_from(able), min_size=1, unique=True))
        threads = data.draw(st.integers(1, 3))
        report = refill(folder, names, scheme="normal(std=0.02)", seed=5, threads=threads)
        assert {one.name for one in report.tensors} == set(names)
        check_foreign(folder, files, codes, names)
        found = verify(folder)
        assert dict(found.refilled) == dict.fromkeys(names, 5)
        assert (found.tensors, found.unknown) == (len(names), len(codes) - len(names))
        assert (found.plan, found.digest, found.seed) == ("", "", 0)
        after = contents(folder)
        refill(folder, names)  # the recipes say how
        assert contents(folder) == after


def check_foreign(folder, files, codes, names):
    """Everything but the values of `names` is as it was, for every reader."""
    after = contents(folder)
    assert after.keys() == files.keys()
    for file in files.keys() - {INDEX}:
        before = values_of(files[file])
        old, new = header_of(files[file])[0], header_of(after[file])[0]
        metadata = new.pop("__metadata__", {})
        was = old.pop("__metadata__", {})
        if before.keys().isdisjoint(names):
            assert after[file] == files[file]
            continue
        recipe = metadata.pop("fastinit")
        assert metadata == was
        assert list(new.items()) == list(old.items())
        assert Recipe.parse(recipe).init.keys() == before.keys() & set(names)
        assert int.from_bytes(after[file][:8], "little") % 4096 == 4088
        for name, value in values_of(after[file]).items():
            if name in names:
                shape, dtype = old[name]["shape"], CODES[codes[name]]
                wanted = fi.array(tuple(shape), "normal(std=0.02)", seed=5, name=name, dtype=dtype)
                assert value == wanted.tobytes()
            else:
                assert value == before[name]
        with safe_open(folder / file, "np") as opened:  # the reader of the library
            assert set(opened.keys()) == before.keys()
            for name in before:
                if codes[name] in ("F64", "F32", "F16", "I64", "BOOL"):  # those that NumPy has
                    assert opened.get_tensor(name).tobytes() == values_of(after[file])[name]
    if INDEX in files:
        assert after[INDEX] == files[INDEX]


# --- our own -------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    st.sets(st.sampled_from([tensor.name for tensor in mixed_plan()]), min_size=1),
    st.sampled_from(["5GB", "60KB", "1"]),
    st.sampled_from([None, "uniform(low=-1, high=1)", "ones()"]),
    st.sampled_from([None, 3, 8, 2**64 - 1]),
    st.integers(1, 3),
)
def test_of_our_own_the_tensors_named_are_drawn_and_nothing_else_changes(
    names, size, scheme, seed, threads
):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(mixed_plan(), folder, seed=3, max_shard_size=size)
        before = {name: array.copy() for name, array in fi.open(folder).items()}
        files = contents(folder)
        report = refill(folder, sorted(names), scheme=scheme, seed=seed, threads=threads)
        for tensor in mixed_plan():
            found = fi.open(folder)[tensor.name]
            if tensor.name in names:
                wanted = fi.array(
                    tensor.shape,
                    scheme or tensor.scheme,
                    seed=3 if seed is None else seed,
                    name=tensor.name,
                    dtype=tensor.dtype or "float32",
                )
                assert found.tobytes() == wanted.tobytes()
            else:
                assert found.tobytes() == before[tensor.name].tobytes()
        for name in files.keys() - set(report.files):
            assert (folder / name).read_bytes() == files[name]
        assert set(verify(folder).refilled) == changed(names, scheme, seed)
        if scheme is None and seed in (None, 3):
            assert contents(folder) == files


def changed(names, scheme, seed):
    """The tensors whose scheme or seed is another than that of `write`."""
    own = {tensor.name: tensor for tensor in mixed_plan()}
    return {
        name
        for name in names
        if seed not in (None, 3)
        or (scheme is not None and str(fi.scheme(scheme)) != str(own[name].scheme))
    }


def test_damaged_tensors_are_repaired_and_keep_what_they_were_refilled_with(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    refill(tmp_path, "half", scheme="uniform(-1, 1)", seed=9)
    right = contents(tmp_path)
    for name in ("half", "double"):
        array = fi.open(tmp_path)[name]
        for path in tmp_path.glob("*.safetensors"):
            path.write_bytes(path.read_bytes().replace(array.tobytes(), bytes(array.nbytes)))
    with pytest.raises(VerifyError):
        verify(tmp_path)
    refill(tmp_path, ["half", "double"])
    assert contents(tmp_path) == right


def test_a_tensor_that_draws_by_another_ones_name_still_does(tmp_path):
    plan = plan_of(
        ("wte", (8, 4), "normal(std=0.02)"),
        ("head", (8, 4), "same_as('wte', normal(std=0.02))"),
    )
    write(plan, tmp_path, seed=1)
    refill(tmp_path, "*", seed=2)
    opened = fi.open(tmp_path)
    assert (opened["wte"] == opened["head"]).all()
    refill(tmp_path, "head", scheme="same_as('wte', ones())", seed=4)
    assert dict(verify(tmp_path).refilled) == {"wte": 2, "head": 4}


def test_auto_goes_by_the_name_and_the_recipe_says_what_it_chose(tmp_path):
    write(plan_of(("mlp.up_proj.weight", (16, 4), "zeros()")), tmp_path, seed=1)
    (one,) = refill(tmp_path, "*", scheme="auto('gelu')").tensors
    assert one.init == str(fi.auto("gelu").for_tensor(one.name, one.shape)) == "he_normal()"
    assert dict(verify(tmp_path).refilled) == {one.name: 1}


def test_one_file_of_a_checkpoint_is_refilled_alone(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    file = tmp_path / "model-00003-of-00003.safetensors"
    report = refill(file, "double", seed=4)
    assert report.files == (file.name,)
    assert dict(verify(tmp_path).refilled) == {"double": 4}
    with pytest.raises(ValueError, match=r"no tensor matches 'wte.weight'"):
        refill(file, "wte.weight", seed=4)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    before = contents(tmp_path)
    said = refill(tmp_path, ["double", "wte*"], scheme="ones()", seed=4, dry_run=True)
    assert contents(tmp_path) == before
    seen = []
    done = refill(
        tmp_path, ["double", "wte*"], scheme=fi.ones(), seed=4, progress=seen.append, threads=2
    )
    assert (said.tensors, said.files, said.space) == (done.tensors, done.files, done.space)
    assert (said.dry_run, done.dry_run) == (True, False)
    assert sum(seen) == done.size + done.copied
    (wte, double) = done.tensors
    assert (wte.name, wte.dtype, wte.shape, wte.start) == (
        "wte.weight",
        "float32",
        (300, 129),
        4096,
    )
    assert (wte.old_init, wte.old_seed, wte.init, wte.seed) == ("normal(std=0.02)", 3, "ones()", 4)
    data = (tmp_path / double.file).read_bytes()
    assert data[double.start : double.start + double.size] == np.ones((1000, 3)).tobytes()
    assert done.space == max((tmp_path / file).stat().st_size for file in done.files)


def test_who_has_mapped_the_old_file_keeps_it(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    mapped = fi.open(tmp_path)["double"]
    before = mapped.copy()
    refill(tmp_path, "double", seed=4)
    assert (mapped == before).all()
    assert (fi.open(tmp_path)["double"] != before).any()


def test_the_new_file_is_locked_until_it_has_its_name(tmp_path, monkeypatch):
    """Another machine cannot see the lock of a folder on NFS, and would remove the file."""
    fi.write(plan_of(("a", (40,), "normal()"), ("b", (9,), "zeros()")), tmp_path / "m", seed=3)
    locked, rename = [], Folder.rename

    def renamed(folder, old, new):
        with OpenFile() as other:
            folder.file.open_in(other, old, os.O_RDWR)
            locked.append((new, other.lock() is False))
        rename(folder, old, new)

    monkeypatch.setattr(Folder, "rename", renamed)
    refill(tmp_path / "m", ["a"], seed=4)
    assert locked == [("model.safetensors", True)]


def test_the_new_file_has_the_mode_of_the_old_one(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    (tmp_path / "model.safetensors").chmod(0o640)
    refill(tmp_path, "double", seed=4)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o640


def test_the_checkpoint_is_a_source_with_the_schemes_of_now(tmp_path):
    write(mixed_plan(), tmp_path, seed=3)
    refill(tmp_path, "double", scheme="ones()", seed=4)
    plan = fi.plan(tmp_path)
    assert str(plan["double"].scheme) == "ones()"
    assert str(plan["half"].scheme) == "normal(std=0.02)"


@pytest.mark.frameworks
def test_the_reader_of_the_hub_loads_it(tmp_path, torch):
    hub = pytest.importorskip("huggingface_hub")
    write(mixed_plan(), tmp_path, **SHARDS)
    refill(tmp_path, ["brain", "double"], scheme="ones()", seed=4)
    loaded = {}
    for path in sorted(tmp_path.glob("*.safetensors")):
        loaded |= hub.load_state_dict_from_file(path)
    assert loaded.keys() == {tensor.name for tensor in mixed_plan()}
    assert (loaded["brain"] == torch.ones(33, 1001, dtype=torch.bfloat16)).all()
    assert loaded["wte.weight"].numpy().tobytes() == fi.open(tmp_path)["wte.weight"].tobytes()


def test_a_write_does_not_take_a_refilled_file_for_its_own(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    refill(tmp_path, "double", seed=4)
    (tmp_path / INDEX).unlink()
    with pytest.raises(CheckpointError, match="is not what this call would write there"):
        write(mixed_plan(), tmp_path, **SHARDS)


def test_a_refilled_shard_of_another_call_does_not_belong(tmp_path):
    for seed in (3, 4):
        write(mixed_plan(), tmp_path / str(seed), seed=seed, max_shard_size="60KB")
    refill(tmp_path / "4", "half", seed=3)
    name = "model-00002-of-00003.safetensors"
    (tmp_path / "3" / name).write_bytes((tmp_path / "4" / name).read_bytes())
    for call in (verify, lambda folder: refill(folder, "half")):
        with pytest.raises(VerifyError, match="belong together"):
            call(tmp_path / "3")


def strip(path):
    """Drop the recipe, as a program does that copies tensors alone."""
    header, values = header_of(path.read_bytes())
    header["__metadata__"].pop("fastinit")
    path.write_bytes(safetensors_file(header, values))


def test_a_shard_without_its_recipe_is_neither_verified_nor_refilled(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    strip(tmp_path / "model-00002-of-00003.safetensors")
    before = contents(tmp_path)
    with pytest.raises(VerifyError, match=r"00002-of-00003.safetensors: has no recipe"):
        verify(tmp_path)
    for name in ("half", "brain"):
        with pytest.raises(InvalidCheckpointError, match="lacks the recipe that the other files"):
            refill(tmp_path, name, scheme="ones()", seed=1)
    assert contents(tmp_path) == before
    refill(tmp_path / "model-00002-of-00003.safetensors", "brain", scheme="ones()", seed=1)
    with pytest.raises(VerifyError, match=r"has seed 0 and plan none, but .* belong together"):
        verify(tmp_path)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("dobule", {}, "no tensor matches 'dobule'; did you mean 'double'?"),
        (["half", "x*"], {}, r"no tensor matches 'x\*'"),
        ([], {}, "names are"),
        ("half", {"scheme": "nomal()"}, "no scheme is named 'nomal'"),
        ("half", {"scheme": "identity()"}, "tensor 'half' cannot be drawn"),
        ("half", {"seed": -1}, "seed is -1"),
        ("half", {"threads": 0}, "threads is 0"),
        ("half", {"durability": "half"}, "durability is 'half'"),
        ("half", {"custom": "laws"}, "custom is 'laws'"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_written(tmp_path, names, options, message):
    write(mixed_plan(), tmp_path, **SHARDS)
    before = contents(tmp_path)
    with pytest.raises((TypeError, ValueError), match=message):
        refill(tmp_path, names, **options)
    assert contents(tmp_path) == before


def foreign(folder, name="w[0]", code="F32"):
    header = {name: {"dtype": code, "shape": [8], "data_offsets": [0, 32]}}
    (folder / "model.safetensors").write_bytes(safetensors_file(header, bytes(32)))


def test_without_a_recipe_scheme_and_seed_are_needed(tmp_path):
    foreign(tmp_path, "w")
    with pytest.raises(ValueError, match=r"how tensor 'w' is drawn: pass scheme= \(--scheme\)"):
        refill(tmp_path, "w", seed=1)
    with pytest.raises(ValueError, match=r"which seed tensor 'w' is drawn: pass seed= \(--seed\)"):
        refill(tmp_path, "w", scheme="ones()")


def test_a_dtype_that_no_scheme_draws_is_refused_by_name(tmp_path):
    header = {"w": {"dtype": "I64", "shape": [4], "data_offsets": [0, 32]}}
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(header, bytes(32)))
    with pytest.raises(
        ValueError, match=r"'w' in model.* has dtype I64, which no scheme draws: .*"
    ):
        refill(tmp_path, "*", scheme="ones()", seed=1)


def test_a_name_that_looks_like_a_pattern_is_explained(tmp_path):
    foreign(tmp_path)
    with pytest.raises(ValueError, match=re.escape("write 'w[[]0]'")):
        refill(tmp_path, "w[0]", scheme="ones()", seed=1)
    refill(tmp_path, "w[[]0]", scheme="ones()", seed=1)
    assert (fi.open(tmp_path)["w[0]"] == 1).all()


def test_npy_files_are_refused(folder):
    before = contents(folder)
    with pytest.raises(CheckpointError, match="npy files, which have one recipe for all of them"):
        refill(folder, "*", seed=1)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "its recipe is not valid"),
        ('{"stream":2,"seed":0,"plan":"","digest":"","init":{}}', "digest is empty|version 2"),
        (Recipe(0, "", "a" * 64, {"x": "ones()"}).text(), "tensor 'w' is missing from the recipe"),
        (Recipe(0, "", "", {"x": "ones()"}, refilled={"x": 1}).text(), "'x' is missing from the f"),
    ],
)
def test_a_recipe_that_is_not_valid_is_refused_and_nothing_is_touched(tmp_path, text, message):
    entry = {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}
    header = {"__metadata__": {"fastinit": text}, "w": entry}
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(header, bytes(32)))
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        refill(tmp_path, "w", scheme="ones()", seed=1)
    assert contents(tmp_path) == before


def test_a_link_is_refused_because_what_it_leads_to_would_stay(tmp_path):
    write(mixed_plan(), tmp_path / "blobs", seed=3)
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot/model.safetensors").symlink_to("../blobs/model.safetensors")
    with pytest.raises(CheckpointError, match=r"is a symbolic link to \.\./blobs/model"):
        refill(tmp_path / "snapshot", "double", seed=4)


def test_an_index_that_promises_too_much_is_refused(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["ghost"] = "model-00001-of-00003.safetensors"
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(InvalidCheckpointError, match=r"lacks tensors which the index says .*ghost"):
        refill(tmp_path, "ghost", seed=1)
    (tmp_path / "model-00001-of-00003.safetensors").unlink()
    with pytest.raises(InvalidCheckpointError, match="the file is missing"):
        refill(tmp_path, "double", seed=1)


def test_an_overwrite_that_is_not_finished_comes_first(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    (tmp_path / f".{INDEX}.complete.fastinit").write_text("{}")
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="another call had nearly put in place"):
        refill(tmp_path, "double", seed=4)
    assert contents(tmp_path) == before


def test_files_that_are_replaced_meanwhile_are_not_said_to_be_wrong(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    once = iter([True])

    def meanwhile(_):
        if next(once, False):
            refill(tmp_path, "double", seed=4)

    with pytest.raises(CheckpointError, match=r"00003-of-.* was replaced while it was read") as it:
        verify(tmp_path, threads=1, progress=meanwhile)
    assert not isinstance(it.value, InvalidCheckpointError)
    assert verify(tmp_path).refilled == {"double": 4}


def test_a_second_writer_is_told_to_wait(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    with (
        OpenFiles() as opened,
        Folder(tmp_path, opened),
        pytest.raises(CheckpointError, match=r"another process is writing into .*wait until it"),
    ):
        refill(tmp_path, "double", seed=4)


def test_a_checkpoint_that_is_open_for_writing_is_left_alone(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    before = contents(tmp_path)
    opened = fi.open(tmp_path, writable=True)
    for call in (lambda: refill(tmp_path, "double", seed=4), lambda: regenerate(tmp_path)):
        with pytest.raises(CheckpointError, match="a checkpoint there is open for writing: wait"):
            call()
    assert contents(tmp_path) == before
    del opened
    assert refill(tmp_path, "double", seed=4).files == ("model-00003-of-00003.safetensors",)


def test_files_without_such_a_tensor_are_not_even_opened_for_writing(tmp_path):
    write(mixed_plan(), tmp_path, **SHARDS)
    before = {path.name: path.stat() for path in tmp_path.iterdir()}
    (file,) = refill(tmp_path, "double", seed=2**64 - 1).files
    after = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    for name in before.keys() - {file}:
        one, other = before[name], after[name]
        assert (one.st_ino, one.st_mtime_ns) == (other.st_ino, other.st_mtime_ns)
    assert before[file].st_ino != after[file].st_ino


def test_many_tensors_take_time_in_proportion(tmp_path):
    def seconds(count):
        entries = {
            f"t{i}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
            for i in range(count)
        }
        path = tmp_path / f"{count}.safetensors"
        path.write_bytes(safetensors_file(entries, bytes(4 * count)))
        begin = time.process_time()
        refill(path, "*", scheme="ones()", seed=1, dry_run=True)
        return time.process_time() - begin

    assert seconds(32_000) < 50 * seconds(2_000)  # 256 if each is looked for among all


def test_a_path_without_a_checkpoint_makes_no_folder(tmp_path):
    with pytest.raises(CheckpointError):
        refill(tmp_path / "absent", "w", seed=4)
    assert not (tmp_path / "absent").exists()


def test_too_little_space_is_known_before(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, **SHARDS)
    before = contents(tmp_path)
    real = os.statvfs("/")
    monkeypatch.setattr(
        os, "statvfs", lambda place: os.statvfs_result((*real[:2], 1, 1, 1, *real[5:]))
    )
    with pytest.raises(CheckpointError, match=r"needs 33,036 bytes, .* are available"):
        refill(tmp_path, "double", seed=4)
    assert contents(tmp_path) == before


def test_a_file_that_changed_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, seed=3)
    check = Folder.check_space

    def change(self, needed):
        check(self, needed)
        monkeypatch.undo()
        write(mixed_plan(), tmp_path / "other", seed=4)
        os.rename(tmp_path / "other/model.safetensors", tmp_path / "model.safetensors")

    monkeypatch.setattr(Folder, "check_space", change)
    with pytest.raises(CheckpointError, match="was changed meanwhile"):
        refill(tmp_path, "double", seed=4)
    assert verify(tmp_path).seed == 4


def test_a_header_that_readers_would_refuse_is_refused(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, seed=3)
    from fastinit.checkpoints.formats.safetensors import shards

    monkeypatch.setattr(shards, "HEADER_LIMIT", 4000)
    with pytest.raises(ValueError, match=r"the header of model.safetensors takes 4,088 bytes, but"):
        refill(tmp_path, "double", seed=4)


# --- copying, and calls that fail ----------------------------------------------------------------


def copy_in_parts(descriptor, target, size, start, offset):
    """A system that copies a little at a time."""
    data = os.pread(descriptor, min(size, 1000), start)
    return os.pwrite(target, data, offset)


WAYS = {
    **{errno.errorcode[c]: always(c) for c in (errno.EXDEV, errno.ENOSYS, errno.EINVAL)},
    "nothing": lambda *_: 0,
    "in parts": copy_in_parts,
    "absent": None,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_stays_is_copied_whatever_the_system_offers(tmp_path, monkeypatch, way):
    for place in ("right", "x"):
        write(mixed_plan(), tmp_path / place, seed=3)
    refill(tmp_path / "right", "half", seed=4)
    if WAYS[way]:
        monkeypatch.setattr(os, "copy_file_range", WAYS[way])
    else:
        monkeypatch.delattr(os, "copy_file_range")
    refill(tmp_path / "x", "half", seed=4, threads=2)
    assert contents(tmp_path / "x") == contents(tmp_path / "right")


def test_a_file_that_shrinks_while_it_is_copied_is_an_error(tmp_path, monkeypatch):
    write(mixed_plan(), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    copy = os.copy_file_range

    def shrink(*args):
        os.truncate(path, 5000)
        return copy(*args)

    monkeypatch.setattr(os, "copy_file_range", shrink)
    with pytest.raises(InvalidCheckpointError, match="it became shorter while it was read"):
        refill(tmp_path, "half", seed=4)
    assert not temporaries(tmp_path)


CALLS = [
    pytest.param("open", errno.EMFILE, marks=pytest.mark.slow),
    ("posix_fallocate", errno.ENOSPC),
    ("copy_file_range", errno.EIO),
    ("copy_file_range", errno.ENOSPC),
    ("pwrite", errno.EIO),
    pytest.param("preadv", errno.EIO, marks=pytest.mark.slow),
    ("fsync", errno.EIO),
    ("rename", errno.EROFS),
    ("listdir", errno.EIO),
]


@pytest.mark.parametrize(("name", "code"), CALLS)
def test_every_call_may_fail_and_the_same_call_finishes(tmp_path, monkeypatch, name, code):
    options = {"names": ["half", "double"], "scheme": "uniform(-1, 1)", "seed": 8, "threads": 2}
    write(mixed_plan(), tmp_path / "right", **SHARDS)
    old = contents(tmp_path / "right")
    refill(tmp_path / "right", **options)
    new = contents(tmp_path / "right")
    for k in range(1, 100):
        folder = tmp_path / str(k)
        write(mixed_plan(), folder, durability="none", **SHARDS)
        broken = Broken(getattr(os, name), k, code)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            try:
                refill(folder, **options)
                failed = False
            except CheckpointError as error:
                failed = os.strerror(code) in str(error)
        if broken.calls < k:
            break
        assert failed
        found = contents(folder)
        assert found.keys() == old.keys()
        assert all(data in (old[name], new[name]) for name, data in found.items())
        assert set(verify(folder).refilled) <= {"half", "double"}
        refill(folder, **options)
        assert contents(folder) == new
    assert 1 < k < 99


# --- signals, and the command line ---------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_it_soon_and_leaves_the_old_file(tmp_path, threads):
    write(large_plan(4, 2**20), tmp_path / "x", seed=3)
    before = contents(tmp_path / "x")
    body = (
        "import fastinit as fi, time\n"
        f"fi.refill({str(tmp_path / 'x')!r}, 'layer.[13].weight', seed=4, threads={threads},\n"
        "    progress=lambda size: (print('chunk', flush=True), time.sleep(0.2)))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", body], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"chunk\n"
    begin = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.perf_counter() - begin < 5
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    assert contents(tmp_path / "x") == before


def test_the_command_draws_and_says_what(tmp_path, main):
    write(mixed_plan(), tmp_path, **SHARDS)
    before = contents(tmp_path)
    call = ("refill", tmp_path, "double", "wte*", "--scheme", "ones()", "--seed", 4)
    code, out, err = main(*call, "--dry-run")
    assert (code, err) == (0, "")
    assert contents(tmp_path) == before
    first, *_, last = out.splitlines()
    assert first == (
        "model-00001-of-00003.safetensors  bytes 4,096 to 158,896  wte.weight  float32  (300, 129)"
        "  normal(std=0.02), seed 3 -> ones(), seed 4"
    )
    assert "would draw 2 tensors, 178.80 kB" in last
    assert "needs 158,896 bytes of free space" in last
    said = json.loads(main(*call, "--dry-run", "--json")[1])
    code, out, err = main(*call, "--json")
    done = json.loads(out)
    assert (code, err, done["tensors"]) == (0, "", said["tensors"])
    assert "2 tensors, 178.80 kB, drawn" in main(*call)[1]
    out = main("verify", tmp_path)[1]
    assert "are plan 'mixed', seed 3, 2 of them refilled since, stream 1" in out
    assert json.loads(main("verify", tmp_path, "--json")[1])["refilled"] == {
        "wte.weight": 4,
        "double": 4,
    }
    code, _, err = main("refill", tmp_path, "dobule")
    assert (code, "did you mean 'double'" in err) == (2, True)


def test_verify_says_what_it_cannot_know_of_a_stranger_s_file(tmp_path, main):
    entries = {
        name: {"dtype": "F32", "shape": [8], "data_offsets": [32 * i, 32 * i + 32]}
        for i, name in enumerate("abc")
    }
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(entries, bytes(96)))
    code, out, _ = main("refill", tmp_path, "b", "--scheme", "ones()", "--seed", 1, "--dry-run")
    assert "no recipe -> ones(), seed 1" in out
    main("refill", tmp_path, "b", "--scheme", "ones()", "--seed", 1)
    code, out, _ = main("verify", tmp_path)
    assert code == 0
    assert "1 tensors, 32 B, are as they were refilled, and no recipe says what the other 2" in out
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerifyError, match="tensor 'b', element 6 is"):
        verify(tmp_path)
    data[-40] ^= 1
    data[-1] ^= 1  # of the last tensor, of which nothing is known
    path.write_bytes(data)
    assert verify(tmp_path).unknown == 2


def test_a_checkpoint_of_a_stranger_is_a_source_with_rules_alone(tmp_path):
    foreign(tmp_path, "w")
    refill(tmp_path, "w", scheme="ones()", seed=1)
    assert str(fi.plan(tmp_path)["w"].scheme) == "ones()"
