# SPDX-License-Identifier: MIT
"""A prefix in an object store: the objects whose names begin so.  Knows nothing of tensors.

It is to a store what a `Folder` is to a disk.  An object appears whole or not at all, and what the
store has acknowledged stays; there are no locks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from fastinit.checkpoints.objects import calls, requirement
from fastinit.checkpoints.objects.answers import explained
from fastinit.checkpoints.objects.calls import Pending
from fastinit.checkpoints.targets import Url
from fastinit.texts import printable

if TYPE_CHECKING:
    from datetime import datetime

READS_AT_ONCE = 16
"""Requests for the beginnings of objects that wait for their answers at the same time."""

NAMES_OF_STORES = {"S3Store": "s3", "GCSStore": "gs", "AzureStore": "az"}
"""The class of a store -> how its URLs begin."""


class Prefix:
    """The objects under a URL, or in a store object of obstore, which may have a prefix."""

    def __init__(self, target: Any) -> None:
        requirement.check()
        from obstore.store import from_url

        if isinstance(target, Url):
            self.path = target
            with explained(target, "open"):
                self.store = from_url(str(target))
        else:
            self.path, self.store = _url_of(target), target

    def objects(self) -> dict[str, tuple[int, datetime]]:
        """Name -> bytes, and when the object was made by the store's clock."""
        from obstore import list_with_delimiter

        with explained(self.path, "list"):
            found = calls.wait(lambda: list_with_delimiter(self.store))
        return {row["path"]: (row["size"], row["last_modified"]) for row in found["objects"]}

    def names(self) -> set[str]:
        """What is in it, not deeper."""
        return set(self.objects())

    def matching(self, files: Mapping[str, tuple[bytes, int]]) -> set[str]:
        """Those of the files that are there with this beginning and this size."""
        sizes = {name: size for name, (size, _) in self.objects().items()}
        looks: deque[tuple[str, Pending[bool]]] = deque()
        found = set[str]()

        def take() -> None:
            name, look = looks.popleft()
            with explained(self.path / name, "read"):
                if look.wait():
                    found.add(name)

        for name, (content, size) in files.items():
            if sizes.get(name) == size:
                looks.append((name, calls.begin(partial(self._begins, name, content))))
            if len(looks) == READS_AT_ONCE:
                take()
        while looks:
            take()
        return found

    def _begins(self, name: str, content: bytes) -> bool:
        from obstore import get_range

        with suppress(FileNotFoundError):  # somebody removed it meanwhile
            end = len(content)
            return not content or bytes(get_range(self.store, name, start=0, end=end)) == content
        return False

    def begins_with(self, name: str, content: bytes, size: int) -> bool:
        """Whether `name` is an object of `size` bytes that begins with `content`."""
        return bool(self.matching({name: (content, size)}))

    def read(self, name: str, limit: int) -> bytes:
        """The content of an object, or nothing if there is none or it has more bytes."""
        from obstore import get

        def read() -> bytes:
            with suppress(FileNotFoundError):
                found = get(self.store, name)
                if found.meta["size"] <= limit:
                    return bytes(found.bytes())
            return b""

        with explained(self.path / name, "read"):
            return calls.wait(read)

    def put(self, name: str, content: bytes) -> None:
        """Write a small object, over any other."""
        self._put(name, content, "overwrite")

    def create(self, name: str, content: bytes) -> bool:
        """Write a small object unless there is one of that name already; whether it did.

        Only some stores can tell; another one writes over it.
        """
        from obstore.exceptions import AlreadyExistsError, NotSupportedError

        try:
            self._put(name, content, "create")
        except AlreadyExistsError:
            return False
        except NotSupportedError:
            self.put(name, content)
        return True

    def _put(self, name: str, content: bytes, mode: Any) -> None:
        from obstore import put
        from obstore.exceptions import AlreadyExistsError, NotSupportedError

        known = (AlreadyExistsError, NotSupportedError) if mode == "create" else ()
        with explained(self.path / name, "write", known):
            calls.wait(lambda: put(self.store, name, content, mode=mode, use_multipart=False))

    def rename(self, old: str, new: str) -> None:
        """Copy an object to another name, and delete it; the store does both."""
        from obstore import rename

        with explained(self.path / old, "rename"):
            calls.wait(lambda: rename(self.store, old, new))

    def remove(self, name: str) -> None:
        """Delete an object, if it is there."""
        from obstore import delete

        with explained(self.path / name, "delete"), suppress(FileNotFoundError):
            calls.wait(lambda: delete(self.store, name))

    def sync(self) -> None:
        """Nothing: what a store has acknowledged is there to stay."""

    def open(self, name: str, part: int, at_once: int) -> Any:
        """What takes the bytes of an object in order and sends them in parts, some at once."""
        from obstore import open_writer

        return open_writer(self.store, name, buffer_size=part, max_concurrency=at_once)


def _url_of(store: Any) -> Url:
    """What messages call a store object; its `repr` may fail."""
    kind = type(store).__name__
    if kind not in NAMES_OF_STORES:
        return Url(printable(store.prefix)) if getattr(store, "prefix", None) else Url(kind)
    config = store.config
    place = Url(f"{NAMES_OF_STORES[kind]}://{config.get('bucket') or config.get('container_name')}")
    return place / str(store.prefix) if store.prefix else place
