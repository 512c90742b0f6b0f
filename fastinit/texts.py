# SPDX-License-Identifier: MIT
"""Makes text from files and callers fit for messages and tables: one line, harmless and short.

Nothing here parses a text.
"""

from __future__ import annotations

import reprlib
from bisect import bisect_right
from collections.abc import Collection, Mapping
from itertools import accumulate, islice

PRINTED = 1000  # characters of a text without quotes: a path, a line
QUOTED = 260  # characters of a text in quotes: a plan file's longest name is whole
LISTED = 20  # names in a list of what there is
PRINTED_BITS = (
    2000  # of a number that is written out: Python may be told to refuse 641 digits or more
)


def printable(text: object, limit: int = PRINTED) -> str:
    r"""`text` without quotes, shortened in the middle, with Python's escapes for what is unseen.

    Controls, bidirectional and zero-width characters, line separators and halves of surrogate
    pairs can hide or forge what a terminal shows; they come out as ``\x1b`` or ``\u202e``.

    >>> printable("weights\x1b[2K")
    'weights\\x1b[2K'
    """
    shown = str(text)
    half = limit // 2 - 1
    if len(shown) <= limit and shown.isprintable():
        return shown
    marks = [mark if mark.isprintable() else repr(mark)[1:-1] for mark in _ends(shown, limit)]
    if len(shown) <= limit and sum(map(len, marks)) <= limit:
        return "".join(marks)
    return f"{_within(marks, half)}...{_within(marks[::-1], half, backwards=True)}"


def _ends(text: str, limit: int) -> str:
    """All of a text that may be shown: an escape is never shorter than what it stands for."""
    return text if len(text) <= 2 * limit else text[:limit] + text[-limit:]


def _within(marks: list[str], limit: int, *, backwards: bool = False) -> str:
    """As many of the first marks, each whole, as fit into `limit` characters."""
    ends = list(accumulate(map(len, marks)))
    chosen = marks[: bisect_right(ends, limit)]
    return "".join(reversed(chosen) if backwards else chosen)


class _Short(reprlib.Repr):
    """`repr` of bounded length for any value of a file: texts, numbers, lists, tables."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = QUOTED
        self.maxlist = self.maxtuple = self.maxdict = 8
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write the longest numbers out."""
        if x.bit_length() > PRINTED_BITS:
            return f"an integer of {x.bit_length()} bits"
        return super().repr_int(x, level)

    def repr_instance(self, x: object, level: int) -> str:
        """A type's own `repr` may fail."""
        try:
            repr(x)
        except Exception:  # noqa: BLE001 - whatever a foreign method raises
            return f"a {type(x).__name__} that cannot be shown"
        return super().repr_instance(x, level)


_SHORT = _Short()


def quoted(value: object) -> str:
    """`repr` of `value`, on one line and of bounded length, with nothing that a terminal acts on.

    >>> quoted("w"), quoted((1, 2)), quoted(10**9999)
    ("'w'", '(1, 2)', 'an integer of 33216 bits')
    """
    shown = _SHORT.repr(value)
    if "\n" in shown:  # an array, not a text: that has escapes
        shown = " ".join(shown.split())
    return printable(shown, 4 * QUOTED)


def home(value: object) -> str:
    """The package that defines the type of `value`: "torch" for a tensor, a dtype and the like."""
    return type(value).__module__.partition(".")[0]


def listed(names: Collection[object]) -> str:
    """The names, separated by commas; of many, the first ones and how many more there are.

    >>> listed(["width", "heads"])
    'width, heads'
    """
    first = ", ".join(printable(name, QUOTED) for name in islice(names, LISTED))
    more = len(names) - LISTED
    return f"{first} and {more:,} more" if more > 0 else first


MOST_PROBLEMS = 20
"""Problems that a message lists; an error has all of them."""


def problem_lines(problems: Mapping[str, str], kind: str = "tensor") -> list[str]:
    """Names and what is wrong with each, for a message of bounded length; `kind` is of one of them.

    >>> problem_lines({"w": "it has no values"})
    ['1 tensor:', "  'w': it has no values"]
    """
    count = f"1 {kind}:" if len(problems) == 1 else f"{len(problems):,} {kind}s:"
    first = islice(problems.items(), MOST_PROBLEMS)
    lines = [count, *(f"  {quoted(name)}: {why}" for name, why in first)]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"  and {len(problems) - MOST_PROBLEMS:,} more")
    return lines
