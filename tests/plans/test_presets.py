# SPDX-License-Identifier: MIT
"""The presets: published totals, literal names and shapes, what is left out, and their text.

Comparisons with transformers' own classes are in tests/hugging_face/test_preset_models.py.
"""

import re
from importlib import resources
from pathlib import Path

import pytest

from fastinit.plans import plan, presets
from fastinit.schemes import scheme

PARAMETERS = {
    "deepseek-v3": 671_026_419_200,
    "gpt-oss-120b": 116_829_156_672,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "llama-3-70b": 70_553_706_496,
    "llama-3-8b": 8_030_261_248,
    "mamba2-2.7b": 2_702_599_680,
    "mixtral-8x7b": 46_702_792_704,
    "t5-base": 222_903_552,
    "vit-base-patch16-224": 86_567_656,
    "whisper-large-v3": 1_543_490_560,
}
TENSORS = {
    "deepseek-v3": 45_395,
    "gpt-oss-120b": 615,
    "gpt2": 148,
    "gpt2-xl": 580,
    "llama-3-70b": 723,
    "llama-3-8b": 291,
    "mamba2-2.7b": 578,
    "mixtral-8x7b": 995,
    "t5-base": 257,
    "vit-base-patch16-224": 200,
    "whisper-large-v3": 1_259,
}


def test_every_preset_is_tested():
    assert presets() == tuple(sorted(PARAMETERS))


@pytest.mark.parametrize("name", presets())
def test_a_preset_has_the_published_number_of_parameters(name):
    assert plan(name).parameters == PARAMETERS[name]
    assert len(plan(name)) == TENSORS[name]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("deepseek-v3", 2 * 671_026_419_200 + 2 * 58 * 256 * (7168 + 1)),  # routers in float32
        ("gpt-oss-120b", 2 * 116_829_156_672),
        ("gpt2", 4 * 124_439_808),
        ("gpt2-xl", 4 * 1_557_611_200),
        ("llama-3-70b", 2 * 70_553_706_496),
        ("llama-3-8b", 2 * 8_030_261_248),
        ("mamba2-2.7b", 2 * 2_702_599_680),
        ("mixtral-8x7b", 2 * 46_702_792_704),
        ("t5-base", 4 * 222_903_552),
        ("vit-base-patch16-224", 4 * 86_567_656),
        ("whisper-large-v3", 2 * 1_543_490_560),
    ],
)
def test_a_preset_has_the_dtype_of_its_hub_checkpoint(name, size):
    assert plan(name).size() == size


