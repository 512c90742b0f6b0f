# SPDX-License-Identifier: MIT
"""Checkpoints as a folder of .npy files: their bytes, what is refused, open and verify."""

from __future__ import annotations

import io
import json
import os
import resource

import numpy as np
import pytest
from checkpoint_plans import contents, plan_of, tensors_of
from hypothesis import given, settings
from hypothesis import strategies as st
from npy_checkpoints import FILES, OPTIONS, PLAN, RECIPE

import fastinit as fi
from fastinit.checkpoints import Shard, layout_of, write_shard
from fastinit.checkpoints.entries import Entry
from fastinit.checkpoints.formats.npy import NPY, NPY_CODES, RECIPE_LIMIT
from fastinit.checkpoints.recipe import Recipe
from fastinit.errors import CheckpointError, InvalidCheckpointError, VerifyError

# --- bytes -----------------------------------------------------------------------------------


def test_a_folder_holds_a_file_per_tensor_and_the_recipe_last(tmp_path):
    report = fi.write(PLAN, tmp_path, **OPTIONS)
    assert report.files == ("config.json", *FILES, RECIPE)
    assert set(contents(tmp_path)) == set(report.files)
    assert report.tensors == len(PLAN)
    assert list(layout_of(PLAN, **OPTIONS).files) == list(report.files)
    for name, size in layout_of(PLAN, **OPTIONS).files.items():
        assert (tmp_path / name).stat().st_size == size


def test_a_file_is_what_numpy_saves(folder):
    for tensor in PLAN:
        array = np.load(folder / f"{tensor.name}.npy")
        assert array.shape == tensor.shape
        saved = io.BytesIO()
        np.save(saved, array)
        assert (folder / f"{tensor.name}.npy").read_bytes() == saved.getvalue()


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**62), max_size=64).map(tuple), st.sampled_from(sorted(NPY_CODES)))
def test_a_header_is_what_numpy_writes_for_any_shape(shape, dtype):
    shape = tuple(n if i == 0 else n % 2 for i, n in enumerate(shape))[:64]
    shape = shape if not shape or shape[0] < 2**59 else (0, *shape[1:])
    written = io.BytesIO()
    fields = {"descr": NPY_CODES[dtype], "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(written, fields)
    entry = Entry("w", shape, dtype, "zeros()")
    header = NPY.make_header([entry], Recipe(0, "", "0" * 64, {}))
    assert header == written.getvalue()
    found = NPY.parse_header("w.npy", header, len(header) + entry.size)
    assert found.tensors == {"w": (NPY_CODES[dtype], shape, len(header), entry.size)}


def test_the_recipe_is_that_of_every_format(folder):
    recipe = {"stream": 1, "seed": 3, "plan": "arrays", "digest": PLAN.digest}
    recipe["init"] = {tensor.name: str(tensor.scheme) for tensor in PLAN}
    text = json.dumps(recipe, ensure_ascii=False, separators=(",", ":"))
    assert (folder / RECIPE).read_text("utf-8") == text + "\n"


def test_the_values_are_those_of_the_other_format(tmp_path):
    fi.write(PLAN, tmp_path / "npy", **OPTIONS)
    fi.write(PLAN, tmp_path / "safetensors", seed=3)
    assert tensors_of(tmp_path / "npy") == tensors_of(tmp_path / "safetensors")


@pytest.mark.parametrize("threads", [1, 3])
def test_no_number_of_threads_changes_a_byte(folder, tmp_path, threads):
    fi.write(PLAN, tmp_path / "again", threads=threads, **OPTIONS)
    assert contents(tmp_path / "again") == contents(folder)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dense/kernel", "it contains '/', which separates folders"),
        ("../w", "it contains '/', which separates folders"),
        ("dense\\kernel", r"it contains '\\\\', which separates folders"),
        ("dense:0", "it contains ':', which separates folders"),
        (".hidden", "it begins with '.', which hides a file"),
        ("..", "it begins with '.', which hides a file"),
        ("a\u200bb", "it has an invisible character"),
        ("w" * 209, "it takes 209 bytes, and at most 208 are possible"),
        ("ü" * 105, "it takes 210 bytes, and at most 208 are possible"),
    ],
)
def test_a_name_that_cannot_be_a_file_is_refused_before_anything_is_written(tmp_path, name, why):
    plan = plan_of(("good", (3,), "zeros()"), (name, (3,), "zeros()"))
    with pytest.raises(ValueError, match=r"cannot be the name of a \.npy file") as caught:
        fi.write(plan, tmp_path / "w", **OPTIONS)
    assert why.replace(r"\\\\", "\\\\") in str(caught.value)
    assert "; rename the tensor, or write safetensors" in str(caught.value)
    assert not (tmp_path / "w").exists()
    fi.write(plan, tmp_path / "w", seed=3)


