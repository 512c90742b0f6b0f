# SPDX-License-Identifier: MIT
"""Initialisers of torch.nn.init, name for name: import init from fastinit.torch, not torch.nn.

Every function has the arguments of PyTorch's, and `seed` and `name` beside them; inside
`with names(module, seed=...)` these are known.  This file holds the public names.
"""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from torch.nn.init import calculate_gain

from fastinit.torch.init.contexts import names
from fastinit.torch.init.matrices import dirac_, eye_, orthogonal_, sparse_
from fastinit.torch.init.plain import (
    constant_,
    normal_,
    ones_,
    trunc_normal_,
    uniform_,
    zeros_,
)
from fastinit.torch.init.scaled import (
    kaiming_normal_,
    kaiming_uniform_,
    xavier_normal_,
    xavier_uniform_,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _deprecated(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The same function under its name without the underscore, which PyTorch deprecates."""
    name = function.__name__.removesuffix("_")

    @functools.wraps(function)
    def deprecated(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        warnings.warn(
            f"`nn.init.{name}` is now deprecated in favor of `nn.init.{function.__name__}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    deprecated.__name__ = name
    deprecated.__doc__ = f"Deprecated name of `{function.__name__}`."
    return deprecated


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "names",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
