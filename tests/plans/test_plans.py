# SPDX-License-Identifier: MIT
"""Plans, their JSON form and where they come from; their TOML form is in test_toml.py."""

import copy
import datetime
import hashlib
import json
import math
import pickle
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinit import plans
from fastinit.errors import PlanError
from fastinit.plans import Plan, Tensor, plan, presets
from fastinit.plans.reading import MAX_FILE
from fastinit.plans.toml import read_toml
from fastinit.schemes import scheme

ZEROS = scheme("zeros()")
NORMAL = scheme("normal(std=0.02)")

SMALL = Plan(
    [Tensor("wte.weight", (10, 4), NORMAL), Tensor("ln.weight", (4,), ZEROS, "float32")],
    name="small",
    dtype="bfloat16",
    config={"model_type": "gpt2", "n_embd": 4, "more": {"list": [1, 2.5, None, True, "é"]}},
)


# Tensors


def test_a_tensor_keeps_what_it_is_given():
    tensor = Tensor("w", (2, 3), NORMAL, "float16")
    assert (tensor.name, tensor.shape, tensor.scheme, tensor.dtype) == (
        "w",
        (2, 3),
        NORMAL,
        "float16",
    )
    assert tensor.count == 6


def test_numpy_integers_and_lists_are_good_shapes():
    tensor = Tensor("w", [np.int64(2), np.uint8(3)], NORMAL)
    assert tensor.shape == (2, 3)
    assert {type(dimension) for dimension in tensor.shape} == {int}
    assert tensor == Tensor("w", (2, 3), NORMAL)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16), "bfloat16"])
def test_a_numpy_dtype_is_kept_by_name(dtype):
    assert Tensor("w", (), NORMAL, dtype).dtype == "bfloat16"
    assert Plan([], dtype=dtype).dtype == "bfloat16"


@pytest.mark.parametrize(("shape", "count"), [((), 1), ((0,), 0), ((5, 0, 7), 0), ((1,) * 30, 1)])
def test_scalars_and_empty_tensors_are_tensors(shape, count):
    assert Tensor("w", shape, ZEROS).count == count


@pytest.mark.parametrize("name", ["", "__metadata__"])
def test_a_name_that_safetensors_cannot_hold_is_refused(name):
    with pytest.raises(ValueError, match=f"name '{name}', which safetensors files cannot hold"):
        Tensor(name, (1,), ZEROS)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\x7f", "a\x85b", "\ud800", "a\udfff"])
def test_a_name_that_utf8_text_cannot_hold_is_refused(name):
    with pytest.raises(ValueError, match="a control character or a lone surrogate"):
        Tensor(name, (1,), ZEROS)


@pytest.mark.parametrize("name", [None, 1, b"w"])
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(TypeError, match="which is not a text"):
        Tensor(name, (1,), ZEROS)


@pytest.mark.parametrize("shape", [3, "34", (1.0,), (None,), ((1,),), (2, True), (np.True_,)])
def test_a_shape_that_is_not_of_whole_numbers_is_refused(shape):
    with pytest.raises(TypeError, match=r"tensor 'w' has shape .*; write whole numbers"):
        Tensor("w", shape, ZEROS)


def test_a_negative_dimension_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, -1\); dimensions start at 0"):
        Tensor("w", (2, -1), ZEROS)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2**60,), None),
        ((2**60,), "float64"),
        ((2**61,), "float32"),
        ((2**63,), "float8_e5m2"),
        ((2**32, 2**32), "float16"),
        ((2**40, 0, 2**40), "float16"),
        ((0, 2**63), None),
    ],
)
def test_a_shape_of_two_to_the_63_bytes_is_refused_even_with_a_zero_in_it(shape, dtype):
    with pytest.raises(ValueError, match=r"would have 2\*\*63 bytes or more at \d bytes"):
        Tensor("w", shape, ZEROS, dtype)


