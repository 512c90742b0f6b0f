# SPDX-License-Identifier: MIT
"""The presets with other sizes: models that take no time to build."""

from __future__ import annotations

import re
from importlib import resources

TOKENS = {"vocab|vocab_size": 640, "bos_token_id": 1, "eos_token_id": 2}
GPT = {
    **TOKENS,
    "positions|n_positions|n_ctx": 160,
    "width|n_embd": 64,
    "layers|n_layer": 3,
    "n_head": 4,
}
LLAMA = {
    **TOKENS,
    "width|hidden_size": 64,
    "hidden|intermediate_size": 96,
    "layers|num_hidden_layers": 3,
    "heads|num_attention_heads": 4,
    "key_value_heads|num_key_value_heads": 2,
}
DEEPSEEK = {
    **TOKENS,
    "width|hidden_size": 64,
    "hidden|intermediate_size": 96,
    "layers|num_hidden_layers": 4,
    "dense|first_k_dense_replace": 2,
    "heads|num_attention_heads": 4,
    "num_key_value_heads": 4,
    "query_rank|q_lora_rank": 24,
    "key_value_rank|kv_lora_rank": 16,
    "plain|qk_nope_head_dim": 16,
    "rotary|qk_rope_head_dim": 8,
    "value|v_head_dim": 12,
    "experts|n_routed_experts": 8,
    "expert_hidden|moe_intermediate_size": 32,
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 2,
}
GPT_OSS = {
    "vocab|vocab_size": 640,
    "padding|pad_token_id": 5,
    "eos_token_id": 2,
    "width|hidden_size": 64,
    "hidden|intermediate_size": 96,
    "layers|num_hidden_layers": 3,
    "heads|num_attention_heads": 4,
    "key_value_heads|num_key_value_heads": 2,
    "head|head_dim": 16,
    "experts|num_local_experts": 8,
}
VIT = {
    "image|image_size": 32,
    "patch|patch_size": 8,
    "width|hidden_size": 64,
    "hidden|intermediate_size": 96,
    "layers|num_hidden_layers": 3,
    "num_attention_heads": 4,
    "classes|num_labels": 10,
}
T5 = {
    "vocab|vocab_size": 640,
    "width|d_model": 64,
    "hidden|d_ff": 96,
    "layers|num_layers": 3,
    "heads|num_heads": 4,
    "head|d_kv": 12,
}
WHISPER = {
    **TOKENS,
    "padding|pad_token_id": 5,
    "decoder_start_token_id": 3,
    "mels|num_mel_bins": 16,
    "frames|max_source_positions": 50,
    "tokens|max_target_positions": 40,
    "width|d_model": 64,
    "hidden|encoder_ffn_dim|decoder_ffn_dim": 96,
    "layers|encoder_layers|decoder_layers|num_hidden_layers": 3,
    "encoder_attention_heads|decoder_attention_heads": 4,
}
MAMBA2 = {
    "vocab|vocab_size": 640,
    "width|hidden_size": 64,
    "layers|num_hidden_layers": 3,
    "heads|num_heads": 8,
    "head|head_dim": 16,
    "state|state_size": 16,
}
SIZES = {
    "deepseek-v3": DEEPSEEK,
    "gpt-oss-120b": GPT_OSS,
    "gpt2": GPT,
    "gpt2-xl": GPT,
    "llama-3-70b": LLAMA,
    "llama-3-8b": LLAMA,
    "mamba2-2.7b": MAMBA2,
    "mixtral-8x7b": {**LLAMA, "experts|num_local_experts": 4},
    "t5-base": T5,
    "vit-base-patch16-224": VIT,
    "whisper-large-v3": WHISPER,
}
"""For each preset the keys of its [sizes] and [config] that go together, and their new value."""


def tiny(preset):
    """The text of a preset with other numbers in [sizes] and [config]."""
    text = (resources.files("fastinit.plans") / "presets" / f"{preset}.toml").read_text("utf-8")
    for keys, size in SIZES[preset].items():
        text, changed = re.subn(rf"(?m)^({keys}) = \d+\b", rf"\1 = {size}", text)
        assert changed == len(keys.split("|")), keys
    return text
