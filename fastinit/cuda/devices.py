# SPDX-License-Identifier: MIT
"""CUDA devices: their contexts, the kernels loaded on them, and launches.  Nothing waits here.

Work is done in the primary context of a device, as torch, CuPy and Numba do theirs, and the context
that was current before is current afterwards.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fastinit.cuda import compiling, kept
from fastinit.cuda.launches import THREADS, Kernel, Launch
from fastinit.cuda.parameters import addresses
from fastinit.cuda.requirement import called, loaded
from fastinit.errors import BackendError

NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE."""


LOADED_BEFORE = (
    "fill the same tensors once before the capture, or pass them to fastinit.cuda.prepare"
)


@dataclass(eq=False)
class Device:
    """A device that is in use: its primary context, and the kernels that were loaded on it."""

    number: int
    architecture: int
    multiprocessors: int
    context: Any
    _kernels: dict[Kernel, Any] = field(default_factory=dict)
    _loading: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> Current:
        """A context in which the device's context is current."""
        return Current(self.context)

    def load(self, kernel: Kernel, stream: int) -> Any:
        """The function of a kernel.

        Code is loaded once, and completely, since a stream cannot be captured meanwhile.

        Raises:
            BackendError: it cannot be compiled or loaded, or `stream` is being captured.
        """
        found = self._kernels.get(kernel)
        if found is None:
            with self._loading, self.current():
                found = self._kernels.get(kernel)
                if found is None:
                    check_capture(stream, "load a kernel", LOADED_BEFORE)
                    code = kept.code_for(kernel, self.architecture)
                    found = self._kernels[kernel] = _function(code, kernel.symbol)
        return found

    def launch(self, work: Iterable[Launch], stream: int) -> None:
        """Launch kernels on a stream."""
        driver = loaded().driver
        handle, threads = driver.CUstream(stream), THREADS
        with self.current():
            for kernel, (x, y), arguments in work:
                function, passed = self.load(kernel, stream), addresses(arguments)
                where = handle, ctypes.addressof(passed), 0
                status = driver.cuLaunchKernel(function, x, y, 1, threads, 1, 1, 0, *where)
                called(status, f"cuLaunchKernel of {kernel.symbol}")


class Current:
    """Makes the context of a device current for a block, and then the one that was."""

    __slots__ = ("_context",)

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        called(loaded().driver.cuCtxPushCurrent(self._context), "cuCtxPushCurrent")

    def __exit__(self, *error: object) -> None:
        called(loaded().driver.cuCtxPopCurrent(), "cuCtxPopCurrent")


@dataclass(frozen=True)
class Description:
    """What a device is, as the driver says without a context."""

    name: str
    architecture: int
    multiprocessors: int


_finding = threading.Lock()


def device(number: int) -> Device:
    """The device of a number; its primary context is retained until the process ends.

    Raises:
        ImportError, BackendError: it cannot be used.
    """
    with _finding:  # or threads that come first at once would each load kernels
        return _device(number)


@cache
def _device(number: int) -> Device:
    found, driver = description(number), loaded().driver
    handle = called(driver.cuDeviceGet(number), "cuDeviceGet")
    context = called(driver.cuDevicePrimaryCtxRetain(handle), "cuDevicePrimaryCtxRetain")
    return Device(number, found.architecture, found.multiprocessors, context)


@cache
def description(number: int) -> Description:
    """What a device is.

    Raises:
        ImportError, BackendError: there is no such device, or CUDA cannot be used.
    """
    driver = loaded().driver
    if not 0 <= number < count():
        raise BackendError(f"there is no CUDA device {number}: the driver shows {count()}")
    handle = called(driver.cuDeviceGet(number), "cuDeviceGet")
    kinds = driver.CUdevice_attribute
    major, minor, multiprocessors = (
        int(called(driver.cuDeviceGetAttribute(kind, handle), "cuDeviceGetAttribute"))
        for kind in (
            kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            kinds.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
        )
    )
    name = called(driver.cuDeviceGetName(256, handle), "cuDeviceGetName")
    shown = name.partition(b"\0")[0].decode(errors="replace")
    return Description(shown, 10 * major + minor, multiprocessors)


@cache
def count() -> int:
    """How many devices the driver shows; no context is made.

    Raises:
        ImportError, BackendError: CUDA cannot be used.
    """
    driver = loaded().driver
    status = driver.cuInit(0)
    if int(status[0]) == NO_DEVICE:
        raise BackendError(
            "the NVIDIA driver shows no CUDA device: see what nvidia-smi lists, and "
            "CUDA_VISIBLE_DEVICES"
        )
    called(status, "cuInit")
    return int(called(driver.cuDeviceGetCount(), "cuDeviceGetCount"))


def check(number: int) -> None:
    """Raise ImportError or BackendError if kernels cannot run on a device; no context is made."""
    compiling.target(description(number).architecture)


def check_capture(stream: int, what: str, instead: str) -> None:
    """Raise if a stream is being captured into a graph.

    Args:
        what: cannot be done then.
        instead: what to do.
    """
    driver = loaded().driver
    status = called(driver.cuStreamIsCapturing(driver.CUstream(stream)), "cuStreamIsCapturing")
    if int(status):
        raise BackendError(
            f"fastinit cannot {what} while the stream is captured into a CUDA graph: {instead}"
        )


def _function(code: bytes, symbol: str) -> Any:
    """Load code into the current context, and find a kernel in it."""
    driver = loaded().driver
    nothing: list[Any] = []
    made = driver.cuLibraryLoadData(code, nothing, nothing, 0, nothing, nothing, 0)
    library = called(made, f"cuLibraryLoadData of {symbol}")
    kernel = called(driver.cuLibraryGetKernel(library, symbol.encode()), "cuLibraryGetKernel")
    return called(driver.cuKernelGetFunction(kernel), "cuKernelGetFunction")
