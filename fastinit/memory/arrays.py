# SPDX-License-Identifier: MIT
"""Drawing into memory: `fill` and `array`.

A fill is cut into chunks (chunks.py), which threads claim one by one; each is a GIL-free call.
Nothing here knows of files.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from fastinit.docstrings import shares
from fastinit.machine import parallel
from fastinit.machine.state import in_default_floats
from fastinit.memory.chunks import LEAST, chunks
from fastinit.memory.regions import Region, RegionLike, region_of
from fastinit.numerics.checks import Shape, check_shape
from fastinit.numerics.dtypes import resolve
from fastinit.schemes import Scheme
from fastinit.schemes.sampling import SchemeLike, sampler
from fastinit.values.samplers import Sampler
from fastinit.values.stream import checked

ONE_THREAD = 2**19
"""Elements up to which one thread is as fast as several; see docs/performance.md."""

DOORS = {"torch": "fastinit.torch.memory"}
"""By package: the module whose `fill` fills objects of its classes and of derived ones.

It is imported when such an `out` is passed for the first time, and takes all arguments of `fill`.
"""

PROTOCOLS = {
    "__cuda_array_interface__": "fastinit.cuda.memory",
    "__dlpack_device__": "fastinit.cuda.memory",
}
"""By an attribute of its class: the module whose `fill` fills an object of any other package."""

INSTEAD_OF_OUT = {
    "jaxlib": "because JAX arrays are immutable: to make one, call fastinit.jax.array, or "
    "fastinit.jax.init for a whole tree",
    "tensorflow": "because TensorFlow's tensors are immutable; to get one, pass what "
    "fastinit.array returns to tensorflow.constant",
}
"""What to pass as `out` instead of another package's array."""


class Fillable(Protocol):
    """What `fill` writes into: a NumPy array, or what a door takes, such as a torch tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How many elements along each axis."""

    def __setitem__(self, index: Any, value: Any, /) -> None: ...


Out = TypeVar("Out", bound=Fillable)


def fill(
    out: Out,
    scheme: SchemeLike,
    *,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None = None,
    region: RegionLike = None,
    threads: int | None = None,
) -> Out:
    """Fill `out` with the tensor `name`, or with a region of it, and return `out`.

    Every value is a function of the seed, the name, the element's row-major number in the whole
    tensor and the distribution.  It does not depend on strides, on threads or on what else is
    filled.  All errors below are raised before anything is written; an interrupted call has filled
    part of `out`.

    Args:
        out: a writable NumPy array, with any strides, or a memory map; a torch tensor or parameter,
            with any strides, on any device (`fastinit.torch.fill` says more); or what shows memory
            of a CUDA device by ``__cuda_array_interface__`` or DLPack, such as a CuPy array
            (`fastinit.cuda.memory.fill` says more).
        scheme: such as ``fastinit.he_normal()``, or its text form.
        seed: 0 <= seed < 2**64.
        name: the tensor's name; another name gives other values.
        shape: of the whole tensor, by default the shape of `out`.  Scales follow from it.
        region: which part of the whole tensor to draw: slices and integers, such as
            ``np.s_[4096:8192, :]``, or a range of row-major element numbers; by default all of it.
        threads: number of threads, >= 1; by default FASTINIT_THREADS, or else the number of CPUs
            that this process may use.

    Returns:
        `out`.

    Raises:
        TypeError: `out` is none of these; a scheme, shape, index, seed or name of the wrong type.
        ValueError: `out` is read-only, has elements that share memory, an unsupported dtype or
            another shape than the region; a scheme that does not suit the shape or the dtype; a
            seed, shape or number of threads out of range.
        IndexError: the region leaves the tensor.
        ImportError: `out` is a torch tensor, and fastinit.torch needs a newer PyTorch.

    >>> import numpy as np
    >>> import fastinit as fi
    >>> whole = fi.fill(np.empty((6, 4), "float32"), fi.he_normal(), seed=0, name="w")
    >>> rows = np.empty((2, 4), "float32")
    >>> rows = fi.fill(rows, fi.he_normal(), seed=0, name="w", shape=(6, 4), region=np.s_[2:4])
    >>> bool((rows == whole[2:4]).all())
    True
    """
    if not isinstance(out, np.ndarray):
        found: Out = _door(type(out)).fill(
            out, scheme, seed=seed, name=name, shape=shape, region=region, threads=threads
        )
        return found
    # Not `default_floats`, which costs half a microsecond more.
    in_default_floats(_fill, (out, scheme, seed, name, shape, region, threads), {})
    return out


