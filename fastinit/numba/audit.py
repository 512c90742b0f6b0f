# SPDX-License-Identifier: MIT
"""Whether compiled code gives the same bits on every machine.  It looks at code and runs none.

IEEE 754 defines + - * / sqrt and fused multiply-add, comparisons and conversions, and integer
operations are exact; so is what fastinit.numba offers.  Anything else is a reason: a call of the C
library, whose functions differ in the last place, or a flag that lets LLVM reorder or approximate.
"""

from __future__ import annotations

import dis
import inspect
import math
import re
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

import numpy as np

_DECLARED = re.compile(r'^declare [^@\n]*@"?([\w.$]+)"?\(', re.MULTILINE)

_EXACT = re.compile(
    r"llvm\.(x86\.|aarch64\.)?(fma|sqrt|fabs|copysign|floor|ceil|trunc|rint|nearbyint|round|roundeven"
    r"|minnum|maxnum|minimum|maximum|canonicalize|is\.fpclass"
    r"|abs|[su](min|max|cmp)|[su](add|sub|mul)\.(with\.overflow|sat)|fshl|fshr|ctpop|ctlz|cttz"
    r"|bswap|bitreverse|fptosi\.sat|fptoui\.sat|vector\.\w+|vector\.reduce\.\w+"
    r"|mem(cpy|set|move)|lifetime|assume|dbg|experimental|masked|stepvector|get\.active\.lane\.mask"
    r"|atomic|trap|expect|prefetch|ptrmask|invariant)\b.*"
    r"|(fma|sqrt|fabs|copysign|floor|ceil|trunc|rint|nearbyint|round|fmin|fmax)f?"
)
"""Operations with one right result, and those that have no result."""

_INEXACT_SUM = re.compile(r"llvm\.(vector\.reduce\.f(add|mul)|fmuladd)\b.*")

_RUNTIME = re.compile(
    r"Py\w+|_Py\w+|NRT_\w+|numba_(unpickle|gil_ensure|do_raise)|mem(cpy|set|move)"
)
"""What brings arguments from Python and errors to it, and memory."""

_FLAGS = re.compile(
    r"= (?:(?:tail|musttail|notail) )?(?:f(?:add|sub|mul|div|rem|neg|cmp)|call|select|phi) "
    r"(?:fast|reassoc|nnan|ninf|nsz|arcp|contract|afn)\b"
)

_LIBRARY_NAMES = frozenset(
    (
        *("exp", "exp2", "exp10", "expm1", "log", "log2", "log10", "log1p", "pow", "power"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"),
        *("arcsin", "arccos", "arctan", "arctan2", "asinh", "acosh", "atanh"),
        *("arcsinh", "arccosh", "arctanh", "cbrt", "hypot", "erf", "erfc", "gamma", "lgamma"),
        *("logaddexp", "logaddexp2"),
    )
)
"""Functions of `math` and of NumPy that no standard defines to the last bit."""

_LIBRARY = {
    getattr(module, name): name
    for module in (math, np)
    for name in sorted(_LIBRARY_NAMES)
    if hasattr(module, name)
}


def reasons(llvm: str, functions: Iterable[Callable[..., Any]]) -> tuple[str, ...]:
    """What keeps compiled code from being portable, sorted; nothing if it is.

    Args:
        llvm: the code, after LLVM's optimisation.
        functions: whose code it is, as far as that is known.  They are looked at too, because LLVM
            computes a function of constants by the library of the machine that compiles.
    """
    found = {_plain(name) for name in _DECLARED.findall(llvm) if _is_inexact(name)}
    if _FLAGS.search(llvm):
        found.add("fast-math")
    for function in functions:
        outer = inspect.getclosurevars(function).nonlocals
        found.update(_library_calls(function.__code__, {**function.__globals__, **outer}))
    return tuple(sorted(found))


def _is_inexact(name: str) -> bool:
    if _INEXACT_SUM.fullmatch(name):
        return True
    return not (_EXACT.fullmatch(name) or _RUNTIME.fullmatch(name))


def _plain(name: str) -> str:
    """The name in the C library of what may be a vector, such as ``log`` of ``llvm.log.v8f32``."""
    found = re.sub(r"^llvm\.|^__svml_|(\.v?\d*[fi]\d+)+$|_ha$", "", name)
    scalar = re.sub(r"f?\d*$", "", found)
    return scalar if scalar in _LIBRARY_NAMES else found


def _library_calls(code: CodeType, names: dict[str, Any]) -> Iterable[str]:
    """The functions of `math` and `numpy` that a code object mentions.

    A global of such a name, such as fastinit.numba's own exp, is judged by what it is.
    """
    mentioned = (*code.co_names, *code.co_freevars)
    modules = any(names.get(name) is module for name in mentioned for module in (math, np))
    loads = dis.get_instructions(code)
    attributes = {load.argval for load in loads if load.opname in ("LOAD_ATTR", "LOAD_METHOD")}
    for name in mentioned:
        if modules and name in attributes & _LIBRARY_NAMES:
            yield name
        elif (value := names.get(name)) is not None and callable(value):
            try:
                known = _LIBRARY.get(value)
            except TypeError:  # not hashable
                continue
            if known:
                yield known
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _library_calls(constant, names)
