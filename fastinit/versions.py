# SPDX-License-Identifier: MIT
"""The version of a package that users install themselves, and whether a room works with it."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any


def installed(
    name: str,
    *,
    needed: str,
    oldest: tuple[int, int],
    install: str,
    parts: tuple[str, ...] = (),
) -> tuple[int, int]:
    """Import a package, and return its major and minor version.

    Args:
        name, needed, oldest, install: as for `checked_version`.
        parts: packages without which it cannot be imported, and which `install` installs with it.

    Raises:
        ImportError: it is not installed, has no version, or is older than `oldest`.
    """
    try:
        package = import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in (name, *parts):
            raise
        raise ImportError(f"{needed}, which is not installed: {install}", name=name) from None
    return checked_version(package, name, needed=needed, oldest=oldest, install=install)


def checked_version(
    package: Any, name: str, *, needed: str, oldest: tuple[int, int], install: str
) -> tuple[int, int]:
    """The major and minor version of a package.

    Args:
        package: what ``import`` found.
        name: its name.
        needed: the beginning of a message, such as "fastinit.torch needs PyTorch 2.6 or newer".
        oldest: the oldest version that is taken; a newer one is not refused.
        install: the command that installs it.

    Raises:
        ImportError: it has no version, or is older than `oldest`.
    """
    version = str(getattr(package, "__version__", ""))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        place = getattr(package, "__file__", None) or list(getattr(package, "__path__", []))
        raise ImportError(
            f"{needed}, but what `import {name}` finds at {place} has no version: rename that "
            f"file or folder, and {install}",
            name=name,
        )
    found = int(numbers[1]), int(numbers[2])
    if found < oldest:
        raise ImportError(
            f"{needed}, but {version} is installed: pip install --upgrade {name}", name=name
        )
    return found
