# SPDX-License-Identifier: MIT
"""Roles: what part of a network a tensor is, read from its name and its number of axes.

Which scheme a role gets is in auto.py; nothing here knows of values.

A name is cut into words at its dots, slashes, underscores and capitals, and read from the end; the
longest phrase of the tables that ends there decides.  A number by itself counts as no word, and
digits at the end of a word only where a table has the word with them (`fc2`, but `norm1` is
`norm`).  Where no phrase ends, nothing further in front is looked at: a guess would be silent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Dims = tuple[int, ...]
Words = tuple[str, ...]

ANY = range(1, 64)
MATRIX = (2, 4, 5)  # 4 and 5 as a convolution of kernel 1
HEADS = (2, 3, 4, 5)  # 3 with the heads apart, as in Keras and Flax

AXES: Mapping[str, range | tuple[int, ...]] = {
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
"""Each role, and how many axes its tensors have."""

_WEIGHTS = ("weight", "weights", "kernel", "w")
_SCALES = ("scale", "gamma")
_STACKS = ("expert", "experts")
_STACKED = ("linear", "residual_output")

_LEAVES = {
    "bias": """bias, biases, b, beta, bias ih, bias hh, bias ih l, bias hh l, bias ih l reverse,
        bias hh l reverse""",
    "recurrent": "weight hh, weight hh l, weight hh l reverse, recurrent kernel",
    "recurrent_input": "weight ih, weight ih l, weight ih l reverse",
    "linear": "weight hr l, weight hr l reverse",
    "convolution": "pointwise kernel",
    "embedding": "bias k, bias v",
    "running_mean": "running mean, moving mean, norm mean, batchnorm mean, bn mean",
    "running_variance": """running var, running variance, moving var, moving variance, norm var,
        batchnorm var, bn var""",
}
"""Phrases at the very end of a name."""

_ATTENTION = ("attn", "attention", "crossattention", "selfattention")
_ATTENTION_OUTPUTS = """output dense, dense, o, wo, o proj, out, out proj, out lin, output, proj,
    projection, c proj"""
_NORMS = ("norm", "layernorm", "layer norm", "ln")

_PHRASES = {
    "norm": """norm, layernorm, layer norm, ln, layrnorm, bn, batchnorm, batch norm, gn, groupnorm,
        instancenorm, rmsnorm, normalization, layernorm embedding""",
    "embedding": """embedding, embeddings, embed, emb, wte, embed tokens, word embeddings,
        tok embeddings, tokens embed, embed in, shared, class embedding, class token, cls token,
        dist token, mask token, mask embedding, register tokens, storage tokens, query tokens,
        masked spec embed, probe""",
    "position": """wpe, position embedding, position embeddings, positional embedding,
        positional embeddings, pos embedding, pos embed, pos emb, embed positions, wpe embedding,
        position embeddings embedding, position embedding embeddings, embed positions embedding,
        relative attention bias, rel pos bias, relative position bias table, rel pos h,
        rel pos w""",
    "convolution": """conv, conv1d, conv2d, conv3d, convolution, dwconv, pwconv, conv dw, conv pw,
        depthwise, pointwise, conv transpose, convtranspose, conv1d transpose, conv2d transpose,
        conv3d transpose, deconv, upconv, patch embedding, patch embeddings, patch embed""",
    "linear": """linear, lin, dense, fc, c fc, fc in, fc1, proj, projection, projector, up proj,
        gate proj, gate up proj, w1, w3, wi, h to 4h, intermediate, hidden, transform, reduction,
        pooler, mixer in proj, visual projection, text projection""",
    "residual_output": """down proj, c proj, fc2, w2, wo, linear2, lin2, 4h to h, output dense,
        output proj, fc out, mixer out proj, proj out, pwconv2""",
    "attention_input": """q, k, v, query, key, value, q proj, k proj, v proj, q lin, k lin, v lin,
        wq, wk, wv, to q, to k, to v, qkv, qkv proj, wqkv, w qkv, in proj, c attn, q attn, kv,
        kv proj, key value, query key value, q a proj, q b proj, kv a proj, kv b proj,
        kv a proj with mqa, to qkv, to kv""",
    "attention_output": "o proj, out proj, to out, attn out, attention out",
    "recurrent": ", ".join(f"cell h{gate}" for gate in "fgiornz"),
    "recurrent_input": """lstm cell, gru cell, rnn cell, """
    + ", ".join(f"cell i{gate}" for gate in "fgiornz"),
    "head": """lm head, head, heads head, classifier, score, embed out, ^ output, ^ fc, ^ proj out,
        logits, predictions, predictions decoder, qa outputs, seq relationship, vocab projector""",
    "router": "router, router classifier, gate, gate wg, gating",
    "layer_scale": "layer scale, layerscale, ls, layer scale parameter, layer scale lambda",
}
"""Phrases anywhere; `^` is the beginning of the name."""

_BUFFER = "a buffer, not a weight: leave it out of the plan"
_MAMBA = "Mamba's, which follows from the state's size and the step, not from the shape"
_DEPTHWISE = "Keras's, (*kernel, in, multiplier), where each input feeds only its own"
_OTHERS = {
    "inv freq": _BUFFER,
    "original inv freq": _BUFFER,
    "freqs cis": _BUFFER,
    "position ids": _BUFFER,
    "token type ids": _BUFFER,
    "num batches tracked": _BUFFER,
    "masked bias": _BUFFER,
    "embed scale": _BUFFER,
    "relative position index": _BUFFER,
    "a log": _MAMBA,
    "d": _MAMBA,
    "dt bias": _MAMBA,
    "dt proj weight": _MAMBA,
    "dt proj bias": _MAMBA,
    "depthwise kernel": _DEPTHWISE,
    "depthwise conv1d kernel": _DEPTHWISE,
    "depthwise conv2d kernel": _DEPTHWISE,
    "logit scale": "a temperature, log(1 / 0.07) in CLIP",
    "logit bias": "-10 in SigLIP, no common bias",
    "alpha": "a slope, or something else",
    "prelu weight": "a slope, 0.25 in He et al. (2015)",
}
"""Phrases at the end of a name that have no role, and why."""

_FUSED = {
    **dict.fromkeys(("qkv", "qkv proj", "wqkv", "w qkv", "in proj", "c attn"), 3),
    **dict.fromkeys(("query key value", "to qkv"), 3),
    **dict.fromkeys(("kv", "kv proj", "key value", "to kv"), 2),
    "gate up proj": 2,
}
"""How many matrices of inputs x outputs a phrase says lie side by side along the outputs."""


@dataclass(frozen=True)
class Reading:
    """What a name and a shape say.

    Args:
        role: one of `AXES`.
        why: what said so, for people.
        fused: how many matrices the name says lie side by side along the outputs.
        stacked: whether the first axis stacks the weights of experts.
        layout: whose layout the name speaks: "torch", but "keras" for a tensor called `kernel`,
            as in Keras and Flax alone, and "jax" for a transposed convolution of Flax's.
        transposed: whether it is the weight of a transposed convolution.
    """

    role: str
    why: str
    fused: int = 1
    stacked: bool = False
    layout: str = "torch"
    transposed: bool = False


def read(name: str, dims: Dims) -> Reading:
    """The role of a tensor.

    Raises:
        ValueError: it cannot be told; the message names the tensor and what was looked at.

    >>> found = read("h.0.attn.c_attn.weight", (2304, 768))
    >>> found.role, found.why, found.fused
    ('attention_input', "by 'c attn'", 3)
    """
    words = _words(name)
    phrase = _phrase(words)
    if phrase in _OTHERS:
        raise ValueError(
            f"{shown(name, dims)}: auto() has no scheme for {phrase!r}, which is {_OTHERS[phrase]}"
            f"{'' if _OTHERS[phrase] is _BUFFER else f'; {_HOW}'}"
        )
    role = _by_axes(_ENDS.get(phrase, ""), words, dims)
    if role and _fits(role, words, dims):
        return _reading(role, words, phrase, dims, f"by {phrase.removeprefix('^ ')!r}")
    shaped = _by_shape(name, words, dims)
    if shaped:
        return _reading(shaped, words, "", dims, f"a layer without a name, {_axes(dims)}")
    if role:
        looked = f"its name says {role} by {phrase!r}, which has no {_axes(dims)}"
    else:
        looked = f"no role is known for {_unknown(words) or name!r} of {_axes(dims)}"
    raise ValueError(f"{shown(name, dims)}: read from the end, {looked}; {_HOW}")


def given(role: str, name: str, dims: Dims) -> Reading:
    """The reading of a tensor whose role is given; its name may say more.

    Raises:
        ValueError: a role that has no tensors of so many axes.
    """
    words = _words(name)
    if not _fits(role, words, dims):
        known = "1 or more" if AXES[role] is ANY else ", ".join(map(str, AXES[role]))
        stack = ", or 3 where the name says experts" if role in _STACKED else ""
        raise ValueError(
            f"{shown(name, dims)} has {_axes(dims)}: the role {role} needs {known}{stack}; give "
            "another role, or a scheme of its own"
        )
    return _reading(role, words, _phrase(words), dims, "as given")


_HOW = f"give role=, one of {', '.join(AXES)}, or a scheme of its own"


def shown(name: str, dims: Dims) -> str:
    """A tensor as messages name it."""
    return f"tensor {name!r} of shape {dims}" if name else f"shape {dims}"


def _axes(dims: Dims) -> str:
    return "1 axis" if len(dims) == 1 else f"{len(dims)} axes"


def _reading(role: str, words: Words, phrase: str, dims: Dims, why: str) -> Reading:
    flax = "jax" if phrase == "conv transpose" else "keras"
    return Reading(
        role,
        why,
        fused=_FUSED.get(phrase, 1),
        stacked=_stacked(words, dims),
        layout=flax if words[-1] == "kernel" else "torch",
        transposed="transpose" in phrase or phrase in ("deconv", "upconv"),
    )


def _stacked(words: Words, dims: Dims) -> bool:
    return len(dims) == 3 and any(word in words for word in _STACKS)


def _fits(role: str, words: Words, dims: Dims) -> bool:
    return len(dims) in AXES[role] or (role in _STACKED and _stacked(words, dims))


def _by_axes(role: str, words: Words, dims: Dims) -> str:
    """`linear` and `convolution` by the number of axes, as names hardly tell them apart."""
    if role == "linear" and len(dims) in (4, 5):
        return "convolution"
    if role == "convolution" and (len(dims) == 2 or _stacked(words, dims)):
        return "linear"
    return role


def _by_shape(name: str, words: Words, dims: Dims) -> str:
    """The role of a weight in a numbered layer, or of a bare one: only its shape speaks."""
    if words[-1] not in _WEIGHTS or dims == (1,):
        return ""  # a weight of one element could be PReLU's slope
    found = {2: "linear", 4: "convolution", 5: "convolution"}.get(len(dims), "")
    if re.search(r"(?:^|[./])(?:layers?_?)?[0-9]+[./]\w+$", name):
        return "norm" if len(dims) == 1 else found
    return found if len(words) == 2 else ""


def _unknown(words: Words) -> str:
    """The word at which reading stopped."""
    named = [word for word in words[1:] if word not in (*_WEIGHTS, *_SCALES)]
    return (named or words)[-1] if words[1:] else ""


def _phrase(words: Words) -> str:
    """The longest known phrase at a name's end, or before its `weight`; '' if there is none."""
    for phrase in _ending(words):
        if phrase in _OTHERS or phrase in _ENDS:
            return phrase
    if words[-1] not in (*_WEIGHTS, *_SCALES):
        return ""
    roles = ("norm", "layer_scale") if words[-1] in _SCALES else tuple(AXES)
    found = (phrase for phrase in _ending(words[:-1]) if _INSIDE.get(phrase) in roles)
    return next(found, "")


