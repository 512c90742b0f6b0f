# SPDX-License-Identifier: MIT
"""What the elements of a tensor are, one for one: constants, maps of one draw, tables, norms.

The map of a draw is a formula in x, the drawn element.  Nothing here knows of storages or views.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from fastinit.schemes import Scheme, identity, orthogonal
from fastinit.torch.recording.boxes import IndexBox

RecordedFormula: TypeAlias = "str | float | tuple[Any, ...]"
"""`x`, a number, or an operator with its operands: ("*", "x", 2.0)."""


@dataclass(frozen=True, slots=True)
class ConstantElement:
    """The same number everywhere."""

    value: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Some elements of a tensor, in some order and shape."""

    box: IndexBox
    order: tuple[int, ...]
    """The axes of the box, as `fastinit.torch.views.Slices` orders them."""
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """Draws of one distribution side by side."""

    parts: tuple[tuple[IndexBox, Element], ...]


@dataclass(frozen=True, slots=True)
class DrawnElement:
    """A map of the elements of one draw, or of several of the same distribution.

    Two tensors that share a draw are not independent; `copied` says that `copy.deepcopy` made
    this one from another.
    """

    draws: frozenset[int]
    scheme: Scheme
    formula: RecordedFormula = "x"
    numbers: Scheme | None = None
    """The scheme with its scale as numbers, if it follows from a shape; for maps and parts."""
    whole: bool = False
    """Whether the scheme makes whole tensors, of which a part is not a tensor by this scheme."""
    copied: bool = False
    view: tuple[Selection | Composition, ...] = ()
    """Which elements of the draw these are, and in what order, by one view after the other."""


@dataclass(frozen=True, slots=True)
class TableElement:
    """Values that need no random numbers: to be computed by the recorded operators."""


@dataclass(frozen=True, slots=True)
class NormElement:
    """Euclidean norms of a drawn tensor over all axes but some."""

    of: DrawnElement
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    """The axes that are kept."""


@dataclass(frozen=True, slots=True)
class UnknownElement:
    """What no scheme makes, and why."""

    why: str


Element: TypeAlias = ConstantElement | DrawnElement | TableElement | NormElement | UnknownElement


def text_of(formula: RecordedFormula) -> str:
    """The formula as `fastinit.schemes.mapped` reads it."""
    if isinstance(formula, str):
        return formula
    if isinstance(formula, float):
        whole = formula.is_integer() and abs(formula) < 2**53
        return repr(int(formula)) if whole else repr(formula)
    name, *operands = formula
    if name == "neg":
        return f"-{_bracketed(operands[0])}"
    if name in OPERATORS:
        left, right = map(_bracketed, operands)
        return f"{left} {name} {right}"
    return f"{name}({', '.join(map(text_of, operands))})"


OPERATORS = ("+", "-", "*", "/", "**")


def _bracketed(formula: RecordedFormula) -> str:
    """An operand, in brackets if it could be read in another way without them."""
    compound = isinstance(formula, tuple) and formula[0] in (*OPERATORS, "neg")
    negative = isinstance(formula, float) and math.copysign(1.0, formula) < 0
    text = text_of(formula)
    return f"({text})" if compound or negative else text


def applied(element: Element, step: Callable[[RecordedFormula], RecordedFormula]) -> Element:
    """The element after one more elementwise operation."""
    if isinstance(element, DrawnElement):
        if element.whole:
            return _scaled_whole(element, step)
        return replace(element, formula=step(element.formula))
    return element


def _scaled_whole(
    element: DrawnElement, step: Callable[[RecordedFormula], RecordedFormula]
) -> Element:
    """A matrix times a number is the scheme with another gain; nothing else keeps it one."""
    factor = 0.0
    match step("x"):
        case ("*", "x", float(number)) | ("*", float(number), "x"):
            factor = number
        case ("/", "x", float(number)) if number:
            factor = 1.0 / number
    make = {"orthogonal": orthogonal, "identity": identity}.get(element.scheme.name)
    if element.scheme.name == "orthogonal":
        factor = abs(factor)  # the negative of such a matrix is as likely
    if make is None or factor <= 0:
        return UnknownElement(f"what {element.scheme} made is changed afterwards")
    arguments = dict(element.scheme.arguments)
    gain = arguments.pop("gain", 1.0) * factor
    return replace(element, scheme=make(gain, **arguments))
