# SPDX-License-Identifier: MIT
"""Compiles one kernel of the text by NVRTC, for one architecture.  What is kept is in kept.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastinit.cuda.launches import Kernel
from fastinit.cuda.requirement import called, compiler
from fastinit.cuda.text import STUB, Text
from fastinit.errors import BackendError


def target(architecture: int) -> str:
    """What to compile for: the architecture itself, or PTX for the driver to compile further.

    Raises:
        BackendError: the architecture is too old for this NVRTC.
    """
    known = supported()
    older = [each for each in known if each <= architecture]
    if not older:
        raise BackendError(
            f"the device has compute capability {_capability(architecture)}, and NVRTC "
            f"{_dotted(version())} compiles for {_capability(min(known))} and newer"
        )
    return f"sm_{architecture}" if architecture in known else f"compute_{max(older)}"


def options(kernel: Kernel, target: str) -> tuple[str, ...]:
    """What NVRTC is told."""
    only = f"FI_{kernel.cut.upper()}({kernel.numbers},{kernel.dtype})"
    groups = f"-DV_GROUPS={kernel.groups}"
    return f"-arch={target}", "-default-device", "-std=c++20", f"-DFI_ONLY={only}", groups


def version() -> tuple[int, int]:
    """NVRTC's major and minor version."""
    nvrtc = compiler()
    major, minor = called(nvrtc.nvrtcVersion(), "nvrtcVersion")
    return int(major), int(minor)


def supported() -> list[int]:
    """The architectures that NVRTC compiles for, such as 90."""
    nvrtc = compiler()
    return [int(each) for each in called(nvrtc.nvrtcGetSupportedArchs(), "nvrtcGetSupportedArchs")]


def compiled(text: Text, options: tuple[str, ...]) -> bytes:
    """The code, for `cuLibraryLoadData`.

    Raises:
        BackendError: NVRTC refuses the text or the options; with what it says.
    """
    nvrtc = compiler()
    names = [name.encode() for name in text.headers]
    contents = [content.encode() for content in text.headers.values()]
    made = nvrtc.nvrtcCreateProgram(text.stub.encode(), STUB.encode(), len(names), contents, names)
    program = called(made, "nvrtcCreateProgram")
    try:
        told = [option.encode() for option in options]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(told), told)
        if int(status):
            log = _bytes(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            said = log.decode(errors="replace").strip("\0 \n")
            raise BackendError(f"NVRTC cannot compile a kernel ({' '.join(options)}): {said}")
        if options[0].startswith("-arch=compute"):
            return _bytes(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)
        return _bytes(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _bytes(size: Callable[..., Any], content: Callable[..., Any], program: Any) -> bytes:
    """What a pair of NVRTC's functions gives."""
    found = bytearray(called(size(program), size.__name__))
    called(content(program, found), content.__name__)  # it writes into them
    return bytes(found)


def _capability(architecture: int) -> str:
    return f"{architecture // 10}.{architecture % 10}"


def _dotted(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))
