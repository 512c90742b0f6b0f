# SPDX-License-Identifier: MIT
"""Vision and diffusion models' own code beside the rows of docs/frameworks.md about it.

Each test builds modules of the original and compares their tensors with the schemes in the page's
rows (originals.py says how).
"""

from __future__ import annotations

import pytest
from originals import SEED, assert_rows, built, matrices, named, original, titan

pytestmark = pytest.mark.frameworks

D = 192


@pytest.fixture(scope="module")
def timm():
    return original("timm", "timm")


def model_of(torch, timm, name, **given):
    return built(torch, lambda: timm.create_model(name, **given))


# --- timm ------------------------------------------------------------------------------------


def test_timms_vit(torch, timm):
    model = model_of(
        torch, timm, "vit_tiny_patch16_224", depth=2, reg_tokens=4, init_values=1e-5, num_classes=99
    )
    default = timm.models.vision_transformer.LayerScale(D)
    rows = {
        "linear layers, pos_embed": matrices(model, without=("patch_embed", "token")),
        "cls_token, reg_token": [model.cls_token, model.reg_token],
        "patch_embed.proj": [model.patch_embed.proj.weight],
        "LayerScale, the class's default": [default.gamma, *named(model, "ls1", "ls2")],
    }
    assert_rows("timm ViT", rows)
    bias = {"patch_embed.proj, bias": [model.patch_embed.proj.bias]}
    assert_rows("timm ViT", bias, fan_in=3 * 16 * 16)


def test_timms_vit_in_jax_mode(torch, timm):
    model = model_of(
        torch, timm, "vit_tiny_patch16_224", depth=2, weight_init="jax", num_classes=99
    )
    rows = {
        "linear layers": matrices(model, without=("patch_embed", "token", "pos_embed", "head")),
        "biases of the MLP": named(model, "fc1.bias", "fc2.bias"),
        "head": [model.head.weight, model.head.bias],
        "patch_embed.proj": [model.patch_embed.proj.weight],
    }
    assert_rows("timm ViT, jax mode", rows)


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "eva02_tiny_patch14_224"])
def test_timms_beit_and_eva(torch, timm, name):
    model = model_of(torch, timm, name, depth=2, embed_dim=D, num_heads=3, num_classes=99)
    narrow = ("attn.proj.weight", "fc2.weight")
    apart = (*narrow, "patch_embed", "relative_position", "head")
    rows = {"linear layers, pos_embed, cls_token": matrices(model, without=apart)}
    if "beit" in name:
        rows["head"] = [model.head.weight]
        rows["gamma_1, gamma_2 of the base model"] = named(model, "gamma_")
    assert_rows("timm BEiT", rows)
    for layer, block in enumerate(model.blocks):
        assert_rows("timm BEiT", {"attn.proj, mlp.fc2": named(block, *narrow)}, l=layer)


def test_the_layer_scale_of_timms_deit_3_is_convnexts(torch, timm):
    model = model_of(torch, timm, "deit3_small_patch16_224", depth=1)
    assert_rows("timm ConvNeXt", {"gamma": named(model, "ls1", "ls2")})


def test_timms_convnext(torch, timm):
    model = model_of(
        torch, timm, "convnext_tiny", depths=(1, 1, 1, 1), dims=(48, 96, 96, 96), num_classes=99
    )
    rows = {"convolutions, linear layers": matrices(model), "gamma": named(model, "gamma")}
    assert_rows("timm ConvNeXt", rows)


