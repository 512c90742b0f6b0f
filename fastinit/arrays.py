# SPDX-License-Identifier: MIT
"""Drawing into memory: `fill` and `array`, and `sampler`, which files are written with.

A fill is cut into chunks (chunks.py), which threads claim one by one; each is a GIL-free call.
Nothing here knows of files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from fastinit import instruction_sets, parallel
from fastinit.chunks import LEAST, chunks
from fastinit.distributions import Distribution
from fastinit.dtypes import resolve
from fastinit.fans import check_shape
from fastinit.matrices import Matrix
from fastinit.regions import Region, RegionLike, region_of
from fastinit.samplers import Sampler
from fastinit.schemes import Scheme, scheme
from fastinit.stream import stream

ONE_THREAD = 2**19
"""Up to so many elements one thread is as fast as several; see docs/performance.md."""

Array = TypeVar("Array", bound=npt.NDArray[Any])
SchemeLike = Scheme | Distribution | str


def sampler(
    recipe: SchemeLike, shape: tuple[int, ...], *, seed: SupportsIndex, name: str, dtype: Any
) -> Sampler:
    """The sampler of a whole tensor.  Everything that can be wrong is found out here."""
    instruction_sets.check()
    kind, dims = resolve(dtype), check_shape(shape)
    place = stream(seed, name)
    if isinstance(recipe, str):
        recipe = scheme(recipe)
    if isinstance(recipe, Scheme):
        recipe = recipe.for_tensor(name, dims).distribution(dims)
    if not isinstance(recipe, Distribution):
        raise TypeError(f"scheme is {recipe!r}: need one such as fastinit.normal(std=0.02)")
    if isinstance(recipe, Matrix) and recipe.shape != dims:
        raise ValueError(f"the distribution is of shape {recipe.shape}, the tensor of {dims}")
    return recipe.sampler(kind, place)


def fill(
    out: Array,
    scheme: SchemeLike,
    *,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None = None,
    region: RegionLike = None,
    threads: int | None = None,
) -> Array:
    """Fill `out` with the tensor `name`, or with a region of it, and return `out`.

    Every value is a function of the seed, the name, the element's row-major number in the whole
    tensor and the distribution; never of strides, threads or what else is filled.

    Args:
        out: a writable NumPy array, of any strides, or a memory map.
        scheme: such as ``fastinit.he_normal()``, or its text form.
        seed: 0 <= seed < 2**64.
        name: the tensor's name; another name gives other values.
        shape: of the whole tensor; out's own if not given.  Scales come from it.
        region: which part of the whole tensor `out` holds: slices and integers
            (``np.s_[4096:8192, :]``), or a range of row-major element numbers; all if None.
        threads: how many; if None, FASTINIT_THREADS or the CPUs this process may use.

    Returns:
        `out`.

    Raises:
        TypeError: `out` is not an array; an index, seed or name of the wrong kind.
        ValueError: `out` is read-only, of another shape than the region or of a dtype that is
            not supported; a seed or scale out of range.  Nothing has been written then.
        IndexError: the region leaves the tensor.

    If it is interrupted, part of `out` has been filled.

    >>> import numpy as np
    >>> import fastinit as fi
    >>> whole = fi.fill(np.empty((6, 4), "float32"), fi.he_normal(), seed=0, name="w")
    >>> rows = np.empty((2, 4), "float32")
    >>> rows = fi.fill(rows, fi.he_normal(), seed=0, name="w", shape=(6, 4), region=np.s_[2:4])
    >>> bool((rows == whole[2:4]).all())
    True
    """
    _check_out(out)
    dims = out.shape if shape is None else check_shape(shape)
    part = region_of(dims, region)
    if out.shape != part.shape:
        raise ValueError(
            f"out has shape {out.shape}, but the region of shape {dims} has shape {part.shape}"
        )
    source = sampler(scheme, dims, seed=seed, name=name, dtype=out.dtype)
    _fill(out, source, part, _workers(part, threads))
    return out


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

    Args:
        shape: of the whole tensor, not of the region.
        dtype: "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2" or "float64", or
            such a NumPy dtype.  The narrow types are the float32 values rounded once.
        scheme, seed, name, region, threads: as for `fill`.

    Returns:
        A C-contiguous array of the region's shape.

    Raises:
        As `fill`; before anything is allocated.

    >>> import fastinit as fi
    >>> fi.array((2, 3), fi.normal(std=0.02), seed=0, name="w", dtype="bfloat16").dtype
    dtype(bfloat16)
    """
    dims = check_shape(shape)
    part = region_of(dims, region)
    source = sampler(scheme, dims, seed=seed, name=name, dtype=dtype)
    workers = _workers(part, threads)
    out = np.empty(part.shape, source.dtype.numpy)
    _fill(out, source, part, workers)
    return out


def _check_out(out: Any) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(
            f"out is a {type(out).__name__}: need a NumPy array; for a torch tensor t on the CPU "
            "pass t.detach().numpy(), which shares its memory, or if it is bfloat16 "
            "t.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16)"
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only: pass a writable array, or open the memory map 'r+'")
    if not out.flags.c_contiguous and _overlaps(out):
        raise ValueError(f"out has strides {out.strides}: several elements share one place")


def _overlaps(out: npt.NDArray[Any]) -> bool:
    """Whether an axis steps over less than the axes of smaller steps take up, as no slice does."""
    reach = out.itemsize
    axes = zip(map(abs, out.strides), out.shape, strict=True)
    for stride, dim in sorted((stride, dim) for stride, dim in axes if dim > 1):
        if stride < reach:
            return True
        reach += (dim - 1) * stride
    return False


def _workers(part: Region, threads: int | None) -> int:
    """How many threads to use; raises before anything is allocated or written."""
    small = threads is None and part.count <= ONE_THREAD
    return 1 if small else parallel.thread_count(threads)


def _fill(out: npt.NDArray[Any], source: Sampler, part: Region, workers: int) -> None:
    if part.count == 0:
        return
    plain = out.view(np.ndarray).view(source.dtype.words)
    if workers == 1 and part.count <= LEAST and part.consecutive and plain.flags.c_contiguous:
        source.draw(plain.reshape(-1).view(np.uint8), part.start)  # one chunk: no time to lose
        return
    pieces = chunks(plain, part, workers, source.chunk)
    parallel.run(pieces, lambda chunk: chunk.draw(source), workers)
