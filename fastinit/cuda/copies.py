# SPDX-License-Identifier: MIT
"""Fills a device's memory with what the CPU draws: chunks in pinned memory, copied one by one."""

from __future__ import annotations

import ctypes
import itertools
import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from fastinit.cuda.arrays import DeviceArray
from fastinit.cuda.devices import check_capture, device
from fastinit.cuda.requirement import called, loaded
from fastinit.memory import arrays
from fastinit.memory.regions import Region, boxes
from fastinit.values.samplers import Sampler

PinnedBuffer = npt.NDArray[np.uint8]

PINNED_SIZE = 2**26
"""Bytes drawn at a time: enough that starting threads and copies takes no time."""

WITHOUT_TIMES = 2
"""CU_EVENT_DISABLE_TIMING."""


def draw(
    out: DeviceArray, source: Sampler, part: Region, workers: int, *, size: int = PINNED_SIZE
) -> None:
    """Draw the region `part`, which has the shape of `out`, on the CPU, and copy it.

    One chunk is copied while the next is drawn.  The call returns when all are copied.

    Args:
        workers: threads that draw.
        size: bytes of a chunk, at most, and at least one element.

    Raises:
        ValueError: `out` has gaps between its elements.
        BackendError: the driver reports an error, or the stream is being captured.
    """
    back = [axis for axis, stride in enumerate(out.strides) if stride < 0]
    lowest = out.pointer + sum((out.shape[axis] - 1) * out.strides[axis] for axis in back)
    order = sorted(range(len(out.shape)), key=lambda axis: -abs(out.strides[axis]))
    part = part.reversed(back).permuted(order)
    strides = [abs(out.strides[axis]) for axis in order]
    check_dense(out, strides, part.shape, source.dtype.size)
    if part.count == 0:
        return
    most = max(1, min(size // source.dtype.size, part.count))
    with device(out.device).current(), _pinned(most * source.dtype.size, out.stream) as buffers:
        for box in boxes(part.shape, most):
            counts, corner = tuple(map(len, box)), tuple(along.start for along in box)
            buffer = next(buffers)[: math.prod(counts) * source.dtype.size]
            chunk = buffer.view(source.dtype.numpy).reshape(counts)
            arrays.draw(chunk, source, part.piece(corner, counts), workers)
            place = lowest + sum(map(operator.mul, corner, strides))
            _copy(place, buffer, out.stream)


def check_dense(out: DeviceArray, strides: list[int], shape: tuple[int, ...], size: int) -> None:
    """Raise if elements have gaps between them, in whatever order their axes lie in memory."""
    for stride, dim in zip(reversed(strides), reversed(shape), strict=True):
        if stride != size and dim > 1:
            raise ValueError(
                f"out has shape {out.shape} and strides {out.strides}, with gaps between elements: "
                "values that the CPU draws are copied only to memory without gaps; fill a "
                "contiguous array, and assign it to out"
            )
        size *= dim


def _copy(place: int, buffer: PinnedBuffer, stream: int) -> None:
    driver = loaded().driver
    where = driver.CUdeviceptr(place), buffer.ctypes.data, buffer.nbytes, driver.CUstream(stream)
    called(driver.cuMemcpyHtoDAsync(*where), "cuMemcpyHtoDAsync")


@contextmanager
def _pinned(size: int, stream: int) -> Iterator[Iterator[PinnedBuffer]]:
    """Two pinned buffers in turn, each when the copy from it has ended; at the end, so have all."""
    driver = loaded().driver
    check_capture(stream, "copy values from the CPU", "fill outside the capture")
    pointers, events = [], []
    try:
        for _ in range(2):
            pointers.append(int(called(driver.cuMemHostAlloc(size, 0), "cuMemHostAlloc")))
            events.append(called(driver.cuEventCreate(WITHOUT_TIMES), "cuEventCreate"))
        yield _in_turn(pointers, events, size, stream)
    finally:
        ended = driver.cuStreamSynchronize(driver.CUstream(stream))  # before memory is given back
        for event in events:
            driver.cuEventDestroy(event)
        for pointer in pointers:
            driver.cuMemFreeHost(pointer)
    called(ended, "cuStreamSynchronize")


def _in_turn(
    pointers: list[int], events: list[object], size: int, stream: int
) -> Iterator[PinnedBuffer]:
    driver = loaded().driver
    for turn in itertools.cycle(range(2)):
        called(driver.cuEventSynchronize(events[turn]), "cuEventSynchronize")  # at once if unused
        yield np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointers[turn]))
        called(driver.cuEventRecord(events[turn], driver.CUstream(stream)), "cuEventRecord")
