# SPDX-License-Identifier: MIT
"""Reads the texts of regions, such as ``'0:768, :'``: indices and slices, one for each axis.

What a region holds is in values/matrices/boxes.py.  The regions that arrays are filled with are
another affair: memory/regions.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fastinit.numerics.checks import Shape
from fastinit.schemes.expressions import NO_NAMES, Number, evaluate
from fastinit.texts import quoted
from fastinit.values.matrices import Box

MOST_STEPPED = 2**20
"""How many indices a slice with a step may span; each of them is looked at."""

_PLAIN = re.compile(r"0|[1-9][0-9]{,17}", re.ASCII)

_WHAT = "an index or a slice for each axis, such as '0:768, :'"


@dataclass(frozen=True)
class _Slice:
    """A slice as it is written: bounds may be left out, or count from the end."""

    start: int | None
    stop: int | None
    step: int

    def __str__(self) -> str:
        start, stop = ("" if bound is None else str(bound) for bound in (self.start, self.stop))
        return f"{start}:{stop}" + (f":{self.step}" if self.step != 1 else "")


def plain_region(what: str, value: object) -> str:
    """The text of a region as it is kept: sizes are numbers, and spaces where they are usual.

    Raises:
        TypeError: it is not a text.
        ValueError: it is no region of any tensor.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is {quoted(value)}: need {_WHAT}")
    sizes: Mapping[str, Number] = getattr(value, "names", NO_NAMES)
    text = str(value).strip()
    if not text:
        return ""
    return ", ".join(str(_index(what, text, item, sizes)) for item in text.split(","))


def _index(what: str, text: str, item: str, sizes: Mapping[str, Number]) -> int | _Slice:
    pieces = item.split(":")
    if len(pieces) > 3 or not item.strip():
        raise ValueError(f"{what} is {quoted(text)}: need {_WHAT}")
    numbers = [_whole(what, text, piece, sizes) if piece.strip() else None for piece in pieces]
    if len(numbers) == 1:
        return int(numbers[0] or 0)
    step = 1 if len(numbers) < 3 or numbers[2] is None else numbers[2]
    if step < 1:
        raise ValueError(f"{what} is {quoted(text)}: its step is {step}; need 1 or more")
    return _Slice(numbers[0], numbers[1], step)


def _whole(what: str, text: str, piece: str, sizes: Mapping[str, Number]) -> int:
    if _PLAIN.fullmatch(piece.strip()):  # as in recipes, of which experts need thousands
        return int(piece)
    number = evaluate(piece, sizes, what=f"{what} {quoted(text)}")
    if not isinstance(number, int):
        raise ValueError(f"{what} is {quoted(text)}: {number} is not a whole number")
    return number


@lru_cache(maxsize=1024)
def box_of(text: str, shape: Shape) -> Box:
    """The indices that a plain text means in a tensor of `shape`.

    Raises:
        ValueError: it leaves the tensor, or has too many axes; slices are not cut short.
    """
    items = text.split(", ") if text else []
    if len(items) > len(shape):
        raise ValueError(
            f"region {text!r} has {len(items)} axes, but shape {shape} has {len(shape)}"
        )
    ranges, dropped = [], []
    for axis in range(len(shape)):
        item = items[axis] if axis < len(items) else ":"
        ranges.append(_range(text, item, axis, shape))
        dropped.append(":" not in item)
    return Box(tuple(ranges), tuple(dropped))


def _range(text: str, item: str, axis: int, shape: Shape) -> range:
    dim = shape[axis]
    bounds = [int(bound) if bound else None for bound in item.split(":")]
    if len(bounds) == 1:
        index = int(item)
        if not -dim <= index < dim:
            raise ValueError(f"region {text!r} leaves axis {axis} of shape {shape}")
        return range(index % dim, index % dim + 1)
    for bound in bounds[:2]:
        if bound is not None and not -dim <= bound <= dim:
            raise ValueError(
                f"region {text!r} leaves axis {axis} of shape {shape}: need bounds from {-dim} "
                f"to {dim}"
            )
    indices = range(*slice(*bounds).indices(dim))
    if len(indices) > 1 and indices.step > 1 and indices[-1] - indices[0] >= MOST_STEPPED:
        raise ValueError(
            f"region {text!r} steps over {indices[-1] - indices[0] + 1} indices of axis {axis}: a "
            f"slice with a step spans at most {MOST_STEPPED}; take a step of 1, or fill the tensor "
            "region by region"
        )
    return indices if len(indices) > 1 else range(indices.start, indices.start + len(indices))
