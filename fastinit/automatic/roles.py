# SPDX-License-Identifier: MIT
"""Roles: what part of a network a tensor is, read from its name and its number of axes.

phrases.py says which phrase means which role, and choice.py which scheme a role gets; nothing here
knows of values.

A name is cut into words at dots, slashes, underscores and capitals, and read from the end: the
longest phrase of the table that ends the name decides.  A number is not a word, and digits at the
end of a word are dropped unless the table has the word with them (`fc2`, but `norm1` is `norm`).
If no phrase ends the name, earlier words are not searched, because that would be a silent guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastinit.automatic.phrases import (
    ANY,
    AXES,
    BARE,
    BUFFER,
    NO_LAYERS,
    NUMBERED,
    PHRASES,
    SCALES,
    STACKS,
    VECTOR,
    WEIGHTS,
    Phrase,
)
from fastinit.numerics.checks import Shape
from fastinit.texts import quoted

NameWords = tuple[str, ...]

_NUMBER = re.compile(r"(?:^|[./])(?:layers?_?)?[0-9]+[./]\w+$")


@dataclass(frozen=True)
class Reading:
    """What a name and a shape say.

    Args:
        role: one of `AXES`.
        why: the reason, in words.
        fused: how many matrices lie side by side along the outputs, according to the name.
        stacked: whether the first axis stacks the weights of experts.
        layout: the layout that the name implies: "torch", but "keras" for a tensor called `kernel`,
            a name that only Keras and Flax use, and "jax" for a transposed convolution of Flax;
            None if the name does not show it.
        transposed: whether it is the weight of a transposed convolution.
        wider: "inputs" or "outputs", if the name says that this side is at least as long.
    """

    role: str
    why: str
    fused: int = 1
    stacked: bool = False
    layout: str | None = "torch"
    transposed: bool = False
    wider: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class _Name:
    """A name as words, beginning with `^`, and the shape of its tensor."""

    text: str
    dims: Shape
    words: NameWords
    numbered: bool  # whether it ends like `net.0.weight`

    @classmethod
    def of(cls, text: str, dims: Shape) -> _Name:
        return cls(text, dims, _words(text), _NUMBER.search(text) is not None)

    def misfit(self, row: Phrase, phrase: str, leaf: str) -> str:
        """Why a row whose phrase ends the name does not apply to this tensor; '' if it applies."""
        front = self.words[: len(self.words) - len(phrase.split()) - bool(leaf)]
        axes = AXES[row.role] if row.role and row.axes is None else row.axes
        stretched = sum(dimension != 1 for dimension in self.dims) > 1
        if axes is not None and (len(self.dims) not in axes or (axes is VECTOR and stretched)):
            return f"which cannot have {_axes(self.dims)}"
        if row.after and not any(word in front for word in row.after):
            return f"but only behind one of {', '.join(row.after)}"
        if any(word in front for word in row.unless):
            return f"but not behind {next(word for word in front if word in row.unless)}"
        if self.numbered and not row.numbered:
            return "and it does not show which of the numbered layers is the last"
        return ""


def read(name: str, dims: Shape) -> Reading:
    """The role of a tensor.

    Raises:
        ValueError: it cannot be read; the message names the tensor and the words looked at.

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
        looked = f"no role is known for {quoted(_unknown(cut.words) or name)} of {_axes(dims)}"
    raise ValueError(f"{shown(name, dims)}: read from the end, {looked}; {_HOW}")


def given(role: str, name: str, dims: Shape) -> Reading:
    """The reading of a tensor whose role is given; the name may add to it.

    Raises:
        ValueError: tensors of this role do not have this number of axes.
    """
    cut = _Name.of(name, dims)
    stacked = role in _STACKED and _stacked(cut)
    if len(dims) not in AXES[role] and not stacked:
        known = "1 or more" if AXES[role] is ANY else ", ".join(map(str, AXES[role]))
        stack = ", or 3 where the name says experts" if role in _STACKED else ""
        raise ValueError(
            f"{shown(name, dims)} has {_axes(dims)}: the role {role} needs {known}{stack}; give "
            "another role, or name a scheme"
        )
    _, _, rows = _rows(cut.words)
    alike = (row for row in rows if row.role == role and row.stacked == stacked)
    return _reading(role, next(alike, rows[0] if rows else None), cut, "as given", stacked)


_HOW = f"give role=, one of {', '.join(AXES)}, or name a scheme"
_STACKED = tuple(dict.fromkeys(row.role for row in PHRASES if row.stacked))


def shown(name: str, dims: Shape) -> str:
    """A tensor, as it is named in messages."""
    return f"tensor {quoted(name)} of shape {quoted(dims)}" if name else f"shape {quoted(dims)}"


def _plain(phrase: str) -> str:
    return phrase.removeprefix("^ ")


def _axes(dims: Shape) -> str:
    return "1 axis" if len(dims) == 1 else f"{len(dims)} axes"


def _reading(role: str, row: Phrase | None, cut: _Name, why: str, stacked: bool = False) -> Reading:
    row = row or Phrase(role, "")
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
    """The role of a weight in a numbered layer, or of a bare weight, by its shape alone."""
    if cut.words[-1] not in WEIGHTS or cut.dims == (1,):
        return ""  # a weight of one element could be the slope of a PReLU
    if not cut.numbered:
        return BARE.get(len(cut.dims), "") if len(cut.words) == 2 else ""
    if len(cut.dims) > 1 and any(word in NO_LAYERS for word in cut.words[-4:-1]):
        return ""
    return NUMBERED.get(len(cut.dims), "")


def _unknown(words: NameWords) -> str:
    """The word at which reading stopped."""
    named = [word for word in words[1:] if word not in (*WEIGHTS, *SCALES)]
    return (named or words)[-1] if words[1:] else ""


def _rows(words: NameWords) -> tuple[str, str, tuple[Phrase, ...]]:
    """The longest phrase that ends a name or precedes its leaf (`weight`); the leaf; its rows."""
    for leaf, front in (("", words), (words[-1], words[:-1])):
        for phrase in _ending(front):
            rows = tuple(row for row in _TABLE.get(phrase, ()) if leaf in row.leaves)
            if rows:
                return phrase, leaf, rows
    return "", "", ()


def _ending(words: NameWords) -> Iterator[str]:
    """The phrases that end where `words` does, longest first."""
    for count in range(min(_LONGEST, len(words)), 0, -1):
        yield " ".join(words[-count:])


def _words(name: str) -> NameWords:
    """The words of a name after a first `^`: in lower case, without meaningless numbers."""
    cut = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = (_known(word) for word in re.findall(r"[^\W_]+", cut.lower()))
    return ("^", *filter(None, found))


def _known(word: str) -> str:
    return word if word in _VOCABULARY else word.rstrip("0123456789")


def _table() -> dict[str, tuple[Phrase, ...]]:
    found: dict[str, tuple[Phrase, ...]] = {}
    for row in PHRASES:
        for phrase in row.phrases.split(","):
            key = " ".join(phrase.split())
            found[key] = (*found.get(key, ()), row)
    return found


_TABLE = _table()
_LONGEST = max(len(phrase.split()) for phrase in _TABLE)
_VOCABULARY = {word for phrase in _TABLE for word in phrase.split()} | set(WEIGHTS)
