# SPDX-License-Identifier: MIT
"""A folder of .npy files, one for each tensor, and their recipe in fastinit.json.

Each file has the bytes that ``numpy.save`` would write, so whatever reads NumPy's format reads it:
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.  A header has no room for a
recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from unicodedata import normalize

import numpy as np

from fastinit.checkpoints.entries import Entry, tensor_size
from fastinit.checkpoints.flat import Source, table
from fastinit.checkpoints.formats.base import (
    Files,
    Format,
    Header,
    Index,
    Stored,
    accept,
    check_end,
)
from fastinit.checkpoints.recipe import Recipe
from fastinit.plans.tensors import check_name
from fastinit.texts import quoted

RECIPE = "fastinit.json"
RECIPE_LIMIT = 100_000_000  # bytes
SUFFIX = ".npy"
PREFIX = b"\x93NUMPY"
VERSION_1 = b"\x01\x00"  # others are for structured types and names outside Latin-1
ALIGNMENT = 64
NPY_HEADER_LIMIT = 10_000  # bytes of a header's text: numpy.load refuses more
GROWTH = 21  # digits that numpy.save leaves for a first dimension that grows
LONGEST = 208  # bytes of a name: with the suffix and a temporary file's 43 bytes at most 255

NPY_CODES = {"float32": "<f4", "float16": "<f2", "float64": "<f8"}
INTEGERS = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
NPY_ARRAYS = {code: np.dtype(code) for code in (*NPY_CODES.values(), *INTEGERS, "<c8", "<c16")}

_DIMENSION = rb"(?:0|[1-9][0-9]{0,18}+)"
_SHAPE = rb"|" + _DIMENSION + rb",|" + _DIMENSION + rb"(?:, " + _DIMENSION + rb")++"
_HEADER = (
    rb"\{'descr': '([^'\\]{1,20}+)', 'fortran_order': (True|False), 'shape': \((" + _SHAPE + rb")\)"
    rb", \} *+\n"
)


# --- before writing --------------------------------------------------------------------------


def arrange(entries: Sequence[Entry], _: int) -> dict[str, tuple[Entry, ...]]:
    """A file for each tensor, however large.

    Raises:
        ValueError: a name that a file cannot have everywhere, or a dtype without a code.
    """
    files: dict[str, tuple[Entry, ...]] = {}
    names: dict[str, str] = {}
    for entry in entries:
        _check_dtype(entry)
        files[_file(entry.name)] = (entry,)
        other = names.setdefault(normalize("NFC", entry.name).casefold(), entry.name)
        if other != entry.name:
            raise ValueError(
                f"tensors {quoted(other)} and {quoted(entry.name)} would share a .npy "
                "file where file names ignore case: rename one of them, or write safetensors"
            )
    return files


def check_file(file: str, entries: Sequence[Entry]) -> None:
    """Raise ValueError unless the file is named after its only tensor."""
    if [_file(entry.name) for entry in entries] != [file]:
        raise ValueError(
            f"{quoted(file)} is not the name of a .npy file with {len(entries)} tensors: use one "
            "tensor, and its name and .npy"
        )
    _check_dtype(entries[0])


def _check_dtype(entry: Entry) -> None:
    if entry.dtype not in NPY_CODES:
        raise ValueError(
            f"tensor {quoted(entry.name)} is {entry.dtype}, for which NumPy's file format has no "
            f"code: choose from {', '.join(NPY_CODES)}, or write safetensors"
        )


def _file(name: str) -> str:
    """The name of a tensor's file; raises ValueError if a file cannot have it on every system."""
    why = ""
    if separators := re.findall(r"[/\\:]", name):
        why = f"it contains {separators[0]!r}, which separates folders on some systems"
    elif name.startswith("."):
        why = "it begins with '.', which hides a file"
    elif not name.isprintable():
        why = "it has an invisible character"
    elif (size := len(name.encode())) > LONGEST:
        why = f"it takes {size:,} bytes, and at most {LONGEST} are possible"
    if why:
        raise ValueError(
            f"tensor {quoted(name)} cannot be the name of a .npy file: {why}; rename the tensor, "
            "or write safetensors"
        )
    return name + SUFFIX


