# SPDX-License-Identifier: MIT
"""Which versions of transformers this room works with.  It looks at the version alone."""

from __future__ import annotations

import warnings

from fastinit.errors import VersionWarning
from fastinit.versions import installed

OLDEST_TRANSFORMERS = (5, 8)
"""The first version that the tests of this room passed with, once."""
_TESTED = ((5, 24),)
"""The versions that tests run with each time, as (major, minor)."""

_OLDEST_TEXT = ".".join(map(str, OLDEST_TRANSFORMERS))
TRANSFORMERS_NEEDED = f"fastinit.transformers needs transformers {_OLDEST_TEXT} or newer"

_INSTALL = "pip install transformers"


def check() -> None:
    """Import transformers.

    Warns:
        VersionWarning: no test ran with this version.

    Raises:
        ImportError: it is not installed, or older than `OLDEST_TRANSFORMERS`.
    """
    found = installed(
        "transformers", needed=TRANSFORMERS_NEEDED, oldest=OLDEST_TRANSFORMERS, install=_INSTALL
    )
    if found not in _TESTED:
        import transformers

        tested = ", ".join(f"{major}.{minor}" for major, minor in _TESTED)
        warnings.warn(
            f"fastinit was tested with transformers {tested}, and {transformers.__version__} is "
            "installed: what cannot be recorded of a model is an error, but compare one of yours "
            "with what transformers makes before you rely on it",
            VersionWarning,
            stacklevel=3,
        )
