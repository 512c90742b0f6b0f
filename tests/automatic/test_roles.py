# SPDX-License-Identifier: MIT
"""Roles: what is read from real models' names, and what is refused.

What a role gets is tested in test_auto.py.
"""

from __future__ import annotations

import re

import pytest
from model_names import EVERY_NAME, chosen, layout_of

from fastinit.automatic import roles
from fastinit.automatic.choice import _CHOICES
from fastinit.automatic.phrases import PHRASES


@pytest.mark.parametrize(("name", "shape", "role"), EVERY_NAME, ids=lambda value: str(value))
def test_a_real_name_has_its_role_and_a_scheme(name, shape, role):
    assert roles.read(name, shape).role == role
    made = chosen(name, shape, "gelu", layers=2, layout=layout_of(name, shape))
    assert made.reason.startswith(f"{role}, ")
    assert made.name != "auto"
    made.distribution(shape)


def test_every_role_is_named_by_some_model_and_has_a_choice():
    assert {role for _, _, role in EVERY_NAME} == set(roles.AXES)
    assert set(_CHOICES) == set(roles.AXES)


def test_the_rows_of_one_phrase_differ_in_where_they_say_it():
    for phrase, rows in roles._TABLE.items():
        assert phrase
        places = [(row.leaves, row.axes, row.after) for row in rows]
        assert len(set(places)) == len(rows), phrase


