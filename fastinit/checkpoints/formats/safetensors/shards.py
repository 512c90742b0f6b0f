# SPDX-License-Identifier: MIT
"""What is written as safetensors: which files, their names and headers, and the index.

Two things are settled more tightly than the format asks: data begins at a multiple of 4096, and
wider elements come first, so every tensor is aligned to its element size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastinit.checkpoints.entries import Entry
from fastinit.checkpoints.formats.base import Files
from fastinit.checkpoints.formats.safetensors.dtypes import SAFETENSORS_CODES
from fastinit.checkpoints.recipe import Recipe
from fastinit.numerics.dtypes import resolve
from fastinit.texts import quoted

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_NAME = re.compile(r"model-[0-9]{5}-of-[0-9]{5}\.safetensors")
KEY = "fastinit"  # of the recipe in the metadata
PAGE = 4096
HEADER_LIMIT = 100_000_000  # safetensors refuses more, MLX refuses exactly that
INDEX_LIMIT = 10 * 1024 * 1024  # huggingface_hub refuses more
SHARD_LIMIT = 99_999  # five digits in a file name


def arrange(entries: Sequence[Entry], limit: int) -> dict[str, tuple[Entry, ...]]:
    """Which files to write: name -> tensors, with about `limit` bytes of values in each.

    Raises:
        ValueError: there are too many files.
    """
    groups = split([entry.size for entry in entries], limit)
    if len(groups) > SHARD_LIMIT:
        raise ValueError(f"{len(groups):,} shards are too many: choose a larger max_shard_size")
    return {
        file_name(number, len(groups)): _aligned(entries, group)
        for number, group in enumerate(groups, 1)
    }


def split(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """The positions in `sizes` that share a shard, greedily in order, as huggingface_hub does.

    A tensor above the limit gets a shard to itself, placed before the one being filled.
    """
    shards: list[list[int]] = []
    current: list[int] = []
    filled = 0
    for position, size in enumerate(sizes):
        if size > limit:
            shards.append([position])
            continue
        if filled + size > limit:
            shards.append(current)
            current, filled = [], 0
        current.append(position)
        filled += size
    return [*shards, current] if current else shards


def file_name(number: int, count: int) -> str:
    """The name of shard `number`, from 1 to `count`."""
    return SINGLE if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def is_shard(name: str) -> bool:
    """Whether it is the name of one of several shards."""
    return SHARD_NAME.fullmatch(name) is not None


def family(name: str) -> tuple[str, ...]:
    """The names of all shards of the checkpoint that has a shard of this name."""
    count = int(name[-len("00000.safetensors") :][:5])
    return tuple(file_name(number, count) for number in range(1, count + 1)) or (name,)


def may_write(name: str) -> bool:
    """Whether it is the name of any shard or of the index."""
    return name in (INDEX, SINGLE) or is_shard(name)


def check_file(file: str, _: Sequence[Entry]) -> None:
    """Raise ValueError unless it is the name of a shard, which may hold any tensors."""
    if file != SINGLE and not is_shard(file):
        raise ValueError(f"{quoted(file)} is not a shard's name: use {SINGLE}, or a numbered one")


def _aligned(entries: Sequence[Entry], positions: Sequence[int]) -> tuple[Entry, ...]:
    """Wider elements first, else in plan order: then nothing needs padding, which is forbidden."""
    chosen = (entries[position] for position in positions)
    return tuple(sorted(chosen, key=lambda entry: -resolve(entry.dtype).size))


def make_header(entries: Sequence[Entry], recipe: Recipe) -> bytes:
    """The first bytes of a file: length, JSON, spaces up to a multiple of 4096."""
    fields: dict[str, Any] = {"__metadata__": {"format": "pt", KEY: recipe.text()}}
    end = 0
    for entry in entries:
        start, end = end, end + entry.size
        fields[entry.name] = {
            "dtype": SAFETENSORS_CODES[entry.dtype],
            "shape": entry.shape,
            "data_offsets": (start, end),
        }
    return padded(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode())


def padded(text: bytes) -> bytes:
    """A header with this JSON, after which the values begin at a multiple of 4096."""
    length = -(-(8 + len(text)) // PAGE) * PAGE - 8
    return length.to_bytes(8, "little") + text.ljust(length)


def make_index(files: Files, _: Recipe) -> bytes | None:
    """The index of several files, byte for byte as transformers lays it out; None for one file."""
    return _index(files) if len(files) > 1 else None


def _index(files: Files) -> bytes:
    entries = [entry for group in files.values() for entry in group]
    metadata = {
        "total_size": sum(entry.size for entry in entries),
        "total_parameters": sum(entry.count for entry in entries),
    }
    weight_map = {entry.name: file for file, group in files.items() for entry in group}
    content = {"metadata": metadata, "weight_map": weight_map}
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def check_header(file: str, content: bytes) -> None:
    """Raise ValueError if readers refuse a header of this length."""
    if complaint := _long_header(file, content):
        raise ValueError(f"{complaint}: put fewer tensors into it")


def check_lengths(
    files: Files, recipe: Recipe, headers: Mapping[str, bytes], index: bytes | None
) -> None:
    """Raise ValueError if readers refuse a header or the index, and say what would help."""
    complaints = [_long_header(file, content) for file, content in headers.items()]
    for complaint in (*complaints, _long_index(index or b"")):
        if complaint:
            raise ValueError(_with_advice(complaint, files, recipe))


def _long_header(file: str, content: bytes) -> str:
    length = len(content) - 8
    if length < HEADER_LIMIT:
        return ""
    return f"the header of {file} takes {length:,} bytes, but readers refuse {HEADER_LIMIT:,}"


def _long_index(content: bytes) -> str:
    if len(content) <= INDEX_LIMIT:
        return ""
    return f"the index takes {len(content):,} bytes, but readers refuse more than {INDEX_LIMIT:,}"


def _with_advice(complaint: str, files: Files, recipe: Recipe) -> str:
    """What is too long, and what helps: fewer files, more of them, or other tensors."""
    entries = [entry for group in files.values() for entry in group]
    single = _long_header(SINGLE, make_header(entries, recipe))
    if not single:
        size = max(1, sum(entry.size for entry in entries))
        return f"{complaint}: choose a max_shard_size of {size:,} bytes or more, for a single file"
    index = _long_index(_index({file_name(1, 2): entries}))  # as long as for any several files
    first = next(iter(files))
    empty = [entry for entry in entries if not entry.size]  # they share a file at any limit
    recipe = replace(recipe, init={entry.name: entry.init for entry in empty})
    several = index or _long_header(first, make_header(empty, recipe))
    if not several:
        return f"{complaint}: choose a smaller max_shard_size"
    return (
        f"{single}; with several files {several}: no max_shard_size helps, so give the "
        "tensors shorter names, join them into fewer and larger ones, or write several checkpoints"
    )
