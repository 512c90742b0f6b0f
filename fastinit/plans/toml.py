# SPDX-License-Identifier: MIT
"""The TOML form of a plan: sizes by name, tensors with repeats, rules, formulas as texts.

It turns text into a plan; finding and reading files is in `sources`.  No text is ever run: see
`fastinit.expressions`.
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
from functools import cached_property
from itertools import groupby
from reprlib import repr as shown
from typing import Any, Generic, TypeVar

from fastinit.errors import PlanError
from fastinit.expressions import Number, evaluate, evaluate_tuple
from fastinit.plans.plan import LIMIT, Plan, Tensor, check_keys
from fastinit.plans.rules import Assignment, NamedScheme, Rules
from fastinit.schemes import Scheme, scheme

INDICES = ("i", "j", "k")  # of the first, second and third repeat
MAX_TENSORS = 1_000_000
MAX_DOTS = 20_000_000  # dots in the line that has most, times dots and lines in the text
MAX_NAME = 256  # characters, so that a million names fit in memory

_FIELD = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"\w+")
_Value = TypeVar("_Value")


def read_toml(text: str, source: str) -> Plan:
    """The plan a TOML text describes.

    Consecutive ``[[tensor]]`` entries with the same first ``repeat`` are expanded together, index
    outermost: layer 0's tensors, then layer 1's, the order of a state dict; repeats within a
    repeat (experts in a layer) likewise.  An entry without ``init`` is drawn as the first
    ``[[rule]]`` says whose ``names`` match the tensor's name.

    Args:
        text: the TOML text.
        source: what the text is called in messages, such as its path.

    Raises:
        PlanError: the text is no such plan; the message names `source`, the entry and the key.

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
        check_keys(table, ("tensor",), ("name", "dtype", "description", "sizes", "rule", "config"))
        for key in ("name", "dtype", "description"):
            _check_type(table, key, str, "a text")
        sizes = _sizes(table.get("sizes", {}))
        rules = Assignment(_rules(table.get("rule", []), sizes), _example)
        entries = _entries(table["tensor"], sizes, rules)
        return Plan(
            _tensors(entries, rules), table.get("name", ""), table.get("dtype"), table.get("config")
        )


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Put `where` in front of the message of an error in an argument; make it a PlanError."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise PlanError(f"{where}: {error}") from error


def _parsed(text: str) -> dict[str, Any]:
    _check_dots(text)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise PlanError(f"not valid TOML: {error}") from error
    except RecursionError as error:
        raise PlanError("not valid TOML: nested too deeply") from error


def _check_dots(text: str) -> None:
    """Refuse the texts that `tomllib` takes gigabytes or hours for.

    It keeps, for each dot of a dotted key, all the keys before it and those of the header, and
    walks the header's keys again for each line.
    """
    widest = max(line.count(".") for line in text.split("\n"))
    if widest * (text.count(".") + text.count("\n")) > MAX_DOTS:
        raise PlanError(
            f"a line has {widest} dots, too many for so long a text; "
            "write long arrays on several lines and do without long dotted keys"
        )


def _check_type(table: Mapping[str, Any], key: str, kinds: Any, words: str) -> None:
    """Raise PlanError where `key` is given and is not of the `kinds` that `words` describes."""
    if key in table and (isinstance(table[key], bool) or not isinstance(table[key], kinds)):
        raise PlanError(f"key {key} is {shown(table[key])}; it must be {words}")


def _sizes(table: Any) -> dict[str, Number]:
    """The sizes, each a whole number or an expression of those above it."""
    _check_type({"sizes": table}, "sizes", dict, "a table: [sizes]")
    sizes: dict[str, Number] = {}
    for name, value in table.items():
        with _within("table sizes"):
            _check_size_name(name)
            _check_type(table, name, str | int, "a whole number or an expression")
            sizes[name] = _whole(value, sizes, f"size {name} =")
    return sizes


def _check_size_name(name: str) -> None:
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    if not plain or name in (*INDICES, "sqrt", "inf"):
        raise PlanError(
            f"key {name!r} cannot be a size's name; use letters, digits and _, "
            "but none of i, j, k (the indices of repeats), sqrt, inf and Python's keywords"
        )


def _whole(value: Any, names: Mapping[str, Number], what: str) -> int:
    """A whole number below 2**63 in magnitude, given as such or as an expression."""
    number = evaluate(value, names, what=what) if isinstance(value, str) else value
    return _checked_whole(number, f"{what} {value!r}")


def _checked_whole(number: Number, what: str) -> int:
    if isinstance(number, float):
        raise PlanError(f"{what} is {number}, not a whole number; divide with //")
    if abs(number) >= LIMIT:
        raise PlanError(f"{what} is {number}; sizes stay below 2**63")
    return number


@dataclass(frozen=True)
class _Formula(Generic[_Value]):
    """Text with a value for each setting of the indices, worked out once for those it uses."""

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
        """The value where i, j and k are `indices`, as many as there are repeats."""
        named = zip(INDICES, indices, strict=False)
        used: dict[str, Number] = {letter: at for letter, at in named if letter in self.letters}
        key = tuple(used.values())
        if key not in self.known:
            with _within(self.where):
                self.known[key] = self.read(ChainMap(used, self.sizes))
        return self.known[key]


