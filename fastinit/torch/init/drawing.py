# SPDX-License-Identifier: MIT
"""The one way from the call of an initialiser to the values of its tensor.

Which distribution an initialiser stands for is in the files beside this one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, SupportsIndex

import torch
from torch.nn import init as torch_init

from fastinit.numerics.checks import Shape
from fastinit.torch import memory
from fastinit.torch.init.contexts import known
from fastinit.torch.tensors import PLAIN, check_class, is_named, is_without_memory
from fastinit.values.distributions import Distribution
from fastinit.values.matrices import Matrix

PLAIN_ARGUMENTS = frozenset({float, int, str})
"""Types whose equal values are the same argument; True, which equals 1, is not."""


def drawn(
    function: str,
    tensor: torch.Tensor,
    arguments: tuple[Any, ...],
    generator: torch.Generator | None,
    rule: Callable[..., Distribution],
    seed: SupportsIndex | None,
    name: str | None,
) -> torch.Tensor:
    """Fill `tensor` as the initialiser `function` does, and return it.

    Args:
        function: its name in torch.nn.init.
        arguments: all that PyTorch's takes between the tensor and the generator.
        generator: refused if it is not None.
        rule: from the shape of the whole tensor and the arguments to the distribution.
        seed, name: None where `names` knows them.
    """
    if not has_memory(tensor):
        found: torch.Tensor = getattr(torch_init, function)(tensor, *arguments, generator=generator)
        return found
    if generator is not None:
        raise ValueError(
            f"{function} got a generator, whose values depend on what was drawn before: here they "
            "follow from seed and name; leave the generator out"
        )
    distribution = _distribution(function, tensor, arguments, rule)
    if tensor.numel():
        _fill(function, tensor, distribution, seed, name)
    return tensor


def has_memory(tensor: torch.Tensor) -> bool:
    """Whether `tensor` is to be filled; a meta or fake tensor is for PyTorch's own function."""
    if type(tensor) in PLAIN:
        return not tensor.is_meta
    if isinstance(tensor, torch.Tensor) and is_without_memory(tensor):
        return False
    if not is_named(tensor, "DTensor"):
        check_class(tensor)
    return True


def twin(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same shape without memory, for PyTorch's function to check."""
    return torch.empty(tensor.shape, device="meta")


def _distribution(
    function: str,
    tensor: torch.Tensor,
    arguments: tuple[Any, ...],
    rule: Callable[..., Distribution],
) -> Distribution:
    """What `rule` finds; if it raises, PyTorch's own error comes first.

    That is the one that PyTorch's function raises for a tensor of one element.
    """
    shape = tuple(tensor.shape)
    try:
        if PLAIN_ARGUMENTS.issuperset(map(type, arguments)):
            return _remembered(rule, shape, arguments)
        return rule(shape, *arguments)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        ours = error
    small = torch.empty([min(dim, 1) for dim in shape], device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(torch_init, function)(small, *arguments, generator=torch.Generator())
    raise ours


@lru_cache(maxsize=256)  # a model has many tensors of few shapes
def _remembered(
    rule: Callable[..., Distribution], shape: Shape, arguments: tuple[Any, ...]
) -> Distribution:
    return rule(shape, *arguments)


def _fill(
    function: str,
    tensor: torch.Tensor,
    distribution: Distribution,
    seed: SupportsIndex | None,
    name: str | None,
) -> None:
    found = known(function, tensor, seed, name)
    if found.numbering is None or found.whole is None:
        memory.fill(tensor, distribution, seed=found.seed, name=found.name)
    elif not isinstance(distribution, Matrix):
        shape, strides, region = found.numbering
        memory.fill(
            tensor.detach().as_strided(shape, strides),
            distribution,
            seed=found.seed,
            name=found.name,
            shape=found.whole.shape,
            region=region,
        )
    elif (view_name := found.view_name()) is not None:
        memory.fill(tensor, distribution, seed=found.seed, name=view_name)
    else:
        raise ValueError(
            f"{function} of a view of {found.name!r} that is not a slice of it, which would be its "
            "name: give name= and seed= for it"
        )
