# SPDX-License-Identifier: MIT
"""Rules: schemes by patterns of tensors' names, first match wins.

What a pattern's scheme may be, `auto` included, is the schemes' affair; nothing here reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from reprlib import repr as shown
from typing import Any

from fastinit.schemes import Scheme, scheme

MAX_PATTERN = 256  # characters, as of a name in a plan file


@dataclass(frozen=True)
class Rule:
    """One rule: the patterns of its names, and the scheme of the tensors that match any of them."""

    names: tuple[str, ...]
    scheme: Scheme
    _pattern: re.Pattern[str] = field(repr=False, compare=False)

    def matches(self, name: str) -> bool:
        """Whether a tensor's name is one of this rule's."""
        return self._pattern.match(name) is not None

    def __str__(self) -> str:
        return f"{', '.join(map(repr, self.names))} -> {self.scheme}"


@dataclass(frozen=True, init=False)
class Rules:
    """An ordered list of rules, (names, scheme) each; the first that matches a tensor decides.

    Args:
        rules: pairs of a pattern, or several, and a scheme or its text.  A pattern is a shell's:
            `*` any characters, dots too, `?` one, `[ab]` one of these; it must fit the whole name,
            capitals and all.

    Raises:
        TypeError: a rule that is no such pair.
        ValueError: an empty pattern or one of more than 256 characters, a text that is no scheme.

    >>> found = Rules([("*.bias", "zeros()"), ("*", "auto('gelu')")])
    >>> found.scheme_for("mlp.up.bias", (64,)), found.scheme_for("mlp.up_proj.weight", (64, 16))
    (zeros(), he_normal())
    """

    rules: tuple[Rule, ...]

    def __init__(self, rules: Iterable[tuple[str | Iterable[str], Scheme | str]]) -> None:
        object.__setattr__(self, "rules", tuple(map(_rule, rules)))

    def number(self, name: str) -> int:
        """Which rule decides a tensor, from 0 on; raises ValueError if none does."""
        for number, rule in enumerate(self.rules):
            if rule.matches(name):
                return number
        raise ValueError(
            f"no rule matches tensor {name!r}; add one, such as ({name!r}, 'zeros()') or, as the "
            "last, ('*', 'auto()')"
        )

    def scheme_for(self, name: str, shape: tuple[int, ...]) -> Scheme:
        """The scheme of a tensor, an `auto` settled; raises ValueError if no rule matches."""
        return self.rules[self.number(name)].scheme.for_tensor(name, shape)

    def check_used(self, names: Iterable[str]) -> None:
        """Raise ValueError for a rule that decides none of the tensors of these names."""
        every = list(names)
        used = {self.number(name) for name in every}
        for number, rule in enumerate(self.rules):
            if number not in used:
                late = any(map(rule.matches, every))
                why = "rules before it decide all it matches" if late else "it matches no tensor"
                raise ValueError(f"rule {number + 1} ({rule}) is never used: {why}")


def _rule(row: Any) -> Rule:
    if not isinstance(row, tuple | list) or len(row) != 2:
        raise TypeError(
            f"a rule is {shown(row)}: need (names, scheme), such as ('*.bias', 'zeros()')"
        )
    names, drawn = row
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
    pattern = re.compile("|".join(translate(name) for name in listed))
    return Rule(listed, scheme(drawn), pattern)


def _many(names: Any) -> bool:
    return isinstance(names, Iterable) and not isinstance(names, bytes)
