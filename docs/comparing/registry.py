# SPDX-License-Identifier: MIT
"""The register of checks: a question, a library, and the function that asks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

CHECKS: list[tuple[str, str, str, Callable[[], str]]] = []
"""Question, library, the package that it needs, and what answers."""


@dataclass(frozen=True)
class Answer:
    """What one library did."""

    question: str
    library: str
    seen: str


def check(question: str, library: str, package: str = "") -> Callable[..., Any]:
    """Register a function without arguments that answers `question` for `library`."""

    def register(function: Callable[[], str]) -> Callable[[], str]:
        CHECKS.append((question, library, package, function))
        return function

    return register


def same(one: Any, two: Any) -> str:
    """The word that says whether two arrays have the same values."""
    return "equal" if np.array_equal(np.asarray(one), np.asarray(two)) else "different"
