# SPDX-License-Identifier: MIT
"""Cuts a task by the samplers that draw it, where parts of a tensor have their own distributions.

How elements of one sampler are cut into launches is in cuts.py.
"""

from __future__ import annotations

from itertools import islice

from fastinit.cuda.arrays import DeviceArray, DeviceTask, dense_strides
from fastinit.cuda.drawing import can_draw
from fastinit.memory.regions import Axis, Region
from fastinit.values.samplers import SamplerRows

MOST_TASKS = 64
"""More than these are copied from the CPU: each may take a launch of its own."""


def parts(task: DeviceTask) -> list[DeviceTask]:
    """Tasks that together fill what `task` does, by kernels; an empty list if these cannot.

    A tensor of several parts, such as an embedding with a row of zeros, is cut where its elements
    follow each other both in the whole tensor and in memory, without gaps.
    """
    if can_draw(task.source):
        return [task]
    out, part, size = task.out, task.part, task.source.dtype.size
    dense = part.consecutive and out.strides == dense_strides(out.shape, size)
    if part.count == 0 or not dense:
        return []
    found = list(islice(task.source.split(part.start, part.count), MOST_TASKS + 1))
    if len(found) > MOST_TASKS or not all(can_draw(rows.sampler) for rows in found):
        return []
    return [_task(task, rows) for rows in found]


def _task(whole: DeviceTask, rows: SamplerRows) -> DeviceTask:
    """The task of some rows of the whole."""
    size = whole.source.dtype.size
    out = DeviceArray(
        whole.out.pointer + (rows.start - whole.part.start) * size,
        (rows.rows, rows.count),
        (rows.start_step * size, size),
        whole.out.device,
        whole.out.stream,
    )
    region = Region(rows.start, (Axis(rows.rows, rows.start_step), Axis(rows.count, 1)))
    return DeviceTask(out, rows.sampler, region)
