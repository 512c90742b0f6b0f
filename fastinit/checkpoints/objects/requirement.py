# SPDX-License-Identifier: MIT
"""Which versions of obstore this folder works with.  It imports obstore and uses nothing of it."""

from __future__ import annotations

from fastinit.versions import installed

OLDEST_OBSTORE = (0, 12)
"""The first version that tests ran with: it takes back an upload that an exception ends."""

OBSTORE_NEEDED = "writing into an object store needs obstore 0.12 or newer"

_INSTALL = "pip install 'fastinit-weights[cloud]'"


def check() -> None:
    """Import obstore.

    Raises:
        ImportError: it is not installed, or older than `OLDEST_OBSTORE`.
    """
    installed("obstore", needed=OBSTORE_NEEDED, oldest=OLDEST_OBSTORE, install=_INSTALL)
