# SPDX-License-Identifier: MIT
"""The TOML form of a plan: named sizes, tensors with repeats, rules, formulas as texts.

It turns text into a plan; sources.py finds and reads files.  No text is ever run: see
`fastinit.schemes.expressions`.
"""

from __future__ import annotations

import json
import keyword
import math
import re
import tomllib
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Generic, TypeVar

from fastinit.errors import PlanError
from fastinit.numerics.checks import LIMIT
from fastinit.plans.rules import Assignment, NamedScheme, Rules
from fastinit.plans.tensors import Plan, Tensor, check_keys
from fastinit.properties import cached_property
from fastinit.schemes import Scheme, scheme
from fastinit.schemes.custom import Trusted
from fastinit.schemes.expressions import Number, evaluate, evaluate_tuple
from fastinit.texts import printable, quoted

INDICES = ("i", "j", "k")  # of the first, second and third repeat
MAX_TENSORS = 1_000_000
MAX_DOTS = 20_000_000  # dots in the line with most, times the dots and lines of the text
MAX_NAME = 256  # characters, so that a million names fit in memory

_FIELD = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"\w+")
_Value = TypeVar("_Value")


def read_toml(text: str, source: str, custom: Trusted = ()) -> Plan:
    """The plan that a TOML text describes.

    Consecutive ``[[tensor]]`` entries with the same first ``repeat`` are expanded together: all
    tensors of layer 0, then those of layer 1, in the order of a state dict.  Repeats within a
    repeat (experts in a layer) work in the same way.  A repeat ``first:stop`` counts from `first`,
    and not from 0, for models whose layers are of several kinds.  An entry without ``init`` gets
    the scheme of the first ``[[rule]]`` whose ``names`` match.

    Args:
        text: the TOML text.
        source: the name of the text in messages, such as its path.
        custom: the custom distributions that it may name.

    Raises:
        PlanError: the text is not such a plan; the message names `source`, the entry and the key.

    >>> plan = read_toml('''
    ... [sizes]
    ... width = 8
    ... [[tensor]]
    ... name = "h.{i}.weight"
    ... repeat = 2
    ... shape = "(width, 4*width)"
    ... init = "normal(std=1/sqrt(width))"
    ... ''', "example.toml")
    >>> [(tensor.name, tensor.shape) for tensor in plan]
    [('h.0.weight', (8, 32)), ('h.1.weight', (8, 32))]
    """
    with _within(source):
        table = _parsed(text)
        if "rule" in table and "tensor" not in table:
            raise PlanError(
                "it has rules and no tensors: pass it as rules= (--rules), beside a source of "
                "tensors"
            )
        check_keys(table, ("tensor",), ("name", "dtype", "description", "sizes", "rule", "config"))
        for key in ("name", "dtype", "description"):
            _check_type(table, key, str, "a text")
        sizes = _sizes(table.get("sizes", {}))
        rules = Assignment(_rules(table.get("rule", []), sizes, custom), _example)
        entries = _entries(table["tensor"], sizes, rules, custom)
        return Plan(
            _tensors(entries, rules), table.get("name", ""), table.get("dtype"), table.get("config")
        )


def read_rules(text: str, source: str, custom: Trusted = ()) -> Rules:
    """The rules of a TOML text: ``[[rule]]`` as in a plan, and the ``[sizes]`` that they use.

    Args:
        text, source, custom: as for `read_toml`.

    Raises:
        PlanError: the text does not consist of rules.

    >>> rules = read_rules('''
    ... [[rule]]
    ... names = "*.bias"
    ... init = "zeros()"
    ... ''', "rules.toml")
    >>> rules.scheme_for("up.bias", (8,))
    zeros()
    """
    with _within(source):
        table = _parsed(text)
        if "tensor" in table:
            raise PlanError("it has tensors, so it is a plan: give a file with [[rule]] alone")
        check_keys(table, ("rule",), ("description", "sizes"))
        _check_type(table, "description", str, "a text")
        return _rules(table["rule"], _sizes(table.get("sizes", {})), custom)


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Turn an error in an argument into a PlanError whose message begins with `where`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise PlanError(f"{where}: {error}") from error


