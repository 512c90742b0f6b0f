# SPDX-License-Identifier: MIT
"""Reads sizes of files as people write them.  It does not measure anything."""

from __future__ import annotations

import re
from typing import SupportsIndex

from fastinit.integers import integer_of
from fastinit.texts import quoted

DECIMAL = {f"{prefix}B": 10 ** (3 * n) for n, prefix in enumerate("KMGT", 1)}
BINARY = {f"{prefix}IB": 2 ** (10 * n) for n, prefix in enumerate("KMGT", 1)}
UNITS = {**DECIMAL, **BINARY}
SIZE_TEXT = re.compile(r"\s*([0-9]{1,15})(?:(\.[0-9]{1,15})?\s*([KMGT]I?B))?\s*", re.ASCII | re.I)
BARE_PREFIX = re.compile(r"[0-9. ]+([KMGT])", re.ASCII | re.I)


def parse_size(size: SupportsIndex | str) -> int:
    """Bytes in a size: "5GB" is 5 * 1000**3 as in huggingface_hub, "5GiB" 5 * 1024**3.

    Decimals are exact, and a fraction of a byte is dropped.  huggingface_hub computes with floats:
    its "4.1GB" are 4,099,999,999 bytes.

    >>> parse_size("4.1GB"), parse_size("1.5 GiB")
    (4100000000, 1610612736)
    """
    number = 0
    if isinstance(size, str):
        if match := SIZE_TEXT.fullmatch(size):
            whole, fraction, unit = match.groups(default="")
            digits = fraction[1:]
            number = int(whole + digits) * UNITS.get(unit.upper(), 1) // 10 ** len(digits)
    else:
        number = integer_of(size) or 0
    if number < 1:
        raise ValueError(
            f"max_shard_size is {quoted(size)}: pass bytes as a whole number of 1 or more, "
            f'or text such as "500MB", "5GB" or "1.5GiB"{_prefix_hint(size)}'
        )
    return number


def _prefix_hint(size: object) -> str:
    """What to write for "5G", which is 5GB to some programs and 5GiB to others."""
    match = isinstance(size, str) and BARE_PREFIX.fullmatch(size.strip())
    if not match:
        return ""
    prefix = match[1].upper()
    return f"; {prefix} alone means {prefix}B to some programs, {prefix}iB to others: choose one"
