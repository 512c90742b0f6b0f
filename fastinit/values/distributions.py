# SPDX-License-Identifier: MIT
"""Distributions: what values a tensor's elements take, and the numbers the kernels need for it.

Scales are worked out here in float64 and rounded once.  Nothing here knows of shapes or memory;
distributions whose values depend on their place or on each other are in `matrices`.
docs/stream.md defines every number of `Numbers`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fastinit.machine.floats import default_floats
from fastinit.numerics import gaussian
from fastinit.numerics.dtypes import DType, resolve
from fastinit.values.numbers import Kind, Numbers
from fastinit.values.samplers import Generator, Sampler
from fastinit.values.stream import Stream

SIGN = 0x80000000

NEAREST_FAR_BOUND = 13.0
"""A truncation may not begin further out than this many sigma."""
NARROWEST = 2.0**-10
"""A truncation may not be narrower than this many sigma."""


FURTHEST = 16.5
"""No truncated normal lies further out, in sigma: Q(16.2) is 2**-64 of Q(13)."""


def reach_of(dtype: DType) -> float:
    """More sigma than any plain normal of this type can be out: 6.34 or, from 64 bits, 9.16."""
    return 9.2 if dtype.name == "float64" else 6.4


def unit_of(*numbers: float) -> float:
    """A power of two near the largest magnitude, in units of which no square overflows."""
    return math.ldexp(1.0, math.frexp(max(map(abs, numbers), default=0.0))[1] - 1)


def _rounded(dtype: DType, *numbers: float) -> list[float]:
    """The numbers as the kernels take them: float64, or rounded once to float32."""
    if dtype.name == "float64":
        return list(numbers)
    with np.errstate(all="ignore"):
        return [float(np.float32(number)) for number in numbers]


class Distribution(ABC):
    """What values the elements of a tensor take."""

    @property
    @default_floats
    def mean(self) -> float:
        """The exact mean of the values before any rounding."""
        return self._moments()[0]

    @property
    @default_floats
    def std(self) -> float:
        """The exact standard deviation of the values before any rounding."""
        return self._moments()[1]

    @abstractmethod
    def _moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""

    @abstractmethod
    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values of the tensor of `stream` as `dtype`.

        Raises:
            ValueError: the values, or all values in the interval, do not exist in `dtype`.
        """

    def samplers(self, dtype: DType, generator: Generator) -> Callable[[Stream], Sampler]:
        """`sampler` for the streams of many tensors; raises as that does, now or then."""
        return lambda stream: self.sampler(dtype, stream, generator)


class Independent(Distribution):
    """Elements that are independent of each other and of their place: each from its own word."""

    def _settle(self, **names: str) -> None:
        """Check that fields, given with the names users know them by, are finite; make them plain.

        Equal distributions must have equal bits, but -0 equals 0, and a NumPy float32 the float
        of its value, with which another arithmetic is done.
        """
        for field, name in names.items():
            number = float(getattr(self, field)) + 0.0
            if not math.isfinite(number):
                hint = "; take smaller arguments" if math.isinf(number) else ""
                raise ValueError(f"{name} is {number}: need a finite number{hint}")
            object.__setattr__(self, field, number)

    def numbers(self, dtype: Any) -> Numbers:
        """The plain numbers from which every backend draws this distribution as `dtype`.

        Args:
            dtype: a name such as "bfloat16", or a NumPy dtype.

        Raises:
            ValueError: the values, or all values in the interval, do not exist in `dtype`.

        >>> import fastinit as fi
        >>> numbers = fi.normal(std=0.5).distribution((8, 8)).numbers("float32")
        >>> numbers.kind, numbers.scale, numbers.shift
        ('normal', 0.5, 0.0)
        """
        return _numbers_of(self, resolve(dtype))

    @abstractmethod
    def _numbers(self, dtype: DType) -> Numbers:
        """The numbers, worked out."""

    def sampler(self, dtype: DType, stream: Stream, generator: Generator) -> Sampler:
        """What draws the values."""
        return _samplers_of(self, dtype, generator)(stream)

    def samplers(self, dtype: DType, generator: Generator) -> Callable[[Stream], Sampler]:
        """The same for many streams."""
        return _samplers_of(self, dtype, generator)


