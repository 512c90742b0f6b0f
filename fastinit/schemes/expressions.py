# SPDX-License-Identifier: MIT
"""The arithmetic of plan files and scheme texts: numbers, names of sizes, + - * / // % ** and sqrt.

Texts are parsed by `ast` and walked over an allow-list; nothing is ever compiled or run, and no
text, however hostile, takes more than a moment.  What the names stand for is the caller's affair,
and so is which scheme a call makes.  Formulas of elements are in formulas.py.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from fastinit.suggestions import suggestion
from fastinit.texts import listed, quoted

Number: TypeAlias = int | float
Value: TypeAlias = "int | float | str | bool | tuple[Value, ...] | SchemeCall | None"

MAX_TEXT = 1_000  # characters; the parser itself overflows at a few thousand nested operators
MAX_DEPTH = 100  # levels of nesting; each costs the walker two Python frames
MAX_EXPONENT = 1_024  # 2.0**1024 is already beyond float64
MAX_BITS = 128  # of a whole number, at every step


class SchemeCall(NamedTuple):
    """The call of a scheme in a text: its name, its positional and its named arguments."""

    name: str
    positional: tuple[Value, ...]
    named: dict[str, Value]


class SizedText(str):
    """A text in quotes, and the sizes that the text around it may use: `names`."""

    __slots__ = ("names",)
    names: Mapping[str, Number]

    def __new__(cls, text: str, names: Mapping[str, Number]) -> SizedText:
        """Keep the text and the sizes."""
        made = super().__new__(cls, text)
        made.names = names
        return made


NO_NAMES: Mapping[str, Number] = MappingProxyType({})

_WRITABLE = re.compile(r"[\t\n\r -~]*")
TOKEN = re.compile(
    r"""(?P<prefix>[rRuU]|[bBfFtT][rR]?|[rR][bBfFtT])?
        (?:\'{3}(?P<t1>(?:[^\\]|\\.)*?)\'{3} | \"{3}(?P<t2>(?:[^\\]|\\.)*?)\"{3}
          | \'(?P<t3>(?:[^\'\\\n]|\\.)*)\' | \"(?P<t4>(?:[^\"\\\n]|\\.)*)\")
      | (?P<number>\.?[0-9][\w.]*) | [A-Za-z_]\w* | \#[^\n]* | .""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
"""A token as Python sees it, of a text that it can read."""
_NUMBER = re.compile(r"0[xX][0-9a-fA-F_]+|0[oObB][0-7_]+|[0-9_]*\.?[0-9_]*([eE][0-9_]*)?[jJ]?")
_ESCAPES = re.compile(r"""(?:[^\\]|\\(?:[\n\\'"abfnrtvxNuU]|[0-7]{1,2}(?![0-7])|[0-3][0-7]{2}))*""")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
LABEL = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
"""How a text calls a custom distribution: ``module:name``."""
_STAND_INS = str.maketrans(
    ".:", "\ua78f\u02d0"
)  # letters, so that a label is a name for the parser
_STOOD_FOR = str.maketrans("\ua78f\u02d0", ".:")
_NO_SCHEMES = ("inf", "sqrt")
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
    reader = Reader(text, names, what)
    return reader.number(reader.parse())


def evaluate_tuple(
    text: str, names: Mapping[str, Number] = NO_NAMES, *, what: str = "shape"
) -> tuple[Number, ...]:
    """The values of expressions separated by commas; one expression alone counts as one value.

    Arguments and errors are those of `evaluate`.

    >>> evaluate_tuple("(vocab, 2*width)", {"vocab": 50257, "width": 768})
    (50257, 1536)
    """
    reader = Reader(text, names, what)
    tree = reader.parse()
    nodes = tree.elts if isinstance(tree, ast.Tuple | ast.List) else [tree]
    return tuple(reader.number(node) for node in nodes)


def parse_call(
    text: str, names: Mapping[str, Number] = NO_NAMES, *, what: str = "init"
) -> SchemeCall:
    """The function name, the positional and the named arguments of a scheme's text.

    A function may be called by a label, such as ``my.module:laplace``.  A value is an expression
    as in `evaluate`, a text in quotes, True, False, None, a tuple or list of values (always
    returned as a tuple), or another such call, in brackets.  A name that stands for an infinity is
    a value by itself or after a minus sign, and in no arithmetic.  The functions' names are not
    looked up here.

    Args:
        text: for example ``"he_normal"`` or ``"normal(std=0.02/sqrt(2*layers))"``.
        names: what the names in its expressions stand for.
        what: what the text is, for messages.

    Raises:
        ValueError: the text is no such call, or a value in it is none of these.

    >>> parse_call("normal(std=0.02/sqrt(2*layers))", {"layers": 8})
    SchemeCall(name='normal', positional=(), named={'std': 0.005})
    """
    reader = Reader(text, names, what, labels=True)
    tree = reader.parse()
    if isinstance(tree, ast.Name):
        return SchemeCall(tree.id.translate(_STOOD_FOR), (), {})
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise reader.error("write a scheme as name or name(argument=value)")
    return reader.call(tree.func.id, tree)


@dataclass(frozen=True, eq=False, repr=False)
class Reader:
    """One text being read: its tree, its names, and errors that quote it."""

    text: str
    names: Mapping[str, Number]
    what: str
    allowed: str = _ALLOWED
    labels: bool = False

    def error(self, why: str) -> ValueError:
        """What to raise, in words that quote the text."""
        return ValueError(f"{self.what} {_shortened(self.text)}: {why}")

    def parse(self) -> ast.expr:
        """The tree of the text, of a size and depth that the other methods can walk."""
        if len(self.text) > MAX_TEXT:
            raise self.error(f"{len(self.text)} characters are too many; at most {MAX_TEXT}")
        if not _WRITABLE.fullmatch(self.text):
            raise self.error("only printable ASCII characters can be used")
        tree = self._syntax_tree()
        if _depth(tree) > MAX_DEPTH:
            raise self.error(f"nested too deeply; at most {MAX_DEPTH} levels")
        return tree

    @property
    def _code(self) -> str:
        """The text for the parser, in which a label is one name of the same length."""
        text = self.text.strip()
        if not self.labels or ":" not in text:
            return text
        found, begin = [], 0
        for match in strings_in(text):
            found += [_as_names(text[begin : match.start()]), match[0]]
            begin = match.end()
        return "".join([*found, _as_names(text[begin:])])

    def _syntax_tree(self) -> ast.expr:
        self._refuse_what_python_warns_of()
        try:
            return ast.parse(self._code, mode="eval").body
        except SyntaxError as error:
            raise self.error(f"cannot be read ({error.msg}); use {self.allowed}") from error
        except (MemoryError, RecursionError) as error:
            raise self.error(f"nested too deeply; at most {MAX_DEPTH} levels") from error

    def _refuse_what_python_warns_of(self) -> None:
        """Refuse numbers run into words, such as "1if", and unknown escapes in texts.

        The parser would warn of them, each version in its own way; and to make errors of warnings,
        or to silence them, changes the filters of all threads.
        """
        for token in TOKEN.finditer(self.text.replace("\r\n", "\n").replace("\r", "\n")):
            number, prefix = token["number"], (token["prefix"] or "").lower()
            if number and not _NUMBER.fullmatch(number):
                raise self.error(f"cannot be read (invalid number {number!r}); use {self.allowed}")
            if set(prefix) & set("bft"):
                raise self.error(f"{_shortened(token[0])} is not allowed; use {self.allowed}")
            inside = token["t1"] or token["t2"] or token["t3"] or token["t4"] or ""
            if not prefix.startswith("r") and not _ESCAPES.fullmatch(inside):
                raise self.error(f"cannot be read (invalid escape sequence); use {self.allowed}")

    def number(self, node: ast.expr) -> Number:
        """The value of an arithmetic node."""
        try:
            value = self._operation(node)
        except ZeroDivisionError as error:
            raise self.error(f"{self.source(node)} divides by zero") from error
        return self._bounded(node, value)

    def _bounded(self, node: ast.expr, value: Number) -> Number:
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"{self.source(node)} is not a finite number")
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise self.error(f"{self.source(node)} is beyond 2**{MAX_BITS}")
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
        raise self.error(f"{self.source(node)} is not allowed; use {self.allowed}")

    def _named(self, name: str) -> Number:
        if name not in self.names:
            known = listed(sorted(self.names)) or "none"
            close = suggestion(name, self.names)
            shown = quoted(name.translate(_STOOD_FOR))
            raise self.error(f"unknown size {shown}; known sizes: {known}{close}")
        return self.names[name]

    def _power(self, node: ast.expr, base: Number, exponent: Number) -> Number:
        if isinstance(exponent, float):
            raise self.error(
                f"{self.source(node)} has an exponent that is not a whole number; "
                "for x**0.5 write sqrt(x)"
            )
        if abs(exponent) > MAX_EXPONENT:
            raise self.error(f"{self.source(node)} has an exponent beyond {MAX_EXPONENT}")
        power = self._bounded(node, _repeated_product(base, abs(exponent)))
        return power if exponent >= 0 else 1 / power

    def _square_root(self, node: ast.expr, value: Number) -> float:
        if value < 0:
            raise self.error(f"{self.source(node)} is the root of a negative number, {value}")
        return math.sqrt(value)

    def value(self, node: ast.expr) -> Value:
        """The value of an argument: text, True, False, None, a tuple, a call, or a number."""
        match node:
            case ast.Constant(value=str() as value):
                return SizedText(value, self.names) if self._mentions_a_size(value) else value
            case ast.Constant(value=bool() | None as value):
                return value
            case ast.Call(func=ast.Name(id=name)) if name not in _NO_SCHEMES:
                return self.call(name, node)
            case ast.Tuple(elts=nodes) | ast.List(elts=nodes):
                return tuple(self.value(item) for item in nodes)
            case ast.Name(id=name) if self._is_infinite(name):
                return self.names[name]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id=name)) if self._is_infinite(name):
                return -self.names[name]
        return self.number(node)

    def _is_infinite(self, name: str) -> bool:
        return name in self.names and math.isinf(self.names[name])

    def _mentions_a_size(self, text: str) -> bool:
        return any(name in self.names for name in _NAME.findall(text))

    def call(self, name: str, node: ast.Call) -> SchemeCall:
        """The call of a scheme."""
        label = name.translate(_STOOD_FOR)
        return SchemeCall(label, tuple(map(self.value, node.args)), self.keywords(node.keywords))

    def keywords(self, keywords: list[ast.keyword]) -> dict[str, Value]:
        """The named arguments of a call."""
        values: dict[str, Value] = {}
        for keyword in keywords:
            if keyword.arg is None:
                raise self.error("** is not allowed; write every argument out")
            if (name := keyword.arg.translate(_STOOD_FOR)) != keyword.arg:
                raise self.error(f"{quoted(name)} cannot be the name of an argument")
            if keyword.arg in values:
                raise self.error(f"argument {quoted(keyword.arg)} is given twice")
            values[keyword.arg] = self.value(keyword.value)
        return values

    def source(self, node: ast.expr) -> str:
        """The text of a node, for messages."""
        segment = ast.get_source_segment(self._code, node) or ""
        return _shortened(segment.translate(_STOOD_FOR))


def strings_in(text: str) -> Iterator[re.Match[str]]:
    """The texts in quotes in a text, and its comments."""
    return (token for token in TOKEN.finditer(text) if token[0][-1] in "\"'" or token[0][0] == "#")


def _as_names(text: str) -> str:
    return LABEL.sub(lambda label: label[0].translate(_STAND_INS), text)


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
    depth: int = 0
    level: list[ast.AST] = [tree]
    while level:
        depth += 1
        children = [child for node in level for child in ast.iter_child_nodes(node)]
        # an argument's name is no level of its own
        level = [child.value if isinstance(child, ast.keyword) else child for child in children]
    return depth


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= 100 else f"{text[:97]!r}..."
