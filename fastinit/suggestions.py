# SPDX-License-Identifier: MIT
"""Suggests the closest names for a misspelt one, in about 0.1 s among a million.  Corrects nothing.

`difflib` would take tens of seconds to compare a million names, so it compares only a few of them:
one per pattern such as ``layers.*.up.weight``, and of those the ones that share most letter pairs.
A single slip is found wherever it is, because all names one slip away can be looked up.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator, Mapping, Set
from itertools import pairwise

from fastinit.texts import quoted

COMPARED = 50  # names compared by difflib
SAMPLED = 4000  # names whose patterns are looked at: the first and the last of them
LONGEST_COMPARED = 256  # characters of a name
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

_ANY = "\0"  # stands for a number in a pattern


def suggestion(name: str, known: Collection[str]) -> str:
    """A "; did you mean ...?" with the names of `known` closest to `name`, or nothing."""
    from difflib import get_close_matches  # only a misspelt name needs it

    if len(name) > LONGEST_COMPARED:
        return ""
    if len(known) <= COMPARED:
        close = get_close_matches(
            name, [other for other in known if len(other) <= LONGEST_COMPARED]
        )
    else:
        close = _close(name, known if isinstance(known, Mapping | Set) else frozenset(known))
    return f"; did you mean {' or '.join(map(quoted, close))}?" if close else ""


def _close(name: str, known: Mapping[str, object] | Set[str]) -> list[str]:
    """At most three of many names: those one slip away, and those of the closest patterns."""
    slips = list(dict.fromkeys(slip for slip in _slips(name) if slip in known))
    if len(slips) < 3:
        slips += [other for other in _of_close_patterns(name, known) if other not in slips]
    return slips[:3]


def _slips(name: str) -> Iterator[str]:
    """Every text that is one letter added, left out, mistaken or swapped away from `name`."""
    for place in range(len(name) + 1):
        head, tail = name[:place], name[place:]
        yield head + tail[1:]
        yield head + tail[1:2] + tail[:1] + tail[2:]
        for letter in ALPHABET:
            yield head + letter + tail
            yield head + letter + tail[1:]


def _of_close_patterns(name: str, known: Mapping[str, object] | Set[str]) -> list[str]:
    """Names whose patterns are close to that of `name`, with its numbers where there is one."""
    from difflib import get_close_matches

    names, number = list(known), re.compile("[0-9]+")
    if len(names) > SAMPLED:
        names = names[: SAMPLED // 2] + names[-SAMPLED // 2 :]
    patterns: dict[str, str] = {}
    for other in names:
        if len(other) <= LONGEST_COMPARED:
            patterns.setdefault(number.sub(_ANY, other), other)
    wanted = number.sub(_ANY, name)
    pairs = _pairs(wanted)
    nearest = heapq.nlargest(COMPARED, patterns, key=lambda pattern: len(pairs & _pairs(pattern)))
    numbers = number.findall(name)
    return [
        numbered if (numbered := _numbered(pattern, numbers)) in known else patterns[pattern]
        for pattern in get_close_matches(wanted, nearest)
    ]


def _pairs(text: str) -> set[tuple[str, str]]:
    return set(pairwise(text))


def _numbered(pattern: str, numbers: list[str]) -> str:
    """The name with these numbers, or nothing where the pattern takes more or fewer."""
    first, *others = pattern.split(_ANY)
    if len(others) != len(numbers):
        return ""
    return first + "".join(map("".join, zip(numbers, others, strict=True)))
