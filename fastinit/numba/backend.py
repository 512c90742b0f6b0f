# SPDX-License-Identifier: MIT
"""The backend numba: the whole of a fill in compiled loops.  What they compute is in fills.py.

`backends/selection.py` knows it by its path, as a room above may be known by text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from fastinit.machine.state import in_default_floats
from fastinit.numba.fills import COMPILED_FILLS, signed
from fastinit.numba.targets import LANES, target_cpu
from fastinit.numba.tiles import plain_tuple, tile_numbers
from fastinit.numba.words import philox4x32
from fastinit.numerics.dtypes import DType
from fastinit.numerics.moments import measure_array
from fastinit.values.numbers import Numbers
from fastinit.values.rows import table
from fastinit.values.samplers import Bytes, Sampler
from fastinit.values.stream import Stream

BLOCKS_AT_ONCE = 2**16
"""How many blocks of raw words are made between two places where Ctrl-C is heard."""


@dataclass(slots=True, eq=False)
class CompiledSampler(Sampler):
    """Elements that each come from their own word: compiled loops draw them, without the GIL."""

    dtype: DType
    fill: Callable[..., None]
    element: npt.DTypeLike  # of the arrays that `fill` takes
    plain: tuple[float, ...]
    key: int
    subsequence: int
    numbers: Numbers
    stream: Stream

    @property
    def chunk(self) -> int:
        """4 MiB of them: two huge pages, which threads then seldom share."""
        return 2**22 // self.dtype.size

    def draw(self, out: Bytes, start: int) -> None:
        """Draw them, in one call."""
        whole = out if isinstance(out, np.ndarray) else np.frombuffer(out, np.uint8)
        self._fill(whole.view(self.element), start, 0)

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Draw them, in one call."""
        words = table(out, self.dtype, rows, count, out_step)
        self._fill(words.view(self.element), start, start_step)

    def _fill(self, out: npt.NDArray[Any], start: int, step: int) -> None:
        """Draw into `out`, or into aligned memory of the same shape first."""
        where = out if out.flags.behaved else np.empty_like(out)
        given = where, self.plain, self.key, self.subsequence, start, step
        in_default_floats(self.fill, given, {})
        if where is not out:
            out[...] = where


@dataclass(slots=True, eq=False)
class RepeatedSampler(Sampler):
    """One value everywhere."""

    dtype: DType
    numbers: Numbers
    stream: Stream

    @property
    def chunk(self) -> int:
        """256 MiB of them, as the native backend does."""
        return 2**28 // self.dtype.size

    def draw(self, out: Bytes, start: int) -> None:
        """Repeat it."""
        np.frombuffer(out, self.dtype.words)[...] = self.numbers.pattern

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Repeat it in all rows."""
        table(out, self.dtype, rows, count, out_step)[...] = self.numbers.pattern


class NumbaBackend:
    """Loops that Numba compiles on this machine, at the first fill of each kind."""

    name = "numba"

    def check(self) -> None:
        """No setting of the environment is of this backend."""

    def details(self) -> dict[str, Any]:
        """The processor that Numba compiles for, how wide its vectors are, and Numba's version."""
        lanes = f"{LANES} lanes" if LANES > 1 else "no vectors of quantiles"
        return {"compiled for": f"{target_cpu()}, {lanes}", "numba": numba.__version__}

    def samplers(self, numbers: Numbers, dtype: DType) -> Callable[[Stream], Sampler]:
        """What makes the sampler of a stream; only key and subsequence differ between streams."""
        if numbers.kind == "constant":
            return lambda stream: RepeatedSampler(dtype, numbers, stream)
        fill, plain = COMPILED_FILLS[dtype.name], plain_tuple(tile_numbers(numbers, dtype))
        element = dtype.numpy if dtype.name in ("float32", "float64") else dtype.words
        return lambda stream: CompiledSampler(
            *(dtype, fill, element, plain, signed(stream.seed), signed(stream.subsequence)),
            *(numbers, stream),
        )

    def words(self, out: npt.NDArray[np.uint32], start: int, stream: Stream) -> None:
        """Fill `out` with the raw words of the stream from word `start` on."""
        key, subsequence = signed(stream.seed), signed(stream.subsequence)
        done, skip = 0, start & 3
        while done < out.size:
            blocks = min(-(-(out.size - done + skip) // 4), BLOCKS_AT_ONCE)
            words = np.empty(4 * blocks, np.uint32)
            COMPILED_FILLS["words"](words, key, subsequence, (start + done) >> 2)
            found = words[skip:][: out.size - done]
            out[done : done + found.size] = found
            done, skip = done + found.size, 0

    def copy(self, out: npt.NDArray[Any], source: npt.NDArray[Any], *, bypass_cache: bool) -> None:
        """Copy between any two strided layouts of one shape."""
        np.copyto(out, source)

    def measure(self, out: npt.NDArray[Any], source: Bytes, dtype: DType, unit: float) -> None:
        """Sum by NumPy, in float64."""
        measure_array(np.frombuffer(source, dtype.numpy), unit, out)

    def philox4x32(self, words: Sequence[int]) -> tuple[int, int, int, int]:
        """One block of Philox4x32-10."""
        c0, c1, c2, c3, k0, k1 = map(np.uint32, words)
        w0, w1, w2, w3 = map(int, philox4x32((c0, c1, c2, c3), (k0, k1)))
        return w0, w1, w2, w3


BACKEND = NumbaBackend()
