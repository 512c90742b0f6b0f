# SPDX-License-Identifier: MIT
"""Draws tasks on their devices: checks them, and launches what launches.py makes of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from fastinit.cuda.arrays import DeviceArray, DeviceTask
from fastinit.cuda.devices import Device, device
from fastinit.cuda.launches import Launch, launches
from fastinit.cuda.requirement import called, loaded
from fastinit.machine.state import in_default_floats
from fastinit.values.samplers import Sampler


def can_draw(sampler: Sampler) -> bool:
    """Whether kernels can draw what a sampler draws.

    They draw independent values, one word each.  The CPU draws matrices, formulas and custom
    distributions.
    """
    return sampler.numbers is not None


def draw(tasks: Iterable[DeviceTask]) -> None:
    """Fill the arrays of all tasks by kernels, in the fewest launches, and wait for none of them.

    Values are those of the CPU, to the last bit.  A kernel is compiled the first time it is needed,
    in about a second, and kept on disk.  All launches go to the streams of the arrays, in no
    particular order; memory and streams have to stay alive until then.

    Raises:
        ImportError: cuda-bindings is not installed.
        BackendError: kernels cannot run there (see `problem`); the driver reports an error; or a
            stream is being captured into a CUDA graph and a kernel is not loaded yet.
        TypeError: `tasks` is one task.
        ValueError: a task has another shape than its region, memory that is not aligned to its
            dtype, or a sampler that only the CPU can draw.

    Nothing is launched if a task is wrong or a kernel cannot be loaded, on any of the devices.
    """
    for where, stream, work in _loaded(tasks):
        where.launch(work, stream)


def prepare(tasks: Iterable[DeviceTask]) -> None:
    """Compile and load the kernels that `draw` of the same tasks launches, and launch nothing.

    After this, `draw` can be captured into a CUDA graph.

    Raises:
        ImportError, BackendError, TypeError, ValueError: as `draw`.
    """
    _loaded(tasks)


def synchronize(number: int, stream: int = 0) -> None:
    """Wait until everything on a stream of the device `number` is done.

    `draw` waits for nothing.  Call this before code that does not know the stream gets the memory.

    Raises:
        ImportError, BackendError: as `draw`; work on the stream has failed.
    """
    driver = loaded().driver
    with device(number).current():
        status = driver.cuStreamSynchronize(driver.CUstream(stream))
        called(status, "cuStreamSynchronize")


def _loaded(tasks: Iterable[DeviceTask]) -> list[tuple[Device, int, list[Launch]]]:
    """The launches of each device and stream, once all kernels of all of them are loaded.

    So nothing is launched if one cannot be loaded.  Which kernels these are is decided by comparing
    numbers, down to the smallest denormal.
    """
    return in_default_floats(_loaded_launches, (tasks,), {})


def _loaded_launches(tasks: Iterable[DeviceTask]) -> list[tuple[Device, int, list[Launch]]]:
    found = []
    for (number, stream), together in _by_stream(tasks).items():
        where = device(number)
        work = list(launches(together, where.multiprocessors))
        for launch in work:
            where.load(launch.kernel, stream)
        found.append((where, stream, work))
    return found


def _by_stream(tasks: Iterable[DeviceTask]) -> dict[tuple[int, int], list[DeviceTask]]:
    """The tasks that have elements, by device and stream, once all are found to be valid."""
    if isinstance(tasks, DeviceTask):  # a tuple, so it could be gone through
        raise TypeError("tasks is one DeviceTask: need an iterable of them, such as [task]")
    found: dict[tuple[int, int], list[DeviceTask]] = defaultdict(list)
    for task in tasks:
        check_task(task)
        if task.part.count:
            found[task.out.device, task.out.stream].append(task)
    return found


def check_task(task: DeviceTask) -> None:
    """Raise ValueError if a task cannot be drawn on any device."""
    out, size = task.out, task.source.dtype.size
    if not can_draw(task.source):
        raise ValueError(
            "kernels draw independent values only: draw the others on the CPU, and copy them"
        )
    if out.shape != task.part.shape or len(out.strides) != len(out.shape):
        raise ValueError(
            f"an array of shape {out.shape} and strides {out.strides} does not fit a region of "
            f"shape {task.part.shape}"
        )
    check_memory(out, size)


def check_memory(out: DeviceArray, size: int) -> None:
    """Raise if there is none, or elements of `size` bytes do not lie at multiples of it."""
    if not out.pointer and 0 not in out.shape:
        raise ValueError(
            "out has no memory: its address is 0; pass an array that was allocated and not freed"
        )
    steps = (step for step, dim in zip(out.strides, out.shape, strict=True) if dim > 1)
    if math.gcd(out.pointer, *steps) % size:
        raise ValueError(
            f"out has address {out.pointer:#x} and strides {out.strides}: a device needs its "
            f"elements of {size} bytes at multiples of {size}; pass an aligned array"
        )