def _parsed(text: str) -> dict[str, Any]:
    _check_dots(text)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise PlanError(f"not valid TOML: {printable(error)}") from error
    except RecursionError as error:
        raise PlanError("not valid TOML: nested too deeply") from error


def _check_dots(text: str) -> None:
    """Refuse texts for which `tomllib` would need gigabytes or hours.

    For each dot of a dotted key, it keeps all keys before the dot and those of the header, and it
    walks the keys of the header again for each line.
    """
    widest = max(line.count(".") for line in text.split("\n"))
    if widest * (text.count(".") + text.count("\n")) > MAX_DOTS:
        raise PlanError(
            f"a line has {widest} dots, too many for a text of this length; "
            "write long arrays on several lines and do without long dotted keys"
        )


def _check_type(table: Mapping[str, Any], key: str, kinds: Any, words: str) -> None:
    """Raise PlanError if `key` is given but is not of the `kinds`, which `words` describes."""
    if key in table and (isinstance(table[key], bool) or not isinstance(table[key], kinds)):
        raise PlanError(f"key {printable(key, 100)} is {quoted(table[key])}; it must be {words}")


def _sizes(table: Any) -> dict[str, Number]:
    """The sizes, each a whole number or an expression of the sizes above it."""
    _check_type({"sizes": table}, "sizes", dict, "a table: [sizes]")
    sizes: dict[str, Number] = {}
    for name, value in table.items():
        with _within("table sizes"):
            _check_size_name(name)
            _check_type(table, name, str | int, "a whole number or an expression")
            sizes[name] = _whole(value, sizes, f"size {printable(name, 100)} =")
    return sizes


def _check_size_name(name: str) -> None:
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    if not plain or name in (*INDICES, "sqrt", "inf"):
        raise PlanError(
            f"key {quoted(name)} cannot be a size's name; use letters, digits and _, "
            "but none of i, j, k (the indices of repeats), sqrt, inf and Python's keywords"
        )


def _whole(value: Any, names: Mapping[str, Number], what: str) -> int:
    """A whole number below 2**63 in magnitude, given as a number or as an expression."""
    number = evaluate(value, names, what=what) if isinstance(value, str) else value
    return _checked_whole(number, f"{what} {quoted(value)}")


def _checked_whole(number: Number, what: str) -> int:
    if isinstance(number, float):
        raise PlanError(f"{what} is {number}, not a whole number; divide with //")
    if abs(number) >= LIMIT:
        raise PlanError(f"{what} is {quoted(number)}; sizes must be below 2**63")
    return number


@dataclass(frozen=True)
class _Formula(Generic[_Value]):
    """A text with a value for each choice of indices; computed once per choice of those it uses."""

    where: str
    text: str
    read: Callable[[Mapping[str, Number]], _Value]
    sizes: dict[str, Number]
    known: dict[tuple[Number, ...], _Value] = field(default_factory=dict)

    @cached_property
    def letters(self) -> frozenset[str]:
        """The indices the text may use."""
        return frozenset(_WORD.findall(self.text)).intersection(INDICES)

    def at(self, indices: tuple[int, ...]) -> _Value:
        """The value for `indices`, the values of i, j and k, one per repeat."""
        named = zip(INDICES, indices, strict=False)
        used: dict[str, Number] = {letter: at for letter, at in named if letter in self.letters}
        key = tuple(used.values())
        if key not in self.known:
            with _within(self.where):
                self.known[key] = self.read(ChainMap(used, self.sizes))
        return self.known[key]


