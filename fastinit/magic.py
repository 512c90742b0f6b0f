# SPDX-License-Identifier: MIT
"""What a file seems to be by its first bytes, in words for an error message.

Only messages depend on it.  Texts, and what is in them, are for the callers to know.
"""

from __future__ import annotations

import re

HEAD = 4096
"""Bytes of a file that are looked at."""

MAGIC = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file: fetch it with git lfs pull"),
    (b"PK\x03\x04", "a zip archive, as PyTorch's .pt and .bin files are: convert it"),
    (b"GGUF", "a GGUF file: convert it"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras's .h5 files are: convert it"),
    (b"\x93NUMPY", "a NumPy array: load it with numpy.load"),
    (b"\x1f\x8b", "a gzip file: decompress it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file: decompress it"),
    (b"\xfd7zXZ\x00", "an xz file: decompress it"),
    (b"BZh", "a bzip2 file: decompress it"),
)
OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".npz")
"""How the names of files with weights end that fastinit does not read."""

PICKLE = rb"\x80[\x02-\x05][}\]()c\x8a\x95]"
MARKUP = rb"(?i)\s*<(!doctype|html|head|\?xml|error)\b"


def kind_of_bytes(head: bytes) -> str:
    """What a file that begins with `head` is, and what to do with it, or nothing.

    >>> kind_of_bytes(b"GGUF and more")
    'a GGUF file: convert it'
    """
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if re.match(PICKLE, head):
        return "a pickle, as PyTorch's old files are: convert it"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if re.match(MARKUP, head):
        return "a web page or a server's error message: the download failed, so log in or try again"
    if head and not head.strip(b"\x00"):
        return "a file of zeros, as an interrupted download leaves: fetch it again"
    return ""
