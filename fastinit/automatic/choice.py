# SPDX-License-Identifier: MIT
"""The scheme `auto`: which scheme each role gets, given the activation that follows, and why.

roles.py and phrases.py read the role from a tensor's name; nothing here looks at a name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from fastinit.automatic.phrases import AXES
from fastinit.automatic.roles import Reading, given, read, shown
from fastinit.numerics.checks import Shape, check_count
from fastinit.schemes.fans import FanOptions, FanRule
from fastinit.schemes.maker import maker
from fastinit.schemes.matrices import orthogonal
from fastinit.schemes.plain import constant, normal, ones, zeros
from fastinit.schemes.scaled import glorot_normal, he_normal, lecun_normal, variance_scaling
from fastinit.schemes.scheme import Choice, Rule, Scheme
from fastinit.suggestions import suggestion

EMBEDDING_STD = 0.02  # as in GPT-2 and BERT
LAYER_SCALES = ((18, 0.1), (24, 1e-5))  # (most layers, value); Touvron et al. (2021), section 2
DEEPEST_LAYER_SCALE = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Family:
    """One way to scale by the fans."""

    title: str
    scheme: Callable[..., Scheme]
    scale: float
    mode: Literal["fan_in", "fan_avg"]


HE = Family("He", he_normal, 2.0, "fan_in")
XAVIER = Family("Xavier", glorot_normal, 1.0, "fan_avg")
LECUN = Family("LeCun", lecun_normal, 1.0, "fan_in")

ACTIVATIONS: Mapping[str, Family] = {
    **dict.fromkeys(("relu", "relu6", "leaky_relu", "prelu", "elu", "celu"), HE),
    **dict.fromkeys(("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu"), HE),
    **dict.fromkeys(("silu", "swish", "hardswish", "mish"), HE),
    **dict.fromkeys(("reglu", "geglu", "swiglu", "glu"), HE),
    **dict.fromkeys(("linear", "identity", "tanh", "sigmoid", "softmax", "softsign"), XAVIER),
    **dict.fromkeys(("relu2",), XAVIER),
    "selu": LECUN,
}


@maker
def auto(
    activation: str | None = None,
    *,
    role: str | None = None,
    layers: int | None = None,
    layout: str | None = None,
) -> Rule:
    r"""The scheme that suits the role of a tensor, read from its name and number of axes.

    ==================================  ====================================================
    linear, convolution                 by the activation, below
    residual_output                     the same; variance / (2 layers)
    attention_input, router             Xavier, :math:`\sigma^2 = 2 / (f_\text{in} + f_\text{out})`
    recurrent_input                     Xavier
    attention_output                    Xavier; variance / (2 layers)
    recurrent                           orthogonal, all gates as one matrix
    embedding, position, head           normal, :math:`\sigma = 0.02`
    norm, running_variance              ones
    bias, running_mean                  zeros
    layer_scale                         0.1 up to 18 layers, 1e-5 up to 24 or if `layers` is not
                                        given, 1e-6 beyond
    ==================================  ====================================================

    =========================================  ==============================================
    He, :math:`\sigma^2 = 2 / f_\text{in}`     relu, relu6, leaky_relu, prelu, elu, celu, gelu,
                                               silu, swish, hardswish, mish, glu, reglu, geglu,
                                               swiglu
    Xavier                                     tanh, sigmoid, softmax, softsign, linear,
                                               identity, relu2, or none
    LeCun, :math:`\sigma^2 = 1 / f_\text{in}`  selu
    =========================================  ==============================================

    He, Xavier and LeCun are `he_normal`, `glorot_normal` and `lecun_normal`: one family, truncated
    at 2 sigma and corrected, because PyTorch lacks LeCun.  The result is an ordinary scheme whose
    `reason` says why it was chosen.  The name is read from its end; `auto` never guesses, so a name
    that it does not understand is an error.  Names and shapes do not show the following, so give
    such tensors a scheme yourself: the groups of a convolution (which matter only to Xavier), a
    transposed convolution called just `conv`, a norm that adds 1 to its weight (Gemma), the slopes
    of a PReLU in a numbered layer, tied and frozen tables (sinusoids), the gates in a recurrent
    weight, a last layer called `fc2` or `linear`.

    Args:
        activation: what follows the linear layers and convolutions, one of the above; also
            gelu_new, gelu_pytorch_tanh and quick_gelu.
        role: one of the above, instead of the role in the name.
        layers: the number of layers that add to the residual stream, twice each; as in GPT-2, the
            standard deviation of what is added is divided by sqrt(2 layers).  None: no division.
        layout: "torch", (out, in, \*kernel), or "keras" and "jax", (\*kernel, in, out).  If None,
            "keras" for a tensor whose name ends in ``kernel`` and "torch" for all others.  Experts,
            stacked along the first of 3 axes, need a layout, because one name means (out, in) in
            Mixtral and (in, out) in GPT-OSS.  Attention kernels of Keras and Flax may have separate
            heads, (in, heads, head) and (heads, head, out).

    Raises:
        ValueError: the activation, role or layout is unknown, or layers < 1.  For a tensor: the
            role cannot be read or has another number of axes, a stack of experts lacks a layout,
            the proportions of a weight show the other layout (a fused q-k-v, `c_fc`, `c_proj`, a
            router), or there is neither a name nor a role.

    Source:
        He, Zhang, Ren, Sun (2015), arXiv:1502.01852; Glorot and Bengio (2010),
        https://proceedings.mlr.press/v9/glorot10a.html; Klambauer, Unterthiner, Mayr, Hochreiter
        (2017), arXiv:1706.02515 (SELU); Saxe et al. (2013), arXiv:1312.6120 (recurrent, as in
        Keras).  ELU: Clevert, Unterthiner, Hochreiter (2015), arXiv:1511.07289, use the scale of
        He et al.  Normals, 0.02 and the division: Radford et al. (2019), "Language models are
        unsupervised multitask learners", section 2.3, and their code,
        https://github.com/openai/gpt-2; Devlin et al. (2018), arXiv:1810.04805.  Layer scales:
        Touvron et al. (2021), arXiv:2103.17239.

    Who differs: exact forward variance at unit inputs would take 2.35 for gelu, 2.81 for silu,
    2.21 for mish, 1.55 for elu where He has 2, and 0.67 for relu2, which is nearer to Xavier; the
    slopes of leaky_relu and prelu are left out.  PyTorch gives tanh a gain of 5/3, its own layers
    uniforms of variance 1 / (3 fan_in), and embeddings std 1; OpenAI's GPT-2 gives positions 0.01.

    >>> import fastinit as fi
    >>> rule = fi.auto("silu", layers=32)
    >>> up = rule.for_tensor("layers.0.mlp.up_proj.weight", (11008, 4096))
    >>> up, up.reason
    (he_normal(), "linear, by 'up proj': He, for silu")
    >>> down = rule.for_tensor("layers.0.mlp.down_proj.weight", (4096, 11008))
    >>> print(down)
    variance_scaling(scale=0.03125)
    >>> print(down.reason)
    residual_output, by 'down proj': He, for silu, over sqrt(2 * 32) as in GPT-2
    """
    family = XAVIER if activation is None else _known("activation", activation, ACTIVATIONS)
    if role is not None:
        _known("role", role, AXES)
    if layers is not None:
        check_count("layers", layers)
    if layout is not None:
        FanRule(layout=layout)

    def choose(name: str | None, dims: Shape) -> Scheme:
        if role is not None:
            reading = given(role, name or "", dims)
        elif name is not None:
            reading = read(name, dims)
        else:
            raise ValueError(
                f"auto() chooses by a tensor's name, but only the shape {dims} of this one is "
                f"known: give role=, one of {', '.join(AXES)}, or take "
                "auto().for_tensor(name, shape)"
            )
        try:
            return settle(reading, dims)
        except ValueError as error:
            raise ValueError(f"{shown(name or '', dims)}: {error}") from None

    @lru_cache(maxsize=1024)  # layers repeat, so their tensors share one scheme
    def settle(reading: Reading, dims: Shape) -> Scheme:
        tensor = _Tensor(dims, reading, _settled(layout, reading), family, activation, layers)
        tensor.check_sides()
        scheme, why = _CHOICES[reading.role](tensor)
        return replace(scheme, reason=f"{reading.role}, {reading.why}: {why}")

    return Choice(choose)


def _known(what: str, given: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(given, str) and given in known:
        return known[given]
    close = suggestion(str(given), known)
    raise ValueError(f"{what} {given!r} is unknown: choose from {', '.join(known)}{close}")


def _settled(layout: str | None, reading: Reading) -> str:
    """The layout that was given, or else that of the name."""
    if layout is None and reading.layout is None:
        raise ValueError(
            f"{reading.role}, {reading.why}: experts are stacked as (experts, out, in) in Mixtral "
            "and as (experts, in, out) in GPT-OSS and Llama 4, under one name; give "
            "layout='torch' for the first or layout='keras' for the second"
        )
    return layout or reading.layout or "torch"


@dataclass(frozen=True, eq=False, repr=False)
class _Tensor:
    """A tensor of known role, and the arguments of `auto`."""

    dims: Shape
    reading: Reading
    layout: str
    family: Family
    activation: str | None
    layers: int | None

    def check_sides(self) -> None:
        """Raise ValueError if the side that should be longer, by the name, is the shorter one."""
        if not self.reading.wider or len(self.dims) != 2:
            return
        outputs, inputs = self.dims if self.layout == "torch" else self.dims[::-1]
        longer = "outputs" if outputs > inputs else "inputs"
        if outputs != inputs and longer != self.reading.wider:
            other = "torch" if self.layout != "torch" else "keras"
            raise ValueError(
                f"{self.reading.role}, {self.reading.why}: {inputs} inputs and {outputs} outputs "
                f"in layout {self.layout!r}, where the {self.reading.wider} should be no fewer; "
                f"give layout={other!r} if it lies the other way round, or name a scheme"
            )

    def by_activation(self) -> tuple[Scheme, str]:
        return self._scaled(self.family, self._behind())

    def xavier(self) -> tuple[Scheme, str]:
        return self._scaled(XAVIER, "Xavier")

    def residual(self) -> tuple[Scheme, str]:
        return self._divided(self.family, self._behind())

    def attention_output(self) -> tuple[Scheme, str]:
        return self._divided(XAVIER, "Xavier")

    def recurrent(self) -> tuple[Scheme, str]:
        return orthogonal(layout=self.layout), "orthogonal, as in Keras"

    def layer_scale(self) -> tuple[Scheme, str]:
        value, depth = LAYER_SCALES[-1][1], "layers is not given"
        if self.layers is not None:
            fits = (value for most, value in LAYER_SCALES if (self.layers or 0) <= most)
            value, depth = next(fits, DEEPEST_LAYER_SCALE), f"{self.layers} layers"
        return constant(value), f"{value}, {depth}, as in CaiT"

    def _behind(self) -> str:
        behind = "no activation is named" if self.activation is None else f"for {self.activation}"
        return f"{self.family.title}, {behind}"

    def _scaled(self, family: Family, why: str) -> tuple[Scheme, str]:
        options, more = self._options(family)
        return family.scheme(**options), why + more

    def _divided(self, family: Family, why: str) -> tuple[Scheme, str]:
        """For what is added to the residual stream: divided by sqrt(2 layers), if that is known."""
        if self.layers is None:
            scheme, why = self._scaled(family, why)
            return scheme, f"{why}, undivided as layers is not given"
        options, more = self._options(family)
        scheme = variance_scaling(family.scale / (2 * self.layers), family.mode, **options)
        return scheme, f"{why}{more}, over sqrt(2 * {self.layers}) as in GPT-2"

    def _options(self, family: Family) -> tuple[FanOptions, str]:
        """The options from which the fans follow, and the same in words."""
        if self.reading.stacked:
            stack: FanOptions = {"layout": self.layout, "batch_axis": 0}
            return self._packed(family, stack, f", {self.dims[0]} stacked")
        if len(self.dims) == 3 and self.reading.role.startswith("attention"):
            return self._heads_apart()
        swapped = self.reading.transposed and self.layout != "jax"  # in Flax it is not swapped
        if swapped and self.reading.role == "convolution":
            return {"layout": self.layout, "transposed": True}, ", transposed"
        return self._packed(family, {"layout": self.layout}, "")

    def _heads_apart(self) -> tuple[FanOptions, str]:
        if self.layout == "torch":
            raise ValueError(
                "an attention weight of 3 axes is known only from Keras and Flax; give "
                "layout='keras', or name a scheme"
            )
        if self.reading.role == "attention_input":
            return {"in_axis": 0, "out_axis": (1, 2)}, ", heads apart"
        return {"in_axis": (0, 1), "out_axis": 2}, ", heads apart"

    def _packed(self, family: Family, options: FanOptions, more: str) -> tuple[FanOptions, str]:
        """The options, with `packed` if the name says that several matrices lie side by side.

        He and LeCun look only at the inputs, which all these matrices share.
        """
        parts = self.reading.fused
        if parts == 1 or family.mode == "fan_in":
            return options, more
        (inputs,), (outputs,), _ = FanRule(**options).axes(self.dims)
        n_in, n_out = self.dims[inputs], self.dims[outputs]
        thirds = self.reading.role == "attention_input" and parts == 3
        if thirds and n_in == parts * n_out:
            other = "torch" if self.layout != "torch" else "keras"
            raise ValueError(
                f"{parts} matrices lie along its inputs in layout {self.layout!r}; give "
                f"layout={other!r}, or name a scheme"
            )
        if n_out % parts or (thirds and n_out != parts * n_in):
            return options, f"{more}, fused of unequal parts: fans of the whole"
        return {**options, "packed": parts}, f"{more}, {parts} side by side"


def _as_embedding(tensor: _Tensor) -> tuple[Scheme, str]:
    return normal(EMBEDDING_STD), f"normal, std {EMBEDDING_STD} as in GPT-2"


_CHOICES: Mapping[str, Callable[[_Tensor], tuple[Scheme, str]]] = {
    "linear": _Tensor.by_activation,
    "convolution": _Tensor.by_activation,
    "recurrent": _Tensor.recurrent,
    "recurrent_input": _Tensor.xavier,
    "embedding": _as_embedding,
    "position": _as_embedding,
    "norm": lambda tensor: (ones(), "ones"),
    "bias": lambda tensor: (zeros(), "zeros"),
    "attention_input": _Tensor.xavier,
    "attention_output": _Tensor.attention_output,
    "residual_output": _Tensor.residual,
    "head": _as_embedding,
    "router": _Tensor.xavier,
    "layer_scale": _Tensor.layer_scale,
    "running_mean": lambda tensor: (zeros(), "zeros"),
    "running_variance": lambda tensor: (ones(), "ones"),
}
