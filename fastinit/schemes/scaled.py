# SPDX-License-Identifier: MIT
"""Schemes whose scale follows from the fans: variance scaling and its named cases.

Thin names over the engine in engine.py.
"""

from __future__ import annotations

from typing import Unpack

from fastinit.fans import FanOptions
from fastinit.schemes.engine import Kind, Mode, kaiming_std, of_variance, scaled, xavier_std
from fastinit.schemes.scheme import Rule, maker


@maker
def variance_scaling(
    scale: float = 1.0,
    mode: Mode = "fan_in",
    distribution: Kind = "truncated_normal",
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Weights of variance scale / n, n a fan: the rule behind most of the others.

    .. math:: \sigma^2 = \text{scale} / n, \quad n \in \{ f_\text{in}, f_\text{out},
              (f_\text{in} + f_\text{out}) / 2, \sqrt{f_\text{in} f_\text{out}} \}

    Args:
        scale: factor on the variance, >= 0 (a gain squared).
        mode: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".
        distribution: "truncated_normal" (at 2 sigma, corrected, so that the values have this
            variance), "normal" or "untruncated_normal" (plain), or "uniform".
        layout, ..., packed: how the fans follow from the shape; see `fastinit.fans`.

    Raises:
        ValueError: scale negative or not finite, an unknown mode, distribution or layout; when
            it meets a shape, one without such axes.

    Source:
        ``jax.nn.initializers.variance_scaling``.  Who differs: Keras's "normal" is truncated,
        and it has no "fan_geo_avg".

    >>> variance_scaling(2.0, "fan_avg", "uniform").distribution((300, 100)).high
    0.17320508075688773
    """
    return of_variance(scale, mode, distribution, options)


@maker
def xavier_uniform(
    gain: float = 1.0,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Uniform weights that keep variance both forwards and backwards; PyTorch's convention.

    .. math:: w \sim \mathcal U[-a, a], \quad
              a = \text{gain} \sqrt{6 / (f_\text{in} + f_\text{out})}

    Args:
        gain: factor on the standard deviation, >= 0; see `fastinit.gain`.
        layout, ..., packed: how the fans follow from the shape; see `fastinit.fans`.

    Raises:
        ValueError: gain negative or not finite, an unknown layout, a shape without fans.

    Source:
        Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward
        neural networks", eq. 16, https://proceedings.mlr.press/v9/glorot10a.html;
        ``torch.nn.init.xavier_uniform_``.  Who differs: Keras's and JAX's `glorot_uniform` (JAX
        also calls it ``xavier_uniform``) has no gain and rounds in another order: the last bit
        may differ.

    >>> xavier_uniform().distribution((100, 50)).high
    0.2
    """
    return scaled(xavier_std(gain), "fan_avg", "uniform", options)


@maker
def xavier_normal(
    gain: float = 1.0,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Plain normal weights that keep variance both forwards and backwards; PyTorch's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \text{gain} \sqrt{2 / (f_\text{in} + f_\text{out})}

    Args, errors and source as for `xavier_uniform`.  Who differs: Keras's and JAX's
    ``glorot_normal`` (JAX also calls it ``xavier_normal``) truncates; see `glorot_normal`.

    >>> xavier_normal().distribution((96, 32)).std
    0.125
    """
    return scaled(xavier_std(gain), "fan_avg", "normal", options)


@maker
def kaiming_uniform(
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Uniform weights that keep variance through rectifiers; PyTorch's convention.

    .. math:: w \sim \mathcal U[-b, b], \quad b = \text{gain} \sqrt{3 / f}

    Args:
        a: the slope of leaky_relu below zero; other nonlinearities ignore it, as in PyTorch.
        mode: "fan_in" keeps the forward variance, "fan_out" the backward one.
        nonlinearity: sets the gain; see `fastinit.gain`.
        layout, ..., packed: how the fans follow from the shape; see `fastinit.fans`.

    Raises:
        ValueError: `a` not finite, an unknown mode, nonlinearity or layout, a shape without fans.

    Source:
        He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers", eq. 10 and 15,
        arXiv:1502.01852; ``torch.nn.init.kaiming_uniform_``.  ``torch.nn.Linear`` uses
        a = sqrt(5), which makes b = 1 / sqrt(fan_in).  Who differs: Keras's and JAX's `he_uniform`
        (JAX also calls it ``kaiming_uniform``) takes neither slope nor mode, and rounds in another
        order.

    >>> kaiming_uniform().distribution((128, 600)).high
    0.1
    """
    std_of = kaiming_std(a, mode, nonlinearity)
    return scaled(std_of, mode, "uniform", options)


@maker
def kaiming_normal(
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Plain normal weights that keep variance through rectifiers; PyTorch's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad \sigma = \text{gain} / \sqrt f

    Args, errors and source as for `kaiming_uniform`.  Untruncated, as in the paper.  Who differs:
    Keras's and JAX's ``he_normal`` (JAX also calls it ``kaiming_normal``) truncates.

    >>> kaiming_normal(mode="fan_out").distribution((512, 64)).std
    0.0625
    """
    std_of = kaiming_std(a, mode, nonlinearity)
    return scaled(std_of, mode, "normal", options)


@maker
def glorot_uniform(**options: Unpack[FanOptions]) -> Rule:
    r"""Uniform weights of variance 2 / (fan_in + fan_out); Keras's and JAX's name.

    .. math:: w \sim \mathcal U[-a, a], \quad a = \sqrt{6 / (f_\text{in} + f_\text{out})}

    Args:
        layout, ..., packed: how the fans follow from the shape; see `fastinit.fans`.

    Raises:
        ValueError: an unknown layout, a shape without fans.

    Source:
        Glorot and Bengio (2010), as for `xavier_uniform`; ``keras.initializers.GlorotUniform``,
        ``jax.nn.initializers.glorot_uniform``.  Who differs: `xavier_uniform`, PyTorch's, rounds
        in another order: the last bit may differ.

    >>> glorot_uniform().distribution((100, 50)).high
    0.2
    """
    return of_variance(1.0, "fan_avg", "uniform", options)


@maker
def glorot_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Truncated normal weights of variance 2 / (fan_in + fan_out); Keras's and JAX's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 2 \sigma, \quad
              \sigma = \sqrt{2 / (f_\text{in} + f_\text{out})} \, / \, 0.87962566

    The bell is widened so that the values have this variance.

    Args and errors as for `glorot_uniform`.

    Source:
        Glorot and Bengio (2010), as for `xavier_uniform`; ``keras.initializers.GlorotNormal``,
        ``jax.nn.initializers.glorot_normal``.  Who differs: PyTorch does not truncate; see
        `xavier_normal`.

    >>> round(glorot_normal().distribution((96, 32)).std, 12)
    0.125
    """
    return of_variance(1.0, "fan_avg", "truncated_normal", options)


@maker
def he_uniform(**options: Unpack[FanOptions]) -> Rule:
    r"""Uniform weights of variance 2 / fan_in; Keras's and JAX's name.

    .. math:: w \sim \mathcal U[-a, a], \quad a = \sqrt{6 / f_\text{in}}

    Args and errors as for `glorot_uniform`.

    Source:
        He et al. (2015), as for `kaiming_uniform`; ``keras.initializers.HeUniform``,
        ``jax.nn.initializers.he_uniform``.  Who differs: `kaiming_uniform`, PyTorch's, rounds in
        another order: the last bit may differ.

    >>> he_uniform().distribution((128, 600)).high
    0.1
    """
    return of_variance(2.0, "fan_in", "uniform", options)


@maker
def he_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Truncated normal weights of variance 2 / fan_in; Keras's and JAX's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 2 \sigma, \quad
              \sigma = \sqrt{2 / f_\text{in}} \, / \, 0.87962566

    Args and errors as for `glorot_uniform`.

    Source:
        He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers", arXiv:1502.01852;
        ``keras.initializers.HeNormal``, ``jax.nn.initializers.he_normal``.  Who differs: the
        paper and PyTorch do not truncate; see `kaiming_normal`.

    >>> round(he_normal().distribution((1024, 512)).std, 12)
    0.0625
    """
    return of_variance(2.0, "fan_in", "truncated_normal", options)


@maker
def lecun_uniform(**options: Unpack[FanOptions]) -> Rule:
    r"""Uniform weights of variance 1 / fan_in; Keras's and JAX's name.

    .. math:: w \sim \mathcal U[-a, a], \quad a = \sqrt{3 / f_\text{in}}

    Args and errors as for `glorot_uniform`.

    Source:
        LeCun, Bottou, Orr, Mueller (1998), "Efficient BackProp", eq. 16,
        doi:10.1007/3-540-49430-8_2; ``keras.initializers.LecunUniform``,
        ``jax.nn.initializers.lecun_uniform``.  Who differs: nobody; PyTorch has no such function.

    >>> lecun_uniform().distribution((128, 300)).high
    0.1
    """
    return of_variance(1.0, "fan_in", "uniform", options)


@maker
def lecun_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Truncated normal weights of variance 1 / fan_in; Keras's and JAX's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 2 \sigma, \quad
              \sigma = \sqrt{1 / f_\text{in}} \, / \, 0.87962566

    Args and errors as for `glorot_uniform`.

    Source:
        LeCun et al. (1998), as for `lecun_uniform`; ``keras.initializers.LecunNormal``,
        ``jax.nn.initializers.lecun_normal``.  Who differs: `selu_normal` is not truncated; PyTorch
        has no such function.

    >>> round(lecun_normal().distribution((8, 256)).std, 12)
    0.0625
    """
    return of_variance(1.0, "fan_in", "truncated_normal", options)
