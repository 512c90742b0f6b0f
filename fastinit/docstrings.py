# SPDX-License-Identifier: MIT
"""Completes docstrings, so that `help` of a function needs no second page.

Text that several functions share is written once, in the docstring of one of them.  In the source,
another refers to it by a line in a section such as Args or Raises:

    seed, ..., threads: as for `fill`.      these entries of the same section, in `fill`'s order
    all: as for `fill`.                     the whole section

The function that is imported has the text itself.  What the text says is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])
Paragraph = tuple[list[str], list[str]]
"""The names before an entry's colon, and its lines without the section's indentation."""

MARK = ": as for `"
"""What tells a reference from an entry."""


def shares(*sources: Callable[..., object]) -> Callable[[Function], Function]:
    """Decorator: complete a function's docstring from those of `sources`."""
    named = {source.__name__: source for source in sources}

    def complete(function: Function) -> Function:
        function.__doc__ = completed(function.__doc__, named)
        return function

    return complete


def completed(docstring: str | None, sources: Mapping[str, object]) -> str | None:
    """The docstring with the text that it refers to in place of each reference.

    Args:
        docstring: None, as under `python -OO`, stays None.
        sources: the functions that it may refer to, by name; complete themselves.

    Raises:
        ValueError: a reference that does not fill its line, or is in no section.
        KeyError: it refers to a function, a section or an entry that does not exist.
    """
    if docstring is None:
        return None
    done, found, rest = docstring.partition(MARK)
    while found:
        above, _, names = done.rpartition("\n")
        source, newline, rest = rest.partition("\n")
        more, found, rest = rest.partition(MARK)
        text = _referred(above, names, source, sources)
        done = f"{above}\n{text}{newline}{more}"
    return done


def with_entry(docstring: str | None, heading: str, entry: str) -> str | None:
    """The docstring with the line `entry` as the first of a section, unless it has such an entry.

    A docstring without the section is returned as it is.
    """
    before, found, after = (docstring or "").partition(f"{heading}:\n")
    name = entry[: entry.index(":") + 1]
    indentation = " " * _indentation(after)
    if not found or f"{indentation}{name}" in after:
        return docstring
    return f"{before}{found}{indentation}{entry}\n{after}"


def _referred(above: str, names: str, source: str, sources: Mapping[str, object]) -> str:
    """The text that a reference, split at its mark, stands for."""
    line = f"{names.strip()}{MARK}{source}"
    if not source.endswith("`."):
        raise ValueError(f"{line!r} must end after the function's name, as in `fill`.")
    depth = _indentation(names)
    heading = _heading(above, depth)
    if not heading:
        raise ValueError(f"{line!r} must be in a section, such as Args")
    docstring = sources[source[:-2]].__doc__ or ""
    return _selected(docstring, heading, names.strip(), " " * depth)


def _heading(above: str, depth: int) -> str:
    """The heading of the section that goes on below `above` with lines of indentation `depth`."""
    lines = reversed(above.split("\n"))
    line = next((line for line in lines if line and _indentation(line) < depth), "")
    return line.strip(" :") if line.endswith(":") else ""


@lru_cache  # most schemes have the same options
def _selected(docstring: str, heading: str, names: str, indentation: str) -> str:
    """The text of the entries of these names, of the range ``first, ..., last``, or of all."""
    entries = _entries(docstring, heading)
    known = [name for entry, _ in entries for name in entry]
    wanted = known if names == "all" else names.split(", ")
    if "..." in wanted and {wanted[0], wanted[-1]} <= set(known):
        wanted = known[known.index(wanted[0]) : known.index(wanted[-1]) + 1]
    chosen = [entry for entry in entries if set(entry[0]) <= set(wanted)]
    if missing := set(wanted).difference(*(entry for entry, _ in chosen)):
        raise KeyError(f"{heading} has no entry {', '.join(sorted(missing))} to refer to")
    return "\n".join(line and indentation + line for _, lines in chosen for line in lines)


def _entries(docstring: str, heading: str) -> list[Paragraph]:
    """The entries of a section; lines without a name go with the entry before."""
    before, found, after = docstring.partition(f"{heading}:\n")
    margin = before.rpartition("\n")[2]
    if not found or margin.strip():
        raise KeyError(f"no section {heading!r} to refer to")
    depth, inner = len(margin), _indentation(after)
    body = takewhile(lambda line: not line or _indentation(line) > depth, after.split("\n"))
    entries: list[Paragraph] = []
    for line in "\n".join(body).rstrip().split("\n"):
        text = line[inner:]
        if not entries or text[:1].strip():
            entries.append((text.partition(":")[0].split(", "), []))
        entries[-1][1].append(text)
    return entries


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
