# SPDX-License-Identifier: MIT
"""Schemes that make up for depth: a standard rule times a factor of the number of layers.

The roots in the factors are fastinit/numerics/roots.py's, the same in every C library.
"""

from __future__ import annotations

import math
from typing import Literal, Unpack, get_args

from fastinit.numerics.checks import check_count, check_factor
from fastinit.numerics.roots import logarithm, root
from fastinit.schemes.engine import by_variance, scaled, xavier_std
from fastinit.schemes.fans import FanOptions
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Normal

Part = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = get_args(Part)
Layers = int | None


def _place(encoder: Layers, decoder: Layers, part: Part | None) -> tuple[list[int], str]:
    """The layers of the model's parts, the encoder's first, and which part the tensor is in."""
    rows = zip(PARTS, (encoder, decoder), strict=True)
    counts = {name: count for name, count in rows if count is not None}
    if not counts:
        raise ValueError("give encoder_layers or decoder_layers, or both in a model with both")
    for name, count in counts.items():
        check_count(f"{name}_layers", count)
    if part is None and len(counts) > 1:
        raise ValueError(
            "encoder_layers and decoder_layers are given: say which the tensor is in, "
            "part='encoder' or part='decoder'"
        )
    if part is not None and part not in counts:
        raise ValueError(f"part is {part!r}, but {part}_layers is not given")
    return list(counts.values()), part or next(iter(counts))


def _deepnorm_gain(counts: list[int], part: str) -> float:
    """DeepNorm's beta."""
    if len(counts) == 1:
        return 1.0 / root(8 * counts[0], 4)
    n, m = counts
    return 0.87 / root(n**4 * m, 16) if part == "encoder" else 1.0 / root(12 * m, 4)