def test_a_row_is_of_a_known_role_or_says_why_there_is_none():
    for row in PHRASES:
        assert bool(row.why) != bool(row.role)
        assert row.role in ("", *roles.AXES)
        assert (
            row.axes is None
            or not row.role
            or set(row.axes) & set(roles.AXES[row.role])
            or row.stacked
        )


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
    ("fc.weight_v", (64, 32), "'weight v', which is a part of a weight-normed weight"),
    ("conv.weight_v", (64, 3, 3), "'weight v', which is a part of a weight-normed weight"),
    ("conv.weight_g", (64, 1, 1), "'weight g', which is a part of a weight-normed weight"),
    (
        "conv.parametrizations.weight.original1",
        (64, 3, 3),
        "'weight original', which is a part of a weight-normed weight",
    ),
    ("q_proj.lora_A.weight", (8, 64), "'lora a', which is LoRA's, a Gaussian in Hu et al"),
    ("q_proj.lora_B.default.weight", (64, 8), "'lora b default', which is LoRA's, zeros: Hu et al"),
    ("lora_B", (64, 8), "'lora b', which is LoRA's, zeros: Hu et al"),
    ("mask_decoder.upscale_conv1.weight", (256, 64, 2, 2), "'upscale conv', .* that enlarges"),
    ("upsamplers.0.conv.weight", (64, 64, 3, 3), "'upsamplers conv', .* that enlarges"),
    ("decoder.upsampler.0.weight", (512, 256, 16), "'upsampler', which is a convolution that enl"),
    ("decoder.class_embed.0.weight", (2, 256), "'class embed', which is a table in some"),
    ("decoder.decoder_embed.weight", (512, 768), "'decoder embed', which is a table in some"),
    ("mask_head.fc3.weight", (8, 8), "'head fc', which is a model's last layer in"),
    ("classifier.dense.weight", (768, 768), "'classifier dense', which is a model's last layer in"),
    ("logit_scale", (), "'logit scale', which is a temperature"),
    ("p_re_lu/alpha", (5,), "'alpha', which is a slope"),
]
UNKNOWN = [
    ("model.foo.weight", (3, 4), "read from the end, no role is known for 'foo' of 2 axes"),
    ("model.layers.0.self_attn.sinks", (64,), "no role is known for 'sinks' of 1 axis"),
    ("fc.weight_c", (64, 32), "no role is known for 'c' of 2 axes"),
    ("ssm.B", (64, 16), "its name says bias by 'b', which cannot have 2 axes"),
    ("ssm.B", (64,), "its name says bias by 'b', but not behind ssm"),
    ("critic.value.weight", (1, 64), "its name says attention_input by 'value', but only behind"),
    ("query.weight", (200, 1024), "by 'query', but only behind one of attn, attention, "),
    ("latent_query", (64, 2048), "no role is known for 'query' of 2 axes"),
    ("blocks.0.attention.time_mix_key", (1, 1, 8), "no role is known for 'key' of 3 axes"),
    ("embed_positions.pe_k.weight", (320, 64), "its name says attention_input by 'k', but only"),
    ("layers.0.conv.in_proj.weight", (6, 2), "by 'in proj', but only behind one of attn, "),
    ("layers.0.conv.out_proj.weight", (6, 2), "by 'out proj', but only behind one of attn, "),
    ("attn.q_proj.linear.weight", (8, 8), "says linear by 'linear', but not behind attn"),
    ("attention.post_proj.weight", (8, 8), "says linear by 'proj', but not behind attention"),
    ("x.norm.kernel", (3, 3, 4, 8), "no role is known for 'norm' of 4 axes"),
    ("x.norm.weight", (3, 3, 4, 8), "its name says norm by 'norm', which cannot have 4 axes"),
    (
        "layer.0.rel_attn.r_w_bias",
        (16, 64),
        "its name says bias by 'bias', which cannot have 2 axes",
    ),
    ("attention_biases", (4, 196), "its name says bias by 'biases', which cannot have 2 axes"),
    ("self_attn.pos_bias_v", (16, 64), "says embedding by 'bias v', which cannot have 2 axes"),
    ("classifier.1.weight", (4096, 9216), "by 'classifier', and it does not show which"),
    ("classifier.6.weight", (1000, 4096), "not show which of the numbered layers is the last"),
    ("head.head.2.weight", (64, 64, 3, 3), "by 'head', and it does not show which"),
    ("decoder.lm_heads.0.weight", (64, 32), "no role is known for 'heads' of 2 axes"),
    ("bbox_predictor.layers.0.weight", (8, 8), "no role is known for 'layers' of 2 axes"),
    ("input_embeds_layers.0.weight", (64, 8), "no role is known for 'layers' of 2 axes"),
    ("self_attn.output_gate.weight", (64, 64), "no role is known for 'gate' of 2 axes"),
    ("iou_prediction_head.proj_out.weight", (4, 8), "no role is known for 'out' of 2 axes"),
    ("stages.0.0.gamma", (96,), "no role is known for 'stages' of 1 axis"),
    ("gamma", (96,), "no role is known for 'gamma' of 1 axis"),
    ("weight", (8,), "no role is known for 'weight' of 1 axis"),
    ("weight", (1,), "no role is known for 'weight' of 1 axis"),
    ("0.weight", (8, 4, 3), "no role is known for 'weight' of 3 axes"),
    ("", (8, 4), "no role is known for '' of 2 axes"),
    ("12", (8, 4), "no role is known for '12' of 2 axes"),
    ("moe.w1.weight", (8, 4, 4), "its name says linear by 'w1', which cannot have 3 axes"),
    ("fc1.weight", (8,), "its name says linear by 'fc1', which cannot have 1 axis"),
    ("h.0.attn.bias", (1, 1, 8, 8), "its name says bias by 'bias', which cannot have 4 axes"),
    ("wte.weight", (), "its name says embedding by 'wte', which cannot have 0 axes"),
]


@pytest.mark.parametrize(("name", "shape", "words"), SPECIAL + UNKNOWN)
def test_a_role_that_cannot_be_told_is_an_error_that_says_what_was_read(name, shape, words):
    with pytest.raises(ValueError, match=words) as caught:
        chosen(name, shape, "relu")
    message = str(caught.value)
    assert message.startswith(f"tensor {name!r} " if name else "shape ")
    assert message.endswith(f"give role=, one of {', '.join(roles.AXES)}, or name a scheme")


