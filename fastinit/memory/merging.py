# SPDX-License-Identifier: MIT
"""Which axes of a region are one axis.  Neither memory nor values are touched here."""

from __future__ import annotations

from collections.abc import Iterable

from fastinit.memory.regions import Axis

Strided = tuple[Axis, int]
"""An axis, and how many bytes lie between neighbours along it in memory."""


def merged(axes: Iterable[Strided]) -> list[Strided]:
    """Merge neighbouring axes that form one run both in the tensor and in memory.

    Axes of one element are dropped.
    """
    kept: list[Strided] = []
    for axis, stride in axes:
        if axis.count == 1:
            continue
        last, last_stride = kept[-1] if kept else (Axis(0, 0), 0)
        if kept and last.step == axis.step * axis.count and last_stride == stride * axis.count:
            kept[-1] = Axis(last.count * axis.count, axis.step), stride
        else:
            kept.append((axis, stride))
    return kept
