# SPDX-License-Identifier: MIT
"""The truncated normals of language models, torchtitan's and OLMo's: no std is corrected."""

from __future__ import annotations

import math
from typing import Unpack

from fastinit.numerics.checks import check_count, check_factor
from fastinit.schemes.engine import by_fan
from fastinit.schemes.fans import FanOptions
from fastinit.schemes.language import by_depth, residual
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import TruncatedNormal

CUTOFF = 3.0
"""Where OLMo, and torchtitan for its output layer, truncate, in sigma (``cutoff_factor``)."""

TORCH_BOUND = 2.0
"""Where ``torch.nn.init.trunc_normal_`` truncates if nothing is said, in units of the weights."""


def _cut(std: float) -> TruncatedNormal:
    """Truncated at 3 sigma."""
    return TruncatedNormal(std, 0.0, -CUTOFF, CUTOFF)


@maker
def torchtitan(std: float = 0.02, *, layer: int | None = None) -> Rule:
    r"""The linear layers of torchtitan's Llama 3 and DeepSeek-V3.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 2, \quad
              \sigma = \text{std} \text{ or } \frac{\text{std}}{\sqrt{2 (\text{layer} + 1)}}

    The bounds are absolute, 100 sigma by default, so that this is nearly a plain normal.  Give
    `layer` for ``wo``, ``w2`` and ``w3`` and the router of DeepSeek-V3; leave it out for the other
    linear layers.  The embedding is normal(1), the output layer `torchtitan_output`, biases are 0.

    Args:
        std: standard deviation of the underlying normal without `layer`, >= 0.
        layer: index of the block, from 0.

    Raises:
        ValueError: std is negative or not finite, or so large that hardly any value lies within
            the bounds; layer is below 0.

    Source:
        Liang et al. (2024), "TorchTitan", arXiv:2410.06511; torchtitan 0.3.0,
        ``depth_scaled_std``.  Who differs: its gpt_oss scales all layers by depth, draws the
        experts' biases and the sinks alike and has embeddings of 0.02; its Qwen 3 is
        normal(0.02), in the mixture of experts with `gpt2_residual` for ``wo`` and ``w2``.

    >>> torchtitan(layer=49).distribution((4096, 14336)).std
    0.002
    """
    check_factor("std", std)
    sigma = std if layer is None else by_depth(std, layer)
    bound = TORCH_BOUND / sigma if sigma else math.inf
    found = TruncatedNormal(sigma, 0.0, -bound, bound)
    return lambda shape: found


@maker
def torchtitan_output(*, width: int) -> Rule:
    r"""The output layer of torchtitan's models, and OLMo-core's.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 3 \sigma, \quad
              \sigma = 1 / \sqrt{\text{width}}

    For the weight that computes the logits, also if it is tied to the embedding (torchtitan).

    Args:
        width: width of the model, >= 1.

    Raises:
        ValueError: width is below 1.

    Source:
        torchtitan 0.3.0; OLMo-core 3.0.0 with ``llama``, ``llama_depth``, ``normalized`` and
        ``fan_in``; OLMo 0.6.0 with ``mitchell`` and ``full_megatron``.  Who differs: torchtitan's
        Qwen 3 is normal(0.02), OLMo-core's ``normal`` is `olmo_core`.

    >>> torchtitan_output(width=4096).distribution((128256, 4096)).sigma
    0.015625
    """
    check_count("width", width)
    found = _cut(1.0 / math.sqrt(width))
    return lambda shape: found


@maker
def olmo_core(std: float = 0.02, *, layers: int | None = None, layer: int | None = None) -> Rule:
    r"""OLMo-core's linear layers.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 3 \sigma, \quad
              \sigma = \text{std}, \; \frac{\text{std}}{\sqrt{2 \, \text{layers}}} \text{ or }
              \frac{\text{std}}{\sqrt{2 (\text{layer} + 1)}}

    With method ``normal`` all weights are olmo_core(std).  With ``llama``, `layers` is given for
    attention's ``w_out``, ``w2`` and ``w3``, and a mixture's router and experts; with
    ``llama_depth`` their `layer` is.  Their other linear layers are olmo_core(std), their embedding
    normal(1), their output layer `torchtitan_output`.  Biases are 0.

    Args:
        std: standard deviation of the underlying normal without `layers` or `layer`, >= 0.
        layers: number of blocks in the model, >= 1.
        layer: index of the block, from 0.

    Raises:
        ValueError: std is negative or not finite; layers is below 1 or layer below 0, or both are
            given.

    Source:
        OLMo et al. (2024), "2 OLMo 2 Furious", arXiv:2501.00656; OLMo-core 3.0.0, ``InitMethod``.
        With ``normal``, ``embedding_init_std`` replaces std for the embedding.  For its
        ``normalized`` see `ngpt`; its ``fan_in`` is `mitchell` without a layer, but shared experts
        and their router are olmo_core(std).  Attention's sinks have the std of ``w_out`` and are
        not truncated.  OLMo 0.6.0's ``full_megatron`` is ``llama`` except that its embedding and
        its ``w3`` are olmo_core(std).  Who differs: `torchtitan`'s bounds are absolute; OLMo
        0.6.0's ``normal`` does not truncate by default.

    >>> olmo_core(layers=50).distribution((4096, 11008)).sigma
    0.002
    """
    check_factor("std", std)
    if layers is not None and layer is not None:
        raise ValueError(
            f"layers is {layers} and layer {layer}: give layers for OLMo-core's llama, layer for "
            "its llama_depth, not both"
        )
    if layers is not None:
        check_count("layers", layers)
        std = residual(std, layers)
    elif layer is not None:
        std = by_depth(std, layer)
    found = _cut(std)
    return lambda shape: found


@maker
def mitchell(*, layer: int | None = None, **options: Unpack[FanOptions]) -> Rule:
    r"""OLMo's first models.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 3 \sigma, \quad
              \sigma = \frac{1}{\sqrt{f_\text{in}}} \text{ or }
              \frac{1}{\sqrt{2 f_\text{in} (\text{layer} + 1)}}

    Give `layer` for ``attn_out`` and ``ff_out`` of a block; leave it out for all other linear
    layers and for the embeddings, of shape (vocabulary, width).  Biases are 0.

    Args:
        layer: index of the block, from 0.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: layer is below 0.
        ValueError: as for `fans`.

    Source:
        Groeneveld et al. (2024), "OLMo", arXiv:2402.00838; OLMo 0.6.0, ``InitFnType.mitchell``.
        Who differs: OLMo-core's ``fan_in`` does not depend on the depth, and its embeddings are
        normal(1), or normal(1 / ``embed_scale``) if that is set.

    >>> mitchell(layer=7).distribution((4096, 11264)).sigma == (2 * 11264 * 8) ** -0.5
    True
    """
    if layer is None:
        return by_fan(lambda n: _cut(1.0 / math.sqrt(n)), "fan_in", options)
    check_count("layer", layer, least=0)
    depth = 2 * (layer + 1)
    return by_fan(lambda n: _cut(1.0 / math.sqrt(depth * n)), "fan_in", options)
