# SPDX-License-Identifier: MIT
"""Huge pages are asked for, and nothing else happens."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from fastinit.machine import pages

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture
def advised(monkeypatch):
    """What the system is asked for; it agrees."""
    calls = []

    def madvise(start, size, advice):
        calls.append((start, size, advice))
        return 0

    monkeypatch.setattr(pages, "_madvise", lambda: madvise)
    return calls


def test_only_whole_pages_inside_the_range_are_asked_for(advised):
    page, huge = mmap.PAGESIZE, 2**23
    assert pages.ask_for_huge_pages(5 * page + 1, huge)
    assert advised == [(6 * page, huge - page, mmap.MADV_HUGEPAGE)]
    advised.clear()
    assert pages.ask_for_huge_pages(5 * page, huge)
    assert advised == [(5 * page, huge, mmap.MADV_HUGEPAGE)]


def test_small_memory_is_not_worth_asking(advised):
    assert not pages.ask_for_huge_pages(0, pages.LEAST_SIZE - 1)
    assert advised == []


def test_a_system_without_the_advice_is_not_asked(monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
    assert pages._madvise.__wrapped__() is None
    monkeypatch.setattr(pages, "_madvise", lambda: None)
    assert not pages.ask_for_huge_pages(0, 2**23)


def test_a_system_that_refuses_changes_nothing():
    out = np.zeros(2**23, np.uint8)
    assert not pages.ask_for_huge_pages(2**62, 2**23)  # no such memory
    pages.ask_for_huge_pages(out.ctypes.data, out.size)
    assert not out.any()


@pytest.mark.skipif(
    not SETTING.exists() or "[never]" in SETTING.read_text("ascii"),
    reason="not in this machine: huge pages",
)
def test_the_range_is_marked_by_the_system():
    out = mmap.mmap(-1, 2**24, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = np.frombuffer(out, np.uint8)
    assert pages.ask_for_huge_pages(view.ctypes.data, view.size)
    text = Path("/proc/self/smaps").read_text("ascii")
    block = text[text.index(f"{view.ctypes.data:x}-") :]
    flags = next(line for line in block.splitlines() if line.startswith("VmFlags"))
    assert " hg" in flags
