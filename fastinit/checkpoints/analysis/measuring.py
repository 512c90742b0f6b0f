# SPDX-License-Identifier: MIT
"""Measures the elements of tensors in files, by several threads.  Judges nothing.

Each tensor is cut at multiples of a chunk from its own start, and what is known of the chunks is
joined in one way.  So the results depend neither on threads nor on what lies beside the tensor.
Memory is one chunk per thread, and 104 bytes for each chunk of a file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastinit.backends.base import Backend
from fastinit.backends.selection import active
from fastinit.checkpoints.formats.base import Format, Stored
from fastinit.checkpoints.outputs import Progress
from fastinit.checkpoints.pieces import PIECES, Piece, whole_chunks
from fastinit.checkpoints.read import Checkpoint, read_exactly
from fastinit.machine.descriptors import OpenFile
from fastinit.machine.parallel import run
from fastinit.numerics.dtypes import DTYPES, DType
from fastinit.numerics.moments import PART, ElementMoments, joined, measure_array, unit_for

READ_SIZE = 2**21
"""Bytes that a thread reads at a time: more would leave the L3 cache, less take more calls."""


def array_type(form: Format, code: str) -> np.dtype[Any] | None:
    """The NumPy type whose real numbers the elements of a code are; None for packed, complex."""
    found = form.arrays.get(code)
    return None if found is None or found.kind == "c" else found


def dtype_of(form: Format, code: str) -> DType | None:
    """The dtype of fastinit that a code stands for, if it is one of those that it draws."""
    return next((DTYPES[name] for name, own in form.codes.items() if own == code), None)


class _Tensor(NamedTuple):
    stored: Stored
    array: np.dtype[Any]
    kind: DType | None
    parts: np.ndarray[Any, Any]


def measured(
    checkpoint: Checkpoint,
    file: str,
    names: list[str],
    workers: int,
    progress: Progress | None = None,
) -> dict[str, ElementMoments]:
    """The moments of the tensors `names` of one file, all of readable dtypes."""
    header, form = checkpoint.header(file), checkpoint.form
    tensors: dict[str, _Tensor] = {}
    for name in names:
        stored = header.tensors[name]
        array = array_type(form, stored.dtype)
        assert array is not None
        parts = np.zeros(-(-stored.size // READ_SIZE), PART)
        tensors[name] = _Tensor(stored, array, dtype_of(form, stored.dtype), parts)
    _Measurement(checkpoint, file, progress).run(tensors, workers)
    return {name: joined(tensor.parts) for name, tensor in tensors.items()}


class _Measurement:
    """One file being measured."""

    def __init__(self, checkpoint: Checkpoint, file: str, progress: Progress | None) -> None:
        self.checkpoint = checkpoint
        self.path = checkpoint.folder / file
        self.progress = progress
        self.backend: Backend = active()
        self.lock = threading.Lock()
        self.local = threading.local()

    def run(self, tensors: dict[str, _Tensor], workers: int) -> None:
        with OpenFile() as opened:
            self.descriptor, _ = self.checkpoint.open_file(opened, self.path.name)
            run(self.tasks(tensors), self.work, workers, self.prepare)

    def tasks(self, tensors: dict[str, _Tensor]) -> Iterator[list[Piece[_Tensor]]]:
        rows = ((tensor, tensor.stored.size) for tensor in tensors.values())
        return whole_chunks(rows, READ_SIZE, PIECES)

    def prepare(self) -> None:
        """Allocate what a thread reads into."""
        self.local.buffer = np.empty(READ_SIZE, np.uint8)

    def work(self, pieces: list[Piece[_Tensor]]) -> None:
        """Read and measure piece by piece."""
        for tensor, start, size in pieces:
            found = self.local.buffer[:size]
            read_exactly(self.descriptor, found.data, tensor.stored.start + start, self.path)
            place = start // READ_SIZE
            self.measure(tensor, found, tensor.parts[place : place + 1])
        if self.progress:
            with self.lock:
                self.progress(sum(piece.size for piece in pieces))

    def measure(self, tensor: _Tensor, found: Any, part: Any) -> None:
        """Measure a piece, once more in a unit of its own if powers of its numbers overflow."""
        self.sums(tensor, found, part, 1.0)
        if tensor.array.itemsize < 8:
            return
        measured = part["measured"][0]
        if measured["finite"]:
            unit = unit_for(float(measured["low"]), float(measured["high"]))
            if unit != 1.0:
                part["measured"] = 0
                self.sums(tensor, found, part, unit)

    def sums(self, tensor: _Tensor, found: Any, part: Any, unit: float) -> None:
        part["unit"] = unit
        if tensor.kind is None:
            measure_array(found.view(tensor.array), unit, part["measured"])
        else:
            self.backend.measure(part["measured"], found, tensor.kind, unit)


def sample(checkpoint: Checkpoint, file: str, stored: Stored, most: int) -> np.ndarray[Any, Any]:
    """At most about `most` elements of a tensor as float64: evenly spaced runs of 2**10."""
    array = array_type(checkpoint.form, stored.dtype)
    assert array is not None
    count, run_of = stored.size // array.itemsize, 2**10
    step = max(run_of, -(-count * run_of // most))
    found = []
    with OpenFile() as opened:
        descriptor, _ = checkpoint.open_file(opened, file)
        for first in range(0, count, step):
            buffer = np.empty(min(run_of, count - first) * array.itemsize, np.uint8)
            place = stored.start + first * array.itemsize
            read_exactly(descriptor, buffer.data, place, checkpoint.folder / file)
            with np.errstate(invalid="ignore"):  # signalling NaNs
                found.append(buffer.view(array).astype(np.float64))
    return np.concatenate(found) if found else np.empty(0)
