# SPDX-License-Identifier: MIT
"""Tensors of Keras's backend: `made` makes one with its values, `filled` gives a variable its own.

PyTorch's are filled in place.  JAX's cannot be changed: fastinit.jax makes them.  TensorFlow
copies.  Each framework is imported if Keras runs on it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy.typing as npt

from fastinit.machine.pages import ask_for_huge_pages
from fastinit.memory import arrays
from fastinit.memory.aligned import empty
from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import resolve
from fastinit.schemes import Scheme


def made(shape: Shape, scheme: Scheme, seed: int, name: str, dtype: str, layout: Any) -> Any:
    """A new tensor of the backend.

    Args:
        shape, scheme, seed, name: of the whole tensor.
        dtype: as Keras names it.
        layout: how JAX distributes it, or None.

    Raises:
        ValueError: the scheme does not suit the shape or the dtype; there is a layout, and Keras
            does not run on JAX.
    """
    backend = keras.backend.backend()
    scheme = scheme.for_tensor(name, shape)
    scheme.distribution(shape)  # raises before there is memory
    if layout is not None and backend != "jax":
        raise ValueError(f"layout is {layout}: only JAX distributes tensors, and this is {backend}")
    if backend == "torch":
        return _torch_tensor(shape, scheme, seed, name, dtype)
    if backend == "jax":
        return _jax_array(shape, scheme, seed, name, dtype, _sharding(layout))
    return keras.ops.convert_to_tensor(_host_array(shape, scheme, seed, name, dtype))


def filled(variable: Any, scheme: Scheme, seed: int, name: str, threads: int | None) -> None:
    """Give a variable that has a value the values of a scheme.

    Raises:
        ValueError: the scheme does not suit the shape or the dtype.
    """
    backend, shape, value = keras.backend.backend(), tuple(variable.shape), variable.value
    if backend == "torch":
        arrays.fill(value, scheme, seed=seed, name=name, threads=threads)
    elif backend == "jax":
        dtype = value.dtype.name  # float32 of a variable of float64, unless JAX is told otherwise
        variable.assign(_jax_array(shape, scheme, seed, name, dtype, value.sharding, threads))
    else:
        variable.assign(_host_array(shape, scheme, seed, name, variable.dtype, threads))


def _host_array(
    shape: Shape, scheme: Scheme, seed: int, name: str, dtype: str, threads: int | None = None
) -> npt.NDArray[Any]:
    """A tensor in new memory."""
    out = empty(shape, resolve(dtype).numpy)
    return arrays.fill(out, scheme, seed=seed, name=name, threads=threads)


def _torch_tensor(shape: Shape, scheme: Scheme, seed: int, name: str, dtype: str) -> Any:
    """A tensor on the device that Keras puts variables on."""
    tensor = keras.ops.empty(shape, dtype)
    if tensor.is_meta:
        return tensor
    if tensor.is_cpu:
        ask_for_huge_pages(tensor.data_ptr(), tensor.numel() * tensor.itemsize)
    return arrays.fill(tensor, scheme, seed=seed, name=name)


def _sharding(layout: Any) -> Any:
    """The sharding of a layout, on devices that exist.

    Keras passes a sharding over an abstract mesh, and has the real one in force.
    """
    import jax

    sharding = getattr(layout, "backend_layout", layout)
    if isinstance(getattr(sharding, "mesh", None), jax.sharding.AbstractMesh):
        return jax.sharding.NamedSharding(jax.sharding.get_mesh(), sharding.spec)
    return sharding


def _jax_array(
    shape: Shape,
    scheme: Scheme,
    seed: int,
    name: str,
    dtype: str,
    sharding: Any,
    threads: int | None = None,
) -> Any:
    """An array of JAX."""
    from fastinit.jax import array

    options = {"dtype": dtype, "sharding": sharding, "threads": threads}
    return array(shape, scheme, seed=seed, name=name, **options)
