# SPDX-License-Identifier: MIT
"""What is known of an array in a traced program: a constant, computed, drawn, or not understood.

reading.py finds it; here is what arithmetic makes of it.  Nothing here knows programs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import ml_dtypes
import numpy as np

from fastinit import schemes
from fastinit.jax.requests import (
    DeltaOrthogonalRequest,
    InitializerRequest,
    OrthogonalRequest,
    Places,
    PlainRequest,
    own,
)
from fastinit.numerics.checks import Shape
from fastinit.schemes import Scheme
from fastinit.values import distributions

LoopNumbers = frozenset[int]
"""The loops of a program in which an array differs from one round to the next."""

NO_LOOPS: LoopNumbers = frozenset()

Corners = tuple[tuple[int, int], ...]

Frame = tuple[Any, ...]
"""The moves that elements made since they were drawn: boxes of different frames do not compare."""

Parts = frozenset[tuple[int, tuple[Frame, Corners] | None]]
"""Draws by number, each with the box of its elements that are meant; None for all of them."""

REPEATED_DRAW = "one draw is repeated over several elements"

ROUNDING = 8
"""By how many units in the last place JAX's own arithmetic may change a scale."""


@dataclass(frozen=True)
class FilledNode:
    """The same number everywhere: a NumPy scalar."""

    value: Any
    loops: LoopNumbers = NO_LOOPS


@dataclass(frozen=True)
class ComputedNode:
    """Computed from nothing that is drawn.  Each value has a node of its own.

    Attributes:
        inputs: the numbers of the arguments from which it is computed.
        loops: in which the values differ.
        repeated: whether rows are copies of each other, which matters if they are keys.
    """

    inputs: frozenset[int] = frozenset()
    loops: LoopNumbers = NO_LOOPS
    repeated: bool = False


@dataclass(frozen=True)
class UnknownNode:
    """Drawn, and then computed in a way that no scheme describes."""

    why: str
    loops: LoopNumbers = NO_LOOPS


@dataclass(frozen=True)
class DrawLaw:
    """``factor * x + offset`` for a standard x: normal, truncated at bounds, or uniform between."""

    kind: Literal["normal", "truncated", "uniform"]
    low: float = -math.inf
    high: float = math.inf
    factor: float = 1.0
    offset: float = 0.0

    def scaled(self, factor: float) -> DrawLaw:
        """The law of `factor` times the values."""
        return replace(self, factor=self.factor * factor, offset=self.offset * factor)

    def shifted(self, offset: float) -> DrawLaw:
        """The law of the values plus `offset`."""
        return replace(self, offset=self.offset + offset)

    def scheme(self) -> Scheme:
        """Its scheme."""
        low, high = sorted((self.low * self.factor, self.high * self.factor))
        if self.factor == 0:
            return schemes.constant(self.offset)
        if self.kind == "uniform":
            return schemes.uniform(low + self.offset, high + self.offset)
        std = abs(self.factor)
        if self.kind == "normal":
            return schemes.normal(std, mean=self.offset)
        return schemes.truncated_normal(std, mean=self.offset, low=low / std, high=high / std)

    @classmethod
    def of(cls, scheme: Scheme, shape: Shape) -> DrawLaw | None:
        """The law of a scheme that draws each element by itself, or None."""
        match scheme.distribution(shape):
            case distributions.Uniform(low=low, high=high):
                return cls("uniform", low, high)
            case distributions.TruncatedNormal(sigma=sigma, centre=centre, low=low, high=high):
                return cls("truncated", low, high, sigma, centre)
            case distributions.Normal(sigma=sigma, centre=centre):
                return cls("normal", factor=sigma, offset=centre)
        return None


@lru_cache(maxsize=256)  # a model has many layers of few shapes
def own_law(request: InitializerRequest, shape: Shape) -> DrawLaw | None:
    """The law of what an initializer makes for a shape."""
    return DrawLaw.of(request.scheme(shape, shape, own(shape)), shape)