@lru_cache(maxsize=1024)
@default_floats
def _numbers_of(distribution: Independent, dtype: DType) -> Numbers:
    """Worked out once, whatever tensors share them."""
    return distribution._numbers(dtype)


@lru_cache(maxsize=1024)
def _samplers_of(
    distribution: Independent, dtype: DType, generator: Generator
) -> Callable[[Stream], Sampler]:
    return generator.samplers(_numbers_of(distribution, dtype), dtype)


def _interval(dtype: DType, low: float, high: float) -> tuple[float, float]:
    """The closed interval of `dtype` values inside [low, high]; infinite bounds saturate."""
    if low == high and dtype.fits(low):
        return dtype.round(low), dtype.round(low)
    inner_low, inner_high = dtype.at_least(low), dtype.at_most(high)
    if inner_low > inner_high:
        raise ValueError(
            f"no {dtype.name} number lies between {low!r} and {high!r}: "
            "widen the interval or take a wider dtype"
        )
    return inner_low, inner_high


def check_fits(dtype: DType, what: str, low: float, high: float) -> None:
    """Raise if values from `low` to `high` overflow; the float8 types saturate instead."""
    if dtype.size > 1 and not (dtype.fits(low) and dtype.fits(high)):
        raise ValueError(
            f"{what} can reach {max(abs(low), abs(high)):.6g}, beyond {dtype.name}'s largest "
            f"number {dtype.largest:.6g}: take a smaller scale or a wider dtype"
        )


@dataclass(frozen=True)
class Constant(Independent):
    """One value everywhere."""

    value: float

    def __post_init__(self) -> None:
        self._settle(value="value")

    def _moments(self) -> tuple[float, float]:
        return self.value, 0.0

    def _numbers(self, dtype: DType) -> Numbers:
        return Numbers("constant", pattern=int(dtype.word(self.value, "constant")))


