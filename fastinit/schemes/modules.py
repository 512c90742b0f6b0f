# SPDX-License-Identifier: MIT
"""What the layers of PyTorch and Keras start with, where no scheme of another name makes it."""

from __future__ import annotations

import math
from typing import Unpack

from fastinit.numerics.checks import check_count
from fastinit.schemes.engine import kaiming_std, scaled, within
from fastinit.schemes.fans import FanOptions
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Constant, Distribution, Normal
from fastinit.values.matrices import Blocks


@maker
def torch_linear(**options: Unpack[FanOptions]) -> Rule:
    r"""The weight of ``torch.nn.Linear`` and ``torch.nn.Conv1d``, ``2d``, ``3d``.

    .. math:: w \sim \mathcal U[-a, a], \quad a = 1 / \sqrt{f_\text{in}}

    The same as kaiming_uniform(a=sqrt(5)), to the last bit.  The bias is `torch_bias`.

    Args:
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: as for `fans`.

    Source:
        ``torch.nn.Linear.reset_parameters``, PyTorch 2.13.  The weight of a transposed convolution
        is (in, out / groups, \*kernel), and PyTorch takes its second axis for the inputs there
        too: leave out `transposed` to do the same.  In ``torch.nn.MultiheadAttention`` this is
        ``out_proj`` only; the packed ``in_proj_weight`` is xavier_uniform(), the biases are
        zeros().  Who differs: Keras's layers start with `glorot_uniform`, Flax's with
        `lecun_normal`.

    >>> round(torch_linear().distribution((128, 64, 2, 2)).high, 15)
    0.0625
    """
    return scaled(kaiming_std(math.sqrt(5.0), "leaky_relu"), "fan_in", "uniform", options)


def _within_root(n: int) -> Rule:
    """Uniform over [-a, a], a = 1 / sqrt(n); zero if n is 0."""
    found = within(1.0 / math.sqrt(n) if n else 0.0)
    return lambda shape: found


@maker
def torch_bias(*, fan_in: int) -> Rule:
    r"""The bias of ``torch.nn.Linear``, ``Conv`` and ``Bilinear``.

    .. math:: b \sim \mathcal U[-a, a], \quad a = 1 / \sqrt{\text{fan\_in}}

    Args:
        fan_in: of the layer's weight, >= 0: inputs of a linear layer; in / groups times the kernel
            of a convolution, out / groups times it of a transposed one; ``in1_features`` of a
            bilinear layer.  0 makes zeros.

    Raises:
        ValueError: fan_in is below 0.

    Source:
        ``torch.nn.Linear.reset_parameters``, PyTorch 2.13.  Who differs: Keras's and Flax's
        biases are zeros().

    >>> torch_bias(fan_in=64).distribution((256,)).high
    0.125
    """
    check_count("fan_in", fan_in, least=0)
    return _within_root(fan_in)


@maker
def torch_bilinear() -> Rule:
    r"""The weight of ``torch.nn.Bilinear``, of shape (out, in1, in2).

    .. math:: w \sim \mathcal U[-a, a], \quad a = 1 / \sqrt{\text{in}_1}

    Only the first input counts.  The bias is torch_bias(fan_in=in1).

    Raises:
        TypeError: an argument is given.
        ValueError: a shape that does not have three axes.

    Source:
        ``torch.nn.Bilinear.reset_parameters``, PyTorch 2.13.  Keras and Flax have no such layer.

    >>> torch_bilinear().distribution((8, 64, 32)).high
    0.125
    """

    def rule(dims: tuple[int, ...]) -> Distribution:
        if len(dims) != 3:
            raise ValueError(
                f"shape {dims} has {len(dims)} axes: torch_bilinear needs (out, in1, in2)"
            )
        return _within_root(dims[1])(dims)

    return rule


@maker
def torch_rnn(*, hidden: int) -> Rule:
    r"""All weights and biases of ``torch.nn.RNN``, ``LSTM``, ``GRU`` and their cells.

    .. math:: w \sim \mathcal U[-a, a], \quad a = 1 / \sqrt{\text{hidden}}

    Args:
        hidden: ``hidden_size``, also where there is a projection, >= 1.

    Raises:
        ValueError: hidden is below 1.

    Source:
        ``torch.nn.RNNBase.reset_parameters``, PyTorch 2.13.  Who differs: Keras has a Glorot
        uniform kernel, an orthogonal recurrent kernel and zero biases; see `keras_lstm_bias`.

    >>> torch_rnn(hidden=64).distribution((4 * 64, 16)).high
    0.125
    """
    check_count("hidden", hidden)
    return _within_root(hidden)


@maker
def torch_embedding(std: float = 1.0, *, padding: int | None = None) -> Rule:
    r"""The weight of ``torch.nn.Embedding`` and ``EmbeddingBag``, of shape (rows, width).

    .. math:: w \sim \mathcal N(0, \text{std}^2), \quad w_{\text{padding}} = 0

    Args:
        std: standard deviation, >= 0; PyTorch's is 1.
        padding: the row that is zeros, ``padding_idx``; a negative one counts from the end.  All
            other rows are the same with and without it.

    Raises:
        ValueError: std is negative or not finite; padding is beyond the rows of the shape.

    Source:
        ``torch.nn.Embedding.reset_parameters``, PyTorch 2.13.  Who differs: Keras's embeddings are
        uniform(-0.05, 0.05), Flax's normal(1 / sqrt(width)).

    >>> import fastinit as fi
    >>> fi.array((3, 2), fi.schemes.torch_embedding(padding=0), seed=0, name="wte")[0].tolist()
    [0.0, 0.0]
    """
    rows = Normal(std, 0.0)

    def rule(dims: tuple[int, ...]) -> Distribution:
        if padding is None:
            return rows
        count = dims[0] if dims else 0
        if not -count <= padding < count:
            raise ValueError(
                f"padding is {padding}: shape {dims} has {count} rows, so need {-count} <= padding "
                f"< {count}"
            )
        before = padding % count
        sizes = (before, 1, count - before - 1)
        return Blocks(dims, 0, sizes, (rows, Constant(0.0), rows))

    return rule


@maker
def keras_lstm_bias() -> Rule:
    r"""The bias of Keras's LSTM, of shape (4 \* units,): one for the forget gates, else zero.

    .. math:: b_i = [u \le i < 2 u], \quad u = \text{units}

    The gates lie in the order input, forget, cell, output.

    Raises:
        TypeError: an argument is given.
        ValueError: a shape other than one axis of a multiple of 4.

    Source:
        ``keras.layers.LSTM`` with ``unit_forget_bias``, its default; Keras 3.15.  Its kernel is
        `glorot_uniform`, its recurrent kernel `orthogonal`, both with layout="keras".  Who
        differs: Flax's LSTM has zeros(), PyTorch's `torch_rnn`.

    >>> import fastinit as fi
    >>> fi.array((8,), fi.schemes.keras_lstm_bias(), seed=0, name="b").tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    zero, one = Constant(0.0), Constant(1.0)

    def rule(dims: tuple[int, ...]) -> Distribution:
        if len(dims) != 1 or dims[0] % 4:
            raise ValueError(f"shape {dims}: keras_lstm_bias needs (4 * units,)")
        units = dims[0] // 4
        return Blocks(dims, 0, (units, units, 2 * units), (zero, one, zero))

    return rule
