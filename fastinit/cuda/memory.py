# SPDX-License-Identifier: MIT
"""`fill` of arrays that show memory of a CUDA device: CuPy's, Numba's and many others'.

It imports none of their packages.  torch tensors have a door of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex

from fastinit.cuda import copies
from fastinit.cuda.arrays import DeviceTask
from fastinit.cuda.choice import decide
from fastinit.cuda.drawing import check_memory, draw
from fastinit.cuda.parts import parts
from fastinit.cuda.protocols import shown
from fastinit.docstrings import shares
from fastinit.machine.state import in_default_floats
from fastinit.memory import arrays
from fastinit.memory.regions import RegionLike, region_of
from fastinit.numerics.checks import check_shape
from fastinit.schemes.sampling import SchemeLike, sampler
from fastinit.values.stream import checked


@shares(arrays.fill)
def fill(
    out: arrays.Out,
    scheme: SchemeLike,
    *,
    seed: SupportsIndex,
    name: str,
    shape: Iterable[SupportsIndex] | None = None,
    region: RegionLike = None,
    threads: int | None = None,
) -> arrays.Out:
    """Fill `out` with the tensor `name`, or with a region of it, and return `out`.

    `fastinit.fill` of such an array is this function.  Independent values are drawn on the device,
    on the stream that the array interface names, or else on the default stream, and nothing waits
    for them.  Matrices, formulas and custom distributions are drawn on the CPU and copied, which
    the call waits for; so is everything where kernels cannot run, or if FASTINIT_CUDA=copy.

    Args:
        out: a writable array on a CUDA device, with ``__cuda_array_interface__`` or DLPack's
            ``__dlpack__``; bfloat16 and float8 come by the latter.  Any strides for what the device
            draws, no gaps between elements for what is copied.
        scheme, seed, name, shape, region: as for `fill`.
        threads: number of threads, >= 1, for what the CPU draws; by default FASTINIT_THREADS, or
            else the number of CPUs that this process may use.

    Returns:
        `out`.

    Raises:
        TypeError: `out` shows no memory of a CUDA device; a scheme, shape, index, seed or name of
            the wrong type.
        ValueError: `out` is read-only or masked, has elements that share memory or are not aligned,
            an unsupported dtype, or another shape than the region; what else `fastinit.fill` finds
            wrong.
        IndexError: the region leaves the tensor.
        ImportError: cuda-bindings is not installed.
        BackendError: the driver reports an error; or kernels cannot run, and FASTINIT_CUDA=kernels.
    """
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
    """`fill`."""
    found = shown(out)
    array, dtype = found.array, found.dtype
    dims = array.shape if shape is None else check_shape(shape)
    part = region_of(dims, region)
    arrays.check_size(array.shape, dims, part)
    source = sampler(scheme, dims, checked(seed, name), dtype)
    workers = arrays.workers_for(part, threads)
    if part.count == 0:
        return
    arrays.check_apart(array.shape, array.strides, dtype.size)
    check_memory(array, dtype.size)
    tasks = parts(DeviceTask(array, source, part))
    if tasks and decide(array.device):
        draw(tasks)
    else:
        copies.draw(array, source, part, workers)
