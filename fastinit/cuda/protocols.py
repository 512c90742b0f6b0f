# SPDX-License-Identifier: MIT
"""Memory of a CUDA device as other packages show it: the CUDA array interface, and DLPack.

The first is a dictionary of version 3 of Numba's specification; it says on which stream the owner
works.  Its type strings have no bfloat16 and no float8, so arrays of those are read by DLPack,
whose capsule holds a structure of C (dlpack.h, versions 0.8 to 1.x).  Nothing is filled here.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastinit.cuda.arrays import DeviceArray, dense_strides
from fastinit.cuda.devices import count
from fastinit.cuda.requirement import called, loaded
from fastinit.numerics.dtypes import DTYPES, DType, resolve
from fastinit.texts import quoted

INTERFACE = "__cuda_array_interface__"

LEGACY_STREAM = 1
"""The default stream, in both protocols and for the driver."""

CUDA_DEVICES = (2, 13)
"""kDLCUDA and kDLCUDAManaged."""

DLPACK_VERSION = (1, 1)
"""The latest version that is asked for; any 1.x has this layout."""

READ_ONLY, COPIED = 1, 2
"""DLPACK_FLAG_BITMASK_READ_ONLY and DLPACK_FLAG_BITMASK_IS_COPIED."""

DLPACK_DTYPES = {
    (2, 32): "float32",
    (2, 16): "float16",
    (2, 64): "float64",
    (4, 16): "bfloat16",
    (10, 8): "float8_e4m3fn",
    (12, 8): "float8_e5m2",
}
"""By DLDataTypeCode and bits: kDLFloat, kDLBfloat, kDLFloat8_e4m3fn and kDLFloat8_e5m2."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Memory that an object showed, and what keeps it alive."""

    array: DeviceArray
    dtype: DType
    keeper: object


def shown(out: Any) -> Shown:
    """The memory of `out`.

    Raises:
        TypeError: it is not memory of a CUDA device.
        ValueError: it is read-only, masked or a copy, or of an unsupported dtype.
        ImportError, BackendError: cuda-bindings or the driver is missing.
    """
    interface = getattr(out, INTERFACE, None)  # a property that may raise AttributeError
    by_dlpack = hasattr(out, "__dlpack_device__")
    if interface is None and not by_dlpack:
        raise TypeError(f"out is a {type(out).__name__} that shows no memory of a CUDA device")
    if interface is not None and not (by_dlpack and _is_opaque(interface)):
        return _by_interface(out, interface)
    return _by_dlpack(out, _stream(interface) if interface else LEGACY_STREAM)


def _is_opaque(interface: dict[str, Any]) -> bool:
    """Whether the type string tells only a size, as for bfloat16 and float8."""
    return bool(np.dtype(interface["typestr"]).kind == "V")


def _stream(interface: dict[str, Any]) -> int:
    """The stream on which the owner works, and so on which the array is filled."""
    stream = interface.get("stream")
    return LEGACY_STREAM if stream is None else int(stream)


def _by_interface(out: Any, interface: dict[str, Any]) -> Shown:
    if interface.get("mask") is not None:
        raise ValueError("out has a mask: pass an array without one")
    pointer, read_only = interface["data"]
    if read_only:
        raise ValueError("out is read-only: pass a writable array")
    dtype = resolve(np.dtype(interface["typestr"]))
    place, shape = int(pointer or 0), tuple(map(int, interface["shape"]))
    strides = interface.get("strides")
    steps = dense_strides(shape, dtype.size) if strides is None else tuple(map(int, strides))
    if len(steps) != len(shape):
        raise ValueError(
            f"out has shape {shape}, but strides {steps}: its array interface is wrong"
        )
    number = _device_of(place) if place and 0 not in shape else 0
    return Shown(DeviceArray(place, shape, steps, number, _stream(interface)), dtype, out)


def _device_of(pointer: int) -> int:
    """The number of the device on which memory lies."""
    count()  # makes sure that the driver is initialised
    driver = loaded().driver
    attribute = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    found = driver.cuPointerGetAttribute(attribute, driver.CUdeviceptr(pointer))
    return int(called(found, "cuPointerGetAttribute of out"))


class _Tensor(ctypes.Structure):
    """DLTensor of dlpack.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),  # in elements; may be NULL before 1.2
        ("byte_offset", ctypes.c_uint64),
    )


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned of dlpack.h."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


# Not the attributes of `ctypes.pythonapi`, whose types any other package may change.
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)


def _by_dlpack(out: Any, stream: int) -> Shown:
    kind, number = out.__dlpack_device__()
    if int(kind) not in CUDA_DEVICES:
        raise TypeError(
            f"out is a {type(out).__name__} whose memory is not that of a CUDA device: need a "
            "NumPy array, such as what numpy.from_dlpack(out) gives if it is the CPU's"
        )
    capsule = _capsule(out, stream)
    tensor = _tensor_in(capsule)
    dtype = _dtype_of(tensor)
    shape = tuple(tensor.shape[: tensor.ndim])
    steps = dense_strides(shape, dtype.size)
    if tensor.strides:
        steps = tuple(dtype.size * step for step in tensor.strides[: tensor.ndim])
    pointer = (tensor.data or 0) + tensor.byte_offset
    return Shown(DeviceArray(pointer, shape, steps, int(number), stream), dtype, capsule)


def _capsule(out: Any, stream: int) -> Any:
    """The capsule, of the layout with a version if the owner knows it."""
    try:
        try:
            return out.__dlpack__(stream=stream, max_version=DLPACK_VERSION, copy=False)
        except TypeError:  # from before these arguments
            return out.__dlpack__(stream=stream)
    except BufferError as error:
        raise ValueError(f"out is a {type(out).__name__} that cannot be shared: {error}") from error


def _tensor_in(capsule: Any) -> Any:
    """The structure in a capsule, which stays the owner of it."""
    if _is_capsule(capsule, b"dltensor"):
        return _Tensor.from_address(_capsule_pointer(capsule, b"dltensor"))
    if not _is_capsule(capsule, b"dltensor_versioned"):
        raise TypeError(f"out gives {quoted(capsule)} instead of a DLPack capsule")
    managed = _Versioned.from_address(_capsule_pointer(capsule, b"dltensor_versioned"))
    if managed.major != DLPACK_VERSION[0]:
        raise ValueError(
            f"out is shown by DLPack {managed.major}.{managed.minor}, and fastinit reads 1.x: pass "
            "an array with __cuda_array_interface__"
        )
    if managed.flags & READ_ONLY:
        raise ValueError("out is read-only: pass a writable array")
    if managed.flags & COPIED:
        raise ValueError("out shows a copy of its memory by DLPack, so it cannot be filled")
    return managed.tensor


def _dtype_of(tensor: Any) -> DType:
    name = DLPACK_DTYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if name is None:
        raise ValueError(
            f"out has elements of DLPack's type code {tensor.code} with {tensor.bits} bits and "
            f"{tensor.lanes} lanes, which is not supported: choose from {', '.join(DTYPES)}"
        )
    return DTYPES[name]
