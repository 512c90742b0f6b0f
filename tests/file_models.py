# SPDX-License-Identifier: MIT
"""Small models of transformers, for the tests of the names of files.  Holds no test."""

from __future__ import annotations

import transformers

SMALL = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers", "depth"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "n_inner"), 40),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 40),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "type_vocab_size"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim"), 8),
    **dict.fromkeys(("v_head_dim", "patch_size", "state_size"), 8),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 64),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace"), 1),
    "vocab_size": 120,
    "qk_rope_head_dim": 4,
    "moe_intermediate_size": 24,
    "image_size": 32,
    "projection_dim": 16,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
"""What settings of a configuration are reduced to."""


def reduced(config):
    """A configuration, and those in it, with small numbers."""
    for key, value in list(vars(config).items()):
        if isinstance(value, transformers.PretrainedConfig):
            reduced(value)
        elif key in SMALL and type(value) is int and value > SMALL[key]:
            setattr(config, key, SMALL[key])
        elif key.endswith("layer_types") and isinstance(value, list):
            setattr(config, key, value[:2])
    return config


def made(name, **settings):
    """A small model, by the name of its class; without memory inside `deferred`."""
    kind = getattr(transformers, name)
    config = reduced(kind.config_class())
    for key, value in settings.items():
        setattr(config, key, value)
    return kind(config)


def by_name(tensors):
    """Tensors by their names."""
    return {tensor.name: tensor for tensor in tensors}