def test_a_shape_just_below_the_limit_is_a_shape():
    assert Tensor("w", (2**63 - 1,), ZEROS, "float8_e5m2").count == 2**63 - 1
    assert Tensor("w", (2**60 - 1,), ZEROS).count == 2**60 - 1


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="dtype 'int8' is not supported: choose from float32"):
        Tensor("w", (1,), ZEROS, "int8")
    with pytest.raises(ValueError, match="dtype 'int8' is not supported"):
        Plan([], dtype="int8")


def test_a_text_in_the_place_of_a_scheme_is_read():
    assert Tensor("w", (1,), "zeros()") == Tensor("w", (1,), ZEROS)
    with pytest.raises(ValueError, match="no scheme is named 'zeroes'"):
        Tensor("w", (1,), "zeroes()")


def test_a_number_in_the_place_of_a_scheme_is_refused():
    with pytest.raises(TypeError, match=r"which is not a Scheme; make one with fastinit\.scheme"):
        Tensor("w", (1,), 0.02)


# Plans


def test_a_plan_is_an_ordered_collection_of_tensors():
    assert [tensor.name for tensor in SMALL] == ["wte.weight", "ln.weight"]
    assert len(SMALL) == 2
    assert SMALL["ln.weight"].shape == (4,)
    assert "ln.weight" in SMALL
    assert "ln" not in SMALL


def test_a_plan_is_equal_to_its_copies_and_hashes_like_them():
    for copied in (copy.deepcopy(SMALL), pickle.loads(pickle.dumps(SMALL))):
        assert copied == SMALL
        assert hash(copied) == hash(SMALL)
    assert Plan(SMALL.tensors, "small", "bfloat16") != SMALL


def test_a_plan_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot assign to field 'name'"):
        SMALL.name = "large"
    SMALL.config["n_embd"] = 8
    assert SMALL.config["n_embd"] == 4


def test_a_plan_counts_parameters_and_bytes():
    assert SMALL.parameters == 44
    assert SMALL.size() == 40 * 2 + 4 * 4
    assert SMALL.size("float64") == 40 * 8 + 4 * 4
    assert Plan([]).parameters == Plan([]).size() == 0


def test_the_dtype_is_the_tensors_own_then_the_one_asked_for_then_the_plans_then_float32():
    free, pinned = SMALL
    assert SMALL.resolved_dtype(pinned, "float16") == "float32"
    assert SMALL.resolved_dtype(free, "float16") == "float16"
    assert SMALL.resolved_dtype(free, np.float16) == "float16"
    assert SMALL.resolved_dtype(free) == "bfloat16"
    assert Plan([free]).resolved_dtype(free) == "float32"


def test_an_unknown_dtype_asked_for_is_refused_though_the_tensor_has_its_own():
    with pytest.raises(ValueError, match="dtype 'int8' is not supported"):
        SMALL.resolved_dtype(SMALL["ln.weight"], "int8")


def test_an_unknown_tensor_is_an_error_with_the_closest_names():
    with pytest.raises(KeyError, match=r"no tensor 'wte\.wieght'; did you mean 'wte\.weight'"):
        SMALL["wte.wieght"]


def test_a_duplicate_name_is_refused_by_name():
    tensor = Tensor("w", (1,), ZEROS)
    with pytest.raises(ValueError, match="two tensors have the name 'w'; names must differ"):
        Plan([tensor, Tensor("v", (1,), ZEROS), tensor])


@pytest.mark.parametrize("tensors", [["w"], [("w", (1,), ZEROS)]])
def test_a_plan_of_anything_but_tensors_is_refused(tensors):
    with pytest.raises(TypeError, match="a plan holds Tensor objects, not"):
        Plan(tensors)


def test_a_plan_name_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="a plan has the name 1, which is not a text"):
        Plan([], name=1)


