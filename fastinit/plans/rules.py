# SPDX-License-Identifier: MIT
"""Rules: schemes by patterns of tensors' names, first match wins.

What a pattern's scheme may be, `auto` included, is the schemes' affair; nothing here reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from reprlib import repr as shown
from typing import Any, TypeAlias

from fastinit.schemes import Scheme, scheme

MAX_PATTERN = 256  # characters, as of a name in a plan file
MAX_MATCHES = 50_000_000  # patterns times tensors: some 10 seconds

Row: TypeAlias = "NamedScheme | tuple[str | Iterable[str], Scheme | str]"
Rows: TypeAlias = Iterable[Row] | Mapping[str, Scheme | str]


@dataclass(frozen=True)
class NamedScheme:
    """One rule: the patterns of its names, and the scheme of the tensors that match any of them."""

    names: tuple[str, ...]
    scheme: Scheme
    _pattern: re.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Any) -> NamedScheme:
        """The rule of a pair (names, scheme); raises as `Rules` does."""
        if isinstance(row, cls):
            return row
        if not isinstance(row, tuple | list) or len(row) != 2:
            raise TypeError(
                f"a rule is {shown(row)}: need (names, scheme), such as ('*.bias', 'zeros()')"
            )
        names, drawn = _listed(row[0]), scheme(row[1])
        return cls(names, drawn, re.compile("|".join(map(translate, names))))

    def matches(self, name: str) -> bool:
        """Whether a tensor's name is one of this rule's."""
        return self._pattern.match(name) is not None

    def __str__(self) -> str:
        return f"{', '.join(map(repr, self.names))} -> {self.scheme}"


@dataclass(frozen=True, init=False)
class Rules:
    """An ordered list of rules, (names, scheme) each; the first that matches a tensor decides.

    Args:
        rules: pairs of a pattern, or several, and a scheme or its text; or a mapping of patterns
            to schemes, in its order.  A pattern is a shell's: `*` any characters, dots too, `?`
            one, `[ab]` one of these; it must fit the whole name, capitals and all.

    Raises:
        TypeError: a rule that is no such pair.
        ValueError: an empty pattern or one of more than 256 characters, a text that is no scheme.

    >>> found = Rules({"*.bias": "zeros()", "*": "auto('gelu')"})
    >>> found.scheme_for("mlp.up.bias", (64,)), found.scheme_for("mlp.up_proj.weight", (64, 16))
    (zeros(), he_normal())
    """

    rules: tuple[NamedScheme, ...]

    def __init__(self, rules: Rows) -> None:
        rows: Iterable[Any] = rules.items() if isinstance(rules, Mapping) else rules
        object.__setattr__(self, "rules", tuple(map(NamedScheme.of, rows)))

    def number(self, name: str) -> int:
        """Which rule decides a tensor, from 0 on; raises ValueError if none does."""
        return Assignment(self).number(name)

    def scheme_for(self, name: str, shape: tuple[int, ...]) -> Scheme:
        """The scheme of a tensor, an `auto` settled; raises ValueError if no rule matches."""
        return Assignment(self).scheme_for(name, shape)

    def check_count(self, tensors: int) -> None:
        """Raise ValueError where that many tensors would take too long to match."""
        patterns = sum(len(rule.names) for rule in self.rules)
        if patterns * tensors > MAX_MATCHES:
            raise ValueError(
                f"{patterns} patterns for {tensors} tensors are too many: their product may be "
                f"{MAX_MATCHES}; use fewer patterns that match more names"
            )


def _in_python(pattern: str) -> str:
    return f"({pattern!r}, 'zeros()') or, as the last, ('*', 'auto()')"


@dataclass(frozen=True)
class Assignment:
    """Which rules decided the tensors that were asked for, so that an idle one is noticed.

    Args:
        rules: the rules.
        example: how a rule for a pattern is written, for messages.
    """

    rules: Rules
    example: Callable[[str], str] = _in_python
    _names: list[str] = field(default_factory=list)
    _used: set[int] = field(default_factory=set)

    def number(self, name: str) -> int:
        """Which rule decides a tensor, from 0 on; raises ValueError if none does."""
        for number, rule in enumerate(self.rules.rules):
            if rule.matches(name):
                self._names.append(name)
                self._used.add(number)
                return number
        pattern = re.sub(r"([*?[])", r"[\1]", name)
        such = self.example(pattern if 0 < len(pattern) <= MAX_PATTERN else "*.weight")
        raise ValueError(f"no rule matches tensor {name!r}; add one, such as {such}")

    def scheme_for(self, name: str, shape: tuple[int, ...]) -> Scheme:
        """The scheme of a tensor, an `auto` settled; raises ValueError if no rule matches."""
        return self.rules.rules[self.number(name)].scheme.for_tensor(name, shape)

    def check_used(self, own: Iterable[str] = ()) -> None:
        """Raise ValueError for a rule that decided none of the tensors, if there are any.

        Args:
            own: the names of the tensors that need no rule.
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
            return "the tensors it matches have an init of their own"
        return "it matches no tensor"


def _listed(names: Any) -> tuple[str, ...]:
    """The patterns of a rule, checked."""
    listed = (names,) if isinstance(names, str) else tuple(names) if _many(names) else ()
    if not listed or not all(isinstance(name, str) for name in listed):
        raise TypeError(
            f"the names of a rule are {shown(names)}: need a pattern, or a list of them"
        )
    for name in listed:
        if not 0 < len(name) <= MAX_PATTERN:
            raise ValueError(
                f"a rule's pattern has {len(name)} characters; need 1 to {MAX_PATTERN}"
            )
    return listed


def _many(names: Any) -> bool:
    return isinstance(names, Iterable) and not isinstance(names, bytes)
