# SPDX-License-Identifier: MIT
"""The one way from a scheme and a tensor to what draws the tensor's values.

Arrays, files and their verification all come through here.  What a scheme means is in its own
file; who computes is settled in backends/selection.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fastinit.backends.base import Backend
from fastinit.backends.selection import active
from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import DType
from fastinit.schemes.custom import Trusted
from fastinit.schemes.scheme import Scheme, instead_of_scheme
from fastinit.schemes.scheme import scheme as scheme_of
from fastinit.texts import quoted
from fastinit.values.distributions import Distribution
from fastinit.values.matrices import Matrix
from fastinit.values.samplers import Sampler
from fastinit.values.stream import Stream

SchemeLike = Scheme | Distribution | str


def sampler(
    scheme: SchemeLike, shape: Shape, stream: Stream, dtype: DType, custom: Trusted = ()
) -> Sampler:
    """What draws the tensor of `stream`, whose name a scheme may look at.

    Args:
        scheme: a scheme, its text form, or the distribution of a tensor of this shape.
        shape: of the whole tensor, checked already.
        stream: checked already.
        custom: the custom distributions that a text may name.

    Raises:
        BackendError: the environment asks for a backend or an instruction set that cannot be.
        TypeError: `scheme` is none of these.
        ValueError: the scheme does not suit the shape, or its values do not exist in `dtype`.
    """
    backend = active()
    if isinstance(scheme, str):
        scheme = _parsed(scheme, custom)
    if isinstance(scheme, Scheme):
        return _samplers(scheme.for_tensor(stream.name, shape), shape, dtype, backend)(stream)
    if not isinstance(scheme, Distribution):
        need = instead_of_scheme(scheme, "need one such as fastinit.normal(std=0.02)")
        raise TypeError(f"scheme is {quoted(scheme)}: {need}")
    if isinstance(scheme, Matrix) and scheme.shape != shape:
        raise ValueError(f"the distribution has shape {scheme.shape}, but the tensor has {shape}")
    return scheme.sampler(dtype, stream, backend)


@lru_cache(maxsize=1024)
def _parsed(text: str, custom: Trusted) -> Scheme:
    """Parsed once per text: a model has thousands of tensors and a handful of schemes."""
    return scheme_of(text, custom=custom)


@lru_cache(maxsize=1024)
def _samplers(
    scheme: Scheme, shape: Shape, dtype: DType, backend: Backend
) -> Callable[[Stream], Sampler]:
    """What tensors that differ in name alone have in common."""
    return scheme.distribution_of(shape).samplers(dtype, backend)
