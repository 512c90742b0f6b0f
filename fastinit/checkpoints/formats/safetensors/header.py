# SPDX-License-Identifier: MIT
"""Parses and checks the header of a safetensors file.  Opens no file and maps no data.

It refuses all that the safetensors library refuses, and more.  Whatever can be checked is checked,
because lengths, offsets and names come from strangers.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import numpy as np

from fastinit.checkpoints.flat import BLANK, CLOSING, NAME, NATURAL, SEPARATOR, Source, pairs, plain
from fastinit.checkpoints.formats.base import Header, Stored, check_end
from fastinit.checkpoints.formats.safetensors.dtypes import BITS
from fastinit.checkpoints.formats.safetensors.shards import HEADER_LIMIT, KEY, padded
from fastinit.checkpoints.recipe import Recipe
from fastinit.numerics.checks import LIMIT, size_of
from fastinit.plans.tensors import check_name
from fastinit.texts import printable, quoted

BITS_LIMIT = 8 * (LIMIT - 1) + 1
"""A tensor has fewer bits: at most 2**63 - 1 bytes."""

SHORT = 2**16  # bytes of a shape that is split, which takes 30 times its size in memory
SHOWN = 60  # characters of what stands where something else must
EXPLAINED = 2**16  # bytes that are examined to say why an entry is refused
_FIELDS = {"dtype", "shape", "data_offsets"}
_ENTRY_RULE = "an entry has exactly dtype, shape and data_offsets, each once"

_SHAPE_RULE = "a list of whole numbers of 0 or more is needed"

_COLON = BLANK + rb":" + BLANK
_DTYPE = rb"dtype\"" + _COLON + rb'"([^"\\\x00-\x1f]*+)"'
_SIZE = rb"(?!0[0-9])[0-9]{1,20}+"
_SIZES = _SIZE + rb"(?:" + BLANK + rb"," + BLANK + _SIZE + rb")*+"
_SHAPE = rb"shape\"" + _COLON + rb"\[" + BLANK + rb"((?:" + _SIZES + rb")?+)" + BLANK + rb"\]"
_PAIR = BLANK + NATURAL + BLANK + rb"," + BLANK + NATURAL + BLANK
_OFFSETS = rb"data_offsets\"" + _COLON + rb"\[" + _PAIR + rb"\]"
_FIELD = BLANK + rb'"(?:' + rb"|".join((_DTYPE, _SHAPE, _OFFSETS)) + rb")" + BLANK
_ENTRY = rb"\{(?:" + _FIELD + rb"(?:,(?!" + CLOSING + rb")|(?=\}))){3}\}"
_TENSOR = NAME + _ENTRY + SEPARATOR
_METADATA = BLANK + rb'"__metadata__"' + BLANK + rb":" + BLANK + rb"\{"
_SPACES = rb" *+\Z"


def resembles(head: Source) -> bool:
    """Whether a JSON object follows the header's length."""
    return head[8:9] == b"{"


def header_place(head: Source, size: int) -> tuple[int, int]:
    """Where the JSON of a file of `size` bytes, which begins with `head`, begins and ends.

    Raises:
        ValueError: there is no room for a header, or not for one of the length that it claims.
    """
    if size == 0:
        raise ValueError("it is empty")
    if size < 8:
        raise ValueError(f"it has {size} bytes, and the first 8 must hold the header's length")
    length = int.from_bytes(head[:8], "little")
    if length < HEADER_LIMIT and length > size - 8 and resembles(head):
        raise ValueError(
            f"its header of {length:,} bytes was cut short at {size - 8:,}, as by an interrupted "
            "copy or download"
        )
    if length >= HEADER_LIMIT or length > size - 8:
        raise ValueError(
            f"it claims a header of {length:,} bytes: the file has {size - 8:,} after the "
            f"length, and a header must be below {HEADER_LIMIT:,}"
        )
    return 8, 8 + length


def parse_header(_: str, text: Source, file_size: int) -> Header:
    """The header whose JSON is `text`, of a file of any name and of `file_size` bytes.

    Raises:
        ValueError: it is not the header of a whole safetensors file.
    """
    if not text.startswith(b"{"):
        raise ValueError("the header does not start with '{'")
    reader = _Reader(text)
    reader.read()
    tensors, end = reader.tensors, reader.end
    if not reader.in_order:
        tensors, end = _in_order(tensors, 8 + len(text))
    check_end(end, file_size)
    return Header(tensors, (reader.metadata or {}).get(KEY))