@pytest.mark.parametrize(
    ("role", "name", "shape", "words"),
    [
        ("linear", "a.b", (2, 3, 4), "'a.b' .*has 3 axes: the role linear needs 2, or 3 where the"),
        ("linear", "a.b", (2,), "has 1 axis: the role linear needs 2"),
        ("convolution", "a.b", (2, 3), "the role convolution needs 3, 4, 5; give another role"),
        ("norm", "a.b", (), "the role norm needs 1 or more; give another role, or name a scheme"),
        ("recurrent", "experts.b", (2, 3, 4), "the role recurrent needs 2; give"),
    ],
)
def test_a_given_role_must_fit_the_axes(role, name, shape, words):
    with pytest.raises(ValueError, match=words):
        chosen(name, shape, role=role)


# --- frameworks ------------------------------------------------------------------------------

LAYER = {"num_hidden_layers": 1}
MODELS = [  # with the parameters that only their code explains
    ("GPT2LMHeadModel", {"n_layer": 1}, ""),
    ("LlamaForCausalLM", LAYER, ""),
    ("MixtralForCausalLM", LAYER, ""),
    ("Qwen3MoeForCausalLM", LAYER, ""),
    ("GptOssForCausalLM", LAYER, r"\.sinks$"),
    ("Llama4ForCausalLM", LAYER, ""),
    ("JambaForCausalLM", {"num_hidden_layers": 8}, r"\.(A_log|D|dt_proj\..*)$"),
    ("GemmaForCausalLM", LAYER, ""),
    ("CLIPModel", {}, "^logit_scale$"),
    (
        "SamModel",
        {},
        r"upscale_conv.\.w|_tokens?\.w|final_attn\.w|proj_(in|out)\.w|head\.layers\.[0-9]+\.w",
    ),
    ("DeepseekV3ForCausalLM", {"num_hidden_layers": 4}, ""),
    ("FalconForCausalLM", LAYER, ""),
    ("PhiForCausalLM", LAYER, ""),
    ("MambaForCausalLM", LAYER, r"\.(A_log|D|dt_proj\..*)$"),
    ("BambaForCausalLM", LAYER, r"\.(A_log|D|dt_bias)$"),
    ("RwkvForCausalLM", LAYER, r"\.time_|receptance"),
    ("BertForPreTraining", LAYER, ""),
    ("DebertaV2ForMaskedLM", LAYER, ""),
    ("T5ForConditionalGeneration", {"num_layers": 1}, ""),
    ("ViTForImageClassification", LAYER, ""),
    ("WhisperForConditionalGeneration", {"encoder_layers": 1, "decoder_layers": 1}, ""),
    ("ResNetForImageClassification", {}, r"^classifier\.1\.weight$"),
]
LAYOUTS = {"GPT2LMHeadModel": "keras"}  # (in, out) all over
STACKS = {"GptOssForCausalLM": "keras", "Llama4ForCausalLM": "keras"}  # only its experts


@pytest.mark.frameworks
@pytest.mark.parametrize(("model", "sizes", "unknown"), MODELS, ids=[row[0] for row in MODELS])
def test_every_parameter_of_a_real_model_has_a_role(model, sizes, unknown, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = getattr(pytest.importorskip("transformers"), model)
    with torch.device("meta"):
        built = made(made.config_class(**sizes))
    found = 0
    for name, parameter in built.named_parameters():
        shape = tuple(parameter.shape)
        if unknown and re.search(unknown, name):
            with pytest.raises(ValueError, match="give role=, one of "):
                roles.read(name, shape)
            continue
        role = roles.read(name, shape).role
        module = type(_module(built, name)).__name__
        assert ("bias" in name.split(".")[-1]) == (role == "bias"), name
        assert (module != "Embedding") or role in ("embedding", "position"), name
        assert ("Norm" in module) == (role == "norm") or role == "bias", name
        stacked = "experts" in name and len(shape) == 3
        layout = STACKS.get(model, "torch") if stacked else LAYOUTS.get(model)
        chosen(name, shape, "gelu", layers=1, layout=layout).distribution(shape)
        found += 1
    assert found > 6


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
