# SPDX-License-Identifier: MIT
"""Fills by the device text on this CPU, and the same fills by the native backend.  No test."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import device_text
import numpy as np

import fastinit as fi
from fastinit.backends import native
from fastinit.numerics import dtypes
from fastinit.numerics.dtypes import DType
from fastinit.values import distributions
from fastinit.values.numbers import Numbers
from fastinit.values.stream import Stream

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

SEED = 20_260
GUARD = 0xA5
"""What every byte is before a fill."""
ROOM = 64
"""Bytes before and after what is filled."""

INFINITY = float("inf")
CASES: dict[str, distributions.Independent] = {
    "uniform": distributions.Uniform(-0.05, 0.05),
    "uniform inside": distributions.Uniform(-0.5, 0.5),
    "uniform odd": distributions.Uniform(-1.0, 0.3333),
    "uniform from 0": distributions.Uniform(0.0, 1.0),
    "uniform to 0": distributions.Uniform(-1.0, 0.0),
    "normal": distributions.Normal(0.02, 0.0),
    "normal wide": distributions.Normal(200.0, -3.25),
    "normal tiny": distributions.Normal(1e-39, 0.0),
    "normal small": distributions.Normal(1e-6, 0.0),
    "clipped": distributions.ClippedNormal(0.02, 0.0, -2.0, 2.0),
    "clipped at 0": distributions.ClippedNormal(0.02, 0.0, -2.0, 0.0),
    "clipped from 0": distributions.ClippedNormal(0.02, 0.0, 0.0, 2.0),
    "symmetric": distributions.TruncatedNormal(0.02, 0.0, -2.0, 2.0),
    "symmetric 6": distributions.TruncatedNormal(1.0, 0.0, -6.0, 6.0),
    "truncated": distributions.TruncatedNormal(0.02, 0.001, -1.0, 3.0),
    "truncated right": distributions.TruncatedNormal(0.02, 0.0, 0.5, INFINITY),
    "truncated far": distributions.TruncatedNormal(1.0, 0.0, 12.5, 14.0),
    "truncated left": distributions.TruncatedNormal(1.0, 0.0, -INFINITY, -5.0),
    "truncated half": distributions.TruncatedNormal(0.02, 0.0, 0.0, INFINITY),
    "constant": distributions.Constant(0.1),
    "constant -0": distributions.Constant(-0.0),
}
"""Distributions that exist in every dtype, and between them reach every kernel."""

DTYPES = dict(
    zip(
        ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"),
        device_text.DTYPES,
        strict=True,
    )
)
"""The constant of each dtype in C."""


@dataclass(frozen=True)
class Source:
    """What is drawn: a distribution in a dtype, from one stream."""

    distribution: distributions.Independent
    dtype: DType
    stream: Stream

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels that make it: a uniform inside its bounds has a second one."""
        numbers = self.numbers
        kernel = device_text.KERNELS[native.KINDS.index(numbers.kind)]
        return (kernel, "FI_UNIFORM_INSIDE") if _inside(numbers, self.dtype) else (kernel,)

    @property
    def numbers(self) -> Numbers:
        return self.distribution.numbers(self.dtype)

    @property
    def draw(self) -> Callable[[Bytes, int], None]:
        """The native backend's draw of consecutive elements."""
        return native.BACKEND.samplers(self.numbers, self.dtype)(self.stream).draw

    def name(self, kind: str, kernel: str) -> str:
        """The name of the device's kernel."""
        return f"{kind}_{kernel}_{DTYPES[self.dtype.name]}"

    def groups(self, which: int) -> int:
        """What V_GROUPS a kernel is compiled with, of those that it may be."""
        return device_text.groups_of(DTYPES[self.dtype.name])[which]

    def spec(self) -> Bytes:
        """The fi_spec of this."""
        fields = {name: getattr(self.numbers, name) for name in Numbers.__slots__}
        kind = native.KINDS.index(fields.pop("kind"))
        stream = {"key": self.stream.seed, "subsequence": self.stream.subsequence}
        return packed("fi_spec", distribution=kind, **stream, **fields)


