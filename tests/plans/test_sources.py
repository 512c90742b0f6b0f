# SPDX-License-Identifier: MIT
"""What a plan may be made of: each kind is told by what it is, and a wrong one says what it is.

Checkpoints are in test_checkpoint_sources.py, doors of frameworks in test_plan_doors.py.
"""

from __future__ import annotations

import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.errors import PlanError
from fastinit.plans import reading, sources

PLAN = fi.Plan(
    [fi.Tensor("w", (4, 8), "he_normal()"), fi.Tensor("b", (4,), "zeros()", "float32")],
    name="small",
    dtype="bfloat16",
    config={"model_type": "small"},
)
FORM = PLAN.to_json()
PRINTED = {"plan": FORM, "parameters": PLAN.parameters, "size": PLAN.size()}


def refused(source, words, **options):
    """No plan can be made of it; the message begins with the source."""
    with pytest.raises(ValueError, match=words) as caught:
        fi.plan(source, **options)
    assert "is not a source of a plan: " in str(caught.value)


# --- JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plan.json", "plan", "PLAN.JSON", "plan.txt", "config.json"])
@pytest.mark.parametrize("form", [FORM, PRINTED, {**PRINTED, "reasons": {"w": "why"}}])
@pytest.mark.parametrize("start", ["", "\ufeff", " \n"])
def test_the_json_form_of_a_plan_is_a_source(tmp_path, name, form, start):
    (tmp_path / name).write_text(start + json.dumps(form), "utf-8")
    assert fi.plan(tmp_path / name) == PLAN
    assert fi.plan(str(tmp_path / name)) == PLAN


@given(st.permutations(list(FORM)), st.integers(0, 4))
def test_neither_order_nor_layout_of_a_json_plan_matters(tmp_path_factory, keys, indent):
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    path.write_text(json.dumps({key: FORM[key] for key in keys}, indent=indent))
    assert fi.plan(path) == PLAN


def test_what_the_command_prints_is_a_source(tmp_path, main):
    code, out, _ = main("plan", "mixtral-8x7b", "--json")
    (tmp_path / "plan.json").write_text(out)
    assert (code, fi.plan(tmp_path / "plan.json")) == (0, fi.plan("mixtral-8x7b"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON: Expecting value"),
        ("{", "not valid JSON: Expecting property name"),
        ("[" * 100_000, "not valid JSON: nested too deeply"),
        ('{"tensors": [], "tensors": []}', "not valid JSON: key 'tensors' appears twice"),
        ('{"tensors": ' + "9" * 5000 + "}", "not valid JSON: Exceeds the limit"),
        ('{"tensors": 3}', "tensors is a int, not a list"),
        ('{"tensors": [], "shapes": 1}', "unknown key 'shapes'"),
        ('{"tensors": [{"name": "w"}]}', "tensors, entry 1: key 'shape' is missing"),
        ('{"tensors": [], "config": {"a": NaN}}', "config key 'a' is nan, which JSON cannot hold"),
        ('{"tensors": [], "model_type": "llama"}', "unknown key 'model_type'"),
    ],
)
def test_a_json_plan_that_is_wrong_is_an_error_with_its_path(tmp_path, text, words):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match=words) as caught:
        fi.plan(tmp_path / "plan.json")
    assert str(caught.value).startswith(f"{tmp_path / 'plan.json'}: ")


def test_a_json_file_is_read_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_JSON", 200)
    (tmp_path / "plan.json").write_text(json.dumps({"tensors": []}).ljust(200))
    assert len(fi.plan(tmp_path / "plan.json")) == 0
    (tmp_path / "plan.json").write_text(json.dumps({"tensors": []}).ljust(201))
    with pytest.raises(PlanError, match="longer than 200 bytes"):
        fi.plan(tmp_path / "plan.json")


