# SPDX-License-Identifier: MIT
"""Schemes of random matrices whose values depend on each other."""

from __future__ import annotations

import math

from fastinit.numerics.checks import Shape, check_factor
from fastinit.schemes.convolutions import convolution, placed, without
from fastinit.schemes.fans import Axes, FanRule
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Distribution, Normal
from fastinit.values.matrices import Orthogonal, SparseNormal, SpectralNormal


@maker
def orthogonal(
    gain: float = 1.0,
    *,
    layout: str = "torch",
    column_axis: int | None = None,
    batch_axis: Axes = (),
) -> Rule:
    r"""`gain` times a random matrix with orthonormal rows or columns, whichever are fewer.

    .. math:: W W^\top = \text{gain}^2 I \quad\text{or}\quad W^\top W = \text{gain}^2 I, \quad
              \sigma = \text{gain} / \sqrt{\max(\text{rows}, \text{columns})}

    The matrix is uniformly (Haar) distributed.  It is made in float32, or float64 for a float64
    tensor, of the tensor's standard normals, and rounded to the dtype at the end.  All of it is
    made at the first draw, so beside the tensor it needs a copy in that type, and about a third of
    one to work in; a region is cut out of it.  The normals are the stream's, to the bit; the matrix
    is equal to rounding across machines.

    Args:
        gain: factor on the matrix, >= 0, such as ``fastinit.schemes.gain("tanh")``.
        layout: whose output axis is `column_axis` if that is not given: "torch", the first axis,
            or "jax" and "keras", the last.
        column_axis: the axis on one side of the matrix; all others, in their order, are the other.
        batch_axis: axes that stack matrices (experts, scanned layers), each orthogonal.

    Raises:
        ValueError: gain is negative or not finite; a shape of fewer than two axes beside the batch
            axes; an axis that does not exist or is a batch axis.

    Source:
        Saxe, McClelland, Ganguli (2013), "Exact solutions to the nonlinear dynamics of learning in
        deep linear neural networks", arXiv:1312.6120; ``torch.nn.init.orthogonal_``,
        ``jax.nn.initializers.orthogonal``, ``keras.initializers.Orthogonal``: the same
        distribution.  Method: Stewart (1980), "The efficient generation of random orthogonal
        matrices", doi:10.1137/0717034; signs as in Mezzadri (2007), arXiv:math-ph/0609050.  Who
        differs: PyTorch cannot make bfloat16 or float16.

    >>> import numpy as np
    >>> import fastinit as fi
    >>> q = fi.array((4, 64), fi.orthogonal(), seed=0, name="w", dtype="float64")
    >>> bool(np.allclose(q @ q.T, np.eye(4)))
    True
    """
    check_factor("gain", gain)
    fan_rule = FanRule(layout=layout, batch_axis=batch_axis)

    def rule(dims: Shape) -> Distribution:
        _, outputs, batch = fan_rule.axes(dims)
        axis = _column_axis(dims, batch, outputs[0] if column_axis is None else column_axis)
        return Orthogonal(dims, axis, tuple(batch), gain)

    return rule


@maker
def delta_orthogonal(gain: float = 1.0, *, layout: str = "torch") -> Rule:
    r"""A convolution that is `gain` times a random orthogonal map at every place.

    The middle tap of the kernel, (k - 1) // 2 along each of its axes, is the matrix that
    `orthogonal` makes of a tensor (out, in) of this name, or (in, out) in JAX's layout; all other
    taps are zero.

    Args:
        gain: factor on the matrix, >= 0.
        layout: "torch", (out, in, \*kernel), or "jax" and "keras", (\*kernel, in, out); the
            kernel has 1, 2 or 3 axes.

    Raises:
        ValueError: gain is negative or not finite; an unknown layout; a shape with another number
            of axes, or with more inputs than outputs.

    Source:
        Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington (2018), "Dynamical isometry and a mean
        field theory of CNNs", arXiv:1806.05393; ``jax.nn.initializers.delta_orthogonal``.  Who
        differs: JAX cuts a square matrix, of the same distribution; PyTorch and Keras have none.

    >>> import fastinit as fi
    >>> w = fi.array((8, 4, 3, 3), fi.schemes.delta_orthogonal(), seed=0, name="w")
    >>> int((w != 0).sum())
    32
    """
    check_factor("gain", gain)
    fan_rule = FanRule(layout=layout)

    def rule(dims: Shape) -> Distribution:
        inputs, outputs, kernel = convolution("delta_orthogonal", fan_rule, dims)
        if dims[outputs] < dims[inputs]:
            raise ValueError(
                f"shape {dims} has {dims[inputs]} inputs and {dims[outputs]} outputs in layout "
                f"{layout!r}: delta_orthogonal needs at least as many outputs; take orthogonal(), "
                "or the other layout if the axes lie the other way round"
            )
        matrix = without(dims, kernel)
        column = 0 if outputs < inputs else 1
        return placed(dims, kernel, 1, Orthogonal(matrix, column, (), gain))

    return rule


