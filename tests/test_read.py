# SPDX-License-Identifier: MIT
"""Opening checkpoints: what is mapped, and the broken files that are refused."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from checkpoint_plans import mixed_plan, plan_of, safetensors_file, tensors_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import write
from fastinit.errors import CheckpointError

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
    with pytest.raises(CheckpointError, match=r"cannot open .*No such file"):
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
    with pytest.raises(CheckpointError, match=r"cannot open .*absent: No such file"):
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


def test_an_index_that_names_an_absent_tensor_is_found(tmp_path):
    write(mixed_plan(), tmp_path, seed=3, max_shard_size="60KB")
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["ghost"] = index["weight_map"]["half"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="has no tensor 'ghost', the index says so"):
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
    with pytest.raises(CheckpointError, match=r"is no valid index: tensor 'a' is said to be in"):
        checkpoints.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no valid index"),
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


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
BOTH, STRICTER = (False, False), (False, True)  # (we accept, safetensors accepts)
MALFORMED = {
    "a good file": (safetensors_file({"a": F32}, b"1234"), (True, True), ""),
    "nothing in it": (safetensors_file({}), (True, True), ""),
    "padded": (safetensors_file({"a": F32}, b"1234", pad=b"   "), (True, True), ""),
    "empty tensor": (
        safetensors_file({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
        (True, True),
        "",
    ),
    "odd offset": (
        safetensors_file(
            {
                "b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                "a": {**F32, "data_offsets": [1, 5]},
            },
            b"12345",
        ),
        (True, True),
        "",
    ),
    "JSON order is not data order": (
        safetensors_file({"b": {**F32, "data_offsets": [4, 8]}, "a": F32}, b"12345678"),
        (True, True),
        "",
    ),
    "path as a name": (safetensors_file({"../../etc/x": F32}, b"1234"), (True, True), ""),
    "empty name": (safetensors_file({"": F32}, b"1234"), STRICTER, "has the name ''"),
    "NUL in a name": (safetensors_file({"a\0b": F32}, b"1234"), STRICTER, "has the name"),
    "leading space": (
        safetensors_file(b" " + json.dumps({"a": F32}).encode(), b"1234"),
        STRICTER,
        "does not start with",
    ),
    "newline last": (
        safetensors_file({"a": F32}, b"1234", pad=b"\n"),
        STRICTER,
        "does not end with",
    ),
    "extra field": (
        safetensors_file({"a": {**F32, "x": 1}}, b"1234"),
        STRICTER,
        "exactly dtype, shape and data_offsets",
    ),
    "identical duplicate": (
        safetensors_file(
            b'{"a":%s,"a":%s}' % (json.dumps(F32).encode(), json.dumps(F32).encode()), b"1234"
        ),
        STRICTER,
        "key 'a' appears twice",
    ),
    "four-bit floats": (
        safetensors_file({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"1"),
        STRICTER,
        "dtype 'F4': known are",
    ),
    "overflow behind a zero": (
        safetensors_file(
            {"a": {"dtype": "U8", "shape": [0, 2**40, 2**40], "data_offsets": [0, 0]}}
        ),
        STRICTER,
        r"at most 2\*\*63 - 1",
    ),
    "null metadata": (
        safetensors_file({"__metadata__": None, "a": F32}, b"1234"),
        STRICTER,
        "not a map from text",
    ),
    "trailing byte": (safetensors_file({"a": F32}, b"12345"), BOTH, "the file at"),
    "short data": (safetensors_file({"a": F32}, b"123"), BOTH, "the file at"),
    "hole": (safetensors_file({"a": {**F32, "data_offsets": [1, 5]}}, b"12345"), BOTH, "expected"),
    "overlap": (
        safetensors_file({"a": F32, "b": {**F32, "data_offsets": [2, 6]}}, b"123456"),
        BOTH,
        "was expected",
    ),
    "two names, one range": (safetensors_file({"a": F32, "b": F32}, b"1234"), BOTH, "expected"),
    "duplicate with other offsets": (
        safetensors_file(
            b'{"a":%s,"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
            % json.dumps(F32).encode(),
            b"12345678",
        ),
        BOTH,
        "appears twice",
    ),
    "duplicate metadata": (
        safetensors_file(b'{"__metadata__":{},"__metadata__":{}}'),
        BOTH,
        "appears twice",
    ),
    "NUL padding": (safetensors_file({"a": F32}, b"1234", pad=b"\0"), BOTH, "does not end with"),
    "unknown dtype": (safetensors_file({"a": {**F32, "dtype": "F31"}}, b"1234"), BOTH, "'F31'"),
    "dtype is a list": (safetensors_file({"a": {**F32, "dtype": []}}, b"1234"), BOTH, "dtype"),
    "metadata is a number": (
        safetensors_file({"__metadata__": {"a": 1}}),
        BOTH,
        "not a map from text to text",
    ),
    "negative": (safetensors_file({"a": {**F32, "shape": [-1]}}, b"1234"), BOTH, "-1 is negative"),
    "minus zero": (
        safetensors_file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', b"1234"),
        BOTH,
        "-0 is negative",
    ),
    "float": (safetensors_file({"a": {**F32, "shape": [1.0]}}, b"1234"), BOTH, "is no shape"),
    "bool": (safetensors_file({"a": {**F32, "shape": [True]}}, b"1234"), BOTH, "is no shape"),
    "shape is text": (safetensors_file({"a": {**F32, "shape": "1"}}, b"1234"), BOTH, "a list is"),
    "three offsets": (
        safetensors_file({"a": {**F32, "data_offsets": [0, 4, 8]}}, b"1234"),
        BOTH,
        "two integers are needed",
    ),
    "float offset": (
        safetensors_file({"a": {**F32, "data_offsets": [0, 4.0]}}, b"1234"),
        BOTH,
        "two integers are needed",
    ),
    "missing field": (
        safetensors_file({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
        BOTH,
        "exactly dtype",
    ),
    "size is not that of the shape": (
        safetensors_file({"a": {**F32, "shape": [2]}}, b"1234"),
        BOTH,
        "takes 8 bytes",
    ),
    "overflow": (
        safetensors_file({"a": {**F32, "shape": [2**32, 2**32]}}, b"1234"),
        BOTH,
        r"2\*\*63",
    ),
    "overflow before a zero": (
        safetensors_file(
            {"a": {"dtype": "U8", "shape": [2**40, 2**40, 0], "data_offsets": [0, 0]}}
        ),
        BOTH,
        r"2\*\*63",
    ),
    "empty at a wrong place": (
        safetensors_file(
            {"a": F32, "b": {"dtype": "F32", "shape": [0], "data_offsets": [2, 2]}}, b"1234"
        ),
        BOTH,
        "expected",
    ),
    "not an object": (safetensors_file(b"[]"), BOTH, "does not start with"),
    "not JSON": (safetensors_file(b"{a}"), BOTH, "no valid safetensors file"),
    "NaN": (safetensors_file(b'{"a":NaN}'), BOTH, "NaN is not JSON"),
    "huge number": (safetensors_file(b'{"a":' + b"9" * 5000 + b"}"), BOTH, "no valid"),
    "header longer than the file": (safetensors_file({}, length=3), BOTH, "claims a header of 3"),
    "header beyond 100 MB": (safetensors_file({}, length=10**8 + 1), BOTH, "must be below"),
    "header of 2**64 - 1": (safetensors_file({}, length=2**64 - 1), BOTH, "claims a header"),
    "seven bytes": (b"1234567", BOTH, "has 7 bytes"),
    "no bytes": (b"", BOTH, "has 0 bytes"),
    "bad UTF-8": (safetensors_file(b'{"\xff":1}'), BOTH, "no valid safetensors file"),
    "UTF-16": (safetensors_file('{"a":1}'.encode("utf-16-le")), BOTH, "does not end|no valid"),
    "lone surrogate": (
        safetensors_file(b'{"\\ud800":%s}' % json.dumps(F32).encode(), b"1234"),
        BOTH,
        "has the name",
    ),
    "lone surrogate in metadata": (
        safetensors_file(b'{"__metadata__":{"a":"\\ud800"}}'),
        BOTH,
        "surrogates not allowed",
    ),
    "deep nesting": (
        safetensors_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        BOTH,
        "nested too deeply",
    ),
}


def verdicts(path):
    """(we accept, safetensors accepts)."""
    ours = theirs = True
    try:
        checkpoints.open(path)
    except CheckpointError:
        ours = False
    try:
        with safe_open(path, "numpy"):
            pass
    except (SafetensorError, OSError):
        theirs = False
    return ours, theirs


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_as_the_reference_does_or_more_strictly(tmp_path, case):
    data, expected, message = MALFORMED[case]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert verdicts(path) == expected
    if message:
        with pytest.raises(CheckpointError, match=message):
            checkpoints.open(path)


GOOD = safetensors_file(
    {
        "__metadata__": {"format": "pt"},
        "a": F32,
        "b": {"dtype": "BF16", "shape": [2, 0], "data_offsets": [4, 4]},
        "c": {"dtype": "U8", "shape": [], "data_offsets": [4, 5]},
    },
    b"12345",
    pad=b"  ",
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD) - 1),
            st.one_of(
                st.sampled_from(list(b'0123456789-.eE"[]{}:, \x00\n\\u')), st.integers(0, 255)
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_mutation_is_accepted_that_the_reference_refuses(changes):
    data = bytearray(GOOD)
    for place, byte in changes:
        data[place] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        path.write_bytes(data)
        ours, theirs = verdicts(path)
    assert theirs or not ours


def test_a_file_of_ours_is_read_alike_by_both(tmp_path):
    write(plan_of(("w", (50, 3), "normal(std=0.02)")), tmp_path, seed=9)
    np.testing.assert_array_equal(
        load_file(tmp_path / "model.safetensors")["w"], checkpoints.open(tmp_path)["w"]
    )
