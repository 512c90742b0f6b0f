# SPDX-License-Identifier: MIT
"""`jax.nn.initializers`, name for name, with the values of fastinit.

Each function has the arguments, the defaults and the distribution of JAX's, and what it returns has
JAX's protocol, ``init(key, shape, dtype=None, out_sharding=None)``.  The values are those of the
stream whose seed is the key: the two words of a threefry key are its upper and its lower half, and
other keys are hashed.  In Flax, a parameter's key is a function of its path, and so are its values.

Outside of compiled functions, memory is filled at full speed.  Under ``jax.jit`` and ``lax.scan``,
the program calls back to the host: it waits for the CPU, and the array is copied once.  Under a
sharded ``jit``, one device makes the whole array and hands out the parts.  `fastinit.jax.init` does
neither, and understands these initializers as it does JAX's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from fastinit.jax import blocks, primitives
from fastinit.jax.requests import InitializerRequest, own, request_of
from fastinit.numerics.checks import check_shape
from fastinit.numerics.dtypes import resolve

__all__ = [
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

AxisLike = int | Sequence[int]
Initializer = Callable[..., jax.Array]


def _initializer(request: InitializerRequest, default: Any) -> Initializer:
    """What JAX calls an initializer."""

    def init(key: Any, shape: Any, dtype: Any = default, out_sharding: Any = None) -> jax.Array:
        dims = check_shape(shape)
        kind = _canonical("float64" if dtype is None else dtype)
        request.scheme(dims, dims, own(dims)).distribution(dims)
        made: jax.Array = primitives.draw(_words(key), request, dims, kind)
        if out_sharding is None:
            return made
        blocks.check(dims, out_sharding)
        return jax.device_put(made, out_sharding)

    return init


def _canonical(dtype: Any) -> Any:
    """The dtype of NumPy; JAX narrows float64 unless its 64-bit mode is on."""
    kind = resolve(dtype).numpy
    return jax.dtypes.canonicalize_dtype(kind) if kind == np.float64 else kind


def _words(key: Any) -> Any:
    """The words of a key, typed or raw."""
    typed = jax.dtypes.issubdtype(getattr(key, "dtype", None), jax.dtypes.prng_key)
    if not typed and getattr(key, "dtype", None) != np.uint32:
        raise TypeError(f"key is {key!r}: need a key, such as jax.random.key(0)")
    if key.ndim != (0 if typed else 1):
        raise TypeError(f"key has shape {key.shape}: need one key; for several, use jax.vmap")
    return jax.random.key_data(key) if typed else key


def zeros(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> jax.Array:
    """Zeros; the key is not used.  It is an initializer itself, as in JAX.

    >>> import jax
    >>> zeros(jax.random.key(0), (2,)).tolist()
    [0.0, 0.0]
    """
    return jax.nn.initializers.zeros(key, shape, dtype, out_sharding)


def ones(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> jax.Array:
    """Ones; the key is not used.  It is an initializer itself, as in JAX.

    >>> import jax
    >>> ones(jax.random.key(0), (2,)).tolist()
    [1.0, 1.0]
    """
    return jax.nn.initializers.ones(key, shape, dtype, out_sharding)


def constant(value: Any, dtype: Any = None) -> Initializer:
    """One value, or an array that is broadcast; the key is not used.

    >>> import jax
    >>> constant(-7)(jax.random.key(0), (2,)).tolist()
    [-7.0, -7.0]
    """
    found: Initializer = jax.nn.initializers.constant(value, dtype)
    return found


def uniform(scale: float = 1e-2, dtype: Any = None) -> Initializer:
    """Evenly spread over [0, scale]: `fastinit.uniform`.

    >>> import jax
    >>> 0 <= uniform(4)(jax.random.key(0), ()).item() <= 4
    True
    """
    return _initializer(request_of("uniform", locals()), dtype)


def normal(stddev: float = 1e-2, dtype: Any = None) -> Initializer:
    """Normals of mean 0: `fastinit.normal`.

    >>> import jax
    >>> normal(0.02)(jax.random.key(0), (2, 3), "bfloat16").dtype
    dtype(bfloat16)
    """
    return _initializer(request_of("normal", locals()), dtype)


def truncated_normal(
    stddev: float = 1e-2, dtype: Any = None, lower: float = -2.0, upper: float = 2.0
) -> Initializer:
    """Normals between two bounds in units of `stddev`, not corrected: `fastinit.truncated_normal`.

    >>> import jax
    >>> abs(truncated_normal()(jax.random.key(0), (99,))).max().item() <= 0.02
    True
    """
    return _initializer(request_of("truncated_normal", locals()), dtype)


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: AxisLike = -2,
    out_axis: AxisLike = -1,
    batch_axis: AxisLike = (),
    dtype: Any = None,
) -> Initializer:
    """Weights of variance scale / fan: `fastinit.variance_scaling` with JAX's axes.

    >>> import jax
    >>> init = variance_scaling(1.0, "fan_in", "normal", in_axis=1, out_axis=2, batch_axis=0)
    >>> init(jax.random.key(0), (8, 256, 512)).shape
    (8, 256, 512)
    """
    return _initializer(request_of("variance_scaling", locals()), dtype)


def glorot_uniform(
    in_axis: AxisLike = -2, out_axis: AxisLike = -1, batch_axis: AxisLike = (), dtype: Any = None
) -> Initializer:
    """Uniform weights of variance 2 / (fan_in + fan_out): `fastinit.glorot_uniform`."""
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: AxisLike = -2, out_axis: AxisLike = -1, batch_axis: AxisLike = (), dtype: Any = None
) -> Initializer:
    """Truncated normals of variance 2 / (fan_in + fan_out): `fastinit.glorot_normal`."""
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


def lecun_uniform(
    in_axis: AxisLike = -2, out_axis: AxisLike = -1, batch_axis: AxisLike = (), dtype: Any = None
) -> Initializer:
    """Uniform weights of variance 1 / fan_in: `fastinit.lecun_uniform`."""
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: AxisLike = -2, out_axis: AxisLike = -1, batch_axis: AxisLike = (), dtype: Any = None
) -> Initializer:
    """Truncated normals of variance 1 / fan_in: `fastinit.lecun_normal`."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: AxisLike = -2, out_axis: AxisLike = -1, batch_axis: AxisLike = (), dtype: Any = None
) -> Initializer:
    """Uniform weights of variance 2 / fan_in: `fastinit.he_uniform`."""
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: AxisLike = -2, out_axis: AxisLike = -1, batch_axis: AxisLike = (), dtype: Any = None
) -> Initializer:
    """Truncated normals of variance 2 / fan_in: `fastinit.he_normal`."""
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def orthogonal(scale: float = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """`scale` times a random matrix with orthonormal rows or columns: `fastinit.orthogonal`."""
    return _initializer(request_of("orthogonal", locals()), dtype)


def delta_orthogonal(scale: float = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """A convolution that is an orthogonal map at every place: `fastinit.delta_orthogonal`.

    `column_axis` does not change the distribution.
    """
    return _initializer(request_of("delta_orthogonal", locals()), dtype)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal
