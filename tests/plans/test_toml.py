# SPDX-License-Identifier: MIT
"""The TOML form of plans: what it expands to, and what it refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinit.errors import PlanError
from fastinit.plans import Tensor
from fastinit.plans.toml import read_toml
from fastinit.schemes import scheme

MODEL = """
name = "model"
dtype = "bfloat16"
description = "two layers of two experts"

[sizes]
width = 8
heads = 2
layers = 2
head = "width // heads"

[[tensor]]
name = "wte"
shape = "(100, width)"
init = "normal(std=1/sqrt(width))"

[[tensor]]
name = "h.{i}.ln"
repeat = "layers"
shape = ["width"]
init = "ones()"
dtype = "float32"

[[tensor]]
name = "h.{i}.w.{j}"
repeat = ["layers", "heads"]
shape = "head, width"
init = "normal(std=0.02/(i+1))"

[[tensor]]
name = "h.{i}.b.{j}"
repeat = ["layers", "heads"]
shape = "head"
init = "zeros()"

[[tensor]]
name = "h.{i}.last"
repeat = "layers"
shape = ["2*width", 3]
init = "zeros()"

[[tensor]]
name = "x.{i}"
repeat = 2
shape = []
init = "zeros()"

[config]
model_type = "gpt2"
nested = { a = [1, 2.5] }
"""


def test_a_toml_text_is_its_plan():
    model = read_toml(MODEL, "model.toml")
    assert (model.name, model.dtype) == ("model", "bfloat16")
    assert model.config == {"model_type": "gpt2", "nested": {"a": [1, 2.5]}}
    assert model["wte"] == Tensor("wte", (100, 8), scheme("normal(std=1/sqrt(8))"))
    assert model["h.1.ln"].dtype == "float32"
    assert model["h.1.w.0"] == Tensor("h.1.w.0", (4, 8), scheme("normal(std=0.01)"))
    assert model["h.1.b.0"].shape == (4,)
    assert model["h.1.last"].shape == (16, 3)
    assert model["x.1"].shape == ()


def test_repeats_expand_together_with_the_index_outermost():
    layer = ["h.{}.ln", "h.{}.w.0", "h.{}.b.0", "h.{}.w.1", "h.{}.b.1", "h.{}.last"]
    layers = [name.format(index) for index in (0, 1) for name in layer]
    model = read_toml(MODEL, "model.toml")
    assert [tensor.name for tensor in model] == ["wte", *layers, "x.0", "x.1"]


def test_repeats_of_different_texts_do_not_expand_together():
    entries = [("a.{i}", "2"), ("b.{i}", "1 + 1"), ("c.{i}", "1 + 1")]
    text = "".join(
        f'[[tensor]]\nname = "{name}"\nrepeat = "{repeat}"\nshape = []\ninit = "zeros()"\n'
        for name, repeat in entries
    )
    model = read_toml(text, "model.toml")
    assert [tensor.name for tensor in model] == ["a.0", "a.1", "b.0", "c.0", "b.1", "c.1"]


def test_three_repeats_have_the_indices_i_j_and_k():
    model = read_toml(entry(name="{k}.{i}.{j}", repeat=[1, 2, 2], shape="(i+1, j+1, k+1)"), "m")
    assert [(tensor.name, tensor.shape) for tensor in model] == [
        ("0.0.0", (1, 1, 1)),
        ("1.0.0", (1, 1, 2)),
        ("0.0.1", (1, 2, 1)),
        ("1.0.1", (1, 2, 2)),
    ]


@pytest.mark.parametrize("repeat", [0, "0", "2:2", "width:2*width-8"])
def test_a_repeat_of_zero_makes_no_tensor(repeat):
    assert len(read_toml(entry(name="h.{i}", repeat=repeat), "model.toml")) == 0


def test_a_repeat_may_count_from_another_number_than_zero():
    """Layers of two kinds: 0 to 2 are of one, 3 to 7 of the other."""
    first = entry(name="h.{i}.mlp", repeat="heads")
    others = [("h.{i}.gate", ["heads:width"]), ("h.{i}.expert.{j}", ["heads:width", "1 : 3"])]
    rows = [{"name": name, "repeat": repeat} for name, repeat in others]
    text = "".join(
        f'\n[[tensor]]\nname = "{row["name"]}"\nrepeat = {json.dumps(row["repeat"])}\n'
        f'shape = "(i+1,)"\ninit = "zeros()"\n'
        for row in rows
    )
    model = read_toml(first + text, "model.toml")
    dense = [f"h.{i}.mlp" for i in range(3)]
    sparse = [f"h.{i}.{part}" for i in range(3, 8) for part in ("gate", "expert.1", "expert.2")]
    assert [tensor.name for tensor in model] == dense + sparse
    assert model["h.7.gate"].shape == (8,)


def test_equal_schemes_of_a_repeat_are_one_object():
    model = read_toml(entry(name="h.{i}", repeat=3, init="normal(std=0.5)"), "model.toml")
    assert len({id(tensor.scheme) for tensor in model}) == 1


def entry(drop=(), **changes):
    """The text of a plan with one good entry, but for the changes."""
    table = {"name": "w", "shape": [1], "init": "zeros()", **changes}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if key not in drop]
    return "[sizes]\nwidth = 8\nheads = 3\n[[tensor]]\n" + "\n".join(lines)


ATTACKS = ["__import__('os').system('true')", "(lambda: 1)()", "width.__class__", "f'{width}'"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (entry(shape="(widht,)"), "tensor 1 'w', key shape: shape .*unknown size 'widht'.*'width'"),
        (entry(shape="width/heads"), r"shape 'width/heads' is 2\.66.*; divide with //"),
        (entry(shape=["8/2"]), r"shape '8/2' is 4\.0, not a whole number; divide with //"),
        (entry(shape=[1.0]), "key shape is 1.0; it must be of whole numbers"),
        (entry(shape=[[1]]), r"key shape is \[1\]; it must be of whole numbers"),
        (entry(shape=[True]), "key shape is True; it must be of whole numbers"),
        (entry(shape=1), "tensor 1: key shape is 1; it must be a text such as"),
        (entry(shape=[-1]), r"tensor 1 'w': tensor 'w' has shape \(-1,\); dimensions start at 0"),
        (entry(shape=["2**62", "2**62"]), r"tensor 1 'w': .*2\*\*63 bytes or more"),
        (entry(shape=["2**63"]), r"shape '2\*\*63' is 9223372036854775808; sizes must be below"),
        (entry(shape="9**9**9"), "key shape: .*exponent beyond 1024"),
        (entry(init="normal(std=0.02/layer)"), "tensor 1 'w', key init: init .*size 'layer'"),
        (entry(init="normal(std=0.02*i)"), "key init: init .*unknown size 'i'"),
        (entry(init="normalish()"), "tensor 1 'w', key init: .*normalish"),
        (entry(init=1), "tensor 1: key init is 1; it must be a text"),
        (entry(name=1), "tensor 1: key name is 1; it must be a text"),
        (entry(name=""), "tensor 1 '': a tensor has the name ''"),
        (entry(name="__metadata__"), "which safetensors files cannot hold"),
        (entry(name="w" * 257), "key name: the name has 257 characters; at most 256"),
        (entry(dtype="int8"), "tensor 1 'w': dtype 'int8' is not supported"),
        (entry(dtype=1), "tensor 1: key dtype is 1; it must be a text"),
        (entry(drop=["name"]), "tensor 1: key 'name' is missing"),
        (entry(drop=["shape"]), "tensor 1: key 'shape' is missing"),
        (entry(drop=["init"]), "tensor 1: key 'init' is missing"),
        (entry(shpae=[1]), "tensor 1: unknown key 'shpae'; .*did you mean 'shape'"),
        (entry(name="h.{i}"), "key name: field {i} has no repeat; give 1 counts in repeat, not 0"),
        (entry(name="{i}{k}", repeat=2), "field {k} has no repeat; give 3 counts in repeat, not 1"),
        (entry(name="w", repeat=2), "field {i} is missing, so its repeats would share one name"),
        (entry(name="{i}", repeat=[2, 2]), "field {j} is missing"),
        (entry(name="{i}{x}", repeat=2), "field {x} is unknown; the fields are {i}, {j} and {k}"),
        (entry(name="{}", repeat=2), "field {} is unknown"),
        (entry(name="{0}", repeat=2), r"field \{0\} is unknown"),
        (entry(name="{i.__class__}", repeat=2), "field {i.__class__} is unknown"),
        (entry(name="{i!r}", repeat=2), "field {i!r} is unknown"),
        (entry(name="{i:>99999999}", repeat=2), "field {i:>99999999} is unknown"),
        (entry(name="{{i}}", repeat=2), "a brace stands alone"),
        (entry(name="{i}}", repeat=2), "a brace stands alone"),
        (entry(name="{i}{", repeat=2), "a brace stands alone"),
        (entry(name="{i}", repeat=-1), "key repeat: repeat -1 is -1; it must not be negative"),
        (entry(name="{i}", repeat="2-3"), "repeat '2-3' is -1; it must not be negative"),
        (entry(name="{i}", repeat="1/2"), r"key repeat: repeat '1/2' is 0\.5, not a whole number"),
        (entry(name="{i}", repeat=1.0), "tensor 1: key repeat is 1.0; it must be a whole number"),
        (entry(name="{i}", repeat=True), "tensor 1: key repeat is True"),
        (entry(name="{i}", repeat=[1.0]), "key repeat is 1.0; it must be a whole number"),
        (entry(name="{i}", repeat=[[2]]), r"key repeat is \[2\]; it must be a whole number"),
        (entry(name="{i}", repeat=[1, 1, 1, 1]), "4 repeats are too many; the indices are i, j, k"),
        (entry(name="{i}", repeat=10**6 + 1), "repeats make 1000001 tensors; a plan has at most"),
        (entry(name="{i}{j}", repeat=[10**6, 2]), "repeats make 2000000 tensors"),
        (entry(name="{i}{j}", repeat=[10**9, 0]), "repeats make 1000000000 tensors"),
        (entry(name="{i}", repeat="3:2"), "repeat '3:2' counts from 3 to below 2; the first"),
        (
            entry(name="{i}", repeat="-1:2"),
            "repeat '-1:2', bound '-1' is -1; it must not be negative",
        ),
        (
            entry(name="{i}", repeat="1/2:2"),
            r"repeat '1/2:2', bound '1/2' is 0\.5, not a whole number",
        ),
        (entry(name="{i}", repeat=":2"), "repeat ':2', bound '': cannot be read"),
        (entry(name="{i}", repeat="1:2:3"), "repeat '1:2:3', bound '2:3': cannot be read"),
        (entry(name="{i}", repeat="1:layers"), "key repeat: repeat .*unknown size 'layers'"),
        (entry(name="{i}", repeat=f"0:{10**6 + 1}"), "repeats make 1000001 tensors"),
        (entry(name="{i}{j}", repeat=["7:7", 10**9]), "repeats make 1000000000 tensors"),
        (entry(name="{i}", repeat=2**63), f"repeat {2**63} is {2**63}; sizes must be below"),
        (
            entry() + '\n[[tensor]]\nname = "w"\nshape = []\ninit = "zeros()"',
            "tensor 2 'w', key name: 'w' is already made by tensor 1 'w'",
        ),
        (entry() + "\n[extra]", "unknown key 'extra'; known keys: tensor, name, dtype"),
        (entry() + "\n[config]\nday = 2026-01-01", "config key 'day' is .*JSON cannot hold"),
        (entry() + "\n[config]\nx = nan", "config key 'x' is nan, which JSON cannot hold"),
        ("config = 1\n" + entry(), "config 1 is not a mapping"),
        ("name = 1\n" + entry(), "key name is 1; it must be a text"),
        ("dtype = 1\n" + entry(), "key dtype is 1; it must be a text"),
        ("dtype = 'int8'\n" + entry(), "dtype 'int8' is not supported"),
        ("description = []\n" + entry(), r"key description is \[\]; it must be a text"),
        ("", "key 'tensor' is missing"),
        ("[sizes]\nwidth = 8", "key 'tensor' is missing"),
        ("[tensor]\nname = 'w'", r"it must be a list of tables, each headed \[\[tensor\]\]"),
        ("tensor = [1]", "tensor 1: 1 is not a table with the keys name, shape, init"),
        ("sizes = 1\ntensor = []", r"key sizes is 1; it must be a table: \[sizes\]"),
        ("name" + ".a" * 900 + " = 1\n" + entry(), r"key name is {'a': {.*}; it must be a text"),
        ("tensor = []\nconfig" + ".a" * 900 + " = 1", "is nested beyond 50 levels"),
        (
            "a" + ".a" * 10**6 + " = 1",
            "a line has 1000000 dots, too many for a text of this length",
        ),
        ("[a" + ".a" * 3000 + "]\n" + "a.b = 1\n" * 10**5, "a line has 3000 dots, too many"),
        ("tensor = [", "not valid TOML: "),
        ("tensor = " + "[" * 10_000, "not valid TOML: nested too deeply"),
    ],
    ids=lambda text: text[-50:],
)
def test_a_toml_text_that_is_no_plan_is_refused_by_file_entry_and_key(text, words):
    with pytest.raises(PlanError, match=words) as caught:
        read_toml(text, "model.toml")
    assert str(caught.value).startswith("model.toml: ")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("key", ["shape", "init", "repeat"])
def test_code_in_a_formula_is_refused(key, attack):
    with pytest.raises(PlanError, match=f"tensor 1 '{{i}}', key {key}: {key}"):
        read_toml(entry(**{"name": "{i}", "repeat": 2, key: attack}), "model.toml")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a = 1.0", "table sizes: key a is 1.0; it must be a whole number or an expression"),
        ("a = true", "key a is True; it must be a whole number"),
        ("a = []", r"key a is \[\]; it must be a whole number"),
        ("a = 'b'\nb = 1", "table sizes: size a = 'b': unknown size 'b'; known sizes: none"),
        ("a = 'a'", "unknown size 'a'"),
        ("a = '1/2'", r"size a = '1/2' is 0\.5, not a whole number; divide with //"),
        ("a = '2**63'", r"is 9223372036854775808; sizes must be below 2\*\*63"),
        (f"a = {-(2**63)}", r"sizes must be below 2\*\*63"),
        ("i = 1", "key 'i' cannot be a size's name; use letters, digits and _"),
        ("sqrt = 1", "key 'sqrt' cannot be a size's name"),
        ("None = 1", "key 'None' cannot be a size's name"),
        ("lambda = 1", "key 'lambda' cannot be a size's name"),
        ("d-model = 1", "key 'd-model' cannot be a size's name"),
        ("'é' = 1", "key 'é' cannot be a size's name"),
        ("1 = 1", "key '1' cannot be a size's name"),
    ],
)
def test_a_size_that_is_none_is_refused(line, words):
    with pytest.raises(PlanError, match=words):
        read_toml(f"tensor = []\n[sizes]\n{line}", "model.toml")


@given(st.text())
def test_no_text_raises_anything_but_a_plan_error(text):
    with pytest.raises(PlanError, match=r"^model\.toml: "):
        read_toml(text, "model.toml")
