# SPDX-License-Identifier: MIT
"""The machine's memory: how much there is, and huge pages, which fill faster when first touched.

It neither allocates memory nor knows what it is for.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from functools import lru_cache

LEAST_SIZE = 2**22
"""Bytes from which it is worth asking; NumPy asks for its own arrays from the same size."""

LITTLE = 2**32
"""Bytes of memory that any machine has on which this is installed."""


def ask_for_huge_pages(address: int, size: int) -> bool:
    """Ask for huge pages in a range of memory that was not touched yet.

    A system that gives 4 KiB pages otherwise, as Linux does where
    ``/sys/kernel/mm/transparent_hugepage/enabled`` says ``madvise``, takes a page fault for each:
    that costs about as much time as drawing the values.

    Args:
        address, size: of the range, in bytes; only whole pages inside it are asked for.

    Returns:
        Whether the system took the advice.  Where it cannot, nothing changes.
    """
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
    advise = _madvise()
    if size < LEAST_SIZE or advise is None:
        return False
    return advise(start, stop - start, mmap.MADV_HUGEPAGE) == 0


def physical_memory() -> int:
    """Bytes of memory of the machine; `LITTLE` where the system does not say."""
    if not hasattr(os, "sysconf"):
        return LITTLE
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@lru_cache(maxsize=1)
def _madvise() -> Callable[[int, int, int], int] | None:
    """The C library's function; None where there is no such advice."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    function.restype = ctypes.c_int
    found: Callable[[int, int, int], int] = function
    return found
