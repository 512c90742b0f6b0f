# SPDX-License-Identifier: MIT
"""What the parameters of a custom distribution say: which draws it takes, and which numbers."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from fastinit.numerics.checks import check_finite, check_number
from fastinit.texts import quoted
from fastinit.values.draws import DRAW_KINDS

DRAW_NAME = re.compile(f"[{''.join(DRAW_KINDS)}][0-9]?")

EXAMPLE = "such as def laplace(s, scale=1.0)"


@dataclass(frozen=True)
class DrawSignature:
    """The parameters of a function: first its draws, then its numbers, with their defaults."""

    draws: tuple[str, ...]
    numbers: dict[str, float | None]

    def given(self, label: str, positional: tuple[Any, ...], named: dict[str, Any]) -> list[float]:
        """The numbers of a call, in order.

        Raises:
            TypeError: one is missing, unknown, not a number or given without its name.
            ValueError: one is not finite.
        """
        call = f"{label}({', '.join(f'{name}=...' for name in self.numbers)})"
        if positional:
            raise TypeError(f"{label} got {quoted(positional[0])} without a name: write {call}")
        for name in named:
            if name not in self.numbers:
                draw = ": it is drawn, not given" if name in self.draws else ""
                raise TypeError(f"{label} has no number {quoted(name)}{draw}: write {call}")
        found = []
        for name, default in self.numbers.items():
            value = named.get(name, default)
            if value is None:
                raise TypeError(f"{label} needs {name}: write {call}")
            try:
                found.append(check_finite(name, value))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{label}: {error}") from None
        return found


def signature_of(function: Callable[..., Any], derived: Collection[str] = ()) -> DrawSignature:
    """The draws and the numbers of a function, whose last parameters are `derived` ones.

    Raises:
        TypeError: no function of draws and numbers looks like this; the message says what would.
    """
    _check_kind(function)
    draws: list[str] = []
    numbers: dict[str, float | None] = {}
    what = getattr(function, "__name__", "")
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters[: _without_derived(what, parameters, derived)]:
        name = parameter.name
        _check_parameter(what, parameter)
        if not DRAW_NAME.fullmatch(name):
            numbers[name] = _default(what, parameter)
        elif numbers:
            raise TypeError(
                f"{what}: the draw {name} stands after the number {next(iter(numbers))}: put draws "
                f"first, {EXAMPLE}, or give the number another name"
            )
        elif parameter.default is not parameter.empty:
            raise TypeError(f"{what}: the draw {name} has a default: draws have none, {EXAMPLE}")
        else:
            draws.append(name)
    if not draws:
        kinds = ", ".join(f"{kind} ({meaning})" for kind, meaning in DRAW_KINDS.items())
        raise TypeError(
            f"{what}: its first parameter is not a draw: name it after what it takes, {kinds}; a "
            f"digit may follow; {EXAMPLE}"
        )
    return DrawSignature(tuple(draws), numbers)


def _without_derived(
    what: str, parameters: list[inspect.Parameter], derived: Collection[str]
) -> int:
    """How many parameters come before the derived ones."""
    count = len(parameters) - len(derived)
    if [parameter.name for parameter in parameters[max(count, 0) :]] != list(derived):
        raise TypeError(
            f"{what}: derived has {quoted(list(derived))}: these must be its last parameters, in "
            "this order"
        )
    return count


def check_options(check: Any, derived: Any, shared: Any) -> None:
    """Raise a TypeError unless they are of the types that `distribution` takes."""
    by_name = "need a function of the numbers by name"
    if check is not None and not callable(check):
        raise TypeError(f"check is {quoted(check)}: {by_name}")
    for option, value, example in (
        ("derived", derived, '{"bound": function}'),
        ("shared", shared, '{"u": ("rows", "columns")}'),
    ):
        if not isinstance(value, Mapping):
            raise TypeError(f"{option} is {quoted(value)}: need a dict, such as {example}")
    for name, function in derived.items():
        if not callable(function):
            raise TypeError(f"derived has {quoted(function)} for {quoted(name)}: {by_name}")


def check_shared(what: str, signature: DrawSignature, shared: Mapping[str, Any]) -> None:
    """Raise a TypeError unless `shared` has draws, each with the names of two numbers."""
    for draw, sizes in shared.items():
        if draw not in signature.draws:
            raise TypeError(f"{what}: shared has {quoted(draw)}: need one of its draws")
        if not (isinstance(sizes, tuple) and len(sizes) == 2 and {*sizes} <= {*signature.numbers}):
            raise TypeError(
                f"{what}: the block of {draw} is {quoted(sizes)}: need the names of two of its "
                'numbers, such as ("rows", "columns")'
            )
    if len(set(shared.values())) > 1:
        raise TypeError(f"{what}: its shared draws have blocks of several sizes: need one")


def _check_kind(function: Callable[..., Any]) -> None:
    plain = getattr(function, "py_func", function)
    if not inspect.isfunction(plain):
        raise TypeError(f"distribution got {quoted(function)}: need a function, {EXAMPLE}")
    if plain.__name__ == "<lambda>":
        raise TypeError(f"distribution got a lambda, which no file can name: write def, {EXAMPLE}")
    if hasattr(plain, "__wrapped__"):
        raise TypeError(
            f"{plain.__name__} wraps another function, so its source says little of what it does: "
            "put @distribution directly above def"
        )
    for is_one, what in (
        (inspect.iscoroutinefunction, "a coroutine"),
        (inspect.isasyncgenfunction, "an asynchronous generator"),
        (inspect.isgeneratorfunction, "a generator"),
    ):
        if is_one(plain):
            raise TypeError(f"{plain.__name__} is {what}: need a function that returns a number")


def _check_parameter(what: str, parameter: inspect.Parameter) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise TypeError(f"{what}: {parameter} takes any number of arguments: name each, {EXAMPLE}")
    if parameter.kind is parameter.KEYWORD_ONLY:
        raise TypeError(f"{what}: {parameter.name} stands after a *, which Numba does not take")
    if not parameter.name.isascii():
        raise TypeError(f"{what}: files cannot hold the name {parameter.name!r}: use ASCII letters")


def _default(what: str, parameter: inspect.Parameter) -> float | None:
    value = parameter.default
    if value is parameter.empty:
        return None
    try:
        return check_finite(parameter.name, value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what}: the default of {error}") from None


def moment_of(which: str, stated: Any, label: str, numbers: dict[str, float]) -> float | None:
    """A stated mean or standard deviation, which may be a function of the numbers.

    Raises:
        TypeError: it is not a number.
        ValueError: it is NaN, or a standard deviation below 0.
    """
    if stated is None:
        return None
    value = stated(**numbers) if callable(stated) else stated
    found = check_number(f"the {which} stated for {label}", value)
    if math.isnan(found) or (which == "std" and found < 0):
        raise ValueError(f"the {which} stated for {label} is {found}: need one that can be")
    return found
