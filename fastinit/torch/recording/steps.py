# SPDX-License-Identifier: MIT
"""Elementwise operators as steps of a formula in x, the drawn element.

Which elements of a tensor they are applied to is in operators.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from fastinit.torch.recording.events import Computed, Read
from fastinit.torch.recording.formulas import (
    ConstantElement,
    DrawnElement,
    RecordedFormula,
    TableElement,
)
from fastinit.torch.recording.replay import replayed

if TYPE_CHECKING:
    from fastinit.torch.recording.understanding import Understanding

ElementStep = Callable[[RecordedFormula], RecordedFormula]


@dataclass(frozen=True, slots=True)
class MappedStep:
    """An elementwise operator on one tensor, whose other arguments are numbers or the same draw."""

    source: Read
    function: ElementStep
    """Makes of the formula of a drawn element that of the result."""
    computed: Computed
    numbers: Mapping[Read, float]
    """The arguments that hold one number everywhere."""

    def of_constant(self, value: float) -> float:
        """What the operator makes of a constant element, to PyTorch's bits."""

        def one(argument: Any) -> Any:
            if not isinstance(argument, Read):
                return argument
            number = value if argument is self.source else self.numbers.get(argument, 0.0)
            return torch.full([1] * min(len(argument.shape), 1), number, dtype=argument.dtype)

        with torch.no_grad(), torch._C.DisableTorchFunction(), _disable_current_modes():
            args = map(one, self.computed.args)
            kwargs = {key: one(argument) for key, argument in self.computed.kwargs.items()}
            return float(self.computed.operator(*args, **kwargs))


def step_of(computed: Computed, known: Understanding) -> MappedStep | None:
    """The step that an operator is on something drawn; None for other operators and arguments."""
    name = computed.name
    if name in UNARY_STEPS:
        return _on_source(computed, computed.args[0], UNARY_STEPS[name], {}, known)
    if name in CLAMPS:
        return _clamped(computed, known)
    if name in BINARY_STEPS and not computed.kwargs.get("rounding_mode"):
        return _combined(computed, known)
    return None


def _on_source(
    computed: Computed,
    source: Any,
    function: ElementStep,
    numbers: Mapping[Read, float],
    known: Understanding,
) -> MappedStep | None:
    """The step, if some of the source's elements are drawn."""
    if not isinstance(source, Read):
        return None
    if not any(isinstance(layer.element, DrawnElement) for layer in known.layers(source)):
        return None
    return MappedStep(source, function, computed, numbers)


def _combined(computed: Computed, known: Understanding) -> MappedStep | None:
    """A binary operator on a draw and a number, or on two maps of the same draw."""
    name, (left, right, *more) = computed.name, computed.args
    alpha = float(computed.kwargs.get("alpha", more[0] if more else 1))
    one, other = _number(left, known), _number(right, known)
    combine = BINARY_STEPS[name]
    if name == "rsub":  # alpha is the factor of what is subtracted
        combine, left, right, one, other = BINARY_STEPS["sub"], right, left, other, one
    if one is None and other is None:
        return _of_one_draw(computed, combine, left, right, alpha, known)
    numbers = {v: n for v, n in ((left, one), (right, other)) if isinstance(v, Read) and n}
    if other is not None:
        number = other
        return _on_source(
            computed, left, lambda x: combine(x, _times(number, alpha)), numbers, known
        )
    factor = one
    assert factor is not None
    return _on_source(computed, right, lambda x: combine(factor, _times(x, alpha)), numbers, known)


def _of_one_draw(
    computed: Computed,
    combine: Callable[[RecordedFormula, RecordedFormula], RecordedFormula],
    left: Any,
    right: Any,
    alpha: float,
    known: Understanding,
) -> MappedStep | None:
    """A binary operator on two maps of the same draw, element by element."""
    if not isinstance(left, Read) or not isinstance(right, Read) or left.shape != right.shape:
        return None
    first, second = known.element(left), known.element(right)
    if not isinstance(first, DrawnElement) or not isinstance(second, DrawnElement):
        return None
    if replace(first, formula="x") != replace(second, formula="x"):
        return None
    formula = second.formula
    return MappedStep(left, lambda x: combine(x, _times(formula, alpha)), computed, {})


def _times(formula: Any, alpha: float) -> RecordedFormula:
    if alpha == 1.0:
        return formula
    return formula * alpha if isinstance(formula, float) else ("*", formula, alpha)


def _number(value: Any, known: Understanding) -> float | None:
    """The number that an argument is everywhere, if it is one."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, Read):
        element = known.element(value)
        if isinstance(element, ConstantElement):
            return element.value
        if isinstance(element, TableElement) and value.geometry.count == 1:
            return float(replayed(value))
    return None


def _clamped(computed: Computed, known: Understanding) -> MappedStep | None:
    named = dict(zip(CLAMPS[computed.name], computed.args[1:], strict=False))
    bounds = {key: v for key, v in {**named, **computed.kwargs}.items() if v is not None}
    found = {key: _number(v, known) for key, v in bounds.items() if key in ("min", "max")}
    if None in found.values():
        return None

    def function(x: RecordedFormula) -> RecordedFormula:
        if "min" in found:
            x = ("maximum", x, found["min"])
        return ("minimum", x, found["max"]) if "max" in found else x

    numbers = {bounds[key]: n for key, n in found.items() if isinstance(bounds[key], Read) and n}
    return _on_source(computed, computed.args[0], function, numbers, known)


def _power(x: RecordedFormula, y: RecordedFormula) -> RecordedFormula:
    if isinstance(y, float):
        if y == 0.5:
            return ("sqrt", x)
        return ("**", x, y)
    if isinstance(x, float) and x > 0:
        return ("exp", ("*", y, math.log(x)))
    return ("**", x, y)


CLAMPS = {
    "clamp": ("min", "max"),
    "clip": ("min", "max"),
    "clamp_min": ("min",),
    "clamp_max": ("max",),
}
UNARY_STEPS: dict[str, ElementStep] = {
    "neg": lambda x: ("neg", x),
    "exp": lambda x: ("exp", x),
    "log": lambda x: ("log", x),
    "expm1": lambda x: ("expm1", x),
    "log1p": lambda x: ("log1p", x),
    "sqrt": lambda x: ("sqrt", x),
    "rsqrt": lambda x: ("/", 1.0, ("sqrt", x)),
    "abs": lambda x: ("abs", x),
    "square": lambda x: ("**", x, 2.0),
    "reciprocal": lambda x: ("/", 1.0, x),
    "sigmoid": lambda x: ("/", 1.0, ("+", 1.0, ("exp", ("neg", x)))),
    "erfinv": lambda x: ("erfinv", x),
}
BINARY_STEPS: dict[str, Callable[[RecordedFormula, RecordedFormula], RecordedFormula]] = {
    "add": lambda x, y: ("+", x, y),
    "sub": lambda x, y: ("-", x, y),
    "rsub": lambda x, y: ("-", y, x),
    "mul": lambda x, y: ("*", x, y),
    "div": lambda x, y: ("/", x, y),
    "minimum": lambda x, y: ("minimum", x, y),
    "maximum": lambda x, y: ("maximum", x, y),
    "pow": _power,
}
