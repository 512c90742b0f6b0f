# SPDX-License-Identifier: MIT
"""A stand-in for cuda.bindings, whose devices' memory is this process's.  No test.

Launches run the kernel text as C++ on this CPU (device_text.py), with the grid and the parameters
that were passed, or are only recorded.  A copy from the host is made when something waits for it.
Where the driver would fail, it fails: another context, a stream of another device, a kernel of
another architecture, memory that is not there.
"""

from __future__ import annotations

import ctypes
import enum
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import device_text
import pytest

from fastinit.cuda import choice, devices, kept, requirement
from fastinit.cuda import parameters as structures

PARAMETERS = {
    "rows": (ctypes.c_void_p, structures.RowsParameter, structures.SpecParameter),
    "scattered": (ctypes.c_void_p, structures.AxesParameter, structures.SpecParameter),
    "jobs": (structures.JobsParameter,),
}


class Status(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NOT_INITIALIZED = 3
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_NOT_FOUND = 500
    CUDA_ERROR_LAUNCH_FAILED = 719


class NvrtcStatus(enum.IntEnum):
    NVRTC_SUCCESS = 0
    NVRTC_ERROR_COMPILATION = 6


class Card(NamedTuple):
    """A device."""

    architecture: int = 90
    multiprocessors: int = 4
    name: str = "NVIDIA H100 80GB HBM3"


class Launched(NamedTuple):
    """One launch, as the driver got it."""

    symbol: str
    groups: int
    grid: tuple[int, int]
    stream: int
    device: int
    arguments: tuple[Any, ...]


class _Context(NamedTuple):
    device: int


class _Function(NamedTuple):
    symbol: str
    groups: int
    context: _Context


DEFAULT_STREAMS = {0, 1, 2}


class FakeDriver:
    """The driver and NVRTC of a machine with these cards.

    Attributes:
        launched: the launches, in order.
        compiled: the options of every compilation.
        loads: how often code was loaded.
        copied: the bytes of each copy from the host.
        copies: those copies, of which the first `made` are made.
        fails: by the name of a function: the status that it returns, or the error that it raises.
        streams: other streams than the default ones, by handle, and their devices.
        capturing: handles of streams that are being captured.
    """

    def __init__(self, cards: tuple[Card, ...], *, cuda: int, nvrtc: tuple[int, int]) -> None:
        self.cards, self.cuda, self.nvrtc_version = cards, cuda, nvrtc
        self.launched: list[Launched] = []
        self.compiled: list[tuple[str, ...]] = []
        self.loads = 0
        self.copied: list[int] = []
        self.copies: list[tuple[int, int, int]] = []
        self.made = 0
        self.fails: dict[str, Any] = {}
        self.streams: dict[int, int] = {}
        self.capturing: set[int] = set()
        self._contexts: dict[int, list[_Context]] = defaultdict(list)
        self.pinned: dict[int, Any] = {}
        self.synchronized: list[int] = []
        self.runs = True
        self.initialised = False
        self.retained: set[int] = set()
        self.devices_of: dict[int, int] = defaultdict(int)

    @property
    def contexts(self) -> list[_Context]:
        """The stack of this thread."""
        return self._contexts[threading.get_ident()]

    @property
    def launches(self) -> int:
        """How many."""
        return len(self.launched)

    def count_only(self) -> None:
        """Record launches from here on, and run none."""
        self.runs = False

    # What the library calls: (status, values...), as cuda.bindings returns them.

    def cuDriverGetVersion(self):
        return Status.CUDA_SUCCESS, self.cuda

    def cuInit(self, flags):
        self.initialised = True
        found = Status.CUDA_SUCCESS if self.cards else Status.CUDA_ERROR_NO_DEVICE
        return (found,)

    def cuDeviceGetCount(self):
        return Status.CUDA_SUCCESS, len(self.cards)

    def cuDeviceGet(self, number):
        assert self.initialised
        return Status.CUDA_SUCCESS, number

    def cuDeviceGetAttribute(self, kind, device):
        card = self.cards[device]
        values = {"major": card.architecture // 10, "minor": card.architecture % 10}
        return Status.CUDA_SUCCESS, {**values, "count": card.multiprocessors}[kind]

    def cuDeviceGetName(self, size, device):
        return Status.CUDA_SUCCESS, self.cards[device].name.encode().ljust(size, b"\0")

    def cuDevicePrimaryCtxRetain(self, device):
        self.retained.add(device)
        return Status.CUDA_SUCCESS, _Context(device)

    def cuCtxPushCurrent(self, context):
        self.contexts.append(context)
        return (Status.CUDA_SUCCESS,)

    def cuCtxPopCurrent(self):
        return Status.CUDA_SUCCESS, self.contexts.pop()

    def cuStreamIsCapturing(self, stream):
        if not self._is_here(stream):
            return Status.CUDA_ERROR_INVALID_HANDLE, None
        return Status.CUDA_SUCCESS, int(stream in self.capturing)

    def cuStreamSynchronize(self, stream):
        self.synchronized.append(stream)
        self._copy(len(self.copies))
        return (Status.CUDA_SUCCESS,)

    def cuLibraryLoadData(self, code, *nothing):
        assert not self.capturing, "a load during a capture"
        self.loads += 1
        kernel = re.search(rb"-arch=(\S+) .*FI_ONLY=FI_(\w+)\((\w+),(\w+)\) -DV_GROUPS=(\d)", code)
        target, cut, numbers, dtype, groups = (part.decode() for part in kernel.groups())
        number = int(target.partition("_")[2])
        here = self.cards[self.contexts[-1].device].architecture
        if (number != here) if target.startswith("sm") else (number > here):
            return Status.CUDA_ERROR_NO_BINARY_FOR_GPU, None
        return Status.CUDA_SUCCESS, (f"{cut.lower()}_{numbers}_{dtype}", int(groups))

    def cuLibraryGetKernel(self, library, symbol):
        if library[0] != symbol.decode():
            return Status.CUDA_ERROR_NOT_FOUND, None
        return Status.CUDA_SUCCESS, library

    def cuKernelGetFunction(self, kernel):
        return Status.CUDA_SUCCESS, _Function(*kernel, self.contexts[-1])

    def cuLaunchKernel(self, function, x, y, z, bx, by, bz, shared, stream, parameters, extra):
        if not self.contexts or function.context != self.contexts[-1]:
            return (Status.CUDA_ERROR_INVALID_CONTEXT,)
        if not self._is_here(stream):
            return (Status.CUDA_ERROR_INVALID_HANDLE,)
        usual = (z, bx, by, bz, shared, extra) == (1, 256, 1, 1, 0, 0)
        if not (usual and 0 < x < 2**31 and 0 < y < 2**16):
            return (Status.CUDA_ERROR_INVALID_VALUE,)
        kinds = PARAMETERS[function.symbol.partition("_")[0]]
        places = (ctypes.c_void_p * len(kinds)).from_address(parameters)
        arguments = tuple(
            kind.from_buffer_copy(kind.from_address(place))
            for kind, place in zip(kinds, places, strict=True)
        )
        launch = Launched(
            function.symbol, function.groups, (x, y), stream, function.context.device, arguments
        )
        self.launched.append(launch)
        if self.runs:
            device_text.run(launch.symbol, launch.grid, launch.arguments, launch.groups)
        return (Status.CUDA_SUCCESS,)

    def _is_here(self, stream):
        where = self.streams.get(stream)
        return stream in DEFAULT_STREAMS or (self.contexts and where == self.contexts[-1].device)

    def cuPointerGetAttribute(self, kind, pointer):
        return Status.CUDA_SUCCESS, self.devices_of[pointer]

    def cuMemHostAlloc(self, size, flags):
        memory = (ctypes.c_ubyte * size)()
        self.pinned[ctypes.addressof(memory)] = memory
        return Status.CUDA_SUCCESS, ctypes.addressof(memory)

    def cuMemFreeHost(self, pointer):
        del self.pinned[pointer]
        return (Status.CUDA_SUCCESS,)

    def cuMemcpyHtoDAsync(self, to, origin, size, stream):
        assert any(0 <= origin - p <= len(m) - size for p, m in self.pinned.items())
        if not self._is_here(stream):
            return (Status.CUDA_ERROR_INVALID_HANDLE,)
        self.copies.append((to, origin, size))
        self.copied.append(size)
        return (Status.CUDA_SUCCESS,)

    def _copy(self, until):
        """Make the copies up to this one, as late as the driver may."""
        for copy in self.copies[self.made : until]:
            ctypes.memmove(*copy)
        self.made = max(self.made, until)

    def cuEventCreate(self, flags):
        return Status.CUDA_SUCCESS, SimpleNamespace(copies=0)

    def cuEventRecord(self, event, stream):
        event.copies = len(self.copies)
        return (Status.CUDA_SUCCESS,)

    def cuEventSynchronize(self, event):
        self._copy(event.copies)
        return (Status.CUDA_SUCCESS,)

    def cuEventDestroy(self, event):
        return (Status.CUDA_SUCCESS,)

    # NVRTC

    def nvrtcVersion(self):
        return NvrtcStatus.NVRTC_SUCCESS, *self.nvrtc_version

    def nvrtcGetSupportedArchs(self):
        return NvrtcStatus.NVRTC_SUCCESS, [75, 80, 86, 87, 88, 89, 90, 100, 103, 120]

    def nvrtcCreateProgram(self, text, name, count, contents, names):
        assert len(contents) == len(names) == count
        return NvrtcStatus.NVRTC_SUCCESS, SimpleNamespace(code=b"")

    def nvrtcCompileProgram(self, program, count, options):
        self.compiled.append(tuple(option.decode() for option in options))
        program.code = b"code of " + b" ".join(options)
        return (NvrtcStatus.NVRTC_SUCCESS,)

    def nvrtcGetProgramLogSize(self, program):
        return NvrtcStatus.NVRTC_SUCCESS, 32

    def nvrtcGetProgramLog(self, program, log):
        log[:] = b"isa_cuda.cu(1): error: unclear".ljust(32, b"\0")
        return (NvrtcStatus.NVRTC_SUCCESS,)

    def _size(self, program):
        return NvrtcStatus.NVRTC_SUCCESS, len(program.code)

    def _content(self, program, code):
        code[:] = program.code
        return (NvrtcStatus.NVRTC_SUCCESS,)

    nvrtcGetPTXSize = nvrtcGetCUBINSize = _size
    nvrtcGetPTX = nvrtcGetCUBIN = _content

    def nvrtcDestroyProgram(self, program):
        return (NvrtcStatus.NVRTC_SUCCESS,)


KINDS = SimpleNamespace(
    CUdevice_attribute=SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major",
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT="count",
    ),
    CUpointer_attribute=SimpleNamespace(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL="device"),
    CUstream=int,
    CUdeviceptr=int,
)


class _Module(ModuleType):
    """The functions of a fake whose names begin so, each failing if it is to fail."""

    def __init__(self, name: str, fake: FakeDriver, prefix: str) -> None:
        super().__init__(name)
        self._fake, self._prefix = fake, prefix

    def __getattr__(self, name: str) -> Any:
        if hasattr(KINDS, name):
            return getattr(KINDS, name)
        if not name.startswith(self._prefix):
            raise AttributeError(name)
        function = getattr(self._fake, name)

        def called(*arguments: Any) -> Any:
            failure = self._fake.fails.get(name)
            if isinstance(failure, BaseException):
                raise failure
            return function(*arguments) if failure is None else (failure,)

        called.__name__ = name
        return called


def forget() -> None:
    """Have the library look again at what is installed."""
    for found in (requirement.loaded, requirement.compiler):
        found.cache_clear()
    for found in (devices._device, devices.description, devices.count):
        found.cache_clear()
    choice._problem.cache_clear()
    choice._said.clear()


@contextmanager
def installed(
    *cards: Card, cuda: int = 13000, nvrtc: tuple[int, int] = (13, 0), folder: Any = None
) -> Iterator[FakeDriver]:
    """Put a fake in the place of cuda.bindings: of one card, if none are given.

    Args:
        cards: the devices; `NO_CARDS` for none.
        cuda: the version that the driver is for.
        folder: where compiled code is kept; by default nowhere.
    """
    fake = FakeDriver(() if cards == NO_CARDS else cards or (Card(),), cuda=cuda, nvrtc=nvrtc)
    package = ModuleType("cuda.bindings")
    package.__version__ = "13.0.3"
    package.driver = _Module("cuda.bindings.driver", fake, "cu")
    package.nvrtc = _Module("cuda.bindings.nvrtc", fake, "nvrtc")
    parent = ModuleType("cuda")
    parent.bindings = package
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(choice.CUDA_VARIABLE, raising=False)
        patch.setattr(kept, "folders", lambda: [] if folder is None else [folder])
        patch.setitem(sys.modules, "cuda", parent)
        patch.setitem(sys.modules, "cuda.bindings", package)
        patch.setitem(sys.modules, "cuda.bindings.driver", package.driver)
        patch.setitem(sys.modules, "cuda.bindings.nvrtc", package.nvrtc)
        forget()
        yield fake
        assert sys.modules["cuda.bindings"] is package, "a patch inside would outlive the fake"
        assert not any(fake._contexts.values()), "a context stayed current"
        assert not fake.pinned, "pinned memory was not given back"
    forget()


NO_CARDS = ((),)
"""What to pass for a machine without a device: `installed(*NO_CARDS)`."""
