# SPDX-License-Identifier: MIT
"""Sidecars come from strangers: what is not one is refused, by everything that reads it."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped_files import BESIDE, expected, made

import fastinit as fi
from fastinit.checkpoints.formats import SINGLE_FORMATS, format_of, sidecars
from fastinit.checkpoints.formats.sidecars import Sidecar
from fastinit.checkpoints.layout import Shard
from fastinit.errors import CheckpointError, InvalidCheckpointError
from fastinit.numerics.dtypes import DTYPES

READERS = (fi.open, fi.verify, fi.memmap, made, fi.plan)
GOOD = {
    "stream": 1,
    "seed": 3,
    "plan": "",
    "digest": "0" * 64,
    "init": {"e": "normal(std=0.02)"},
    "dtype": "float32",
    "shape": "50,7",
    "start": 0,
    "filled": 1,
}


def without(key):
    return {name: value for name, value in GOOD.items() if name != key}


def text_of(fields):
    return json.dumps(fields).encode() if isinstance(fields, dict) else fields


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (b"", "the end of the text' is not a JSON object|the end of the text is not a JSON object"),
        (b"[]", r"'\[\]' is not a JSON object"),
        (b"{" * 100_000, "is not a text, a number or a table of texts"),
        (b'{"seed": 1, "seed": 2}', "key 'seed' appears twice"),
        (text_of(GOOD) + b"x", "'x' follows the end of the object"),
        (without("dtype"), "it has no dtype of type str"),
        (without("shape"), "it has no shape of type str"),
        (without("start"), "it has no start of type int"),
        (without("filled"), "it has no filled of type int"),
        (GOOD | {"dtype": 4}, "it has no dtype of type str"),
        (GOOD | {"dtype": "int8"}, "it has dtype 'int8': known are float32, float16"),
        (GOOD | {"filled": 2}, "its filled is 2: 0 and 1 are possible"),
        (GOOD | {"start": -1}, "is not a text, a number or a table of texts"),
        (without("init"), "it has no init of one tensor"),
        (GOOD | {"init": "zeros()"}, "it has no init of one tensor"),
        (GOOD | {"init": {}}, "it has no init of one tensor"),
        (GOOD | {"init": {"e": "zeros()", "f": "zeros()"}}, "it has no init of one tensor"),
        (GOOD | {"init": {"\n": "zeros()"}}, "has the name"),
        (GOOD | {"shape": "50, 7"}, "its shape is '50, 7': whole numbers with commas"),
        (GOOD | {"shape": "-50"}, "its shape is '-50': whole numbers with commas"),
        (GOOD | {"shape": "050"}, "its shape is '050': whole numbers with commas"),
        (GOOD | {"shape": "\u0665"}, "whole numbers with commas"),
        (GOOD | {"shape": ",".join("1" * 65)}, "whole numbers with commas"),
        (GOOD | {"shape": "0,7"}, "its shape is '0,7': an array without elements has no file"),
    ],
)
def test_what_is_no_sidecar_is_refused(tmp_path, fields, words):
    path = tmp_path / "e.bin"
    made(path)
    path.with_name(f"e.bin{BESIDE}").write_bytes(text_of(fields))
    for read in READERS:
        with pytest.raises(InvalidCheckpointError, match=f"is not a valid sidecar: .*({words})"):
            read(path)


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        (
            "e.bin",
            {"shape": "50,8"},
            "the tensors end at byte 1,600, the file at 1,400",
        ),
        ("e.bin", {"shape": "50"}, "the tensors end at byte 200, the file at 1,400"),
        ("e.bin", {"start": 1}, "the tensors end at byte 1,401, the file at 1,400"),
        ("e.bin", {"dtype": "float64"}, "the tensors end at byte 2,800"),
        ("e.bin", {"shape": "9999999999,9999999999"}, "takes more bytes than a file can hold"),
        (
            "e.npy",
            {"start": 128, "shape": "7,50"},
            r"its elements are <f4 of shape \(50, 7\)",
        ),
        ("e.npy", {"start": 0}, "the tensors end at byte 1,400, the file at 1,528"),
        ("e.npy", {"start": 128, "dtype": "bfloat16"}, "bfloat16, which the file cannot hold"),
    ],
)
def test_a_sidecar_of_another_file_is_refused(tmp_path, file, fields, words):
    path = tmp_path / file
    made(path)
    path.with_name(file + BESIDE).write_bytes(text_of(GOOD | fields))
    for read in fi.open, fi.verify, fi.memmap, fi.plan:
        with pytest.raises(InvalidCheckpointError, match=words):
            read(path)


def test_values_may_begin_anywhere(tmp_path):
    (tmp_path / "e.bin").write_bytes(b"12345678" + expected().tobytes())
    (tmp_path / f"e.bin{BESIDE}").write_bytes(text_of(GOOD | {"start": 8}))
    assert fi.verify(tmp_path / "e.bin").parameters == 350
    assert (fi.memmap(tmp_path / "e.bin") == expected()).all()
    with pytest.raises(CheckpointError, match="made with start 8, not 0"):
        made(tmp_path / "e.bin")


def test_a_sidecar_of_another_stream_is_read_and_not_verified(tmp_path):
    path = tmp_path / "e.bin"
    made(path)
    path.with_name(f"e.bin{BESIDE}").write_bytes(text_of(GOOD | {"stream": 2}))
    assert (fi.memmap(path) == expected()).all()
    with pytest.raises(CheckpointError, match="stream version 2, but this fastinit knows version"):
        fi.verify(path)
    with pytest.raises(CheckpointError, match="made with stream 2, not 1"):
        made(path)


def test_the_order_of_fields_and_blanks_do_not_matter(tmp_path):
    path = tmp_path / "e.bin"
    made(path)
    beside = path.with_name(f"e.bin{BESIDE}")
    beside.write_text(json.dumps(json.loads(beside.read_text()), indent=4, sort_keys=True))
    fi.verify(path)
    made(path)


def test_a_sidecar_that_is_too_long_or_no_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "e.bin"
    made(path)
    beside = path.with_name(f"e.bin{BESIDE}")
    os.truncate(beside, sidecars.SIDECAR_LIMIT + 1)
    for read in READERS:
        with pytest.raises(InvalidCheckpointError, match="a sidecar has at most 10,000,000"):
            read(path)
    beside.unlink()
    os.mkfifo(beside)
    for read in READERS:
        with pytest.raises(InvalidCheckpointError, match=r"json is not a regular file"):
            read(path)


def test_a_sidecar_decides_nothing_about_safetensors(tmp_path):
    fi.write(fi.Plan([fi.Tensor("w", (4,), "ones()")]), tmp_path, seed=0)
    (tmp_path / f"model.safetensors{BESIDE}").write_bytes(text_of(GOOD))
    assert list(fi.open(tmp_path / "model.safetensors")) == ["w"]


def test_files_of_one_array_are_no_format_of_a_folder(tmp_path):
    shard = made_shard()
    for name in SINGLE_FORMATS:
        with pytest.raises(ValueError, match=f"format is '{name}': choose from safetensors, npy"):
            format_of(name)
        with pytest.raises(ValueError, match=f"format is '{name}': choose from"):
            Shard.from_json(shard | {"format": name})


def made_shard():
    plan = fi.Plan([fi.Tensor("e", (4,), "ones()")])
    return fi.checkpoints.layout_of(plan, seed=0, format="npy").shards[0].to_json()


FIELDS = st.fixed_dictionaries(
    {
        "recipe": st.fixed_dictionaries(
            {
                "stream": st.integers(0, 2**64 - 1),
                "seed": st.integers(0, 2**64 - 1),
                "init": st.dictionaries(
                    st.text(min_size=1).filter(str.isprintable),
                    st.text().filter(str.isprintable),
                    min_size=1,
                    max_size=1,
                ),
            }
        ),
        "dtype": st.sampled_from(sorted(DTYPES)),
        "shape": st.lists(st.integers(1, 10**18), max_size=64).map(tuple),
        "start": st.integers(0, 2**63 - 1),
        "filled": st.booleans(),
    }
)


@given(FIELDS)
def test_a_sidecar_is_read_back(fields):
    sidecar = Sidecar(**fields)
    assert Sidecar.parse(sidecar.text().encode()) == sidecar
    assert not sidecar.differences(sidecar)


@given(st.integers(0, len(text_of(GOOD))), st.binary(max_size=4), st.integers(0, 4))
@settings(max_examples=300)
def test_a_changed_sidecar_is_one_or_an_error(place, more, less):
    text = text_of(GOOD)
    try:
        Sidecar.parse(text[:place] + more + text[place + less :])
    except ValueError:
        return
