# SPDX-License-Identifier: MIT
"""Reads the texts of formulas, such as ``'log(16 * x)'``: arithmetic of one element or of indices.

docs/stream.md, section 17, has the grammar.  What a formula computes, and how, is in
values/formulas.py.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from functools import lru_cache

from fastinit.schemes.expressions import NO_NAMES, Number, Reader
from fastinit.suggestions import suggestion
from fastinit.texts import quoted
from fastinit.values.formulas import Formula, Step

FUNCTIONS = {
    **dict.fromkeys(("exp", "log", "expm1", "log1p", "sqrt", "sin", "cos", "abs"), 1),
    **dict.fromkeys(("minimum", "maximum"), 2),
}
"""The functions of formulas, and how many arguments each takes."""

PI = "pi"

INDEX_OR_SIZE = re.compile(r"[in](0|[1-9][0-9]?)")
"""The variables of `table`: an index, or the size of an axis."""

X = re.compile("x")
"""The variable of `mapped`."""

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "power",
}
_OF_WHOLE_NUMBERS = ("floor_divide", "remainder")
_WHOLE_IF_ALL_ARE = ("add", "subtract", "multiply", "negative", "abs", "minimum", "maximum")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*", re.ASCII)
_ALLOWED = "numbers, {}, pi, + - * / // % **, parentheses and " + ", ".join(FUNCTIONS)


def plain_formula(what: str, value: object, variables: re.Pattern[str]) -> str:
    """The text of a formula as it is kept: sizes are numbers, and spaces single.

    Raises:
        TypeError: it is not a text.
        ValueError: it is no formula of these variables.
    """
    if not isinstance(value, str):
        need = f"need a formula in quotes, such as {_example(variables)!r}"
        raise TypeError(f"{what} is {quoted(value)}: {need}")
    sizes: Mapping[str, Number] = getattr(value, "names", NO_NAMES)
    text = _with_sizes(" ".join(str(value).split()), sizes, variables)
    formula_of(text, variables)
    return text


def _example(variables: re.Pattern[str]) -> str:
    return "log(x)" if variables is X else "i0 / n0"


def _with_sizes(text: str, sizes: Mapping[str, Number], variables: re.Pattern[str]) -> str:
    """The text with numbers in the place of sizes, whose names the formula itself does not use."""

    def number(match: re.Match[str]) -> str:
        name = match[0]
        if name in FUNCTIONS or name == PI or variables.fullmatch(name) or name not in sizes:
            return name
        found = sizes[name]
        if isinstance(found, float) and not math.isfinite(found):
            return name
        return f"({found!r})" if found < 0 else repr(found)

    return _NAME.sub(number, text)


@lru_cache(maxsize=256)
def formula_of(text: str, variables: re.Pattern[str]) -> Formula:
    """The formula that `text` describes.

    Raises:
        ValueError: it is no formula of these variables.
    """
    names = "x" if variables is X else "the indices i0, i1, ... and sizes n0, n1, ..."
    reader = Reader(text, NO_NAMES, "formula", _ALLOWED.format(names))
    compiler = _Compiler(reader, variables)
    compiler.step(reader.parse())
    return Formula(tuple(compiler.steps))


class _Compiler:
    """Turns a tree into steps; what occurs twice is one step."""

    def __init__(self, reader: Reader, variables: re.Pattern[str]) -> None:
        self.reader = reader
        self.variables = variables
        self.steps: list[Step] = []
        self.whole: list[bool] = []  # whether a step has whole numbers only, by its form
        self.known: dict[Step, int] = {}

    def step(self, node: ast.expr) -> int:
        """The number of the step that a node becomes."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._number(node, value)
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.step(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._operation(node, "negative", operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._operation(node, _OPERATORS[type(op)], left, right)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if FUNCTIONS.get(
                name
            ) == len(arguments):
                return self._operation(node, name, *arguments)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
                raise self._error(node, f"takes {FUNCTIONS[name]} arguments")
        raise self._error(node, f"is not allowed; use {self.reader.allowed}")

    def _error(self, node: ast.expr, why: str) -> ValueError:
        return self.reader.error(f"{self.reader.source(node)} {why}")

    def _number(self, node: ast.expr, value: Number) -> int:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            raise self._error(node, "is beyond float64")
        return self._added(("number", number), number.is_integer() and isinstance(value, int))

    def _name(self, node: ast.expr, name: str) -> int:
        if name == PI:
            return self._added(("number", math.pi), False)
        if not self.variables.fullmatch(name):
            close = suggestion(name, [*FUNCTIONS, PI])
            raise self._error(node, f"is not known here{close}; use {self.reader.allowed}")
        return self._added(("variable", name), self.variables is INDEX_OR_SIZE)

    def _operation(self, node: ast.expr, name: str, *operands: ast.expr) -> int:
        numbers = [self.step(operand) for operand in operands]
        whole = all(self.whole[number] for number in numbers)
        if name in _OF_WHOLE_NUMBERS and not whole:
            raise self._error(
                node,
                "is // or % of numbers that may have fractions; they take whole numbers, "
                "indices and sizes, and their sums, differences and products",
            )
        of_whole = name in (*_OF_WHOLE_NUMBERS, *_WHOLE_IF_ALL_ARE)
        return self._added((name, *numbers), whole and of_whole)  # type: ignore[arg-type]

    def _added(self, step: Step, whole: bool) -> int:
        if step not in self.known:
            self.known[step] = len(self.steps)
            self.steps.append(step)
            self.whole.append(whole)
        return self.known[step]
