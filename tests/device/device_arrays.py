# SPDX-License-Identifier: MIT
"""Objects that show this process's memory as a CUDA device's.  No test."""

from __future__ import annotations

import ctypes

import numpy as np


class Interface:
    """A NumPy array by `__cuda_array_interface__`, as CuPy's and Numba's arrays are shown."""

    def __init__(self, array, **changes):
        self.array = array
        self.changes = changes

    @property
    def __cuda_array_interface__(self):
        array = self.array
        found = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, not array.flags.writeable),
            "version": 3,
            "strides": None if array.flags.c_contiguous else array.strides,
            "stream": None,
        }
        return {**found, **self.changes}


class Capsule:
    """What gives DLPack capsules of a torch tensor, as if it lay on a device.

    Args:
        tensor: a CPU tensor.
        versioned: whether the owner knows DLPack 1.0.
        **changes: of the fields of DLTensor, or flags.
    """

    def __init__(self, tensor, *, versioned=True, device=(2, 0), flags=0, **changes):
        self.tensor, self.versioned, self.device = tensor, versioned, device
        self.flags, self.changes = flags, changes
        self.streams = []

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None, **arguments):
        from fastinit.cuda import protocols

        self.streams.append(stream)
        if arguments and not self.versioned:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        wanted = {"max_version": (1, 0)} if self.versioned else {}
        capsule = self.tensor.__dlpack__(**wanted)
        fields = protocols._tensor_in(capsule)
        for name, value in self.changes.items():
            setattr(fields, name, value)
        if self.versioned:
            address = protocols._capsule_pointer(capsule, b"dltensor_versioned")
            protocols._Versioned.from_address(address).flags |= self.flags
        return capsule


def aligned(count, dtype, offset=0):
    """An array whose memory begins `offset` elements past a multiple of 64 bytes."""
    size = np.dtype(dtype).itemsize
    memory = np.zeros(count * size + 128, np.uint8)
    skip = -memory.ctypes.data % 64 + offset * size
    return memory[skip : skip + count * size].view(dtype)


def bytes_at(array):
    """The bytes of an array and around it that belong to the same memory."""
    base = array
    while base.base is not None:
        base = base.base
    return bytes((ctypes.c_ubyte * base.nbytes).from_address(base.ctypes.data))
