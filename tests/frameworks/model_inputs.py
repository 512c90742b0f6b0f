# SPDX-License-Identifier: MIT
"""Inputs for one forward pass of a small model of transformers, by kinds of models."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import torch
import transformers

Inputs = dict[str, Any]
MakeInputs = Callable[[Any], Inputs]
IDS = torch.arange(3, 19).reshape(2, 8)
DECODER = {"decoder_input_ids": IDS[:, :5]}
FRAMES = 128
SECONDS = 0.25


def tokens(model: Any) -> Inputs:
    """Text alone; twice for a model that also decodes."""
    encoder_decoder = getattr(model.config, "is_encoder_decoder", False)
    return {"input_ids": IDS, **(DECODER if encoder_decoder else {})}


def pixels(model: Any) -> Inputs:
    """Images of the size that the configuration asks for."""
    sizes = [_of_parts(model.config, key) for key in ("num_channels", "image_size")]
    channels, size = sizes[0] or 3, sizes[1] or 64
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(2, channels, height, width, generator=generator)}


def text_and_pixels(model: Any) -> Inputs:
    """A text for each image, as CLIP compares them."""
    return {"input_ids": IDS, **pixels(model)}


def video(model: Any) -> Inputs:
    """Images one after the other."""
    frames = _of_parts(model.config, "num_frames") or 2
    images = pixels(model)["pixel_values"]
    return {"pixel_values": images[:, None].repeat(1, frames, 1, 1, 1)}


def sound(model: Any) -> Inputs:
    """A quarter of a second of a waveform, or what a model reads instead."""
    generator = torch.Generator().manual_seed(0)
    if model.main_input_name == "input_values" and not hasattr(model.config, "num_mel_bins"):
        return {"input_values": torch.rand(2, int(16_000 * SECONDS), generator=generator)}
    bins = next(
        _of_parts(model.config, key)
        for key in ("num_mel_bins", "feature_projection_input_dim", "input_feat_per_channel")
        if _of_parts(model.config, key)
    )
    return {model.main_input_name: torch.rand(2, FRAMES, bins, generator=generator)}


def sound_and_decoder(model: Any) -> Inputs:
    """A sound, and the text that was decoded so far."""
    return {**sound(model), **DECODER}


def mel_bins_and_decoder(model: Any) -> Inputs:
    """A sound as Whisper reads it, which has its axes the other way round."""
    features = sound(model)["input_features"]
    return {"input_features": features.transpose(1, 2), **DECODER}


def image_in_text(model: Any) -> Inputs:
    """An image and a text with as many places for it as it has features."""
    images = _images(model)
    with torch.no_grad():
        found = getattr(model, "get_image_features", None) or model.model.get_image_features
        features = found(**images)
    features = getattr(features, "pooler_output", features)
    features = torch.cat(list(features)) if isinstance(features, list | tuple) else features
    count = features.reshape(-1, features.shape[-1]).shape[0]
    image = _of_parts(model.config, "image_token_id") or model.config.image_token_index
    ids = torch.tensor([[3, 4, *[image] * count, 5, 6]])
    kinds = {"mm_token_type_ids": (ids == image).int()} if "image_grid_thw" in images else {}
    return {"input_ids": ids, **kinds, **images}


def _images(model: Any) -> Inputs:
    """One image in the form that a model of images and text takes."""
    named = signature(getattr(model.model, "get_image_features", model.forward)).parameters
    if "image_grid_thw" in named:
        vision = model.config.vision_config
        width = 3 * vision.temporal_patch_size * vision.patch_size**2
        generator = torch.Generator().manual_seed(0)
        patches = torch.rand(16, width, generator=generator)
        return {"pixel_values": patches, "image_grid_thw": torch.tensor([[1, 4, 4]])}
    image = pixels(model)["pixel_values"][:1]
    parameter = named.get("image_sizes")
    asked = parameter is not None and parameter.default is Parameter.empty
    sizes = {"image_sizes": torch.tensor([image.shape[-2:]])} if asked else {}
    if model.config.model_type.startswith("llava_"):  # cut into three patches
        image = image[:, None].repeat(1, 3, 1, 1, 1)
    several = "pixel_attention_mask" in named
    return {"pixel_values": image[:, None] if several else image, **sizes}


def patches_and_text(model: Any) -> Inputs:
    """Images as the patches that SigLIP 2 reads, each with a text."""
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": IDS,
        "pixel_values": torch.rand(2, 16, 3 * 8 * 8, generator=generator),
        "pixel_attention_mask": torch.ones(2, 16, dtype=torch.int64),
        "spatial_shapes": torch.tensor([[4, 4], [4, 4]]),
    }


def _of_parts(config: Any, key: str) -> Any:
    """A setting of a configuration, or of one in it."""
    if getattr(config, key, None) is not None:
        return getattr(config, key)
    parts = (v for v in vars(config).values() if isinstance(v, transformers.PretrainedConfig))
    return next((found for part in parts if (found := _of_parts(part, key)) is not None), None)