@dataclass(frozen=True)
class DrawnNode:
    """Drawn, each element once.

    Attributes:
        law: of each element; None for a matrix.
        narrowest: the narrowest dtype that the values had.
        request: what an initializer asked for; None where code called jax.random, or changed it.
        shape: for which it was asked.
        places: which axes now are those of `shape`; None for a matrix that is not in its shape yet.
        left: which steps the initializer has still to take: "scale", "place".
        loops: in which the values differ.
        parts: which elements of which draws these are.
        frame: in which a box of elements is cut; None if that cannot be said.
    """

    law: DrawLaw | None
    narrowest: np.dtype[Any]
    parts: Parts
    request: InitializerRequest | None = None
    shape: Shape = ()
    places: Places | None = ()
    left: tuple[str, ...] = ()
    loops: LoopNumbers = NO_LOOPS
    frame: Frame | None = ()

    def plain(self) -> DrawnNode:
        """The values as a draw of jax.random, no longer as what an initializer asked for."""
        return replace(self, request=None, shape=(), places=(), left=())

    def uses(self, axis: int) -> bool:
        """Whether an axis is one of those for which the initializer was asked."""
        return self.places is None or any(axis in place for place in self.places)

    def times(self, factor: float, shape: Shape) -> Node:
        """The values of an array of `shape` times a number."""
        if self.left[:1] == ("scale",) and (done := self._scaled(factor, shape)):
            return done
        if self.law is not None:
            return replace(self.plain(), law=self.law.scaled(factor))
        if isinstance(self.request, OrthogonalRequest) and not self.left and factor >= 0:
            gain = self.request.gain * factor
            return replace(self, request=replace(self.request, gain=gain))
        return UnknownNode("a matrix is scaled in a way that no scheme describes", self.loops)

    def _scaled(self, factor: float, shape: Shape) -> DrawnNode | None:
        """The step in which an initializer scales its draw; None if `factor` is another one."""
        assert self.request is not None
        expected = self._expected()
        limit = ROUNDING * float(_epsilon(self.narrowest)) * abs(expected)
        if abs(factor - expected) > limit:
            return None
        if self.places is not None:
            return replace(self, law=own_law(self.request, self.shape), left=())
        if self.left == ("scale",) and not _ends_with(shape, self.shape):
            return None
        stack = len(shape) - len(self.shape)
        places = tuple((axis + stack,) for axis in range(len(self.shape)))
        return replace(self, places=places, left=self.left[1:])

    def _expected(self) -> float:
        """The number by which the initializer multiplies its draw."""
        if isinstance(self.request, OrthogonalRequest | DeltaOrthogonalRequest):
            return self.request.gain
        assert self.request is not None
        law = own_law(self.request, self.shape)
        if law is None:
            return math.nan
        if law.kind != "uniform":
            return law.factor
        return law.low if isinstance(self.request, PlainRequest) and law.high == 0 else law.high

    def plus(self, offset: float) -> Node:
        """The values plus a number."""
        if self.law is None:
            return UnknownNode("a number is added to a matrix, and no scheme does that", self.loops)
        return replace(self.plain(), law=self.law.shifted(offset))

    def cast(self, dtype: np.dtype[Any]) -> DrawnNode:
        """The values in another dtype."""
        narrower = dtype.itemsize < self.narrowest.itemsize
        return replace(self, narrowest=dtype) if narrower else self

    def moved(self, move: Any) -> DrawnNode:
        """The elements after a move, which only an equal move of the same elements equals.

        Args:
            move: None if it depends on more than the program says.
        """
        known = self.frame is not None and move is not None
        return replace(self, frame=(*self.frame, move) if known else None)  # type: ignore[misc]

    def rearranged(self, moves: Mapping[int, Shape] | None = None) -> Node:
        """The same elements in another order, or some of them.

        Args:
            moves: from each axis to those that it becomes; None if that cannot be said.
        """
        if self.law is None and self.left[:1] == ("scale",):
            return self  # the initializer itself brings its matrix into shape
        if moves is not None and self.places is not None:
            places = tuple(tuple(new for old in p for new in moves[old]) for p in self.places)
            return replace(self, places=places)
        if self.law is None:
            return UnknownNode("a matrix is cut or reshaped, and no scheme does that", self.loops)
        return self.plain()

    def cut(self, box: Corners) -> Node:
        """The elements in a box, as an array."""
        part = None if self.frame is None else (self.frame, box)
        parts = frozenset((number, before or part) for number, before in self.parts)
        return replace(self, parts=parts).rearranged()

    def placed(self, shape: Shape) -> Node:
        """An array of zeros of `shape` in which the initializer puts its matrix."""
        if self.left != ("place",) or shape != self.shape:
            return UnknownNode("a draw is written into a part of an array", self.loops)
        return replace(self, places=own(shape), left=())

    def stacked(self) -> DrawnNode:
        """The rounds of a loop, one after the other along an additional first axis."""
        if self.places is None:
            return self
        places = tuple(tuple(axis + 1 for axis in p) for p in self.places)
        return replace(self, places=places).moved("stacked")


Node = FilledNode | ComputedNode | DrawnNode | UnknownNode


def overlap(one: Parts, other: Parts) -> bool:
    """Whether the same elements of a draw are in both."""
    return any(
        number == same and not (box and with_ and _apart(*box, *with_))
        for number, box in one
        for same, with_ in other
    )


def _apart(frame: Frame, one: Corners, same: Frame, other: Corners) -> bool:
    return frame == same and any(
        a >= d or c >= b for (a, b), (c, d) in zip(one, other, strict=True)
    )


def scheme_of(node: DrawnNode, shape: Shape, dtype: np.dtype[Any]) -> Scheme:
    """The scheme of a whole array of `shape` and `dtype`.

    Raises:
        ValueError: there is none.
    """
    if node.narrowest != dtype:
        raise ValueError(
            f"it is drawn in {node.narrowest} and converted to {dtype}, and no scheme does that"
        )
    if node.left or (node.law is None and node.places is None):
        raise ValueError("it is a part of what an initializer makes, and no scheme does that")
    if node.request is None:
        assert node.law is not None
        return replace(node.law.scheme(), reason="jax.random")
    assert node.places is not None
    scheme = node.request.scheme(node.shape, shape, node.places)
    return replace(scheme, reason="jax.nn.initializers")


def _epsilon(dtype: np.dtype[Any]) -> float:
    """The distance of 1 to the next number."""
    return float(ml_dtypes.finfo(dtype).eps)  # type: ignore[no-untyped-call]


def _ends_with(shape: Shape, end: Shape) -> bool:
    return shape[len(shape) - len(end) :] == end
