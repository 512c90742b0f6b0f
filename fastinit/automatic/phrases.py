# SPDX-License-Identifier: MIT
"""The table of phrases: which words at the end of a tensor's name mean which role, and when.

Each exception is a row.  roles.py cuts names into words and finds the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

AxisCounts = range | tuple[int, ...]

ANY = range(1, 64)
MATRIX = (2, 4, 5)  # 4 and 5: as a convolution with kernel 1
HEADS = (2, 3, 4, 5)  # 3: with separate heads, as in Keras and Flax
VECTOR = range(64)  # none or one, not counting axes of size 1, as in (1, C, 1, 1)

AXES: Mapping[str, AxisCounts] = {
    "linear": (2,),
    "convolution": (3, 4, 5),
    "recurrent": (2,),
    "recurrent_input": (2,),
    "embedding": (1, 2, 3),
    "position": ANY,
    "norm": ANY,
    "bias": (0, 1, 2, 3),
    "attention_input": HEADS,
    "attention_output": HEADS,
    "residual_output": MATRIX,
    "head": MATRIX,
    "router": (2,),
    "layer_scale": (0, *ANY),
    "running_mean": ANY,
    "running_variance": ANY,
}
"""Each role, and how many axes its tensors may have if the role is given."""

WEIGHTS = ("weight", "weights", "kernel", "w")
SCALES = ("scale", "gamma")
EITHER = ("", *WEIGHTS)
SCALED = ("", "weight", "weights", "w", *SCALES)
END = ("",)

STACKS = ("expert", "experts")
ATTENTION = (
    *("attn", "attention", "attentions", "att", "mha", "crossattention", "selfattention"),
    "selfattn",
)
_GATED = ("queries", "keys", "values")
_NOT_ATTENTION = (*ATTENTION, *_GATED)


@dataclass(frozen=True)
class Phrase:
    """Phrases that mean one role, and the conditions.

    Args:
        role: one of `AXES`, or "" for tensors without a role.
        phrases: the phrases, separated by commas; `^` is the beginning of the name.
        leaves: the words that may follow; "" if the phrase may end the name.
        axes: how many axes the tensor has; None stands for those of the role.
        after: one of these words must come before the phrase.
        unless: none of these words may come before the phrase.
        numbered: whether a number may follow the phrase: ``phrase.0.weight``.
        fused: how many matrices (inputs x outputs) lie side by side along the outputs.
        stacked: whether the first axis stacks the weights of experts.
        wider: "inputs" or "outputs", if this side is at least as long as the other.
        transposed: whether it is the weight of a transposed convolution.
        kernel: the layout of a tensor called `kernel`.
        why: what the tensor is, if it has no role.
    """

    role: str
    phrases: str
    leaves: tuple[str, ...] = EITHER
    axes: AxisCounts | None = None
    after: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    numbered: bool = True
    fused: int = 1
    stacked: bool = False
    wider: str = ""
    transposed: bool = False
    kernel: str = "keras"
    why: str = ""


def _layer(row: Phrase) -> tuple[Phrase, ...]:
    """The rows of a linear layer: a matrix, a convolution with kernel 1, a stack of experts."""
    kernel = "convolution" if row.role == "linear" else row.role
    return (
        replace(row, axes=(2,)),
        replace(row, role=kernel, axes=(4, 5)),
        replace(row, axes=(3,), after=STACKS, stacked=True),
    )


def _convolution(row: Phrase) -> tuple[Phrase, ...]:
    return row, replace(row, role="linear", axes=(2,))


def _behind(firsts: tuple[str, ...], seconds: str) -> str:
    return ", ".join(f"{first} {second}" for first in firsts for second in seconds.split(","))


_GATES = "fgiornz"  # of the recurrent cells of Flax
_MIXERS = ("mamba", "mixer", "ssm")
_MLPS = ("mlp", "moe", "ffn", "feed forward", "expert", "experts", "mixer", "^")
_NORMS = ("norm", "layernorm", "layer norm", "ln")
BUFFER = "a buffer, not a weight: leave it out of the plan"
_MAMBA = "Mamba's, which follows from the state's size and the step, not from the shape"
_DEPTHWISE = "Keras's, (*kernel, in, multiplier), where each input feeds only its own"
_LARGER = "a convolution that enlarges, transposed in SAM and plain in others"

PHRASES: tuple[Phrase, ...] = (
    # one axis
    Phrase(
        "norm",
        """norm, layernorm, layer norm, ln, layrnorm, bn, batchnorm, batch norm, gn, groupnorm,
        instancenorm, rmsnorm, normalization, layernorm embedding, layer norm emb, """
        + _behind(_NORMS, "f, final, pre, post, before, after, in, out, q, k"),
        SCALED,
        VECTOR,
    ),
    Phrase(
        "bias",
        """bias, biases, bias ih, bias hh, bias ih l, bias hh l, bias ih l reverse,
        bias hh l reverse, beta""",
        END,
        VECTOR,
    ),
    Phrase("bias", "b", END, VECTOR, unless=(*_MIXERS, "lora")),
    Phrase("bias", "bias, biases", END, (2,), after=STACKS),
    Phrase("bias", "query bias, key bias, value bias", END, (1, 2), after=ATTENTION),
    Phrase("bias", "gru cell bias, gru bias", END, (1, 2)),  # of Keras, for input and state
    Phrase("layer_scale", "layer scale, layerscale, ls, layer scale parameter", SCALED),
    Phrase("layer_scale", "layer scale lambda", SCALED),
    Phrase("running_mean", "running mean, moving mean, norm mean, batchnorm mean, bn mean", END),
    Phrase(
        "running_variance",
        """running var, running variance, moving var, moving variance, norm var, batchnorm var,
        bn var""",
        END,
    ),
    # tables
    Phrase("embedding", "bias k, bias v", END, (3,)),  # of torch.nn.MultiheadAttention
    Phrase(
        "embedding",
        """class embedding, class token, cls token, dist token, mask token, mask embedding,
        register tokens, storage tokens, query tokens, masked spec embed, probe""",
    ),
    Phrase(
        "embedding",
        """embedding, embeddings, embed, emb, wte, embed tokens, word embeddings, tok embeddings,
        tokens embed, embed in, shared""",
        axes=(2, 3),
    ),
    Phrase(
        "position",
        """wpe, position embedding, position embeddings, positional embedding,
        positional embeddings, pos embedding, pos embed, pos emb, embed positions, wpe embedding,
        positions embed, position embeddings embedding, position embedding embeddings,
        embed positions embedding, relative attention bias, rel pos bias, relative position bias,
        relative position bias table, rel pos h, rel pos w""",
    ),
    # attention
    Phrase("attention_input", "q, k, v, query, key, value", WEIGHTS, after=ATTENTION),
    Phrase(
        "attention_input",
        """query proj, key proj, value proj, pos proj, pos query proj, pos key proj, q head,
        k head, v head""",
        after=ATTENTION,
    ),
    Phrase(
        "attention_input",
        """q proj, k proj, v proj, q lin, k lin, v lin, wq, wk, wv, to q, to k, to v, q attn,
        q a proj, q b proj, kv a proj, kv b proj, kv a proj with mqa""",
    ),
    Phrase("attention_input", "key value", after=ATTENTION, fused=2),
    Phrase("attention_input", "kv, kv proj, to kv", fused=2),
    Phrase("attention_input", "in proj", after=ATTENTION, fused=3),
    Phrase("attention_input", "^ in proj, qkv, qkv proj, wqkv, w qkv", fused=3),
    Phrase("attention_input", "query key value, to qkv, att proj", fused=3),
    Phrase("attention_input", "c attn", fused=3, wider="outputs"),
    Phrase("attention_output", "out proj", after=ATTENTION),
    Phrase(
        "attention_output", "o proj, ^ out proj, to out, attn out, attention out, att output dense"
    ),
    Phrase(
        "attention_output",
        _behind(
            tuple(word for word in ATTENTION if word != "att"),
            """output dense, dense, o, wo, o proj, out proj, out lin, output, output proj, proj,
            projection, c proj""",
        ),
    ),
    # layers
    *_layer(
        Phrase(
            "linear",
            """up proj, gate proj, w1, w3, wi, h to 4h, fc in, fc1, intermediate, hidden,
            transform, reduction, pooler, visual projection, text projection, feed forward key,
            mlp in proj, ff net proj, mlp dense, mlp linear, mlp lin, mlp fc, mlp proj, """
            + _behind(_MIXERS, "in proj"),
        )
    ),
    *_layer(Phrase("linear", "gate up proj", fused=2)),
    *_layer(Phrase("linear", "c fc", wider="outputs")),
    *_layer(
        Phrase(
            "linear",
            "linear, lin, dense, fc, proj, projection, projector",
            unless=_NOT_ATTENTION,
        )
    ),
    *_layer(
        Phrase(
            "residual_output",
            """down proj, fc2, w2, linear2, lin2, 4h to h, fc out, pwconv2, mlp proj out,
            feed forward value, mlp out proj, """
            + _behind(_MIXERS, "out proj"),
        )
    ),
    *_layer(Phrase("residual_output", "wo, output dense, output proj", unless=_NOT_ATTENTION)),
    *_layer(Phrase("residual_output", "c proj", unless=_NOT_ATTENTION, wider="inputs")),
    *_convolution(
        Phrase(
            "convolution",
            """conv, conv1d, conv2d, conv3d, convolution, dwconv, pwconv, conv dw, conv pw,
            conv head, depthwise, pointwise, patch embedding, patch embeddings, patch embed""",
        )
    ),
    Phrase("convolution", "pointwise kernel", END),
    Phrase("convolution", "conv transpose", transposed=True, kernel="jax"),  # not swapped in Flax
    Phrase(
        "convolution",
        """convtranspose, conv1d transpose, conv2d transpose, conv3d transpose, deconv, upconv,
        transposed conv, transposed convolution""",
        transposed=True,
    ),
    Phrase("recurrent", "weight hh, weight hh l, weight hh l reverse, recurrent kernel", END),
    Phrase("recurrent", _behind(("cell",), ", ".join(f"h{gate}" for gate in _GATES))),
    Phrase("recurrent_input", "weight ih, weight ih l, weight ih l reverse", END),
    Phrase("recurrent_input", _behind(("cell",), ", ".join(f"i{gate}" for gate in _GATES))),
    Phrase("recurrent_input", "lstm cell, gru cell, rnn cell"),
    Phrase("linear", "weight hr l, weight hr l reverse", END),
    Phrase(
        "head",
        """lm head, head, heads head, classifier, score, embed out, ^ output, ^ fc,
        ^ proj out, logits, predictions, predictions decoder, qa outputs, seq relationship,
        vocab projector""",
        numbered=False,
    ),
    Phrase("router", "router, router classifier, gate wg, gating"),
    Phrase("router", _behind(_MLPS, "gate"), wider="inputs"),
    # no role
    Phrase(
        "", "inv freq, original inv freq, freqs cis, position ids, token type ids", END, why=BUFFER
    ),
    Phrase(
        "",
        "num batches tracked, masked bias, embed scale, relative position index",
        END,
        why=BUFFER,
    ),
    Phrase("", "a log, d, dt bias, dt proj weight, dt proj bias", END, why=_MAMBA),
    Phrase("", "depthwise kernel, depthwise conv1d kernel", END, why=_DEPTHWISE),
    Phrase("", "depthwise conv2d kernel", END, why=_DEPTHWISE),
    Phrase("", "logit scale", END, why="a temperature, log(1 / 0.07) in CLIP"),
    Phrase("", "logit bias", END, why="-10 in SigLIP, no common bias"),
    Phrase("", "alpha", END, why="a slope, or something else"),
    Phrase("", "prelu weight", END, why="a slope, 0.25 in He et al. (2015)"),
    Phrase(
        "",
        "weight v, weight g, weight original",
        END,
        why="a part of a weight-normed weight, "
        "direction or length (Salimans and Kingma, 2016, arXiv:1602.07868)",
    ),
    Phrase(
        "",
        "lora a, lora a default",
        why="LoRA's, a Gaussian in Hu et al. (2021), arXiv:2106.09685, and a uniform in their code",
    ),
    Phrase("", "lora b, lora b default", why="LoRA's, zeros: Hu et al. (2021), arXiv:2106.09685"),
    Phrase("", _behind(("upscale", "upsample", "upsampler", "upsamplers"), "conv"), why=_LARGER),
    Phrase("", "upscale, upsample, upsampler, upsamplers", WEIGHTS, why=_LARGER),
    Phrase(
        "",
        "class embed, decoder embed",
        WEIGHTS,
        why="a table in some models and a layer in others (DETR, MAE)",
    ),
    Phrase(
        "",
        """classifier dense, classifier linear, head fc, head projection, head proj,
        output projection""",
        WEIGHTS,
        why="a model's last layer in some models and one before it in others",
    ),
)
"""Longer phrases win over shorter ones; among the rows of one phrase, the first that fits wins."""

NUMBERED: Mapping[int, str] = {1: "norm", 2: "linear", 4: "convolution", 5: "convolution"}
"""The role of a weight in a numbered layer without a name, by its number of axes."""

BARE: Mapping[int, str] = {2: "linear", 4: "convolution", 5: "convolution"}
"""The role of a tensor called just `weight`, by its number of axes."""

NO_LAYERS = (
    *("embed", "embeds", "embedding", "embeddings", "emb", "token", "tokens", "codebook"),
    *("head", "heads", "classifier", "classifiers", "score", "predict", "predictor", "experts"),
    *_NOT_ATTENTION,
)
"""Words before a number that leave open what layers with more than one axis are."""
