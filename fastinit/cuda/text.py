# SPDX-License-Identifier: MIT
"""The kernel text: isa_cuda.cu and what it includes.  It is compiled in compiling.py.

A built package has a copy of these files beside this one, which setup.py makes by `included`.  An
editable install, or a checkout, uses those of src_c/ themselves.  Only the standard library is
imported here, because setup.py runs this file alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STUB = "isa_cuda.cu"

COPY = Path(__file__).parent / "kernel_text"
"""Where the copy is."""

INCLUDE = re.compile(r"""^\s*#\s*include\s+(["<])([^">]+)[">]""", re.MULTILINE)

STANDARD_HEADERS = "nvrtc"
"""The folder of what NVRTC needs of the standard headers, as it has none."""


@dataclass(frozen=True)
class Text:
    """The stub, and every header by the name under which it is included."""

    stub: str
    headers: dict[str, str]

    @property
    def digest(self) -> str:
        """Of all of it, in hexadecimal digits."""
        found = hashlib.sha256(self.stub.encode())
        for name, text in sorted(self.headers.items()):
            found.update(f"\0{name}\0{text}".encode())
        return found.hexdigest()


def included(folder: Path) -> dict[str, Path]:
    """The files that the stub in `folder` includes, by the names that it and they write.

    No name stands for two files.

    Raises:
        OSError: a file is missing.
    """
    found: dict[str, Path] = {}
    pending = [folder / STUB]
    while pending:
        path = pending.pop()
        for mark, name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            if name not in found:
                places = [folder / STANDARD_HEADERS] if mark == "<" else [path.parent, folder]
                there = [place / name for place in places if (place / name).exists()]
                if not there:
                    raise FileNotFoundError(
                        f"{path} includes {name}, which is not there: install fastinit again"
                    )
                found[name] = there[0]
                pending.append(found[name])
    return found


@cache
def text() -> Text:
    """The text of this package.

    Raises:
        OSError: files are missing.
    """
    folder = COPY if COPY.exists() else Path(__file__).parents[2] / "src_c"
    headers = {name: path.read_text(encoding="utf-8") for name, path in included(folder).items()}
    stub = (folder / STUB).read_text(encoding="utf-8")
    return Text(stub, headers)
