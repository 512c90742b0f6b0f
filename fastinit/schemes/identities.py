# SPDX-License-Identifier: MIT
"""Schemes of ones, zeros and signs: the same in every stream."""

from __future__ import annotations

import math

from fastinit.numerics.checks import Shape, check_finite
from fastinit.schemes.convolutions import convolution, placed, strides, without
from fastinit.schemes.fans import Axes, FanRule
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.texts import quoted
from fastinit.values.distributions import Distribution
from fastinit.values.matrices import Hadamard, Matrix, Points


@maker
def identity(gain: float = 1.0, *, batch_axis: Axes = ()) -> Rule:
    r"""`gain` on the diagonal, zero elsewhere.

    .. math:: w_{ij} = \text{gain} \, [i = j]

    Args:
        gain: the value on the diagonal, finite.
        batch_axis: axes that stack matrices, each an identity.  Two axes must be left; the matrix
            need not be square.

    Raises:
        ValueError: gain not finite, or a shape of other than two axes beside the batch axes.

    Source:
        ``torch.nn.init.eye_`` and ``keras.initializers.Identity``.  For recurrent weights: Le,
        Jaitly, Hinton (2015), "A simple way to initialize recurrent networks of rectified linear
        units", arXiv:1504.00941.  Who differs: PyTorch has no gain; JAX has no such function.

    >>> import fastinit as fi
    >>> fi.array((2, 3), fi.identity(), seed=0, name="w").tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    fan_rule = FanRule(batch_axis=batch_axis)
    check_finite("gain", gain)

    def rule(dims: Shape) -> Distribution:
        (first,), (second,), batch = fan_rule.axes(dims)
        if len(dims) != 2 + len(batch):
            raise ValueError(
                f"shape {dims} has {len(dims) - len(batch)} axes: identity needs two beside the "
                "batch axes; the identity of a convolution is dirac()"
            )
        steps = strides(dims)
        loops = [(steps[first] + steps[second], min(dims[first], dims[second]))]
        loops += [(steps[axis], dims[axis]) for axis in batch]
        return Points(dims, 0, tuple(loops), gain)

    return rule


@maker
def dirac(groups: int = 1, *, layout: str = "torch") -> Rule:
    r"""A convolution that hands its inputs on, as far as there are outputs.

    .. math:: w_{g n + d,\, d,\, c} = 1, \quad 0 \le d < \min(n, \text{in} / \text{groups}), \quad
              n = \text{out} / \text{groups}

    for each group g, where c is the middle of the kernel, k // 2 along each of its axes, and zero
    elsewhere.

    Args:
        groups: of the convolution; must divide the outputs.
        layout: "torch", (out, in / groups, \*kernel), or "jax" and "keras", (\*kernel, in /
            groups, out); the kernel has 1, 2 or 3 axes.

    Raises:
        ValueError: another number of axes, groups that do not divide the outputs, an unknown
            layout.

    Source:
        ``torch.nn.init.dirac_``; Zagoruyko and Komodakis (2017), "DiracNets", arXiv:1706.00388.
        Who differs: JAX and Keras have none; JAX's `delta_orthogonal` takes (k - 1) // 2, another
        tap of an even kernel.

    >>> import fastinit as fi
    >>> fi.array((2, 2, 3), fi.dirac(), seed=0, name="w").tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    fan_rule = FanRule(layout=layout, groups=groups)

    def rule(dims: Shape) -> Distribution:
        inputs, outputs, kernel = convolution("dirac", fan_rule, dims)
        if dims[outputs] % groups:
            raise ValueError(
                f"groups={quoted(groups)} does not divide the {dims[outputs]} outputs of {dims}"
            )
        steps, each = strides(dims), dims[outputs] // groups
        diagonal = steps[outputs] + steps[inputs], min(each, dims[inputs])
        middle = sum(dims[axis] // 2 * steps[axis] for axis in kernel)
        return Points(dims, middle, ((each * steps[outputs], groups), diagonal), 1.0)

    return rule


@maker
def zero_hadamard(*, layout: str = "torch") -> Rule:
    r"""ZerO: deterministic weights of zeros and ones, or of a Hadamard matrix where outputs grow.

    .. math:: W = I_{m \times n} \text{ for } m \le n, \quad
              w_{ij} = (-1)^{\text{popcount}(i \wedge j)} \, 2^{-\lceil \log_2 m \rceil / 2}
              \text{ for } m > n

    with m outputs and n inputs.  In a convolution it is the middle tap, k // 2, and all other taps
    are zero.

    Args:
        layout: "torch", (out, in, \*kernel), or "jax" and "keras", (\*kernel, in, out); no kernel,
            or one of 1, 2 or 3 axes.

    Raises:
        ValueError: another number of axes, an unknown layout.

    Source:
        Zhao, Schäfer, Anandkumar (2022), "ZerO Initialization: Initializing Neural Networks with
        only Zeros and Ones", arXiv:2110.12661; the factor as in the authors' code and in zero-init
        0.3.  Who differs: some implementations of the paper's algorithm have a factor larger by
        sqrt(2).

    >>> import fastinit as fi
    >>> fi.array((4, 2), fi.schemes.zero_hadamard(), seed=0, name="w").tolist()
    [[0.5, 0.5], [0.5, -0.5], [0.5, 0.5], [0.5, -0.5]]
    """
    fan_rule = FanRule(layout=layout)

    def rule(dims: Shape) -> Distribution:
        if len(dims) != 2:
            inputs, outputs, kernel = convolution("zero_hadamard", fan_rule, dims)
            return placed(dims, kernel, 0, matrix(without(dims, kernel), inputs < outputs))
        (inputs,), (outputs,), _ = fan_rule.axes(dims)
        return matrix(dims, inputs < outputs)

    def matrix(shape: Shape, inputs_first: bool) -> Matrix:
        inputs, outputs = shape if inputs_first else shape[::-1]
        if outputs > inputs:
            return Hadamard(shape, math.sqrt(0.5 ** (outputs - 1).bit_length()))
        return Points(shape, 0, ((shape[1] + 1, min(shape)),), 1.0)

    return rule
