# SPDX-License-Identifier: MIT
"""Configurations and their classes: from files, by name, by task, with code of their own."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from fastinit.errors import PlanError, UntrustedError  # noqa: E402 - only where torch is
from fastinit.transformers.classes import class_of, tasks  # noqa: E402
from fastinit.transformers.configs import as_json, config_of  # noqa: E402
from fastinit.transformers.recording import recorded  # noqa: E402


def test_each_automatic_class_is_a_task():
    found = tasks()
    assert found["causal-lm"] is transformers.AutoModelForCausalLM
    assert found["masked-lm"] is transformers.AutoModelForMaskedLM
    assert found["seq2seq-lm"] is transformers.AutoModelForSeq2SeqLM
    assert found["speech-seq2seq"] is transformers.AutoModelForSpeechSeq2Seq
    assert found["image-text-to-text"] is transformers.AutoModelForImageTextToText
    assert found["ctc"] is transformers.AutoModelForCTC
    assert found["base"] is transformers.AutoModel
    assert len(set(found.values())) == len(found) > 40


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("causal-lm", "GPT2LMHeadModel"),
        ("base", "GPT2Model"),
        ("sequence-classification", "GPT2ForSequenceClassification"),
        ("GPT2DoubleHeadsModel", "GPT2DoubleHeadsModel"),
        (transformers.GPT2LMHeadModel, "GPT2LMHeadModel"),
    ],
)
def test_a_class_is_given_by_task_name_or_itself(architecture, name):
    config = transformers.GPT2Config()
    found, same = class_of(config, architecture, trust_remote_code=False)
    assert (found.__name__, same) == (name, config)


def test_the_configuration_names_its_class():
    config = transformers.GPT2Config(architectures=["GPT2ForTokenClassification"])
    assert class_of(config, None, trust_remote_code=False)[0].__name__ == config.architectures[0]


def test_a_class_for_the_text_of_a_composite_configuration_gets_that_part():
    config = transformers.Gemma3Config()
    found, part = class_of(config, "Gemma3ForCausalLM", trust_remote_code=False)
    assert found is transformers.Gemma3ForCausalLM
    assert isinstance(part, transformers.Gemma3TextConfig)


@pytest.mark.parametrize(
    ("config", "architecture", "error", "words"),
    [
        (
            transformers.GPT2Config(),
            None,
            PlanError,
            r"a GPT2Config, does not say which class .* --architecture\), one of base, .*causal-lm",
        ),
        (
            transformers.GPT2Config(architectures=["GPT2LMHeadModle"]),
            None,
            PlanError,
            r"has no class of models 'GPT2LMHeadModle'.*GPT2LMHeadModel",
        ),
        (transformers.GPT2Config(), "casual-lm", PlanError, r"'casual-lm'.*causal-lm"),
        (transformers.GPT2Config(), "GPT2Config", PlanError, "no class of models 'GPT2Config'"),
        (transformers.GPT2Config(), "no such!", PlanError, "no class of models 'no such!'"),
        (
            transformers.GPT2Config(),
            "AutoModelForCausalLM",
            PlanError,
            "AutoModelForCausalLM stands for classes of many models: give its task, 'causal-lm'",
        ),
        (transformers.GPT2Config(), "ctc", ValueError, r"no class for the task 'ctc' .*choose fro"),
        (
            transformers.GPT2Config(),
            "LlamaForCausalLM",
            ValueError,
            "^LlamaForCausalLM takes a LlamaConfig, and the configuration is a GPT2Config$",
        ),
        (
            transformers.GPT2Config(architectures="GPT2Model"),
            None,
            PlanError,
            "^the configuration's architectures are 'GPT2Model': need a list of names$",
        ),
        (transformers.GPT2Config(architectures=[5]), None, PlanError, r"are \[5\]: need a list"),
        (
            transformers.MusicgenConfig(),
            "causal-lm",
            ValueError,
            "^MusicgenForCausalLM takes a MusicgenDecoderConfig, and the .* is a MusicgenConfig$",
        ),
        (transformers.GPT2Config(), 5, TypeError, "architecture is 5: need a class of models"),
        (transformers.GPT2Config(), dict, TypeError, "architecture is .*dict"),
    ],
)
def test_a_class_that_cannot_be_is_refused(config, architecture, error, words):
    with pytest.raises(error, match=words):
        class_of(config, architecture, trust_remote_code=False)


# ---- files --------------------------------------------------------------------------------------

SIZES = {"n_layer": 1, "n_embd": 16, "n_head": 2, "vocab_size": 30, "n_positions": 8}


@pytest.fixture
def folder(tmp_path):
    transformers.GPT2Config(**SIZES, architectures=["GPT2LMHeadModel"]).save_pretrained(tmp_path)
    return tmp_path


def test_a_file_and_its_folder_are_the_configuration(folder):
    for path in (folder, str(folder), folder / "config.json", str(folder / "config.json")):
        config = config_of(path)
        assert isinstance(config, transformers.GPT2Config)
        assert config.n_embd == 16
    other = folder / "small.json"
    (folder / "config.json").rename(other)
    assert config_of(other).n_embd == 16


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot read it"),
        ("[]", "cannot read it"),
        ('{"hidden_size": 8}', "cannot read it: .*model_type"),
        ('{"model_type": "of nobody"}', "cannot read it: .*of nobody"),
        (
            '{"model_type": "llama", "hidden_size": "64"}',
            "cannot read it: .*'hidden_size' expected",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(PlanError, match=words) as caught:
        config_of(path)
    assert str(path) in str(caught.value)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlanError, match="no such file or folder"):
        config_of(tmp_path / "nothing")
    with pytest.raises(PlanError, match=r"this folder has no config\.json"):
        config_of(tmp_path)
    with pytest.raises(TypeError, match=r"config is 5: need a configuration of transformers"):
        config_of(5)


def test_a_folder_may_have_the_name_of_the_file(folder):
    inner = folder / "config.json" / "config.json"
    text = (folder / "config.json").read_text()
    (folder / "config.json").unlink()
    inner.parent.mkdir()
    inner.write_text(text)
    assert config_of(inner.parent).n_embd == config_of(inner).n_embd == 16


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"activation_function": "nope"}, PlanError, "from this configuration: KeyError: 'nope'"),
        ({"n_head": 3}, PlanError, "GPT2LMHeadModel cannot be constructed from .* ValueError: "),
        (
            {"dtype": "float8_e4m3fn"},
            ValueError,
            "dtype is float8_e4m3fn, and PyTorch",
        ),
    ],
)
def test_a_model_that_cannot_be_constructed_is_an_error_that_says_so(changes, error, words):
    config = transformers.GPT2Config(**{**SIZES, **changes}, architectures=["GPT2LMHeadModel"])
    with pytest.raises(error, match=words):
        recorded(config)


def test_the_base_of_other_classes_is_no_model():
    with pytest.raises(PlanError, match=r"GPT2PreTrainedModel has no parameters: .* GPT2Model"):
        recorded(transformers.GPT2Config(**SIZES), architecture="GPT2PreTrainedModel")


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_no_model_is_constructed_in_float8(dtype):
    config = transformers.GPT2Config(**SIZES, architectures=["GPT2LMHeadModel"])
    with pytest.raises(ValueError, match=rf"dtype is {dtype}, .* with dummy=True \(--dummy\) may"):
        recorded(config, dtype=dtype)


def test_what_is_written_is_what_transformers_saves(tmp_path):
    config = transformers.LlamaConfig(
        **dict.fromkeys(("vocab_size", "hidden_size", "intermediate_size"), 8),
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    for dtype in (None, "bfloat16"):
        model = recorded(config, architecture="causal-lm", dtype=dtype)
        real = transformers.LlamaForCausalLM._from_config(config_of(config), dtype=dtype)
        real.save_pretrained(tmp_path)
        assert as_json(model) == json.loads((tmp_path / "config.json").read_text())


def test_a_quantisation_is_not_written():
    config = transformers.LlamaConfig(
        num_hidden_layers=1, quantization_config={"quant_method": "fp8"}
    )
    model = recorded(config, architecture="causal-lm")
    assert "quantization_config" not in as_json(model)
    assert config.quantization_config


# ---- code that comes with a configuration -------------------------------------------------------

CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel

print("ran")

class OwnConfig(PretrainedConfig):
    model_type = "own"

    def __init__(self, width=4, **others):
        self.width = width
        super().__init__(**others)

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(config.width, config.width)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.5)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "c"))
    where = tmp_path / "own"
    where.mkdir()
    (where / "own_code.py").write_text(CODE)
    form = {
        "model_type": "own",
        "architectures": ["OwnModel"],
        "width": 6,
        "auto_map": {"AutoConfig": "own_code.OwnConfig", "AutoModel": "own_code.OwnModel"},
    }
    (where / "config.json").write_text(json.dumps(form))
    return where


def test_code_runs_only_if_it_is_trusted(own, capsys):
    with pytest.raises((PlanError, UntrustedError), match="trust"):
        recorded(own)
    assert "ran" not in capsys.readouterr().out
    model = recorded(own, trust_remote_code=True)
    assert type(model).__name__ == "OwnModel"
    assert model.layer.weight.shape == (6, 6)
    assert model.layer.weight.is_meta


def test_code_of_another_repository_is_not_downloaded(monkeypatch):
    """A configuration may name it as "owner/repository--module.Class"."""
    asked = []

    def found(reference, *_, **options):
        asked.append((reference, options.get("local_files_only")))
        return transformers.GPT2Model

    monkeypatch.setattr("fastinit.transformers.classes.get_class_from_dynamic_module", found)
    reference = "owner/repository--own_code.OwnModel"
    config = transformers.GPT2Config(auto_map={"AutoModel": reference}, architectures=["OwnModel"])
    class_of(config, None, trust_remote_code=True)
    assert asked == [(reference, True)]