@dataclass(frozen=True)
class _Entry:
    """One ``[[tensor]]`` table; its types and the fields of its name are checked."""

    where: str
    name: str
    repeats: tuple[str | int, ...]  # as written, because entries are grouped by their text
    indices: tuple[range, ...]
    shape: _Formula[tuple[int, ...]]
    scheme: _Formula[Scheme] | None  # None if the rules decide
    rules: Assignment
    dtype: str | None

    def tensor(self, indices: tuple[int, ...]) -> Tensor:
        """The tensor for `indices`, the values of i, j and k."""
        name = self.name
        for letter, index in zip(INDICES, indices, strict=False):
            name = name.replace(f"{{{letter}}}", str(index))
        shape = self.shape.at(indices)
        own = None if self.scheme is None else self.scheme.at(indices)
        with _within(self.where):
            drawn = own or self.rules.scheme_for(name, shape)
            return Tensor(name, shape, drawn, self.dtype)


def _rules(tables: Any, sizes: dict[str, Number], custom: Trusted) -> Rules:
    _check_type({"rule": tables}, "rule", list, "a list of tables, each headed [[rule]]")
    rules = []
    for number, table in enumerate(tables, 1):
        with _within(f"rule {number}"):
            check_keys(table, ("names", "init"), ())
            _check_type(table, "names", str | list, "a pattern such as '*.bias' or a list")
            _check_type(table, "init", str, "a text")
            drawn = scheme(table["init"], sizes, custom=custom)
            rules.append(NamedScheme.of((table["names"], drawn)))
    return Rules(rules)


def _example(pattern: str) -> str:
    """A rule for a pattern, as it is written in messages."""
    text = json.dumps(pattern, ensure_ascii=not pattern.isprintable())
    return (
        f"[[rule]] with names = {text} and init = 'zeros()' or, "
        "as the last, one with names = '*' and init = 'auto()'"
    )


def _entries(
    tables: Any, sizes: dict[str, Number], rules: Assignment, custom: Trusted
) -> list[_Entry]:
    _check_type({"tensor": tables}, "tensor", list, "a list of tables, each headed [[tensor]]")
    rows = enumerate(tables, 1)
    entries = [_entry(number, table, sizes, rules, custom) for number, table in rows]
    total = sum(map(_most, entries))
    if total > MAX_TENSORS:
        raise PlanError(f"its repeats make {total} tensors; a plan has at most {MAX_TENSORS}")
    rules.rules.check_count(sum(_most(entry) for entry in entries if entry.scheme is None))
    return entries


def _most(entry: _Entry) -> int:
    """How many tensors an entry makes; a count of 0 counts as 1, because it is walked over too."""
    return math.prod(max(each.stop - each.start, 1) for each in entry.indices)


def _entry(
    number: int, table: Any, sizes: dict[str, Number], rules: Assignment, custom: Trusted
) -> _Entry:
    with _within(f"tensor {number}"):
        if rules.rules.rules:
            check_keys(table, ("name", "shape"), ("init", "repeat", "dtype"))
        else:
            check_keys(table, ("name", "shape", "init"), ("repeat", "dtype"))
        for key in ("name", "init", "dtype"):
            _check_type(table, key, str, "a text")
        _check_type(table, "shape", str | list, "a text such as '(vocab, width)' or a list")
        _check_type(table, "repeat", str | int | list, "a whole number, an expression or a list")
    name, init, shape = table["name"], table.get("init", ""), table["shape"]
    where = f"tensor {number} {quoted(name)}"
    repeats = _repeats(table)
    with _within(f"{where}, key name"):
        _check_fields(name, len(repeats))
    with _within(f"{where}, key repeat"):
        indices = tuple(_indices(repeat, sizes) for repeat in repeats)
    read = partial(scheme, init, custom=custom)
    own = _Formula(f"{where}, key init", init, read, sizes)
    return _Entry(
        where,
        name,
        repeats,
        indices,
        _Formula(f"{where}, key shape", str(shape), lambda names: _shape(shape, names), sizes),
        own if "init" in table else None,
        rules,
        table.get("dtype"),
    )


