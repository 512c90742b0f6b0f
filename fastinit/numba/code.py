# SPDX-License-Identifier: MIT
"""The source of a custom distribution, and its digest, which recipes hold.

The digest covers the function as `inspect` gives it, without its indentation; then, in the order
of their names, every function of the same module that it names, those that these name, and so on;
and the numbers, texts and arrays of the module that any of them reads, and defaults of parameters,
which may be such too.  Other modules are not covered.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from fastinit.values.custom import DrawFunction

Function = Callable[..., Any]


def plain_function(value: object) -> FunctionType | None:
    """The Python function of a function, a compiled one or a custom distribution."""
    value = getattr(value, "py_func", value)
    if isinstance(value, DrawFunction):
        value = getattr(value, "__wrapped__", None)
        value = getattr(value, "py_func", value)
    return value if isinstance(value, FunctionType) else None


EXACT_MODULES = frozenset({"fastinit", "numba", "numpy"})
"""Packages of whose functions the audit knows what they compile to."""


def functions_of(
    function: FunctionType, more: Iterable[FunctionType] = ()
) -> dict[str, FunctionType]:
    """The function, and those of its module that it and `more` need, by their names there."""
    found = {function.__qualname__: function}
    for number, each in enumerate(more):  # several may be called <lambda>
        name = each.__qualname__
        found[f"{name} {number}" if name in found else name] = each
    waiting = [*found.values()]
    while waiting:
        for name, value in _globals_of(waiting.pop()):
            other = plain_function(value)
            if other and other.__module__ == function.__module__ and other not in found.values():
                found[name] = other
                waiting.append(other)
    return found


def all_functions_of(
    function: FunctionType, more: Iterable[FunctionType] = ()
) -> tuple[FunctionType, ...]:
    """The function, and those that it and `more` need of any module but `EXACT_MODULES`."""
    found = dict.fromkeys((function, *more))
    waiting = [*found]
    while waiting:
        each = waiting.pop()
        values = [value for _, value in _globals_of(each)]
        modules = [value for value in values if isinstance(value, ModuleType)]
        names = _names(each.__code__)
        values += [vars(module)[name] for module in modules for name in names & vars(module).keys()]
        for other in filter(None, map(plain_function, values)):
            inside = other.__module__ == function.__module__
            if other not in found and (inside or not _is_exact(other)):
                found[other] = None
                waiting.append(other)
    return tuple(found)


def _is_exact(function: FunctionType) -> bool:
    return str(function.__module__).partition(".")[0] in EXACT_MODULES


def digest_of(function: FunctionType, more: Iterable[FunctionType] = ()) -> str:
    """SHA-256, in hexadecimal, of all that the digest covers; "" if a source cannot be found.

    `more` are functions that it needs and does not name.
    """
    functions = functions_of(function, more)
    first, *others = functions
    ordered = (functions[name] for name in (first, *sorted(others)))
    try:
        parts = [textwrap.dedent(inspect.getsource(each)) for each in ordered]
    except (OSError, TypeError):
        return ""
    numbers = {
        name: text
        for each in functions.values()
        for name, value in (*_globals_of(each), *_defaults_of(each))
        if (text := _constant(value))
    }
    parts += [f"{name} = {numbers[name]}\n" for name in sorted(numbers)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _globals_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The names of its module that a function mentions, and what they stand for."""
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in inspect.getclosurevars(function).nonlocals.items():
        yield name, cell


def _defaults_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The parameters that have a default, and its value: the source may only name it."""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty:
            yield f"{function.__qualname__}({parameter.name})", parameter.default


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _constant(value: Any) -> str:
    """A number, a text, an array or a tuple of such, as a text; "" for anything else."""
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"array({value.dtype.name}, {value.shape}, {content})"
    if isinstance(value, np.generic):
        return f"{value.dtype.name}({value.item()!r})"
    if isinstance(value, tuple):
        items = [_constant(item) for item in value]
        return f"({', '.join(items)})" if all(items) else ""
    return repr(value) if isinstance(value, bool | int | float | str) else ""
