# SPDX-License-Identifier: MIT
"""A checkpoint as the source of a plan: its tensors, with its recipe or with rules."""

from __future__ import annotations

import json
import shutil

import ml_dtypes
import numpy as np
import pytest
from checkpoint_plans import arrays_plan, contents, mixed_plan, plan_of, safetensors_file
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import fastinit as fi
from fastinit.checkpoints import layout_of
from fastinit.errors import CheckpointError, InvalidCheckpointError, PlanError

INDEX = "model.safetensors.index.json"
ALL = [("*", "normal(std=0.5)")]


def rows_of(plan, dtype=None):
    """All that a checkpoint says of its tensors, whatever their order."""
    return {t.name: (t.shape, str(t.scheme), plan.resolved_dtype(t, dtype)) for t in plan}


def values_of(folder):
    return {name: array.tobytes() for name, array in fi.open(folder).items()}


@pytest.fixture
def foreign(tmp_path):
    """A folder that another program wrote."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    tensors = {
        "wte.weight": np.zeros((16, 4), ml_dtypes.bfloat16),
        "h.0.fc1.weight": np.zeros((8, 4), ml_dtypes.bfloat16),
        "h.0.fc1.bias": np.zeros(8, np.float32),
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


# --- with a recipe ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["5GB", "60KB"])
@pytest.mark.parametrize("make", [mixed_plan, arrays_plan])
def test_the_plan_of_a_checkpoint_has_the_tensors_that_it_was_written_from(tmp_path, make, size):
    plan = make()
    fi.write(plan, tmp_path / "a", seed=1, max_shard_size=size)
    found = fi.plan(tmp_path / "a")
    assert rows_of(found) == rows_of(plan)
    assert (found.name, found.config["model_type"]) == (plan.name, plan.name)
    assert [t.name for t in found] == [
        name
        for file in sorted(path.name for path in (tmp_path / "a").glob("*.safetensors"))
        for name in fi.open(tmp_path / "a" / file)
    ]


@pytest.mark.parametrize("size", ["5GB", "60KB"])
def test_a_checkpoint_of_a_checkpoint_has_the_same_values(tmp_path, size):
    fi.write(mixed_plan(), tmp_path / "a", seed=1, max_shard_size=size)
    fi.write(tmp_path / "a", tmp_path / "b", seed=1, max_shard_size=size)
    assert values_of(tmp_path / "a") == values_of(tmp_path / "b")
    assert fi.verify(tmp_path / "b").tensors == 9
    fi.write(str(tmp_path / "a"), tmp_path / "c", seed=2)
    assert values_of(tmp_path / "a") != values_of(tmp_path / "c")
    fi.write(tmp_path / "b", tmp_path / "d", seed=1, max_shard_size=size)
    assert contents(tmp_path / "d") == contents(tmp_path / "b"), "from then on nothing moves"


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 5), max_size=3),
            st.sampled_from([None, "float32", "float16", "float64"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([None, "bfloat16"]),
)
def test_any_plan_comes_back(tmp_path_factory, tensors, dtype):
    rows = [(f"t{n}", tuple(dims), f"constant({n})", own) for n, (dims, own) in enumerate(tensors)]
    plan = plan_of(*rows)
    folder = tmp_path_factory.mktemp("written")
    fi.write(plan, folder, seed=1, dtype=dtype, max_shard_size=64, durability="none")
    assert rows_of(fi.plan(folder)) == rows_of(plan, dtype)


def test_npy_files_are_a_source_too(tmp_path):
    fi.write(arrays_plan(), tmp_path / "a", seed=1, format="npy")
    assert rows_of(fi.plan(tmp_path / "a")) == rows_of(arrays_plan())
    with pytest.raises(ValueError, match="the recipe of a checkpoint; give the folder that it is"):
        fi.plan(tmp_path / "a" / "fastinit.json")


def test_the_files_of_a_checkpoint_are_sources(tmp_path):
    fi.write(mixed_plan(), tmp_path, seed=1, max_shard_size="60KB")
    assert fi.plan(tmp_path / INDEX) == fi.plan(tmp_path)
    shards = sorted(tmp_path.glob("model-*"))
    found = [fi.plan(shard) for shard in shards]
    assert [t.name for plan in found for t in plan] == [t.name for t in fi.plan(tmp_path)]
    assert {plan.config_text for plan in found} == {None}
    shards[0].rename(tmp_path / "blob")
    assert rows_of(fi.plan(tmp_path / "blob")) == rows_of(found[0]), "whatever its name"


def test_an_index_of_another_name_is_a_source(tmp_path):
    fi.write(mixed_plan(), tmp_path, seed=1, max_shard_size="60KB")
    plan = fi.plan(tmp_path)
    (tmp_path / INDEX).rename(tmp_path / "diffusion.safetensors.index.fp16.json")
    assert fi.plan(tmp_path / "diffusion.safetensors.index.fp16.json") == plan


def test_an_index_in_this_folder_is_a_source(tmp_path, monkeypatch):
    fi.write(mixed_plan(), tmp_path, seed=1, max_shard_size="60KB")
    monkeypatch.chdir(tmp_path)
    assert fi.plan(INDEX) == fi.plan(tmp_path) == fi.plan(".")


def test_the_dtype_that_most_elements_have_is_the_plans(tmp_path):
    plan = plan_of(("a", (9,), "zeros()", "float32"), ("b", (99,), "zeros()"), dtype="bfloat16")
    fi.write(plan, tmp_path / "a", seed=1)
    found = fi.plan(tmp_path / "a")
    assert (found.dtype, found["a"].dtype, found["b"].dtype) == ("bfloat16", "float32", None)
    fi.write(tmp_path / "a", tmp_path / "b", seed=1, dtype="float16")
    assert {name: str(array.dtype) for name, array in fi.open(tmp_path / "b").items()} == {
        "a": "float32",
        "b": "float16",
    }


def test_rules_go_on_top_of_a_recipe(tmp_path):
    fi.write(mixed_plan(), tmp_path, seed=1)
    found = fi.plan(tmp_path, rules=[("h.*", "ones()"), ("wte.*", "he_normal()")])
    changed = {"h.0.größe": "ones()", "wte.weight": "he_normal()"}
    expected = {t.name: changed.get(t.name, str(t.scheme)) for t in mixed_plan()}
    assert {t.name: str(t.scheme) for t in found} == expected
    assert found["h.0.größe"].scheme.reason == "rule 1"
    with pytest.raises(ValueError, match=r"rule 1 .* is never used: it matches no tensor"):
        fi.plan(tmp_path, rules=[("none", "ones()")])


# --- without a recipe ------------------------------------------------------------------------


def test_without_a_recipe_every_tensor_needs_a_rule(foreign):
    words = (
        r"foreign: nothing says how 3 of its tensors are drawn \(.*h.0.fc1.bias.*\), because they "
        r"have no recipe: add a rule, such as \('\*', 'auto\(\)'\) in rules=\[...\], or names = "
        r"'\*' and init = 'auto\(\)' under \[\[rule\]\] in the file for --rules$"
    )
    with pytest.raises(PlanError, match=words):
        fi.plan(foreign)
    with pytest.raises(PlanError, match="how 2 of its tensors are drawn"):
        fi.plan(foreign, rules=[("*.bias", "zeros()")])
    found = fi.plan(foreign, rules=[("*.bias", "zeros()"), ("*", "auto('gelu')")])
    assert rows_of(found) == {
        "h.0.fc1.bias": ((8,), "zeros()", "float32"),
        "wte.weight": ((16, 4), "normal(std=0.02)", "bfloat16"),
        "h.0.fc1.weight": ((8, 4), "he_normal()", "bfloat16"),
    }
    assert (found.name, found.dtype, found.config) == ("", "bfloat16", None)


def test_a_config_beside_foreign_weights_is_offered_and_taken_along(foreign):
    (foreign / "config.json").write_text('{"model_type": "gpt2", "dtype": "bfloat16"}')
    with pytest.raises(PlanError, match=r", or give .*foreign/config\.json, to begin as its model"):
        fi.plan(foreign)
    plan = fi.plan(foreign, rules=ALL)
    assert plan.config == {"model_type": "gpt2", "dtype": "bfloat16"}
    fi.write(plan, foreign, seed=1, overwrite=True)
    assert json.loads((foreign / "config.json").read_text())["model_type"] == "gpt2"
    assert rows_of(fi.plan(foreign)) == rows_of(plan)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"config\.json: not valid JSON"),
        ("[]", r"config\.json: not a JSON object, but a list"),
        ('{"a": Infinity}', "foreign: config key 'a' is inf, which JSON cannot hold"),
    ],
)
def test_a_config_that_cannot_be_taken_along_is_an_error(foreign, text, words):
    (foreign / "config.json").write_text(text)
    with pytest.raises(PlanError, match=words):
        fi.plan(foreign, rules=ALL)
    assert len(fi.plan(foreign / "model.safetensors", rules=ALL)) == 3, "a file has no config"


@pytest.mark.parametrize("recipes", [0, 1, 2])
def test_each_file_may_have_its_recipe_or_none(tmp_path, recipes):
    fi.write(plan_of(("a", (4,), "zeros()"), ("b", (4,), "ones()"), name="x"), tmp_path, seed=1)
    own = (tmp_path / "model.safetensors").read_bytes()
    without = tmp_path / "without"
    save_file({name: np.zeros(4, np.float32) for name in "ab"}, without)
    weight_map = {}
    for number, name in enumerate("ab"):
        file = f"{name}.safetensors"
        weight_map[name] = file
        (tmp_path / file).write_bytes(own if number < recipes else without.read_bytes())
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    (tmp_path / "model.safetensors").unlink()
    if recipes == 2:
        found = fi.plan(tmp_path)
        assert {t.name: str(t.scheme) for t in found} == {"a": "zeros()", "b": "ones()"}
        assert found.name == "x"
        return
    with pytest.raises(PlanError, match=f"how {2 - recipes} of its tensors are drawn"):
        fi.plan(tmp_path)
    found = fi.plan(tmp_path, rules=[("b" if recipes else "?", "constant(3)")])
    assert str(found["b"].scheme) == "constant(value=3)"
    assert str(found["a"].scheme) == ("zeros()" if recipes else "constant(value=3)")


# --- what no scheme draws --------------------------------------------------------------------


def file_of(path, **codes):
    """A safetensors file with a tensor of 8 bytes for each dtype."""
    header, at = {}, 0
    bits = {"I64": 64, "F32": 32, "U8": 8, "F4": 4, "BOOL": 8, "F8_E8M0": 8, "C64": 64}
    for name, code in codes.items():
        shape = [64 // bits[code]]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [at, at + 8]}
        at += 8
    path.write_bytes(safetensors_file(header, bytes(at)))
    return path


def test_integers_are_an_error_that_names_them_and_what_would_work(tmp_path):
    path = file_of(tmp_path / "x.safetensors", w="F32", ids="I64", steps="I64", mask="BOOL")
    words = (
        r"x.safetensors holds tensors of dtypes that no scheme draws \(I64: ids, steps; BOOL: mask"
        r"\), and a plan without them would be that of another checkpoint: give the config.json of "
        r"the model, or list the tensors that you want in a \.toml plan"
    )
    for rules in (None, ALL, [("w", "zeros()")]):
        with pytest.raises(PlanError, match=words):
            fi.plan(path, rules=rules)


@pytest.mark.parametrize("code", ["U8", "F4", "F8_E8M0", "C64"])
def test_other_dtypes_are_too(tmp_path, code):
    with pytest.raises(PlanError, match=rf"no scheme draws \({code}: w\)"):
        fi.plan(file_of(tmp_path / "x.safetensors", w=code), rules=ALL)


def test_many_of_them_make_no_long_message(tmp_path):
    path = file_of(tmp_path / "x.safetensors", **{f"t{n}": "I64" for n in range(1000)})
    with pytest.raises(PlanError, match=r"t19 and 980 more") as caught:
        fi.plan(path)
    assert len(str(caught.value)) < 1000


def test_more_axes_than_an_array_has_are_an_error(tmp_path):
    header = {"w": {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}}
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_file(header, bytes(4)))
    with pytest.raises(PlanError, match=r"x\.safetensors: tensor 'w' has 65 axes"):
        fi.plan(path, rules=ALL)


# --- what is wrong ---------------------------------------------------------------------------


def test_a_checkpoint_that_cannot_be_read_is_no_plan(tmp_path):
    fi.write(mixed_plan(), tmp_path / "a", seed=1, max_shard_size="60KB")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a" / INDEX).unlink()
    with pytest.raises(InvalidCheckpointError, match="a is incomplete: it holds model-00001"):
        fi.plan(tmp_path / "a")
    next((tmp_path / "b").glob("model-*")).unlink()
    with pytest.raises(InvalidCheckpointError, match="is missing: write or fetch it again"):
        fi.plan(tmp_path / "b")
    with pytest.raises(InvalidCheckpointError, match="is missing"):
        fi.plan(tmp_path / "b" / INDEX)
    (tmp_path / "x.safetensors").write_bytes(b"version https://git-lfs")
    with pytest.raises(InvalidCheckpointError, match="looks like a git-lfs pointer"):
        fi.plan(tmp_path / "x.safetensors")
    (tmp_path / "only").mkdir()
    shutil.move(tmp_path / "x.safetensors", tmp_path / "only")
    with pytest.raises(CheckpointError, match=r"; pass one of its files: x\.safetensors"):
        fi.plan(tmp_path / "only")


def test_an_index_must_not_name_what_a_file_lacks(tmp_path):
    fi.write(plan_of(("a", (4,), "zeros()")), tmp_path, seed=1)
    index = {"weight_map": {"a": "model.safetensors", "b": "model.safetensors"}}
    (tmp_path / "x.json").write_text(json.dumps(index))
    with pytest.raises(InvalidCheckpointError, match="has no tensor 'b', which the index says is"):
        fi.plan(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        ("{}", InvalidCheckpointError, "its recipe is not valid: "),
        ({"stream": 2}, CheckpointError, "cannot be a source of a plan: the recipe is of stream v"),
        ({"init": {"w": "zeroes()"}}, ValueError, "did you mean 'zeros'"),
        ({"init": {"w": "orthogonal()"}}, None, ""),
        ({"init": {}}, PlanError, "nothing says how 1 of its tensors"),
    ],
)
def test_a_recipe_from_a_stranger(tmp_path, recipe, error, words):
    fields = {"stream": 1, "seed": 1, "plan": "x", "digest": "0" * 64, "init": {"w": "zeros()"}}
    text = recipe if isinstance(recipe, str) else json.dumps({**fields, **recipe})
    header = {
        "__metadata__": {"fastinit": text},
        "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_file(header, bytes(4)))
    if error:
        with pytest.raises(error, match=words):
            fi.plan(path)
        return
    with pytest.raises(ValueError, match="tensor 'w' cannot be drawn"):
        layout_of(path, seed=1)


# --- into the same folder --------------------------------------------------------------------


def test_a_checkpoint_is_not_overwritten_from_itself(tmp_path):
    folder = tmp_path / "w"
    fi.write(mixed_plan(), folder, seed=1, max_shard_size="60KB")
    before = contents(folder)
    shard = next(folder.glob("model-*"))
    (tmp_path / "link").symlink_to(folder)
    for source in (folder, str(folder), folder / INDEX, shard, tmp_path / "link"):
        with pytest.raises(
            ValueError, match="is the checkpoint that is to be replaced, and an int"
        ):
            fi.write(source, folder, seed=2, overwrite=True)
    with pytest.raises(CheckpointError, match="already holds a checkpoint"):
        fi.write(folder, folder, seed=2)
    assert contents(folder) == before


def test_the_plan_that_was_saved_first_overwrites_it(tmp_path):
    folder = tmp_path / "w"
    fi.write(mixed_plan(), folder, seed=1)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(fi.plan(folder).to_json()))
    fi.write(path, folder, seed=2, overwrite=True)
    assert fi.verify(folder).seed == 2
    assert rows_of(fi.plan(folder)) == rows_of(mixed_plan())


def test_what_only_lies_in_the_folder_may_be_its_source(tmp_path, monkeypatch):
    folder = tmp_path / "w"
    fi.write(mixed_plan(), folder, seed=1)
    (folder / "plan.json").write_text(json.dumps(mixed_plan().to_json()))
    save_file({"own": np.zeros(3, np.float32)}, folder / "own.safetensors")
    fi.write(folder / "plan.json", folder, seed=2, overwrite=True)
    assert fi.verify(folder).seed == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    plan = fi.plan(folder / "own.safetensors", rules=ALL)
    fi.write(plan, folder, seed=3, overwrite=True)
    assert list(fi.open(folder)) == ["own"]
