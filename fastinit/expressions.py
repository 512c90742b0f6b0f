# SPDX-License-Identifier: MIT
"""The arithmetic of plan files and scheme texts: numbers, names of sizes, + - * / // % ** and sqrt.

Texts are parsed by `ast` and walked over an allow-list; nothing is ever compiled or run, and no
text, however hostile, takes more than a moment.  What the names stand for is the caller's affair.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

Number: TypeAlias = int | float
Value: TypeAlias = "int | float | str | bool | tuple[Value, ...] | None"

MAX_TEXT = 1_000  # characters; the parser itself overflows at a few thousand nested operators
MAX_DEPTH = 100  # levels of nesting; each costs the walker two Python frames
MAX_EXPONENT = 1_024  # 2.0**1024 is already beyond float64
MAX_BITS = 128  # of a whole number, at every step

NO_NAMES: Mapping[str, Number] = MappingProxyType({})

_WRITABLE = re.compile(r"[\t\n\r -~]*")
_ALLOWED = "numbers, names of sizes, + - * / // % **, parentheses and sqrt(x)"

_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def evaluate(
    text: str, names: Mapping[str, Number] = NO_NAMES, *, what: str = "expression"
) -> Number:
    """The value of an arithmetic expression.

    Whole numbers stay exact; `/` gives a float.  `x**n` takes a whole n and is n multiplications,
    because the C library's `pow` differs between systems in the last bit; `sqrt` is IEEE's, exact
    to the bit everywhere.

    Args:
        text: for example ``"width // heads"``, at most 1,000 characters.
        names: what the names in it stand for.
        what: what the text is, for messages.

    Returns:
        An int, below 2**128 in magnitude, or a finite float.

    Raises:
        ValueError: the text is no such expression, uses an unknown name, or has no finite value.

    >>> evaluate("width // heads", {"width": 768, "heads": 12})
    64
    """
    reader = _Reader(text, names, what)
    return reader.number(reader.parse())


def evaluate_tuple(
    text: str, names: Mapping[str, Number] = NO_NAMES, *, what: str = "shape"
) -> tuple[Number, ...]:
    """The values of expressions separated by commas; one expression alone counts as one value.

    Arguments and errors are those of `evaluate`.

    >>> evaluate_tuple("(vocab, 2*width)", {"vocab": 50257, "width": 768})
    (50257, 1536)
    """
    reader = _Reader(text, names, what)
    tree = reader.parse()
    nodes = tree.elts if isinstance(tree, ast.Tuple | ast.List) else [tree]
    return tuple(reader.number(node) for node in nodes)


def parse_call(
    text: str, names: Mapping[str, Number] = NO_NAMES, *, what: str = "init"
) -> tuple[str, tuple[Value, ...], dict[str, Value]]:
    """The function name, the positional and the named arguments of a scheme's text.

    A value is an expression as in `evaluate`, a text in quotes, True, False, None, or a tuple or
    list of values (always returned as a tuple).  A name that stands for an infinity is a value by
    itself or after a minus sign, and in no arithmetic.  The function's name is not looked up here.

    Args:
        text: for example ``"he_normal"`` or ``"normal(std=0.02/sqrt(2*layers))"``.
        names: what the names in its expressions stand for.
        what: what the text is, for messages.

    Raises:
        ValueError: the text is no such call, or a value in it is none of these.

    >>> parse_call("normal(std=0.02/sqrt(2*layers))", {"layers": 8})
    ('normal', (), {'std': 0.005})
    """
    reader = _Reader(text, names, what)
    tree = reader.parse()
    if isinstance(tree, ast.Name):
        return tree.id, (), {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise reader.error("write a scheme as name or name(argument=value)")
    positional = tuple(reader.value(node) for node in tree.args)
    return tree.func.id, positional, reader.keywords(tree.keywords)


def suggestion(name: str, known: Iterable[str]) -> str:
    """A "; did you mean ...?" with the names of `known` closest to `name`, or nothing."""
    close = difflib.get_close_matches(name, known)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


@dataclass(frozen=True)
class _Reader:
    """One text being read: its tree, its names, and errors that quote it."""

    text: str
    names: Mapping[str, Number]
    what: str

    def error(self, why: str) -> ValueError:
        return ValueError(f"{self.what} {_shortened(self.text)}: {why}")

    def parse(self) -> ast.expr:
        """The tree of the text, of a size and depth that the other methods can walk."""
        if len(self.text) > MAX_TEXT:
            raise self.error(f"{len(self.text)} characters are too long; at most {MAX_TEXT}")
        if not _WRITABLE.fullmatch(self.text):
            raise self.error("only printable ASCII characters can be used")
        tree = self._syntax_tree()
        if _depth(tree) > MAX_DEPTH:
            raise self.error(f"nested too deeply; at most {MAX_DEPTH} levels")
        return tree

    def _syntax_tree(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # such as "1if", a number run into a word
                return ast.parse(self.text.strip(), mode="eval").body
        except SyntaxError as error:
            raise self.error(f"cannot be read ({error.msg}); use {_ALLOWED}") from error
        except (MemoryError, RecursionError) as error:
            raise self.error(f"nested too deeply; at most {MAX_DEPTH} levels") from error

    def number(self, node: ast.expr) -> Number:
        """The value of an arithmetic node."""
        try:
            value = self._operation(node)
        except ZeroDivisionError as error:
            raise self.error(f"{self._source(node)} divides by zero") from error
        return self._bounded(node, value)

    def _bounded(self, node: ast.expr, value: Number) -> Number:
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"{self._source(node)} is not a finite number")
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise self.error(f"{self._source(node)} is beyond 2**{MAX_BITS}")
        return value

    def _operation(self, node: ast.expr) -> Number:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return value
            case ast.Name(id=name):
                return self._named(name)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.number(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.number(operand)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self._power(node, self.number(left), self.number(right))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _BINARY[type(op)](self.number(left), self.number(right))
            case ast.Call(func=ast.Name(id="sqrt"), args=[argument], keywords=[]):
                return self._square_root(node, self.number(argument))
        raise self.error(f"{self._source(node)} is not allowed; use {_ALLOWED}")

    def _named(self, name: str) -> Number:
        if name not in self.names:
            known = ", ".join(sorted(self.names)) or "none"
            close = suggestion(name, self.names)
            raise self.error(f"unknown size {name!r}; known sizes: {known}{close}")
        return self.names[name]

    def _power(self, node: ast.expr, base: Number, exponent: Number) -> Number:
        if isinstance(exponent, float):
            raise self.error(
                f"{self._source(node)} has an exponent that is not a whole number; "
                "for x**0.5 write sqrt(x)"
            )
        if abs(exponent) > MAX_EXPONENT:
            raise self.error(f"{self._source(node)} has an exponent beyond {MAX_EXPONENT}")
        power = self._bounded(node, _repeated_product(base, abs(exponent)))
        return power if exponent >= 0 else 1 / power

    def _square_root(self, node: ast.expr, value: Number) -> float:
        if value < 0:
            raise self.error(f"{self._source(node)} is the root of a negative number, {value}")
        return math.sqrt(value)

    def value(self, node: ast.expr) -> Value:
        """The value of an argument: text, True, False, None, a tuple of values, or a number."""
        match node:
            case ast.Constant(value=str() | bool() | None as value):
                return value
            case ast.Tuple(elts=nodes) | ast.List(elts=nodes):
                return tuple(self.value(item) for item in nodes)
            case ast.Name(id=name) if self._is_infinite(name):
                return self.names[name]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id=name)) if self._is_infinite(name):
                return -self.names[name]
        return self.number(node)

    def _is_infinite(self, name: str) -> bool:
        return name in self.names and math.isinf(self.names[name])

    def keywords(self, keywords: list[ast.keyword]) -> dict[str, Value]:
        """The named arguments of a call."""
        values: dict[str, Value] = {}
        for keyword in keywords:
            if keyword.arg is None:
                raise self.error("** is not allowed; write every argument out")
            if keyword.arg in values:
                raise self.error(f"argument {keyword.arg!r} is given twice")
            values[keyword.arg] = self.value(keyword.value)
        return values

    def _source(self, node: ast.expr) -> str:
        return _shortened(ast.get_source_segment(self.text.strip(), node) or "")


def _repeated_product(base: Number, count: int) -> Number:
    """base**count, multiplied from left to right; a whole number stops once it is too large."""
    power: Number = 1.0 if isinstance(base, float) else 1
    for _ in range(count):
        power *= base
        if isinstance(power, int) and power.bit_length() > MAX_BITS:
            break
    return power


def _depth(tree: ast.AST) -> int:
    """Levels of a tree, counted level by level so that depth costs no stack."""
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= 100 else f"{text[:97]!r}..."