LOOKALIKES = {
    "diffusers": ({"_class_name": "UNet2DModel"}, "a config of diffusers; build the model in Pyth"),
    "timm": ({"architecture": "vit", "pretrained_cfg": {}}, "a config of timm; build the model in"),
    "adapter": ({"peft_type": "LORA", "r": 8}, "a config of a PEFT adapter; build"),
    "keras": ({"class_name": "Dense", "config": {}}, "a config of Keras; build the model in Keras"),
    "params": ({"dim": 4096, "n_layers": 32}, "a params.json, as Meta's .* give the config.json"),
    "tokenizer_config": ({"tokenizer_class": "X"}, "the config of a tokenizer; give the config"),
    "tokenizer": ({"added_tokens": [], "model": {}}, "looks like a tokenizer; give the config.js"),
    "special": ({"bos_token": "<s>", "eos_token": "</s>"}, "the special tokens of a tokenizer"),
    "images": ({"image_processor_type": "X"}, "the config of an image processor"),
    "features": ({"feature_extractor_type": "X"}, "the config of a feature extractor"),
    "processor": ({"processor_class": "X"}, "the config of a processor"),
    "generation": ({"_from_model_config": True}, "the config of text generation"),
    "generation 5": ({"transformers_version": "5"}, "a config of transformers without a model_ty"),
    "recipe": (
        dict.fromkeys(("stream", "seed", "plan", "digest", "init")),
        "the recipe of a checkpoint; give the folder that it is in",
    ),
    "shard": (
        dict.fromkeys(("file", "seed", "plan", "digest", "entries", "format")),
        "the description of one shard; fastinit.checkpoints.write_shard writes it",
    ),
    "list": ([1], "it is a JSON list; a plan or a config is a JSON object"),
    "text": ("plan", "it is a JSON str"),
    "other": ({"a": 1, "b": 2}, "a JSON object with the keys a, b; a plan has tensors, a config"),
    "nothing": ({}, "a JSON object with no keys; a plan has tensors"),
    "printed": ({"plan": 3, "parameters": 1, "size": 1}, "it is a JSON int"),
}


@pytest.mark.parametrize(("form", "words"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_another_json_file_says_what_it_looks_like(tmp_path, form, words):
    (tmp_path / "x.json").write_text(json.dumps(form))
    refused(tmp_path / "x.json", words)


@pytest.mark.parametrize("name", LOOKALIKES)
def test_the_config_of_a_folder_may_be_no_config(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps(LOOKALIKES[name][0]))
    refused(tmp_path, r"config\.json' is not a source of a plan")


# --- files -----------------------------------------------------------------------------------

FILES = {
    "model.bin": (b"PK\3\4", "weights that fastinit does not read; convert it to safetensors, or"),
    "model.pt": (b"\x80\x02}q", "weights that fastinit does not read"),
    "model.gguf": (b"GGUF\3", "weights that fastinit does not read"),
    "model.npz": (b"PK\3\4", "weights that fastinit does not read"),
    "model.h5": (b"\x89HDF\r\n\x1a\n", "weights that fastinit does not read"),
    "w.npy": (b"\x93NUMPY", "a NumPy array; give the folder of the checkpoint that it is in"),
    "weights": (b"PK\3\4", "a zip archive, as PyTorch's"),
    "blob": (b"GGUF\3", "a GGUF file: convert it"),
    "pytorch_model.bin": (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
    "page.html": (b"<!DOCTYPE html>", "a web page or a server's error message"),
    "plan.yaml": (b"tensors:\n", "looks like YAML; write the plan as .toml or .json"),
    "plan.yml": (b"", "looks like YAML"),
    "model.py": (b"import torch\n", "looks like Python; build the model in Python under"),
    "train.ipynb": (b'{"cells": [], "nbformat": 4}', "looks like a notebook; build the model in"),
    "plan.txt": (b'name = "x"\n[[tensor]]\n', "a TOML plan; its name must end in .toml"),
    "rules": (b"[[rule]]\n", "a TOML plan; its name must end in .toml"),
    "empty": (b"", "it is empty"),
    "letter.txt": (b"Dear Sir", "it is neither JSON nor a safetensors file, and its name does not"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_says_what_it_looks_like(tmp_path, name):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, words)


@given(st.binary(max_size=200))
def test_no_file_is_taken_for_a_plan_or_stops_the_program(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "anything"
    path.write_bytes(content)
    with pytest.raises((ValueError, fi.errors.CheckpointError)):
        fi.plan(path)


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero"])
@pytest.mark.parametrize("name", ["x", "x.toml", "x.json", "x.safetensors"])
def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path, kind, name):
    path = tmp_path / name
    held = socket.socket(socket.AF_UNIX)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        held.bind(str(path))
    else:
        path.symlink_to(kind)
    with held, pytest.raises((PlanError, fi.errors.CheckpointError), match=r"x.*(regular|read)"):
        fi.plan(path)


def test_a_link_to_nothing_cannot_be_read(tmp_path):
    (tmp_path / "x").symlink_to(tmp_path / "gone")
    with pytest.raises(PlanError, match=r"x: cannot be read: .*No such file"):
        fi.plan(tmp_path / "x")


def test_a_link_to_a_plan_is_the_plan(tmp_path):
    (tmp_path / "blob").write_text(json.dumps(FORM))
    (tmp_path / "x").symlink_to(tmp_path / "blob")
    assert fi.plan(tmp_path / "x") == PLAN


# --- folders ---------------------------------------------------------------------------------


def folder_of(path, *names):
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).write_text("{}")
    return path


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "it is empty; a folder needs a safetensors checkpoint or a config.json"),
        (["README.md"], "it holds README.md; a folder needs"),
        (
            ["pytorch_model.bin"],
            r"weights are not safetensors \(pytorch_model.bin\); convert them$",
        ),
        (["x.gguf", "config.json"], r"\(x.gguf\); convert them, or give its config.json, to begin"),
        (["model_index.json"], "a pipeline of diffusers; give the folder of one of its models"),
        (["params.json", "tokenizer.model"], "a model for Meta's or Mistral's own code; give the"),
        (["a.toml", "b.toml"], "it holds no model; give one of its files: a.toml, b.toml"),
    ],
)
def test_a_folder_without_a_model_says_what_it_looks_like(tmp_path, names, words):
    refused(folder_of(tmp_path / "model", *names), words)


