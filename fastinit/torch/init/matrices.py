# SPDX-License-Identifier: MIT
"""Initialisers whose elements depend on their place, or on each other.

How a distribution gets into a tensor is in drawing.py.
"""

from __future__ import annotations

from typing import SupportsIndex

import torch
from torch.nn import init as torch_init

from fastinit import schemes
from fastinit.docstrings import shares
from fastinit.numerics.checks import Shape
from fastinit.torch import memory
from fastinit.torch.dtypes import TORCH_DTYPES
from fastinit.torch.init.drawing import drawn, twin
from fastinit.torch.init.plain import constant_, uniform_
from fastinit.torch.tensors import is_named, is_without_memory
from fastinit.values.distributions import Distribution


@shares(constant_)
def eye_(
    tensor: torch.Tensor, *, seed: SupportsIndex | None = None, name: str | None = None
) -> torch.Tensor:
    """Fill a matrix with the identity.

    Args:
        tensor: of 2 axes.
        seed, name: as for `constant_`.

    Returns:
        `tensor`.

    Raises:
        ValueError: another number of axes.

    Source:
        ``torch.nn.init.eye_``, which is called, except for a DTensor: PyTorch's cannot fill that.

    >>> import torch
    >>> from fastinit.torch import init
    >>> init.eye_(torch.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if is_without_memory(tensor) or not is_named(tensor, "DTensor"):
        return torch_init.eye_(tensor)
    torch_init.eye_(twin(tensor))  # raises what it does
    return memory.fill(tensor, schemes.identity(), seed=0, name="")


@shares(constant_)
def dirac_(
    tensor: torch.Tensor,
    groups: int = 1,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill the weight of a convolution so that it hands on as many inputs as it has outputs.

    Args:
        tensor: of 3, 4 or 5 axes: (out, in / groups, \*kernel).
        groups: of the convolution; must divide the outputs.
        seed, name: as for `constant_`.

    Returns:
        `tensor`.

    Raises:
        ValueError: another number of axes; groups that do not divide the outputs.

    Source:
        ``torch.nn.init.dirac_``, whose elements these are; see `fastinit.dirac`.

    >>> import torch
    >>> from fastinit.torch import init
    >>> init.dirac_(torch.empty(2, 2, 3))[1]
    tensor([[0., 0., 0.],
            [0., 1., 0.]])
    """
    if is_without_memory(tensor) or tensor.dtype not in TORCH_DTYPES or tensor.numel() == 0:
        return torch_init.dirac_(tensor, groups)
    torch_init.dirac_(twin(tensor), groups)  # raises what it does
    return memory.fill(tensor, schemes.dirac(groups), seed=0, name="")


@shares(uniform_)
def orthogonal_(
    tensor: torch.Tensor,
    gain: float = 1,
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill `tensor` with `gain` times a random matrix with orthonormal rows or columns.

    The first axis is the rows, all others are the columns.  A view of a parameter that `names`
    knows, such as q, k and v in one weight, is a matrix with the name of the slice:
    ``attn.weight[0:64, :]``.

    Args:
        tensor: as for `uniform_`.
        gain: factor on the matrix; its sign makes no difference to the distribution.
        generator, seed, name: as for `uniform_`.

    Returns:
        `tensor`.

    Raises:
        TypeError, ValueError: as `uniform_` raises them; fewer than 2 axes; a view that is not a
            slice.

    Source:
        ``torch.nn.init.orthogonal_``; see `fastinit.orthogonal`.  Who differs: PyTorch cannot make
        bfloat16 or float16.

    >>> import torch
    >>> from fastinit.torch import init
    >>> q = init.orthogonal_(torch.empty(3, 5), seed=0, name="w")
    >>> torch.allclose(q @ q.T, torch.eye(3), atol=1e-6)
    True
    """
    return drawn("orthogonal_", tensor, (gain,), generator, _orthogonal, seed, name)


@shares(orthogonal_)
def sparse_(
    tensor: torch.Tensor,
    sparsity: float,
    std: float = 0.01,
    generator: None = None,
    *,
    seed: SupportsIndex | None = None,
    name: str | None = None,
) -> torch.Tensor:
    r"""Fill a matrix with normals, and with ceil(sparsity \* rows) zeros in each column.

    A view is named as for `orthogonal_`.

    Args:
        tensor: of 2 axes.
        sparsity: share of zeros in each column, 0 <= sparsity <= 1.
        std: standard deviation of the other elements, >= 0.
        generator, seed, name: as for `orthogonal_`.

    Returns:
        `tensor`.

    Raises:
        TypeError, ValueError: as `uniform_` raises them; another number of axes; sparsity or std
            out of range; a view that is not a slice.

    Source:
        ``torch.nn.init.sparse_``; see `fastinit.sparse`.  Who differs: PyTorch's zeros do not
        follow its `generator`, and it takes any sparsity.

    >>> import torch
    >>> from fastinit.torch import init
    >>> w = init.sparse_(torch.empty(10, 4), 0.25, seed=0, name="w")
    >>> (w == 0).sum(0)
    tensor([3, 3, 3, 3])
    """
    return drawn("sparse_", tensor, (sparsity, std), generator, _sparse, seed, name)


def _orthogonal(shape: Shape, gain: float) -> Distribution:
    """The rule of `orthogonal_`."""
    return schemes.orthogonal(abs(gain)).distribution(shape)


def _sparse(shape: Shape, sparsity: float, std: float) -> Distribution:
    """The rule of `sparse_`."""
    return schemes.sparse(sparsity, std).distribution(shape)
