# SPDX-License-Identifier: MIT
"""Asks the system for huge pages: memory that is touched first in pages of 2 MiB fills faster.

It neither allocates memory nor knows what it is for.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import lru_cache

LEAST_SIZE = 2**22
"""Bytes from which it is worth asking; NumPy asks for its own arrays from the same size."""


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