def source(case: str, dtype: str, name: str = "w") -> Source:
    """A case in a dtype, for the tensor of this name."""
    return Source(CASES[case], dtypes.resolve(dtype), fi.stream(SEED, name))


def _inside(numbers: Numbers, dtype: DType) -> bool:
    """Whether a uniform needs no clamp, with nothing left to chance about zeros."""
    if numbers.kind != "uniform":
        return False
    reach = (2**53 if dtype.name == "float64" else 2**24) - 1
    least, most = (end * reach * numbers.scale + numbers.shift for end in (-1, 1))
    return numbers.low <= least and most <= numbers.high and 0 not in (numbers.low, numbers.high)


# ---- parameters ---------------------------------------------------------------------------------

FLOATS = {f"fi_spec.{name}" for name in ("shift", "scale", "low", "high", "base", "slope")}


@cache
def _layout() -> dict[str, tuple[int, int]]:
    return device_text.layout()


def packed(structure: str, **members: Any) -> Bytes:
    """The bytes of a structure of the text, placed as its compiler places them."""
    _, size = _layout()[structure]
    found = np.zeros(size, np.uint8)
    for name, value in members.items():
        member = f"{structure}.{name}"
        offset, size = _layout()[member]
        found[offset : offset + size] = np.frombuffer(_bytes(member, value, size), np.uint8)
    return found


def _bytes(member: str, value: Any, size: int) -> bytes:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if member in FLOATS:
        values = value if isinstance(value, tuple) else (value,)
        return struct.pack(f"{len(values)}d", *values)
    return int(value).to_bytes(size, "little", signed=value < 0)


