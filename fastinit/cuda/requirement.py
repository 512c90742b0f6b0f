# SPDX-License-Identifier: MIT
"""What has to be installed, and how its functions are called.  Only this file imports it."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from fastinit.errors import BackendError
from fastinit.texts import printable
from fastinit.versions import checked_version

OLDEST_BINDINGS = (13, 0)
"""The first version for CUDA 13, which is what tests run."""

CUDA_NEEDED = f"CUDA kernels need cuda-bindings {OLDEST_BINDINGS[0]}.{OLDEST_BINDINGS[1]} or newer"

CUDA_INSTALL = "pip install 'fastinit-weights[cuda]'"

OLDEST_DRIVER = 12000
"""CUDA 12.0 as the driver writes it: the first with `cuLibraryLoadData`."""


HINTS = {
    "CUDA_ERROR_NOT_INITIALIZED": ": a process that was forked after CUDA was used cannot use it; "
    "start processes by spawn",
    "CUDA_ERROR_OUT_OF_MEMORY": ": no memory is left, on the device or of what the host can pin; "
    "free some",
}
"""What to do about an error of the driver."""


class Bindings(NamedTuple):
    """The two modules of cuda-bindings that are used.

    NVRTC itself may be missing: `compiler` gives the module once it is found.
    """

    driver: Any
    nvrtc: Any


@cache
def loaded() -> Bindings:
    """Import cuda-bindings, and make sure that the driver's library is there: all a copy needs.

    Raises:
        ImportError: it is not installed, too old or broken.
        BackendError: the driver's library is missing.
    """
    try:
        import cuda.bindings as package
        from cuda.bindings import driver, nvrtc
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "cuda":
            raise
        raise ImportError(
            f"{CUDA_NEEDED}, and it is not installed: {CUDA_INSTALL}", name="cuda"
        ) from None
    except Exception as error:  # a version for another Python or C library fails in any way
        raise ImportError(
            f"{CUDA_NEEDED}, and the one installed does not work ({type(error).__name__}: "
            f"{printable(error)}): {CUDA_INSTALL} --force-reinstall",
            name="cuda",
        ) from error
    checked_version(
        package, "cuda.bindings", needed=CUDA_NEEDED, oldest=OLDEST_BINDINGS, install=CUDA_INSTALL
    )
    _driver_version(driver)
    return Bindings(driver, nvrtc)


@cache
def compiler() -> Any:
    """The module of NVRTC, whose library is there, and whose code the driver takes.

    Raises:
        ImportError: cuda-bindings cannot be imported.
        BackendError: NVRTC, or the driver's library, is missing or too old.
    """
    driver, nvrtc = loaded()
    try:
        status, major, _ = nvrtc.nvrtcVersion()
    except Exception as error:  # whatever the search for a library raises
        raise BackendError(
            f"NVRTC, which compiles CUDA kernels, is not found: {CUDA_INSTALL}"
        ) from error
    called((status, major), "nvrtcVersion")
    version, oldest = _driver_version(driver), max(OLDEST_DRIVER, 1000 * int(major))
    if version < oldest:
        raise BackendError(
            f"the NVIDIA driver is for CUDA {_cuda_version(version)}, but the NVRTC installed is "
            f"for {_cuda_version(1000 * int(major))}: need a driver for {_cuda_version(oldest)} "
            "or newer"
        )
    return nvrtc


def _driver_version(driver: Any) -> int:
    """The version of CUDA that the driver is for, as it writes it."""
    try:
        found = driver.cuDriverGetVersion()
    except Exception as error:  # whatever the search for a library raises
        raise BackendError(
            "the library of the NVIDIA driver (libcuda) is not found: install the driver, or start "
            "a container with access to it"
        ) from error
    return int(called(found, "cuDriverGetVersion"))


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def called(result: tuple[Any, ...], what: str) -> Any:
    """What a function of the driver or NVRTC returned besides its status.

    Raises:
        BackendError: the status is an error.
    """
    status, *values = result
    if int(status):
        name = getattr(status, "name", str(int(status)))
        raise BackendError(f"CUDA's {what} failed: {name}{HINTS.get(name, '')}")
    if not values:
        return None
    return values[0] if len(values) == 1 else tuple(values)
