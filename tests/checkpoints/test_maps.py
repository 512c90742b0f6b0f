# SPDX-License-Identifier: MIT
"""Files that `memmap` makes: values, who else reads them, what is found again, what is refused."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest
from checkpoint_plans import contents
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped_files import BESIDE, INIT, expected, made

import fastinit as fi
from fastinit.checkpoints import maps, read
from fastinit.checkpoints.pieces import CHUNK
from fastinit.errors import CheckpointError, InvalidCheckpointError, VerifyError

HOLDS = {"e.npy": ("float32", "float16", "float64"), "e.bin": None, "e": None}
DTYPES = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64")
KINDS = [(file, dtype) for file, dtypes in HOLDS.items() for dtype in dtypes or DTYPES]


# --- values, and who reads them ------------------------------------------------------------------


@pytest.mark.parametrize(("file", "dtype"), KINDS)
def test_a_map_has_the_values_of_an_array(tmp_path, file, dtype):
    found = made(tmp_path / file, dtype=dtype)
    wanted = expected(dtype=dtype)
    assert type(found) is np.memmap
    assert (found.dtype, found.shape, found.mode) == (wanted.dtype, wanted.shape, "r+")
    assert found.filename == str(tmp_path / file)
    assert found.tobytes() == wanted.tobytes()
    assert sorted(contents(tmp_path)) == [file, file + BESIDE]
    assert fi.verify(tmp_path / file).parameters == 350
    opened = fi.open(tmp_path / file)
    assert (list(opened), opened["e"].tobytes()) == (["e"], wanted.tobytes())


@given(
    st.one_of(
        st.lists(st.integers(1, 9), max_size=5).map(tuple),
        st.sampled_from([(CHUNK // 4 + step,) for step in (-1, 0, 1)]),
        st.sampled_from([(2, CHUNK // 4 - 1), (3, CHUNK // 2 + 1), (1, 1, CHUNK)]),
    ),
    st.sampled_from(KINDS),
    st.integers(0, 2**64 - 1),
)
@settings(max_examples=40, deadline=None)
def test_a_file_is_what_numpy_would_save(tmp_path_factory, shape, kind, seed):
    file, dtype = kind
    path = tmp_path_factory.mktemp("saved") / file
    wanted = expected(shape, dtype=dtype, seed=seed)
    assert made(path, shape, dtype=dtype, seed=seed, threads=2).tobytes() == wanted.tobytes()
    if file.endswith(".npy"):
        np.save(path.with_name("saved.npy"), wanted)
        assert path.read_bytes() == path.with_name("saved.npy").read_bytes()
    else:
        assert path.read_bytes() == wanted.tobytes()
    again = fi.memmap(path, mode="r")
    assert (again.shape, again.dtype, again.tobytes()) == (shape, wanted.dtype, wanted.tobytes())
    fi.verify(path)


def test_numpy_reads_what_is_mapped(tmp_path):
    made(tmp_path / "e.npy", dtype="float16")
    found = np.load(tmp_path / "e.npy", mmap_mode="r")
    np.testing.assert_array_equal(found, expected(dtype="float16"), strict=True)
    made(tmp_path / "e.bin")
    np.testing.assert_array_equal(np.memmap(tmp_path / "e.bin", "f4", "r", 0, (50, 7)), expected())


@pytest.mark.frameworks
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e5m2"])
def test_torch_maps_a_raw_file(tmp_path, torch, dtype):
    mapped = made(tmp_path / "e.bin", dtype=dtype)
    tensor = torch.from_file(
        str(tmp_path / "e.bin"), shared=True, size=350, dtype=getattr(torch, dtype)
    ).view(50, 7)
    assert tensor.view(torch.uint8).numpy().tobytes() == expected(dtype=dtype).tobytes()
    tensor[3, 4] = 0.5
    assert float(mapped[3, 4]) == 0.5


def test_a_whole_matrix_is_mapped_too(tmp_path):
    made(tmp_path / "e.npy", (40, 30), "orthogonal()")
    assert fi.verify(tmp_path / "e.npy").rounded == 1


def test_the_name_of_the_tensor_is_the_files_unless_it_is_given(tmp_path):
    assert list(fi.open(made(tmp_path / "h.0.weight.npy").filename)) == ["h.0.weight"]
    path = tmp_path / "x.bin"
    assert (made(path, name="e") == expected()).all()
    path.rename(tmp_path / "y.bin")
    (tmp_path / f"x.bin{BESIDE}").rename(tmp_path / f"y.bin{BESIDE}")
    assert fi.verify(tmp_path / "y.bin").tensors == 1
    assert (fi.open(tmp_path / "y.bin")["e"] == expected()).all()


def test_progress_counts_every_byte_and_those_that_are_there(tmp_path):
    for _ in range(2):
        counts = []
        made(tmp_path / "e.bin", (3 * CHUNK,), progress=counts.append)
        assert sum(counts) == 12 * CHUNK


def test_the_command_line_verifies_a_file_and_takes_its_plan(tmp_path, main):
    found = made(tmp_path / "e.bin", dtype="bfloat16")
    code, out, _ = main("verify", tmp_path / "e.bin", "--json")
    assert (code, '"parameters": 350' in out) == (0, True)
    code, out, _ = main("plan", tmp_path / "e.bin")
    assert (code, INIT in out) == (0, True)
    plan = fi.plan(tmp_path / "e.bin")
    assert (plan["e"].shape, plan.dtype, str(plan["e"].scheme)) == ((50, 7), "bfloat16", INIT)
    found[2, 3] = 1
    code, _, err = main("verify", tmp_path / "e.bin")
    assert (code, "element 17 (row 2, column 3) is 1, but" in err) == (1, True)


def test_a_folder_with_a_sidecar_is_still_that_of_its_config(tmp_path):
    made(tmp_path / "e.dat")
    with pytest.raises(ValueError, match="a folder needs a safetensors checkpoint or a config"):
        fi.plan(tmp_path)


# --- a file that is there ------------------------------------------------------------------------


def test_the_same_call_maps_what_training_has_changed(tmp_path):
    path = tmp_path / "e.bin"
    made(path)[4, 5] = 9
    before = contents(tmp_path)
    assert made(path)[4, 5] == made(path, fill=False)[4, 5] == fi.memmap(path)[4, 5] == 9
    assert contents(tmp_path) == before
    with pytest.raises(VerifyError, match=r"element 33 \(row 4, column 5\) is 9.0, but the rec"):
        fi.verify(path)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_each_mode_writes_where_it_says(tmp_path, mode):
    path = tmp_path / "e.npy"
    found = made(path, mode=mode)
    assert found.mode == mode == fi.memmap(path, mode=mode).mode
    if mode == "r":
        with pytest.raises(ValueError, match="read-only"):
            found[0, 0] = 7
    else:
        found[0, 0] = 7
    assert (np.load(path)[0, 0] == 7) == (mode == "r+")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 4}, "seed 3, not 4"),
        ({"shape": (7, 50)}, r"shape \(50, 7\), not \(7, 50\)"),
        ({"dtype": "bfloat16"}, "dtype 'float32', not 'bfloat16'"),
        ({"init": "zeros()"}, r"scheme 'normal\(std=0.02\)', not 'zeros\(\)'"),
        ({"name": "f"}, "name 'e', not 'f'"),
        ({"seed": 4, "name": "f"}, "name 'e', not 'f', seed 3, not 4"),
    ],
)
def test_another_array_is_not_touched(tmp_path, change, words):
    path = tmp_path / "e.bin"
    made(path)
    before = contents(tmp_path)
    with pytest.raises(
        CheckpointError, match=f"is there already, and made with {words}: pass over"
    ):
        made(path, **change)
    assert contents(tmp_path) == before
    made(path, **change, overwrite=True)
    fi.verify(path)


def test_a_map_of_a_file_that_is_replaced_keeps_its_values(tmp_path):
    path = tmp_path / "e.bin"
    old = made(path)
    path.chmod(0o640)
    (tmp_path / f"e.bin{BESIDE}").chmod(0o600)
    new = made(path, seed=4, overwrite=True)
    new[0, 0] = 5
    np.testing.assert_array_equal(old, expected())
    np.testing.assert_array_equal(new[1:], expected(seed=4)[1:])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / f"e.bin{BESIDE}").stat().st_mode) == 0o600


def test_a_file_without_a_sidecar_is_not_touched(tmp_path):
    path = tmp_path / "e.npy"
    np.save(path, np.arange(3))
    for call in made, fi.memmap:
        with pytest.raises(CheckpointError, match=r"has no recipe, because e.npy.fastinit.json is"):
            call(path)
    for call in fi.open, fi.verify:
        with pytest.raises(InvalidCheckpointError, match=r"memmap made it, e.npy.fastinit.json is"):
            call(path)
    assert np.load(path).tolist() == [0, 1, 2]
    made(path, overwrite=True)
    fi.verify(path)


def test_a_sidecar_without_a_file_is_replaced(tmp_path):
    path = tmp_path / "e.bin"
    made(path, seed=9)
    path.unlink()
    for call in fi.open, fi.verify:
        with pytest.raises(CheckpointError, match=r"cannot open .*e.bin: No such file"):
            call(path)
    with pytest.raises(CheckpointError, match="is not there: give shape, scheme and seed to"):
        fi.memmap(tmp_path / "other.bin")
    made(path)
    fi.verify(path)


@pytest.mark.parametrize("file", ["e.npy", "e.bin"])
@pytest.mark.parametrize("change", [-1, 1, -1400])
def test_a_file_of_another_length_is_found(tmp_path, file, change):
    made(tmp_path / file)
    os.truncate(tmp_path / file, (tmp_path / file).stat().st_size + change)
    for call in fi.open, fi.verify, fi.memmap, made:
        with pytest.raises(InvalidCheckpointError, match=r"is not a valid (array|raw) file"):
            call(tmp_path / file)


def test_a_map_is_of_the_file_that_was_checked(tmp_path, monkeypatch):
    """Another file has its name a moment later: it is not what is mapped."""
    path = tmp_path / "e.bin"
    made(path)
    real = maps.read_described

    def late(*arguments):
        monkeypatch.setattr(maps, "read_described", real)
        found = real(*arguments)
        made(path, (1,), overwrite=True)
        return found

    monkeypatch.setattr(maps, "read_described", late)
    np.testing.assert_array_equal(fi.memmap(path), expected())


@pytest.mark.parametrize(("module", "moment"), [(read, "form_of"), (maps, "open_file")])
def test_a_file_is_not_read_by_the_sidecar_of_another(tmp_path, monkeypatch, module, moment):
    """It is replaced by one of the same size just before or after the sidecar is read."""
    path = tmp_path / "e.bin"
    made(path)
    real = getattr(module, moment)

    def late(*arguments, **options):
        monkeypatch.setattr(module, moment, real)
        found = real(*arguments, **options)
        made(path, (25, 28), dtype="bfloat16", overwrite=True)
        return found

    monkeypatch.setattr(module, moment, late)
    with pytest.raises(CheckpointError, match="was replaced while it was read: try again"):
        fi.memmap(path, mode="r")
    assert fi.memmap(path).dtype == "bfloat16"


def test_a_sidecar_that_goes_while_its_file_is_opened_is_missed(tmp_path, monkeypatch):
    path = tmp_path / "e.bin"
    made(path)
    real = maps.open_file

    def late(*arguments, **options):
        path.with_name(f"e.bin{BESIDE}").unlink()
        return real(*arguments, **options)

    monkeypatch.setattr(maps, "open_file", late)
    with pytest.raises(CheckpointError, match="was replaced while it was read: try again"):
        fi.memmap(path)


def test_a_checkpoint_of_a_file_that_was_replaced_reads_it_anew(tmp_path):
    path = tmp_path / "e.bin"
    made(path)
    opened = fi.open(path)
    made(path, (25, 28), dtype="bfloat16", overwrite=True)
    assert (opened["e"] == expected((25, 28), dtype="bfloat16")).all()
    made(path, name="f", overwrite=True)
    opened = fi.open(path)
    made(path, name="g", overwrite=True)
    with pytest.raises(InvalidCheckpointError, match="has no tensor 'f', as it had when opened"):
        opened["f"]


def test_a_link_is_read_and_never_replaced(tmp_path):
    path = tmp_path / "e.bin"
    made(tmp_path / "blob")
    path.symlink_to("blob")
    for overwrite in False, True:
        with pytest.raises(CheckpointError, match=r"e\.bin is a symbolic link to blob: pass its"):
            made(path, overwrite=overwrite)
    (tmp_path / f"e.bin{BESIDE}").symlink_to(f"blob{BESIDE}")
    assert (fi.memmap(path) == fi.memmap(tmp_path / "blob")).all()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match=r"link is a symbolic link to .*: pass its target"):
        made(tmp_path / "link" / "f.bin")


def test_an_interrupted_call_leaves_nothing_and_can_be_repeated(tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    path = tmp_path / "e.bin"
    for fill, overwrite in (True, False), (True, True):
        with pytest.raises(KeyboardInterrupt):
            made(path, (CHUNK,), progress=interrupt, overwrite=overwrite, fill=fill)
        assert not contents(tmp_path)
    made(path, (CHUNK,))
    with pytest.raises(KeyboardInterrupt):
        made(path, (CHUNK,), seed=4, progress=interrupt, overwrite=True)
    assert fi.verify(path).seed == 3


# --- what is refused -----------------------------------------------------------------------------

NEVER = "cannot be the name of a memory-mapped file: "


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("x.fastinit.json", f"{NEVER}fastinit keeps its own files"),
        ("fastinit.json", f"{NEVER}fastinit keeps its own files"),
        (".x.begun.fastinit", f"{NEVER}fastinit keeps its own files"),
        ("model.safetensors", f"{NEVER}programs take it for a file of another format"),
        ("x.NPY", f"{NEVER}programs take it for a file of another format"),
        ("x.npz", f"{NEVER}programs take it for a file of another format"),
        ("x.pt", f"{NEVER}programs take it for a file of another format"),
        ("config.json", f"{NEVER}programs take it for a file of another format"),
        ("ä" * 99 + "x", f"{NEVER}it takes 199 bytes, and at most 198 are possible"),
    ],
)
def test_names_of_other_files_are_refused(tmp_path, file, words):
    with pytest.raises(ValueError, match=words):
        made(tmp_path / file)
    assert not contents(tmp_path)


def test_the_longest_name_works(tmp_path):
    path = tmp_path / ("ä" * 99)
    made(path)
    made(path, seed=4, overwrite=True)
    fi.verify(path)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (((4,), INIT), {}, TypeError, "shape, scheme and seed belong together: give all"),
        (((4,),), {"seed": 0}, TypeError, "belong together"),
        ((None, INIT), {"seed": 0}, TypeError, "belong together"),
        ((), {"overwrite": True}, TypeError, "belong together"),
        ((), {"name": "e"}, TypeError, "belong together"),
        ((), {"dtype": "float16"}, TypeError, "belong together"),
        ((), {"fill": False}, TypeError, "belong together"),
        (((4,), INIT), {"seed": -1}, ValueError, "seed"),
        (((4,), 3), {"seed": 0}, TypeError, "which is not a Scheme"),
        (((4,), "normal(st=1)"), {"seed": 0}, (TypeError, ValueError), "st"),
        (((4,), "orthogonal()"), {"seed": 0}, ValueError, "cannot be drawn"),
        (((-4,), INIT), {"seed": 0}, ValueError, "-4"),
        (((0, 4), INIT), {"seed": 0}, ValueError, r"shape \(0, 4\) has no elements: a memory map"),
        (((4,), INIT), {"seed": 0, "dtype": "int8"}, ValueError, "int8"),
        (((4,), INIT), {"seed": 0, "dtype": "bfloat16"}, ValueError, "no code: choose from float"),
        (((4,), INIT), {"seed": 0, "mode": "w+"}, ValueError, r"mode is 'w\+': choose from r\+, r"),
        (((4,), INIT), {"seed": 0, "threads": 0}, ValueError, "threads"),
        (((4,), INIT), {"seed": 0, "durability": "some"}, ValueError, "durability is 'some': cho"),
        (((4,), INIT), {"seed": 0, "name": ""}, ValueError, "name ''"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tmp_path, arguments, options, error, words):
    with pytest.raises(error, match=words):
        fi.memmap(tmp_path / "new" / "e.npy", *arguments, **options)
    assert not contents(tmp_path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="path is '': it is empty"):
        made("")
    with pytest.raises(CheckpointError, match="is a folder: pass the path of a file"):
        made(tmp_path)
    (tmp_path / f"e.bin{BESIDE}").mkdir()
    with pytest.raises(CheckpointError, match="json is a folder where a file must go: remove it"):
        made(tmp_path / "e.bin")
    made(tmp_path / "f.bin")
    (tmp_path / "f.bin").unlink()
    os.mkfifo(tmp_path / "f.bin")
    with pytest.raises(CheckpointError, match=r"f\.bin is not a regular file"):
        made(tmp_path / "f.bin")
