# SPDX-License-Identifier: MIT
"""Small models of transformers: configurations reduced to a few settings.

What to feed them is in model_inputs.py, what is checked of each in architecture_checks.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import transformers
from model_inputs import (
    MakeInputs,
    image_in_text,
    mel_bins_and_decoder,
    patches_and_text,
    pixels,
    sound,
    sound_and_decoder,
    text_and_pixels,
    tokens,
    video,
)
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

SMALL = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
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
    **dict.fromkeys(("d_latents", "embedding_dim", "embedding_size", "encoder_hidden_dim"), 32),
    **dict.fromkeys(("encoder_hidden_size", "fusion_hidden_size", "hidden_size_global"), 32),
    **dict.fromkeys(("lru_width", "out_hidden_size", "pooler_output_size", "conv_channels"), 32),
    **dict.fromkeys(("projection_size", "projector_input_dim", "projector_output_dim"), 32),
    **dict.fromkeys(("reassemble_hidden_size", "vision_output_dim", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("cross_attention_hidden_size", "resampler_head_dim"), 32),
    **dict.fromkeys(("ffn_hidden_size", "intermediate_size_mlp", "shared_intermediate_size"), 40),
    **dict.fromkeys(("depth", "moe_topk", "num_blocks", "num_self_attends_per_block"), 2),
    **dict.fromkeys(("num_experts_per_token", "linear_num_key_heads"), 2),
    **dict.fromkeys(("linear_head_dim", "linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("mamba_d_state", "resampler_n_latents", "num_query_tokens"), 8),
    **dict.fromkeys(("linear_num_heads", "linear_num_value_heads", "mamba_n_heads"), 4),
    **dict.fromkeys(("mamba_dt_rank", "zero_expert_num", "resampler_n_heads"), 4),
    **dict.fromkeys(("num_self_attention_heads", "num_cross_attention_heads"), 4),
    **dict.fromkeys(("expert_ffn_hidden_size", "shared_expert_intermediate_size"), 24),
    **dict.fromkeys(("mamba_d_head", "num_latents", "num_queries"), 16),
    **dict.fromkeys(("max_source_positions", "max_target_positions", "num_embeddings"), 64),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "entity_vocab_size"), 120),
    **dict.fromkeys(("latent_channels", "base_channels", "decoder_hidden_size", "emb_dim"), 32),
    **dict.fromkeys(("decoder_intermediate_size", "alignment_intermediate_size"), 40),
    **dict.fromkeys(("decoder_num_hidden_layers", "n_encoder_layers"), 2),
    **dict.fromkeys(("decoder_num_attention_heads",), 4),
    **dict.fromkeys(("shape_vocab_size", "pronunciation_vocab_size", "langs"), 120),
    **dict.fromkeys(("image_token_id", "image_token_index"), 110),
    "moe_intermediate_size": 24,
    "qk_rope_head_dim": 4,
    "image_size": 32,
    "projection_dim": 16,
    "encoder_hash_byte_group_vocab": 100,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "video_token_id": 111,
    "audio_token_id": 112,
    "vision_start_token_id": 113,
    "vision_end_token_id": 114,
}
"""What settings of a configuration are reduced to."""


def reduced(config: Any) -> Any:
    """A configuration, and those in it, with small numbers."""
    layers = getattr(config, "num_hidden_layers", None)
    for key, value in list(vars(config).items()):
        if isinstance(value, transformers.PretrainedConfig):
            reduced(value)
        elif key in SMALL and type(value) is int and value > SMALL[key]:
            setattr(config, key, SMALL[key])
        elif key == "layer_types" and isinstance(value, list):
            config.layer_types = value[:2]
        elif isinstance(value, list) and len(value) == layers:
            setattr(config, key, value[: SMALL["num_hidden_layers"]])
        elif key == "depths" and isinstance(value, list | tuple):
            config.depths = [min(depth, 2) for depth in value]
        elif key == "hidden_sizes" and isinstance(value, list | tuple):
            config.hidden_sizes = [32 * number for number in range(1, len(value) + 1)]
        elif key == "conv_dim" and isinstance(value, list | tuple):
            config.conv_dim = type(value)([16] * len(value))
    return config


@dataclass(frozen=True, slots=True)
class Architecture:
    """A type of models, the class that people load, and a forward pass."""

    kind: str
    task: str
    name: str
    """Of the class."""
    inputs: MakeInputs
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ, by key or, for a configuration in the configuration, by "part.key"."""

    @property
    def cls(self) -> Any:
        """The class."""
        return getattr(transformers, self.name)

    def config(self) -> Any:
        """A new small configuration."""
        config = reduced(CONFIG_MAPPING[self.kind]())
        for key, value in self.changes.items():
            *parts, last = key.split(".")
            holder = config
            for part in parts:
                holder = getattr(holder, part)
            setattr(holder, last, value)
        config.architectures = [self.name]
        return config


