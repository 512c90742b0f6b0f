# SPDX-License-Identifier: MIT
"""Gains: how much a nonlinearity shrinks its input, to be made up for by the weights before it."""

from __future__ import annotations

import math

from fastinit.schemes.scheme import plain_number

NONLINEARITIES = (
    "linear", "identity", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
)  # fmt: skip


def gain(nonlinearity: str, param: float | None = None) -> float:
    r"""The factor on the standard deviation that suits a nonlinearity.

    ===========================================  =================================
    linear, identity, conv\*, sigmoid            1
    tanh                                         5/3
    relu                                         :math:`\sqrt 2`
    leaky_relu                                   :math:`\sqrt{2 / (1 + \text{slope}^2)}`
    selu                                         3/4
    ===========================================  =================================

    Args:
        nonlinearity: one of the names above.
        param: the negative slope of leaky_relu, 0.01 if not given; no other takes one.

    Raises:
        ValueError: an unknown name, a slope that is not finite, or a `param` that the nonlinearity
            does not take.

    Source:
        ``torch.nn.init.calculate_gain``, PyTorch 2.13.  relu: He, Zhang, Ren, Sun (2015),
        "Delving deep into rectifiers", arXiv:1502.01852.  tanh's 5/3 has no published source: it
        is PyTorch's.  selu's 3/4 is empirical.  Who differs: Klambauer et al. (2017),
        "Self-normalizing neural networks", arXiv:1706.02515, have 1 for selu.  PyTorch ignores a
        `param` that is not needed and does not know "identity"; JAX and Keras have no gains.

    >>> gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(
            f"nonlinearity {nonlinearity!r} is unknown: choose from {', '.join(NONLINEARITIES)}"
        )
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else plain_number("the slope of leaky_relu", param)
        if not math.isfinite(slope * slope):
            raise ValueError(f"the slope of leaky_relu is {slope!r}: need a finite number")
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if param is not None:
        raise ValueError(f"nonlinearity {nonlinearity!r} takes no param; {param!r} was given")
    return {"tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}.get(nonlinearity, 1.0)
