# SPDX-License-Identifier: MIT
"""A file of one array, .npy or raw, and the sidecar beside it that says how it was made.

A raw file has the values alone, so its sidecar is its header; the header of a .npy file has no room
for a recipe.  Which file has a sidecar, and when that is written, is for others to know.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any

from fastinit.checkpoints.entries import Entry, tensor_size
from fastinit.checkpoints.flat import Source, table
from fastinit.checkpoints.formats.base import Format, Header, Stored, accept, check_end
from fastinit.checkpoints.formats.npy import NPY, SUFFIX, parse_array
from fastinit.magic import OTHER_WEIGHTS
from fastinit.numerics.dtypes import DTYPES
from fastinit.plans.reading import BESIDE
from fastinit.plans.tensors import check_name
from fastinit.texts import quoted

SIDECAR_LIMIT = 10_000_000  # bytes
PLACE = {"dtype": str, "shape": str, "start": int, "filled": int}
"""The fields of a sidecar that follow those of the recipe."""

LONGEST_PATH = 198  # bytes of a name: with those of the sidecar's temporary file at most 255
_FOREIGN = (".safetensors", ".json", ".toml", *(end for end in OTHER_WEIGHTS if end != ".bin"))
_OURS = (BESIDE, ".fastinit")
_SHAPE = re.compile(r"|(?:0|[1-9][0-9]{0,18})(?:,(?:0|[1-9][0-9]{0,18})){0,63}", re.ASCII)


@dataclass(frozen=True)
class Sidecar:
    """How the only array of a file was made, and where it lies.

    `recipe` has the fields of the recipe.  An array that is not `filled` was allocated for somebody
    to fill, and only `verify` can tell how far that went.
    """

    recipe: dict[str, Any]
    dtype: str
    shape: tuple[int, ...]
    start: int
    filled: bool

    @property
    def name(self) -> str:
        """The name of the tensor."""
        (name,) = self.recipe["init"]
        return str(name)

    def text(self) -> str:
        """The content of the sidecar."""
        place = {
            "dtype": self.dtype,
            "shape": ",".join(map(str, self.shape)),
            "start": self.start,
            "filled": int(self.filled),
        }
        return _json({**self.recipe, **place}) + "\n"

    @classmethod
    def parse(cls, text: Source) -> Sidecar:
        """The sidecar with this content, whose recipe need not be of a stream that we know.

        Raises:
            ValueError: it is not a sidecar.
        """
        fields = table(text)
        for name, kind in PLACE.items():
            if type(fields.get(name)) is not kind:
                raise ValueError(f"it has no {name} of type {kind.__name__}")
        place: dict[str, Any] = {name: fields.pop(name) for name in PLACE}
        init = fields.get("init")
        if not isinstance(init, dict) or len(init) != 1:
            raise ValueError("it has no init of one tensor")
        check_name(next(iter(init)))
        if place["dtype"] not in DTYPES:
            known = ", ".join(DTYPES)
            raise ValueError(f"it has dtype {quoted(place['dtype'])}: known are {known}")
        if place["filled"] > 1:
            raise ValueError(f"its filled is {place['filled']}: 0 and 1 are possible")
        return cls(
            fields, place["dtype"], _shape(place["shape"]), place["start"], bool(place["filled"])
        )

    def differences(self, other: Sidecar) -> list[str]:
        """What the arrays differ in: "seed 1, not 0"; whether they are filled does not count."""
        ours, theirs = self._described(), other._described()
        keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        return [f"{key} {quoted(ours.get(key))}, not {quoted(theirs.get(key))}" for key in keys]

    def _described(self) -> dict[str, Any]:
        """Everything but the digest, which follows from it."""
        ((name, init),) = self.recipe["init"].items()
        rest = {key: self.recipe.get(key) for key in ("stream", "seed", "custom")}
        place = {"dtype": self.dtype, "shape": self.shape, "start": self.start}
        return {"name": name, "scheme": init, **rest, **place}


def sidecar_for(entry: Entry, recipe: str, start: int, *, filled: bool) -> Sidecar:
    """The sidecar of a file that holds `entry` from byte `start`, made by a recipe."""
    return Sidecar(dict(table(recipe.encode())), entry.dtype, entry.shape, start, filled)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _shape(text: str) -> tuple[int, ...]:
    if not _SHAPE.fullmatch(text):
        raise ValueError(f"its shape is {quoted(text)}: whole numbers with commas are needed")
    shape = tuple(map(int, text.split(","))) if text else ()
    if 0 in shape:
        raise ValueError(f"its shape is {quoted(text)}: an array without elements has no file")
    return shape


# --- before writing --------------------------------------------------------------------------


def single_format(file: str) -> Format:
    """The format of a file of that name that holds one array.

    Raises:
        ValueError: no such file may have the name.
    """
    ending = PurePath(file).suffix
    why = ""
    if file.endswith(_OURS) or file == BESIDE[1:]:
        why = "fastinit keeps its own files under such names"
    elif ending.lower() in _FOREIGN or (ending.lower() == SUFFIX and ending != SUFFIX):
        why = "programs take it for a file of another format"
    elif (size := len(file.encode(errors="surrogateescape"))) > LONGEST_PATH:
        why = f"it takes {size:,} bytes, and at most {LONGEST_PATH} are possible"
    if why:
        raise ValueError(
            f"{quoted(file)} cannot be the name of a memory-mapped file: {why}; choose another, "
            "such as weights.npy, or weights.bin for the values alone"
        )
    return ARRAY if ending == SUFFIX else RAW


def check_single(form: Format, entry: Entry) -> None:
    """Raise ValueError unless a file of that format can hold the array."""
    if entry.dtype not in form.codes:
        raise ValueError(
            f"dtype is {entry.dtype}, for which NumPy's file format has no code: choose from "
            f"{', '.join(form.codes)}, or another suffix, such as .bin, for the values alone"
        )
    if not entry.size:
        raise ValueError(
            f"shape {quoted(entry.shape)} has no elements: a memory map needs one or more"
        )


# --- reading ---------------------------------------------------------------------------------


def described(file: str, sidecar: Sidecar) -> Format:
    """The format of a file with that sidecar: its header is what both say.

    Raises:
        ValueError: it is not the sidecar of such a file.
    """
    form = single_format(file)
    if sidecar.dtype not in form.codes:
        raise ValueError(f"it has dtype {sidecar.dtype}, which the file cannot hold")
    return replace(form, parse_header=partial(_parse_header, form, sidecar))


def _parse_header(form: Format, sidecar: Sidecar, _: str, text: Source, file_size: int) -> Header:
    """The header of a file, or ValueError if its sidecar or its size tells something else."""
    size = tensor_size(sidecar.shape, DTYPES[sidecar.dtype].size)
    stored = Stored(form.codes[sidecar.dtype], sidecar.shape, sidecar.start, size)
    check_end(stored.start + stored.size, file_size)
    if text:
        found = parse_array(text, file_size)
        if found != stored:
            raise ValueError(
                f"its elements are {found.dtype} of shape {found.shape} from byte {found.start}, "
                f"but {BESIDE} beside it says {stored.dtype}, {stored.shape} and {stored.start}"
            )
    return Header({sidecar.name: stored}, _json(sidecar.recipe))


def _no_header(*_: object) -> bytes:
    return b""


def _no_place(*_: object) -> tuple[int, int]:
    return 0, 0


ARRAY = replace(NPY, name="array", index="", single="", check_file=accept)
RAW = replace(
    ARRAY,
    name="raw",
    suffix="",
    codes={name: name for name in DTYPES},
    arrays={name: kind.numpy for name, kind in DTYPES.items()},
    make_header=_no_header,
    resembles=bool,
    header_place=_no_place,
)
