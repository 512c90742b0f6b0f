# SPDX-License-Identifier: MIT
"""What PyTorch's operators draw, as schemes.  What is done to a draw afterwards is in steps.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fastinit import schemes
from fastinit.schemes import Scheme
from fastinit.torch.recording.events import Computed, Read, Write
from fastinit.torch.recording.formulas import (
    ConstantElement,
    DrawnElement,
    Element,
    RecordedFormula,
    UnknownElement,
)

if TYPE_CHECKING:
    from fastinit.torch.recording.understanding import Understanding


def drawn(computed: Computed, write: Write, known: Understanding) -> Element:
    """The scheme of an operator that draws."""
    args = (
        computed.args[1:] if computed.in_place or computed.name.endswith("_like") else computed.args
    )
    numbers = [a for a in args if isinstance(a, int | float) and not isinstance(a, bool)]
    kwargs = computed.kwargs
    if kwargs.get("generator") is not None or any(isinstance(a, torch.Generator) for a in args):
        return UnknownElement("it is drawn from a torch.Generator, and fastinit draws by its seed")
    scheme: Scheme | None = None
    formula: RecordedFormula = "x"
    match computed.name:
        case "normal" | "randn" | "randn_like" | "normal_functional":
            pair = [*numbers, 0.0, 1.0][:2] if len(numbers) != 1 else [numbers[0], 1.0]
            if computed.name.startswith("randn"):
                pair = [0.0, 1.0]
            if any(isinstance(a, Read) for a in args) and computed.name == "normal":
                return _normal_of_tensors(args, write, known)
            scheme = schemes.normal(kwargs.get("std", pair[1]), mean=kwargs.get("mean", pair[0]))
        case "uniform" | "rand" | "rand_like":
            pair = [*numbers, *(0.0, 1.0)[len(numbers) :]]
            if computed.name.startswith("rand"):
                pair = [0.0, 1.0]
            low, high = kwargs.get("from", pair[0]), kwargs.get("to", pair[1])
            scheme = schemes.uniform(low, high)
        case "log_normal":
            pair = [*numbers, *(1.0, 2.0)[len(numbers) :]]
            scheme, formula = schemes.normal(pair[1], mean=pair[0]), ("exp", "x")
        case "exponential":
            rate = float(numbers[0]) if numbers else 1.0
            scheme, formula = schemes.uniform(0, 1), ("/", ("neg", ("log", "x")), rate)
    if scheme is None:
        return UnknownElement(
            f"it is drawn by torch's {computed.name}, for which there is no scheme"
        )
    return DrawnElement(frozenset({write.number}), scheme, formula)


def _normal_of_tensors(args: tuple[Any, ...], write: Write, known: Understanding) -> Element:
    numbers = []
    for value in args[:2]:
        element = known.element(value) if isinstance(value, Read) else ConstantElement(float(value))
        if not isinstance(element, ConstantElement):
            return UnknownElement("it is normal with a mean or std for each element")
        numbers.append(element.value)
    mean, std = (*numbers, 1.0)[:2]
    return DrawnElement(frozenset({write.number}), schemes.normal(std, mean=mean))
