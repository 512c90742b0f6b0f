# SPDX-License-Identifier: MIT
"""Reading safetensors files and folders as memory-mapped arrays.  Needs no recipe.

Stricter than the reference reader, never laxer: a file that opens here opens everywhere.  Nothing
is believed that can be checked: lengths, offsets, names and index entries come from strangers.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from fastinit.checkpoints.layout import (
    HEADER_LIMIT,
    INDEX,
    INDEX_LIMIT,
    SINGLE,
    tensor_size,
)
from fastinit.errors import CheckpointError
from fastinit.plans.plan import check_name

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "C64": np.dtype(np.complex64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
}
FIELDS = {"dtype", "shape", "data_offsets"}
PLAIN_NAME = re.compile(r"[^/\\:\x00-\x1f\x7f]+\.safetensors")  # a file here, on any system


@dataclass(frozen=True)
class Stored:
    """One tensor as a header describes it; `start` counts from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself; tensors in the order of their data."""

    tensors: dict[str, Stored]
    metadata: dict[str, str]


def open_file(path: Path) -> tuple[int, int]:
    """(descriptor, size) of a regular file; a pipe would wait for ever, a device has no size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CheckpointError(f"cannot open {path}: {error.strerror}") from error
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode):
        return descriptor, state.st_size
    os.close(descriptor)
    raise CheckpointError(f"{path} is not a regular file")


def read_exactly(descriptor: int, buffer: memoryview, offset: int, path: Path) -> None:
    """Fill `buffer` from `offset`; unlike a memory map this survives a file that shrinks."""
    while buffer:
        try:
            count = os.preadv(descriptor, [buffer], offset)
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
        if count == 0:
            raise CheckpointError(f"{path} ends at byte {offset:,}: it became shorter while read")
        buffer, offset = buffer[count:], offset + count


def read_header(descriptor: int, size: int, path: Path) -> Header:
    """Parse and check the header of an open file of `size` bytes."""
    if size < 8:
        raise CheckpointError(
            f"{path} has {size} bytes: a safetensors file begins with 8 of length"
        )
    prefix = bytearray(8)
    read_exactly(descriptor, memoryview(prefix), 0, path)
    length = int.from_bytes(prefix, "little")
    if length >= HEADER_LIMIT or length > size - 8:
        raise CheckpointError(
            f"{path} claims a header of {length:,} bytes: the file has {size - 8:,} after the "
            f"length, and a header must be below {HEADER_LIMIT:,}"
        )
    text = bytearray(length)
    read_exactly(descriptor, memoryview(text), 8, path)
    try:
        return _header(bytes(text), 8 + length, size)
    except ValueError as error:
        raise CheckpointError(f"{path} is no valid safetensors file: {error}") from error


def _header(text: bytes, start: int, file_size: int) -> Header:
    if not text.startswith(b"{"):
        raise ValueError("the header does not start with '{'")
    if not text.rstrip(b" ").endswith(b"}"):
        raise ValueError("the header does not end with '}' and spaces")
    fields = parse_json(text)
    metadata = _metadata(fields.pop("__metadata__", {}))
    tensors = {check_name(name): _stored(name, entry, start) for name, entry in fields.items()}
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)))
    end = start
    for name, stored in tensors.items():
        if stored.start != end:
            raise ValueError(f"tensor {name!r} starts at byte {stored.start}, {end} was expected")
        end += stored.size
    if end != file_size:
        raise ValueError(f"the tensors end at byte {end}, the file at {file_size}")
    return Header(tensors, metadata)


