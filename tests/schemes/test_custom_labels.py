# SPDX-License-Identifier: MIT
"""What is said of a custom distribution that was not given, with Numba or without it."""

import sys
import types

import pytest

from fastinit.schemes.custom import not_trusted

NEEDED = "; it takes Numba: pip install 'fastinit-weights[numba]'"


@pytest.mark.parametrize("stand_in", [None, types.ModuleType("numba")], ids=["absent", "no spec"])
def test_without_numba_the_message_says_what_to_install(monkeypatch, stand_in):
    monkeypatch.setitem(sys.modules, "numba", stand_in)
    message = not_trusted(["laws:laplace"])
    assert message.startswith("laws:laplace is a custom distribution")
    assert message.endswith("--trust laws" + NEEDED)


def test_with_numba_it_does_not(monkeypatch):
    found = types.ModuleType("numba")
    found.__spec__ = object()
    monkeypatch.setitem(sys.modules, "numba", found)
    assert not_trusted(["laws:laplace"]).endswith("--trust laws")