def division(count: int) -> dict[str, int]:
    """By what the text divides by `count`."""
    shift = (count - 1).bit_length()
    return {"count": count, "magic": (2**32 * (2**shift - count)) // count + 1, "shift": shift}


# ---- launches -----------------------------------------------------------------------------------


@dataclass
class Memory:
    """Bytes with guard bytes around them, the first at an address of 64 n + `offset`."""

    size: int
    offset: int = 0

    def __post_init__(self) -> None:
        self.whole = np.full(self.size + 4 * ROOM, GUARD, np.uint8)
        self.first = ROOM + -(self.whole.ctypes.data + ROOM) % 64 + self.offset

    @property
    def bytes(self) -> Bytes:
        return self.whole[self.first : self.first + self.size]

    @property
    def pointer(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.whole.ctypes.data + self.first)

    def assert_holds(self, expected: Bytes) -> None:
        """That these bytes are there, and the guard bytes as they were."""
        different = np.flatnonzero(self.bytes != expected)
        assert not len(different), f"{len(different)} bytes, the first {different[0]}"
        around = np.delete(self.whole, np.s_[self.first : self.first + self.size])
        assert (around == GUARD).all()


@dataclass(frozen=True)
class Rows:
    """Rows at equal distances; `out_step` in elements."""

    start: int
    count: int
    rows: int = 1
    start_step: int = 0
    out_step: int = 0

    @property
    def span(self) -> int:
        """Elements from the first in memory to past the last."""
        return (self.rows - 1) * self.out_step + self.count

    def expected(self, drawn: Source) -> Bytes:
        """What the native backend makes of them."""
        size = drawn.dtype.size
        out = np.full(self.span * size, GUARD, np.uint8)
        draw = drawn.draw
        for row in range(self.rows):
            first = row * self.out_step * size
            draw(out[first : first + self.count * size], self.start + row * self.start_step)
        return out

    def check(self, drawn: Source, grid: tuple[int, int], offset: int = 0, which: int = 0) -> None:
        """Every kernel that can make them makes the native backend's bytes, and no others."""
        size = drawn.dtype.size
        expected = self.expected(drawn)
        rows = packed(
            "fi_device_rows",
            start=self.start,
            start_step=self.start_step,
            count=self.count,
            rows=self.rows,
            out_step=self.out_step * size,
        )
        for kernel in drawn.kernels:
            memory = Memory(len(expected), offset * size)
            parameters = [memory.pointer, rows, drawn.spec()]
            device_text.run(drawn.name("rows", kernel), grid, parameters, drawn.groups(which))
            memory.assert_holds(expected)


@dataclass(frozen=True)
class Scattered:
    """Elements along axes (count, step, stride), the innermost first; strides in elements."""

    start: int
    axes: Sequence[tuple[int, int, int]]

    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The numbers of all elements, and their places in memory, the least of which is 0."""
        numbers, places = np.array([self.start], object), np.zeros(1, np.int64)
        for count, step, stride in self.axes:
            index = np.arange(count)[:, None]
            numbers = (numbers + index.astype(object) * step).reshape(-1)
            places = (places + index * stride).reshape(-1)
        return numbers, places - places.min()

    def check(self, drawn: Source, grid: int) -> None:
        """Every kernel that can make them makes the native backend's bytes, and no others."""
        size = drawn.dtype.size
        numbers, places = self.places()
        expected = np.full((places.max() + 1, size), GUARD, np.uint8)
        draw = drawn.draw
        for number, place in zip(numbers, places, strict=True):
            draw(expected[place], number)
        axes = np.zeros(_layout()["fi_device_axes.axis"][1], np.uint8)
        each = _layout()["fi_device_axis"][1]
        for i, (count, step, stride) in enumerate(self.axes):
            axis = packed("fi_device_axis", step=step, stride=stride * size, **division(count))
            axes[i * each : (i + 1) * each] = axis
        all_axes = packed(
            "fi_device_axes",
            start=self.start,
            total=len(numbers),
            axes=len(self.axes),
            axis=axes,
        )
        for kernel in drawn.kernels:
            memory = Memory(expected.size)
            pointer = ctypes.c_void_p((memory.pointer.value or 0) + int(places[0]) * size)
            parameters = [pointer, all_axes, drawn.spec()]
            device_text.run(
                drawn.name("scattered", kernel), (grid, 1), parameters, drawn.groups(-1)
            )
            memory.assert_holds(expected.reshape(-1))


@dataclass(frozen=True)
class Job:
    """One run of a tensor, and how many blocks of threads make it."""

    name: str
    start: int
    count: int
    blocks: int = 1


def check_jobs(case: str, dtype: str, jobs: Sequence[Job], which: int = 0) -> None:
    """All jobs in one launch make the native backend's bytes, and no others."""
    drawn = source(case, dtype)
    size = drawn.dtype.size
    each = _layout()["fi_device_job"][1]
    for kernel in drawn.kernels:
        table = np.zeros(_layout()["fi_device_jobs.job"][1], np.uint8)
        memories = [Memory(job.count * size, i % 5 * size) for i, job in enumerate(jobs)]
        first = 0
        for i, (job, memory) in enumerate(zip(jobs, memories, strict=True)):
            table[i * each : (i + 1) * each] = packed(
                "fi_device_job",
                out=memory.pointer.value,
                start=job.start,
                count=job.count,
                subsequence=fi.stream(SEED, job.name).subsequence,
                first=first,
            )
            first += job.blocks
        whole = packed(
            "fi_device_jobs", spec=drawn.spec(), count=len(jobs), blocks=first, job=table
        )
        device_text.run(drawn.name("jobs", kernel), (first, 1), [whole], drawn.groups(which))
        for job, memory in zip(jobs, memories, strict=True):
            expected = np.empty(job.count * size, np.uint8)
            source(case, dtype, job.name).draw(expected, job.start)
            memory.assert_holds(expected)
