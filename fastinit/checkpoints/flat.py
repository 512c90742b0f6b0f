# SPDX-License-Identifier: MIT
"""Reads flat JSON, objects of texts and numbers, one pair at a time.  It does not interpret them.

Headers and recipes come from strangers and may have 100 MB.  A JSON parser would first turn all of
it into objects, which may take over twenty times the memory; a regular expression that reads one
pair at a time makes no objects of what it does not match.  All quantifiers are possessive, so they
store no backtracking steps, however long the text.  The patterns are compiled when first used.
"""

from __future__ import annotations

import json
import re

from fastinit.texts import quoted

Source = bytes | bytearray

BLANK = rb"[ \t\n\r]*+"
_PLAIN = rb'[^"\\\x00-\x1f]*+'
_ESCAPES = rb"(?:" + rb"\\." * 8 + rb"|\\.)"  # eight at once: half the time for an endless text
TEXT = rb'"(' + _PLAIN + rb"(?:" + _ESCAPES + _PLAIN + rb')*+)"'
"""A text; `plain` checks its escapes."""

NATURAL = rb"(0|[1-9][0-9]{0,19}+)"  # enough for 2**64
CLOSING = BLANK + rb"\}"
SEPARATOR = BLANK + rb"([,}])"
NAME = BLANK + TEXT + BLANK + rb":" + BLANK

_BEGIN = BLANK + rb"\{"
_PAIR = NAME + TEXT + SEPARATOR
_FIELD = NAME + rb"(?:" + NATURAL + rb"|" + TEXT + rb"|(\{))"
_REST = BLANK + rb"\Z"


def plain(raw: bytes) -> str:
    """The text between two JSON quotes; raises ValueError for what UTF-8 cannot hold."""
    try:
        if b"\\" not in raw:
            return raw.decode()
        text: str = json.loads(b'"' + raw + b'"')
        text.encode()  # half of a surrogate pair is no character
    except ValueError:
        raise ValueError(
            f"text {quoted(raw[:100])} is not UTF-8, or has an escape that JSON does not know"
        ) from None
    return text


def pairs(source: Source, start: int) -> tuple[dict[str, str], int]:
    """The rest of an object from text to text, and where it ends.

    Args:
        source: JSON.
        start: the place after the object's opening brace.

    Raises:
        ValueError: it is not such an object, or has a key twice.
    """
    found: dict[str, str] = {}
    if end := re.compile(CLOSING).match(source, start):
        return found, end.end()
    match_pair, separator = re.compile(_PAIR).match, b","
    while separator == b",":
        match = match_pair(source, start)
        if match is None:
            raise ValueError(f"{_there(source, start)} is not a pair of texts")
        raw_key, raw_value, separator = match.groups()
        key = plain(raw_key)
        if key in found:
            raise ValueError(f"key {quoted(key)} appears twice")
        found[key] = plain(raw_value)
        start = match.end()
    return found, start


def table(source: Source) -> dict[str, int | str | dict[str, str]]:
    """A whole JSON object whose values are texts, natural numbers and objects of texts.

    Raises:
        ValueError: it is not such an object, or has a key twice.
    """
    found: dict[str, int | str | dict[str, str]] = {}
    opening = re.match(_BEGIN, source)
    if opening is None:
        raise ValueError(f"{_there(source, 0)} is not a JSON object")
    start, separator = opening.end(), b","
    while separator == b",":
        match = re.compile(_FIELD).match(source, start)
        if match is None:
            raise ValueError(f"{_there(source, start)} is not a text, a number or a table of texts")
        key, number, text, _ = match.groups()
        name, start = plain(key), match.end()
        if name in found:
            raise ValueError(f"key {quoted(name)} appears twice")
        if number is not None:
            found[name] = int(number)
        elif text is not None:
            found[name] = plain(text)
        else:
            found[name], start = pairs(source, start)
        separated = re.compile(SEPARATOR).match(source, start)
        if separated is None:
            raise ValueError(f"{_there(source, start)} stands where a comma or a brace is needed")
        start, separator = separated.end(), separated[1]
    if not re.compile(_REST).match(source, start):
        raise ValueError(f"{_there(source, start)} follows the end of the object")
    return found


def _there(source: Source, start: int) -> str:
    text = bytes(source[start : start + 60]).decode("utf-8", "replace")
    return quoted(text) if text else "the end of the text"
