# SPDX-License-Identifier: MIT
"""Independent elements that a formula maps one by one.  Nothing here reads a formula's text."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinit.machine.floats import default_floats, exact_decimals
from fastinit.numerics import elementary, gaussian
from fastinit.numerics.doubles import DoubleArray
from fastinit.numerics.dtypes import DTYPES, DType, wide
from fastinit.numerics.quadrature import integral
from fastinit.values.custom import Custom
from fastinit.values.custom_moments import Values, mean_of, std_of
from fastinit.values.distributions import (
    FURTHEST,
    ClippedNormal,
    Constant,
    Distribution,
    Independent,
    Normal,
    TruncatedNormal,
    Uniform,
    check_fits,
    reach_of,
    unit_of,
)
from fastinit.values.formulas import Formula, proven
from fastinit.values.intervals import Interval, NotFiniteError, shown
from fastinit.values.numbers import Numbers
from fastinit.values.rows import table
from fastinit.values.samplers import Bytes, Generator, Range, Sampler, Words
from fastinit.values.stream import Stream

GROUP = 2**15
"""Elements that are drawn before they are mapped."""


@dataclass(frozen=True)
class Mapped(Distribution):
    """`formula` of x, the element that `base` gives: float32, or float64 for float64.

    Raises:
        ValueError: a result may not be finite.
    """

    base: Independent | Mapped | Custom
    formula: Formula

    def __post_init__(self) -> None:
        support(self, DTYPES["float32"])

    def _moments(self) -> tuple[float, float]:
        if (custom := _custom(self)) is not None:
            return mean_of(*custom), std_of(*custom)
        kind = _widest_support(self)
        law, unit = _law(self, kind), unit_of(*support(self, kind))
        mean = _expectation(law, lambda values: values / unit)
        square = _expectation(law, lambda values: (values / unit - mean) ** 2)
        return mean * unit, math.sqrt(square) * unit

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values."""
        return self.samplers(dtype, generator)(stream)

    def samplers(self, dtype: DType, generator: Generator) -> Callable[[Stream], Sampler]:
        """The same for many streams."""
        kind = wide(dtype)
        low, high = support(self, kind)
        for each in (kind, dtype):
            check_fits(each, "mapped", low, high)
        base = self.base.samplers(kind, generator)
        return lambda stream: _sampler(dtype, base(stream), self.formula)


Elementwise = Independent | Mapped | Custom
"""Elements that come from their own words alone, whatever place they have."""


def _sampler(dtype: DType, base: Sampler, formula: Formula) -> Sampler:
    return _MappedSampler(dtype, base, formula, base.tolerance)


