# SPDX-License-Identifier: MIT
"""The plain normals of language models.  Those with a cutoff are in cutoffs.py.

They look at no shape: width and depth are given by name, so that a shard, a packed weight or an
expert stack needs no thought.
"""

from __future__ import annotations

import math

from fastinit.numerics.checks import check_count, check_factor, check_multiplier
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Normal, Uniform


def residual(std: float, layers: int, multiplier: float = 2.0) -> float:
    """The std of what `layers` layers add to the residual stream, `multiplier` times each."""
    check_factor("std", std)
    return std / math.sqrt(multiplier * layers)


def by_depth(std: float, layer: int) -> float:
    """The std of what layer `layer`, from 0, adds: the stream then has 2 (layer + 1) terms."""
    check_count("layer", layer, least=0)
    return residual(std, layer + 1)


def _normal(std: float) -> Rule:
    found = Normal(std, 0.0)
    return lambda shape: found


@maker
def gpt2_residual(std: float = 0.02, *, layers: int) -> Rule:
    r"""GPT-2's output projections: narrower by the root of how many of them add up.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad \sigma = \text{std} / \sqrt{2 \, \text{layers}}

    For each block's two layers that write to the residual stream (``attn.c_proj``,
    ``mlp.c_proj``).  All others, the embeddings too, are normal(std), biases 0, LayerNorms 1 and 0.

    Args:
        std: standard deviation of the other layers, >= 0.
        layers: number of blocks in the model, >= 1.

    Raises:
        ValueError: std is negative or not finite; layers is below 1.

    Source:
        Radford, Wu, Child, Luan, Amodei, Sutskever (2019), "Language models are unsupervised
        multitask learners", https://github.com/openai/gpt-2; ``modeling_gpt2`` of Hugging Face's
        transformers 5.23; nanoGPT.  The same rule as `megatron_scaled_normal` with its defaults.
        Who differs: OpenAI's ``model.py`` does not narrow these layers, and gives position
        embeddings std 0.01, where Hugging Face gives them 0.02.

    >>> gpt2_residual(layers=50).distribution((1600, 6400)).std
    0.002
    """
    check_count("layers", layers)
    return _normal(residual(std, layers))


@maker
def megatron_scaled_normal(
    std: float = 0.02, *, layers: int, multiplier: float = 2.0, width_multiplier: float = 1.0
) -> Rule:
    r"""Megatron's output projections: ``scaled_init_method_normal``.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \frac{\text{std}}{\sqrt{\text{multiplier} \cdot \text{layers}}
              \sqrt{\text{width\_multiplier}}}

    For attention's ``linear_proj`` and the MLP's ``linear_fc2``.  All others are normal(std), the
    vocabulary's output layer too, and the embedding unless it has a separate std
    (``embedding_init_method_std``); biases are 0.

    Args:
        std: standard deviation of the other layers, >= 0 (``init_method_std``).
        layers: number of blocks in the model, >= 1.
        multiplier: layers of a block that write to the residual stream, > 0; Megatron takes 1 for
            hybrid models.
        width_multiplier: width / base width under muP, > 0; the other hidden weights are then
            `mup_normal`, the embedding and the output layer both normal of the embedding's std.

    Raises:
        ValueError: std is negative or not finite; layers is below 1; a multiplier is not above 0
            or not finite.

    Source:
        Shoeybi et al. (2019), "Megatron-LM", arXiv:1909.08053; Megatron Core 0.16.1,
        ``megatron.core.utils``; muP came later, as ``mup_scaled_init_method_normal``.  GPT-NeoX's
        ``scaled_normal`` and nanotron's row-parallel layers are the same.  Who differs: GPT-NeoX's
        ``single_residual_scaled_normal`` has multiplier 1; nanotron narrows nothing with
        ``scaling_method`` NONE, and has no separate std for embeddings.

    >>> megatron_scaled_normal(layers=2, width_multiplier=4).distribution((512, 2048)).std
    0.005
    """
    check_count("layers", layers)
    check_multiplier("multiplier", multiplier)
    check_multiplier("width_multiplier", width_multiplier)
    return _normal(residual(std, layers, multiplier) / math.sqrt(width_multiplier))


@maker
def depth_scaled_normal(std: float = 0.02, *, layer: int) -> Rule:
    r"""Output projections that are narrower the deeper they lie.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \text{std} / \sqrt{2 (\text{layer} + 1)}

    For each block's layers that write to the residual stream; all others are normal(std).

    Args:
        std: standard deviation of the other layers, >= 0.
        layer: index of the block, from 0.

    Raises:
        ValueError: std is negative or not finite; layer is below 0.

    Source:
        Bao, Dong, Piao, Wei (2021), "BEiT", arXiv:2106.08254; Fang et al. (2022), "EVA",
        arXiv:2211.07636; both as in timm 1.0.31's ``fix_init_weight``, which divides ``attn.proj``
        and ``mlp.fc2`` by this root after their init: give their std here.  Who differs:
        `torchtitan` and `olmo_core` truncate; so does facebookresearch/lingua's
        ``current_depth``, whose attention output keeps the bounds of the layer before it was
        divided; `gpt2_residual` takes the model's depth.

    >>> depth_scaled_normal(layer=49).distribution((4096, 11008)).std
    0.002
    """
    return _normal(by_depth(std, layer))


