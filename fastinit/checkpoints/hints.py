# SPDX-License-Identifier: MIT
"""What a file or a folder that is not a checkpoint seems to be, in words for an error message.

It guesses from the first bytes and from names.  Only messages depend on the guess.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from fastinit.checkpoints.files import CLAIM, JOURNAL, SEALED, TEMPORARY
from fastinit.checkpoints.formats import FORMATS, MARKS
from fastinit.magic import OTHER_WEIGHTS, kind_of_bytes
from fastinit.plans.reading import BESIDE, LOOKED_AT, folder_below, names_seen
from fastinit.texts import listed, printable


def file_hint(head: bytes, name: str) -> str:
    """`; it looks like ...` for a file of another kind that begins with `head`, or nothing."""
    kind = kind_of_bytes(head) or _kind_of_text(head, name)
    looks = f"; it looks like {kind}" if kind else ""
    if name.endswith((".safetensors", ".json")) or (kind and not name.endswith(".npy")):
        return looks
    return f"{looks}; if fastinit.memmap made it, {printable(name + BESIDE)} is missing beside it"


def _kind_of_text(head: bytes, name: str) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        if b'"weight_map"' in head or name.endswith(".index.json"):
            return "the index of a checkpoint: pass its folder"
        return "a JSON file: pass the folder of a checkpoint, or a .safetensors file"
    if name.endswith(".toml") or re.search(rb"^\s*\[\[(tensor|rule)\]\]", head, re.MULTILINE):
        return "a plan: write its checkpoint with fastinit write, then pass that folder"
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return ""
    return "a text file" if text and not re.search(r"[\x00-\x08\x0e-\x1f]", text) else ""


def folder_hint(folder: Path) -> str:
    """`; ...` on what a folder without a checkpoint holds instead, or nothing."""
    names = sorted(islice(names_seen(folder), LOOKED_AT))
    weights = [name for name in names if name.endswith(".safetensors")]
    if weights:
        return f"; pass one of its files: {listed(weights)}"
    below = folder_below(folder, MARKS)
    if below is not None:
        return f"; pass {printable(below)}, which holds one"
    others = [name for name in names if name.endswith(OTHER_WEIGHTS)]
    if others:
        return f"; convert its weights to safetensors: {listed(others)}"
    return ""


def unfinished_in(folder: Path) -> list[str]:
    """What an interrupted write left in a folder: numbered shards and files of ours, sorted."""
    return sorted(name for name in names_seen(folder) if _is_unfinished(name))


def _is_unfinished(name: str) -> bool:
    hidden = (TEMPORARY, JOURNAL, SEALED, CLAIM)
    return any(kind.fullmatch(name) for kind in hidden) or any(
        form.is_shard(name) for form in FORMATS.values()
    )