@pytest.mark.parametrize("name", ["a\0b", "a\nb"])
def test_a_name_with_a_control_character_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="a control character"):
        fi.write(plan_of((name, (3,), "zeros()")), tmp_path, **OPTIONS)


def test_the_longest_name_can_be_written(tmp_path):
    fi.write(plan_of(("w" * 208, (3,), "zeros()")), tmp_path, **OPTIONS)
    assert fi.verify(tmp_path).files == ("w" * 208 + ".npy",)


@pytest.mark.parametrize(
    "names", [("Bias", "bias"), ("straße", "STRASSE"), ("é", "e\u0301"), ("a", "b", "A")]
)
def test_names_that_differ_only_in_case_are_refused(tmp_path, names):
    plan = plan_of(*((name, (3,), "zeros()") for name in names))
    message = "would share a .npy file where file names ignore case: rename one of them, or write"
    with pytest.raises(ValueError, match=message):
        fi.write(plan, tmp_path / "w", **OPTIONS)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_a_dtype_that_numpy_files_cannot_hold_is_refused(tmp_path, dtype):
    plan = plan_of(("w", (3,), "zeros()", dtype))
    message = (
        f"tensor 'w' is {dtype}, for which NumPy's file format has no code: choose from float32, "
        "float16, float64, or write safetensors"
    )
    with pytest.raises(ValueError, match=message):
        fi.write(plan, tmp_path / "w", **OPTIONS)
    assert not (tmp_path / "w").exists()


def test_a_recipe_that_could_not_be_read_back_is_refused():
    recipe = Recipe(0, "", "0" * 64, {})
    NPY.check_lengths({}, recipe, {}, bytes(RECIPE_LIMIT))
    message = r"^fastinit\.json takes 100,000,001 bytes, and 100,000,000 is the most: give the"
    with pytest.raises(ValueError, match=message):
        NPY.check_lengths({}, recipe, {}, bytes(RECIPE_LIMIT + 1))


def test_a_description_of_another_file_is_refused():
    shard = layout_of(PLAN, **OPTIONS).shards[0].to_json()
    assert Shard.from_json(json.loads(json.dumps(shard))).to_json() == shard
    for change in ({"file": "other.npy"}, {"file": "../wte.weight.npy"}, {"entries": []}):
        with pytest.raises(ValueError, match=r"is not the name of a \.npy file with"):
            Shard.from_json({**shard, **change})


# --- open ------------------------------------------------------------------------------------


def test_open_maps_every_array_read_only(folder):
    opened = fi.open(folder)
    assert list(opened) == [tensor.name for tensor in PLAN]
    for tensor in PLAN:
        array = opened[tensor.name]
        assert np.array_equal(array, np.load(folder / f"{tensor.name}.npy"))
        assert not array.flags.writeable
        assert array.dtype == np.dtype(tensor.dtype or "float32")


