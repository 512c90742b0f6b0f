# SPDX-License-Identifier: MIT
"""What the docstrings of all schemes share.  What each says is in its own file."""

from __future__ import annotations

from fastinit.docstrings import completed, with_entry
from fastinit.schemes.fans import fans
from fastinit.schemes.registry import SCHEMES

WRONG_CALL = "TypeError: an argument is missing, unknown or of the wrong type."
"""What every scheme raises."""


def described(docstring: str | None) -> str | None:
    """A scheme's docstring for `help`: complete, with the error that every scheme raises.

    It may refer to `fans` and to the schemes that were made before it.
    """
    complete = completed(docstring, {"fans": fans, **SCHEMES})
    return with_entry(complete, "Raises", WRONG_CALL)
