# SPDX-License-Identifier: MIT
"""Checkpoints for load tests: what transformers loads of them, in bfloat16 and in float8."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")  # transformers needs it for float8

import fastinit as fi  # noqa: E402 - only where torch is
import fastinit.transformers as fh  # noqa: E402
from fastinit.errors import ModuleError, PlanError  # noqa: E402

BLOCKS = {"quant_method": "fp8", "weight_block_size": [32, 32], "activation_scheme": "dynamic"}
"""Blocks that divide all sizes: without a GPU, transformers loads no others."""


def llama(**options):
    return transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=192,
        intermediate_size=320,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        architectures=["LlamaForCausalLM"],
        **options,
    )


def deepseek(**options):
    return transformers.DeepseekV3Config(
        vocab_size=128,
        hidden_size=192,
        intermediate_size=320,
        moe_intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=64,
        kv_lora_rank=64,
        qk_rope_head_dim=32,
        qk_nope_head_dim=64,
        v_head_dim=64,
        architectures=["DeepseekV3ForCausalLM"],
        **options,
    )


def dummy(config, **options):
    return fh.plan(config, dummy=True, **options)


def loaded(plan, folder):
    """The model that transformers loads of a written plan."""
    fi.write(plan, folder, seed=0)
    fi.verify(folder)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(info.values()), info
    with torch.no_grad():
        assert model(torch.arange(20)[None]).logits.isfinite().all()
    return model


@pytest.mark.parametrize("make", [llama, deepseek])
def test_float8_has_the_scales_that_transformers_multiplies_by(make, tmp_path):
    plan = dummy(make(quantization_config=dict(BLOCKS)))
    assert plan.config["quantization_config"]["weight_block_size"] == [32, 32]
    model = loaded(plan, tmp_path)
    weights = fi.open(tmp_path)
    scales = [name for name in weights if name.endswith("_scale_inv")]
    assert scales
    for name in scales:
        weight, scale = weights[name.removesuffix("_scale_inv")], weights[name]
        assert (weight.dtype, scale.dtype) == (np.dtype("float8_e4m3fn"), np.float32)
        assert scale.shape == tuple(size // 32 for size in weight.shape)
        assert 0.9 < (weight.astype(np.float32) * scale.flat[0]).std() / 0.02 < 1.1
        assert np.abs(weight.astype(np.float32)).max() > 112  # of 448
    name = "model.layers.0.mlp.up_proj.weight"
    made = weights[name].astype(np.float32) * weights[name + "_scale_inv"][0, 0]
    found = model.get_parameter(name).detach().float().numpy()
    assert np.array_equal(found, made)
    kept = {name for name in weights if weights[name].dtype == np.dtype("bfloat16")}
    assert {"lm_head.weight", "model.embed_tokens.weight"} <= kept


def test_a_block_at_the_edge_has_a_scale_too():
    plan = dummy(llama(quantization_config={**BLOCKS, "weight_block_size": [128, 100]}))
    name = "model.layers.0.mlp.up_proj.weight"
    assert plan[name].shape == (320, 192)
    assert plan[name + "_scale_inv"].shape == (3, 2)


def test_the_layers_are_those_that_transformers_quantises(tmp_path):
    """Routers, heads and what the configuration names are not."""
    asked = {**BLOCKS, "modules_to_not_convert": ["lm_head", "model.layers.1.mlp.shared_experts"]}
    plan = dummy(deepseek(quantization_config=asked))
    dtypes = {tensor.name: tensor.dtype for tensor in plan}
    assert dtypes["model.layers.1.mlp.experts.3.gate_proj.weight"] == "float8_e4m3fn"
    assert dtypes["model.layers.1.mlp.shared_experts.gate_proj.weight"] == "bfloat16"
    assert dtypes["model.layers.1.mlp.gate.weight"] == "float32"
    loaded(plan, tmp_path)


def test_without_a_quantisation_it_is_in_bfloat16(tmp_path):
    plan = dummy(llama())
    assert {tensor.dtype for tensor in plan} == {"bfloat16"}
    assert [t.name for t in plan] == [t.name for t in fh.plan(llama())]
    assert loaded(plan, tmp_path).dtype == torch.bfloat16


def test_the_dtype_that_is_asked_for_decides():
    plan = dummy(llama(), dtype="float8_e4m3fn")
    assert plan.config["quantization_config"]["quant_method"] == "fp8"
    assert "float8_e4m3fn" in {tensor.dtype for tensor in plan}
    plan = dummy(llama(quantization_config=dict(BLOCKS)), dtype="float16")
    assert {tensor.dtype for tensor in plan} == {"float16"}
    assert "quantization_config" not in plan.config


def test_another_quantisation_is_left_out():
    plan = dummy(llama(quantization_config={"quant_method": "mxfp4"}))
    assert {tensor.dtype for tensor in plan} == {"bfloat16"}
    assert "quantization_config" not in plan.config


def test_a_scale_for_the_whole_tensor(tmp_path):
    plan = dummy(llama(quantization_config={**BLOCKS, "weight_block_size": None}))
    assert plan["model.layers.0.mlp.up_proj.weight_scale_inv"].shape == ()
    loaded(plan, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale_fmt": "ue8m0"}, "scale_fmt 'ue8m0': fastinit makes 'float' alone; pass dtype='bf"),
        ({"activation_scheme": "static"}, "activation_scheme 'static': fastinit makes 'dynamic'"),
        ({"expert_dtype": "fp4"}, "expert_dtype 'fp4'"),
        (
            {"modules_to_convert": ["embed_tokens"]},
            r"no scales .* has for model\.embed_tokens\.weight",
        ),
        ({"weight_block_size": [128]}, r"weight_block_size is \[128\]: need two whole numbers"),
        ({"weight_block_size": [0, 128]}, r"weight_block_size is \[0, 128\]"),
        ({"weight_block_size": 128}, "weight_block_size is 128: need two whole numbers"),
    ],
)
def test_what_cannot_be_made_is_refused(change, words):
    with pytest.raises(PlanError, match=words):
        dummy(llama(quantization_config={**BLOCKS, **change}))


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("gpt2", "GPT2LMHeadModel", "quantises no layer of GPT2LMHeadModel; pass dtype='bfloat16'"),
        ("gpt_oss", "GptOssForCausalLM", "does not quantise GptOssForCausalLM: AssertionError: FP"),
        ("llama4_text", "Llama4ForCausalLM", r"gate_up_proj' has the shape \(16, 5120, 16384\)"),
        (
            "granitemoe",
            "GraniteMoeForCausalLM",
            r"linear.weight' has the shape \(8, .*experts in one",
        ),
    ],
)
def test_models_that_transformers_loads_in_no_float8_are_refused(kind, name, words):
    """No linear layers; experts with biases; experts in one tensor, transposed or renamed."""
    config = transformers.AutoConfig.for_model(kind, num_hidden_layers=1, architectures=[name])
    with pytest.raises(PlanError, match=words):
        dummy(config, dtype="float8_e4m3fn")
    assert {tensor.dtype for tensor in dummy(config)} == {"bfloat16"}


def test_names_of_the_module_are_refused():
    with pytest.raises(ValueError, match="a dummy has the names of the hub"):
        dummy(llama(), names="module")


class OwnModel(transformers.LlamaForCausalLM):
    """A parameter that no function initialises."""

    def __init__(self, config):
        super().__init__(config)
        self.extra = torch.nn.Parameter(torch.empty(8))


def test_a_tensor_that_is_never_initialised_gets_a_substitute():
    with pytest.raises(ModuleError, match="extra"):
        fh.plan(llama(), architecture=OwnModel)
    plan = dummy(llama(), architecture=OwnModel)
    assert str(plan["extra"].scheme) == "normal(std=0.02)"
    assert plan["extra"].scheme.reason.startswith("a substitute: ")
