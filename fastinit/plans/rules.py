# SPDX-License-Identifier: MIT
"""Rules: patterns of tensor names, each with a scheme; the first match decides.

Nothing here knows what a scheme means, `auto` included, and nothing reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import Any, TypeAlias

from fastinit.schemes import Scheme, scheme
from fastinit.schemes.custom import Trusted, trusted
from fastinit.suggestions import suggestion
from fastinit.texts import listed, quoted
from fastinit.values.custom import DrawFunction

MAX_PATTERN = 256  # characters, like a name in a plan file
MAX_MATCHES = 50_000_000  # patterns times tensors: about 10 seconds

RuleLike: TypeAlias = "NamedScheme | tuple[str | Iterable[str], Scheme | str]"
Rows: TypeAlias = Iterable[RuleLike] | Mapping[str, Scheme | str]


def exactly(name: str) -> str:
    """The pattern that matches one name and no other."""
    return re.sub(r"([*?[])", r"[\1]", name)


def chosen(patterns: str | Iterable[str], names: Collection[str]) -> list[str]:
    """The names that a pattern matches, in their order.

    Raises:
        TypeError: `patterns` is neither a pattern nor several.
        ValueError: one matches nothing, is empty or too long; or there are too many.
    """
    listed = _listed(patterns)
    _check_matches(len(listed), len(names))
    found: set[str] = set()
    for pattern in listed:
        matches = re.compile(translate(pattern)).match
        matched = {name for name in names if matches(name)}
        if not matched:
            literal = f"; to match that very name, write {quoted(exactly(pattern))}"
            hint = literal if pattern in names else suggestion(pattern, names)
            raise ValueError(f"no tensor matches {quoted(pattern)}{hint}")
        found |= matched
    return [name for name in names if name in found]


def _check_matches(patterns: int, tensors: int) -> None:
    """Raise ValueError if matching that many would take too long."""
    if patterns * tensors > MAX_MATCHES:
        raise ValueError(
            f"{patterns} patterns for {tensors} tensors are too many: their product may be "
            f"{MAX_MATCHES}; use fewer patterns that match more names"
        )


@dataclass(frozen=True)
class NamedScheme:
    """One rule: patterns of names, and the scheme of the tensors that match any of them."""

    names: tuple[str, ...]
    scheme: Scheme
    _pattern: re.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Any, custom: Trusted = ()) -> NamedScheme:
        """The rule of a pair (names, scheme); raises as `Rules` does."""
        if isinstance(row, cls):
            return row
        if not isinstance(row, tuple | list) or len(row) != 2:
            raise TypeError(
                f"a rule is {quoted(row)}: need (names, scheme), such as ('*.bias', 'zeros()')"
            )
        names, drawn = _listed(row[0]), scheme(row[1], custom=custom)
        return cls(names, drawn, re.compile("|".join(map(translate, names))))

    def numbered(self, number: int) -> NamedScheme:
        """The same rule, whose scheme says that it is rule `number` where nothing else chose it."""
        reason = self.scheme.reason or f"rule {number}"
        return replace(self, scheme=replace(self.scheme, reason=reason))

    def matches(self, name: str) -> bool:
        """Whether the rule applies to a tensor of this name."""
        return self._pattern.match(name) is not None

    def __str__(self) -> str:
        return f"{listed([quoted(name) for name in self.names])} -> {self.scheme}"


@dataclass(frozen=True, init=False)
class Rules:
    """An ordered list of rules, each (names, scheme); the first match decides.

    Args:
        rules: pairs of one pattern or several, and a scheme or its text; or a mapping from patterns
            to schemes, in its order.  Patterns are as in a shell: `*` matches any characters, dots
            included, `?` one character, `[ab]` one of those.  A pattern must match the whole name;
            case matters.
        custom: the custom distributions that texts of schemes may name.

    The scheme of a tensor has the ``reason`` "rule 1" and so on, unless `auto` gives it another.

    Raises:
        TypeError: a rule that is not such a pair, or a text in place of rules.
        ValueError: an empty pattern or one of more than 256 characters; a text that does not
            describe a scheme.
        UntrustedError: a text names a custom distribution that was not given; it is a ValueError.

    >>> found = Rules({"*.bias": "zeros()", "*": "auto('gelu')"})
    >>> found.scheme_for("mlp.up.bias", (64,)), found.scheme_for("mlp.up_proj.weight", (64, 16))
    (zeros(), he_normal())
    """

    rules: tuple[NamedScheme, ...]

    def __init__(self, rules: Rows, *, custom: Iterable[DrawFunction] = ()) -> None:
        known = trusted(custom)
        if isinstance(rules, str):
            raise TypeError(
                f"rules is {quoted(rules)}: need pairs (names, scheme); fastinit.plan reads a file"
            )
        rows: Iterable[Any] = rules.items() if isinstance(rules, Mapping) else rules
        made = (NamedScheme.of(row, known) for row in rows)
        numbered = tuple(rule.numbered(number) for number, rule in enumerate(made, 1))
        object.__setattr__(self, "rules", numbered)

    def number(self, name: str) -> int:
        """The number, from 0, of the rule that decides a tensor; raises ValueError if none does."""
        return Assignment(self).number(name)

    def scheme_for(self, name: str, shape: tuple[int, ...]) -> Scheme:
        """The scheme of a tensor, with `auto` settled; raises ValueError if no rule matches."""
        return Assignment(self).scheme_for(name, shape)

    def check_count(self, tensors: int) -> None:
        """Raise ValueError if matching that many tensors would take too long."""
        _check_matches(sum(len(rule.names) for rule in self.rules), tensors)


def _in_python(pattern: str) -> str:
    return f"({quoted(pattern)}, 'zeros()') or, as the last, ('*', 'auto()')"


@dataclass(frozen=True)
class Assignment:
    """Records which rules decided tensors, to find rules that decided none.

    Args:
        rules: the rules.
        example: from a pattern to how a rule for it is written, for messages.
    """

    rules: Rules
    example: Callable[[str], str] = _in_python
    _names: list[str] = field(default_factory=list)
    _used: set[int] = field(default_factory=set)

    def find(self, name: str) -> int | None:
        """The number, from 0, of the rule that decides a tensor, or None."""
        for number, rule in enumerate(self.rules.rules):
            if rule.matches(name):
                self._names.append(name)
                self._used.add(number)
                return number
        return None

    def number(self, name: str) -> int:
        """The number, from 0, of the rule that decides a tensor; raises ValueError if none does."""
        found = self.find(name)
        if found is not None:
            return found
        pattern = exactly(name)
        such = self.example(pattern if 0 < len(pattern) <= MAX_PATTERN else "*.weight")
        raise ValueError(f"no rule matches tensor {quoted(name)}; add one, such as {such}")

    def scheme_for(self, name: str, shape: tuple[int, ...]) -> Scheme:
        """The scheme of a tensor, with `auto` settled; raises ValueError if no rule matches."""
        return self._scheme(self.number(name), name, shape)

    def find_scheme(self, name: str, shape: tuple[int, ...]) -> Scheme | None:
        """The scheme of a tensor, with `auto` settled, or None if no rule matches."""
        found = self.find(name)
        return None if found is None else self._scheme(found, name, shape)

    def _scheme(self, number: int, name: str, shape: tuple[int, ...]) -> Scheme:
        return self.rules.rules[number].scheme.for_tensor(name, shape)

    def check_used(self, own: Iterable[str] = ()) -> None:
        """Raise ValueError for a rule that decided no tensor, if there are any tensors.

        Args:
            own: the names of the tensors that have a scheme already.
        """
        others = list(own)
        for number, rule in enumerate(self.rules.rules):
            if number not in self._used and (self._names or others):
                why = self._why_unused(rule, others)
                raise ValueError(f"rule {number + 1} ({rule}) is never used: {why}")

    def _why_unused(self, rule: NamedScheme, others: list[str]) -> str:
        if any(map(rule.matches, self._names)):
            return "rules before it decide all it matches"
        if any(map(rule.matches, others)):
            return "every tensor that it matches has an init already"
        return "it matches no tensor"


def _listed(names: Any) -> tuple[str, ...]:
    """Patterns of names, of a rule or of a call, as a checked tuple."""
    listed = (names,) if isinstance(names, str) else tuple(names) if _many(names) else ()
    if not listed or not all(isinstance(name, str) for name in listed):
        raise TypeError(f"names are {quoted(names)}: need a pattern, or a list of them")
    for name in listed:
        if not 0 < len(name) <= MAX_PATTERN:
            raise ValueError(f"a pattern has {len(name)} characters; need 1 to {MAX_PATTERN}")
    return listed


def _many(names: Any) -> bool:
    return isinstance(names, Iterable) and not isinstance(names, bytes)
