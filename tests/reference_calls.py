# SPDX-License-Identifier: MIT
"""Calls of schemes a second time: their arguments, and what fastinit writes; docs/stream.md, 14.

The signatures and what each argument takes are read out of the page itself.  Nothing here knows
what a scheme makes, and nothing shares code with the library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import reference_formulas as formulas
from reference import PAGE
from reference_json import float_text
from reference_texts import Invalid, Number, SchemeCall, parse

NEED = object()
"""The default of an argument that has none."""


class Made(NamedTuple):
    """A scheme and all of its arguments, among which may be others."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Signature:
    """Arguments and their defaults, in order; the first `positional` need no name."""

    defaults: dict[str, Any] = field(hash=False)
    positional: int
    rest: str = ""  # takes all arguments without a name after the others


def block(title: str) -> list[str]:
    """The lines of a marked block of the page."""
    found = re.search(
        rf"<!-- {title}: begin -->\n```text\n(.*?)```\n<!-- {title}: end -->", PAGE, re.S
    )
    assert found, f"the {title} of docs/stream.md"
    return found[1].splitlines()


def _options() -> str:
    found = re.search(r"FANS stands for the options of fans:\n`([^`]+)`", PAGE)
    assert found, "what FANS stands for, in docs/stream.md"
    return found[1]


def _signature(arguments: str) -> Signature:
    defaults: dict[str, Any] = {}
    pieces = [piece for piece in re.split(r", (?![^(]*\))", arguments) if piece]
    positional = pieces.index("*") if "*" in pieces else len(pieces)
    rest = "".join(piece[1:] for piece in pieces if piece.startswith("*"))
    for piece in pieces:
        if not piece.startswith("*"):
            name, _, default = piece.partition("=")
            defaults[name] = parse(f"f({default})")[1][0] if default else NEED
    return Signature(defaults, positional - bool(rest), rest)


def _signatures() -> dict[str, Signature]:
    found = {}
    for line in "\n".join(block("signatures")).replace("\n    ", " ").splitlines():
        names, _, arguments = line.removesuffix(")").partition("(")
        signature = _signature(arguments.replace("FANS", _options()))
        found.update(dict.fromkeys(names.split(", "), signature))
    return found


def _kinds() -> dict[str, str]:
    """What each argument takes, by the first table of 14.2; "number" for all others."""
    table = PAGE.split("| arguments | what they take |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", table, re.M)
    return {name: takes for names, takes in rows for name in re.findall(r"`(\w+)`", names)}


SIGNATURES = _signatures()
KINDS = _kinds()


def made(call: SchemeCall) -> Made:
    """A call with all of its arguments checked, and defaults filled in."""
    name, positional, named = call
    if name not in SIGNATURES:
        raise Invalid(f"no scheme is named {name}")
    signature = SIGNATURES[name]
    if len(positional) > signature.positional and not signature.rest:
        raise Invalid("too many arguments without a name")
    given = dict(zip(signature.defaults, positional, strict=False))
    if given.keys() & named.keys() or not named.keys() <= signature.defaults.keys():
        raise Invalid("an argument is given twice, or unknown")
    full = {**signature.defaults, **given, **named}
    if any(value is NEED for value in full.values()):
        raise Invalid("an argument is missing")
    checked = {key: plain(key, full[key], signature.defaults[key]) for key in full}
    if "expression" in checked:
        formulas.parse(checked["expression"], "x" if name == "mapped" else formulas.INDEX)
    if signature.rest:
        checked[signature.rest] = _pairs(positional[signature.positional :])
    return Made(name, checked)


def _pairs(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if not given or len(given) % 2:
        raise Invalid("no pairs")
    return tuple(
        plain("init", value, NEED) if number % 2 else _region(value)
        for number, value in enumerate(given)
    )


def _region(value: Any) -> str:
    """A region as it is written."""
    if not isinstance(value, str):
        raise Invalid(f"{value!r} is no region")
    items = []
    for item in value.split(",") if value.strip() else []:
        pieces = [piece.strip() for piece in item.split(":")]
        if len(pieces) > 3 or (len(pieces) == 1 and not pieces[0]):
            raise Invalid(f"{value!r} is no region")
        if not all(re.fullmatch(r"(-?(0+|[1-9][0-9]*))?", piece) for piece in pieces):
            raise Invalid(f"{value!r} is no region")
        pieces = [str(int(piece)) if piece else "" for piece in pieces]
        if len(pieces) == 3 and int(pieces[2] or 1) < 1:
            raise Invalid(f"{value!r} has a step below 1")
        items.append(":".join(pieces[:2] if pieces[2:] in ([""], ["1"]) else pieces))
    return ", ".join(items)


def _numbers(value: Any) -> Any:
    """A number, or tuples of numbers."""
    if isinstance(value, tuple):
        return tuple(map(_numbers, value))
    return plain("low", value, NEED)


def plain(name: str, value: Any, default: Any) -> Any:
    """The value that an argument takes, or Invalid."""
    kind = KINDS.get(name, "number")
    if kind == "a scheme" and isinstance(value, SchemeCall):
        return made(value)
    if kind == "numbers, in tuples":
        return _numbers(value)
    if kind == "a string, a formula of section 17" and isinstance(value, str):
        return " ".join(value.split())
    if kind == "a string, a region of section 18.2":
        return _region(value)
    if kind == "a string, the name of a tensor" and not (
        isinstance(value, str) and re.fullmatch(r"[^'\"\\]+", value)
    ):
        raise Invalid(f"{value!r} is no name that a text can hold")
    if value is None and default is None:
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind == "number" and (whole or isinstance(value, float)):
        return float(value) + 0.0
    if kind == "a whole number" and whole:
        return value
    if kind == "a whole number, or a tuple of whole numbers":
        each = value if isinstance(value, tuple) else (value,)
        if all(isinstance(item, int) and not isinstance(item, bool) for item in each):
            return value
    if kind == "True or False" and isinstance(value, bool):
        return value
    if kind.startswith("a string") and isinstance(value, str):
        return value
    raise Invalid(f"{name} takes {kind}, not {value!r}")


def call(text: str, sizes: Mapping[str, Number] = {}) -> Made:
    """The scheme and all of its arguments, defaults filled in."""
    return made(parse(text, sizes))


def written(name: str, arguments: Mapping[str, Any]) -> str:
    """The text that fastinit writes."""
    defaults, rest = SIGNATURES[name].defaults, SIGNATURES[name].rest
    if rest:
        values = [arguments[key] for key in defaults] + list(arguments[rest])
        return f"{name}({', '.join(map(value_text, values))})"
    inside = [
        f"{key}={value_text(arguments[key])}"
        for key, default in defaults.items()
        if default is NEED or arguments[key] != default
    ]
    return f"{name}({', '.join(inside)})"


def value_text(value: Any) -> str:
    """A value as fastinit writes it."""
    match value:
        case bool() | None | int():
            return str(value)
        case str():
            return f"'{value}'"
        case Made(name, arguments):
            return written(name, arguments)
        case tuple():
            comma = "," if len(value) == 1 else ""
            return f"({', '.join(map(value_text, value))}{comma})"
        case float() if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
    return float_text(value)
