# SPDX-License-Identifier: MIT
"""Texts of schemes a second time: a parser of the grammar of docs/stream.md, section 14.1.

It shares no code with the library and leaves Python's own parser out.  Which arguments a scheme has
is in reference_calls.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

Number = int | float
T = TypeVar("T")

CONSTANTS = {"True": True, "False": False, "None": None}
"""They look like names, and are none."""

NO_SCHEMES = ("inf", "sqrt")
"""Words that no scheme in an argument has for a name."""

LONGEST = 1000
LARGEST_EXPONENT = 1024
LARGEST_WHOLE = 2**128


class Invalid(ValueError):
    """The text is not one of a scheme."""


class Meaningless(Invalid):
    """The text fits the grammar as far as it was read, but has no such value or argument."""


class SchemeCall(NamedTuple):
    """A scheme in a text."""

    name: str
    positional: tuple[Any, ...]
    named: dict[str, Any]


# ---- tokens -------------------------------------------------------------------------------------

_TOKENS = re.compile(
    r"""(?P<space>[ \t]+) | (?P<line>[\r\n]+)
      | (?P<decimal>(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
      | (?P<whole>0+|[1-9][0-9]*)
      | (?P<constant>(?:True|False|None)(?![A-Za-z_0-9]))
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<string>'[^'\\\r\n]*'|"[^"\\\r\n]*")
      | (?P<sign>\*\*|//|[-+*/%()\[\],=])""",
    re.VERBOSE,
)
Token = tuple[str, str]


def tokens_of(text: str) -> list[Token]:
    """(kind, text) of each terminal, name, string and literal."""
    if len(text) > LONGEST:
        raise Invalid(f"{len(text)} characters")
    if not re.fullmatch(r"[\t\r\n -~]*", text):
        raise Invalid("not printable ASCII")
    text, found, at, open_brackets = text.strip(" \t\r\n"), [], 0, 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None or match.lastgroup is None:
            raise Invalid(f"cannot be read at {text[at:]!r}")
        kind, piece, at = match.lastgroup, match[0], match.end()
        open_brackets += (piece in ("(", "[")) - (piece in (")", "]"))
        if kind == "line" and open_brackets <= 0:
            raise Invalid("a line ends outside brackets")
        if kind not in ("space", "line"):
            found.append((kind, piece))
    return [*found, ("end", "")]


# ---- the grammar --------------------------------------------------------------------------------


@dataclass
class Reader:
    """One text being read; each method is the production of its name."""

    tokens: list[Token]
    sizes: Mapping[str, Number]
    at: int = 0

    def next(self, *signs: str) -> str:
        """The sign that comes next, if it is one of these."""
        kind, piece = self.tokens[self.at]
        if kind == "sign" and piece in signs:
            self.at += 1
            return piece
        return ""

    def need(self, sign: str) -> None:
        if not self.next(sign):
            raise Invalid(f"no {sign} at token {self.at}")

    def take(self, kind: str) -> str | None:
        if self.tokens[self.at][0] != kind:
            return None
        self.at += 1
        return self.tokens[self.at - 1][1]

    def either(self, *productions: Callable[[], T]) -> T:
        """The first production that can be read from here."""
        start = self.at
        for production in productions:
            try:
                return production()
            except Meaningless:
                raise
            except Invalid:
                self.at = start
        raise Invalid(f"nothing fits at token {start}")

    def text(self) -> SchemeCall:
        name = self.take("name")
        if name is None:
            raise Invalid("no name")
        found = self.given(name) if self.next("(") else SchemeCall(name, (), {})
        if self.tokens[self.at][0] != "end":
            raise Invalid("more after the end")
        return found

    def given(self, name: str) -> SchemeCall:
        """The arguments of a call, after the opening bracket."""
        positional: list[Any] = []
        named: dict[str, Any] = {}
        while not self.next(")"):
            self.argument(positional, named)
            if not self.next(","):
                self.need(")")
                break
        return SchemeCall(name, tuple(positional), named)

    def argument(self, positional: list[Any], named: dict[str, Any]) -> None:
        if self.tokens[self.at][0] == "name" and self.tokens[self.at + 1] == ("sign", "="):
            name = self.tokens[self.at][1]
            self.at += 2
            if name in named:
                raise Meaningless(f"{name} is given twice")
            named[name] = self.value()
        elif named:
            raise Meaningless("an argument without a name after one with")
        else:
            positional.append(self.value())

    def call(self) -> SchemeCall | None:
        """A scheme in an argument, if one comes next."""
        kind, name = self.tokens[self.at]
        if kind != "name" or name in NO_SCHEMES or self.tokens[self.at + 1] != ("sign", "("):
            return None
        self.at += 2
        return self.given(name)

    def value(self) -> Any:
        start = self.at
        made = self.call()
        if made is not None:
            return made
        try:
            found = self.number()
            if self.tokens[self.at][1] in (",", ")", "]"):
                return found
        except Meaningless:
            raise
        except Invalid:
            pass
        self.at = start
        return self.either(self.infinity, self.string, self.constant, self.tuple)

    def infinity(self) -> float:
        if not self.next("-"):
            return self.inner()
        return -self.inner()

    def inner(self) -> float:
        if self.next("("):
            found = self.inner()
            self.need(")")
            return found
        if self.tokens[self.at] != ("name", "inf"):
            raise Invalid("no infinity")
        self.at += 1
        return math.inf

    def string(self) -> str:
        found = self.take("string")
        if found is None:
            raise Invalid("no string")
        return found[1:-1]

    def constant(self) -> Any:
        word = self.take("constant")
        if word is None:
            raise Invalid("no constant")
        return CONSTANTS[word]

    def tuple(self) -> Any:
        """A tuple, or a value in brackets."""
        if self.next("["):
            return self.list("]", [])
        self.need("(")
        if self.next(")"):
            return ()
        first = self.value()
        if self.next(","):
            return self.list(")", [first])
        self.need(")")
        return first

    def list(self, end: str, found: list[Any]) -> tuple[Any, ...]:
        while not self.next(end):
            found.append(self.value())
            if not self.next(","):
                self.need(end)
                break
        return tuple(found)

    def number(self) -> Number:
        found = self.product()
        while sign := self.next("+", "-"):
            found = _binary(sign, found, self.product())
        return found

    def product(self) -> Number:
        found = self.factor()
        while sign := self.next("*", "/", "//", "%"):
            found = _binary(sign, found, self.factor())
        return found

    def factor(self) -> Number:
        sign = self.next("+", "-")
        if not sign:
            return self.power()
        return -self.factor() if sign == "-" else self.factor()

    def power(self) -> Number:
        base = self.atom()
        return _power(base, self.factor()) if self.next("**") else base

    def atom(self) -> Number:
        if self.next("("):
            found = self.number()
            self.need(")")
            return found
        if whole := self.take("whole"):
            return _checked(int(whole))
        if decimal := self.take("decimal"):
            return _checked(float(decimal))
        name = self.take("name")
        if name == "sqrt":
            return self.root()
        if name is None or name == "inf" or self.tokens[self.at] == ("sign", "("):
            raise Invalid(f"no number at token {self.at}")
        if name not in self.sizes:
            raise Meaningless(f"{name} is not a size")
        return self.sizes[name]

    def root(self) -> float:
        self.need("(")
        under = self.number()
        self.next(",")
        self.need(")")
        if under < 0:
            raise Meaningless("the root of a negative number")
        return math.sqrt(under)


def _checked(number: Number) -> Number:
    if isinstance(number, float) and not math.isfinite(number):
        raise Meaningless("not finite")
    if isinstance(number, int) and abs(number) >= LARGEST_WHOLE:
        raise Meaningless("too large")
    return number


def _binary(sign: str, a: Number, b: Number) -> Number:
    if sign in ("/", "//", "%") and b == 0:
        raise Meaningless("division by 0")
    if sign in ("//", "%"):
        if isinstance(a, float) or isinstance(b, float):
            raise Meaningless(f"{sign} of a float64 number")
        return _checked(a // b if sign == "//" else a - b * (a // b))
    if isinstance(a, float) or isinstance(b, float):
        a, b = float(a), float(b)
    return _checked({"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b)


def _power(x: Number, n: Number) -> Number:
    if isinstance(n, float) or abs(n) > LARGEST_EXPONENT:
        raise Meaningless("an exponent that is no whole number, or too large")
    found: Number = 1.0 if isinstance(x, float) else 1
    for _ in range(abs(n)):
        found = _checked(found * x)
    return found if n >= 0 else _binary("/", 1, found)


def parse(text: str, sizes: Mapping[str, Number] = {}) -> SchemeCall:
    """Name, positional and named arguments of a text; raises Invalid."""
    return Reader(tokens_of(text), sizes).text()
