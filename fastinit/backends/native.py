# SPDX-License-Identifier: MIT
"""The backend in C: the kernels of src_c/, in the best instruction set of this machine.

Only this file and `instruction_sets` use the extension; start.py loads it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.backends import _native, instruction_sets
from fastinit.numerics.dtypes import DType
from fastinit.values.numbers import Numbers
from fastinit.values.samplers import Bytes, Sampler, Words
from fastinit.values.stream import Stream

KINDS = ("uniform", "normal", "clipped", "symmetric", "truncated", "constant")
"""The kinds of `Numbers` in the order of C's enum fi_distribution."""

CODES = _native.dtypes()
"""The code of each dtype in C, by its name."""


@dataclass(slots=True, eq=False)
class NativeSampler(Sampler):
    """Elements that each come from their own word: the kernels draw them, without the GIL."""

    dtype: DType
    spec: _native.Spec
    numbers: Numbers
    stream: Stream

    @property
    def chunk(self) -> int:
        """4 MiB of them: two huge pages, which threads then seldom share."""
        return 2**22 // self.dtype.size

    def draw(self, out: Bytes, start: int) -> None:
        """Draw them, in one call."""
        _native.fill(out, self.spec, start)

    def draw_array(self, out: Words, start: int, steps: Sequence[int]) -> None:
        """Draw them, in one call."""
        _native.fill_array(out, self.spec, start, steps)

    def draw_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Draw them, in one call."""
        _native.fill_rows(out, self.spec, start, start_step, rows, count, out_step)


class ConstantSampler(NativeSampler):
    """One value everywhere."""

    @property
    def chunk(self) -> int:
        """256 MiB of them: past the caches memset is faster, if it is told of enough at once."""
        return 2**28 // self.dtype.size


class NativeBackend:
    """The C kernels."""

    name = "native"

    def check(self) -> None:
        """Raise the BackendError of a FASTINIT_ISA that cannot be."""
        instruction_sets.check()

    def details(self) -> dict[str, Any]:
        """The instruction set in force, and those that can be."""
        sets = list(instruction_sets.available())
        return {"instruction set": instruction_sets.active(), "available": sets}

    def samplers(self, numbers: Numbers, dtype: DType) -> Callable[[Stream], Sampler]:
        """What makes the sampler of a stream; only key and subsequence differ between streams."""
        spec = spec_of(numbers, dtype)
        kind = ConstantSampler if numbers.kind == "constant" else NativeSampler
        return lambda stream: kind(dtype, spec.of(stream.seed, stream.subsequence), numbers, stream)

    def words(self, out: npt.NDArray[np.uint32], start: int, stream: Stream) -> None:
        """Fill `out` with the raw words of the stream from word `start` on."""
        _native.words(out, start, stream.seed, stream.subsequence)

    def copy(self, out: npt.NDArray[Any], source: npt.NDArray[Any], *, bypass_cache: bool) -> None:
        """Copy between any two strided layouts of one shape."""
        _native.copy(out, source, bypass_cache)

    def measure(self, out: npt.NDArray[Any], source: Bytes, dtype: DType, unit: float) -> None:
        """Sum in C: in float32 lanes where the magnitudes suit, and else in float64."""
        _native.measure(out, source, CODES[dtype.name], unit)

    def philox4x32(self, words: Sequence[int]) -> tuple[int, int, int, int]:
        """One block of Philox4x32-10."""
        return _native.philox4x32(*words)


def spec_of(numbers: Numbers, dtype: DType) -> _native.Spec:
    """The numbers as C takes them, for the stream of key 0 and subsequence 0."""
    fields = asdict(numbers)
    kind = KINDS.index(fields.pop("kind"))
    return _native.Spec(dtype=CODES[dtype.name], distribution=kind, key=0, subsequence=0, **fields)


BACKEND = NativeBackend()
