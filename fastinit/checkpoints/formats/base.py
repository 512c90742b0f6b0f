# SPDX-License-Identifier: MIT
"""What a file format of checkpoints says, so that no other module needs to know it.

A format is pure: it makes and reads bytes and names, and opens no file.  Whatever it reads comes
from strangers, so it checks all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastinit.checkpoints.entries import Entry
from fastinit.checkpoints.flat import Source
from fastinit.checkpoints.recipe import Recipe

Files = Mapping[str, Sequence[Entry]]
"""File name -> its tensors, both in the order of writing."""


class Stored(NamedTuple):
    """One tensor as a file describes it: `start` counts bytes from the beginning of the file."""

    dtype: str  # the format's own code
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """What a file says about itself: tensors in the order of their data, and the recipe's text."""

    tensors: dict[str, Stored]
    recipe: str | None = None


@dataclass(frozen=True)
class Index:
    """What an index says: tensor -> file, the recipe's text if it is there, and any totals."""

    weight_map: dict[str, str]
    recipe: str | None = None
    totals: object = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Format:
    """A file format: names, headers and the index of a checkpoint, both ways.

    A checkpoint is a folder that holds the index and the files which it names or, in some formats,
    a single file alone.  The writer gives the index or the single file its name last.

    Every function raises ValueError for what the format cannot hold, or for what is not valid.
    """

    name: str
    """What users call it, as in ``write(format=...)``."""

    suffix: str
    """How the name of a file with tensors ends."""

    index: str
    """The name of the file that names all others."""

    single: str | None
    """The name of a file that is a whole checkpoint; None where every tensor has its own file."""

    index_limit: int
    """Bytes of an index at most."""

    tells_its_call: bool
    """Whether a header tells from which seed and plan the values were drawn."""

    codes: Mapping[str, str]
    """fastinit's dtypes -> the codes in files, for those that it can hold."""

    arrays: Mapping[str, np.dtype[Any]]
    """The codes that NumPy arrays can show -> NumPy dtypes."""

    # --- before writing ----------------------------------------------------------------------

    arrange: Callable[[Sequence[Entry], int], dict[str, tuple[Entry, ...]]]
    """(tensors, bytes of values in a file at most, where possible) -> file name -> its tensors."""

    check_file: Callable[[str, Sequence[Entry]], None]
    """Whether a file of this name can hold these tensors."""

    make_header: Callable[[Sequence[Entry], Recipe], bytes]
    """The bytes before the values, which follow in the order of the tensors without gaps."""

    renew_header: Callable[[Source, Recipe], bytes] | None
    """(the bytes before the values, recipe) -> the same with that recipe, and nothing else changed;
    None where a header has no room for a recipe."""

    check_header: Callable[[str, bytes], None]
    """(file name, header): whether readers take a header of this length."""

    make_index: Callable[[Files, Recipe], bytes | None]
    """The content of the index of these files, or None where there is no need for one."""

    check_lengths: Callable[[Files, Recipe, Mapping[str, bytes], bytes | None], None]
    """(files, recipe, their headers, index): whether readers take headers and index so long."""

    # --- names in a folder -------------------------------------------------------------------

    is_shard: Callable[[str], bool]
    """Whether a file of this name, in any folder, is a part of a checkpoint in this format."""

    family: Callable[[str], tuple[str, ...]]
    """The names of all files of the checkpoint that has a shard of this name."""

    may_write: Callable[[str], bool]
    """Whether a file of a checkpoint in this format may have this name."""

    # --- reading -----------------------------------------------------------------------------

    resembles: Callable[[Source], bool]
    """Whether a file that begins with these bytes was probably meant to be of this format."""

    header_place: Callable[[Source, int], tuple[int, int]]
    """(the first bytes of a file, its size) -> where its header begins and ends."""

    parse_header: Callable[[str, Source, int], Header]
    """(file name, header from `header_place`, size of the file) -> what the header says."""

    parse_index: Callable[[bytes], Index]
    """What an index with this content says; all files that it names have plain names."""

    check_totals: Callable[[object, Collection[Stored]], None]
    """Whether the `totals` of an index are those of all these tensors."""

    @property
    def marks(self) -> tuple[str, ...]:
        """The files that make a folder a checkpoint."""
        return (self.index,) if self.single is None else (self.index, self.single)


def accept(*_: object) -> None:
    """A check that a format does not need."""


def check_end(end: int, file_size: int) -> None:
    """Raise ValueError unless the file ends where its tensors end."""
    if end > file_size:
        raise ValueError(
            f"the tensors end at byte {end:,}, the file at {file_size:,}: it was cut short, "
            "as by an interrupted copy or download"
        )
    if end < file_size:
        raise ValueError(f"the tensors end at byte {end:,}, the file at {file_size:,}")