@maker
def small_init(*, width: int) -> Rule:
    r"""Attention weights as narrow as if they were packed with a feed-forward layer.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad \sigma = \sqrt{2 / (5 \, \text{width})}

    The Xavier normal of a weight of shape (4 \* width, width).  Its authors use it for attention,
    and `xavier_normal` for the feed-forward layers; GPT-NeoX offers it for all layers but those
    that write to the residual stream, which may be `wang_init`.

    Args:
        width: width of the model, >= 1.

    Raises:
        ValueError: width is below 1.

    Source:
        Nguyen and Salazar (2019), "Transformers without tears", arXiv:1910.05895; GPT-NeoX's
        ``small_init_init_method``.  Who differs: xformers' ``small``, since removed, was uniform
        and used the fans, so its std was another where the weight is not square.

    >>> small_init(width=1000).distribution((3 * 1000, 1000)).std
    0.02
    """
    check_count("width", width)
    return _normal(math.sqrt(2.0 / (5 * width)))


@maker
def wang_init(*, width: int, layers: int) -> Rule:
    r"""GPT-NeoX's output projections.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \frac{2}{\text{layers} \sqrt{\text{width}}}

    For the layers that write to the residual stream; the others are `small_init`.  `width` is the
    model's, also where more inputs come in (the MLP's output).

    Args:
        width: width of the model, >= 1.
        layers: number of blocks in the model, >= 1.

    Raises:
        ValueError: width or layers is below 1.

    Source:
        GPT-NeoX's ``wang_init_method``, also in xLSTM; Black et al. (2022), "GPT-NeoX-20B",
        arXiv:2204.06745.  Who differs: Ben Wang's own mesh-transformer-jax truncates at 2 sigma
        without correction: truncated_normal(std) of this std.  litgpt 0.5.13 uses half of this std,
        and only in ``LLaMAMLP`` and ``CausalSelfAttention``.

    >>> wang_init(width=4096, layers=32).distribution((4096, 16384)).std
    0.0009765625
    """
    check_count("width", width)
    check_count("layers", layers)
    return _normal(2.0 / layers / math.sqrt(width))


@maker
def ngpt(*, width: int, layers: int | None = None) -> Rule:
    r"""Weights of nGPT before they are normalised.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad \sigma = \frac{1}{\sqrt{\text{width}}}
              \text{ or } \frac{1}{\sqrt{\text{width}} \sqrt{2 \, \text{layers}}}

    Without `layers` for all linear layers and embeddings, with `layers` for those that write to
    the residual stream (``c_proj``).  nGPT's training also scales rows or columns to unit length;
    that is not done here.

    Args:
        width: width of the model, >= 1.
        layers: number of blocks in the model, >= 1, for an output projection.

    Raises:
        ValueError: width or layers is below 1.

    Source:
        Loshchilov, Hsieh, Sun, Ginsburg (2024), "nGPT", arXiv:2410.01131; NVIDIA/ngpt.  Who
        differs: OLMo-core's ``normalized`` truncates the linear layers at 3 sigma.

    >>> ngpt(width=1024).distribution((50304, 1024)).std
    0.03125
    >>> ngpt(width=1024, layers=32).distribution((1024, 4096)).std
    0.00390625
    """
    check_count("width", width)
    std = 1.0 / math.sqrt(width)
    if layers is None:
        return _normal(std)
    check_count("layers", layers)
    return _normal(residual(std, layers))


@maker
def dummy(low: float = -1e-3, high: float = 1e-3) -> Rule:
    r"""Small uniform weights to run a model with, as vLLM's and SGLang's dummy loaders make them.

    .. math:: w \sim \mathcal U[\text{low}, \text{high}]

    For every floating-point tensor, to measure speed and memory without a checkpoint, but not
    for integer tensors: vLLM sets them to zero on ROCm and leaves them as they are elsewhere.

    Args:
        low, high: the bounds, low <= high.

    Raises:
        ValueError: a bound is not finite; low > high.

    Source:
        ``initialize_dummy_weights`` of vLLM (as of 2026) and of SGLang 0.5.23.  Who
        differs: theirs start the same generator for each tensor, so that tensors of equal size
        are equal; here every tensor has its own values.  vLLM skips meta tensors.  SGLang sets
        scales of quantised weights (``weight_scale_inv``, ``weight_scale_2``) to 1.

    >>> dummy().distribution((4096, 4096)).high
    0.001
    """
    found = Uniform(low, high)
    return lambda shape: found
