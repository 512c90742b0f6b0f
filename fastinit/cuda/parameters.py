# SPDX-License-Identifier: MIT
"""What kernels are passed: the structures of src_c/kernels/device.h, field by field.

Which elements go into them is decided in cuts.py and launches.py.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from fastinit.cuda.cuts import MOST_SCATTERED_AXES, DeviceAxes, DeviceRows
from fastinit.numerics.dtypes import DType
from fastinit.values.numbers import Numbers

PARAMETER_SIZE = 4096
"""Bytes of all parameters of a kernel, at most."""

DISTRIBUTIONS = {
    "uniform": "FI_UNIFORM",
    "normal": "FI_NORMAL",
    "clipped": "FI_CLIPPED",
    "symmetric": "FI_SYMMETRIC",
    "truncated": "FI_TRUNCATED",
    "constant": "FI_CONSTANT",
}
"""The kinds of `Numbers` in the order of C's enum fi_distribution, and its names for them."""

UINT32, UINT64, INT64, DOUBLE = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int64, ctypes.c_double


class SpecParameter(ctypes.Structure):
    """`fi_spec` of src_c/fastinit.h."""

    _fields_ = (
        ("key", UINT64),
        ("subsequence", UINT64),
        ("shift", DOUBLE),
        ("scale", DOUBLE),
        ("low", DOUBLE),
        ("high", DOUBLE),
        ("base", DOUBLE * 2),
        ("slope", DOUBLE * 2),
        ("sign_and", UINT32),
        ("sign_xor", UINT32),
        ("octave", UINT32),
        ("distribution", UINT32),
        ("pattern", UINT64),
    )


class RowsParameter(ctypes.Structure):
    """`fi_device_rows`."""

    _fields_ = (
        ("start", UINT64),
        ("start_step", UINT64),
        ("count", UINT64),
        ("rows", UINT64),
        ("out_step", INT64),
    )


class AxisParameter(ctypes.Structure):
    """`fi_device_axis`."""

    _fields_ = (
        ("count", UINT32),
        ("magic", UINT32),
        ("shift", UINT32),
        ("reserved", UINT32),
        ("step", INT64),
        ("stride", INT64),
    )


class AxesParameter(ctypes.Structure):
    """`fi_device_axes`."""

    _fields_ = (
        ("start", UINT64),
        ("total", UINT32),
        ("axes", UINT32),
        ("axis", AxisParameter * MOST_SCATTERED_AXES),
    )


class JobParameter(ctypes.Structure):
    """One element of `job` in `fi_device_jobs`."""

    _fields_ = (
        ("out", UINT64),
        ("start", UINT64),
        ("count", UINT64),
        ("subsequence", UINT64),
        ("first", UINT32),
        ("reserved", UINT32),
    )


MOST_JOBS = 96
"""Jobs of a launch: FI_DEVICE_JOBS."""


class JobsParameter(ctypes.Structure):
    """`fi_device_jobs`."""

    _fields_ = (
        ("spec", SpecParameter),
        ("count", UINT32),
        ("blocks", UINT32),
        ("reserved", UINT64),
        ("job", JobParameter * MOST_JOBS),
    )


def spec(first: bytes, subsequence: int) -> SpecParameter:
    """The numbers and the stream as C takes them.

    Args:
        first: what `first_spec` returns.
    """
    found = SpecParameter.from_buffer_copy(first)
    found.subsequence = subsequence
    return found


def first_spec(numbers: Numbers, seed: int) -> bytes:
    """The bytes of a spec of the numbers and the seed, whose subsequence is yet to be set."""
    found = SpecParameter(key=seed)
    for field in fields(numbers):
        if field.name != "kind":
            setattr(found, field.name, getattr(numbers, field.name))
    found.distribution = list(DISTRIBUTIONS).index(numbers.kind)
    return bytes(found)


def kernel_name(numbers: Numbers, dtype: DType) -> str:
    """Which kernel draws the numbers, as `kernel_of` in src_c/fill.c chooses it.

    A uniform needs no clamp if the ends of its range lie within its bounds.  A bound of 0 also
    makes zeros of -0, so then the ends have to keep away from it.
    """
    s, away = 2.0 ** (53 if dtype.name == "float64" else 24) - 1, 2.0**-100
    least, most = -s * numbers.scale + numbers.shift, s * numbers.scale + numbers.shift
    inside = numbers.scale >= 0 and numbers.low <= least and most <= numbers.high
    apart = (numbers.low != 0 or least > away) and (numbers.high != 0 or most < -away)
    if numbers.kind == "uniform" and inside and apart:
        return "FI_UNIFORM_INSIDE"
    return DISTRIBUTIONS[numbers.kind]


def rows(piece: DeviceRows) -> RowsParameter:
    """Rows as C takes them."""
    return RowsParameter(piece.start, piece.start_step, piece.count, piece.rows, piece.out_step)


def axes(piece: DeviceAxes) -> AxesParameter:
    """Scattered elements as C takes them, with what divides by the count of each axis."""
    found = AxesParameter(start=piece.start, total=piece.total, axes=len(piece.axes))
    for place, (axis, stride) in zip(found.axis, piece.axes, strict=False):
        place.count, place.step, place.stride = axis.count, axis.step, stride
        place.magic, place.shift = divisor(axis.count)
    return found


def divisor(count: int) -> tuple[int, int]:
    """The magic number and the shift by which n < 2**31 is divided: (n * magic >> 32) + n >> shift.

    Granlund and Montgomery (1994), "Division by invariant integers using multiplication", section
    4; 1 <= count < 2**31.
    """
    shift = (count - 1).bit_length()
    return ((1 << 32) * ((1 << shift) - count)) // count + 1, shift


def addresses(arguments: Sequence[Any]) -> Any:
    """The array of pointers to parameters that the driver takes; it does not keep them alive."""
    return (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
