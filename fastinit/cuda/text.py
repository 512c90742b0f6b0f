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

COPY = Path(__file__).parent / "text"
"""Where the copy is."""

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

STANDARD_HEADERS = {
    "stdint.h": """\
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#define UINT64_C(a) a##ull
""",
    "stddef.h": """\
typedef decltype((char *)0 - (char *)0) ptrdiff_t;
#define NULL 0
""",
    "string.h": "",
}
"""What NVRTC has built in, or not at all."""


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
    """The files that the stub in `folder` includes, by the names that it and they write."""
    found: dict[str, Path] = {}
    pending = [folder / STUB]
    while pending:
        path = pending.pop()
        for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            beside = path.parent / name
            file = beside if beside.exists() else folder / name
            if name not in found:
                found[name] = file
                pending.append(file)
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
    return Text(stub, {**STANDARD_HEADERS, **headers})
