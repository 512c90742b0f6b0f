# SPDX-License-Identifier: MIT
"""Schemes whose scale follows from the fans: variance scaling and its named cases.

Thin names over the engine in engine.py.
"""

from __future__ import annotations

from typing import Unpack

from fastinit.schemes.engine import (
    DistributionName,
    Mode,
    OneFan,
    kaiming_std,
    of_variance,
    scaled,
    xavier_std,
)
from fastinit.schemes.fans import FanOptions
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule


@maker
def variance_scaling(
    scale: float = 1.0,
    mode: Mode = "fan_in",
    distribution: DistributionName = "truncated_normal",
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Weights of variance scale / n, where n is a fan: the rule behind most other schemes.

    .. math:: \sigma^2 = \text{scale} / n, \quad n \in \{ f_\text{in}, f_\text{out},
              (f_\text{in} + f_\text{out}) / 2, \sqrt{f_\text{in} f_\text{out}} \}

    Args:
        scale: factor on the variance, >= 0 (a gain squared).
        mode: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".
        distribution: "truncated_normal" (at 2 sigma, corrected, so that the values have this
            variance), "normal" or "untruncated_normal" (plain), or "uniform".
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: scale is negative or not finite; an unknown mode or distribution.
        ValueError: as for `fans`.

    Source:
        ``jax.nn.initializers.variance_scaling``.  Who differs: in Keras "normal" is truncated, and
        there is no "fan_geo_avg".

    >>> variance_scaling(2.0, "fan_avg", "uniform").distribution((300, 100)).high
    0.17320508075688773
    """
    return of_variance(scale, mode, distribution, options)


@maker
def xavier_uniform(
    gain: float = 1.0,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Uniform weights that keep the variance forwards and backwards; PyTorch's convention.

    .. math:: w \sim \mathcal U[-a, a], \quad
              a = \text{gain} \sqrt{6 / (f_\text{in} + f_\text{out})}

    Args:
        gain: factor on the standard deviation, >= 0, such as ``fastinit.schemes.gain("tanh")``.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: gain is negative or not finite.
        ValueError: as for `fans`.

    Source:
        Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward
        neural networks", eq. 16, https://proceedings.mlr.press/v9/glorot10a.html;
        ``torch.nn.init.xavier_uniform_``.  Who differs: `glorot_uniform`, the convention of Keras
        and JAX (which also calls it ``xavier_uniform``), has no gain and rounds in another order:
        the last bit may differ.

    >>> xavier_uniform().distribution((100, 50)).high
    0.2
    """
    return scaled(xavier_std(gain), "fan_avg", "uniform", options)


@maker
def xavier_normal(
    gain: float = 1.0,
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Plain normal weights that keep the variance forwards and backwards; PyTorch's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad
              \sigma = \text{gain} \sqrt{2 / (f_\text{in} + f_\text{out})}

    Args:
        all: as for `xavier_uniform`.

    Raises:
        all: as for `xavier_uniform`.

    Source:
        Glorot and Bengio (2010), eq. 12, https://proceedings.mlr.press/v9/glorot10a.html;
        ``torch.nn.init.xavier_normal_``.  Who differs: `glorot_normal`, the convention of Keras
        and JAX (which also calls it ``xavier_normal``), is truncated and has no gain.

    >>> xavier_normal().distribution((96, 32)).std
    0.125
    """
    return scaled(xavier_std(gain), "fan_avg", "normal", options)


@maker
def kaiming_uniform(
    a: float = 0.0,
    mode: OneFan = "fan_in",
    nonlinearity: str = "leaky_relu",
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Uniform weights that keep the variance through rectifiers; PyTorch's convention.

    .. math:: w \sim \mathcal U[-b, b], \quad b = \text{gain} \sqrt{3 / f}

    where f is the fan of `mode`.

    Args:
        a: slope of leaky_relu below zero; other nonlinearities ignore it, as in PyTorch.
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" that of the backward pass.
        nonlinearity: sets the gain: 1 for "linear", "identity", "sigmoid" and the convolutions
            ("conv1d" to "conv3d", "conv_transpose1d" to "conv_transpose3d"), 5/3 for "tanh",
            sqrt(2) for "relu", sqrt(2 / (1 + a^2)) for "leaky_relu", 3/4 for "selu".
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: `a` is not finite; an unknown mode or nonlinearity.
        ValueError: as for `fans`.

    Source:
        He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers", eq. 10 and 15,
        arXiv:1502.01852; ``torch.nn.init.kaiming_uniform_``.  ``torch.nn.Linear`` uses
        a = sqrt(5), so that b = 1 / sqrt(fan_in).  Who differs: `he_uniform`, the convention of
        Keras and JAX (which also calls it ``kaiming_uniform``), takes neither a slope nor a mode,
        and rounds in another order.

    >>> kaiming_uniform().distribution((128, 600)).high
    0.1
    """
    std_of = kaiming_std(a, nonlinearity)
    return scaled(std_of, mode, "uniform", options)


@maker
def kaiming_normal(
    a: float = 0.0,
    mode: OneFan = "fan_in",
    nonlinearity: str = "leaky_relu",
    **options: Unpack[FanOptions],
) -> Rule:
    r"""Plain normal weights that keep the variance through rectifiers; PyTorch's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2), \quad \sigma = \text{gain} / \sqrt f

    where f is the fan of `mode`.

    Args:
        all: as for `kaiming_uniform`.

    Raises:
        all: as for `kaiming_uniform`.

    Source:
        He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers", eq. 10 and 15,
        arXiv:1502.01852; ``torch.nn.init.kaiming_normal_``.  Who differs: `he_normal`, the
        convention of Keras and JAX (which also calls it ``kaiming_normal``), is truncated; the
        paper does not truncate.

    >>> kaiming_normal(mode="fan_out").distribution((512, 64)).std
    0.0625
    """
    std_of = kaiming_std(a, nonlinearity)
    return scaled(std_of, mode, "normal", options)


@maker
def glorot_uniform(**options: Unpack[FanOptions]) -> Rule:
    r"""Uniform weights of variance 2 / (fan_in + fan_out); Keras's and JAX's name.

    .. math:: w \sim \mathcal U[-a, a], \quad a = \sqrt{6 / (f_\text{in} + f_\text{out})}

    Args:
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: as for `fans`.

    Source:
        Glorot and Bengio (2010), eq. 16, https://proceedings.mlr.press/v9/glorot10a.html;
        ``keras.initializers.GlorotUniform``, ``jax.nn.initializers.glorot_uniform``.  Who differs:
        `xavier_uniform`, PyTorch's convention, rounds in another order: the last bit may differ.

    >>> glorot_uniform().distribution((100, 50)).high
    0.2
    """
    return of_variance(1.0, "fan_avg", "uniform", options)


@maker
def glorot_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Truncated normal weights of variance 2 / (fan_in + fan_out); Keras's and JAX's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 2 \sigma, \quad
              \sigma = \sqrt{2 / (f_\text{in} + f_\text{out})} \, / \, 0.87962566

    The divisor corrects sigma, so that the truncated values have this variance.

    Args:
        all: as for `glorot_uniform`.

    Raises:
        all: as for `glorot_uniform`.

    Source:
        Glorot and Bengio (2010), eq. 12, https://proceedings.mlr.press/v9/glorot10a.html;
        ``keras.initializers.GlorotNormal``, ``jax.nn.initializers.glorot_normal``.  Who differs:
        `xavier_normal`, PyTorch's convention, is not truncated.

    >>> round(glorot_normal().distribution((96, 32)).std, 12)
    0.125
    """
    return of_variance(1.0, "fan_avg", "truncated_normal", options)


@maker
def he_uniform(**options: Unpack[FanOptions]) -> Rule:
    r"""Uniform weights of variance 2 / fan_in; Keras's and JAX's name.

    .. math:: w \sim \mathcal U[-a, a], \quad a = \sqrt{6 / f_\text{in}}

    Args:
        all: as for `glorot_uniform`.

    Raises:
        all: as for `glorot_uniform`.

    Source:
        He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers", eq. 10, arXiv:1502.01852;
        ``keras.initializers.HeUniform``, ``jax.nn.initializers.he_uniform``.  Who differs:
        `kaiming_uniform`, PyTorch's convention, rounds in another order: the last bit may differ.

    >>> he_uniform().distribution((128, 600)).high
    0.1
    """
    return of_variance(2.0, "fan_in", "uniform", options)


@maker
def he_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Truncated normal weights of variance 2 / fan_in; Keras's and JAX's convention.

    .. math:: w \sim \mathcal N(0, \sigma^2) \text{ given } |w| \le 2 \sigma, \quad
              \sigma = \sqrt{2 / f_\text{in}} \, / \, 0.87962566

    The divisor corrects sigma, so that the truncated values have this variance.

    Args:
        all: as for `glorot_uniform`.

    Raises:
        all: as for `glorot_uniform`.

    Source:
        He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers", eq. 10, arXiv:1502.01852;
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

    Args:
        all: as for `glorot_uniform`.

    Raises:
        all: as for `glorot_uniform`.

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

    The divisor corrects sigma, so that the truncated values have this variance.

    Args:
        all: as for `glorot_uniform`.

    Raises:
        all: as for `glorot_uniform`.

    Source:
        LeCun, Bottou, Orr, Mueller (1998), "Efficient BackProp", eq. 16,
        doi:10.1007/3-540-49430-8_2; ``keras.initializers.LecunNormal``,
        ``jax.nn.initializers.lecun_normal``.  Who differs: `selu_normal` is not truncated; PyTorch
        has no such function.

    >>> round(lecun_normal().distribution((8, 256)).std, 12)
    0.0625
    """
    return of_variance(1.0, "fan_in", "truncated_normal", options)
