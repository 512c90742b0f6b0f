# SPDX-License-Identifier: MIT
"""What a checkpoint can be written into: a folder, or a prefix in an object store.

It tells the one from the other, and touches neither.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Protocol

from fastinit.texts import home, quoted

CLOUD_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
"""How the URLs of object stores begin that obstore knows."""

COPYING = {"s3": "aws s3 sync", "gs": "gcloud storage rsync -r"}
"""By the scheme of a URL: the command that copies a prefix to a folder."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PASSWORD = re.compile(r"[^/]+//[^/@]*:[^/]*@")
_JOINED = re.compile(rf"({'|'.join(CLOUD_SCHEMES)}):/(?!/)")


class Url(str):
    """A prefix in an object store, or an object, as messages and reports name it.

    >>> Url("s3://bucket/gpt2") / "config.json"
    's3://bucket/gpt2/config.json'
    """

    __slots__ = ()

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.rstrip('/')}/{name}")


class Target(Protocol):
    """What a folder and a prefix have in common."""

    @property
    def path(self) -> Path | Url:
        """Where it is, for messages."""

    def names(self) -> set[str]:
        """What is in it."""

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file, or nothing if there is no such file or it has more bytes."""

    def put(self, name: str, content: bytes) -> None:
        """Write a small file; it appears whole or not at all."""

    def begins_with(self, name: str, content: bytes, size: int) -> bool:
        """Whether `name` is a file of `size` bytes that begins with `content`."""

    def rename(self, old: str, new: str) -> None:
        """Give a complete file another name."""

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""

    def sync(self) -> None:
        """Make names that were added and removed survive."""


def is_store(target: object) -> bool:
    """Whether it is a store object of obstore."""
    return home(target) == "obstore"


def located(target: Any) -> Path | Url:
    """The folder or the URL that a caller gave.

    Raises:
        ValueError: it is empty, a URL of another kind, or a URL that a Path has changed.
    """
    text = os.fspath(target)
    if text == "":
        raise ValueError("path is '': it is empty; name a folder, or '.' for this one")
    found = _URL.match(text) if isinstance(text, str) else None
    if found is None:
        _check_not_joined(target, text)
        return Path(target)
    if found[1].lower() not in CLOUD_SCHEMES:
        raise ValueError(_not_a_store(text, found[1]))
    if _PASSWORD.match(text):
        raise ValueError(
            "the URL of the object store has a password, which is not used: leave it out, and give "
            "credentials by variables of the environment or a store object of obstore"
        )
    if extra := re.search(r"[?#]", text):
        raise ValueError(
            f"{quoted(text)} has {extra[0]!r}, which begins another part of a URL: write "
            f"%{ord(extra[0]):02X} if it is part of a name"
        )
    return Url(text)


def _check_not_joined(target: object, text: str | bytes) -> None:
    """Raise for a URL of which a Path made one slash of two."""
    if isinstance(text, str) and _JOINED.match(text):
        url = text.replace(":/", "://", 1)
        raise ValueError(
            f"path is {quoted(target)}: a Path joins the slashes of a URL; pass the text {url!r}"
        )


def _not_a_store(text: str, scheme: str) -> str:
    ways = {
        "file": "pass the path alone",
        "hf": "write into a folder, and upload that with hf upload",
        "gcs": "begin it with gs://",
        "memory": "pass an obstore.store.MemoryStore",
        "http": "pass a store object of obstore, or s3:// and the variable AWS_ENDPOINT_URL",
    }
    way = ways.get(scheme.lower().replace("https", "http"), "pass a folder, or one of those")
    known = ", ".join(f"{name}://" for name in CLOUD_SCHEMES)
    return f"{quoted(text)} is not the URL of an object store ({known}): {way}"
