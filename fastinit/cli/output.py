# SPDX-License-Identifier: MIT
"""What commands print: sizes and rates as texts, JSON, reports, and the line of an error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from fastinit import program
from fastinit.program import OutputError, put
from fastinit.texts import printable


def stop(message: str, code: int) -> NoReturn:
    """Print an error as one line, and end with an exit code."""
    program.say(program.one_line(message))
    sys.exit(code)


def put_report(text: str, done: str) -> None:
    """Print the report of finished work; if that fails, the work is still done."""
    try:
        put(text)
    except OutputError as error:
        program.say(program.one_line(f"{done}, but its report is lost: {error}"))


def put_table(rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows of one length, the first of which are titles, as aligned columns."""
    table = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        put("  ".join(cells).rstrip())


def in_bytes(size: float) -> str:
    """A size as it is printed: 360.96 kB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.2f} {unit}"


def in_rate(size: int, seconds: float) -> str:
    """A speed as it is printed: 1.23 GB/s."""
    return f"{size / max(seconds, 1e-9) / 1e9:.2f} GB/s"


def json_text(content: dict[str, Any]) -> str:
    """What --json prints."""
    text = json.dumps(_plain(content), indent=2, default=str)
    return text.replace("\x7f", "\\u007f")  # the only control character that JSON does not escape


def _plain(value: Any) -> Any:
    """The same without numbers that JSON has no word for: null for NaN, texts for infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
