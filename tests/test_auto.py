# SPDX-License-Identifier: MIT
"""`auto`: the roles it reads from real models' names, and the scheme each role gets."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from click.testing import CliRunner

import fastinit as fi
from fastinit import cli
from fastinit.schemes import roles
from fastinit.schemes.auto import _CHOICES, ACTIVATIONS

# Parameters as the models' own state dicts list them: one of each kind.
NAMES = {
    "GPT-2": [
        ("transformer.wte.weight", (50257, 768), "embedding"),
        ("transformer.wpe.weight", (1024, 768), "position"),
        ("transformer.h.0.ln_1.weight", (768,), "norm"),
        ("transformer.h.0.ln_1.bias", (768,), "bias"),
        ("transformer.h.0.attn.c_attn.weight", (2304, 768), "attention_input"),
        ("transformer.h.0.attn.c_attn.bias", (2304,), "bias"),
        ("transformer.h.0.attn.c_proj.weight", (768, 768), "attention_output"),
        ("transformer.h.0.mlp.c_fc.weight", (3072, 768), "linear"),
        ("transformer.h.0.mlp.c_proj.weight", (768, 3072), "residual_output"),
        ("transformer.ln_f.weight", (768,), "norm"),
        ("lm_head.weight", (50257, 768), "head"),
    ],
    "Llama": [
        ("model.embed_tokens.weight", (32000, 4096), "embedding"),
        ("model.layers.0.self_attn.q_proj.weight", (4096, 4096), "attention_input"),
        ("model.layers.0.self_attn.k_proj.weight", (1024, 4096), "attention_input"),
        ("model.layers.0.self_attn.v_proj.weight", (1024, 4096), "attention_input"),
        ("model.layers.0.self_attn.q_norm.weight", (128,), "norm"),
        ("model.layers.0.self_attn.o_proj.weight", (4096, 4096), "attention_output"),
        ("model.layers.0.mlp.gate_proj.weight", (11008, 4096), "linear"),
        ("model.layers.0.mlp.up_proj.weight", (11008, 4096), "linear"),
        ("model.layers.0.mlp.down_proj.weight", (4096, 11008), "residual_output"),
        ("model.layers.0.input_layernorm.weight", (4096,), "norm"),
        ("model.layers.0.post_attention_layernorm.weight", (4096,), "norm"),
        ("model.norm.weight", (4096,), "norm"),
        ("lm_head.weight", (32000, 4096), "head"),
    ],
    "Meta's Llama": [
        ("tok_embeddings.weight", (32000, 4096), "embedding"),
        ("layers.0.attention.wq.weight", (4096, 4096), "attention_input"),
        ("layers.0.attention.wo.weight", (4096, 4096), "attention_output"),
        ("layers.0.feed_forward.w1.weight", (11008, 4096), "linear"),
        ("layers.0.feed_forward.w2.weight", (4096, 11008), "residual_output"),
        ("layers.0.feed_forward.w3.weight", (11008, 4096), "linear"),
        ("layers.0.ffn_norm.weight", (4096,), "norm"),
        ("output.weight", (32000, 4096), "head"),
    ],
    "Mixtral": [
        ("model.layers.0.block_sparse_moe.gate.weight", (8, 4096), "router"),
        ("model.layers.0.block_sparse_moe.experts.7.w1.weight", (14336, 4096), "linear"),
        ("model.layers.0.block_sparse_moe.experts.7.w2.weight", (4096, 14336), "residual_output"),
        ("model.layers.0.mlp.gate.weight", (8, 4096), "router"),
        ("model.layers.0.mlp.experts.gate_up_proj", (8, 28672, 4096), "linear"),
        ("model.layers.0.mlp.experts.down_proj", (8, 4096, 14336), "residual_output"),
        ("model.layers.0.mlp.experts.down_proj_bias", (8, 4096), "bias"),
        ("model.layers.0.mlp.shared_expert_gate.weight", (1, 2048), "router"),
    ],
    "BERT": [
        ("bert.embeddings.word_embeddings.weight", (30522, 768), "embedding"),
        ("bert.embeddings.position_embeddings.weight", (512, 768), "position"),
        ("bert.embeddings.token_type_embeddings.weight", (2, 768), "embedding"),
        ("bert.embeddings.LayerNorm.weight", (768,), "norm"),
        ("bert.encoder.layer.0.attention.self.query.weight", (768, 768), "attention_input"),
        ("bert.encoder.layer.0.attention.self.key.bias", (768,), "bias"),
        ("bert.encoder.layer.0.attention.output.dense.weight", (768, 768), "attention_output"),
        ("bert.encoder.layer.0.attention.output.LayerNorm.weight", (768,), "norm"),
        ("bert.encoder.layer.0.intermediate.dense.weight", (3072, 768), "linear"),
        ("bert.encoder.layer.0.output.dense.weight", (768, 3072), "residual_output"),
        ("bert.pooler.dense.weight", (768, 768), "linear"),
        ("cls.predictions.bias", (30522,), "bias"),
        ("cls.predictions.decoder.weight", (30522, 768), "head"),
        ("cls.predictions.transform.dense.weight", (768, 768), "linear"),
        ("cls.seq_relationship.weight", (2, 768), "head"),
        ("classifier.weight", (2, 768), "head"),
    ],
    "T5": [
        ("shared.weight", (32128, 512), "embedding"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", (512, 512), "attention_input"),
        ("encoder.block.0.layer.0.SelfAttention.o.weight", (512, 512), "attention_output"),
        (
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            (32, 8),
            "position",
        ),
        ("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", (2048, 512), "linear"),
        ("encoder.block.0.layer.1.DenseReluDense.wo.weight", (512, 2048), "residual_output"),
        ("decoder.block.0.layer.1.EncDecAttention.v.weight", (512, 512), "attention_input"),
        ("encoder.final_layer_norm.weight", (512,), "norm"),
    ],
    "ViT": [
        ("vit.embeddings.cls_token", (1, 1, 768), "embedding"),
        ("vit.embeddings.position_embeddings", (1, 197, 768), "position"),
        ("vit.embeddings.patch_embeddings.projection.weight", (768, 3, 16, 16), "convolution"),
        ("vit.layers.0.layernorm_before.weight", (768,), "norm"),
        ("vit.layers.0.mlp.fc1.weight", (3072, 768), "linear"),
        ("vit.layers.0.mlp.fc2.weight", (768, 3072), "residual_output"),
        ("pos_embed", (1, 197, 768), "position"),
        ("blocks.0.attn.qkv.weight", (2304, 768), "attention_input"),
        ("blocks.0.attn.proj.weight", (768, 768), "attention_output"),
        ("blocks.0.ls1.gamma", (768,), "layer_scale"),
        ("encoder.layer.0.layer_scale1.lambda1", (768,), "layer_scale"),
        ("head.weight", (1000, 768), "head"),
    ],
    "Whisper": [
        ("model.encoder.conv1.weight", (384, 80, 3), "convolution"),
        ("model.encoder.embed_positions.weight", (1500, 384), "position"),
        ("model.decoder.layers.0.encoder_attn.out_proj.weight", (384, 384), "attention_output"),
        ("model.decoder.layers.0.encoder_attn_layer_norm.weight", (384,), "norm"),
        ("model.decoder.layers.0.fc2.weight", (384, 1536), "residual_output"),
        ("proj_out.weight", (51865, 384), "head"),
    ],
    "ResNet": [
        ("conv1.weight", (64, 3, 7, 7), "convolution"),
        ("bn1.weight", (64,), "norm"),
        ("bn1.bias", (64,), "bias"),
        ("bn1.running_mean", (64,), "running_mean"),
        ("bn1.running_var", (64,), "running_variance"),
        ("layer1.0.conv2.weight", (64, 64, 3, 3), "convolution"),
        ("layer1.0.downsample.0.weight", (256, 64, 1, 1), "convolution"),
        ("layer1.0.downsample.1.weight", (256,), "norm"),
        ("fc.weight", (1000, 2048), "head"),
        ("fc.bias", (1000,), "bias"),
    ],
    "ConvNeXt": [
        ("convnext.embeddings.patch_embeddings.weight", (96, 3, 4, 4), "convolution"),
        ("convnext.encoder.stages.0.layers.0.dwconv.weight", (96, 1, 7, 7), "convolution"),
        ("convnext.encoder.stages.0.layers.0.pwconv1.weight", (384, 96), "linear"),
        ("convnext.encoder.stages.0.layers.0.pwconv2.weight", (96, 384), "residual_output"),
        ("convnext.encoder.stages.0.layers.0.layer_scale_parameter", (96,), "layer_scale"),
        ("convnext.encoder.stages.1.downsampling_layer.0.weight", (96,), "norm"),
    ],
    "GPT-NeoX": [
        ("gpt_neox.embed_in.weight", (50432, 6144), "embedding"),
        ("gpt_neox.layers.0.attention.query_key_value.weight", (18432, 6144), "attention_input"),
        ("gpt_neox.layers.0.attention.dense.weight", (6144, 6144), "attention_output"),
        ("gpt_neox.layers.0.mlp.dense_h_to_4h.weight", (24576, 6144), "linear"),
        ("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", (6144, 24576), "residual_output"),
        ("embed_out.weight", (50432, 6144), "head"),
    ],
    "Mamba": [
        ("backbone.embeddings.weight", (50280, 768), "embedding"),
        ("backbone.layers.0.mixer.conv1d.weight", (1536, 1, 4), "convolution"),
        ("backbone.layers.0.mixer.in_proj.weight", (3072, 768), "linear"),
        ("backbone.layers.0.mixer.x_proj.weight", (80, 1536), "linear"),
        ("backbone.layers.0.mixer.out_proj.weight", (768, 1536), "residual_output"),
        ("backbone.norm_f.weight", (768,), "norm"),
    ],
    "torch.nn": [
        ("weight_ih_l0", (64, 8), "recurrent_input"),
        ("weight_hh_l0_reverse", (64, 16), "recurrent"),
        ("weight_hr_l1", (4, 16), "linear"),
        ("bias_ih_l0", (64,), "bias"),
        ("bias_hh_l0_reverse", (64,), "bias"),
        ("weight_hh", (48, 16), "recurrent"),
        ("self_attn.in_proj_weight", (24, 8), "attention_input"),
        ("self_attn.in_proj_bias", (24,), "bias"),
        ("self_attn.out_proj.weight", (8, 8), "attention_output"),
        ("q_proj_weight", (8, 8), "attention_input"),
        ("bias_k", (1, 1, 8), "embedding"),
        ("linear1.weight", (32, 8), "linear"),
        ("linear2.weight", (8, 32), "residual_output"),
        ("norm1.weight", (8,), "norm"),
        ("0.weight", (3, 2), "linear"),
        ("net.0.weight", (8, 1, 3, 3), "convolution"),
        ("net.1.weight", (8,), "norm"),
        ("features.0.conv.1.weight", (32,), "norm"),
        ("weight", (3, 2), "linear"),
    ],
    "Flax": [
        ("params/Embed_0/embedding", (1000, 64), "embedding"),
        ("params/posembed_input/pos_embedding", (1, 197, 64), "position"),
        ("params/LayerNorm_0/scale", (64,), "norm"),
        ("params/LayerNorm_0/bias", (64,), "bias"),
        ("params/MultiHeadDotProductAttention_0/query/kernel", (64, 4, 16), "attention_input"),
        ("params/MultiHeadDotProductAttention_0/query/bias", (4, 16), "bias"),
        ("params/MultiHeadDotProductAttention_0/out/kernel", (4, 16, 64), "attention_output"),
        ("params/Dense_0/kernel", (64, 256), "linear"),
        ("params/Conv_0/kernel", (3, 3, 3, 64), "convolution"),
        ("params/layers_0/kernel", (64, 256), "linear"),
        ("params/OptimizedLSTMCell_0/hi/kernel", (16, 16), "recurrent"),
        ("params/OptimizedLSTMCell_0/ii/kernel", (8, 16), "recurrent_input"),
        ("batch_stats/BatchNorm_0/var", (64,), "running_variance"),
    ],
    "Keras": [
        ("embedding/embeddings", (100, 32), "embedding"),
        ("multi_head_attention/query/kernel", (32, 4, 8), "attention_input"),
        ("multi_head_attention/attention_output/kernel", (4, 8, 32), "attention_output"),
        ("layer_normalization/gamma", (32,), "norm"),
        ("layer_normalization/beta", (32,), "bias"),
        ("batch_normalization/moving_mean", (8,), "running_mean"),
        ("batch_normalization/moving_variance", (8,), "running_variance"),
        ("conv1d/kernel", (3, 32, 8), "convolution"),
        ("conv2d_transpose/kernel", (3, 3, 4, 8), "convolution"),
        ("separable_conv2d/pointwise_kernel", (1, 1, 8, 4), "convolution"),
        ("bidirectional/forward_lstm/lstm_cell/kernel", (8, 24), "recurrent_input"),
        ("bidirectional/forward_lstm/lstm_cell/recurrent_kernel", (6, 24), "recurrent"),
        ("gru/gru_cell/bias", (2, 18), "bias"),
        ("dense_1/kernel", (6, 5), "linear"),
    ],
}
EVERY_NAME = [row for rows in NAMES.values() for row in rows]


def chosen(name, shape, *args, **kwargs):
    """What auto(...) chooses for a tensor."""
    return fi.auto(*args, **kwargs).for_tensor(name, shape)


def std(scheme, shape):
    """The standard deviation of the values, truncation and all."""
    return scheme.distribution(shape).std


@pytest.mark.parametrize(("name", "shape", "role"), EVERY_NAME, ids=lambda value: str(value))
def test_a_real_name_has_its_role_and_a_scheme(name, shape, role):
    assert roles.read(name, shape).role == role
    made = chosen(name, shape, "gelu", layers=2)
    assert made.reason.startswith(f"{role}, ")
    assert made.name != "auto"
    made.distribution(shape)


def test_every_role_is_named_by_some_model_and_has_a_choice():
    assert {role for _, _, role in EVERY_NAME} == set(roles.AXES)
    assert set(_CHOICES) == set(roles.AXES)


def test_no_phrase_has_two_roles():
    tables = [*roles._PHRASES.values(), *roles._LEAVES.values(), ",".join(roles._OTHERS)]
    phrases = [" ".join(phrase.split()) for text in tables for phrase in text.split(",")]
    assert len(phrases) == len(set(phrases))
    assert "" not in phrases
    assert set(roles._FUSED) < set(phrases)


HE = "relu relu6 leaky_relu prelu elu celu gelu gelu_new gelu_pytorch_tanh quick_gelu silu swish"
HE += " hardswish mish glu reglu geglu swiglu"
XAVIER = "linear identity tanh sigmoid softmax softsign relu2"


@pytest.mark.parametrize(
    ("names", "scheme"),
    [(HE, fi.he_normal()), (XAVIER, fi.glorot_normal()), ("selu", fi.lecun_normal())],
    ids=["he", "xavier", "lecun"],
)
def test_an_activation_has_its_family(names, scheme):
    for name in names.split():
        for tensor, shape in [("up.fc1.weight", (64, 16)), ("conv.weight", (64, 16, 3, 3))]:
            made = chosen(tensor, shape, name)
            assert made == scheme
            assert f"for {name}" in made.reason


def test_every_activation_is_tested_here():
    assert set(ACTIVATIONS) == {*HE.split(), *XAVIER.split(), "selu"}


def test_without_an_activation_it_is_xavier():
    made = chosen("fc1.weight", (64, 16))
    assert made == fi.glorot_normal()
    assert made.reason == "linear, by 'fc1': Xavier, no activation is named"


def test_a_docstring_lists_every_role_and_activation():
    for word in (*roles.AXES, *ACTIVATIONS):
        assert word in fi.auto.__doc__, word


@pytest.mark.parametrize(
    ("role", "scheme"),
    [
        ("embedding", "normal(std=0.02)"),
        ("position", "normal(std=0.02)"),
        ("head", "normal(std=0.02)"),
        ("norm", "ones()"),
        ("running_variance", "ones()"),
        ("bias", "zeros()"),
        ("running_mean", "zeros()"),
        ("recurrent", "orthogonal()"),
        ("recurrent_input", "glorot_normal()"),
        ("attention_input", "glorot_normal()"),
        ("attention_output", "glorot_normal()"),
        ("router", "glorot_normal()"),
        ("linear", "he_normal()"),
        ("residual_output", "he_normal()"),
        ("layer_scale", "constant(value=1e-05)"),
    ],
)
def test_a_role_that_is_given_has_its_scheme_whatever_the_name(role, scheme):
    made = chosen("a.b", (8, 4), "relu", role=role)
    assert str(made) == scheme
    assert made.reason.startswith(f"{role}, as given: ")
    rule = fi.auto("relu", role=role)
    assert rule.for_tensor("lm_head.weight", (8, 4)) == made
    if role != "recurrent":
        assert rule.distribution((8, 4)) == made.distribution((8, 4))


@pytest.mark.parametrize("activation", ["relu", "tanh", "selu"])
@pytest.mark.parametrize("name", ["attn.o_proj.weight", "mlp.down_proj.weight"])
def test_what_adds_to_the_residual_stream_is_divided_as_in_gpt2(name, activation):
    shape = (64, 256)
    whole = chosen(name, shape, activation)
    divided = chosen(name, shape, activation, layers=50)
    assert math.isclose(std(divided, shape), std(whole, shape) / 10, rel_tol=1e-15)
    assert type(divided.distribution(shape)) is type(whole.distribution(shape))
    assert whole.reason.endswith("undivided as layers is not given")
    assert divided.reason.endswith("over sqrt(2 * 50) as in GPT-2")


def test_layers_change_no_other_role():
    for name, shape, role in EVERY_NAME:
        if role not in ("attention_output", "residual_output", "layer_scale"):
            assert chosen(name, shape, "relu", layers=7) == chosen(name, shape, "relu"), name


@pytest.mark.parametrize(
    ("layers", "value"),
    [(None, 1e-5), (1, 0.1), (18, 0.1), (19, 1e-5), (24, 1e-5), (25, 1e-6), (48, 1e-6)],
)
def test_a_layer_scale_goes_by_the_depth_as_in_cait(layers, value):
    made = chosen("blocks.0.ls2.gamma", (768,), layers=layers)
    assert made == fi.constant(value)
    assert made.reason.endswith("as in CaiT")


@pytest.mark.parametrize("name", ["attn.c_attn", "attn.qkv", "self_attn.qkv_proj", "Wqkv"])
def test_a_fused_weight_has_the_scale_of_its_parts(name):
    fused = chosen(f"{name}.weight", (3 * 64, 64))
    assert fused == fi.glorot_normal(packed=3)
    assert std(fused, (192, 64)) == std(chosen("attn.q_proj.weight", (64, 64)), (64, 64))
    assert fused.reason.endswith("Xavier, 3 side by side")
    keras = chosen(f"{name}.weight", (64, 3 * 64), layout="keras")
    assert std(keras, (64, 192)) == std(fused, (192, 64))


def test_a_fused_weight_of_unequal_parts_is_taken_whole_and_says_so():
    made = chosen("attn.query_key_value.weight", (4672, 4544))
    assert made == fi.glorot_normal()
    assert made.reason.endswith("fused of unequal parts: fans of the whole")
    assert chosen("attn.kv.weight", (128, 64)) == fi.glorot_normal(packed=2)
    assert chosen("attn.kv.weight", (32, 64)) == fi.glorot_normal(packed=2)


def test_a_gate_and_up_weight_is_two_matrices_where_the_outputs_count():
    assert chosen("mlp.gate_up_proj.weight", (512, 64)) == fi.glorot_normal(packed=2)
    assert chosen("mlp.gate_up_proj.weight", (511, 64)) == fi.glorot_normal()
    assert chosen("mlp.gate_up_proj.weight", (512, 64), "silu") == fi.he_normal()


@pytest.mark.parametrize("layout", ["torch", "keras", "jax"])
@pytest.mark.parametrize("activation", ["silu", "tanh"])
@pytest.mark.parametrize("part", ["gate_up_proj", "down_proj"])
def test_a_stack_of_experts_has_the_scale_of_one(part, activation, layout):
    shape = (64, 256) if layout == "torch" else (256, 64)
    one = chosen(f"mlp.experts.3.{part}.weight", shape, activation, layers=4, layout=layout)
    stack = chosen(f"mlp.experts.{part}", (8, *shape), activation, layers=4, layout=layout)
    assert std(stack, (8, *shape)) == std(one, shape)
    assert ", 8 stacked" in stack.reason


def test_a_tensor_called_kernel_lies_as_in_keras_and_flax_unless_told():
    assert chosen("Dense_0/kernel", (16, 64), "relu") == fi.he_normal(layout="keras")
    assert chosen("Dense_0/kernel", (16, 64), "relu", layout="torch") == fi.he_normal()
    assert chosen("fc1.weight", (16, 64), "relu", layout="jax") == fi.he_normal(layout="jax")
    assert chosen("lstm_cell/recurrent_kernel", (6, 24)) == fi.orthogonal(layout="keras")


def test_an_attention_kernel_with_its_heads_apart_has_the_scale_of_one_matrix():
    query, flat = (64, 4, 32), (64, 128)
    name = "multi_head_attention/query/kernel"
    assert std(chosen(name, query), query) == std(chosen(name, flat), flat)
    name = "multi_head_attention/attention_output/kernel"
    output, flat = (4, 32, 64), (128, 64)
    divided = [std(chosen(name, shape, layers=8), shape) for shape in (output, flat)]
    assert divided[0] == divided[1]


@pytest.mark.parametrize(
    "name", ["up.conv_transpose.weight", "deconv1.weight", "conv2d_transpose/kernel"]
)
def test_a_transposed_convolution_has_its_fans_swapped(name):
    layout = "keras" if "kernel" in name else "torch"
    expected = fi.he_normal(layout=layout, transposed=True)
    assert chosen(name, (8, 4, 3, 3), "relu") == expected


def test_flaxs_transposed_convolution_has_its_fans_in_place():
    name, shape = "params/ConvTranspose_0/kernel", (3, 3, 8, 4)
    assert chosen(name, shape, "relu") == fi.he_normal(layout="jax")
    assert chosen(name, shape, "relu", layout="keras").distribution(shape) == (
        fi.he_normal(layout="keras", transposed=True).distribution(shape)
    )


def test_a_chosen_scheme_keeps_its_reason_and_shows_it_nowhere():
    made = chosen("wte.weight", (1000, 64))
    assert made.reason == "embedding, by 'wte': normal, std 0.02 as in GPT-2"
    assert str(made) == repr(made) == "normal(std=0.02)"
    assert made == fi.normal(0.02)
    assert hash(made) == hash(fi.normal(0.02))
    assert fi.normal(0.02).reason == ""
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert again == made
        assert again.reason == made.reason


def test_a_scheme_of_its_own_is_for_every_tensor():
    assert fi.normal(0.02).for_tensor("bias", (3,)) is not None
    made = fi.he_normal()
    assert made.for_tensor("bias", (3,)) is made


def test_the_text_form_is_as_good():
    assert fi.scheme("auto") == fi.auto()
    assert fi.scheme("auto('silu', layers=2 * 16)") == fi.auto("silu", layers=32)
    text = "auto(activation='silu', role='linear', layers=32, layout='keras')"
    assert str(fi.scheme(text)) == text
    assert fi.auto() != fi.auto("relu")


@pytest.mark.parametrize("name", ["mlp.up_proj.weight", "mlp.up_proj.bias", "norm.weight"])
def test_an_array_is_drawn_from_what_is_chosen(name):
    shape = (64, 32) if "up_proj.w" in name else (64,)
    expected = fi.array(shape, chosen(name, shape, "silu"), seed=3, name=name)
    for recipe in (fi.auto("silu"), "auto('silu')"):
        assert (fi.array(shape, recipe, seed=3, name=name) == expected).all()
    out = np.empty((8, *shape[1:]), np.float32)
    fi.fill(out, fi.auto("silu"), seed=3, name=name, shape=shape, region=np.s_[8:16])
    assert (out == expected[8:16]).all()


# --- plans -----------------------------------------------------------------------------------


def test_a_plan_holds_what_is_chosen_and_nothing_of_auto(tmp_path):
    tensor = fi.Tensor("up_proj.weight", (64, 32), fi.auto("silu"))
    assert str(tensor.scheme) == "he_normal()"
    assert tensor.scheme.reason
    assert tensor == fi.Tensor("up_proj.weight", [64, 32], "auto('silu')")
    plain = fi.Plan([fi.Tensor("up_proj.weight", (64, 32), fi.he_normal())])
    plan = fi.Plan([tensor])
    assert plan == plain
    assert plan.digest == plain.digest
    assert "auto" not in json.dumps(plan.to_json())
    row = {"name": "up_proj.weight", "shape": [64, 32], "init": "auto('silu')"}
    assert fi.Plan.from_json({"tensors": [row]}) == plan
    fi.write(plan, tmp_path / "weights", seed=1)
    assert fi.verify(tmp_path / "weights").digest == plain.digest
    assert pickle.loads(pickle.dumps(plan)).tensors[0].scheme.reason == tensor.scheme.reason


PLAN = """
[sizes]
layers = 3
[[tensor]]
name = "wte.weight"
shape = "(100, 8)"
init = "auto()"
[[tensor]]
name = "h.{i}.mlp.down_proj.weight"
repeat = "layers"
shape = "(8, 32)"
init = "auto('silu', layers=layers)"
[[tensor]]
name = "dt_bias"
shape = "(8,)"
init = "uniform(0.001, 0.1)"
"""


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return str(path)


def test_the_command_plan_says_why(toml):
    found = CliRunner().invoke(cli.cli, ["plan", toml])
    assert found.exit_code == 0
    header, embedding, down, own, _ = found.stdout.splitlines()
    assert header.split() == ["tensor", "shape", "dtype", "init", "tensors", "bytes", "why"]
    assert embedding.endswith("  embedding, by 'wte': normal, std 0.02 as in GPT-2")
    assert down.startswith("h.*.mlp.down_proj.weight")
    assert " 3  " in down
    assert down.endswith(
        "residual_output, by 'down proj': He, for silu, over sqrt(2 * 3) as in GPT-2"
    )
    assert own.endswith("B")


def test_the_command_plan_gathers_only_rows_of_one_reason(tmp_path):
    path = tmp_path / "plan.toml"
    entry = '[[tensor]]\nname = "h.{}.fc1.weight"\nshape = [8, 8]\ninit = "{}"\n'
    path.write_text(entry.format(0, "auto('relu')") + entry.format(1, "he_normal()"))
    lines = CliRunner().invoke(cli.cli, ["plan", str(path)]).stdout.splitlines()
    assert len(lines) == 4


def test_the_command_plan_gives_reasons_in_json(toml):
    form = json.loads(CliRunner().invoke(cli.cli, ["plan", toml, "--json"]).stdout)
    assert fi.Plan.from_json(form["plan"]) == fi.plan(toml)
    assert list(form["reasons"]) == ["wte.weight", *(f"h.{i}.mlp.down_proj.weight" for i in "012")]
    assert form["reasons"]["wte.weight"] == fi.plan(toml)["wte.weight"].scheme.reason


# --- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"activation": "rleu"}, ValueError, "activation 'rleu' is unknown: choose from relu, .*"),
        ({"activation": "rleu"}, ValueError, "did you mean 'relu'"),
        ({"activation": ""}, ValueError, "activation '' is unknown"),
        ({"activation": ["relu"]}, ValueError, r"activation \['relu'\] is unknown"),
        ({"role": "liner"}, ValueError, "role 'liner' is unknown: choose from linear, .*'linear'"),
        ({"role": 1}, ValueError, "role 1 is unknown"),
        ({"layers": 0}, ValueError, "layers is 0: need a whole number of 1 or more"),
        ({"layers": 1.5}, TypeError, "layers is 1.5: need a whole number"),
        ({"layout": "flax"}, ValueError, "layout 'flax' is unknown: choose from torch, keras, jax"),
        ({"groups": 2}, TypeError, r"auto\(activation=None.*unexpected keyword"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        fi.auto(**arguments)


def test_without_a_name_or_a_role_it_says_what_to_do():
    words = r"of this one only the shape \(3, 4\) is known: give role=, one of linear, .*for_tensor"
    with pytest.raises(ValueError, match=words):
        fi.auto().distribution((3, 4))


BUFFERS = [
    ("model.rotary_emb.inv_freq", (64,)),
    ("bert.embeddings.position_ids", (1, 512)),
    ("bn1.num_batches_tracked", ()),
    ("h.0.attn.masked_bias", ()),
]


@pytest.mark.parametrize(("name", "shape"), BUFFERS)
def test_a_buffer_is_refused(name, shape):
    with pytest.raises(ValueError, match="which is a buffer, not a weight: leave it out of the pl"):
        chosen(name, shape)


SPECIAL = [
    ("mixer.A_log", (1536, 16), "'a log', which is Mamba's"),
    ("mixer.D", (1536,), "'d', which is Mamba's"),
    ("mixer.dt_bias", (128,), "'dt bias', which is Mamba's"),
    ("mixer.dt_proj.weight", (1536, 48), "'dt proj weight', which is Mamba's"),
    ("mixer.dt_proj.bias", (1536,), "'dt proj bias', which is Mamba's"),
    ("separable_conv2d/depthwise_kernel", (3, 3, 8, 1), "'depthwise kernel', which is Keras's"),
    ("depthwise_conv2d/kernel", (3, 3, 8, 1), "'depthwise conv2d kernel', which is Keras's"),
    ("logit_scale", (), "'logit scale', which is a temperature"),
    ("p_re_lu/alpha", (5,), "'alpha', which is a slope"),
]
UNKNOWN = [
    ("model.foo.weight", (3, 4), "read from the end, no role is known for 'foo' of 2 axes"),
    ("model.layers.0.self_attn.sinks", (64,), "no role is known for 'sinks' of 1 axis"),
    ("conv.weight_g", (64, 1, 1), "no role is known for 'g' of 3 axes"),
    ("lora_A.weight", (8, 64), "no role is known for 'a' of 2 axes"),
    ("stages.0.0.gamma", (96,), "no role is known for 'stages' of 1 axis"),
    ("gamma", (96,), "no role is known for 'gamma' of 1 axis"),
    ("weight", (8,), "no role is known for 'weight' of 1 axis"),
    ("weight", (1,), "no role is known for 'weight' of 1 axis"),
    ("0.weight", (8, 4, 3), "no role is known for 'weight' of 3 axes"),
    ("", (8, 4), "no role is known for '' of 2 axes"),
    ("12", (8, 4), "no role is known for '12' of 2 axes"),
    ("moe.w1.weight", (8, 4, 4), "its name says linear by 'w1', which has no 3 axes"),
    ("fc1.weight", (8,), "its name says linear by 'fc1', which has no 1 axis"),
    ("h.0.attn.bias", (1, 1, 8, 8), "its name says bias by 'bias', which has no 4 axes"),
    ("wte.weight", (), "its name says embedding by 'wte', which has no 0 axes"),
]


@pytest.mark.parametrize(("name", "shape", "words"), SPECIAL + UNKNOWN)
def test_a_role_that_cannot_be_told_is_an_error_that_says_what_was_read(name, shape, words):
    with pytest.raises(ValueError, match=words) as caught:
        chosen(name, shape, "relu")
    message = str(caught.value)
    assert message.startswith(f"tensor {name!r} " if name else "shape ")
    assert message.endswith(f"give role=, one of {', '.join(roles.AXES)}, or a scheme of its own")


@pytest.mark.parametrize(
    ("role", "name", "shape", "words"),
    [
        ("linear", "a.b", (2, 3, 4), "'a.b' .*has 3 axes: the role linear needs 2, or 3 where the"),
        ("linear", "a.b", (2,), "has 1 axis: the role linear needs 2"),
        ("convolution", "a.b", (2, 3), "the role convolution needs 3, 4, 5; give another role"),
        ("norm", "a.b", (), "the role norm needs 1 or more; give another role, or a scheme"),
        ("recurrent", "experts.b", (2, 3, 4), "the role recurrent needs 2; give"),
    ],
)
def test_a_given_role_must_fit_the_axes(role, name, shape, words):
    with pytest.raises(ValueError, match=words):
        chosen(name, shape, role=role)


def test_a_given_role_that_does_not_fit_a_bare_shape_is_refused():
    with pytest.raises(ValueError, match=r"^shape \(2,\) has 1 axis: the role linear needs 2"):
        fi.auto(role="linear").distribution((2,))


def test_a_fused_weight_that_lies_the_other_way_round_is_refused():
    words = r"\(768, 2304\): 3 matrices lie along its inputs in layout 'torch'; give layout='keras'"
    with pytest.raises(ValueError, match=words):
        chosen("h.0.attn.c_attn.weight", (768, 2304))
    with pytest.raises(ValueError, match="in layout 'jax'; give layout='torch'"):
        chosen("h.0.attn.c_attn.weight", (2304, 768), layout="jax")


def test_heads_apart_in_torchs_layout_are_refused():
    words = r"attention weight of 3 axes is known as Keras's or Flax's alone; give layout='keras'"
    with pytest.raises(ValueError, match=words):
        chosen("attn.q_proj.weight", (64, 4, 32))


def test_a_tensor_of_a_plan_that_cannot_be_told_is_named():
    with pytest.raises(ValueError, match=r"tensor 'model\.foo\.weight' of shape \(3, 4\): read"):
        fi.Tensor("model.foo.weight", (3, 4), "auto()")
    with pytest.raises(ValueError, match="shape has an axis of -1"):
        fi.auto().for_tensor("wte.weight", (3, -1))


# --- frameworks ------------------------------------------------------------------------------

MODELS = [
    ("GPT2LMHeadModel", "GPT2Config", {"n_layer": 1}),
    ("LlamaForCausalLM", "LlamaConfig", {"num_hidden_layers": 1}),
    ("MixtralForCausalLM", "MixtralConfig", {"num_hidden_layers": 1}),
    ("BertForPreTraining", "BertConfig", {"num_hidden_layers": 1}),
    ("T5ForConditionalGeneration", "T5Config", {"num_layers": 1}),
    ("ViTForImageClassification", "ViTConfig", {"num_hidden_layers": 1}),
    (
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {"encoder_layers": 1, "decoder_layers": 1},
    ),
    ("ResNetForImageClassification", "ResNetConfig", {}),
]


@pytest.mark.frameworks
@pytest.mark.parametrize(("model", "config", "sizes"), MODELS, ids=[row[0] for row in MODELS])
def test_every_parameter_of_a_real_model_has_a_role(model, config, sizes, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        built = getattr(transformers, model)(getattr(transformers, config)(**sizes))
    layout = "keras" if model.startswith("GPT2") else None  # its Conv1D is (in, out)
    found = 0
    for name, parameter in built.named_parameters():
        shape = tuple(parameter.shape)
        role = roles.read(name, shape).role
        assert ("bias" in name.split(".")[-1]) == (role == "bias"), name
        assert isinstance(_module(built, name), torch.nn.Embedding) <= (
            role in ("embedding", "position")
        ), name
        is_norm = "Norm" in type(_module(built, name)).__name__
        assert is_norm == (role == "norm") or role == "bias", name
        chosen(name, shape, "gelu", layers=1, layout=layout).distribution(shape)
        found += 1
    assert found > 10


def _module(model, name):
    return model.get_submodule(name.rpartition(".")[0])


@pytest.mark.frameworks
def test_every_parameter_of_torchs_own_layers_has_a_role():
    torch = pytest.importorskip("torch")
    layers = [
        torch.nn.LSTM(8, 16, 2, bidirectional=True, proj_size=4),
        torch.nn.GRUCell(8, 16),
        torch.nn.TransformerDecoderLayer(8, 2),
        torch.nn.MultiheadAttention(8, 2, kdim=4, vdim=4, add_bias_kv=True),
        torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4)),
    ]
    for layer in layers:
        for name, tensor in layer.named_parameters():
            chosen(name, tuple(tensor.shape), "relu", layers=1)
