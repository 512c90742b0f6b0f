# SPDX-License-Identifier: MIT
"""Code bases that train language models beside the rows of docs/frameworks.md about them.

Each test builds modules of the original and compares their tensors with the schemes in the page's
rows (originals.py says how, and how often that fails by chance).  transformers is in
test_framework_transformers.py, rules of depth and width in test_framework_rules.py, vision in
test_framework_vision.py.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from framework_page import rule
from originals import (
    SEED,
    assert_rows,
    assert_starts_as,
    drawn,
    matrices,
    named,
    original,
    titan,
)

pytestmark = pytest.mark.frameworks

D, FF, HEADS, LAYERS, ROWS = 128, 256, 4, 3, 300


# --- Megatron, litgpt ------------------------------------------------------------------------


def test_megatrons_init_methods(torch):
    utils = original("megatron-core", "megatron.core.utils")
    scaled = utils.scaled_init_method_normal
    assert_rows(
        "Megatron-LM",
        {
            "all but the next": [drawn(torch, utils.init_method_normal(0.01))],
            "linear_proj, linear_fc2": [drawn(torch, scaled(0.01, LAYERS))],
            "linear_proj, linear_fc2 of hybrid models": [drawn(torch, scaled(0.01, LAYERS, 1.0))],
        },
        std=0.01,
        L=LAYERS,
    )


def test_litgpt(torch):
    """It narrows the outputs of two classes, and not of `GptNeoxMLP` and latent attention."""
    pretrain = original("litgpt", "litgpt.pretrain")
    common = {"n_layer": 2, "n_embd": D, "n_head": HEADS, "padded_vocab_size": ROWS}

    def model(**given):
        made = pretrain.GPT(pretrain.Config(**common, **given))
        fabric = type("Fabric", (), {"strategy": None})
        torch.manual_seed(SEED)
        pretrain.initialize_weights(fabric, made, n_layer=2, n_embd=D)
        return made

    llama = model(mlp_class_name="LLaMAMLP", intermediate_size=FF)
    neox = model(mlp_class_name="GptNeoxMLP", intermediate_size=FF)
    narrow, wide = "proj of `LLaMAMLP` and `CausalSelfAttention`", "all but the next"
    assert_rows(
        "litgpt",
        {
            wide: matrices(llama, without=(".proj.",)) + named(neox, "mlp.proj.weight"),
            narrow: named(llama, ".proj.weight") + named(neox, "attn.proj.weight"),
        },
        d=D,
        L=2,
    )


def test_litgpts_latent_attention_keeps_small_init(torch):
    pretrain = original("litgpt", "litgpt.pretrain")
    latent = {"q_lora_rank": 64, "kv_lora_rank": 64, "qk_rope_head_dim": 16}
    latent |= {"qk_nope_head_dim": 16, "v_head_dim": 32}
    config = pretrain.Config(
        n_layer=1,
        n_embd=D,
        n_head=HEADS,
        padded_vocab_size=ROWS,
        mlp_class_name="LLaMAMLP",
        intermediate_size=FF,
        latent_attention=latent,
    )
    model = pretrain.GPT(config)
    torch.manual_seed(SEED)
    pretrain.initialize_weights(type("Fabric", (), {"strategy": None}), model, 1, D)
    assert_rows("litgpt", {"all but the next": named(model, "attn.proj.weight")}, d=D)


# --- torchtitan ------------------------------------------------------------------------------


def of(found, *ends):
    """The tensors whose names end so."""
    picked = [tensor for name, tensor in found.items() if name.endswith(ends)]
    assert len(picked) >= len(ends)
    return picked


def test_llama_3_of_torchtitan(torch):
    found = titan(
        torch, "llama3", "debugmodel", "tok_embeddings", "layers.2", "lm_head", attn_backend="flex"
    )
    assert_rows(
        "torchtitan",
        {
            "embedding": of(found, "tok_embeddings.weight"),
            "wq, wk, wv, w1": of(found, "wqkv.weight", "w1.weight"),
            "wo, w2, w3, DeepSeek's router": of(found, "wo.weight", "w2.weight", "w3.weight"),
            "output": of(found, "lm_head.weight"),
        },
        l=2,
        d=256,
    )


def test_deepseek_v3_of_torchtitan(torch):
    backends = {"attn_backend": "flex", "moe_comm_backend": "standard"}
    found = titan(torch, "deepseek_v3", "debugmodel", "layers.1", **backends)
    narrow = of(found, "wo.weight", "w2_EDF", "w3_EFD", "router.gate.weight", "experts.w3.weight")
    assert_rows(
        "torchtitan",
        {
            "wq, wk, wv, w1": of(found, "wq.weight", "wkv_a.weight", "wkv_b.weight", "w1_EFD"),
            "wo, w2, w3, DeepSeek's router": narrow,
        },
        l=1,
    )


def test_gpt_oss_of_torchtitan(torch):
    parts = ("tok_embeddings", "layers.1.attention", "layers.1.moe.router", "lm_head")
    found = titan(torch, "gpt_oss", "debugmodel", *parts, moe_comm_backend="standard")
    experts = titan(
        torch,
        "gpt_oss",
        "debugmodel",
        "layers.1.moe.routed_experts.inner_experts",
        moe_comm_backend="standard",
    )
    inner = of(found, "wqkv.weight", "wo.weight", "gate.weight")
    assert_rows(
        "torchtitan GPT-OSS",
        {
            "embedding": of(found, "tok_embeddings.weight"),
            "all of a block, with the experts' biases and the sinks": [
                *inner,
                *of(experts, "mlp1_weight_EGD", "mlp1_bias_EG", "mlp2_bias_ED"),
            ],
            "output": of(found, "lm_head.weight"),
        },
        l=1,
        d=256,
    )
    assert len(of(found, "sinks")[0].unique()) == 64  # too few values to test their scale


def test_qwen_3_of_torchtitan(torch):
    plain = titan(torch, "qwen3", "debugmodel", "layers.0", attn_backend="flex")
    parts = ("layers.0.attention", "layers.0.moe.router")
    mixture = titan(torch, "qwen3", "debugmodel_moe", *parts, attn_backend="flex")
    assert_rows(
        "torchtitan Qwen 3",
        {
            "all but the next": [
                *of(plain, "wqkv.weight", "wo.weight", "w1.weight", "w2.weight", "w3.weight"),
                *of(mixture, "wqkv.weight", "gate.weight"),
            ],
            "wo, w2 of its mixtures of experts": of(mixture, "wo.weight"),
        },
        L=8,
    )


# --- OLMo-core -------------------------------------------------------------------------------

BLOCK = {"d_model": D, "block_idx": 1, "num_blocks": LAYERS, "std": 0.03}


def olmo(torch, method, **given):
    """What one method of OLMo-core makes of one block, an embedding and a head, by name."""
    init = original("ai2-olmo-core", "olmo_core.nn.transformer.init").InitMethod(method)
    attention = original("ai2-olmo-core", "olmo_core.nn.attention").Attention(
        d_model=D, n_heads=HEADS
    )
    feed_forward = original("ai2-olmo-core", "olmo_core.nn.feed_forward").FeedForward(
        d_model=D, hidden_size=FF
    )
    embedding, head = torch.nn.Embedding(ROWS, D), torch.nn.Linear(D, ROWS)
    torch.manual_seed(SEED)
    init.init_embeddings(embedding, **{"d_model": D, "std": 0.03, **given})
    init.init_final_w_out(head, d_model=D, std=0.03)
    init.init_attention(attention, **BLOCK)
    init.init_feed_forward(feed_forward, **BLOCK)
    return {
        "embedding": [embedding.weight],
        "head": [head.weight],
        "out": [attention.w_out.weight, feed_forward.w2.weight],
        "w3": [feed_forward.w3.weight],
        "in": [*named(attention, "w_q.w", "w_k.w", "w_v.w"), feed_forward.w1.weight],
    }


def test_olmo_core_normal(torch):
    found = olmo(torch, "normal")
    everything = [tensor for tensors in found.values() for tensor in tensors]
    assert_rows("OLMo-core normal", {"all": everything}, std=0.03)


@pytest.mark.parametrize("method", ["llama", "llama_depth"])
def test_olmo_core_llama(torch, method):
    found = olmo(torch, method, std=0.5)  # an embedding_init_std, which they ignore
    outputs = {"w_out, w2, w3, experts, router": found["out"] + found["w3"]}
    if method == "llama_depth":
        assert_rows("OLMo-core llama_depth", outputs, std=0.03, l=1)
        outputs = {}
    common = {"embedding": found["embedding"], "head": found["head"], "q, k, v, w1": found["in"]}
    assert_rows("OLMo-core llama", common | outputs, std=0.03, d=D, L=LAYERS)


def test_sinks_of_olmo_core_are_plain_normals_of_the_outputs_std(torch):
    init = original("ai2-olmo-core", "olmo_core.nn.transformer.init").InitMethod("llama")
    attention = original("ai2-olmo-core", "olmo_core.nn.attention").Attention(
        d_model=256, n_heads=256, attention_sinks=True
    )
    torch.manual_seed(SEED)
    init.init_attention(attention, d_model=256, block_idx=0, num_blocks=LAYERS)
    assert_rows("OLMo-core llama", {"sinks, with w_out's std": [attention.sinks]}, L=LAYERS)


def test_olmo_core_fan_in(torch):
    found = olmo(torch, "fan_in")
    linear = found["in"] + found["out"] + found["w3"]
    assert_rows(
        "OLMo-core fan_in",
        {
            "embedding": found["embedding"],
            "linear layers, experts, their router": linear,
            "head": found["head"],
        },
        d=D,
    )
    scaled = olmo(torch, "fan_in", embed_scale=4.0)["embedding"][0]
    assert_starts_as(scaled * 4, rule("OLMo-core fan_in")["embedding"].scheme())


def test_olmo_cores_fan_in_leaves_shared_experts(torch):
    """The block is a stand-in with the names of `OLMoDDPTransformerBlock`; the code is OLMo's."""
    init = original("ai2-olmo-core", "olmo_core.nn.transformer.init").InitMethod("fan_in")
    routed = SimpleNamespace(
        d_model=D,
        hidden_size=FF,
        w_up_gate=torch.empty(2, 2 * FF, D),
        w_down=torch.empty(2, D, FF),
        b_up_gate=None,
        b_down=None,
    )
    block = SimpleNamespace(
        ep_enabled=False,
        shared_experts_router=torch.nn.Linear(D, 8),
        routed_experts_router=SimpleNamespace(d_model=D, weight=torch.empty(8, D), bias=None),
        latent_down_proj=None,
        latent_up_proj=None,
        routed_experts=routed,
        shared_experts=SimpleNamespace(w_up_gate=torch.empty(D, FF), w_down=torch.empty(FF, D)),
    )
    torch.manual_seed(SEED)
    with torch.no_grad():
        init.init_moe_v2(block, **BLOCK)
    shared = block.shared_experts
    assert_rows(
        "OLMo-core fan_in",
        {
            "shared experts and their router": [
                block.shared_experts_router.weight,
                shared.w_up_gate,
                shared.w_down,
            ],
            "linear layers, experts, their router": [
                block.routed_experts_router.weight,
                routed.w_up_gate[0],  # each expert alone, as its fan counts no others
                routed.w_down[1],
            ],
        },
        std=0.03,
    )


def test_olmo_core_normalized(torch):
    found = olmo(torch, "normalized")
    assert_rows(
        "OLMo-core normalized",
        {
            "embedding": found["embedding"],
            "all but the next, the head too": found["in"] + found["w3"] + found["head"],
            "w_out, w2": found["out"],
        },
        d=D,
        L=LAYERS,
    )