def test_a_config_that_is_no_mapping_is_refused():
    with pytest.raises(TypeError, match=r"config \[1\] is not a mapping; give a dict"):
        Plan([], config=[1])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"a": {"b": [0, math.nan]}}, "a.b.1"),
        ({"a": math.inf}, "a"),
        ({"a": datetime.date(2026, 1, 1)}, "a"),
        ({"a": {1: 2}}, "a"),
        ({1: 2}, ""),
        ({"a": {2, 3}}, "a"),
    ],
)
def test_a_config_that_json_cannot_hold_is_refused_by_key(config, key):
    with pytest.raises(ValueError, match=f"config key '{re.escape(key)}' is .*JSON cannot hold"):
        Plan([], config=config)


def test_a_bottomless_config_is_refused():
    config = {}
    config["a"] = config
    with pytest.raises(ValueError, match="is nested beyond 50 levels"):
        Plan([], config=config)


# JSON

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
tensors = st.builds(
    Tensor,
    names.filter(lambda name: name != "__metadata__"),
    st.lists(st.integers(0, 2**14), max_size=3).map(tuple),
    st.sampled_from([ZEROS, NORMAL, scheme("constant(1)")]),
    st.sampled_from([None, "float32", "float8_e4m3fn"]),
)
configs = st.dictionaries(
    st.text(), st.none() | st.booleans() | st.integers() | st.lists(st.text(), max_size=3)
)
some_plans = st.builds(
    Plan,
    st.lists(tensors, max_size=5, unique_by=lambda tensor: tensor.name),
    st.text(max_size=256).filter(str.isprintable),
    st.sampled_from([None, "bfloat16"]),
    st.none() | configs,
)


@given(some_plans)
def test_the_json_form_gives_the_plan_back(some_plan):
    text = json.dumps(some_plan.to_json())
    again = Plan.from_json(json.loads(text))
    assert again == some_plan
    assert again.digest == some_plan.digest


def test_the_json_form_is_this():
    assert SMALL.to_json() == {
        "name": "small",
        "dtype": "bfloat16",
        "config": SMALL.config,
        "tensors": [
            {"name": "wte.weight", "shape": [10, 4], "init": str(NORMAL)},
            {"name": "ln.weight", "shape": [4], "init": str(ZEROS), "dtype": "float32"},
        ],
    }
    assert Plan([]).to_json() == {"tensors": []}
    assert Plan([], config={}).to_json() == {"config": {}, "tensors": []}


def test_the_digest_is_the_sha256_of_the_canonical_json():
    """Recorded in checkpoints, so it must never change: `sha256sum` of the text gives it too."""
    one = Plan([Tensor("é", (4,), ZEROS, "float32")], "one", config={"b": 1.0, "a": None})
    text = (
        rb'{"config":{"a":null,"b":1.0},"name":"one",'
        rb'"tensors":[{"dtype":"float32","init":"zeros()","name":"\u00e9","shape":[4]}]}'
    )
    assert one.digest == hashlib.sha256(text).hexdigest()
    assert one.digest == "e0ed3527383c68ca66f4bfaf780006cd9e368871782c42b53549bf9e5072d9d5"


