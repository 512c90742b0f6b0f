# SPDX-License-Identifier: MIT
"""Journals: which ranges of an unfinished file are complete, should its writer be killed.

A journal lies beside the temporary file.  It names the shard by a digest, and has a line for each
range that was written and flushed.  The next call that would write the same shard takes the file as
it is; any other removes both.  Lines are added after the flush, so a line that is there is true.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from itertools import pairwise

from fastinit.checkpoints.digests import DIGEST_PAGE
from fastinit.checkpoints.files import JOURNAL, Folder, TemporaryFile, journal_of
from fastinit.checkpoints.layout import Shard
from fastinit.checkpoints.outputs import Left
from fastinit.checkpoints.pieces import Span
from fastinit.values.stream import VERSION

LONGEST_JOURNAL = 2**26
"""Bytes of a journal at most: 10^6 ranges."""

_LINE = re.compile(r"(\d{1,19}) (\d{1,19}) ([0-9a-f]{32})")


def begin(file: TemporaryFile, shard: Shard) -> None:
    """Begin the journal of a file that is to hold this shard."""
    file.note(_call(shard))


def note(file: TemporaryFile, span: Span, digest: str) -> None:
    """Say that a range is complete, with its digest."""
    file.note(f"{span.begin} {span.end} {digest}")


def noted(names: Iterable[str]) -> set[str]:
    """The temporary files that have a journal."""
    matches = map(JOURNAL.fullmatch, names)
    return {f"{match[1]}.fastinit" for match in matches if match}


def left_in(target: Folder, shards: Iterable[Shard]) -> dict[str, Left]:
    """What a killed writer left of these shards, by the names of their files."""
    found = {}
    names = target.names()
    wanted = {shard.file: shard for shard in shards}
    for name in sorted(noted(names) & names):
        shard = wanted.get(name[1:].rsplit(".", 2)[0])
        if shard is None:
            continue
        lines = target.read(journal_of(name), LONGEST_JOURNAL).decode(errors="replace").splitlines()
        if _call(shard) in lines:
            found[shard.file] = Left(name, _complete(lines, shard.data_size))
    return found


def _call(shard: Shard) -> str:
    """The text that only this shard has: seed, plan, tensors and sources."""
    text = json.dumps({**shard.to_json(), "stream": VERSION}, sort_keys=True)
    return f"shard {hashlib.sha256(text.encode()).hexdigest()}"


def _complete(lines: Iterable[str], size: int) -> dict[Span, str]:
    """The ranges of a journal; lines that make no sense are of a write that was cut off."""
    found: dict[Span, str] = {}
    for match in filter(None, map(_LINE.fullmatch, lines)):
        span = Span(int(match[1]), int(match[2]))
        if span.begin % DIGEST_PAGE == 0 and span.begin < span.end <= size:
            found[span] = match[3]
    ordered = sorted(found)
    if any(one.end > other.begin for one, other in pairwise(ordered)):
        return {}
    return found