@dataclass(frozen=True)
class Uniform(Independent):
    """Evenly spread over [low, high]: 2**24 equally likely values (float64: 2**53)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        self._settle(low="low", high="high")
        if self.low > self.high:
            raise ValueError(f"low is {self.low!r} and high {self.high!r}: need low <= high")

    def _moments(self) -> tuple[float, float]:
        return self.low / 2 + self.high / 2, (self.high / 2 - self.low / 2) / math.sqrt(3.0)

    def _numbers(self, dtype: DType) -> Numbers:
        check_fits(dtype, "uniform", self.low, self.high)
        half = self.high / 2 - self.low / 2
        step = half * (2.0**-53 if dtype.name == "float64" else 2.0**-24)
        scale, shift = _rounded(dtype, step, self.mean)
        return Numbers("uniform", scale, shift, *_interval(dtype, self.low, self.high))


@dataclass(frozen=True)
class _Gaussian(Independent):
    """What all kinds of normal share: the sigma and the centre of the bell."""

    sigma: float
    centre: float

    def __post_init__(self) -> None:
        self._settle(sigma="std", centre="mean")
        if self.sigma < 0:
            raise ValueError(f"std is {self.sigma!r}: need std >= 0")

    def _bell(self, dtype: DType) -> tuple[float, float]:
        """Scale and shift."""
        scale, shift = _rounded(dtype, self.sigma, self.centre)
        return scale, shift


@dataclass(frozen=True)
class Normal(_Gaussian):
    """The plain normal, out to 6.34 sigma (float64: 9.16)."""

    def _moments(self) -> tuple[float, float]:
        return self.centre, self.sigma

    def _numbers(self, dtype: DType) -> Numbers:
        low = self.centre - reach_of(dtype) * self.sigma
        high = self.centre + reach_of(dtype) * self.sigma
        check_fits(dtype, "normal", low, high)
        return Numbers("normal", *self._bell(dtype), -dtype.largest, dtype.largest)


@dataclass(frozen=True)
class _Bounded(_Gaussian):
    """A normal with bounds in units of sigma from the centre; they may be infinite."""

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "low", float(self.low) + 0.0)
        object.__setattr__(self, "high", float(self.high) + 0.0)
        if not self.low < self.high:  # also catches NaN
            raise ValueError(f"low is {self.low!r} and high {self.high!r}: need low < high")

    def _clamp(self, dtype: DType) -> tuple[float, float]:
        """Low and high."""
        reach = reach_of(dtype) if self.low <= 0 <= self.high else FURTHEST
        low, high = max(self.low, min(self.high, -reach)), min(self.high, max(self.low, reach))
        check_fits(dtype, "normal", self._at(low), self._at(high))
        return _interval(dtype, self._at(self.low), self._at(self.high))

    def _at(self, bound: float) -> float:
        return self.centre if self.sigma == 0 else self.centre + bound * self.sigma

    def _moments(self) -> tuple[float, float]:
        mean, std = self._standard_moments()
        return self.centre + mean * self.sigma, std * self.sigma

    @abstractmethod
    def _standard_moments(self) -> tuple[float, float]:
        """Mean and standard deviation for centre 0 and sigma 1."""


@dataclass(frozen=True)
class ClippedNormal(_Bounded):
    """min(max(normal, low), high): the mass outside sits on the bounds."""

    def _standard_moments(self) -> tuple[float, float]:
        return gaussian.clipped_moments(self.low, self.high)

    def _numbers(self, dtype: DType) -> Numbers:
        return Numbers("clipped", *self._bell(dtype), *self._clamp(dtype))


@dataclass(frozen=True)
class TruncatedNormal(_Bounded):
    """The normal given that it lies between the bounds: no mass sits on them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        nearest = max(self.low, -self.high)
        if nearest > NEAREST_FAR_BOUND:
            raise ValueError(
                f"low is {self.low!r} and high {self.high!r}: the bound nearer to the mean may be "
                f"at most {NEAREST_FAR_BOUND:g} sigma out; no probability is left beyond"
            )
        if self.high - self.low < NARROWEST:
            raise ValueError(
                f"low is {self.low!r} and high {self.high!r}: an interval narrower than 2**-10 "
                "sigma is hardly different from a uniform one; use uniform(low, high)"
            )

    def _standard_moments(self) -> tuple[float, float]:
        return gaussian.truncated_moments(self.low, self.high)

    def _numbers(self, dtype: DType) -> Numbers:
        scale, shift = self._bell(dtype)
        low, high = self._clamp(dtype)
        tails = self._tails(dtype)
        return replace(tails, scale=scale, shift=shift, low=low, high=high)

    def _tails(self, dtype: DType) -> Numbers:
        """Which tail probability a word stands for; docs/stream.md, "Truncated normal"."""
        mirrored = self.high <= 0
        low, high = (-self.high, -self.low) if mirrored else (self.low, self.high)
        total = gaussian.mass(low, high)
        far = gaussian.tail(high)
        kind: Kind = "truncated"
        octave = sign_and = sign_xor = 0
        if low < 0:  # the centre lies inside: each half of the words counts from its own end
            near, sign_and = gaussian.tail(-low), SIGN
            bases, slopes = [far, near], [total, total]
            if -low == high:
                kind = "symmetric"
        else:  # both ends on one side: all words count in one tail
            near, sign_xor = gaussian.tail(low), SIGN if mirrored else 0
            bases, slopes = [far, near], [total, -total]
            octave = max(0, -1 - math.frexp(near)[1])
        if mirrored:
            bases.reverse()
            slopes.reverse()
        if dtype.name == "float64":
            octave, base_unit, slope_unit = 0, 1.0, 2.0**-64
        else:
            base_unit, slope_unit = 2.0 ** (32 + octave), 2.0**octave
        base = _pair(dtype, bases, base_unit)
        slope = _pair(dtype, slopes, slope_unit)
        return Numbers(
            kind, base=base, slope=slope, sign_and=sign_and, sign_xor=sign_xor, octave=octave
        )


def _pair(dtype: DType, values: list[float], unit: float) -> tuple[float, float]:
    first, second = _rounded(dtype, *(value * unit for value in values))
    return first, second
