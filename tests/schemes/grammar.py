# SPDX-License-Identifier: MIT
"""The grammar that docs/stream.md prints, section 14.1: texts derived from it, texts told by it.

It reads the page's own notation, so it is what a stranger reads.  What a text means is in
reference_texts.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from reference_calls import block

CHARACTERS = {
    "letter": "abefimnrstABEFINTXYZ",
    "digit": "0123456789",
    "nonzero": "123456789",
    "char": "\t !#$%&()*+,-./0123456789:;<=>?@AZ[]^_`az{|}~",
}
LITERALS = ("string", "whole", "decimal", "name")
"""Productions within which no space may stand."""

NOT_SIZES = ("inf", "sqrt")

Node = tuple[Any, ...]
"""("terminal", text), ("rule", name), or ("all" | "one" | "many" | "maybe", node, node, ...)."""

CLOSING = {"{": ("}", "many"), "[": ("]", "maybe"), "(": (")", "one")}


def read(lines: list[str]) -> dict[str, Node]:
    """The productions, by name."""
    text = " ".join(lines)
    pieces = re.findall(r"\"[^\"]+\"|'[^']+'|\w+|[][{}()|=]", text)
    starts = [n - 1 for n, piece in enumerate(pieces) if piece == "="]
    ends = [*starts[1:], len(pieces)]
    return {
        pieces[start]: _choices(pieces[start + 2 : end])
        for start, end in zip(starts, ends, strict=True)
    }


def _choices(pieces: list[str]) -> Node:
    """Choices of sequences; the pieces of one production, or of one bracket."""
    choices: list[Node] = []
    sequence: list[Node] = []
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        if piece == "|":
            choices.append(("all", *sequence))
            sequence = []
        elif piece in CLOSING:
            closing, kind = CLOSING[piece]
            end = _end(pieces, at, piece, closing)
            sequence.append((kind, _choices(pieces[at + 1 : end])))
            at = end
        else:
            quoted = piece[0] in "\"'"
            sequence.append(("terminal", piece[1:-1]) if quoted else ("rule", piece))
        at += 1
    return ("one", *choices, ("all", *sequence))


def _end(pieces: list[str], at: int, opening: str, closing: str) -> int:
    level = 0
    for n in range(at, len(pieces)):
        level += (pieces[n] == opening) - (pieces[n] == closing)
        if level == 0:
            return n
    raise ValueError(f"no {closing}")


RULES = read(block("grammar"))


# ---- texts derived ------------------------------------------------------------------------------


@dataclass
class Writer:
    """Derives texts; the deeper it is, the more it takes the first choice, which ends soonest."""

    random: Random
    names: tuple[str, ...]
    spaces: bool = True

    def derive(self, rule: str, depth: int = 0) -> str:
        """A text of a production."""
        if rule in CHARACTERS:
            return self.random.choice(CHARACTERS[rule])
        if rule in ("size", "scheme"):
            return self.random.choice([name for name in self.names if name not in NOT_SIZES])
        if rule == "name" and self.random.random() < 0.9:
            return self.random.choice(self.names)
        quiet = rule in LITERALS and self.spaces
        if quiet:
            self.spaces = False
        found = self.node(RULES[rule], depth + 1)
        if quiet:
            self.spaces = True
        return found

    def node(self, node: Node, depth: int) -> str:
        kind, *rest = node
        if kind == "terminal":
            return self.gap() + str(rest[0]) + self.gap()
        if kind == "rule":
            return self.derive(rest[0], depth)
        if kind == "one":
            return self.node(rest[0] if self.tired(depth) else self.random.choice(rest), depth)
        if kind == "all":
            return "".join(self.node(each, depth) for each in rest)
        if self.tired(depth):
            times = 0
        elif kind == "many":
            times = self.random.choice([0, 1, 1, 2, 3])
        else:
            times = self.random.choice([0, 1, 1])
        return "".join(self.node(rest[0], depth) for _ in range(times))

    def tired(self, depth: int) -> bool:
        return self.random.random() < depth / 32

    def gap(self) -> str:
        return self.random.choice(["", "", "", "", " ", "\t"]) if self.spaces else ""


# ---- texts told ---------------------------------------------------------------------------------


@dataclass
class Teller:
    """Which runs of pieces are texts of a production; a piece is (kind, text), or a character."""

    pieces: Sequence[Any]

    def fits(self, rule: str) -> bool:
        """Whether all pieces together are one text of it."""
        return len(self.pieces) in self.ends(("rule", rule), 0)

    def ends(self, node: Node, start: int) -> frozenset[int]:
        """Where a text of the node that begins at `start` may end."""
        if (node, start) not in self._found:
            self._found[node, start] = frozenset(self._ends(node, start))
        return self._found[node, start]

    def __post_init__(self) -> None:
        self._found: dict[tuple[Node, int], frozenset[int]] = {}

    def _ends(self, node: Node, start: int) -> set[int]:
        kind, *rest = node
        if kind == "terminal" or (kind == "rule" and self._whole(rest[0])):
            more = start < len(self.pieces) and self._is(kind, rest[0], self.pieces[start])
            return {start + 1} if more else set()
        if kind == "rule":
            return set(self.ends(RULES[rest[0]], start))
        if kind == "one":
            return {end for choice in rest for end in self.ends(choice, start)}
        if kind == "all":
            found = {start}
            for each in rest:
                found = {end for at in found for end in self.ends(each, at)}
            return found
        found = {start, *self.ends(rest[0], start)}
        while kind == "many":
            more = {end for at in found for end in self.ends(rest[0], at)}
            if more <= found:
                break
            found |= more
        return found

    def _whole(self, rule: str) -> bool:
        """Whether a production is one piece."""
        one = (*LITERALS, "size", "scheme") if not isinstance(self.pieces, str) else CLASSES
        return rule in one

    def _is(self, kind: str, what: str, here: Any) -> bool:
        if isinstance(here, str):  # a character
            return here == what if kind == "terminal" else bool(re.fullmatch(CLASSES[what], here))
        if kind == "terminal":
            return bool(what == here[1])
        sized = what in ("size", "scheme")
        return here[0] == ("name" if sized else what) and not (sized and here[1] in NOT_SIZES)


CLASSES = {
    "letter": "[A-Za-z]",
    "digit": "[0-9]",
    "nonzero": "[1-9]",
    "char": r"[\t !#-&(-\[\]-~]",
}