def _metadata(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("__metadata__ is not a map from text to text")
    "".join([*metadata, *metadata.values()]).encode()  # a lone surrogate is a ValueError
    return metadata


def _stored(name: str, entry: object, start: int) -> Stored:
    if not isinstance(entry, dict) or entry.keys() != FIELDS:
        raise ValueError(f"tensor {name!r} must have exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"tensor {name!r} has dtype {dtype!r}: known are {', '.join(DTYPES)}")
    if not isinstance(shape, list):
        raise ValueError(f"tensor {name!r} has shape {shape!r}: a list is needed")
    if not isinstance(offsets, list) or [type(x) for x in offsets] != [int, int]:
        raise ValueError(f"tensor {name!r} has data_offsets {offsets!r}: two integers are needed")
    size = tensor_size(shape, DTYPES[dtype].itemsize)
    if offsets[1] - offsets[0] != size:
        raise ValueError(f"tensor {name!r} takes {size} bytes, its data_offsets are {offsets}")
    return Stored(dtype, tuple(shape), start + offsets[0], size)


def parse_json(text: bytes) -> dict[str, Any]:
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
        raise ValueError(f"key {twice!r} appears twice")
    return result


def _natural(text: str) -> int:
    if text.startswith("-"):
        raise ValueError(f"{text} is negative")
    return int(text)


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def read_index(path: Path) -> dict[str, Any]:
    """The index of a sharded checkpoint, with a `weight_map` whose every value is a plain name."""
    descriptor, size = open_file(path)
    try:
        if size > INDEX_LIMIT:
            raise CheckpointError(
                f"{path} has {size:,} bytes: an index has at most {INDEX_LIMIT:,}"
            )
        text = bytearray(size)
        read_exactly(descriptor, memoryview(text), 0, path)
    finally:
        os.close(descriptor)
    try:
        index = parse_json(bytes(text))
        weight_map = index.get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError("it has no weight_map")
        for name, file in weight_map.items():
            check_name(name)
            if not isinstance(file, str) or not PLAIN_NAME.fullmatch(file):
                raise ValueError(f"tensor {name!r} is said to be in {file!r}, no plain file name")
    except ValueError as error:
        raise CheckpointError(f"{path} is no valid index: {error}") from error
    return index


class Checkpoint(Mapping[str, np.ndarray[Any, np.dtype[Any]]]):
    """Tensor name -> read-only array mapped from its file; a file is opened when first needed.

    Should another program cut a mapped file short, touching the lost part ends this process: that
    is what the operating system does.  `verify` does not map and reports it instead.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.folder = self.path if os.path.isdir(self.path) else self.path.parent
        self.index: dict[str, Any] | None = None
        self._opened: dict[str, tuple[mmap.mmap, Header]] = {}
        if self._has(INDEX) and self._has(SINGLE):
            raise CheckpointError(
                f"{self.path} holds both {INDEX} and {SINGLE}: programs differ in which they "
                "read, so remove the one that is out of date, or pass the file"
            )
        if self._has(INDEX):
            self.index = read_index(self.path / INDEX)
            self.weight_map: dict[str, str] = self.index["weight_map"]
        else:
            if os.path.isdir(self.path) and not self._has(SINGLE):
                raise CheckpointError(
                    f"{self.path} holds no checkpoint: neither {INDEX} nor {SINGLE} is there"
                )
            file = SINGLE if os.path.isdir(self.path) else self.path.name
            self.weight_map = dict.fromkeys(self._open(file)[1].tensors, file)
        self.files = tuple(sorted(set(self.weight_map.values())))

    def _has(self, name: str) -> bool:
        return os.path.isdir(self.path) and os.path.lexists(self.path / name)

    def header(self, file: str) -> Header:
        """What one of its files says about itself; a file that is not open is read, not mapped."""
        if file in self._opened:
            return self._opened[file][1]
        path = self.folder / file
        descriptor, size = open_file(path)
        try:
            return read_header(descriptor, size, path)
        finally:
            os.close(descriptor)

    def _open(self, file: str) -> tuple[mmap.mmap, Header]:
        if file not in self._opened:
            path = self.folder / file
            descriptor, size = open_file(path)
            try:
                header = read_header(descriptor, size, path)
                mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            finally:
                os.close(descriptor)
            self._opened[file] = mapped, header
        return self._opened[file]

    def __getitem__(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        file = self.weight_map[name]
        mapped, header = self._open(file)
        if name not in header.tensors:
            raise CheckpointError(f"{self.folder / file} has no tensor {name!r}, the index says so")
        stored = header.tensors[name]
        return np.ndarray(stored.shape, DTYPES[stored.dtype], mapped, stored.start)

    def __iter__(self) -> Iterator[str]:
        return iter(self.weight_map)

    def __len__(self) -> int:
        return len(self.weight_map)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {len(self)} tensors in {len(self.files)} files)"


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a folder (an index, or one model.safetensors) or one safetensors file, without a copy.

    Args:
        path: any safetensors checkpoint; it need not be fastinit's.

    Returns:
        A mapping from tensor name to a read-only array; bfloat16 and float8 as in ml_dtypes.

    Raises:
        CheckpointError: nothing there, or not exactly as the format demands.
    """
    return Checkpoint(path)