@pytest.mark.parametrize(
    ("name", "tensor", "shape", "init"),
    [
        ("gpt2", "wte.weight", (50257, 768), "normal(std=0.02)"),
        ("gpt2", "wpe.weight", (1024, 768), "normal(std=0.02)"),
        ("gpt2", "h.0.attn.c_attn.weight", (768, 2304), "normal(std=0.02)"),
        ("gpt2", "h.11.attn.c_proj.weight", (768, 768), "normal(std=0.02/sqrt(24))"),
        ("gpt2", "h.11.mlp.c_fc.weight", (768, 3072), "normal(std=0.02)"),
        ("gpt2", "h.11.mlp.c_proj.weight", (3072, 768), "normal(std=0.02/sqrt(24))"),
        ("gpt2", "h.5.ln_1.weight", (768,), "ones()"),
        ("gpt2", "h.5.mlp.c_fc.bias", (3072,), "zeros()"),
        ("gpt2", "ln_f.bias", (768,), "zeros()"),
        ("gpt2-xl", "h.47.mlp.c_proj.weight", (6400, 1600), "normal(std=0.02/sqrt(96))"),
        ("llama-3-8b", "model.embed_tokens.weight", (128256, 4096), "normal(std=0.02)"),
        ("llama-3-8b", "model.layers.31.self_attn.k_proj.weight", (1024, 4096), "normal(std=0.02)"),
        ("llama-3-8b", "model.layers.0.mlp.down_proj.weight", (4096, 14336), "normal(std=0.02)"),
        ("llama-3-8b", "model.norm.weight", (4096,), "ones()"),
        ("llama-3-8b", "lm_head.weight", (128256, 4096), "normal(std=0.02)"),
        (
            "mixtral-8x7b",
            "model.layers.31.block_sparse_moe.gate.weight",
            (8, 4096),
            "normal(std=0.02)",
        ),
        (
            "mixtral-8x7b",
            "model.layers.0.block_sparse_moe.experts.7.w2.weight",
            (4096, 14336),
            "normal(std=0.02)",
        ),
        ("mixtral-8x7b", "lm_head.weight", (32000, 4096), "normal(std=0.02)"),
        ("llama-3-70b", "model.layers.79.mlp.down_proj.weight", (8192, 28672), "normal(std=0.02)"),
        ("deepseek-v3", "model.layers.2.mlp.up_proj.weight", (18432, 7168), "normal(std=0.02)"),
        ("deepseek-v3", "model.layers.3.mlp.gate.weight", (256, 7168), "normal(std=0.02)"),
        ("deepseek-v3", "model.layers.3.mlp.gate.e_score_correction_bias", (256,), "zeros()"),
        (
            "deepseek-v3",
            "model.layers.60.mlp.experts.255.down_proj.weight",
            (7168, 2048),
            "normal(std=0.02)",
        ),
        (
            "deepseek-v3",
            "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
            (576, 7168),
            "normal(std=0.02)",
        ),
        (
            "gpt-oss-120b",
            "model.embed_tokens.weight",
            (201088, 2880),
            "parts(normal(std=0.02), '199999:200000, 0:2880', zeros())",
        ),
        ("gpt-oss-120b", "model.layers.35.self_attn.sinks", (64,), "normal(std=0.02)"),
        ("gpt-oss-120b", "model.layers.0.mlp.router.bias", (128,), "normal(std=0.02)"),
        (
            "gpt-oss-120b",
            "model.layers.0.mlp.experts.gate_up_proj",
            (128, 2880, 5760),
            "normal(std=0.02)",
        ),
        (
            "vit-base-patch16-224",
            "vit.embeddings.position_embeddings",
            (1, 197, 768),
            "truncated_normal(std=0.02, low=-100, high=100)",
        ),
        (
            "vit-base-patch16-224",
            "vit.encoder.layer.11.attention.attention.query.weight",
            (768, 768),
            "normal(std=0.02)",
        ),
        ("t5-base", "shared.weight", (32128, 768), "normal()"),
        (
            "t5-base",
            "decoder.block.11.layer.1.EncDecAttention.q.weight",
            (768, 768),
            "normal(std=1/sqrt(768*64))",
        ),
        (
            "t5-base",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            (32, 12),
            "normal(std=1/sqrt(768))",
        ),
        (
            "whisper-large-v3",
            "model.encoder.embed_positions.weight",
            (1500, 1280),
            "sinusoid('halves', endpoint=True)",
        ),
        ("whisper-large-v3", "model.encoder.conv1.weight", (1280, 128, 3), "normal(std=0.02)"),
        ("mamba2-2.7b", "backbone.embeddings.weight", (50288, 2560), "normal(std=0.1)"),
        ("mamba2-2.7b", "backbone.layers.63.mixer.A_log", (80,), "log_arange()"),
        (
            "mamba2-2.7b",
            "backbone.layers.0.mixer.in_proj.weight",
            (10576, 2560),
            "normal(std=0.1)",
        ),
    ],
)
def test_a_tensor_has_the_shape_and_init_of_its_source(name, tensor, shape, init):
    found = plan(name)[tensor]
    assert found.shape == shape
    assert found.scheme == scheme(init)


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl"])
def test_gpt2_holds_neither_the_tied_head_nor_the_masks(name):
    assert "lm_head.weight" not in plan(name)
    assert "h.0.attn.bias" not in plan(name)
    assert "h.0.attn.masked_bias" not in plan(name)


def test_the_tied_embeddings_are_held_once():
    assert "lm_head.weight" not in plan("t5-base")
    assert "encoder.embed_tokens.weight" not in plan("t5-base")
    assert "proj_out.weight" not in plan("whisper-large-v3")
    assert "lm_head.weight" not in plan("mamba2-2.7b")


def test_deepseek_has_no_layer_for_multi_token_prediction():
    """The hub's index has 91,991 names: these, 45,032 scales, and 1,564 of that layer."""
    found = plan("deepseek-v3")
    assert found.config["num_nextn_predict_layers"] == 0
    assert not [tensor.name for tensor in found if tensor.name.startswith("model.layers.61.")]
    linear = [t for t in found if "_proj" in t.name]
    assert len(found) + len(linear) + 1_564 == 91_991


def test_the_table_of_the_page_has_every_preset_and_its_figures():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "plans.md").read_text("utf-8")
    rows = dict(re.findall(r"(?m)^\| `([^`]+)` \| .+ \| .+/.+ \| (.+ \| .+ \| \w+) \|$", page))
    assert {name: rows.get(name) for name in presets()} == {
        name: f"{PARAMETERS[name]:,} | {TENSORS[name]:,} | {plan(name).dtype or 'float32'}"
        for name in presets()
    }


@pytest.mark.parametrize("name", presets())
def test_the_first_line_of_a_preset_names_its_source_and_no_line_is_long(name):
    """The dtype, the sizes and the names are what a reader looks for."""
    text = (resources.files("fastinit.plans") / "presets" / f"{name}.toml").read_text("utf-8")
    assert re.match(r"# .+ \(.+ \d{4}", text)
    assert "# Names and shapes: " in text
    assert "# Inits: transformers' " in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", presets())
def test_the_dtype_of_config_is_left_to_the_writer(name):
    assert not {"dtype", "torch_dtype"} & plan(name).config.keys()
