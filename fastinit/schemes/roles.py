# SPDX-License-Identifier: MIT
"""Roles: what part of a network a tensor is, read from its name and its number of axes.

Which phrase says which role is in phrases.py, and which scheme a role gets in auto.py; nothing here
knows of values.

A name is cut into words at its dots, slashes, underscores and capitals, and read from the end; the
longest phrase of the table that ends there decides.  A number by itself counts as no word, and
digits at the end of a word only where the table has the word with them (`fc2`, but `norm1` is
`norm`).  Where no phrase ends, nothing further in front is looked at: a guess would be silent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastinit.schemes.phrases import (
    ANY,
    AXES,
    BARE,
    BUFFER,
    NO_LAYERS,
    NUMBERED,
    ROWS,
    SCALES,
    STACKS,
    VECTOR,
    WEIGHTS,
    Dims,
    Row,
)

Words = tuple[str, ...]

_NUMBER = re.compile(r"(?:^|[./])(?:layers?_?)?[0-9]+[./]\w+$")


@dataclass(frozen=True)
class Reading:
    """What a name and a shape say.

    Args:
        role: one of `AXES`.
        why: what said so, for people.
        fused: how many matrices the name says lie side by side along the outputs.
        stacked: whether the first axis stacks the weights of experts.
        layout: whose layout the name speaks: "torch", but "keras" for a tensor called `kernel`,
            as in Keras and Flax alone, and "jax" for a transposed convolution of Flax's; None
            where it cannot tell.
        transposed: whether it is the weight of a transposed convolution.
        wider: the side, "inputs" or "outputs", that the name says is no shorter, if any.
    """

    role: str
    why: str
    fused: int = 1
    stacked: bool = False
    layout: str | None = "torch"
    transposed: bool = False
    wider: str = ""


@dataclass(frozen=True)
class _Name:
    """A name as words, `^` before them, and the shape of its tensor."""

    text: str
    dims: Dims
    words: Words
    numbered: bool  # whether it ends as in `net.0.weight`

    @classmethod
    def of(cls, text: str, dims: Dims) -> _Name:
        return cls(text, dims, _words(text), _NUMBER.search(text) is not None)

    def misfit(self, row: Row, phrase: str, leaf: str) -> str:
        """Why a row whose phrase ends here is not of this tensor; '' if it is."""
        front = self.words[: len(self.words) - len(phrase.split()) - bool(leaf)]
        axes = AXES[row.role] if row.role and row.axes is None else row.axes
        stretched = sum(dimension != 1 for dimension in self.dims) > 1
        if axes is not None and (len(self.dims) not in axes or (axes is VECTOR and stretched)):
            return f"which has no {_axes(self.dims)}"
        if row.after and not any(word in front for word in row.after):
            return f"but only behind one of {', '.join(row.after)}"
        if any(word in front for word in row.unless):
            return f"but not behind {next(word for word in front if word in row.unless)}"
        if self.numbered and not row.numbered:
            return "and of numbered layers there it cannot be told which is the last"
        return ""


def read(name: str, dims: Dims) -> Reading:
    """The role of a tensor.

    Raises:
        ValueError: it cannot be told; the message names the tensor and what was looked at.

    >>> found = read("h.0.attn.c_attn.weight", (2304, 768))
    >>> found.role, found.why, found.fused
    ('attention_input', "by 'c attn'", 3)
    """
    cut = _Name.of(name, dims)
    phrase, leaf, rows = _rows(cut.words)
    misfits = [cut.misfit(row, phrase, leaf) for row in rows]
    row = next((row for row, misfit in zip(rows, misfits, strict=True) if not misfit), None)
    if row is not None and row.why:
        how = "" if row.why is BUFFER else f"; {_HOW}"
        raise ValueError(
            f"{shown(name, dims)}: auto() has no scheme for {phrase!r}, which is {row.why}{how}"
        )
    if row is not None:
        return _reading(row.role, row, cut, f"by {_plain(phrase)!r}")
    shaped = _by_shape(cut)
    if shaped:
        return _reading(shaped, None, cut, f"a layer without a name, {_axes(dims)}")
    if rows:
        looked = f"its name says {rows[0].role} by {_plain(phrase)!r}, {misfits[0]}"
    else:
        looked = f"no role is known for {_unknown(cut.words) or name!r} of {_axes(dims)}"
    raise ValueError(f"{shown(name, dims)}: read from the end, {looked}; {_HOW}")


def given(role: str, name: str, dims: Dims) -> Reading:
    """The reading of a tensor whose role is given; its name may say more.

    Raises:
        ValueError: a role that has no tensors of so many axes.
    """
    cut = _Name.of(name, dims)
    stacked = role in _STACKED and _stacked(cut)
    if len(dims) not in AXES[role] and not stacked:
        known = "1 or more" if AXES[role] is ANY else ", ".join(map(str, AXES[role]))
        stack = ", or 3 where the name says experts" if role in _STACKED else ""
        raise ValueError(
            f"{shown(name, dims)} has {_axes(dims)}: the role {role} needs {known}{stack}; give "
            "another role, or a scheme of its own"
        )
    _, _, rows = _rows(cut.words)
    alike = (row for row in rows if row.role == role and row.stacked == stacked)
    return _reading(role, next(alike, rows[0] if rows else None), cut, "as given", stacked)


_HOW = f"give role=, one of {', '.join(AXES)}, or a scheme of its own"
_STACKED = tuple(dict.fromkeys(row.role for row in ROWS if row.stacked))


def shown(name: str, dims: Dims) -> str:
    """A tensor as messages name it."""
    return f"tensor {name!r} of shape {dims}" if name else f"shape {dims}"


def _plain(phrase: str) -> str:
    return phrase.removeprefix("^ ")


def _axes(dims: Dims) -> str:
    return "1 axis" if len(dims) == 1 else f"{len(dims)} axes"


def _reading(role: str, row: Row | None, cut: _Name, why: str, stacked: bool = False) -> Reading:
    row = row or Row(role, "")
    stacked = stacked or row.stacked
    kernel = cut.words[-1] == "kernel"
    return Reading(
        role,
        why,
        fused=row.fused,
        stacked=stacked,
        layout=row.kernel if kernel else None if stacked else "torch",
        transposed=row.transposed,
        wider=row.wider if row.role == role else "",
    )


def _stacked(cut: _Name) -> bool:
    return len(cut.dims) == 3 and any(word in cut.words for word in STACKS)


def _by_shape(cut: _Name) -> str:
    """The role of a weight in a numbered layer, or of a bare one: only its shape speaks."""
    if cut.words[-1] not in WEIGHTS or cut.dims == (1,):
        return ""  # a weight of one element could be PReLU's slope
    if not cut.numbered:
        return BARE.get(len(cut.dims), "") if len(cut.words) == 2 else ""
    if len(cut.dims) > 1 and any(word in NO_LAYERS for word in cut.words[-4:-1]):
        return ""
    return NUMBERED.get(len(cut.dims), "")


def _unknown(words: Words) -> str:
    """The word at which reading stopped."""
    named = [word for word in words[1:] if word not in (*WEIGHTS, *SCALES)]
    return (named or words)[-1] if words[1:] else ""


def _rows(words: Words) -> tuple[str, str, tuple[Row, ...]]:
    """The longest known phrase at a name's end, or before its `weight`, that leaf, and its rows."""
    for leaf, front in (("", words), (words[-1], words[:-1])):
        for phrase in _ending(front):
            rows = tuple(row for row in _TABLE.get(phrase, ()) if leaf in row.leaves)
            if rows:
                return phrase, leaf, rows
    return "", "", ()


def _ending(words: Words) -> Iterator[str]:
    """The phrases that end where `words` does, longest first."""
    for count in range(min(_LONGEST, len(words)), 0, -1):
        yield " ".join(words[-count:])


def _words(name: str) -> Words:
    """The words of a name, `^` before them: lower-case, without numbers that say nothing."""
    cut = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = (_known(word) for word in re.findall(r"[^\W_]+", cut.lower()))
    return ("^", *filter(None, found))


def _known(word: str) -> str:
    return word if word in _VOCABULARY else word.rstrip("0123456789")


def _table() -> dict[str, tuple[Row, ...]]:
    found: dict[str, tuple[Row, ...]] = {}
    for row in ROWS:
        for phrase in row.phrases.split(","):
            key = " ".join(phrase.split())
            found[key] = (*found.get(key, ()), row)
    return found


_TABLE = _table()
_LONGEST = max(len(phrase.split()) for phrase in _TABLE)
_VOCABULARY = {word for phrase in _TABLE for word in phrase.split()} | set(WEIGHTS)
