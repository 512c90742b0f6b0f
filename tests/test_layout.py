# SPDX-License-Identifier: MIT
"""Which bytes go where, before anything is written: sizes, shards, headers, index, config."""

from __future__ import annotations

import json

import pytest
from checkpoint_plans import mixed_plan, plan_of
from huggingface_hub.serialization._base import (
    parse_size_to_int,
    split_state_dict_into_shards_factory,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinit.checkpoints import Shard, layout, layout_of
from fastinit.checkpoints.layout import Entry, parse_size, split, tensor_size
from fastinit.checkpoints.recipe import Recipe
from fastinit.stream import check_seed

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
        (1, 1),
        (10**18, 10**18),
    ],
)
def test_sizes_are_decimal(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "size",
    # the last text is the Arabic digit five: a digit to Python, but no number we promise to read
    ["", "GB", "5GiB", "5 G", "-1GB", "nanGB", "infGB", "1e3MB", "5,0GB", "0", "0.1", "\u0665GB"],
)
def test_an_impossible_text_says_what_works(size):
    with pytest.raises(ValueError, match=r'max_shard_size is .* "5GB"'):
        parse_size(size)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, None, b"5GB"])
def test_an_impossible_number_says_what_works(size):
    with pytest.raises(ValueError, match=r'max_shard_size is .* "5GB"'):
        parse_size(size)


@settings(deadline=None)
@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["KB", "MB", "GB", "TB", "gb"])
)
def test_sizes_are_read_as_the_hub_reads_them(whole, fraction, unit):
    text = f"{whole}.{fraction}{unit}"
    expected = parse_size_to_int(text)
    if expected:
        assert parse_size(text) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 60))
def test_shards_are_split_as_the_hub_splits_them(sizes, limit):
    expected = split_state_dict_into_shards_factory(
        {str(i): size for i, size in enumerate(sizes)},
        get_storage_size=lambda size: size,
        filename_pattern=PATTERN,
        max_shard_size=limit,
    )
    groups = split(sizes, limit)
    found = {
        layout._file_name(i, len(groups)): [str(p) for p in group]
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
    assert split([2, 10, 2], 5) == [[1], [0, 2]]


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
        ({"file": "../model.safetensors"}, "is no shard name"),
        ({"file": "model-1-of-2.safetensors"}, "is no shard name"),
        ({"seed": -1}, "seed is -1"),
        ({"entries": [{"name": "a", "shape": [1], "dtype": "f4", "init": "ones()"}]}, "dtype 'f4'"),
        ({"entries": [{"name": "", "shape": [], "dtype": "float32", "init": "ones()"}]}, "name ''"),
        (
            {"entries": [{"name": "a", "shape": [], "dtype": "float32", "init": "ones()"}] * 2},
            "two tensors of one name",
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
        layout.Entry(name, (1,), "float32", "zeros()")


@pytest.mark.parametrize("shape", [(-1,), (1.0,), (True,), ("3",), (None,)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="use whole numbers of 0 or more"):
        tensor_size(shape, 4)


@pytest.mark.parametrize("shape", [(2**61, 4), (2**40, 2**40, 0), (0, 2**40, 2**40), (2**63,)])
def test_an_overflow_is_found_even_behind_a_zero(shape):
    with pytest.raises(ValueError, match=r"a file holds at most 2\*\*63 - 1"):
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


def test_a_header_beyond_the_limit_of_readers_is_refused(monkeypatch):
    monkeypatch.setattr(layout, "HEADER_LIMIT", 8000)
    names = [f"layer.{i}.weight" for i in range(100)]
    with pytest.raises(ValueError, match=r"header of model.safetensors takes .*smaller max_shard"):
        layout_of(plan_of(*((name, (10,), "zeros()") for name in names)), seed=0)


def test_an_index_beyond_the_limit_of_readers_is_refused(monkeypatch):
    monkeypatch.setattr(layout, "INDEX_LIMIT", 200)
    plan = plan_of(*((f"t{i}", (10,), "zeros()") for i in range(5)))
    with pytest.raises(ValueError, match=r"the index takes .*fits everything into one file"):
        layout_of(plan, seed=0, max_shard_size=40)
    assert layout_of(plan, seed=0).index is None


def test_too_many_shards_are_refused(monkeypatch):
    monkeypatch.setattr(layout, "SHARD_LIMIT", 4)
    plan = plan_of(*((f"t{i}", (10,), "zeros()") for i in range(5)))
    with pytest.raises(ValueError, match="5 shards are too many: choose a larger max_shard_size"):
        layout_of(plan, seed=0, max_shard_size=40)


def test_an_entry_knows_its_size():
    entry = Entry("a", (3, 5), "bfloat16", "zeros()")
    assert (entry.count, entry.size) == (15, 30)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "exactly the fields stream, seed, plan, digest, init"),
        ('{"stream":1}', "exactly the fields"),
        ('{"stream":1,"seed":true,"plan":"","digest":"","init":{}}', "seed is not of type int"),
        ('{"stream":2,"seed":0,"plan":"","digest":"","init":{}}', "version 2, this fastinit knows"),
        ('{"stream":1,"seed":0,"plan":"","digest":"","init":{"a":1}}', "a scheme as text"),
        ('{"stream":1,"seed":-1,"plan":"","digest":"","init":{}}', "seed is -1"),
    ],
)
def test_a_recipe_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.parse(text)


def test_a_recipe_survives_the_trip_through_text():
    recipe = Recipe(2**64 - 1, "gpt2", "ab", {"größe": "zeros()"})
    assert Recipe.parse(recipe.text()) == recipe
