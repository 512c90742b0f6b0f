# SPDX-License-Identifier: MIT
"""Reads files that may hold a plan: no more than can be needed, and without waiting for a pipe.

What a text means is for the callers to know.
"""

from __future__ import annotations

import codecs
import json
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from fastinit.errors import PlanError
from fastinit.machine import storage
from fastinit.magic import HEAD
from fastinit.texts import printable, quoted

CONFIG_FILE = "config.json"
BESIDE = ".fastinit.json"
"""What follows the name of a file of one tensor in that of its sidecar, which has its recipe."""

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MAX_FILE = 10_000_000  # bytes; the largest preset has about 8,000
MAX_JSON = 50_000_000
"""Bytes: with reasons, the 45,000 tensors of DeepSeek-V3 take 20 million.

A hostile text of this length takes 3 seconds and 1.3 GB.
"""

DEPTH = 3  # levels searched below a folder: a hub cache has models--x/snapshots/revision
LOOKED_AT = 1000  # names at most


def first_bytes(path: Path) -> bytes:
    """The beginning of a regular file.

    Raises:
        PlanError: it cannot be read, or is not a regular file.
    """
    return _read(path, HEAD)


def text_of(path: Path, limit: int = MAX_FILE) -> str:
    """The text of a regular file of at most `limit` bytes.

    Raises:
        PlanError: it cannot be read, is not a regular file, is longer, or is not UTF-8.
    """
    content = _read(path, limit + 1)
    if len(content) > limit:
        raise PlanError(f"{printable(path)}: longer than {limit} bytes, which no plan needs")
    if b"\0" in content[:4] or content.startswith(UTF_16):
        raise PlanError(f"{printable(path)}: looks like UTF-16 text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{printable(path)}: not UTF-8 text at byte {error.start}") from error


def json_of(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        PlanError: it cannot be read, is not JSON, or has a key twice.
    """
    text = text_of(path, MAX_JSON)
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise PlanError(f"{printable(path)}: not valid JSON: nested too deeply") from error
    except ValueError as error:
        raise PlanError(f"{printable(path)}: not valid JSON: {printable(error)}") from error


def names_in(folder: Path) -> list[str]:
    """The names of all that a folder holds, sorted.

    Raises:
        PlanError: it cannot be listed.
    """
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        _refuse(folder, error)


def names_seen(folder: Path) -> Iterator[str]:
    """The names in a folder, as far as the system shows them."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except OSError:
        return


def folder_below(folder: Path, names: Collection[str]) -> Path | None:
    """The first folder below that holds a file of one of these names, at most `DEPTH` levels down.

    Where there is no permission to look there is none to be found; `Path` would raise an error.
    """
    level = [folder]
    for _ in range(DEPTH):
        below = (parent / name for parent in level for name in sorted(names_seen(parent)))
        level = [path for path in islice(below, LOOKED_AT) if os.path.isdir(path)]
        for path in level:
            if any(os.path.exists(path / name) for name in names):
                return path
    return None


def _read(path: Path, count: int) -> bytes:
    """The first `count` bytes of a regular file; reading a pipe could block for ever."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(count)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        _refuse(path, error)
    raise PlanError(f"{printable(path)}: not a regular file; put the plan's text into one")


def _refuse(path: Path, error: Exception) -> NoReturn:
    raise PlanError(f"{printable(path)}: cannot be read: {printable(error)}") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | storage.NO_WAIT)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    counts = Counter(key for key, _ in pairs)
    twice = next(key for key, count in counts.items() if count > 1)
    raise ValueError(f"key {quoted(twice)} appears twice")
