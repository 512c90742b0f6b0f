# SPDX-License-Identifier: MIT
"""Schemes that belong to one activation: sine, SELU and ELU.  Rectifiers' are in scaled.py."""

from __future__ import annotations

import math
from typing import Unpack

from fastinit.fans import FanOptions
from fastinit.schemes.engine import by_fan, by_variance, scaled, within
from fastinit.schemes.scheme import Rule, check_flag, check_multiplier, maker

ELU_VARIANCE = 1.5505188080679277
"""1 / E[elu(z)^2] = 1 / (1 + e^2 Phi(-2) - 2 sqrt(e) Phi(-1)), as the SIREN code writes it."""


@maker
def siren(omega: float = 30.0, *, first: bool = False, **options: Unpack[FanOptions]) -> Rule:
    r"""Networks of sines, sin(omega (W x + b)).

    .. math:: w \sim \mathcal U[-a, a], \quad a = \frac{\sqrt{6 / f_\text{in}}}{\omega}
              \text{ or, in the first layer, } \frac{1}{f_\text{in}}

    For every layer, the last and linear one too.  Biases are `torch_bias`.

    Args:
        omega: the frequency, > 0; the first layer's weights do not depend on it.
        first: the layer that takes the coordinates.
        layout, ..., packed: how the fans follow from the shape; see `fastinit.fans`.

    Raises:
        ValueError: omega not above 0 or not finite, an unknown layout, a shape without fans.

    Source:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein (2020), "Implicit neural representations with
        periodic activation functions", arXiv:2006.09661; the authors' ``modules.py``.  Who differs:
        the paper's bound for sin(W x + b) has no omega; the factored form divides by it.  The
        first layer's bound is the code's.

    >>> siren().distribution((256, 150)).high == 0.2 / 30
    True
    >>> siren(first=True).distribution((256, 2)).high
    0.5
    """
    check_multiplier("omega", omega)
    check_flag("first", first)
    if first:
        return by_fan(lambda n: within(1.0 / n), "fan_in", options)
    return by_fan(lambda n: within(math.sqrt(6.0 / n) / omega), "fan_in", options)


@maker
def selu_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Plain normal weights that keep mean 0 and variance 1 through SELU.

    .. math:: w \sim \mathcal N(0, 1 / f_\text{in})

    Biases are zeros().

    Args:
        layout, ..., packed: how the fans follow from the shape; see `fastinit.fans`.

    Raises:
        ValueError: an unknown layout, a shape without fans.

    Source:
        Klambauer, Unterthiner, Mayr, Hochreiter (2017), "Self-normalizing neural networks",
        arXiv:1706.02515.  Who differs: `lecun_normal` has this variance and is truncated;
        PyTorch's gain for selu, 3/4, makes `kaiming_normal` narrower than the paper.

    >>> selu_normal().distribution((64, 256)).std
    0.0625
    """
    return scaled(by_variance(1.0), "fan_in", "normal", options)


@maker
def elu_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Plain normal weights that keep the second moment through ELU.

    .. math:: w \sim \mathcal N(0, c / f_\text{in}), \quad
              c = 1 / \operatorname E[\text{elu}(z)^2] = 1.5505188080679277, \quad
              z \sim \mathcal N(0, 1)

    Args and errors as for `selu_normal`.

    Source:
        The code of Sitzmann et al. (2020), ``modules.py``, as for `siren`.  Who differs: nobody
        known; PyTorch has no gain for elu.

    >>> elu_normal().distribution((64, 256)).std == (1.5505188080679277 / 256) ** 0.5
    True
    """
    return scaled(by_variance(ELU_VARIANCE), "fan_in", "normal", options)
