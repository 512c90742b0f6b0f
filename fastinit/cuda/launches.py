# SPDX-License-Identifier: MIT
"""From tasks to the fewest launches.  Nothing here calls the driver.

Runs of equal numbers, dtype and seed are jobs of one launch, whatever tensors they belong to.  The
sizes of grids were measured on an H100 (docs/howto/gpu.md): enough blocks of threads for each
multiprocessor to have several, few enough for each to keep its table for many passes.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from fastinit.cuda import parameters
from fastinit.cuda.arrays import DeviceTask
from fastinit.cuda.cuts import DeviceAxes, DeviceRows, DeviceRun, cut
from fastinit.numerics.dtypes import DType
from fastinit.values.numbers import Numbers

THREADS = 256
"""Threads of a block: FI_THREADS."""

BLOCKS_PER_MULTIPROCESSOR = 32

MOST_GRID_ROWS = 65535
"""The driver's limit for the second axis of a grid; a kernel strides over further rows."""

PASS_GROUPS = (8, 4, 1)
"""Philox blocks that a thread makes in a pass, V_GROUPS: 8 at most for `MANY_GROUPS`, 4 at most for
the other kernels, and 1 for rows that are shorter than a pass of 4."""

PASS_GROUPS_64 = (2, 1)
"""The same for float64, whose kernels need more registers."""

MANY_GROUPS = ("FI_NORMAL", "FI_CLIPPED", "FI_SYMMETRIC")
"""Kernels that are fastest with 8 on an H100."""


class Kernel(NamedTuple):
    """One kernel of the text, and how it is compiled."""

    cut: str
    numbers: str
    dtype: str
    groups: int

    @property
    def symbol(self) -> str:
        """Its name in the compiled code."""
        return f"{self.cut}_{self.numbers}_{self.dtype}"


class Launch(NamedTuple):
    """One launch: of a kernel, on a grid of blocks of threads, with parameters."""

    kernel: Kernel
    grid: tuple[int, int]
    arguments: tuple[Any, ...]


class Law(NamedTuple):
    """What the runs of one launch have in common."""

    numbers: Numbers
    dtype: DType
    seed: int

    def kernel(self, cut: str, row: int | None = None) -> Kernel:
        """The kernel that draws it.

        Args:
            row: elements of each of several rows, which are to fill a pass.
        """
        name = parameters.kernel_name(self.numbers, self.dtype)
        return Kernel(cut, name, f"FI_{self.dtype.name.upper()}", self._groups(cut, name, row))

    def _groups(self, cut: str, name: str, row: int | None) -> int:
        """The most groups that suit the kernel and the length of its rows."""
        possible = PASS_GROUPS_64 if self.dtype.name == "float64" else PASS_GROUPS
        if cut == "scattered":
            return possible[-1]  # each element has a block of its own
        if possible is PASS_GROUPS and name not in MANY_GROUPS:
            possible = PASS_GROUPS[1:]
        fit = (n for n in possible if row is None or row >= _pass_size(self.dtype, n))
        return next(fit, possible[-1])


def launches(tasks: Iterable[DeviceTask], multiprocessors: int) -> Iterator[Launch]:
    """The launches that fill the arrays of all tasks, which are of one device and stream."""
    most = BLOCKS_PER_MULTIPROCESSOR * multiprocessors
    runs: dict[Law, list[tuple[int, DeviceRun]]] = defaultdict(list)
    for task in tasks:
        numbers, stream, dtype = task.source.numbers, task.source.stream, task.source.dtype
        assert numbers is not None, "checked by draw"
        assert stream is not None
        law, subsequence = Law(numbers, dtype, stream.seed), stream.subsequence
        for piece in cut(task.out, task.part, dtype):
            if isinstance(piece, DeviceRun):
                runs[law].append((subsequence, piece))
            elif isinstance(piece, DeviceRows):
                yield _of_rows(law, subsequence, piece, most)
            else:
                yield _of_scattered(law, subsequence, piece, most)
    for law, together in runs.items():
        for first in range(0, len(together), parameters.MOST_JOBS):
            yield _of_runs(law, together[first : first + parameters.MOST_JOBS], most)


def _pass_size(dtype: DType, groups: int) -> int:
    """Elements that a block of threads makes at a time."""
    return THREADS * groups * (2 if dtype.name == "float64" else 4)


def _passes(start: int, count: int, dtype: DType, groups: int) -> int:
    """Passes over a run, the first of which begins with the Philox block of its first element."""
    skip = start % (2 if dtype.name == "float64" else 4)
    return -(-(count + skip) // _pass_size(dtype, groups))


def _of_rows(law: Law, subsequence: int, piece: DeviceRows, most: int) -> Launch:
    kernel = law.kernel("rows", piece.count if piece.rows > 1 else None)
    side = min(piece.rows, most, MOST_GRID_ROWS)
    passes = _passes(piece.start, piece.count, law.dtype, kernel.groups)
    spec = parameters.spec(law.numbers, law.seed, subsequence)
    arguments = ctypes.c_void_p(piece.pointer), parameters.rows(piece), spec
    return Launch(kernel, (min(passes, max(1, most // side)), side), arguments)


def _of_scattered(law: Law, subsequence: int, piece: DeviceAxes, most: int) -> Launch:
    spec = parameters.spec(law.numbers, law.seed, subsequence)
    arguments = ctypes.c_void_p(piece.pointer), parameters.axes(piece), spec
    blocks = min(most, -(-piece.total // THREADS))
    return Launch(law.kernel("scattered"), (blocks, 1), arguments)


def _of_runs(law: Law, runs: Sequence[tuple[int, DeviceRun]], most: int) -> Launch:
    """A launch of one run, or of several as jobs, each with blocks in proportion to its passes."""
    if len(runs) == 1:
        subsequence, run = runs[0]
        return _of_rows(
            law, subsequence, DeviceRows(run.pointer, run.start, 0, run.count, 1, 0), most
        )
    jobs, kernel = parameters.JobsParameter(count=len(runs)), law.kernel("jobs")
    jobs.spec = parameters.spec(law.numbers, law.seed, 0)
    passes = [_passes(run.start, run.count, law.dtype, kernel.groups) for _, run in runs]
    total, blocks = sum(passes), 0
    for job, (subsequence, run), own in zip(jobs.job, runs, passes, strict=False):
        job.out, job.start, job.count = run.pointer, run.start, run.count
        job.subsequence, job.first = subsequence, blocks
        blocks += min(own, -(-own * most // total))
    jobs.blocks = blocks
    return Launch(kernel, (blocks, 1), (jobs,))
