# SPDX-License-Identifier: MIT
"""Custom distributions in texts: which functions a text may name, and who says so.

A text, such as a recipe's, never makes fastinit import a module: the functions that it names are
given beside it.  What such a function is, is in values/custom.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

from fastinit.errors import UntrustedError
from fastinit.schemes.expressions import LABEL, MAX_TEXT, strings_in
from fastinit.texts import listed, quoted
from fastinit.values.custom import DrawFunction

OWN_MODULES = frozenset({"fastinit.numba.gallery"})
"""Modules of this package whose distributions every text may name; imported when one does."""

INSTALL = "pip install 'fastinit-weights[numba]'"
"""How to get what custom distributions take."""

Trusted = tuple[DrawFunction, ...]
"""The functions that texts may name."""


def trusted(custom: Iterable[DrawFunction]) -> Trusted:
    """The functions as a tuple, each once.

    Raises:
        TypeError: one is not a custom distribution.
        ValueError: two have one label.
    """
    if isinstance(custom, DrawFunction | str) or not isinstance(custom, Iterable):
        raise TypeError(f"custom is {quoted(custom)}: need a list, such as [laplace]")
    found: dict[str, DrawFunction] = {}
    for function in custom:
        if not isinstance(function, DrawFunction):
            raise TypeError(
                f"custom holds {quoted(function)}: need what fastinit.numba.distribution made, "
                "such as [laplace]"
            )
        if found.setdefault(function.label, function) is not function:
            raise ValueError(f"custom holds two functions that are called {function.label}")
    return tuple(found.values())


def function_of(label: str, known: Trusted) -> DrawFunction:
    """The function that a text names.

    Raises:
        UntrustedError: it was not given.
        ValueError: this package has no such distribution.
        ImportError: it is in our gallery, and Numba is not installed.
    """
    module, name = label.split(":")
    if module in OWN_MODULES:
        found = getattr(import_module(module), name, None)
        if not isinstance(found, DrawFunction) or found.label != label:
            raise ValueError(f"{module} has no distribution {quoted(name)}")
        return found
    for function in known:
        if function.label == label:
            return function
    raise UntrustedError(not_trusted([label]))


def not_trusted(labels: Sequence[str]) -> str:
    """What to do about labels of functions that were not given."""
    modules = sorted({label.partition(":")[0] for label in labels})
    names = ", ".join(label.partition(":")[2] for label in labels)
    options = " ".join(f"--trust {module}" for module in modules)
    what = "is a custom distribution" if len(labels) == 1 else "are custom distributions"
    missing = "" if _numba_is_found() else f"; it takes Numba: {INSTALL}"
    return (
        f"{listed(labels)} {what}, and no text makes fastinit import a module: if you trust "
        f"{listed(modules)}, pass custom=[{names}], imported from there, or on the command line "
        f"{options}{missing}"
    )


def _numba_is_found() -> bool:
    try:
        return find_spec("numba") is not None
    except ValueError:  # a stand-in that some program put into sys.modules
        return False


def labels_in(text: str) -> tuple[str, ...]:
    """The labels of other modules' functions that a scheme's text names, sorted."""
    return tuple(label for label in all_labels_in(text) if not is_own(label))


@lru_cache(maxsize=1024)
def all_labels_in(text: str) -> tuple[str, ...]:
    """The labels of custom distributions that a scheme's text names, sorted."""
    if ":" not in text or len(text) > MAX_TEXT:  # a longer one is refused when it is read
        return ()
    found, begin = set[str](), 0
    for match in strings_in(text):
        found.update(LABEL.findall(text, begin, match.start()))
        begin = match.end()
    found.update(LABEL.findall(text, begin))
    return tuple(sorted(found))


def is_own(label: str) -> bool:
    """Whether it names a distribution of this package."""
    return label.partition(":")[0] in OWN_MODULES
