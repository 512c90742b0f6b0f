# SPDX-License-Identifier: MIT
"""Every scheme by its name.  Texts, plans, documents and tests look schemes up here.

`maker`, in maker.py, enters a scheme; nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastinit.schemes.scheme import Scheme

SCHEMES: dict[str, Callable[..., Scheme]] = {}
"""The function of each scheme."""