def test_a_closed_array_gives_its_descriptor_back(tmp_path):
    """There may be more tensors than a process may open files."""
    fi.write(plan_of(*((f"t{i}", (3,), "ones()") for i in range(100))), tmp_path, **OPTIONS)
    opened = fi.open(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    try:
        assert all(opened[name].sum() == 3 for name in opened)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def fortran(data):
    end = data.index(b"}") + 1
    return data[:end].replace(b"False", b"True") + b" " + data[end:]


def with_long_header(data):
    """A file that numpy.load refuses, as its header might be made to take long."""
    end = data.index(b"\n")
    text = data[10:end] + b" " * 10_000
    return data[:8] + (len(text) + 1).to_bytes(2, "little") + text + data[end:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "it is empty"),
        (lambda data: data[:6], "its header ends at byte 10, the file at 6: it was cut"),
        (lambda data: data[:6] + b"\2", "its header ends at byte 10, the file at 7: it was cut"),
        (lambda data: data[:100], "its header ends at byte 128, the file at 100: it was cut"),
        (lambda data: data[:-1], "the tensors end at byte .*: it was cut short"),
        (lambda data: data + b"\0", r"the tensors end at byte .*, the file at [0-9,]+$"),
        (lambda data: b"PK\3\4" + data, "does not begin with .*; it looks like a zip archive"),
        (lambda data: data[:6] + b"\2\0" + data[8:], "it has version 2.0 of NumPy's format"),
        (lambda data: data.replace(b"<f4", b">f4"), "its elements are '>f4': known are <f4"),
        (lambda data: data.replace(b"<f4", b"|O8"), r"its elements are '\|O8': known are <f4"),
        (lambda data: data.replace(b"False", b"True "), "which numpy.save did not write"),
        (lambda data: fortran(data), "are in column-major order: row-major order is needed"),
        (lambda data: data.replace(b"(300, ", b"(301, "), "the tensors end at byte .* cut short"),
        (lambda data: data.replace(b"(300, ", b"(-30, "), "numpy.save did not write"),
        (lambda data: data.replace(b"(300, 129)", b"(3000,129)"), "numpy.save did not write"),
        (lambda data: data.replace(b"(300, 129), } ", b"(0300, 129), }"), "did not write"),
        (lambda data: with_long_header(data), "its header has 10,118 bytes, and numpy.load takes"),
    ],
)
def test_a_file_that_is_not_a_whole_array_is_found(tmp_path, change, message):
    fi.write(plan_of(("wte", (300, 129), "ones()")), tmp_path, **OPTIONS)
    path = tmp_path / "wte.npy"
    data = change(path.read_bytes())
    if data == path.read_bytes():
        pytest.fail("the change changes nothing")
    path.write_bytes(data)
    for call in (fi.verify, lambda folder: fi.open(folder)["wte"]):
        with pytest.raises(InvalidCheckpointError, match=message) as caught:
            call(tmp_path)
        assert "wte.npy is not a valid npy file: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a JSON object"),
        ('{"seed":3}', "it has no init, which names the tensors"),
        ('{"init":{}}', "it has no init, which names the tensors"),
        ('{"init":"w"}', "it has no init, which names the tensors"),
        ('{"init":{"../w":"ones()"}}', "tensor '../w' cannot be the name of a .npy file"),
        ('{"init":{"":"ones()"}}', "a tensor has the name ''"),
        ("version https://git-lfs.github.com/spec/v1", "; it looks like a git-lfs pointer"),
    ],
)
def test_a_recipe_that_names_no_files_is_found(folder, text, message):
    (folder / RECIPE).write_text(text)
    for call in (fi.open, fi.verify):
        with pytest.raises(InvalidCheckpointError, match=message) as caught:
            call(folder)
        assert "fastinit.json is not a valid index: " in str(caught.value)


def test_an_array_alone_is_left_to_numpy(folder):
    with pytest.raises(InvalidCheckpointError, match=r"a NumPy array: load it with numpy\.load"):
        fi.open(folder / FILES[0])


