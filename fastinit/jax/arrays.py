# SPDX-License-Identifier: MIT
"""`array`: one named tensor as a JAX array; each process fills the blocks that it holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex

import jax
import numpy as np
import numpy.typing as npt

from fastinit.docstrings import shares
from fastinit.jax import blocks, gpu
from fastinit.machine.state import in_default_floats
from fastinit.memory import arrays
from fastinit.memory.regions import Region, RegionLike, region_of
from fastinit.numerics.checks import check_shape
from fastinit.numerics.dtypes import resolve
from fastinit.schemes.sampling import SchemeLike, sampler
from fastinit.texts import quoted
from fastinit.values.samplers import Sampler
from fastinit.values.stream import checked


@shares(arrays.array)
def array(
    shape: Iterable[SupportsIndex] | SupportsIndex,
    scheme: SchemeLike,
    *,
    seed: SupportsIndex,
    name: str,
    dtype: Any = "float32",
    region: RegionLike = None,
    sharding: jax.sharding.Sharding | None = None,
    threads: int | None = None,
) -> jax.Array:
    """A JAX array with the tensor `name`, or with a region of it: the values of `fastinit.array`.

    Each block that this process holds is drawn once, however many devices hold it; processes do not
    communicate.  JAX's CPU backend takes the memory that was filled without a copy.

    Args:
        shape, scheme, seed, name, dtype, region, threads: as for `array`.
        sharding: of the array that is returned; by default it is on JAX's default device.

    Raises:
        TypeError: a shape, scheme, index, seed, name or sharding of the wrong type.
        ValueError: an unsupported dtype, or float64 without ``jax_enable_x64``; a scheme that does
            not suit the shape or the dtype; a seed, shape or number of threads out of range; a
            sharding that does not divide the shape, as JAX says.
        IndexError: as for `array`.

    >>> import jax
    >>> import numpy as np
    >>> import fastinit as fi
    >>> import fastinit.jax as fj
    >>> mesh = jax.make_mesh((1,), ("x",))
    >>> rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    >>> w = fj.array((8, 4), fi.normal(0.02), seed=0, name="w", sharding=rows)
    >>> bool((np.asarray(w) == fi.array((8, 4), fi.normal(0.02), seed=0, name="w")).all())
    True
    """
    dims = check_shape(shape)
    part = region_of(dims, region)
    source = in_default_floats(
        sampler, (scheme, dims, checked(seed, name), checked_dtype(dtype)), {}
    )
    blocks.check(part.shape, sharding)
    arrays.workers_for(part, threads)
    return drawn(source, part, sharding, threads)


def drawn(source: Sampler, part: Region, sharding: Any, threads: int | None) -> jax.Array:
    """The region `part` of a tensor as an array, all of whose arguments are checked."""
    if gpu.can_draw(source, sharding):
        return gpu.drawn(source, part, sharding)

    def fill(out: npt.NDArray[Any], block: Region) -> None:
        arguments = (out, source, block, arrays.workers_for(block, threads))
        in_default_floats(arrays.draw, arguments, {})

    return blocks.made(part, source.dtype.numpy, sharding, fill)


def checked_dtype(dtype: Any, name: str = "") -> Any:
    """The dtype.

    Args:
        name: of the array that has it, for the message.

    Raises:
        ValueError: there is none, or JAX would narrow it.
    """
    kind = resolve(dtype)
    if kind.numpy == np.float64 and not jax.config.jax_enable_x64:
        whose = f" of {quoted(name)}" if name else ""
        raise ValueError(
            f"dtype 'float64'{whose} needs JAX's 64-bit mode, without which JAX makes float32 of "
            "it: jax.config.update('jax_enable_x64', True), or pass dtype='float32'"
        )
    return kind
