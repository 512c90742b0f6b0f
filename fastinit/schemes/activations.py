# SPDX-License-Identifier: MIT
"""Schemes that belong to one activation: sine, SELU and ELU.  Rectifiers' are in scaled.py."""

from __future__ import annotations

import math
from typing import Unpack

from fastinit.numerics.checks import check_multiplier
from fastinit.schemes.engine import by_fan, by_variance, scaled, within
from fastinit.schemes.fans import FanOptions
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule

ELU_VARIANCE = 1.5505188080679277
"""1 / E[elu(z)^2] = 1 / (1 + e^2 Phi(-2) - 2 sqrt(e) Phi(-1)), as the SIREN code writes it."""


@maker
def siren(omega: float = 30.0, *, first: bool = False, **options: Unpack[FanOptions]) -> Rule:
    r"""Networks of sines, sin(omega (W x + b)).

    .. math:: w \sim \mathcal U[-a, a], \quad a = \frac{\sqrt{6 / f_\text{in}}}{\omega}
              \text{ or, in the first layer, } \frac{1}{f_\text{in}}

    For every layer, including the last, linear one.  Biases are `torch_bias`.

    Args:
        omega: the frequency, > 0; the weights of the first layer do not depend on it.
        first: True for the layer whose inputs are the coordinates.
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: omega is not above 0 or not finite.
        ValueError: as for `fans`.

    Source:
        Sitzmann, Martel, Bergman, Lindell, Wetzstein (2020), "Implicit neural representations with
        periodic activation functions", arXiv:2006.09661; the authors' ``modules.py``.  Who differs:
        the paper's bound for sin(W x + b) has no omega; the factored form divides by it.  The
        bound of the first layer comes from the code.  siren-pytorch 0.1.7 gives each bias the
        bound of its layer's weight.

    >>> siren().distribution((256, 150)).high == 0.2 / 30
    True
    >>> siren(first=True).distribution((256, 2)).high
    0.5
    """
    check_multiplier("omega", omega)
    if first:
        return by_fan(lambda n: within(1.0 / n), "fan_in", options)
    return by_fan(lambda n: within(math.sqrt(6.0 / n) / omega), "fan_in", options)


@maker
def selu_normal(**options: Unpack[FanOptions]) -> Rule:
    r"""Plain normal weights that keep mean 0 and variance 1 through SELU.

    .. math:: w \sim \mathcal N(0, 1 / f_\text{in})

    Biases are zeros().

    Args:
        layout, ..., packed: as for `fans`.

    Raises:
        ValueError: as for `fans`.

    Source:
        Klambauer, Unterthiner, Mayr, Hochreiter (2017), "Self-normalizing neural networks",
        arXiv:1706.02515.  Who differs: `lecun_normal` has the same variance but is truncated;
        PyTorch's gain of 3/4 for selu makes `kaiming_normal` narrower than in the paper.

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

    Args:
        all: as for `selu_normal`.

    Raises:
        all: as for `selu_normal`.

    Source:
        ``modules.py`` of the authors of Sitzmann et al. (2020), arXiv:2006.09661.  Who differs:
        nobody known; PyTorch has no gain for elu.

    >>> elu_normal().distribution((64, 256)).std == (1.5505188080679277 / 256) ** 0.5
    True
    """
    return scaled(by_variance(ELU_VARIANCE), "fan_in", "normal", options)
