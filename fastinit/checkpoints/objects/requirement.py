# SPDX-License-Identifier: MIT
"""Which versions of obstore this folder works with.  It imports obstore and uses nothing of it."""

from __future__ import annotations

from fastinit.versions import checked_version

OLDEST_OBSTORE = (0, 12)
"""The first version that tests ran with: it takes back an upload that an exception ends."""

OBSTORE_NEEDED = "writing into an object store needs obstore 0.12 or newer"

_INSTALL = "pip install 'fastinit-weights[cloud]'"


def check() -> None:
    """Import obstore.

    Raises:
        ImportError: it is not installed, or older than `OLDEST_OBSTORE`.
    """
    try:
        import obstore
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        message = f"{OBSTORE_NEEDED}, which is not installed: {_INSTALL}"
        raise ImportError(message, name="obstore") from None
    checked_version(
        obstore, "obstore", needed=OBSTORE_NEEDED, oldest=OLDEST_OBSTORE, install=_INSTALL
    )