@maker
def deepnorm(
    *,
    encoder_layers: int | None = None,
    decoder_layers: int | None = None,
    part: Part | None = None,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""DeepNorm: Xavier normal weights, narrower in deeper models.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \beta \sqrt{2 / (f_\text{in} + f_\text{out})}

    ===========================  ==========================  ==========================
    N encoder, M decoder layers  beta                        alpha, of LN(alpha x + f(x))
    ===========================  ==========================  ==========================
    only N                       (8 N)^(-1/4)                (2 N)^(1/4)
    only M                       (8 M)^(-1/4)                (2 M)^(1/4)
    both, in the encoder         0.87 (N^4 M)^(-1/16)        0.81 (N^4 M)^(1/16)
    both, in the decoder         (12 M)^(-1/4)               (3 M)^(1/4)
    ===========================  ==========================  ==========================

    For the feed-forward layers and the value and output projections of attention, including
    cross-attention; query and key projections are xavier_normal().  It therefore does not suit one
    tensor that packs query, key and value.

    Args:
        encoder_layers, decoder_layers: numbers of layers in the whole model, >= 1; leave out the
            one that the model does not have.
        part: "encoder" or "decoder": which part the tensor is in, for a model with both.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: no number of layers, or one below 1; a part that is missing, unknown or without
            layers.
        ValueError: as for `fans`.

    Source:
        Wang et al. (2022), "DeepNet: scaling transformers to 1,000 layers", arXiv:2203.00555.  Who
        differs: torchscale 0.3.0 multiplies the initial weights of ``torch.nn.Linear``,
        `torch_linear`, by beta, in attention too, and the biases of those layers; query and key
        stay `torch_linear`.  In an encoder before a decoder its beta is 1.15 (N^4 M)^(-1/16).

    >>> deepnorm(encoder_layers=2).distribution((1024, 1024)).std  # half of Xavier's 1 / 32
    0.015625
    """
    factor = _deepnorm_gain(*_place(encoder_layers, decoder_layers, part))
    return scaled(xavier_std(factor), "fan_avg", "normal", options)


def _sub_ln_gain(counts: list[int], part: str) -> float:
    """Sub-LN's gamma."""
    if len(counts) == 1:
        return math.sqrt(logarithm(2 * counts[0]))
    n, m = counts
    if part == "decoder":
        return math.sqrt(logarithm(3 * m))
    return math.sqrt(logarithm(3 * m) * logarithm(2 * n) / 3.0)


@maker
def sub_ln(
    *,
    encoder_layers: int | None = None,
    decoder_layers: int | None = None,
    part: Part | None = None,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Sub-LN (Magneto): Xavier normal weights, wider in deeper models.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \gamma \sqrt{2 / (f_\text{in} + f_\text{out})}

    ===========================  =============================
    N encoder, M decoder layers  gamma
    ===========================  =============================
    only N                       sqrt(ln(2 N))
    only M                       sqrt(ln(2 M))
    both, in the encoder         sqrt(ln(3 M) ln(2 N) / 3)
    both, in the decoder         sqrt(ln(3 M))
    ===========================  =============================

    For the feed-forward layers and the value and output projections of self-attention; query and
    key projections and all of the decoder's cross-attention are xavier_normal().

    Args:
        all: as for `deepnorm`.

    Raises:
        all: as for `deepnorm`.

    Source:
        Wang et al. (2022), "Foundation transformers", arXiv:2210.06423.  Who differs: torchscale
        0.3.0 multiplies the initial weights of ``torch.nn.Linear``, `torch_linear`, by gamma.

    >>> round(sub_ln(decoder_layers=24).distribution((4096, 4096)).std * 64, 3)
    1.968
    """
    factor = _sub_ln_gain(*_place(encoder_layers, decoder_layers, part))
    return scaled(xavier_std(factor), "fan_avg", "normal", options)


@maker
def fixup(*, layers: int, branch_layers: int = 2, **options: Unpack[FanOptions]) -> Rule:
    r"""Fixup: residual networks without normalisation.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \sqrt{2 / f_\text{out}} \, L^{-1 / (2 m - 2)}

    For all layers of a residual branch but the last.  The last layer of each branch and the
    classifier are zeros(), a projection on the skip path is kaiming_normal(mode="fan_out"), and the
    first convolution of the network stays `torch_linear`.  Scalar biases are zeros(), scalar
    multipliers ones().

    Args:
        layers: L, the number of residual branches in the network (16 in ResNet-50), >= 1.
        branch_layers: m, the number of layers in a branch, >= 2: 2 in a basic block, 3 in a
            bottleneck.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: layers is below 1 or branch_layers below 2.
        ValueError: as for `fans`.

    Source:
        Zhang, Dauphin, Ma (2019), "Fixup initialization", arXiv:1901.09321.  The paper multiplies
        a standard rule without naming it; this is the one of the authors'
        ``fixup_resnet_imagenet.py``.  Who differs: `kaiming_normal` uses fan_in by default.

    >>> fixup(layers=16, branch_layers=3).distribution((128, 64, 1, 1)).std
    0.0625
    """
    check_count("layers", layers)
    if branch_layers < 2:
        raise ValueError(
            f"branch_layers is {branch_layers}: need 2 or more; the only layer of a branch is its "
            "last, which is zeros()"
        )
    check_count("branch_layers", branch_layers)
    std_of, shrink = by_variance(2.0), root(layers, 2 * (branch_layers - 1))
    return scaled(lambda n: std_of(n) / shrink, "fan_out", "normal", options)


def _one_part(encoder_layers: Layers, decoder_layers: Layers) -> int:
    """The layers of the tensor's part, the only ones given."""
    if encoder_layers is not None and decoder_layers is not None:
        raise ValueError(
            "encoder_layers and decoder_layers are given: give those of the part that the tensor "
            "is in"
        )
    if encoder_layers is None and decoder_layers is None:
        raise ValueError("give encoder_layers or decoder_layers, of the part that the tensor is in")
    (count,), _ = _place(encoder_layers, decoder_layers, None)
    return count


@maker
def t_fixup(
    *,
    encoder_layers: int | None = None,
    decoder_layers: int | None = None,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""T-Fixup: transformers without layer normalisation and warm-up.

    .. math:: w \sim \mathcal U[-a, a], \quad
              a = 0.67 \, N_e^{-1/4} \sqrt{\frac{6}{f_\text{in} + f_\text{out}}} \text{ or }
              (9 N_d)^{-1/4} \sqrt{\frac{6}{f_\text{in} + f_\text{out}}}

    For the feed-forward layers and the value and output projections of attention, including
    cross-attention (which is in the decoder).  Query and key projections are
    xavier_uniform(gain=sqrt(1/2)), the embeddings `t_fixup_embedding`; the biases of the
    feed-forward layers and output projections are 0.

    Args:
        encoder_layers: N_e, the number of encoder layers, >= 1, for a tensor in the encoder.
        decoder_layers: N_d, the number of decoder layers, >= 1, for a tensor in the decoder.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: not exactly one number of layers, or one below 1.
        ValueError: as for `fans`.

    Source:
        Huang, Pérez, Ba, Volkovs (2020), "Improving transformer optimization through better
        initialization", https://proceedings.mlr.press/v119/huang20f.html; the authors' code for
        fairseq.  Who differs: the paper only says Xavier; the uniform distribution and the gain of
        query and key come from the code.

    >>> round(t_fixup(decoder_layers=9).distribution((100, 50)).high, 4)  # 0.2 / 3
    0.0667
    """
    count = _one_part(encoder_layers, decoder_layers)
    factor = 1.0 / root(9 * count, 4) if encoder_layers is None else 0.67 / root(count, 4)
    return scaled(xavier_std(factor), "fan_avg", "uniform", options)


@maker
def t_fixup_embedding(
    *, width: int, encoder_layers: int | None = None, decoder_layers: int | None = None
) -> Rule:
    r"""T-Fixup's embeddings.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \frac{(9 N)^{-1/4}}{\sqrt{\text{width}}}

    Give encoder_layers for the embedding of the encoder's tokens, also if the decoder shares it,
    and decoder_layers for the decoder's own.  An output layer that is not tied is
    normal(1 / sqrt(width)).  The row of a padding token is zero: pass this std to
    `torch_embedding` to get that.

    Args:
        width: width of the model, >= 1.
        encoder_layers, decoder_layers: N, >= 1; give exactly one of the two.

    Raises:
        ValueError: not exactly one number of layers, or one below 1; width is below 1.

    Source:
        Huang, Pérez, Ba, Volkovs (2020), "Improving transformer optimization through better
        initialization", https://proceedings.mlr.press/v119/huang20f.html.  Who differs: fairseq's
        embeddings lack the factor (9 N)^(-1/4).

    >>> t_fixup_embedding(width=1024, encoder_layers=9).distribution((32000, 1024)).std
    0.010416666666666666
    """
    check_count("width", width)
    shrink = root(9 * _one_part(encoder_layers, decoder_layers), 4)
    found = Normal(1.0 / math.sqrt(width) / shrink, 0.0)
    return lambda shape: found


@maker
def ds_init(*, layer: int, alpha: float = 1.0, **options: Unpack[FanOptions]) -> Rule:
    r"""Depth-scaled initialisation: Xavier uniform weights, narrower in deeper layers.

    .. math:: w \sim \mathcal U[-a, a], \quad
              a = \frac{\alpha}{\sqrt{\text{layer} + 1}}
              \sqrt{\frac{6}{f_\text{in} + f_\text{out}}}

    Args:
        layer: index of the block, from 0 (the paper counts from 1).
        alpha: factor on the standard deviation, >= 0.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: layer is below 0; alpha is negative or not finite.
        ValueError: as for `fans`.

    Source:
        Zhang, Titov, Sennrich (2019), "Improving deep transformer with depth-scaled initialization
        and merged attention", arXiv:1908.11365.  Who differs: the authors' code (bzhangGo/zero)
        passes (layer + 1)^(-1/2) as a scale, which multiplies the variance; its bound is that of
        alpha = (layer + 1)^(1/4).  `depth_scaled_normal` and similar schemes ignore the fans, have
        2 (layer + 1) under the root and are for output projections only.

    >>> ds_init(layer=3).distribution((100, 50)).high
    0.1
    """
    check_count("layer", layer, least=0)
    check_factor("alpha", alpha)
    return scaled(xavier_std(alpha / math.sqrt(layer + 1)), "fan_avg", "uniform", options)
