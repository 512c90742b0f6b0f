# SPDX-License-Identifier: MIT
"""Custom distributions: elements that a user's function makes of draws, one by one.

The function is known here by what it does to tiles; fastinit/numba/ compiles it.  docs/stream.md,
section 21, says what the draws are and how results become values.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from fastinit.machine.floats import default_floats
from fastinit.machine.state import in_default_floats
from fastinit.numerics.dtypes import DType, wide
from fastinit.values.custom_moments import mean_of, std_of
from fastinit.values.distributions import Distribution
from fastinit.values.draws import DrawArray, DrawSource, sources, type_of
from fastinit.values.rows import table
from fastinit.values.samplers import Bytes, Generator, Range, Sampler
from fastinit.values.stream import Stream

DRAW_TILE = 2**15
"""Elements that are drawn before the function sees them: their float32 draws fit the L2 cache.

Smaller tiles show what a call costs, larger ones leave the cache."""

RELATIVE_TOLERANCE = {"float32": 2.0**-20, "float64": 2.0**-48}
"""How far values of functions that are not portable may lie from those of another machine.

In units of the value: 8 units in the last place of float32, 16 of float64.  The C libraries'
functions differ by one unit or two, and what follows may add to it."""


class DrawFunction(ABC):
    """A function of draws and of numbers, compiled.  It is equal to itself alone.

    Attributes:
        label: `module:name`, as texts name it.
        draws: what its draws are called; each begins with a letter of `DRAW_KINDS`.
        names: what its numbers are called.
        shared: draws that all elements of a block share, each with the names of the numbers that
            are the block's size along the last two axes; all have the same.
    """

    label: str
    draws: tuple[str, ...]
    names: tuple[str, ...]
    shared: Mapping[str, tuple[str, str]] = MappingProxyType({})

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of its source, or "" if that cannot be found."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The letter of each draw."""
        return tuple(draw[0] for draw in self.draws)

    @abstractmethod
    def reasons(self, width: DType) -> tuple[str, ...]:
        """What makes its bits differ between machines; nothing if they are the same."""

    @abstractmethod
    def __call__(self, /, *positional: Any, **numbers: Any) -> Any:
        """The scheme for these numbers."""

    @abstractmethod
    def map(
        self,
        out: DrawArray,
        draws: Sequence[DrawArray],
        numbers: Sequence[Any],
        limits: Sequence[Any],
    ) -> bool:
        """Put the function's values for a tile of draws into `out`, float32 or float64.

        Args:
            out: the first draw itself, if that has this type, and else a tile of its own.
            limits: the largest magnitude that is valid, and the one that values are clamped to.

        Returns:
            Whether all values are numbers within the first limit.
        """

    @abstractmethod
    def round(self, out: DrawArray, values: DrawArray, dtype: DType) -> None:
        """Put float32 `values` as words of a narrower dtype into `out`."""

    def derived(self, numbers: tuple[float, ...]) -> tuple[float, ...]:
        """What it takes after its numbers, in float64: worked out from them, once a tensor."""
        return ()

    @abstractmethod
    def given_moment(self, which: str, numbers: tuple[float, ...]) -> float | None:
        """The "mean" or the "std" that its author states, if one is stated."""

    @abstractmethod
    def check_nameable(self) -> None:
        """Raise a ValueError if a file cannot name it."""