def _fill(
    out: Any,
    scheme: SchemeLike,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None,
    region: RegionLike,
    threads: int | None,
) -> None:
    """`fill` of a NumPy array."""
    if not out.flags.writeable:
        raise ValueError("out is read-only: pass a writable array, or open the memory map 'r+'")
    dims = out.shape if shape is None else check_shape(shape)
    part = region_of(dims, region)
    check_size(out.shape, dims, part)
    if not out.flags.c_contiguous:
        check_apart(out.shape, out.strides, out.itemsize)
    source = sampler(scheme, dims, checked(seed, name), resolve(out.dtype))
    draw(out, source, part, workers_for(part, threads))


@shares(fill)
def array(
    shape: Iterable[SupportsIndex] | SupportsIndex,
    scheme: SchemeLike,
    *,
    seed: SupportsIndex,
    name: str,
    dtype: Any = "float32",
    region: RegionLike = None,
    threads: int | None = None,
) -> npt.NDArray[Any]:
    """A new array with the tensor `name`, or with a region of it.

    All errors below are raised before anything is allocated.

    Args:
        shape: of the whole tensor, not of the region.
        scheme, seed, name: as for `fill`.
        dtype: "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64", or such
            a dtype of NumPy or torch.  Values of the narrow types are the float32 values rounded
            once.
        region, threads: as for `fill`.

    Returns:
        A C-contiguous array of the region's shape.

    Raises:
        TypeError: a shape, scheme, index, seed or name of the wrong type.
        ValueError: an unsupported dtype; a scheme that does not suit the shape or the dtype; a
            seed, shape or number of threads out of range.
        IndexError: as for `fill`.

    >>> import fastinit as fi
    >>> fi.array((2, 3), fi.normal(std=0.02), seed=0, name="w", dtype="bfloat16").dtype
    dtype(bfloat16)
    """
    return in_default_floats(_array, (shape, scheme, seed, name, dtype, region, threads), {})


def _array(
    shape: Iterable[SupportsIndex] | SupportsIndex,
    scheme: SchemeLike,
    seed: SupportsIndex,
    name: str,
    dtype: Any,
    region: RegionLike,
    threads: int | None,
) -> npt.NDArray[Any]:
    """`array`."""
    dims = check_shape(shape)
    part = region_of(dims, region)
    source = sampler(scheme, dims, checked(seed, name), resolve(dtype))
    workers = workers_for(part, threads)
    out = np.empty(part.shape, source.dtype.numpy)
    draw(out, source, part, workers)
    return out


@lru_cache(maxsize=64)
def _door(kind: type) -> Any:
    """The module that fills objects of a class other than NumPy's; raises if there is none."""
    packages = [base.__module__.partition(".")[0] for base in kind.__mro__]
    for package in packages:
        if package in DOORS:
            return import_module(DOORS[package])
    for attribute, module in PROTOCOLS.items():
        if hasattr(kind, attribute) and packages[0] not in INSTEAD_OF_OUT:
            return import_module(module)
    need = INSTEAD_OF_OUT.get(packages[0], "such as np.empty(shape, 'float32'), or a torch tensor")
    if issubclass(kind, Scheme | str):
        need = "and the scheme after it"
    raise TypeError(f"out is a {kind.__name__}: need a NumPy array, {need}")


def check_size(shape: Shape, dims: Shape, part: Region) -> None:
    """Raise if `shape` is not that of the region `part` of a tensor of shape `dims`."""
    if shape != part.shape:
        raise ValueError(
            f"out has shape {shape}, but the region of shape {dims} has shape {part.shape}"
        )


def check_apart(shape: Shape, strides: Shape, size: int = 1) -> None:
    """Raise if elements of `size` that lie `strides` apart share memory, as those of no slice do.

    Then an axis steps over less than the axes of smaller steps take up.
    """
    reach = size
    axes = zip(map(abs, strides), shape, strict=True)
    for stride, dim in sorted((stride, dim) for stride, dim in axes if dim > 1):
        if stride < reach:
            raise ValueError(
                f"out has strides {strides}: several elements share one address; pass what was "
                "broadcast or expanded, or a copy of it"
            )
        reach += (dim - 1) * stride


def workers_for(part: Region, threads: int | None) -> int:
    """How many threads to use; raises before anything is allocated or written."""
    small = threads is None and part.count <= ONE_THREAD
    return 1 if small else parallel.thread_count(threads)


def draw(out: npt.NDArray[Any], source: Sampler, part: Region, workers: int) -> None:
    """Draw the region `part` into `out`, which has its shape, by `workers` threads."""
    if part.count == 0:
        return
    plain = out.view(np.ndarray).view(source.dtype.words)
    if workers == 1 and part.count <= LEAST and part.consecutive and plain.flags.c_contiguous:
        source.draw(plain.reshape(-1).view(np.uint8), part.start)  # one chunk: no time to lose
        return
    pieces = chunks(plain, part, workers, source.chunk)
    parallel.run(pieces, lambda chunk: chunk.draw(source), workers)