@pytest.mark.parametrize("below", ["inner", "models--x/snapshots/0123"])
def test_a_folder_above_the_right_one_names_it(tmp_path, below):
    folder_of(tmp_path / "hub" / below, "config.json")
    refused(tmp_path / "hub", f"it holds no model; give .*hub/{below}, which holds one")


def test_a_folder_whose_name_ends_like_a_plan_is_a_folder(tmp_path):
    refused(folder_of(tmp_path / "x.toml"), "it is empty; a folder needs")
    refused(folder_of(tmp_path / "x.json"), "it is empty; a folder needs")


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def fails(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", fails)
    with pytest.raises(PlanError, match=r"cannot be read: .*Permission denied"):
        fi.plan(tmp_path)


# --- names and objects -----------------------------------------------------------------------


def test_a_preset_is_told_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "gpt2")
    assert fi.plan("gpt2").name == "gpt2"
    refused("./gpt2", "it is empty; a folder needs")
    refused("gpt3", r"no preset, file or folder of that name; .*, gpt2, .*did you mean 'gpt2'")
    refused("openai/gpt2", "if it is a model of the Hugging Face hub, fetch its config.json first")
    refused("", "it is empty; give a Plan")


class Module:
    """Not torch's, whatever it is called."""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "it is a NoneType; give a Plan"),
        (b"gpt2", "it is a bytes"),
        (Module(), "it is a Module"),
        (Module, "it is the class Module; pass an object of it"),
        (
            {"tensors": []},
            r"it is a dict; fastinit.Plan.from_json takes a plan's JSON form, tr",
        ),
        ([fi.Tensor("w", (1,), "zeros()")], "it is a list; fastinit.Plan takes a list of tensors"),
        (fi.he_normal(), "it is a Scheme"),
        (lambda key: {}, "it is a function; fastinit.jax.plan takes an init function of JAX"),
    ],
    ids=["None", "bytes", "object", "class", "dict", "list", "scheme", "function"],
)
def test_an_object_of_another_kind_says_what_it_is(source, words):
    refused(source, words)


def test_every_door_is_known_by_a_text_alone():
    """plans/ imports no room above it; tests/package/test_rooms.py checks the imports."""
    assert set(sources.KINDS_OF_CLASSES.values()) < set(sources.PLAN_DOORS)
    assert all(isinstance(module, str) for module in sources.PLAN_DOORS.values())


# --- what takes sources ----------------------------------------------------------------------


def test_write_and_layout_of_take_what_plan_takes(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(FORM))
    fi.write(tmp_path / "plan.json", tmp_path / "a", seed=1)
    fi.write(PLAN, tmp_path / "b", seed=1)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    with pytest.raises(ValueError, match="it is empty; a folder needs"):
        fi.write(folder_of(tmp_path / "empty"), tmp_path / "c", seed=1)
    assert not (tmp_path / "c").exists()