# --- verify ----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_verify_makes_every_value_again(folder, threads):
    report = fi.verify(folder, threads=threads)
    assert (report.seed, report.plan, report.digest) == (3, "arrays", PLAN.digest)
    assert report.files == tuple(sorted(FILES))
    assert (report.tensors, report.rounded) == (len(PLAN), 1)
    assert report.size == sum(np.load(folder / file).nbytes for file in FILES)


def test_verify_names_the_element_that_differs(folder):
    path = folder / "wte.weight.npy"
    data = bytearray(path.read_bytes())
    data[128 + 4 * (7 * 129 + 5)] ^= 1
    path.write_bytes(data)
    message = r"wte\.weight\.npy: tensor 'wte\.weight', element 908 \(row 7, column 5\) is"
    with pytest.raises(VerifyError, match=message):
        fi.verify(folder)


def test_verify_misses_an_array(folder):
    (folder / "half.npy").unlink()
    with pytest.raises(VerifyError, match=r"half\.npy: the file is missing, but the index"):
        fi.verify(folder)
    with pytest.raises(InvalidCheckpointError, match=r"half\.npy is missing"):
        fi.open(folder)["half"]


def test_verify_finds_another_dtype_and_another_seed(folder):
    np.save(folder / "half.npy", np.zeros(1001, np.int32))
    with pytest.raises(VerifyError, match="'half' has dtype <i4, which no recipe draws"):
        fi.verify(folder)
    fi.write(PLAN, folder, overwrite=True, **OPTIONS)
    text = (folder / RECIPE).read_text("utf-8")
    (folder / RECIPE).write_text(text.replace('"seed":3', '"seed":4'), "utf-8")
    with pytest.raises(VerifyError, match="element 0 "):
        fi.verify(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"plan":"arrays",', "", "its recipe is not valid: it must have exactly the fields"),
        ('"seed":3', '"seed":36893488147419103232', "its recipe is not valid: seed is"),
        ('"ones()"', '"magic()"', "tensor 'scalar' cannot be drawn"),
    ],
)
def test_verify_finds_a_recipe_that_cannot_be(folder, old, new, message):
    text = (folder / RECIPE).read_text("utf-8")
    (folder / RECIPE).write_text(text.replace(old, new), "utf-8")
    assert len(fi.open(folder)) == len(PLAN)
    with pytest.raises(VerifyError, match=message):
        fi.verify(folder)


def test_a_newer_stream_can_be_opened_and_is_not_called_wrong(folder):
    text = (folder / RECIPE).read_text("utf-8")
    (folder / RECIPE).write_text(text.replace('"stream":1', '"stream":2'), "utf-8")
    assert fi.open(folder)["scalar"] == 1
    with pytest.raises(CheckpointError, match="stream version 2") as caught:
        fi.verify(folder)
    assert not isinstance(caught.value, InvalidCheckpointError)


def test_a_task_does_not_take_files_from_before_its_call_for_its_siblings(tmp_path):
    """A new seed and one more tensor: the headers of the old files are those of the new ones."""
    old = [("a", (3, 4), "normal()"), ("b", (5,), "normal()")]
    fi.write(plan_of(*old), tmp_path, seed=1, format="npy")
    (tmp_path / "fastinit.json").unlink()
    before = contents(tmp_path)
    new = layout_of(plan_of(*old, ("c", (2,), "ones()")), seed=2, format="npy").shards
    for shard in reversed(new):
        with pytest.raises(CheckpointError, match=r"\.npy"):
            write_shard(shard.to_json(), tmp_path)
    assert contents(tmp_path) == before
    for name in before:
        (tmp_path / name).unlink()
    for shard in new:
        write_shard(shard.to_json(), tmp_path)
    fi.write(plan_of(*old, ("c", (2,), "ones()")), tmp_path, seed=2, format="npy")
    assert fi.verify(tmp_path).tensors == 3