CAUSAL = """
afmoe apertus arcee bamba bert-generation biogpt bitnet bloom codegen cohere cohere2 ctrl cwm
deepseek_v2 deepseek_v3 deepseek_v32 deepseek_v4 diffllama doge dots1 ernie4_5 ernie4_5_moe exaone4
falcon falcon_h1 falcon_mamba flex_olmo gemma gemma2 gemma3_text gemma4_text glm glm4 glm4_moe
glm4_moe_lite glm_moe_dsa gpt2 gpt_bigcode gpt_neo gpt_neox gpt_neox_japanese gpt_oss gptj granite
granitemoe granitemoehybrid granitemoeshared helium hunyuan_v1_dense hunyuan_v1_moe hy_v3 jamba
jetmoe kimi_linear lfm2 lfm2_moe llama llama4_text longcat_flash mamba mamba2 mimo_v2_flash minicpm3
minimax minimax_m2 ministral ministral3 mistral mixtral modernbert-decoder moshi mpt nanochat
nemotron nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe openai-gpt opt persimmon phi phi3 phimoe
qwen2 qwen2_moe qwen3 qwen3_5_text qwen3_5_moe_text qwen3_moe qwen3_next recurrent_gemma rwkv
seed_oss smollm3 solar_open stablelm starcoder2 trocr vaultgemma xglm xlnet xlstm youtu zamba zamba2
"""
MASKED = """
albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie
esm eurobert flaubert fnet funnel ibert layoutlm longformer luke megatron-bert mobilebert modernbert
mpnet mra nomic_bert nystromformer perceiver rembert roberta roberta-prelayernorm roc_bert roformer
squeezebert tapas xlm xlm-roberta xlm-roberta-xl xmod yoso
"""
ENCODER_DECODER = """
bart bigbird_pegasus blenderbot blenderbot-small fsmt led longt5 m2m_100 marian mbart mt5 mvp
nllb-moe pegasus pegasus_x plbart prophetnet switch_transformers t5 t5gemma umt5
"""
VISION = """
beit bit convnext convnextv2 cvt data2vec-vision deit dinov2 dinov2_with_registers efficientnet
focalnet hgnet_v2 hiera ijepa imagegpt levit mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2
poolformer pvt pvt_v2 regnet resnet segformer swiftformer swin swinv2 textnet vit vit_msn
"""
VIDEO = "timesformer videomae vivit"
IMAGE_TEXT = "align altclip chinese_clip clip clipseg metaclip_2 siglip siglip2"
SPEECH = """
data2vec-audio hubert parakeet_ctc sew sew-d unispeech unispeech-sat wav2vec2 wav2vec2-bert
wav2vec2-conformer wavlm
"""
SPEECH_TEXT = "moonshine speech_to_text whisper"
MULTIMODAL = """
aya_vision cohere2_vision deepseek_vl gemma3 glm4v idefics2 idefics3 internvl
llava llava_next llava_onevision mistral3 paligemma qwen2_5_vl qwen2_vl qwen3_vl
smolvlm
"""
DETECTION = "d_fine rt_detr rt_detr_v2 yolos"
DEPTH = "depth_anything dpt glpn"

TASKS: dict[str, tuple[str, MakeInputs, str]] = {
    "causal LM": ("CAUSAL_LM", tokens, CAUSAL),
    "masked LM": ("MASKED_LM", tokens, MASKED),
    "encoder-decoder": ("SEQ_TO_SEQ_CAUSAL_LM", tokens, ENCODER_DECODER),
    "image classification": ("IMAGE_CLASSIFICATION", pixels, VISION),
    "video classification": ("VIDEO_CLASSIFICATION", video, VIDEO),
    "image and text": ("ZERO_SHOT_IMAGE_CLASSIFICATION", text_and_pixels, IMAGE_TEXT),
    "speech": ("CTC", sound, SPEECH),
    "speech to text": ("SPEECH_SEQ_2_SEQ", sound_and_decoder, SPEECH_TEXT),
    "image in text": ("MULTIMODAL_LM", image_in_text, MULTIMODAL),
    "detection": ("OBJECT_DETECTION", pixels, DETECTION),
    "depth": ("DEPTH_ESTIMATION", pixels, DEPTH),
    "masked images": ("PRETRAINING", pixels, "vit_mae"),
    "audio classification": ("AUDIO_CLASSIFICATION", sound, "audio-spectrogram-transformer"),
}
"""For each task: which mapping of transformers says the class, the inputs, and model types."""

INPUTS: dict[str, MakeInputs] = {
    "imagegpt": tokens,
    "siglip2": patches_and_text,
    "whisper": mel_bins_and_decoder,
}
"""Inputs of the model types that take others than their task."""