def _ending(words: Words) -> Iterator[str]:
    """The phrases that end where `words` does, longest first."""
    for count in range(min(_LONGEST, len(words)), 0, -1):
        yield " ".join(words[-count:])


def _words(name: str) -> Words:
    """The words of a name, `^` before them: lower-case, without numbers that say nothing."""
    cut = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = (_known(word) for word in re.findall(r"[^\W_]+", cut.lower()))
    return ("^", *filter(None, found))


def _known(word: str) -> str:
    return word if word in _VOCABULARY else word.rstrip("0123456789")


def _table(rows: Mapping[str, str]) -> dict[str, str]:
    return {" ".join(row.split()): role for role, text in rows.items() for row in text.split(",")}


def _after(firsts: tuple[str, ...], seconds: str) -> str:
    return ", ".join(f"{first} {second}" for first in firsts for second in seconds.split(","))


_INSIDE = {
    **_table(_PHRASES),
    **_table({"attention_output": _after(_ATTENTION, _ATTENTION_OUTPUTS)}),
    **_table({"norm": _after(_NORMS, "f, final, pre, post, before, after, in, out, q, k")}),
}
_ENDS = {**_INSIDE, **_table(_LEAVES)}
_LONGEST = max(len(phrase.split()) for phrase in (*_ENDS, *_OTHERS))
_VOCABULARY = {word for phrase in (*_ENDS, *_OTHERS) for word in phrase.split()} | set(_WEIGHTS)