@dataclass(frozen=True)
class _Entry:
    """One ``[[tensor]]`` table, its types and its name's fields checked."""

    where: str
    name: str
    repeats: tuple[str | int, ...]  # as written: entries are grouped by their text
    counts: tuple[int, ...]
    shape: _Formula[tuple[int, ...]]
    scheme: _Formula[Scheme] | None  # None where the rules say it
    rules: Assignment
    dtype: str | None

    def tensor(self, indices: tuple[int, ...]) -> Tensor:
        """The tensor where i, j and k are `indices`."""
        name = self.name
        for letter, index in zip(INDICES, indices, strict=False):
            name = name.replace(f"{{{letter}}}", str(index))
        shape = self.shape.at(indices)
        own = None if self.scheme is None else self.scheme.at(indices)
        with _within(self.where):
            drawn = own or self.rules.scheme_for(name, shape)
            return Tensor(name, shape, drawn, self.dtype)


def _rules(tables: Any, sizes: dict[str, Number]) -> Rules:
    _check_type({"rule": tables}, "rule", list, "a list of tables, each headed [[rule]]")
    rules = []
    for number, table in enumerate(tables, 1):
        with _within(f"rule {number}"):
            check_keys(table, ("names", "init"), ())
            _check_type(table, "names", str | list, "a pattern such as '*.bias' or a list")
            _check_type(table, "init", str, "a text")
            rules.append(NamedScheme.of((table["names"], scheme(table["init"], sizes))))
    return Rules(rules)


def _example(pattern: str) -> str:
    """A rule for a pattern, as messages write it."""
    return (
        f"[[rule]] with names = {json.dumps(pattern, ensure_ascii=False)} and init = 'zeros()' or, "
        "as the last, one with names = '*' and init = 'auto()'"
    )


def _entries(tables: Any, sizes: dict[str, Number], rules: Assignment) -> list[_Entry]:
    _check_type({"tensor": tables}, "tensor", list, "a list of tables, each headed [[tensor]]")
    entries = [_entry(number, table, sizes, rules) for number, table in enumerate(tables, 1)]
    total = sum(map(_most, entries))
    if total > MAX_TENSORS:
        raise PlanError(f"its repeats make {total} tensors; a plan has at most {MAX_TENSORS}")
    rules.rules.check_count(sum(_most(entry) for entry in entries if entry.scheme is None))
    return entries


def _most(entry: _Entry) -> int:
    """How many tensors an entry makes, a count of 0 taken as 1: it is walked over, too."""
    return math.prod(max(count, 1) for count in entry.counts)


def _entry(number: int, table: Any, sizes: dict[str, Number], rules: Assignment) -> _Entry:
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
    where = f"tensor {number} {name[:MAX_NAME]!r}"
    repeats = _repeats(table)
    with _within(f"{where}, key name"):
        _check_fields(name, len(repeats))
    with _within(f"{where}, key repeat"):
        counts = tuple(_count(repeat, sizes) for repeat in repeats)
    own = _Formula(f"{where}, key init", init, lambda names: scheme(init, names), sizes)
    return _Entry(
        where,
        name,
        repeats,
        counts,
        _Formula(f"{where}, key shape", str(shape), lambda names: _shape(shape, names), sizes),
        own if "init" in table else None,
        rules,
        table.get("dtype"),
    )


def _repeats(table: Mapping[str, Any]) -> tuple[str | int, ...]:
    repeat = table.get("repeat", [])
    return tuple(repeat) if isinstance(repeat, list) else (repeat,)


def _count(repeat: Any, sizes: Mapping[str, Number]) -> int:
    _check_type({"repeat": repeat}, "repeat", str | int, "a whole number or an expression")
    count = _whole(repeat, sizes, "repeat")
    if count < 0:
        raise PlanError(f"repeat {repeat!r} is {count}; it must not be negative")
    return count


def _check_fields(name: str, repeats: int) -> None:
    """Raise PlanError unless the fields of `name` are just the indices of its repeats."""
    if len(name) > MAX_NAME:
        raise PlanError(f"the name has {len(name)} characters; at most {MAX_NAME} are possible")
    if repeats > len(INDICES):
        raise PlanError(f"{repeats} repeats are too many; the indices are {', '.join(INDICES)}")
    fields = set(_FIELD.findall(name))
    for letter in sorted(fields.difference(INDICES)):
        raise PlanError(f"field {{{letter}}} is unknown; the fields are {{i}}, {{j}} and {{k}}")
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
        what = f"shape {shape!r}"
        return tuple(_checked_whole(number, what) for number in evaluate_tuple(shape, names))
    for item in shape:
        _check_type({"shape": item}, "shape", str | int, "of whole numbers and expressions")
    return tuple(_whole(item, names, "shape") for item in shape)


def _tensors(entries: list[_Entry], rules: Assignment) -> Iterator[Tensor]:
    """The tensors of all entries in order; a name made twice is an error that names both."""
    made: dict[str, str] = {}
    own: list[str] = []
    for entry, indices in _expanded(entries, ()):
        tensor = entry.tensor(indices)
        if tensor.name in made:
            raise PlanError(
                f"{entry.where}, key name: {tensor.name!r} is already made by {made[tensor.name]}"
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
        for index in range(members[0].counts[depth]):
            yield from _expanded(members, (*indices, index))