@maker
def sparse(sparsity: float, std: float = 0.01) -> Rule:
    r"""Normal, but in each column exactly ceil(sparsity \* rows) elements, at random, are zero.

    .. math:: w_{ij} \sim \mathcal N(0, \text{std}^2) \text{ or } 0

    Args:
        sparsity: share of zeros in each column, 0 <= sparsity <= 1.
        std: standard deviation of the other elements, >= 0.

    Raises:
        ValueError: sparsity or std is out of range; the shape is not (rows, columns), or has too
            many elements.

    The zeros of a column are its elements with the smallest of a second set of words
    (docs/stream.md), so they are the same in every dtype and every region.  The first draw looks
    at all of these words once.

    Source:
        Martens (2010), "Deep learning via Hessian-free optimization",
        https://icml.cc/Conferences/2010/papers/458.pdf; ``torch.nn.init.sparse_``.  Who differs:
        its zeros do not follow its `generator`.  JAX and Keras have none.

    >>> import fastinit as fi
    >>> w = fi.array((10, 4), fi.sparse(0.25), seed=0, name="w")
    >>> (w == 0).sum(axis=0).tolist()
    [3, 3, 3, 3]
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity is {sparsity!r}: need 0 <= sparsity <= 1, the share of zeros")
    normal = Normal(std, 0.0)

    def rule(dims: Shape) -> Distribution:
        if len(dims) != 2:
            raise ValueError(f"shape {dims} has {len(dims)} axes: sparse needs (rows, columns)")
        if max(dims) >= 2**32:
            raise ValueError(
                f"shape {dims} has an axis of {max(dims)}: sparse takes axes below 2**32"
            )
        if dims[0] * dims[1] >= 2**62:
            raise ValueError(
                f"shape {dims} has {dims[0] * dims[1]} elements: sparse takes less than 2**62"
            )
        return SparseNormal(dims, math.ceil(sparsity * dims[0]), normal)

    return rule


@maker
def spectral_normalised(gain: float = 1.0, *, layout: str = "torch", batch_axis: Axes = ()) -> Rule:
    r"""Normal weights scaled so that their largest singular value is gain \* sqrt(out / in).

    .. math:: W = \text{gain} \sqrt{\frac{f_\text{out}}{f_\text{in}}} \, \frac{Z}{\|Z\|_2}, \quad
              z_{ij} \sim \mathcal N(0, 1)

    The matrix has the outputs on one side and the inputs and the kernel on the other.  All normals
    are made at the first draw, so memory is the whole tensor's; the norm is equal to rounding
    across machines.

    The distribution's `std` is the norm over sqrt(rows) + sqrt(columns), which large matrices tend
    to; it is exact for matrices of one row or one column.

    Args:
        gain: factor on the spectral norm, >= 0.
        layout: "torch", (out, in, \*kernel), or "jax" and "keras", (\*kernel, in, out).
        batch_axis: axes that stack matrices, each with its norm; must be the first axes.

    Raises:
        ValueError: gain is negative or not finite; a shape without fans; batch axes elsewhere; a
            norm beyond 5e30 (float64: 9e291), for which the scaled normals might overflow.

    Source:
        Yang, Simon, Bernstein (2023), "A spectral condition for feature learning",
        arXiv:2310.17813.  This follows the paper's text; it is not compared with other code.
        Who differs: `spectral` meets their condition without a norm, up to a factor that does not
        grow with the width.

    >>> import numpy as np
    >>> import fastinit as fi
    >>> w = fi.array((32, 8), fi.schemes.spectral_normalised(), seed=0, name="w")
    >>> round(float(np.linalg.norm(w, 2)), 5)
    2.0
    """
    check_factor("gain", gain)
    fan_rule = FanRule(layout=layout, batch_axis=batch_axis)

    def rule(dims: Shape) -> Distribution:
        _, outputs, batch = fan_rule.axes(dims)
        if sorted(batch) != list(range(len(batch))):
            first = tuple(range(len(batch)))
            raise ValueError(
                f"batch_axis={batch_axis} of shape {dims}: must be the first axes; "
                f"take a tensor whose batch axes are {first}, or spectral(), which needs no norm"
            )
        fan_in, fan_out = fan_rule.of(dims)
        norm = gain * math.sqrt(fan_out / fan_in) if fan_in else 0.0
        return SpectralNormal(dims, len(batch), outputs[0], norm)

    return rule


def _column_axis(dims: Shape, batch: list[int], column_axis: int) -> int:
    if not -len(dims) <= column_axis < len(dims):
        raise ValueError(
            f"column_axis {column_axis} does not exist in shape {dims}: "
            f"choose from {-len(dims)} to {len(dims) - 1}"
        )
    axis = column_axis % len(dims)
    if axis in batch:
        rest = ", ".join(str(axis) for axis in range(len(dims)) if axis not in batch)
        raise ValueError(
            f"column_axis {column_axis} of shape {dims} is a batch axis: choose from {rest}"
        )
    return axis
