# SPDX-License-Identifier: MIT
"""The presets: totals, literal names and shapes, and the real model classes of transformers."""

import json
import math
import re
from importlib import resources

import pytest

from fastinit.expressions import parse_call
from fastinit.plans import plan, presets
from fastinit.plans.toml import read_toml
from fastinit.schemes import scheme

PARAMETERS = {
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "llama-3-8b": 8_030_261_248,
    "mixtral-8x7b": 46_702_792_704,
}
TENSORS = {"gpt2": 148, "gpt2-xl": 580, "llama-3-8b": 291, "mixtral-8x7b": 995}

# Models that take no time to build: keys of the presets' [sizes] and [config] that go together.
TOKENS = {"vocab|vocab_size": 640, "bos_token_id": 1, "eos_token_id": 2}
TINY_GPT = {
    **TOKENS,
    "positions|n_positions|n_ctx": 160,
    "width|n_embd": 64,
    "layers|n_layer": 3,
    "n_head": 4,
}
TINY_LLAMA = {
    **TOKENS,
    "width|hidden_size": 64,
    "hidden|intermediate_size": 96,
    "layers|num_hidden_layers": 3,
    "heads|num_attention_heads": 4,
    "key_value_heads|num_key_value_heads": 2,
}
TINY = {
    "gpt2": TINY_GPT,
    "gpt2-xl": TINY_GPT,
    "llama-3-8b": TINY_LLAMA,
    "mixtral-8x7b": {**TINY_LLAMA, "experts|num_local_experts": 4},
}


def tiny(name):
    """The plan of a preset with other sizes."""
    text = (resources.files("fastinit.plans") / "presets" / f"{name}.toml").read_text("utf-8")
    for keys, size in TINY[name].items():
        text, changed = re.subn(rf"(?m)^({keys}) = \d+$", rf"\1 = {size}", text)
        assert changed == len(keys.split("|")), keys
    return read_toml(text, name)


def test_every_preset_is_tested():
    assert presets() == tuple(sorted(PARAMETERS))


@pytest.mark.parametrize("name", presets())
def test_a_preset_has_the_published_number_of_parameters(name):
    assert plan(name).parameters == PARAMETERS[name]
    assert len(plan(name)) == TENSORS[name]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("gpt2", 4 * 124_439_808),
        ("gpt2-xl", 4 * 1_557_611_200),
        ("llama-3-8b", 2 * 8_030_261_248),
        ("mixtral-8x7b", 2 * 46_702_792_704),
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


@pytest.mark.parametrize("name", presets())
def test_the_dtype_of_config_is_left_to_the_writer(name):
    assert not {"dtype", "torch_dtype"} & plan(name).config.keys()


def model_of(config, device):
    """The real model of a config, with the values of its own init unless `device` is meta."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    with torch.device(device):
        config = transformers.AutoConfig.for_model(**config)
        return transformers.AutoModelForCausalLM.from_config(config)


def hub_name(name):
    """The name on the hub of a parameter in memory; for stacked experts, that of the first."""
    name = name.removeprefix("transformer.").replace(".mlp.gate.", ".block_sparse_moe.gate.")
    return re.sub(r"\.mlp\.experts\.\w+$", ".block_sparse_moe.experts.0.w1.weight", name)


@pytest.mark.frameworks
@pytest.mark.parametrize("name", presets())
def test_names_shapes_and_order_are_those_of_the_real_model(name):
    """Of experts only the sum: transformers 5 stacks them in memory and renames them on load."""
    model = model_of(plan(name).config, "meta")
    real = [(hub_name(key), tuple(value.shape)) for key, value in model.named_parameters()]
    mine = [(tensor.name, tensor.shape) for tensor in plan(name)]
    assert without_experts(mine) == without_experts(real)
    assert plan(name).parameters == sum(value.numel() for value in model.parameters())


def without_experts(rows):
    return [(name, shape) for name, shape in rows if ".experts." not in name]


@pytest.mark.frameworks
@pytest.mark.parametrize("name", presets())
def test_a_checkpoint_of_these_names_loads_without_missing_or_unexpected_keys(name, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    model = tiny(name)
    values = {tensor.name: torch.full(tensor.shape, 0.5) for tensor in model}
    safetensors.save_file(values, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(model.config))
    loaded, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values()), report
    assert all(bool((value == 0.5).all()) for value in loaded.parameters())


@pytest.mark.frameworks
@pytest.mark.parametrize("name", presets())
def test_the_inits_are_those_of_the_real_model(name):
    """Constants exactly; deviations within 6 standard errors, about one failure in 10**6 seeds."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(20190214)
    mine = tiny(name)
    for key, value in model_of(mine.config, "cpu").named_parameters():
        function, _, arguments = parse_call(str(mine[hub_name(key)].scheme))
        if function == "normal":
            error = 6 / math.sqrt(2 * value.numel())
            assert value.std().item() == pytest.approx(arguments["std"], rel=error), key
        else:
            assert torch.equal(value, getattr(torch, function)(value.shape)), key
