# SPDX-License-Identifier: MIT
"""What is not a checkpoint: how it is refused, what it is said to look like, and the exit code."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import pickle
import socket
import tarfile
import zipfile

import numpy as np
import pytest
from checkpoint_plans import mixed_plan, plan_of, safetensors_file

import fastinit as fi
from fastinit.errors import VerifyError

INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 548105171\n"
PLAN = b'name = "tiny"\n\n[[tensor]]\nname = "w"\nshape = [1]\ninit = "zeros()"\n'


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return buffer.getvalue()


def numpy_array():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


GOOD = safetensors_file({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}, bytes(36))
FILES = {
    "model.safetensors": {
        "nothing": (b"", "it is empty"),
        "a few bytes": (b"abc", "it has 3 bytes"),
        "a git-lfs pointer": (POINTER, "looks like a git-lfs pointer.*git lfs pull"),
        "a web page": (b"<!DOCTYPE html>\n<html>", "looks like a web page.*download failed"),
        "a web page in capitals": (b"\n  <HTML><BODY>404</BODY>", "looks like a web page"),
        "a bucket's answer": (
            b'<?xml version="1.0"?><Error>',
            "looks like a web page or a server's",
        ),
        "a zip archive": (zipped(), "looks like a zip archive, as PyTorch's"),
        "a pickle": (pickle.dumps({"a": 1}), "looks like a pickle, as PyTorch's old"),
        "an old torch file": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "looks like a pickle"),
        "a GGUF file": (b"GGUF\x03" + bytes(40), "looks like a GGUF file"),
        "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(40), "looks like an HDF5 file, as Keras's"),
        "an array": (numpy_array(), "looks like a NumPy array"),
        "a gzip file": (gzip.compress(GOOD), "looks like a gzip file: decompress"),
        "a Zstandard file": (b"\x28\xb5\x2f\xfd" + bytes(40), "looks like a Zstandard file"),
        "an xz file": (b"\xfd7zXZ\x00" + bytes(40), "looks like an xz file"),
        "a bzip2 file": (b"BZh9" + bytes(40), "looks like a bzip2 file"),
        "a tar archive": (tarred(), "looks like a tar archive"),
        "zeros": (bytes(5000), "looks like a file of zeros, as an interrupted download leaves"),
        "a letter": (b"Dear Sir or Madam,\n", "looks like a text file"),
        "noise": (b"\xf0\x01\x02\x03\x04\x05\x06\x07\x08\x09", "claims a header of [0-9,]+ bytes"),
        "cut in the header": (GOOD[:40], "header of 62 bytes was cut short at 32"),
        "cut in the data": (GOOD[:-1], "the tensors end at byte 106, the file at 105: it was cut"),
        "more than it says": (GOOD + b"\n", "the tensors end at byte 106, the file at 107$"),
    },
    INDEX: {
        "an index": (b'{"metadata": {}, "weight_map": {}}', "like the index of a checkpoint: pass"),
    },
    "plan.toml": {"a plan": (PLAN, "looks like a plan: write its checkpoint with fastinit write")},
    "plan.txt": {"a plan without its suffix": (PLAN, "looks like a plan")},
    "config.json": {
        "a config": (b'{"model_type": "gpt2"}', "looks like a JSON file: pass the folder")
    },
    "bom.json": {"with a mark": (b"\xef\xbb\xbf{}" + b" " * 9, "looks like a JSON file")},
}
CASES = [(name, *case) for name, cases in FILES.items() for case in cases.values()]
NAMES = [f"{name}-{case}" for name, cases in FILES.items() for case in cases]


@pytest.mark.parametrize(("name", "content", "words"), CASES, ids=NAMES)
def test_a_file_of_another_kind_is_said_to_look_like_it(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    for call in (fi.open, fi.verify):
        with pytest.raises(fi.errors.InvalidCheckpointError, match=words):
            call(path)


def test_an_index_that_is_a_pointer_is_said_to_be_one(tmp_path):
    (tmp_path / INDEX).write_bytes(POINTER)
    with pytest.raises(
        fi.errors.InvalidCheckpointError, match=r"not a valid index: .*; it looks like a git-"
    ):
        fi.open(tmp_path)


def test_a_shard_that_is_a_pointer_is_said_to_be_one(tmp_path):
    fi.write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    (tmp_path / "model-00002-of-00003.safetensors").write_bytes(POINTER)
    with pytest.raises(
        fi.errors.InvalidCheckpointError, match=r"00002-of-00003.*looks like a git-lfs"
    ):
        fi.verify(tmp_path)


# --- folders ---------------------------------------------------------------------------------


def mistaken(path, words):
    """Neither opened nor verified, as a path that cannot be meant: not a wrong checkpoint."""
    for call in (fi.open, fi.verify):
        with pytest.raises(fi.errors.CheckpointError, match=words) as caught:
            call(path)
        assert not isinstance(caught.value, fi.errors.InvalidCheckpointError)


def invalid(path, words):
    """Neither opened nor verified, as a checkpoint that is wrong."""
    for call in (fi.open, fi.verify):
        with pytest.raises(fi.errors.InvalidCheckpointError, match=words):
            call(path)


def test_an_absent_path_is_a_mistake(tmp_path):
    mistaken(tmp_path / "absent", "cannot open .*absent: No such file")
    mistaken(tmp_path / "absent" / "model.safetensors", "cannot open .*: No such file")


def test_a_folder_without_weights_is_a_mistake(tmp_path):
    mistaken(tmp_path, f"neither {INDEX} nor model.safetensors nor fastinit.json is there$")
    (tmp_path / "config.json").write_text("{}")
    mistaken(tmp_path, "fastinit.json is there$")


def test_a_folder_with_files_of_other_names_names_them(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    mistaken(tmp_path, "; convert its weights to safetensors: pytorch_model.bin$")
    (tmp_path / "adapter_model.safetensors").write_bytes(GOOD)
    mistaken(tmp_path, "; pass one of its files: adapter_model.safetensors$")
    for number in range(50):
        (tmp_path / f"x{number:02}.safetensors").write_bytes(GOOD)
    mistaken(tmp_path, r"adapter_model.safetensors, x00\.safe.* and 31 more$")


@pytest.mark.parametrize("below", ["weights", "models--x/snapshots/0123abcd"])
def test_a_folder_one_level_too_high_names_the_right_one(tmp_path, below):
    folder = tmp_path / below
    fi.write(plan_of(("w", (4,), "zeros()")), folder, seed=3)
    mistaken(tmp_path, f"; pass .*{below}, which holds one$")


def test_a_checkpoint_far_below_is_not_looked_for(tmp_path):
    fi.write(plan_of(("w", (4,), "zeros()")), tmp_path / "a" / "b" / "c" / "d", seed=3)
    mistaken(tmp_path, "fastinit.json is there$")


def test_a_folder_that_was_not_finished_is_wrong(tmp_path):
    fi.write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    (tmp_path / INDEX).unlink()
    invalid(tmp_path, r"is incomplete: it holds model-00001-of-00003.*, but neither .*is kept$")
    for path in tmp_path.glob("model-*"):
        path.unlink()
    (tmp_path / f".model.safetensors.{'0' * 32}.fastinit").write_bytes(b"")
    invalid(tmp_path, r"is incomplete: it holds \.model\.safetensors\.0+\.fastinit, but neither")


@pytest.mark.parametrize("name", ["model.safetensors", INDEX])
def test_a_link_to_nothing_is_a_missing_file(tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path / "blob")
    invalid(tmp_path, f"{name} is missing: write or fetch it again")


def test_a_missing_shard_is_wrong(tmp_path):
    fi.write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    opened = fi.open(tmp_path)
    (tmp_path / opened.weight_map["brain"]).unlink()
    with pytest.raises(
        fi.errors.InvalidCheckpointError, match="is missing: write or fetch it again"
    ):
        opened["brain"]
    with pytest.raises(
        fi.errors.InvalidCheckpointError, match="is missing: write or fetch it again"
    ):
        opened.header(opened.weight_map["brain"])
    with pytest.raises(VerifyError, match="is missing, but the index names it: write it again"):
        fi.verify(tmp_path)


# --- what the system refuses -----------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("sharded", [False, True])
def test_what_the_system_refuses_is_not_called_wrong(tmp_path, monkeypatch, code, sharded):
    fi.write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB" if sharded else "5GB")

    def refuse(path, *arguments, **options):
        raise OSError(code, os.strerror(code), str(path))

    for name in ("open", "preadv"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            mistaken(tmp_path, f"cannot (open|read) .*: {os.strerror(code)}; ")
    if code != errno.EMFILE:
        with monkeypatch.context() as patch:
            original = os.stat

            def stat(path, *arguments, **options):
                if str(path).endswith(".json"):
                    refuse(path)
                return original(path, *arguments, **options)

            patch.setattr(os, "stat", stat)
            mistaken(tmp_path, f"cannot open .*: {os.strerror(code)}; ")


def test_a_folder_that_cannot_be_listed_is_not_verified(tmp_path, monkeypatch):
    fi.write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(
        fi.errors.CheckpointError, match=r"cannot list .*: Permission denied"
    ) as caught:
        fi.verify(tmp_path)
    assert not isinstance(caught.value, fi.errors.InvalidCheckpointError)
    monkeypatch.setattr(os, "scandir", refuse)
    (tmp_path / INDEX).unlink()
    mistaken(tmp_path, "fastinit.json is there$")


def pipe(path):
    os.mkfifo(path)


def socket_file(path):
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)  # an address has 108 bytes at most


def link_to_itself(path):
    path.symlink_to(path.name)


def link_to_a_device(path):
    path.symlink_to("/dev/null")


@pytest.mark.parametrize(
    "special",
    [pipe, socket_file, os.mkdir, link_to_itself, link_to_a_device],
    ids=lambda made: made.__name__,
)
def test_what_lies_in_a_checkpoint_and_is_no_file_makes_it_invalid(tmp_path, special):
    """Whether its name makes it the checkpoint, or an index names it."""
    words = "is (not a regular file|a link that leads back to itself)$"
    for name in ("model.safetensors", INDEX):
        (tmp_path / name).mkdir(parents=True)
        special(tmp_path / name / name)
        invalid(tmp_path / name, words)
    folder = tmp_path / "sharded"
    fi.write(mixed_plan(), folder, seed=3, max_shard_size="60KB")
    shard = folder / "model-00002-of-00003.safetensors"
    shard.unlink()
    special(shard)
    with pytest.raises(fi.errors.InvalidCheckpointError, match=words):
        dict(fi.open(folder))
    with pytest.raises(fi.errors.InvalidCheckpointError, match=words):
        fi.verify(folder)


@pytest.mark.parametrize(
    "special", [pipe, socket_file, link_to_itself, link_to_a_device], ids=lambda made: made.__name__
)
def test_a_path_that_is_no_file_is_a_mistake(tmp_path, special):
    special(tmp_path / "model.safetensors")
    mistaken(
        tmp_path / "model.safetensors", "is (not a regular file|a link that leads back to itself)$"
    )


def test_a_checkpoint_that_waits_for_its_names_can_be_put_in_place(tmp_path):
    (tmp_path / ".config.json.complete.fastinit").touch()
    invalid(tmp_path, r"is incomplete: it holds \.config.*, but neither .* is kept$")
    (tmp_path / ".model.safetensors.complete.fastinit").touch()
    words = "every file is complete, and some have hidden names: repeat the same command to put"
    invalid(tmp_path, rf"is incomplete: it holds \.config.*\.model.*, but neither .*; {words}")


def test_a_folder_below_that_may_not_be_looked_into_holds_no_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    original = os.stat

    def stat(path, *arguments, **options):
        if "secret" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    mistaken(tmp_path, "holds no checkpoint: neither .* is there$")


def test_a_link_through_a_file_leads_nowhere(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "model.safetensors").symlink_to("file/model.safetensors")
    invalid(tmp_path, "model.safetensors is missing: write or fetch it again")


# --- files that safetensors accepts ----------------------------------------------------------


@pytest.mark.parametrize("header", [{}, {"__metadata__": {"format": "pt"}}])
def test_a_file_without_tensors_is_an_empty_mapping(tmp_path, header):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_file(header))
    for place in (path, tmp_path):
        opened = fi.open(place)
        assert (list(opened), opened.files) == ([], ("model.safetensors",))
        with pytest.raises(VerifyError, match="has no tensors and has no recipe: fastinit did not"):
            fi.verify(place)


def test_a_file_without_tensors_may_have_a_recipe(tmp_path):
    fi.write(plan_of(("w", (4,), "zeros()")), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    header = json.loads(path.read_bytes()[8:4096])
    del header["w"]
    recipe = json.loads(header["__metadata__"]["fastinit"])
    path.write_bytes(safetensors_file(header))
    with pytest.raises(VerifyError, match="tensor 'w' is missing from the file"):
        fi.verify(tmp_path)
    header["__metadata__"]["fastinit"] = json.dumps({**recipe, "init": {}})
    path.write_bytes(safetensors_file(header))
    assert fi.verify(tmp_path).tensors == 0


def test_one_tensor_that_numpy_cannot_show_hides_no_other(tmp_path):
    path = tmp_path / "x.safetensors"
    narrow = {
        "f4": {"dtype": "F4", "shape": [2, 4], "data_offsets": [4, 8]},
        "f6": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [8, 11]},
        "e8m0": {"dtype": "F8_E8M0", "shape": [1], "data_offsets": [11, 12]},
        "axes": {"dtype": "U8", "shape": [1] * 65, "data_offsets": [12, 13]},
        "last": {"dtype": "F32", "shape": [0], "data_offsets": [13, 13]},
    }
    first = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    path.write_bytes(safetensors_file({"w": first, **narrow}, b"\0\0\x80\x3f" + bytes(9)))
    opened = fi.open(path)
    assert list(opened) == ["w", *narrow]
    assert (opened["w"].tolist(), opened["e8m0"].shape, opened["last"].size) == ([1.0], (1,), 0)
    for name, words in (
        ("f4", "tensor 'f4' has dtype F4, whose packed elements a NumPy array cannot hold"),
        ("f6", "tensor 'f6' has dtype F6_E2M3, whose packed"),
        ("axes", "tensor 'axes' has 65 axes, but a NumPy array has at most 64"),
    ):
        with pytest.raises(fi.errors.CheckpointError, match=words) as caught:
            opened[name]
        assert not isinstance(caught.value, fi.errors.InvalidCheckpointError)
        assert name in opened
    assert "absent" not in opened


@pytest.mark.parametrize(("dtype", "size"), [("I32", 4), ("F4", 1), ("F6_E3M2", 3), ("BOOL", 1)])
def test_verify_names_a_dtype_that_no_recipe_draws(tmp_path, dtype, size):
    fi.write(plan_of(("w", (4,), "zeros()")), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    header = json.loads(path.read_bytes()[8:4096])
    count = {"F4": 2, "F6_E3M2": 4}.get(dtype, 1)
    header["w"] = {"dtype": dtype, "shape": [count], "data_offsets": [0, size]}
    path.write_bytes(safetensors_file(header, bytes(size)))
    words = (
        f"tensor 'w' has dtype {dtype}, which no recipe draws: recipes draw F32, F16, BF16, F8_E4M3"
    )
    with pytest.raises(VerifyError, match=words):
        fi.verify(tmp_path)


def test_more_than_64_axes_are_refused_at_the_plan():
    assert len(fi.Tensor("w", (1,) * 64, "zeros()").shape) == 64
    for shape in ((1,) * 65, [1] * 100_000):
        with pytest.raises(
            ValueError, match=r"tensor 'w' has [0-9,]+ axes; NumPy reads at most 64"
        ):
            fi.Tensor("w", shape, "zeros()")


def test_a_file_of_more_than_64_axes_verifies_all_the_same(tmp_path):
    fi.write(plan_of(("w", (2, 3), "normal(std=1)")), tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()
    header = json.loads(data[8:4096])
    header["w"]["shape"] = [1] * 70 + [2, 3]
    path.write_bytes(safetensors_file(header, data[4096:]))
    assert fi.verify(tmp_path).parameters == 6
    path.write_bytes(safetensors_file(header, data[4096:-1] + b"\xff"))
    with pytest.raises(
        VerifyError, match=r"element 5 \(at \[0, 0, 0, 0, 0, 0, 0, 0, \.\.\.\]\) is"
    ):
        fi.verify(tmp_path)
