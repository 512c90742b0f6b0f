# SPDX-License-Identifier: MIT
"""Bars that show how far the work is, on stderr and on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TextIO


@contextmanager
def bar(total: int, doing: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr, if that is a terminal, from the first bytes on; yields its update."""
    with ExitStack() as stack:
        bars: list[Any] = []
        drawn = False

        def progress(size: int) -> None:
            nonlocal drawn
            with suppress(OSError):  # the terminal may go away; the work goes on
                if size and not drawn:
                    drawn = True  # set first: a bar that cannot be drawn is not tried again
                    bars.append(stack.enter_context(_drawn(total, doing)))
                for shown in bars:
                    shown.update(size)

        yield progress if _is_terminal(sys.stderr) else lambda size: None


@contextmanager
def _drawn(total: int, doing: str) -> Iterator[Any]:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread beside ours

    shown = Bar(total=total, desc=doing, unit="B", unit_scale=True, miniters=1)
    try:
        yield shown
    finally:
        with suppress(OSError):
            shown.close()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