def test_the_digest_depends_on_every_part_of_a_plan():
    first, second = SMALL
    others = [
        Plan([second, first], "small", "bfloat16", SMALL.config),
        Plan([first], "small", "bfloat16", SMALL.config),
        Plan(SMALL, "other", "bfloat16", SMALL.config),
        Plan(SMALL, "small", "float16", SMALL.config),
        Plan(SMALL, "small", "bfloat16", {}),
        Plan(SMALL, "small", "bfloat16"),
    ]
    assert len({other.digest for other in [SMALL, *others]}) == 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shapes": 1}, "unknown key 'shapes'; known keys: tensors, name, dtype, config"),
        ({"tensors": None}, "tensors is a NoneType, not a list"),
        ({"name": 1}, "a plan has the name 1"),
        ({"dtype": "int8"}, "dtype 'int8' is not supported"),
        ({"config": 1}, "config 1 is not a mapping"),
        (
            {"tensors": ["w"]},
            "tensors, entry 1: 'w' is not a table with the keys name, shape, init",
        ),
        ({"tensors": [{"name": "w", "shape": []}]}, "entry 1: key 'init' is missing"),
        (
            {"tensors": [{"name": "w", "shape": [], "init": "zeros()", "dtpye": "float16"}]},
            "entry 1: unknown key 'dtpye'; known keys: name, shape, init, dtype; did you mean",
        ),
        ({"tensors": [{"name": "w", "shape": [], "init": 1}]}, "init 1 is not a text"),
        ({"tensors": [{"name": "w", "shape": [], "init": "zero_s()"}]}, "entry 1: .*zero_s"),
        ({"tensors": [{"name": "", "shape": [], "init": "zeros()"}]}, "entry 1: .*name ''"),
        ({"tensors": [{"name": "w", "shape": "12", "init": "zeros()"}]}, "entry 1: .*shape '12'"),
        ({"tensors": [{"name": "w", "shape": [], "init": "zeros()"}] * 2}, "two tensors"),
    ],
)
def test_a_json_form_that_is_no_plan_is_refused(change, words):
    with pytest.raises(PlanError, match=words):
        Plan.from_json({"tensors": [], **change})


@pytest.mark.parametrize("form", [None, [], "text"])
def test_a_json_form_that_is_no_table_is_refused(form):
    with pytest.raises(PlanError, match="is not a table with the keys tensors"):
        Plan.from_json(form)


# Sources


def test_a_plan_is_its_own_source():
    assert plan(SMALL) is SMALL


def test_every_preset_is_a_source_and_has_its_own_name():
    assert {"gpt2", "llama-3-8b"} <= set(presets())
    assert list(presets()) == sorted(presets())
    assert [plan(name).name for name in presets()] == list(presets())


class BytesPath:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return bytes(self.path)


@pytest.mark.parametrize("kind", [str, Path, BytesPath])
def test_the_path_of_a_toml_file_is_a_source(tmp_path, kind):
    path = tmp_path / "model.toml"
    text = '[[tensor]]\nname = "bias"\nshape = "(3,)"\ninit = "zeros()"\n'
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert plan(kind(path)) == read_toml(text, "model.toml")
    assert [tensor.name for tensor in plan(kind(path))] == ["bias"]


@pytest.mark.parametrize("source", ["gpt-2", "", None, 1, b"gpt2", Path("gpt2")])
def test_any_other_source_is_refused_with_the_sources_there_are(source):
    words = r"is not a source of a plan: .*; give a Plan, a preset \(deep.*, the path of a \.toml"
    with pytest.raises(ValueError, match=words):
        plan(source)


def test_a_misspelt_preset_is_told_the_closest():
    with pytest.raises(ValueError, match=r"did you mean 'gpt2-xl'"):
        plan("gpt2_xl")


@pytest.mark.parametrize("name", ["missing.toml", "nul\0.toml", "model.json", "w.safetensors"])
def test_a_file_that_cannot_be_read_is_an_error_with_its_path(tmp_path, name):
    with pytest.raises(PlanError, match=r"(toml|json|safetensors): cannot be read: "):
        plan(tmp_path / name)


def test_a_file_that_is_too_long_is_refused(tmp_path):
    path = tmp_path / "long.toml"
    path.write_bytes(b" " * (MAX_FILE + 1))
    with pytest.raises(PlanError, match=r"long\.toml: longer than 10000000 bytes"):
        plan(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"name\xff")
    with pytest.raises(PlanError, match=r"binary\.toml: not UTF-8 text at byte 4"):
        plan(path)


def test_an_error_in_a_file_begins_with_its_path(tmp_path):
    path = tmp_path / "model.toml"
    path.write_text("tensor = 1")
    with pytest.raises(PlanError, match=f"^{re.escape(str(path))}: key tensor is 1"):
        plan(path)


def test_the_function_plan_is_not_hidden_by_its_module():
    assert callable(plans.plan)
