# SPDX-License-Identifier: MIT
"""Which bytes go where, before anything is written: sizes, shards, headers, index, config."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from checkpoint_plans import mixed_plan, plan_of
from huggingface_hub.serialization._base import (
    parse_size_to_int,
    split_state_dict_into_shards_factory,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinit.checkpoints import Shard, layout_of
from fastinit.checkpoints.entries import Entry, tensor_size
from fastinit.checkpoints.formats.safetensors import shards
from fastinit.checkpoints.sizes import parse_size
from fastinit.values.stream import check_seed

PATTERN = "model{suffix}.safetensors"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5GB", 5 * 10**9),
        ("1.5gb", 1_500_000_000),
        (" 300 MB ", 300_000_000),
        ("1KB", 1000),
        ("2TB", 2 * 10**12),
        ("12345", 12345),
        ("5GiB", 5 * 2**30),
        ("1.5 gib", 3 * 2**29),
        ("1KiB", 1024),
        ("3MiB", 3 * 2**20),
        ("2 TiB", 2 * 2**40),
        ("500 MB", 500 * 10**6),
        ("1.5KB", 1500),
        ("999999999999999", 10**15 - 1),
        (1, 1),
        (10**18, 10**18),
        (np.int64(5 * 10**9), 5 * 10**9),
        (np.uint8(200), 200),
    ],
)
def test_sizes_are_decimal_or_binary(text, size):
    assert type(parse_size(text)) is int
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "size",
    # the last text is the Arabic digit five: a digit to Python, but no number we promise to read
    [
        *("", "GB", "5iB", "5Gi", "-1GB", "nanGB", "infGB", "1e3MB", "5,0GB", "0", "0.1", "1.5"),
        *("\u0665GB", "0.0001KB", "5 GB GB", "5GBB", ".5GB", "5.GB"),
    ],
)
def test_an_impossible_text_says_what_works(size):
    with pytest.raises(ValueError, match=r'max_shard_size is .* "5GB"'):
        parse_size(size)


@pytest.mark.parametrize("text", ["5G", "5 g", "1.5M", "5K", "5T"])
def test_a_unit_that_is_read_in_two_ways_is_refused(text):
    unit = text[-1].upper()
    with pytest.raises(
        ValueError, match=f"; {unit} alone means {unit}B to some programs, {unit}iB to others"
    ):
        parse_size(text)


@pytest.mark.parametrize(
    "size", [0, -1, True, 1.5, 5e9, None, b"5GB", np.float64(5), np.array([5]), np.bool_(True)]
)
def test_an_impossible_number_says_what_works(size):
    with pytest.raises(ValueError, match=r'max_shard_size is .* "5GB"'):
        parse_size(size)


@settings(deadline=None)
@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["KB", "MB", "GB", "TB", "gb"])
)
def test_sizes_are_read_as_the_hub_reads_them_but_for_its_rounding(whole, fraction, unit):
    text = f"{whole}.{fraction}{unit}"
    expected = parse_size_to_int(text)
    if expected:
        assert math.isclose(parse_size(text), expected, rel_tol=2**-50, abs_tol=1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 60))
def test_shards_are_split_as_the_hub_splits_them(sizes, limit):
    expected = split_state_dict_into_shards_factory(
        {str(i): size for i, size in enumerate(sizes)},
        get_storage_size=lambda size: size,
        filename_pattern=PATTERN,
        max_shard_size=limit,
    )
    groups = shards.split(sizes, limit)
    found = {
        shards.file_name(i, len(groups)): [str(p) for p in group]
        for i, group in enumerate(groups, 1)
    }
    assert found == expected.filename_to_tensors


SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)
DTYPES = st.sampled_from(["float32", "bfloat16", "float8_e5m2", "float64", None])


@settings(deadline=None)
@given(st.lists(st.tuples(SHAPES, DTYPES), min_size=1, max_size=20), st.integers(1, 5000))
def test_whole_layouts_are_those_of_the_hub(rows, limit):
    plan = plan_of(*((f"t{i}", shape, "zeros()", dtype) for i, (shape, dtype) in enumerate(rows)))
    found = layout_of(plan, seed=0, max_shard_size=limit)
    sizes = {e.name: e.size for shard in found.shards for e in shard.entries}
    expected = split_state_dict_into_shards_factory(
        {tensor.name: sizes[tensor.name] for tensor in plan},
        get_storage_size=lambda size: size,
        filename_pattern=PATTERN,
        max_shard_size=limit,
    )
    assert {s.file: {e.name for e in s.entries} for s in found.shards} == {
        file: set(names) for file, names in expected.filename_to_tensors.items()
    }
    assert found.size == expected.metadata["total_size"]
    if expected.is_sharded:
        index = json.loads(found.index)
        assert index["weight_map"] == expected.tensor_to_filename
        assert index["metadata"]["total_size"] == expected.metadata["total_size"]
    else:
        assert found.index is None


def test_a_large_tensor_has_its_own_shard_before_the_one_being_filled():
    assert shards.split([2, 10, 2], 5) == [[1], [0, 2]]


def test_the_header_of_a_tiny_plan_is_these_bytes():
    plan = plan_of(("b", (3,), "zeros()"), ("w", (2, 2), "normal(std=0.02)", "float64"), name="p")
    (shard,) = layout_of(plan, seed=7, dtype="bfloat16").shards
    text = (
        '{"__metadata__":{"format":"pt","fastinit":"{\\"stream\\":1,\\"seed\\":7,\\"plan\\":\\"p\\",'
        '\\"digest\\":\\"' + plan.digest + '\\",\\"init\\":{\\"w\\":\\"normal(std=0.02)\\",'
        '\\"b\\":\\"zeros()\\"}}"},'
        '"w":{"dtype":"F64","shape":[2,2],"data_offsets":[0,32]},'
        '"b":{"dtype":"BF16","shape":[3],"data_offsets":[32,38]}}'
    )
    assert shard.header == (4088).to_bytes(8, "little") + text.encode().ljust(4088, b" ")
    assert shard.file_size == 4096 + 38


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 60))
def test_data_begins_at_a_page_and_every_tensor_is_aligned_without_holes(count, length):
    names = [f"{i}".rjust(length, "ü") for i in range(count)]
    dtypes = ["float8_e5m2", "float64", "bfloat16", "float32"]
    plan = plan_of(*((n, (i % 3, 5), "zeros()", dtypes[i % 4]) for i, n in enumerate(names)))
    (shard,) = layout_of(plan, seed=0).shards
    assert len(shard.header) % 4096 == 0
    fields = json.loads(shard.header[8:])
    del fields["__metadata__"]
    end = 0
    for field, entry in zip(fields.values(), shard.entries, strict=True):
        start, stop = field["data_offsets"]
        assert start == end
        assert start % (entry.size // entry.count if entry.count else 1) == 0
        end = stop
    assert end == shard.data_size


def test_equal_element_sizes_keep_the_order_of_the_plan():
    plan = plan_of(("z", (1,), "zeros()"), ("a", (1,), "zeros()"), ("m", (2,), "zeros()"))
    (shard,) = layout_of(plan, seed=0).shards
    assert [entry.name for entry in shard.entries] == ["z", "a", "m"]


def test_the_index_is_laid_out_as_transformers_does():
    plan = plan_of(("z", (2,), "zeros()"), ("a", (3,), "zeros()", "bfloat16"))
    assert layout_of(plan, seed=0, max_shard_size=8).index == (
        b'{\n  "metadata": {\n    "total_parameters": 5,\n    "total_size": 14\n  },\n'
        b'  "weight_map": {\n    "a": "model-00002-of-00002.safetensors",\n'
        b'    "z": "model-00001-of-00002.safetensors"\n  }\n}\n'
    )


def test_the_config_names_the_dtype_of_most_parameters_for_old_and_new_readers():
    plan = plan_of(
        ("norm", (10,), "ones()", "float32"),
        ("w", (10, 10), "zeros()"),
        config={"b": 1, "torch_dtype": "float16"},
    )
    found = json.loads(layout_of(plan, seed=0, dtype="bfloat16").config)
    assert found == {"b": 1, "dtype": "bfloat16", "torch_dtype": "bfloat16"}
    assert layout_of(plan_of(("w", (1,), "zeros()")), seed=0).config is None


def test_the_config_names_float8_only_if_there_is_nothing_else():
    """A model computes in the other dtype, whatever its weights are stored in."""
    weight = ("w", (10, 10), "zeros()", "float8_e4m3fn")
    plan = plan_of(weight, ("norm", (3,), "ones()", "bfloat16"), config={})
    assert json.loads(layout_of(plan, seed=0).config)["dtype"] == "bfloat16"
    assert json.loads(layout_of(plan_of(weight, config={}), seed=0).config)["dtype"] == weight[3]


def test_the_files_are_listed_with_their_sizes_in_order_of_writing():
    found = layout_of(mixed_plan(), seed=1, max_shard_size="100KB")
    names = list(found.files)
    assert names[0] == "config.json"
    assert names[-1] == "model.safetensors.index.json"
    assert names[1:-1] == sorted(names[1:-1])
    assert found.files[names[-1]] == len(found.index)
    assert sum(found.files[n] for n in names[1:-1]) == found.size + sum(
        len(s.header) for s in found.shards
    )
    assert found.tensors == 9
    assert found.parameters == sum(t.count for t in mixed_plan())


def test_a_shard_survives_the_trip_through_json():
    for shard in layout_of(mixed_plan(), seed=2**64 - 1, max_shard_size="50KB").shards:
        text = json.dumps(shard.to_json())
        again = Shard.from_json(json.loads(text))
        assert again == shard
        assert '"size"' not in text  # one who sends it says each thing once
        assert again.header == shard.header


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../model.safetensors"}, "is not a shard.s name"),
        ({"file": "model-1-of-2.safetensors"}, "is not a shard.s name"),
        ({"seed": -1}, "seed is -1"),
        ({"entries": [{"name": "a", "shape": [1], "dtype": "f4", "init": "ones()"}]}, "dtype 'f4'"),
        ({"entries": [{"name": "", "shape": [], "dtype": "float32", "init": "ones()"}]}, "name ''"),
        (
            {"entries": [{"name": "a", "shape": [], "dtype": "float32", "init": "ones()"}] * 2},
            "two tensors with the same name",
        ),
    ],
)
def test_a_shard_description_that_cannot_be_is_refused(change, message):
    shard = layout_of(plan_of(("a", (1,), "zeros()")), seed=0).shards[0].to_json()
    with pytest.raises(ValueError, match=message):
        Shard.from_json({**shard, **change})


@pytest.mark.parametrize("seed", [-1, 2**64, True, 1.0, "1", None])
def test_an_impossible_seed_says_what_works(seed):
    with pytest.raises(
        (ValueError, TypeError), match=r"seed is .*: need (0 <= seed < 2\*\*64|an integer)"
    ):
        layout_of(plan_of(("a", (1,), "zeros()")), seed=seed)
    assert check_seed(2**64 - 1) == 2**64 - 1


@pytest.mark.parametrize("name", ["a\nb", "a\x7f", "a\x85b"])
def test_a_name_that_readers_trip_over_is_refused(name):
    with pytest.raises(ValueError, match="a control character or a lone surrogate"):
        layout_of(plan_of((name, (1,), "zeros()")), seed=0)


@pytest.mark.parametrize("name", [None, 3, "", "__metadata__", "a\0", "\ud800"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises((TypeError, ValueError), match="a tensor has the name"):
        Entry(name, (1,), "float32", "zeros()")


def test_more_axes_than_numpy_reads_are_refused():
    assert tensor_size((1,) * 64, 4) == 4
    with pytest.raises(ValueError, match="the shape has 65 axes: NumPy reads at most 64"):
        Entry("w", (1,) * 65, "float32", "zeros()")


@pytest.mark.parametrize("shape", [(-1,), (1.0,), (True,), ("3",), (None,)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="use whole numbers of 0 or more"):
        tensor_size(shape, 4)


@pytest.mark.parametrize("shape", [(2**61, 4), (2**40, 2**40, 0), (0, 2**40, 2**40), (2**63,)])
def test_an_overflow_is_found_even_behind_a_zero(shape):
    with pytest.raises(ValueError, match=r"more bytes than a file can hold, 2\*\*63 - 1"):
        tensor_size(shape, 1)
    assert tensor_size((2**31, 2**31), 1) == 2**62
    assert tensor_size((2**31, 0), 8) == 0


def test_tensors_that_only_together_overflow_are_refused():
    plan = plan_of(*((f"t{i}", (2**59,), "zeros()") for i in range(8)), dtype="float32")
    with pytest.raises(ValueError, match=r"the plan takes .*at most 2\*\*63 - 1"):
        layout_of(plan, seed=0)


def test_a_plan_without_tensors_is_refused():
    with pytest.raises(ValueError, match="the plan has no tensors"):
        layout_of(plan_of(), seed=0)


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="dtype 'float31' is not supported: choose from"):
        layout_of(plan_of(("a", (1,), "zeros()")), seed=0, dtype="float31")


def test_a_scheme_that_does_not_fit_its_shape_is_refused_by_name():
    with pytest.raises(ValueError, match="tensor 'bias' cannot be drawn: "):
        layout_of(plan_of(("bias", (5,), "he_normal()")), seed=0)


NAMED = plan_of(*((f"layer.{i}.weight", (10,), "zeros()") for i in range(100)))
"""As one file its header takes 12,280 bytes; the index of any files takes 5,989."""


def refusal(**options):
    """What `layout_of` says when it refuses."""
    with pytest.raises(ValueError, match="readers refuse") as caught:
        layout_of(NAMED, seed=0, **options)
    return str(caught.value)


def test_a_header_beyond_the_limit_of_readers_is_refused(monkeypatch):
    monkeypatch.setattr(shards, "HEADER_LIMIT", 8000)
    assert refusal() == (
        "the header of model.safetensors takes 12,280 bytes, but readers refuse 8,000: "
        "choose a smaller max_shard_size"
    )
    layout_of(NAMED, seed=0, max_shard_size=1000)


def test_an_index_beyond_the_limit_of_readers_is_refused(monkeypatch):
    monkeypatch.setattr(shards, "INDEX_LIMIT", 5000)
    assert refusal(max_shard_size=3000) == (
        "the index takes 5,989 bytes, but readers refuse more than 5,000: "
        "choose a max_shard_size of 4,000 bytes or more, for a single file"
    )
    assert layout_of(NAMED, seed=0, max_shard_size=4000).index is None


@pytest.mark.parametrize("size", ["5GB", 3900, 2000])
def test_names_that_are_too_long_for_any_number_of_files_are_refused_as_such(monkeypatch, size):
    """No advice that the next refusal would take back."""
    monkeypatch.setattr(shards, "HEADER_LIMIT", 8000)
    monkeypatch.setattr(shards, "INDEX_LIMIT", 5000)
    assert refusal(max_shard_size=size) == (
        "the header of model.safetensors takes 12,280 bytes, but readers refuse 8,000; with "
        "several files the index takes 5,989 bytes, but readers refuse more than 5,000: no "
        "max_shard_size helps, so give the tensors shorter names, join them into fewer and larger "
        "ones, or write several checkpoints"
    )


def test_empty_tensors_share_a_file_whatever_its_size(monkeypatch):
    monkeypatch.setattr(shards, "HEADER_LIMIT", 8000)
    rows = (*((f"empty.{i}", (0, 10), "zeros()") for i in range(100)), ("w", (1,), "zeros()"))
    with pytest.raises(
        ValueError, match=r"with several files the header .*: no max_shard_size helps"
    ):
        layout_of(plan_of(*rows), seed=0)


def test_a_description_with_too_long_a_header_is_refused(monkeypatch):
    shard = layout_of(NAMED, seed=0).shards[0]
    monkeypatch.setattr(shards, "HEADER_LIMIT", 8000)
    with pytest.raises(ValueError, match="readers refuse 8,000: put fewer tensors into it"):
        Shard.from_json(shard.to_json()).header  # noqa: B018 - raises


def test_too_many_shards_are_refused(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_LIMIT", 4)
    plan = plan_of(*((f"t{i}", (10,), "zeros()") for i in range(5)))
    with pytest.raises(ValueError, match="5 shards are too many: choose a larger max_shard_size"):
        layout_of(plan, seed=0, max_shard_size=40)


def test_an_entry_knows_its_size():
    entry = Entry("a", (3, 5), "bfloat16", "zeros()")
    assert (entry.count, entry.size) == (15, 30)


def test_a_shard_that_no_reader_would_take_is_not_described(tmp_path):
    form = layout_of(plan_of(("w", (3,), "zeros()")), seed=0).shards[0].to_json()
    for change in ({"digest": "ab"}, {"plan": "\x1b[2K"}):
        with pytest.raises(ValueError, match=r"64 hexadecimal digits|printable characters"):
            Shard.from_json({**form, **change})


def len_or_bits(size):
    return f"{len(size)} characters" if isinstance(size, str) else f"{size.bit_length()} bits"


def test_a_size_is_an_exact_decimal():
    """Where huggingface_hub rounds through a float."""
    assert parse_size("4.1GB") == 4_100_000_000
    assert parse_size("0.000000001GB") == 1
    assert parse_size("1.9999999999KB") == 1999
    assert parse_size("999999999999999.999TB") == 999_999_999_999_999_999 * 10**9


@pytest.mark.parametrize("size", [-(10**6000), "9" * 10**5, "5G\x1b[2K" * 1000], ids=len_or_bits)
def test_a_size_of_any_length_is_refused_in_a_short_line(size):
    with pytest.raises(ValueError, match=r"^max_shard_size is .*pass bytes as a whole") as caught:
        parse_size(size)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()
