# SPDX-License-Identifier: MIT
"""Gains: how much a nonlinearity shrinks its input, to be made up for by the weights before it."""

from __future__ import annotations

import math

from fastinit.machine.floats import default_floats
from fastinit.numerics.checks import check_choice, check_number

NONLINEARITIES = (
    "linear", "identity", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
)  # fmt: skip


@default_floats
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
        nonlinearity: one of the names above; conv\* stands for "conv1d" to "conv3d" and
            "conv_transpose1d" to "conv_transpose3d".
        param: slope of leaky_relu below zero, by default 0.01; only leaky_relu takes a `param`.

    Raises:
        TypeError: the slope is not a number.
        ValueError: an unknown nonlinearity; a slope that is not finite, or whose square is not; a
            `param` for another nonlinearity.

    Source:
        ``torch.nn.init.calculate_gain``, PyTorch 2.13.  For relu: He, Zhang, Ren, Sun
        (2015), "Delving deep into rectifiers", arXiv:1502.01852.  The 5/3 for tanh is PyTorch's and
        has no published source; the 3/4 for selu is empirical.  Who differs: Klambauer et al.
        (2017), "Self-normalizing neural networks", arXiv:1706.02515, have 1 for selu.  PyTorch
        ignores a `param` that it does not need, and does not know "identity"; JAX and Keras have
        no gains.

    >>> gain("leaky_relu", 1.0)
    1.0
    """
    check_choice("nonlinearity", nonlinearity, NONLINEARITIES)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else check_number("the slope of leaky_relu", param)
        if not math.isfinite(slope * slope):
            raise ValueError(
                f"the slope of leaky_relu is {slope!r}: need a finite number with a finite square"
            )
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if param is not None:
        raise ValueError(f"nonlinearity {nonlinearity!r} takes no param; {param!r} was given")
    return {"tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}.get(nonlinearity, 1.0)