LATENT = {"head_dim": 4, "qk_head_dim": 12, "num_key_value_heads": 4}
MULTIMODAL_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
STAGES = {
    "hidden_sizes": [32, 64, 96, 128],
    "stage_in_channels": [48, 32, 64, 96],
    "stage_mid_channels": [16, 16, 16, 16],
    "stage_out_channels": [32, 64, 96, 128],
}
QUERIES = {"encoder_in_channels": [64, 96, 128], "decoder_in_channels": [32, 32, 32]}
PYRAMID = {"hidden_sizes": [16, 32, 40, 64]}
LINEAR = {"layer_types": ["linear_attention", "full_attention"]}
CHANGES: dict[str, dict[str, Any]] = {
    "align": {
        "vision_config.width_coefficient": 0.1,
        "vision_config.depth_coefficient": 0.1,
        "vision_config.hidden_dim": 128,
        "vision_config.initializer_range": 0.2,
        "projection_dim": 32,
    },
    "bamba": {"attn_layer_indices": [1]},
    "audio-spectrogram-transformer": {"max_length": 128},
    "beit": {"num_hidden_layers": 12},
    "bit": {"num_groups": 8},
    "codegen": {"rotary_dim": 4},
    "cvt": {"embed_dim": [16, 24, 48], "depth": [1, 2, 10]},
    "d_fine": {**{f"backbone_config.{key}": value for key, value in STAGES.items()}, **QUERIES},
    "deepseek_v2": {**LATENT, "num_experts_per_tok": 2},
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "depth_anything": {"backbone_config.num_hidden_layers": 12},
    "dinov2": {"num_hidden_layers": 12},
    "dinov2_with_registers": {"num_hidden_layers": 12},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2},
    "dpt": {"num_hidden_layers": 12},
    "efficientnet": {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8},
    "gemma4_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "per_layer_config": None,
        "global_head_dim": 8,
    },
    "gemma3": {"mm_tokens_per_image": 4},
    "glm4_moe_lite": LATENT,
    "glm_moe_dsa": LATENT,
    "glpn": PYRAMID,
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": LINEAR,
    "glm4v": {"text_config.rope_parameters": MULTIMODAL_ROPE},
    "hgnet_v2": STAGES,
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {**LATENT, **LINEAR},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "levit": {"image_size": 64, "patch_size": 16},
    "llava_next": {"image_grid_pinpoints": [[32, 64]]},
    "llava_onevision": {"image_grid_pinpoints": [[32, 64]]},
    "longcat_flash": LATENT,
    "mamba2": {"num_heads": 8},
    "minicpm3": LATENT,
    "ministral": {"head_dim": 8, "num_key_value_heads": 2},
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "mobilevitv2": {"image_size": 64, "base_attn_unit_dims": [32, 48, 64]},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h": {"use_cache": False},
    "olmo_hybrid": LINEAR,
    "paligemma": {"projection_dim": 32, "vision_config.projection_dim": 32},
    "pvt": PYRAMID,
    "pvt_v2": PYRAMID,
    "qwen2_5_vl": {"text_config.rope_parameters": MULTIMODAL_ROPE},
    "qwen2_vl": {"text_config.rope_parameters": MULTIMODAL_ROPE},
    "qwen3_5_moe_text": LINEAR,
    "qwen3_5_text": LINEAR,
    "qwen3_next": LINEAR,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "rt_detr": QUERIES,
    "rt_detr_v2": QUERIES,
    "rwkv": {"attention_hidden_size": 32},
    "swin": {"embed_dim": 24, "hidden_size": 192, "window_size": 2, "image_size": 64},
    "swinv2": {"embed_dim": 24, "hidden_size": 192, "window_size": 2},
    "wav2vec2-bert": {"vocab_size": 32},
    "wav2vec2-conformer": {"vocab_size": 32},
    "textnet": {"hidden_sizes": [64, 16, 16, 32, 32], "image_size": [64, 64]},
    "xlnet": {"d_head": 8},
    "xlstm": {"use_cache": False},
    "xmod": {"default_language": "en_XX"},
    "youtu": LATENT,
    "zamba": {
        "num_hidden_layers": 3,
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
    },
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"],
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "mamba_headdim": 8,
        "adapter_rank": 8,
        "hybrid_layer_ids": [1],
    },
}


def _catalogue() -> dict[str, Architecture]:
    found: dict[str, Architecture] = {}
    for task, (mapping, inputs, kinds) in TASKS.items():
        names = getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES")
        for kind in kinds.split():
            changes = CHANGES.get(kind, {})
            assert kind not in found, kind
            name = names[kind] if isinstance(names[kind], str) else names[kind][0]
            given = INPUTS.get(kind, inputs)
            found[kind] = Architecture(kind, task, name, given, changes)
    return found


ARCHITECTURES = _catalogue()
"""By model type."""
