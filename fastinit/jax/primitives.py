# SPDX-License-Identifier: MIT
"""Two primitives of JAX: `mark` says what an initializer asked for, and `draw` draws it.

`mark` returns its operand.  In a traced function it says which array is an initializer's draw,
inside scans, vmaps and nested functions too.  `draw` makes an array from a key: if the key is known
it fills memory, and in a compiled function it calls back to the host.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from fastinit.jax.requests import InitializerRequest, own
from fastinit.machine.state import in_default_floats
from fastinit.memory import arrays
from fastinit.memory.aligned import empty
from fastinit.memory.regions import region_of
from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import resolve
from fastinit.schemes.sampling import sampler
from fastinit.values.stream import checked

# --- mark ---------------------------------------------------------------------------------------

mark_p = Primitive("fastinit_mark")


def mark(values: Any, request: InitializerRequest, shape: Shape) -> Any:
    """`values`, marked as what an initializer asked for an array of `shape`.

    For a matrix, `values` is not in that shape yet.
    """
    return mark_p.bind(values, request=request, shape=shape, axes=tuple(range(values.ndim)))


@mark_p.def_impl
def _mark(values: Any, **parameters: Any) -> Any:
    return values


@mark_p.def_abstract_eval
def _mark_abstract(values: Any, **parameters: Any) -> Any:
    return values


def _mark_batched(
    operands: Any, dims: Any, *, request: InitializerRequest, shape: Shape, axes: Shape
) -> tuple[Any, int]:
    """The batch axis comes between the axes of the request."""
    (values,), (dim,) = operands, dims
    moved = tuple(axis + (axis >= dim) for axis in axes)
    return mark_p.bind(values, request=request, shape=shape, axes=moved), dim


batching.primitive_batchers[mark_p] = _mark_batched
mlir.register_lowering(mark_p, lambda context, values, **parameters: [values])

# --- draw ---------------------------------------------------------------------------------------

draw_p = Primitive("fastinit_draw")
"""(words of keys, of shape (*batch, words)) -> values, of shape (*batch, *shape)."""

STREAM_NAME = "jax.initializers"
"""Of the tensors that initializers draw: in JAX, the key tells them apart."""


def draw(words: Any, request: InitializerRequest, shape: Shape, dtype: Any) -> Any:
    """The values that a request has for a key, whose `words` are unsigned integers."""
    return draw_p.bind(words, request=request, shape=shape, dtype=np.dtype(dtype))


def seed_of(words: Any) -> int:
    """The seed that a key stands for.

    Two words of 32 bits, as threefry's, are the upper and the lower half; other keys are hashed.

    >>> import numpy as np
    >>> seed_of(np.array([1, 7], np.uint32)) == 2**32 + 7
    True
    """
    plain = np.ascontiguousarray(words, dtype="<u4").reshape(-1)
    if plain.size == 2:
        return int(plain[0]) << 32 | int(plain[1])
    return int.from_bytes(hashlib.blake2b(plain.tobytes(), digest_size=8).digest(), "little")


def _filled(words: Any, request: InitializerRequest, shape: Shape, dtype: Any) -> Any:
    """The values of every key, as a NumPy array."""
    keys = np.asarray(words)
    out = empty((*keys.shape[:-1], *shape), dtype)
    scheme = request.scheme(shape, shape, own(shape))
    part = region_of(shape, None)

    def fill() -> None:
        each = out.reshape(math.prod(keys.shape[:-1]), *shape)
        for number, key in enumerate(keys.reshape(-1, keys.shape[-1])):
            source = sampler(scheme, shape, checked(seed_of(key), STREAM_NAME), resolve(dtype))
            arrays.draw(each[number, ...], source, part, arrays.workers_for(part, None))

    in_default_floats(fill, (), {})
    return out


def _called_back(words: Any, *, request: InitializerRequest, shape: Shape, dtype: Any) -> Any:
    out = jax.ShapeDtypeStruct((*words.shape[:-1], *shape), dtype)

    def filled(words: Any) -> Any:
        return _filled(words, request, shape, dtype)

    return jax.pure_callback(filled, out, words, vmap_method="sequential")


def _draw_batched(operands: Any, dims: Any, **parameters: Any) -> tuple[Any, int]:
    (words,), (dim,) = operands, dims
    return draw_p.bind(jax.numpy.moveaxis(words, dim, 0), **parameters), 0


@draw_p.def_impl
def _draw(words: Any, **parameters: Any) -> Any:
    return jax.device_put(_filled(words, **parameters))


@draw_p.def_abstract_eval
def _draw_abstract(words: Any, *, request: InitializerRequest, shape: Shape, dtype: Any) -> Any:
    return jax.core.ShapedArray((*words.shape[:-1], *shape), dtype)


batching.primitive_batchers[draw_p] = _draw_batched
mlir.register_lowering(draw_p, mlir.lower_fun(_called_back, multiple_results=False))
