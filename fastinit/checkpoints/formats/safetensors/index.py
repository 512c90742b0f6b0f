# SPDX-License-Identifier: MIT
"""Parses and checks the index of sharded safetensors files.  Opens no file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from math import prod
from typing import Any, NoReturn

from fastinit.checkpoints.formats.base import Index, Stored
from fastinit.plans.tensors import check_name
from fastinit.texts import printable, quoted

LONGEST_NAME = 255  # bytes of a file's name, in every file system
PLAIN_NAME = re.compile(r"[^/\\:]+\.safetensors")  # a file here, on any system


def parse_index(text: bytes) -> Index:
    """The index with this content, whose `weight_map` has nothing but plain names of files.

    Raises:
        ValueError: it is not such an index.
    """
    index = _parse_json(text)
    return Index(_weight_map(index.get("weight_map")), totals=index.get("metadata"))


def check_totals(totals: object, tensors: Collection[Stored]) -> None:
    """Raise ValueError unless the index's metadata are the totals of these tensors."""
    true = {
        "total_size": sum(tensor.size for tensor in tensors),
        "total_parameters": sum(prod(tensor.shape) for tensor in tensors),
    }
    if (
        not isinstance(totals, dict)
        or totals != true
        or {type(total) for total in totals.values()} != {int}
    ):
        raise ValueError(f"the index has metadata {quoted(totals)}, but the files give {true}")


def _parse_json(text: bytes) -> dict[str, Any]:
    """A JSON object as the strictest readers take it: no duplicates, no NaN, no negative number.

    Negative because every number here counts something, and "-0" is no integer to other readers.
    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_object,
            parse_int=_natural,
            parse_constant=_not_a_number,
        )
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("the JSON is not an object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {quoted(twice)} appears twice")
    return result


def _natural(text: str) -> int:
    if text.startswith("-"):
        raise ValueError(f"{printable(text, 40)} is negative")
    return int(text)


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _weight_map(weight_map: object) -> dict[str, str]:
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError("it has no weight_map")
    for name, file in weight_map.items():
        check_name(name)
        if not _is_plain(file):
            raise ValueError(
                f"tensor {quoted(name)} is said to be in {quoted(file)}, "
                "which is not a plain file name"
            )
    return weight_map


def _is_plain(file: object) -> bool:
    return (
        isinstance(file, str)
        and file.isprintable()
        and len(file.encode()) <= LONGEST_NAME
        and PLAIN_NAME.fullmatch(file) is not None
    )