@dataclass(frozen=True)
class Custom(Distribution):
    """`function` of draws, for these numbers, which are in the order of its names."""

    function: DrawFunction
    given: tuple[float, ...]

    @property
    @default_floats
    def mean(self) -> float:
        """The mean of the values before any rounding."""
        return _moment(self, "mean")

    @property
    @default_floats
    def std(self) -> float:
        """The standard deviation of the values before any rounding."""
        return _moment(self, "std")

    def _moments(self) -> tuple[float, float]:
        return self.mean, self.std

    def values(self, draws: DrawArray) -> DrawArray:
        """The values of float64 draws, infinite ones too; for functions of one draw."""
        out = np.array(draws, np.float64)
        numbers = tuple(map(np.float64, self._passed(self.given)))
        self.function.map(out, (out,), numbers, (np.float64(math.inf), np.float64(math.inf)))
        return out

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values."""
        return self.samplers(dtype, generator)(stream)

    def samplers(self, dtype: DType, generator: Generator) -> Callable[[Stream], Sampler]:
        """The same for many streams."""
        return self.samplers_of(dtype, generator, lambda _, source: source)

    def samplers_of(
        self, dtype: DType, generator: Generator, placed: Callable[[str, DrawSource], DrawSource]
    ) -> Callable[[Stream], Sampler]:
        """The same where `placed` makes another source of that of a draw."""
        width = wide(dtype)
        drawn = sources(self.function.kinds, width, generator)
        numbers = self._passed(self._number(width, *row) for row in enumerate(self.given))
        limits = tuple(map(width.numpy.type, _limits(dtype)))
        tolerance = RELATIVE_TOLERANCE[width.name] if self.function.reasons(width) else 0.0
        return lambda stream: _CustomSampler(
            dtype,
            width,
            self,
            tuple(map(placed, self.function.draws, drawn(stream))),
            numbers,
            limits,
            tolerance,
        )

    def _passed(self, numbers: Iterable[Any]) -> tuple[Any, ...]:
        """The numbers, and what is derived from them."""
        return (*numbers, *map(np.float64, self.function.derived(self.given)))

    def _number(self, width: DType, place: int, value: float) -> Any:
        """A number as the function takes it."""
        if not width.fits(value):
            raise ValueError(
                f"{self.function.names[place]} of {self} is {value!r}, beyond {width.name}'s "
                f"largest number {width.largest:.6g}: take a smaller one, or dtype float64"
            )
        return width.numpy.type(value)

    def __str__(self) -> str:
        named = zip(self.function.names, self.given, strict=True)
        return f"{self.function.label}({', '.join(f'{name}={value!r}' for name, value in named)})"


@lru_cache(maxsize=256)
def _moment(law: Custom, which: str) -> float:
    """As its author states, or else by quadrature over the one draw.

    Raises:
        ValueError: it has to be stated.
    """
    stated = law.function.given_moment(which, law.given)
    if stated is not None:
        return stated
    try:
        return (mean_of if which == "mean" else std_of)(law.function.kinds, law.values)
    except ValueError as error:
        raise ValueError(
            f"the {which} of {law} is not known: {error}; state it, as a number or as a function "
            f"of the keyword numbers: @fastinit.numba.distribution({which}=...)"
        ) from None


def _limits(dtype: DType) -> tuple[float, float]:
    """The largest magnitude, in float32 or float64, that is rounded to a finite number; its end.

    The float8 types saturate at the end; in others nothing lies between but what is rounded to it.
    """
    kind = wide(dtype)
    if dtype.size == 1 or dtype == kind:
        return kind.largest, dtype.largest
    one = dtype.numpy.type
    ulp = dtype.largest - float(np.nextafter(one(dtype.largest), one(0)))
    middle = kind.numpy.type(dtype.largest + ulp / 2)  # rounded to even, and so to infinity
    return float(np.nextafter(middle, kind.numpy.type(0))), dtype.largest


def _element(first: int, step: int, count: int, n: int) -> int:
    """The number of element n of rows of `count` elements that begin `step` apart."""
    row, place = divmod(n, count)
    return first + row * step + place


@dataclass(slots=True, eq=False, repr=False)
class _CustomSampler(Sampler):
    """Draws into tiles, the function in place, one rounding."""

    dtype: DType
    width: DType
    law: Custom
    sources: tuple[DrawSource, ...]
    passed: tuple[Any, ...]
    limits: tuple[Any, ...]
    tolerance: float  # in units of a value

    @property
    def chunk(self) -> int:
        """Some dozen tiles, so that Ctrl-C is heard however slow the function is."""
        return 2**20

    def draw(self, out: Bytes, start: int) -> None:
        """Draw them, a tile at a time."""
        in_default_floats(self._draw, (np.frombuffer(out, self.dtype.words), start), {})

    def _draw(self, words: DrawArray, start: int) -> None:
        tiles = self._tiles(min(words.size, DRAW_TILE))
        direct = self.dtype == self.width and words.flags.aligned
        for first in range(0, words.size, DRAW_TILE):
            part = words[first : first + DRAW_TILE]
            values, *draws = (tile[: part.size] for tile in tiles)
            if direct:
                values = part.view(self.width.numpy)
            draws = self._places(values, draws)
            for source, draw in zip(self.sources, draws, strict=True):
                source.fill(draw, start + first)
            self._map(values, draws, partial(_element, start + first, 1, 1))
            if not direct:
                self._store(part, values)

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        """Draw many rows together."""
        words = table(out, self.dtype, rows, count, out_step)
        in_default_floats(self._draw_rows, (words, start, start_step), {})

    def _draw_rows(self, words: DrawArray, start: int, step: int) -> None:
        rows, count = words.shape
        together = max(1, min(rows, DRAW_TILE // count))
        tiles = self._tiles(together * count)
        part = np.empty(together * count, self.dtype.words)
        for row in range(0, rows, together):
            shape = min(together, rows - row), count
            size = shape[0] * count
            values, *draws = (tile[:size] for tile in tiles)
            draws = self._places(values, draws)
            first = start + row * step
            for source, draw in zip(self.sources, draws, strict=True):
                source.fill_rows(draw.reshape(shape), first, step)
            self._map(values, draws, partial(_element, first, step, count))
            self._store(part[:size], values)
            words[row : row + shape[0]] = part[:size].reshape(shape)

    def _tiles(self, size: int) -> list[DrawArray]:
        """Room for the values, and for each draw that is not made there."""
        kinds = self.law.function.kinds
        types = [self.width.numpy, *(type_of(kind, self.width) for kind in kinds)]
        if types[1] == types[0]:
            del types[1]
        return [np.empty(size, kind) for kind in types]

    def _places(self, values: DrawArray, draws: list[DrawArray]) -> list[DrawArray]:
        """Where each draw goes: the first one where its value will be, if it is of one type."""
        return draws if len(draws) == len(self.sources) else [values, *draws]

    def _map(
        self, values: DrawArray, draws: list[DrawArray], element: Callable[[int], int]
    ) -> None:
        """From the draws of a tile to values; `element` gives their numbers, for an error."""
        try:
            valid = self.law.function.map(values, draws, self.passed, self.limits)
        except MemoryError:
            raise
        except Exception as error:  # whatever the user's function raises
            raise ValueError(
                f"{self.law} raises {type(error).__name__}({error}) at element {element(0)} or a "
                "later one: it has to return a number for all draws"
            ) from error
        if not valid:
            self._refuse(values.size, element)

    def _store(self, part: DrawArray, values: DrawArray) -> None:
        """From the values of a tile to words."""
        if self.dtype == self.width:
            part[...] = values.view(part.dtype)
        else:
            self.law.function.round(part, values, self.dtype)

    def _refuse(self, count: int, element: Callable[[int], int]) -> NoReturn:
        """Raise for the first of some elements whose value is not valid; makes them once more."""
        kinds = self.law.function.kinds
        one = np.empty(1, self.width.numpy)
        for n in range(count):
            draws = [np.empty(1, type_of(kind, self.width)) for kind in kinds]
            for source, draw in zip(self.sources, draws, strict=True):
                source.fill(draw, element(n))
            rows = zip(self.law.function.draws, draws, strict=True)
            shown = ", ".join(f"{name} = {draw[0]}" for name, draw in rows)
            places = [one, *draws[1:]] if draws[0].dtype == one.dtype else draws
            places[0][...] = draws[0]
            if not self.law.function.map(one, places, self.passed, self.limits):
                raise ValueError(
                    f"{self.law} gives element {element(n)} a value that is not a finite "
                    f"{self.dtype.name} number, from the draws {shown}: take other arguments or a "
                    "wider dtype, or keep the function away from there"
                )
        raise ValueError(f"{self.law} gives the same draws other values each time: it must not")

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """The values, less and more their tolerance and one denormal."""
        values = np.empty(count, self.dtype.numpy)
        self.draw(values.view(np.uint8), start)
        margin = np.abs(values) * values.dtype.type(self.tolerance)
        margin += values.dtype.type(dtype.least)
        with np.errstate(over="ignore"):
            return dtype.cast(values - margin), dtype.cast(values + margin)