def renew_header(head: Source, recipe: Recipe) -> bytes:
    """The bytes before the values with another recipe, from those of a file that was parsed.

    The text of the tensors stays as it is, and so do their order and the rest of the metadata.
    """
    reader = _Reader(head[8:])
    reader.read()
    metadata = {**(reader.metadata or {}), KEY: recipe.text()}
    text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()
    if reader.place is not None:
        before, after = reader.text[: reader.place[0]], reader.text[reader.place[1] :]
    else:
        before, after = b'{"__metadata__":', (b"," if reader.tensors else b"") + reader.text[1:]
    return padded(bytes(before + text + after).rstrip(b" "))


def _in_order(tensors: dict[str, Stored], start: int) -> tuple[dict[str, Stored], int]:
    """The tensors in the order of their values, and where the last one ends.

    By NumPy, because a hostile header names a million of them.

    Raises:
        ValueError: one does not begin where the one before ends.
    """
    names, stored = list(tensors), list(tensors.values())
    end = start + sum(one.size for one in stored)
    last = max(one.start for one in stored)
    if max(end, last) >= LIMIT:
        raise ValueError(f"the tensors reach byte {max(end, last):,}, which no file has")
    starts = np.fromiter((one.start for one in stored), np.int64, len(stored))
    sizes = np.fromiter((one.size for one in stored), np.int64, len(stored))
    order = np.lexsort((sizes, starts))
    expected = start + np.cumsum(sizes[order]) - sizes[order]
    wrong = np.flatnonzero(starts[order] != expected)
    if wrong.size:
        name = names[order[wrong[0]]]
        raise ValueError(
            f"tensor {quoted(name)} starts at byte {tensors[name].start:,}, "
            f"but {int(expected[wrong[0]]):,} was expected"
        )
    return {names[place]: stored[place] for place in order.tolist()}, end


class _Reader:
    """One header being read, a tensor at a time."""

    def __init__(self, text: Source) -> None:
        self.text = text
        self.start = self.end = 8 + len(text)  # of the data, and of the tensors so far
        self.tensors: dict[str, Stored] = {}
        self.metadata: dict[str, str] | None = None
        self.place: tuple[int, int] | None = None  # where the metadata begin and end
        self.in_order = True
        self.measure = lru_cache(maxsize=256)(_measure)  # a model has few shapes

    def read(self) -> None:
        """Read all there is, up to the spaces that may follow."""
        end = re.compile(CLOSING).match(self.text, 1)
        place = end.end() if end else self._members()
        if not re.compile(_SPACES).match(self.text, place):
            raise ValueError("the header does not end with '}' and spaces")

    def _members(self) -> int:
        match_tensor = re.compile(_TENSOR).match
        place, separator = 1, b","
        while separator == b",":
            match = match_tensor(self.text, place)
            if match is not None:
                self._add(match)
            else:
                match = self._add_metadata(place)
            place, separator = match.end(), match[match.re.groups]
        return place

    def _add(self, match: re.Match[bytes]) -> None:
        raw_name, dtype, shape, first, last, _ = match.groups()
        name = check_name(plain(raw_name))
        if name in self.tensors:
            raise ValueError(f"key {quoted(name)} appears twice")
        if dtype is None or shape is None or first is None:
            raise ValueError(f"tensor {quoted(name)}: {_ENTRY_RULE}")
        try:
            code, dimensions, size = self.measure(dtype, shape)
        except ValueError as error:
            raise ValueError(f"tensor {quoted(name)} {error}") from None
        start, end = self.start + int(first), self.start + int(last)
        if end - start != size:
            raise ValueError(
                f"tensor {quoted(name)} takes {size:,} bytes, "
                f"its data_offsets are [{int(first)}, {int(last)}]"
            )
        self.in_order = self.in_order and start == self.end
        self.end = end
        self.tensors[name] = Stored(code, dimensions, start, size)

    def _add_metadata(self, place: int) -> re.Match[bytes]:
        """Read what is not a tensor; returns the match of the comma or brace after it."""
        opening = re.compile(_METADATA).match(self.text, place)
        if opening is None:
            raise _refusal(self.text, place)
        if self.metadata is not None:
            raise ValueError("key '__metadata__' appears twice")
        try:
            self.metadata, place = pairs(self.text, opening.end())
            self.place = opening.end() - 1, place
        except ValueError as error:
            raise ValueError(f"__metadata__ is not a map from text to text: {error}") from None
        separator = re.compile(SEPARATOR).match(self.text, place)
        if separator is None:
            raise ValueError("the header does not end with '}' and spaces")
        return separator