def _repeats(table: Mapping[str, Any]) -> tuple[str | int, ...]:
    repeat = table.get("repeat", [])
    return tuple(repeat) if isinstance(repeat, list) else (repeat,)


def _indices(repeat: Any, sizes: Mapping[str, Number]) -> range:
    """The values of an index: those below a count, or from a first one to below another."""
    _check_type({"repeat": repeat}, "repeat", str | int, "a whole number or an expression")
    first, colon, stop = str(repeat).partition(":")
    if not colon:
        return range(_bound(repeat, sizes, "repeat"))
    what = f"repeat {quoted(repeat)}, bound"
    found = range(_bound(first, sizes, what), _bound(stop, sizes, what))
    if found.stop < found.start:
        raise PlanError(
            f"repeat {quoted(repeat)} counts from {found.start} to below {found.stop}; "
            "the first number must not be above the second"
        )
    return found


def _bound(bound: str | int, sizes: Mapping[str, Number], what: str) -> int:
    whole = _whole(bound, sizes, what)
    if whole < 0:
        raise PlanError(f"{what} {quoted(bound)} is {whole}; it must not be negative")
    return whole


def _check_fields(name: str, repeats: int) -> None:
    """Raise PlanError unless the fields of `name` are exactly the indices of its repeats."""
    if len(name) > MAX_NAME:
        raise PlanError(f"the name has {len(name)} characters; at most {MAX_NAME} are possible")
    if repeats > len(INDICES):
        raise PlanError(f"{repeats} repeats are too many; the indices are {', '.join(INDICES)}")
    fields = set(_FIELD.findall(name))
    for letter in sorted(fields.difference(INDICES)):
        raise PlanError(
            f"field {{{printable(letter, 100)}}} is unknown; the fields are {{i}}, {{j}} and {{k}}"
        )
    for letter in sorted(fields.difference(INDICES[:repeats])):
        raise PlanError(
            f"field {{{letter}}} has no repeat; "
            f"give {INDICES.index(letter) + 1} counts in repeat, not {repeats}"
        )
    for letter in INDICES[:repeats]:
        if letter not in fields:
            raise PlanError(f"field {{{letter}}} is missing, so its repeats would share one name")
    if "{" in _FIELD.sub("", name) or "}" in _FIELD.sub("", name):
        raise PlanError("a brace stands alone; braces are only for {i}, {j} and {k}")


def _shape(shape: str | list[Any], names: Mapping[str, Number]) -> tuple[int, ...]:
    if isinstance(shape, str):
        what = f"shape {quoted(shape)}"
        return tuple(_checked_whole(number, what) for number in evaluate_tuple(shape, names))
    for item in shape:
        _check_type({"shape": item}, "shape", str | int, "of whole numbers and expressions")
    return tuple(_whole(item, names, "shape") for item in shape)


def _tensors(entries: list[_Entry], rules: Assignment) -> Iterator[Tensor]:
    """The tensors of all entries in order; for a name made twice, the error names both entries."""
    made: dict[str, str] = {}
    own: list[str] = []
    for entry, indices in _expanded(entries, ()):
        tensor = entry.tensor(indices)
        if tensor.name in made:
            raise PlanError(
                f"{entry.where}, key name: {quoted(tensor.name)} is already made by "
                f"{made[tensor.name]}"
            )
        made[tensor.name] = entry.where
        if entry.scheme is not None:
            own.append(tensor.name)
        yield tensor
    rules.check_used(own)


def _expanded(
    entries: Iterable[_Entry], indices: tuple[int, ...]
) -> Iterator[tuple[_Entry, tuple[int, ...]]]:
    """Each entry with the indices of each of its tensors, in the order of a state dict."""
    depth = len(indices)
    for repeated, group in groupby(entries, key=lambda entry: entry.repeats[depth : depth + 1]):
        members = list(group)
        if not repeated:
            yield from ((entry, indices) for entry in members)
            continue
        for index in members[0].indices[depth]:
            yield from _expanded(members, (*indices, index))