def make_header(entries: Sequence[Entry], _: Recipe) -> bytes:
    """What `numpy.save` writes before the values of a tensor."""
    (entry,) = entries
    shape = tuple(entry.shape)
    fields = (
        f"{{'descr': {NPY_CODES[entry.dtype]!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    )
    text = fields + " " * (GROWTH - len(str(shape[0])) if shape else 0)
    size = len(PREFIX + VERSION_1) + 2 + len(text) + 1
    text += " " * (ALIGNMENT - size % ALIGNMENT) + "\n"
    return PREFIX + VERSION_1 + len(text).to_bytes(2, "little") + text.encode()


def make_index(_: Files, recipe: Recipe) -> bytes:
    """The recipe."""
    return f"{recipe.text()}\n".encode()


def check_lengths(
    _files: Files, _recipe: Recipe, _headers: Mapping[str, bytes], index: bytes | None
) -> None:
    """Raise ValueError if the recipe is too long to be read back."""
    size = len(index or b"")
    if size > RECIPE_LIMIT:
        raise ValueError(
            f"{RECIPE} takes {size:,} bytes, and {RECIPE_LIMIT:,} is the most: give the tensors "
            "shorter names, join them into fewer and larger ones, or write several checkpoints"
        )


def is_shard(_: str) -> bool:
    """No name says that a file is part of a checkpoint: anyone may have .npy files."""
    return False


def family(name: str) -> tuple[str, ...]:
    """That name: no other file can be told from it."""
    return (name,)


def may_write(name: str) -> bool:
    """Whether it is the name of the recipe or of an array."""
    return name == RECIPE or name.endswith(SUFFIX)


# --- reading ---------------------------------------------------------------------------------


def resembles(head: Source) -> bool:
    """Whether it begins as every .npy file does."""
    return head.startswith(PREFIX)


def header_place(head: Source, size: int) -> tuple[int, int]:
    """Where the header begins and ends, with the bytes before its text.

    Raises:
        ValueError: it is not a file of version 1.0 with a whole header that NumPy reads.
    """
    if size == 0:
        raise ValueError("it is empty")
    if not resembles(head):
        raise ValueError("it does not begin with the bytes '\\x93NUMPY'")
    if size >= 8 and head[6:8] != VERSION_1:
        raise ValueError(
            f"it has version {head[6]}.{head[7]} of NumPy's format: arrays of numbers have 1.0"
        )
    end = 10 + int.from_bytes(head[8:10], "little")
    if size < end:
        raise ValueError(
            f"its header ends at byte {end:,}, the file at {size:,}: it was cut short, as by an "
            "interrupted copy or download"
        )
    if end - 10 > NPY_HEADER_LIMIT:
        raise ValueError(
            f"its header has {end - 10:,} bytes, and numpy.load takes {NPY_HEADER_LIMIT:,} at most"
        )
    return 0, end


def parse_header(file: str, text: Source, file_size: int) -> Header:
    """The header of a file of that name, which is its tensor's with .npy.

    Raises:
        ValueError: as `parse_array` does, or no tensor can have that name.
    """
    return Header({check_name(file.removesuffix(SUFFIX)): parse_array(text, file_size)})


def parse_array(text: Source, file_size: int) -> Stored:
    """The array of a whole file with that header.

    Raises:
        ValueError: it is not the header of a whole file of numbers in row-major order.
    """
    match = re.fullmatch(_HEADER, text[10:])
    if match is None:
        found = quoted(bytes(text[10:]))
        raise ValueError(f"the header is {found}, which numpy.save did not write")
    code, order, shape = match[1].decode("latin-1"), match[2], match[3]
    if code not in NPY_ARRAYS:
        raise ValueError(f"its elements are {quoted(code)}: known are {', '.join(NPY_ARRAYS)}")
    if order == b"True":
        raise ValueError("its elements are in column-major order: row-major order is needed")
    dimensions = tuple(map(int, shape.rstrip(b",").split(b", "))) if shape else ()
    stored = Stored(code, dimensions, len(text), tensor_size(dimensions, NPY_ARRAYS[code].itemsize))
    check_end(stored.start + stored.size, file_size)
    return stored


def parse_index(text: bytes) -> Index:
    """The files of a recipe, which need not be of a stream that this fastinit knows.

    Raises:
        ValueError: it is not a recipe, or names a tensor that cannot be a file.
    """
    init = table(text).get("init")
    if not isinstance(init, dict) or not init:
        raise ValueError("it has no init, which names the tensors")
    return Index({check_name(name): _file(name) for name in init}, recipe=text.decode())


NPY = Format(
    name="npy",
    suffix=SUFFIX,
    index=RECIPE,
    single=None,
    index_limit=RECIPE_LIMIT,
    tells_its_call=False,
    codes=NPY_CODES,
    arrays=NPY_ARRAYS,
    arrange=arrange,
    check_file=check_file,
    make_header=make_header,
    renew_header=None,
    check_header=accept,
    make_index=make_index,
    check_lengths=check_lengths,
    is_shard=is_shard,
    family=family,
    may_write=may_write,
    resembles=resembles,
    header_place=header_place,
    parse_header=parse_header,
    parse_index=parse_index,
    check_totals=accept,
)
