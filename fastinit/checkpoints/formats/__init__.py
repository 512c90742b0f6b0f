# SPDX-License-Identifier: MIT
"""The file formats, by name.  To add one: a module beside these, and its name below.

FORMATS are those of folders, SINGLE_FORMATS those of files of one array with a sidecar.
"""

from __future__ import annotations

from fastinit.checkpoints.formats.base import Format
from fastinit.checkpoints.formats.npy import NPY
from fastinit.checkpoints.formats.safetensors import SAFETENSORS
from fastinit.checkpoints.formats.sidecars import ARRAY, RAW
from fastinit.texts import quoted

DEFAULT = SAFETENSORS.name
FORMATS: dict[str, Format] = {form.name: form for form in (SAFETENSORS, NPY)}
SINGLE_FORMATS: dict[str, Format] = {form.name: form for form in (ARRAY, RAW)}
MARKS = tuple(name for form in FORMATS.values() for name in form.marks)
"""The files that make a folder a checkpoint, in any format."""


def format_of(name: object) -> Format:
    """The format of that name, of a folder.

    Raises:
        ValueError: there is no such format.
    """
    if not isinstance(name, str) or name not in FORMATS:
        raise ValueError(f"format is {quoted(name)}: choose from {', '.join(FORMATS)}")
    return FORMATS[name]
