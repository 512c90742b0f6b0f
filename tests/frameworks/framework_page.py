# SPDX-License-Identifier: MIT
"""docs/frameworks.md taken apart: its tables, and the schemes in their rows.  No test."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import fastinit as fi

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "frameworks.md").read_text()

SIZES: Mapping[str, float] = {
    "L": 12,  # layers of the model
    "l": 3,  # the layer, from 0
    "N": 6,  # layers of an encoder
    "M": 4,  # layers of a decoder
    "branches": 16,
    "d": 768,  # the width
    "m": 4,  # the width over the base model's
    "base_in": 192,
    "base_out": 768,
    "fan_in": 768,
    "fan_out": 3072,
    "out": 3072,
    "ff": 3072,
    "heads": 12,
    "head": 64,
    "rows": 50257,
    "rank": 8,
    "groups": 4,
    "pad": 0,
    "std": 0.02,
    "embedding_std": 0.015,
    "bound": 0.05,
    "gain": 1.25,
    "a": 0.1,
    "beta": 0.5,  # DeepNorm's and sub-LN's factors
    "gamma": 1.5,
}
"""What the names in the rows stand for where a test gives no sizes: a weight of (3072, 768)."""
SHAPE = (3072, 768)


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(heading: str) -> list[list[str]]:
    """The rows of the tables under a heading, as lists of cells, without the tables' heads."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = {at - 1 for at, cells in enumerate(rows) if set("".join(cells)) == {"-"}}
    return [
        cells for at, cells in enumerate(rows) if at not in heads and set("".join(cells)) != {"-"}
    ]


def schemes_in(cell: str) -> list[str]:
    """The calls among a cell's code spans."""
    return [code for code in re.findall("`([^`]+)`", cell) if code.endswith(")")]


@dataclass(frozen=True)
class Row:
    """One row about a rule: its tensors, what they start with, and sigma where it has a formula."""

    rule: str
    tensors: str
    text: str
    sigma: str

    def scheme(self, **sizes: float) -> fi.Scheme:
        """The row's scheme for a model of these sizes."""
        return fi.scheme(self.text, {**SIZES, **sizes})

    def sigma_of(self, **sizes: float) -> float:
        """The value of the row's formula."""
        names = {**SIZES, **sizes, "sqrt": math.sqrt, "ln": math.log, "min": min}
        return float(eval(self.sigma, {"__builtins__": {}}, names))


RULES = "What language models and others start with"


def rows() -> Iterator[Row]:
    """The rows about rules, the rule's name filled in."""
    rule = ""
    for first, tensors, scheme, sigma, _ in table(RULES):
        if first:
            rule = re.match(r"\*\*(.+?)\*\*", first)[1]
        (text,) = schemes_in(scheme)
        yield Row(rule, tensors, text, sigma.strip("`"))


def rule(name: str) -> dict[str, Row]:
    """The rows of one rule by their tensors."""
    found = {row.tensors: row for row in rows() if row.rule == name}
    assert found, f"the page has no rule {name!r}"
    return found
