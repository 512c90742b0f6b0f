# SPDX-License-Identifier: MIT
"""The tensors of a model's files: as transformers itself writes them, name by name and element by
element, and as it loads them.

How elements are followed is in test_moved_elements.py.
"""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from file_models import by_name, made  # noqa: E402 - only where transformers is
from safetensors.torch import load_file  # noqa: E402 - only where torch is

import fastinit as fi  # noqa: E402
import fastinit.torch as ft  # noqa: E402
from fastinit.transformers.names import file_tensors, scheme_for  # noqa: E402

SAME = """
GPT2LMHeadModel BertForPreTraining T5ForConditionalGeneration MarianMTModel GptOssForCausalLM
CLIPVisionModel
"""
"""Models whose files have the names of the module, less those that are tied or left out."""

QUICK = """
MixtralForCausalLM Qwen2MoeForCausalLM DeepseekV3ForCausalLM GraniteMoeForCausalLM
LlavaForConditionalGeneration ViTModel GteForMaskedLM Kimi_K25Model JinaEmbeddingsV3ForMaskedLM
"""
SLOW = """
AfmoeForCausalLM AltCLIPModel AriaForConditionalGeneration ASTForAudioClassification
AyaVisionForConditionalGeneration Cohere2MoeForCausalLM DeepseekV2ForCausalLM
DeiTForImageClassification Ernie4_5_MoeForCausalLM FlexOlmoForCausalLM
Gemma3ForConditionalGeneration Glm4MoeForCausalLM GPTNeoXForCausalLM HrmTextForCausalLM IJepaModel
JambaForCausalLM OlmoeForCausalLM Qwen3MoeForCausalLM Qwen2VLForConditionalGeneration
"""
"""Models whose files have other names than the module; experts, joined and permuted projections."""


def numbered(name, **settings):
    """A small model on the CPU, all of whose elements are different."""
    model = made(name, **settings)
    first = 0
    with torch.no_grad():
        for tensor in dict.fromkeys(model.state_dict(keep_vars=True).values()):
            numbers = torch.arange(first, first + tensor.numel(), dtype=torch.float64)
            tensor.copy_(numbers.reshape(tensor.shape))
            first += tensor.numel()
    assert first < 2**24, "float32 has no more whole numbers"
    return model


def written(model, folder):
    """The tensors that transformers writes."""
    model.save_pretrained(folder)
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def cut(values, region):
    """The region of a tensor, read by Python itself."""
    return eval(f"values[{region}]", {"values": values}) if region else values


def shown(tensor, values):
    """A tensor of a file from those of the module, by its parts."""
    found = torch.zeros(tensor.shape, dtype=tensor.dtype)
    for part in tensor.parts:
        assert tuple(values[part.of].shape) == part.shape
        cut(found, part.place or "...")[...] = cut(values[part.of], part.region)
    return found


# ---- as transformers writes and loads -----------------------------------------------------------


def check_the_files(name, folder, **settings):
    model = numbered(name, **settings)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    told = file_tensors(model)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    with ft.deferred():
        empty = made(name, **settings)
    assert file_tensors(empty) == told
    theirs = written(model, folder)
    assert sorted(theirs) == sorted(tensor.name for tensor in told)
    for tensor in told:
        expected = theirs[tensor.name]
        assert (tensor.shape, tensor.dtype) == (tuple(expected.shape), expected.dtype)
        assert torch.equal(shown(tensor, before), expected), tensor
    return told


@pytest.mark.parametrize("name", SAME.split())
def test_files_with_the_names_of_the_module(name, tmp_path):
    told = check_the_files(name, tmp_path)
    assert all(not part.place + part.region for tensor in told for part in tensor.parts)


@pytest.mark.parametrize("name", QUICK.split())
def test_the_files_are_those_of_save_pretrained(name, tmp_path):
    told = check_the_files(name, tmp_path)
    assert any(part.of != tensor.name for tensor in told for part in tensor.parts)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW.split())
def test_the_files_of_more_models_are_those_of_save_pretrained(name, tmp_path):
    told = check_the_files(name, tmp_path)
    assert any(part.of != t.name for t in told for part in t.parts)


