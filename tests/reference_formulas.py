# SPDX-License-Identifier: MIT
"""Formulas a second time: a parser of the grammar of docs/stream.md, section 17, and their values.

It shares no code with the library.  Functions are those of reference_functions.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import reference_functions as functions
from reference_texts import LONGEST, Invalid, Meaningless

Node = tuple[Any, ...]
"""("number", value, whether it is whole), ("variable", name), or (operation, node, node...)."""

INDEX = r"[in](0|[1-9][0-9]?)"
"""The variables of tables."""

ARGUMENTS = {
    **dict.fromkeys(("exp", "log", "expm1", "log1p", "sqrt", "sin", "cos", "abs"), 1),
    **dict.fromkeys(("minimum", "maximum"), 2),
}

_TOKENS = re.compile(
    r"""[ ]+ | (?P<decimal>(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
      | (?P<whole>0+|[1-9][0-9]*) | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<sign>\*\*|//|[-+*/%(),])""",
    re.VERBOSE,
)


def tokens_of(text: str) -> list[tuple[str, str]]:
    if len(text) > LONGEST:
        raise Invalid(f"{len(text)} characters")
    found, at = [], 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            raise Invalid(f"cannot be read at {text[at:]!r}")
        at = match.end()
        if match.lastgroup:
            found.append((match.lastgroup, match[0]))
    return [*found, ("end", "")]


@dataclass
class Reader:
    """One formula being read; each method is the production of its name."""

    tokens: list[tuple[str, str]]
    variables: str
    at: int = 0

    def next(self, *signs: str) -> str:
        if self.tokens[self.at][0] == "sign" and self.tokens[self.at][1] in signs:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def need(self, sign: str) -> None:
        if not self.next(sign):
            raise Invalid(f"no {sign} at token {self.at}")

    def formula(self) -> Node:
        found = self.product()
        while sign := self.next("+", "-"):
            found = (sign, found, self.product())
        return found

    def product(self) -> Node:
        found = self.factor()
        while sign := self.next("*", "/", "//", "%"):
            found = (sign, found, self.factor())
            if sign in ("//", "%") and not all(map(whole, found[1:])):
                raise Meaningless(f"{sign} of what may not be whole")
        return found

    def factor(self) -> Node:
        sign = self.next("+", "-")
        if sign:
            return ("negative", self.factor()) if sign == "-" else self.factor()
        base = self.atom()
        return ("**", base, self.factor()) if self.next("**") else base

    def atom(self) -> Node:
        if self.next("("):
            found = self.formula()
            self.need(")")
            return found
        kind, piece = self.tokens[self.at]
        self.at += 1
        if kind in ("whole", "decimal"):
            return self.number(kind, piece)
        if kind != "name":
            raise Invalid(f"nothing fits at token {self.at - 1}")
        if piece in ARGUMENTS:
            return self.call(piece)
        if piece == "pi":
            return ("number", math.pi, False)
        if not re.fullmatch(self.variables, piece):
            raise Meaningless(f"{piece} is no variable here")
        return ("variable", piece)

    def number(self, kind: str, piece: str) -> Node:
        try:
            value = float(int(piece)) if kind == "whole" else float(piece)
        except OverflowError:
            value = math.inf
        if math.isinf(value):
            raise Meaningless("beyond float64")
        return ("number", value, kind == "whole")

    def call(self, name: str) -> Node:
        self.need("(")
        arguments = [self.formula()]
        while self.next(","):
            if self.tokens[self.at] == ("sign", ")"):
                break
            arguments.append(self.formula())
        self.need(")")
        if len(arguments) != ARGUMENTS[name]:
            raise Meaningless(f"{name} of {len(arguments)}")
        return (name, *arguments)


def whole(node: Node) -> bool:
    """Whether a node has whole numbers only, by its form."""
    kind, *rest = node
    if kind == "number":
        return bool(rest[1])
    if kind == "variable":
        return rest[0] != "x"
    known = ("+", "-", "*", "//", "%", "negative", "abs", "minimum", "maximum")
    return kind in known and all(map(whole, rest))


def parse(text: str, variables: str) -> Node:
    reader = Reader(tokens_of(text), variables)
    found = reader.formula()
    if reader.tokens[reader.at][0] != "end":
        raise Invalid("more after the end")
    return found


OPERATIONS: dict[str, Callable[..., float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: float(int(a) // int(b)),
    "%": lambda a, b: float(int(a) % int(b)),
    "**": functions.power,
    "negative": lambda a: -a,
    "exp": functions.exp,
    "log": functions.log,
    "expm1": functions.expm1,
    "log1p": functions.log1p,
    "sqrt": math.sqrt,
    "sin": functions.sin,
    "cos": functions.cos,
    "abs": abs,
    "minimum": lambda a, b: a if a < b else b,
    "maximum": lambda a, b: a if a > b else b,
}


def value(node: Node, variables: Mapping[str, float]) -> float:
    """The value for one element."""
    kind, *rest = node
    if kind == "number":
        return float(rest[0])
    if kind == "variable":
        return variables[rest[0]]
    found = OPERATIONS[kind](*(value(each, variables) for each in rest))
    if not math.isfinite(found):
        raise Meaningless(f"{kind} has no finite value")
    return found