def _measure(dtype: bytes, shape: bytes) -> tuple[str, tuple[int, ...], int]:
    """A tensor's dtype, shape and bytes; a dimension of 0 hides no overflow of the others."""
    code = dtype.decode("utf-8", "replace")
    if code not in BITS:
        raise ValueError(f"has dtype {quoted(code)}: known are {', '.join(BITS)}")
    dimensions = _dimensions(shape)
    bits = size_of(dimensions, BITS[code], BITS_LIMIT)
    if bits is None:
        raise ValueError(f"has shape [{_beginning(shape)}], which takes more than 2**63 - 1 bytes")
    if bits % 8:
        raise ValueError(f"has {bits} bits, which do not fill whole bytes")
    return code, dimensions, bits // 8


def _dimensions(shape: bytes) -> tuple[int, ...]:
    if len(shape) < SHORT:
        return tuple(map(int, shape.split(b","))) if shape else ()
    return tuple(json.loads(b"[" + shape + b"]"))


def _beginning(raw: bytes) -> str:
    return printable(raw[:100].decode()) + "..." * (len(raw) > 100)


def _refusal(text: Source, place: int) -> ValueError:
    """The error for text at `place` that is not a tensor, as far as its beginning tells."""
    if entry := re.compile(NAME + _ENTRY + BLANK).match(text, place):
        return ValueError(
            f"{_there(text, entry.end())} stands at byte {8 + entry.end():,}, where a comma or a "
            "brace is needed"
        )
    key = re.compile(NAME).match(text, place)
    if key is None or key.end() >= place + EXPLAINED:
        return ValueError(
            f"{_there(text, place)} stands at byte {8 + place:,}, "
            "where a tensor's name and entry are needed"
        )
    try:
        name = plain(key[1])
        if name == "__metadata__":
            return ValueError("__metadata__ is not a map from text to text")
        check_name(name)
    except ValueError as error:
        return error
    beginning = bytes(text[key.end() : key.end() + EXPLAINED])
    try:
        value, _ = json.JSONDecoder().raw_decode(beginning.decode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        why = "is not JSON" if len(beginning) < EXPLAINED else f"has more than {EXPLAINED:,} bytes"
        return ValueError(f"the entry of tensor {quoted(name)} {why}: {error}")
    except RecursionError:
        return ValueError(f"the entry of tensor {quoted(name)} is nested too deeply")
    except ValueError:
        return ValueError(
            f"the entry of tensor {quoted(name)} has a number of more than 4300 digits"
        )
    return ValueError(f"tensor {quoted(name)} {_complaint(value)}")


def _there(text: Source, place: int) -> str:
    """The beginning of what stands at `place`."""
    window = bytes(text[place : place + 4 * SHOWN]).decode("utf-8", "replace")
    return quoted(window[:SHOWN]) if window else "the end of the header"


def _complaint(entry: Any) -> str:
    """What is wrong with an entry that is JSON."""
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        return f"is described by {quoted(entry)}: {_ENTRY_RULE}"
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str):
        return f"has dtype {quoted(entry['dtype'])}: known are {', '.join(BITS)}"
    if not isinstance(shape, list) or not all(map(_is_natural, shape)):
        return f"has shape {quoted(shape)}: {_SHAPE_RULE}"
    if not isinstance(offsets, list) or [*map(_is_natural, offsets)] != [True, True]:
        return f"has data_offsets {quoted(offsets)}: two whole numbers of 0 or more are needed"
    return (
        f"has an entry that other readers refuse: {_ENTRY_RULE}, without escapes, signs and "
        "numbers beyond 64 bits"
    )


def _is_natural(value: object) -> bool:
    return type(value) is int and value >= 0