def check_that_it_loads(name, folder):
    """From a plan of the files, with the values that the module's tensors have by their names."""
    with ft.deferred():
        model = made(name)
    told = file_tensors(model)
    shapes = {part.of: part.shape for tensor in told for part in tensor.parts}
    schemes = {of: fi.normal(0.5 + n) for n, of in enumerate(shapes)}
    plan = fi.Plan([fi.Tensor(t.name, t.shape, scheme_for(t, schemes), "float32") for t in told])
    fi.write(plan, folder, seed=7, durability="none")
    model.config.architectures = [name]
    (folder / "config.json").write_text(json.dumps(model.config.to_dict(), default=str))
    kind = getattr(transformers, name)
    loaded, report = kind.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not any(report.values()), report
    state = loaded.state_dict()
    for of, shape in shapes.items():
        values = fi.array(shape, schemes[of], seed=7, name=of)
        assert torch.equal(state[of], torch.from_numpy(values)), of


LOADED = [name for name in (*SAME.split(), *QUICK.split()) if name != "Kimi_K25Model"]


@pytest.mark.parametrize("name", LOADED)
def test_the_files_load_with_the_values_of_the_module(name, tmp_path):
    check_that_it_loads(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW.split())
def test_the_files_of_more_models_load_with_the_values_of_the_module(name, tmp_path):
    check_that_it_loads(name, tmp_path)


# ---- ties, dtypes, buffers ----------------------------------------------------------------------


def test_tied_tensors_are_written_once_and_have_the_name_of_the_module_s_plan():
    with ft.deferred():
        model = made("T5ForConditionalGeneration", tie_word_embeddings=True)
    told = by_name(file_tensors(model))
    plan = ft.plan(model)
    assert "shared.weight" in told
    assert "lm_head.weight" not in told
    assert {part.of for tensor in told.values() for part in tensor.parts} == {
        tensor.name for tensor in plan
    }


def test_parameters_over_the_same_memory_are_tied(tmp_path):
    model = numbered("BertForMaskedLM")
    embeddings = model.bert.embeddings.word_embeddings.weight
    model.cls.predictions.decoder.weight = torch.nn.Parameter(embeddings.data)
    assert sorted(by_name(file_tensors(model))) == sorted(written(model, tmp_path))


def test_a_tensor_that_is_kept_under_its_second_name_is_drawn_by_its_first(monkeypatch):
    model = made("GPT2LMHeadModel")
    monkeypatch.setattr(
        type(model), "_tied_weights_keys", {"transformer.wte.weight": "lm_head.weight"}
    )
    told = by_name(file_tensors(model))
    assert "transformer.wte.weight" not in told
    scheme = scheme_for(told["lm_head.weight"], {"transformer.wte.weight": fi.normal(0.02)})
    assert str(scheme) == "same_as(of='transformer.wte.weight', init=normal(std=0.02))"


def test_dtypes_are_those_of_the_module():
    model = made("DeepseekV3ForCausalLM").to(torch.bfloat16)
    model.model.layers[1].mlp.gate.weight.data = model.model.layers[1].mlp.gate.weight.float()
    told = by_name(file_tensors(model))
    assert told["model.layers.1.mlp.gate.weight"].dtype == torch.float32
    assert told["model.layers.1.mlp.experts.0.up_proj.weight"].dtype == torch.bfloat16


def test_buffers_of_integers_are_written_and_have_no_scheme(tmp_path):
    model = made("RegNetModel", depths=[1], hidden_sizes=[8], embedding_size=8, groups_width=8)
    told = by_name(file_tensors(model))
    name = "embedder.embedder.normalization.num_batches_tracked"
    assert told[name].dtype == torch.int64
    assert name in written(model, tmp_path)
    with pytest.raises(
        fi.errors.ModuleError, match="the module's tensor that it shows, has no scheme"
    ):
        scheme_for(told[name], {})


# ---- large models -------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_experts_of_a_model_of_671_billion_parameters_take_no_memory():
    with torch.device("meta"):
        model = transformers.DeepseekV3ForCausalLM(transformers.DeepseekV3Config())
    told = by_name(file_tensors(model))
    assert len(told) == 45_395
    part = told["model.layers.60.mlp.experts.255.up_proj.weight"].parts[0]
    assert (part.of, part.region) == ("model.layers.60.mlp.experts.gate_up_proj", "255, 2048:4096")
