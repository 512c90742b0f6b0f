# SPDX-License-Identifier: MIT
"""Compiled code in files that may be damaged, foreign or written twice.  Whose code is not known.

A file is a digest and then the code, so a damaged one counts as absent; it is written under another
name first, so two processes may write the same one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from uuid import uuid4

DIGEST_SIZE = 32


def read(path: Path) -> bytes | None:
    """The code in a file; None if it is absent, unreadable or not as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
    return code if hashlib.sha256(code).digest() == digest else None


def write(path: Path, code: bytes, *, outdated: str) -> None:
    """Keep the code in a file, and remove the other files of a pattern, such as ``"fill-*.code"``.

    A failure of the file system leaves no part of a file, and is not an error.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, hashlib.sha256(code).digest() + code)
        for other in path.parent.glob(outdated):
            if other != path:
                other.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """All of the file or nothing, whoever else writes it and however full the disk is."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:16]}.new")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