@dataclass(slots=True, eq=False, repr=False)
class _MappedSampler(Sampler):
    dtype: DType
    base: Sampler
    formula: Formula
    tolerance: float

    def draw(self, out: Bytes, start: int) -> None:
        """Draw elements of the base, and map them; a few at a time."""
        words = np.frombuffer(out, self.dtype.words)
        drawn = np.empty(min(words.size, GROUP), self.base.dtype.numpy)
        for first in range(0, words.size, GROUP):
            some = drawn[: words.size - first]
            self.base.draw(some.view(np.uint8), start + first)
            words[first : first + some.size] = self._mapped(some)

    def _draw_short_rows(
        self, out: Bytes, start: int, start_step: int, rows: int, count: int, out_step: int
    ) -> None:
        words = table(out, self.dtype, rows, count, out_step)
        together = max(1, GROUP // count)
        for row in range(0, rows, together):
            drawn = np.empty((min(together, rows - row), count), self.base.dtype.numpy)
            memory, size = drawn.view(np.uint8).reshape(-1), count * self.base.dtype.size
            first = start + row * start_step
            self.base.draw_rows(memory, first, start_step, len(drawn), count, size)
            words[row : row + len(drawn)] = self._mapped(drawn.reshape(-1)).reshape(drawn.shape)

    def between(self, start: int, count: int, dtype: DType) -> Range:
        """What becomes of the ends of the base's range, and of its middle: a formula may turn."""
        kind = self.base.dtype
        middle = np.empty(count, kind.numpy)
        self.base.draw(middle.view(np.uint8), start)
        ends = (*self.base.between(start, count, kind), middle)
        mapped = [self._mapped(end).view(self.dtype.numpy) for end in ends]
        low, high = np.fmin.reduce(mapped), np.fmax.reduce(mapped)
        with np.errstate(all="ignore"):
            margin = np.spacing(np.abs(mapped[-1]))
            return dtype.cast(low - margin), dtype.cast(high + margin)

    def _mapped(self, drawn: npt.NDArray[Any]) -> Words:
        """The words of mapped elements."""
        with np.errstate(all="ignore"):
            values = np.empty(drawn.size, np.float64)
            self.formula.fill(values, {"x": drawn.astype(np.float64)})
            rounded = self.dtype.cast(values.astype(self.base.dtype.numpy, copy=False))
        return rounded.view(self.dtype.words)


# ---- where values lie ---------------------------------------------------------------------------


@lru_cache(maxsize=1024)
@default_floats
def support(distribution: Elementwise, dtype: DType) -> Interval:
    """An interval that holds all values as float32 or float64, the types they are computed in.

    Raises:
        ValueError: a formula may have no finite value.
    """
    if isinstance(distribution, Custom):  # whose values are only known to be finite
        return -dtype.largest, dtype.largest
    if not isinstance(distribution, Mapped):
        return _ends(distribution.numbers(dtype), dtype)
    inside = support(distribution.base, dtype)
    low, high = checked(distribution.formula, {"x": inside})
    return dtype.round(low), dtype.round(high)


def checked(formula: Formula, ranges: dict[str, Interval], whole: bool = False) -> Interval:
    """`proven`, with an error that says what to do.

    Raises:
        ValueError: a result may not be finite.
    """
    try:
        return proven(formula, ranges, whole)
    except NotFiniteError as error:
        where = ", ".join(f"{name} is {shown(found)}" for name, found in error.at.items())
        given = ", ".join(f"{name} is {shown(found)}" for name, found in ranges.items())
        raise ValueError(
            f"the formula may have no finite value: {error}, as where {where or 'anything is'}; "
            f"here {given or 'nothing varies'}: keep it away from there by maximum(...), "
            "minimum(...) or other bounds"
        ) from None


def _ends(numbers: Numbers, dtype: DType) -> Interval:
    """The least and the greatest value that a word can have, or a little beyond."""
    if numbers.kind == "constant":
        only = float(np.array([numbers.pattern], dtype.words).view(dtype.numpy)[0])
        return only, only
    if numbers.kind == "uniform":
        most = 2.0**24 - 1 if dtype.size < 8 else 2.0**53 - 1
        low, high = (_outward(numbers, dtype, s) for s in (-most, most))
    else:
        reach = reach_of(dtype) if numbers.kind in ("normal", "clipped") else FURTHEST
        low, high = (numbers.shift + sign * reach * numbers.scale for sign in (-1, 1))
    low, high = (min(max(end, numbers.low), numbers.high) for end in (low, high))
    return low, high


def _outward(numbers: Numbers, dtype: DType, s: float) -> float:
    """s * scale + shift, or where that is rounded, the next number of the type farther out."""
    exact = Fraction(s) * Fraction(numbers.scale) + Fraction(numbers.shift)
    near = dtype.numpy.type(float(exact))
    if Fraction(float(near)) == exact:
        return float(near)
    return float(np.nextafter(near, dtype.numpy.type(math.copysign(math.inf, s))))


# ---- moments ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Law:
    """A density on an interval, and single values with probabilities, both mapped."""

    low: float
    high: float
    density: Callable[[DoubleArray], DoubleArray]
    value: Callable[[DoubleArray], DoubleArray]
    atoms: tuple[tuple[float, float], ...] = ()  # where, and how probable


def power_means(distribution: Elementwise) -> tuple[float, float]:
    """The means of the squares and of the fourth powers of the values."""
    if (custom := _custom(distribution)) is not None:
        kinds, values = custom
        return mean_of(kinds, lambda d: values(d) ** 2), mean_of(kinds, lambda d: values(d) ** 4)
    law = _law(distribution, _widest_support(distribution))
    return _expectation(law, lambda x: x * x), _expectation(law, lambda x: x * x * x * x)


def _custom(distribution: Elementwise) -> tuple[tuple[str, ...], Values] | None:
    """The draws of a custom distribution, mapped or not, and the values; None for any other."""
    if isinstance(distribution, Custom):
        return distribution.function.kinds, distribution.values
    if not isinstance(distribution, Mapped) or (inner := _custom(distribution.base)) is None:
        return None
    (kinds, values), formula = inner, distribution.formula
    return kinds, lambda draws: formula.values({"x": values(draws)}) + np.zeros_like(draws)


def _expectation(law: _Law, of: Callable[[DoubleArray], DoubleArray]) -> float:
    """The mean of a function of the values."""
    spread = 0.0
    if law.low < law.high:
        spread = integral(
            lambda places: of(law.value(places)) * law.density(places), law.low, law.high
        )
    single = [float(of(law.value(np.array([where])))[0]) * chance for where, chance in law.atoms]
    return math.fsum([spread, *single])


def _widest_support(distribution: Elementwise) -> DType:
    """The type of the widest normals on which the formula is finite."""
    for name in ("float64", "float32"):
        with suppress(ValueError):
            support(distribution, DTYPES[name])
            break
    return DTYPES[name]


def _law(distribution: Elementwise, kind: DType) -> _Law:
    if isinstance(distribution, Mapped):
        inner, formula = _law(distribution.base, kind), distribution.formula
        return _Law(
            inner.low,
            inner.high,
            inner.density,
            lambda places: formula.values({"x": inner.value(places)}) + np.zeros_like(places),
            inner.atoms,
        )
    assert not isinstance(distribution, Custom), "its moments are found in another way"
    return _plain_law(distribution, reach_of(kind))


def _plain_law(distribution: Independent, reach: float) -> _Law:
    """Uniforms in their own units, normals in standard deviations from the mean."""
    match distribution:
        case Uniform(low, high) if low < high:
            density = 1 / (high - low)
            return _Law(low, high, lambda places: np.full_like(places, density), lambda x: x)
        case Normal(sigma, centre) if sigma:
            return _bell(sigma, centre, -reach, reach, 1.0, ())
        case TruncatedNormal(sigma, centre, low, high) if sigma:
            return _bell(sigma, centre, *_within(low, high, reach), gaussian.mass(low, high), ())
        case ClippedNormal(sigma, centre, low, high) if sigma:
            ends = ((low, gaussian.tail(-low)), (high, gaussian.tail(high)))
            atoms = tuple((end, chance) for end, chance in ends if math.isfinite(end))
            return _bell(sigma, centre, *_within(low, high, reach), 1.0, atoms)
    only = distribution.value if isinstance(distribution, Constant) else distribution.mean
    return _Law(0.0, 0.0, np.ones_like, lambda places: np.full_like(places, only), ((0.0, 1.0),))


def _within(low: float, high: float, reach: float) -> Interval:
    """Bounds in standard deviations, as far as there is any probability."""
    reach = reach if low <= 0 <= high else FURTHEST
    return max(low, min(high, -reach)), min(high, max(low, reach))


def _bell(
    sigma: float,
    centre: float,
    low: float,
    high: float,
    mass: float,
    atoms: tuple[tuple[float, float], ...],
) -> _Law:
    scale = 1 / (math.sqrt(2 * math.pi) * mass)
    return _Law(
        low,
        high,
        lambda z: scale * elementary.exp(-0.5 * z * z),
        lambda z: centre + sigma * z,
        atoms,
    )


@dataclass(frozen=True)
class LogUniform(Mapped):
    """The exponential of a uniform, from `low` to `high`."""

    low: float
    high: float

    def _moments(self) -> tuple[float, float]:
        """In closed form: with h > l, (h - l) / ln(h / l), and half of that for the squares."""
        if self.low == self.high:
            return self.low, 0.0
        with localcontext(exact_decimals(120)):
            low, high = Decimal(self.low), Decimal(self.high)
            span = (high / low).ln()
            mean = (high - low) / span
            square = (high * high - low * low) / (2 * span)
            return float(mean), float((square - mean * mean).sqrt())