@pytest.mark.parametrize(("name", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_timms_resnet(torch, timm, name, last):
    model = model_of(torch, timm, name, layers=(1, 1, 1, 1), num_classes=99)
    rows = {
        "convolutions": matrices(model, without=("fc.",)),
        "weight of each block's last norm": [
            layer.weight for part, layer in model.named_modules() if part.endswith(f".0.{last}")
        ],
        "fc": [model.fc.weight],
    }
    assert_rows("timm ResNet", rows)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv3_small_100"])
def test_timms_efficientnet(torch, timm, name):
    model = model_of(torch, timm, name, num_classes=99)
    groups = set()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.weight.numel() >= 96:
            groups.add(layer.groups)
            rows = {"convolutions": [layer.weight]}
            assert_rows("timm EfficientNet", rows, groups=layer.groups)
    assert max(groups) > 100
    assert_rows("timm EfficientNet", {"classifier": [model.classifier.weight]}, out=99)


# --- CLIP ------------------------------------------------------------------------------------

LAYERS = 3


def test_the_text_model_of_open_clip(torch):
    transformer = original("open_clip_torch", "open_clip.transformer")
    model = built(
        torch,
        lambda: transformer.TextTransformer(
            vocab_size=300, context_length=77, width=128, heads=4, layers=LAYERS, output_dim=96
        ),
    )
    rows = {
        "token_embedding": [model.token_embedding.weight],
        "positional_embedding": [model.positional_embedding],
        "attn.in_proj, text_projection": [*named(model, "in_proj_weight"), model.text_projection],
        "attn.out_proj, mlp.c_proj": named(model, "out_proj.weight", "c_proj.weight"),
        "mlp.c_fc": named(model, "c_fc.weight"),
    }
    assert_rows("CLIP", rows, d=128, L=LAYERS)


def test_clip_of_transformers_exchanges_two_of_attentions_stds(torch):
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=300,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
    )
    model = built(torch, lambda: transformers.CLIPTextModel(config))
    rows = {
        "token_embedding, position_embedding": named(model, "embedding.weight"),
        "q_proj, k_proj, v_proj, fc2": named(
            model, "q_proj.w", "k_proj.w", "v_proj.w", "fc2.weight"
        ),
        "out_proj": named(model, "out_proj.weight"),
        "fc1": named(model, "fc1.weight"),
    }
    assert_rows("CLIP, transformers", rows, d=128, L=LAYERS)


# --- diffusion -------------------------------------------------------------------------------


def test_a_controlnet_of_diffusers_ends_in_zeros(torch):
    diffusers = original("diffusers", "diffusers")
    model = built(
        torch,
        lambda: diffusers.ControlNetModel(
            block_out_channels=(32, 32),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=32,
            attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        ),
    )
    outputs = named(
        model, "controlnet_down_blocks", "controlnet_mid_block", "cond_embedding.conv_o"
    )
    assert len(outputs) == 2 * 6  # weights and biases
    row = "last convolution of a branch, ControlNet's outputs"
    assert_rows("zero modules", {row: outputs})
    assert all(tensor.any() for tensor in named(model, "conv1.weight"))


def test_flux_of_torchtitan(torch):
    block = "double_blocks.0"
    parts = ("img_in", "time_in", "vector_in", f"{block}.img_attn.proj", f"{block}.img_mod")
    found = titan(torch, "flux", "flux-debug", *parts, "final_layer")
    of = {
        part: [value for name, value in found.items() if name.startswith(part)]
        for part in (*parts, "final_layer")
    }
    wide = [*of["img_in"], *of[f"{block}.img_attn.proj"]]
    embedders = [*of["time_in"], *of["vector_in"]]
    rows = {
        "linear layers": [tensor for tensor in wide if tensor.dim() > 1],
        "time_in, vector_in": [tensor for tensor in embedders if tensor.dim() > 1],
        "modulations, final_layer": [*of[f"{block}.img_mod"], *of["final_layer"]],
    }
    assert_rows("Flux", rows)


def test_dit_in_the_lines_of_its_rule(torch):
    """facebookresearch/DiT is not on the package index: its rule, on layers of its shapes."""
    torch.manual_seed(SEED)
    linear, patches = torch.nn.Linear(64, 256), torch.nn.Conv2d(4, 128, 2)
    modulation, table = torch.nn.Linear(64, 6 * 64), torch.nn.Embedding(300, 64)
    torch.nn.init.xavier_uniform_(linear.weight)
    flat = torch.nn.init.xavier_uniform_(patches.weight.data.view(128, -1))
    torch.nn.init.normal_(table.weight, std=0.02)
    torch.nn.init.constant_(modulation.weight, 0)
    rows = {
        "linear layers, patch embedding as a matrix": [linear.weight, flat],
        "y_embedder, t_embedder": [table.weight],
        "last linear layer of each adaLN modulation, final_layer": [modulation.weight],
    }
    assert_rows("DiT", rows)


# --- ViT-JAX ---------------------------------------------------------------------------------


def test_vit_jax_in_flaxs_layers(jax):
    """Its repository is not on the package index: Flax's layers with its initialisers."""
    linen = original("flax", "flax.linen")
    xavier = linen.initializers.xavier_uniform()
    key = jax.random.key(SEED)
    attention = linen.MultiHeadDotProductAttention(4, kernel_init=xavier)
    inputs = jax.numpy.ones((1, 3, 128))
    found = jax.jit(attention.init)(key, inputs, inputs)["params"]
    dense = linen.Dense(256, kernel_init=xavier, bias_init=linen.initializers.normal(1e-6))
    mlp = jax.jit(dense.init)(key, inputs)["params"]
    patch = jax.jit(linen.Conv(64, (8, 8)).init)(key, jax.numpy.ones((1, 8, 8, 3)))["params"]
    assert found["query"]["kernel"].shape == (128, 4, 32)
    heads = [found[name]["kernel"] for name in ("query", "key", "value")]
    rows = {
        "attention, kernel (width, heads, head)": heads,
        "MLP": [mlp["kernel"]],
        "biases of the MLP": [mlp["bias"]],
        "embedding, a convolution": [patch["kernel"]],
        "pos_embedding": [linen.initializers.normal(0.02)(key, (1, 65, 128))],
    }
    assert_rows("ViT-JAX", rows)
