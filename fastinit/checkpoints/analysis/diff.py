# SPDX-License-Identifier: MIT
"""Compares the tensors of two checkpoints, whatever files they are in.  Knows no recipe."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastinit.checkpoints.analysis.measuring import array_type
from fastinit.checkpoints.formats.base import Stored
from fastinit.checkpoints.pieces import CHUNK, PIECES, Piece, whole_chunks
from fastinit.checkpoints.read import Checkpoint, read_exactly
from fastinit.errors import InvalidCheckpointError
from fastinit.machine.descriptors import OpenFile
from fastinit.machine.floats import default_floats
from fastinit.machine.parallel import run, thread_count
from fastinit.numerics.moments import Elements
from fastinit.plans.rules import chosen
from fastinit.texts import printable, quoted

COMPARED_AT_ONCE = 2**16
"""Elements whose float64 numbers are compared at a time: they fit the L2 cache."""


@dataclass(frozen=True)
class TensorDiff:
    """One tensor whose elements differ, or are of two dtypes.

    Attributes:
        name, shape: which tensor it is.
        dtypes: the codes of its dtype in the two files.
        count: its elements; of packed or complex ones, its bytes.
        differing: how many of those differ: in any bit if the dtypes are the same, else in their
            values.
        first: the row-major number of the first that differs, and `position` its index; None if
            none does.
        values: the two numbers there.
        largest, relative: the largest difference, and the largest in units of the greater magnitude
            of the two, where both are finite.
        rms: the root mean square of the differences of all elements, again where both are finite.
        not_finite: differing pairs of which one or both are NaN or infinite.
    """

    name: str
    shape: tuple[int, ...]
    dtypes: tuple[str, str]
    count: int
    differing: int = 0
    first: int | None = None
    position: tuple[int, ...] | None = None
    values: tuple[float, float] | None = None
    largest: float = 0.0
    relative: float = 0.0
    rms: float = 0.0
    not_finite: int = 0


@dataclass(frozen=True)
class DiffReport:
    """How two checkpoints, `a` and `b`, differ.

    Attributes:
        a, b: their paths.
        same: how many tensors have the same dtype, shape and bits.
        different: those of one shape that differ, in the order of a.
        shapes: the two shapes of those whose shapes differ; their elements are not compared.
        only_a, only_b: names that the other one lacks.
        not_compared: names and codes of those of two dtypes of which one is packed or complex.
        size: bytes that were read of either.
        seconds: how long it took.
    """

    a: Path
    b: Path
    same: int
    different: tuple[TensorDiff, ...] = ()
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    not_compared: dict[str, tuple[str, str]] = field(default_factory=dict)
    size: int = 0
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether both have the same names, shapes, dtypes and bits."""
        return not (
            self.different or self.shapes or self.only_a or self.only_b or self.not_compared
        )


@default_floats
def diff(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    names: str | Iterable[str] | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> DiffReport:
    """Compare two checkpoints tensor by tensor, whatever their formats and shards.

    Elements of one dtype are the same if their bits are: 0 and -0 differ, and a NaN is the same as
    a NaN with the same bits.  Elements of two dtypes are the same if their float64 numbers are, and
    two NaNs are.  Recipes, metadata and config.json are not compared.

    Args:
        a, b: folders or files, of any program.
        names: patterns of names as in `Rules`, each of which must match a tensor of either; by
            default all tensors.
        threads: number of threads, >= 1; by default FASTINIT_THREADS, or else the number of CPUs
            that this process may use.
        progress: called with the number of bytes of `a` compared since its last call.

    Raises:
        TypeError: a path is neither a string nor a path object, or `names` are no patterns.
        ValueError: a path is empty, a pattern matches nothing, or the number of threads is out of
            range.
        InvalidCheckpointError: a file, or the set of files, does not follow the format.
        CheckpointError: there is no checkpoint, or the system refuses to read it.

    >>> import fastinit as fi
    >>> from tempfile import TemporaryDirectory
    >>> plan = fi.Plan([fi.Tensor("w", (4, 4), fi.normal(1.0)), fi.Tensor("b", (4,), fi.zeros())])
    >>> with TemporaryDirectory() as one, TemporaryDirectory() as other:
    ...     reports = fi.write(plan, one, seed=0), fi.write(plan, other, seed=1)
    ...     report = fi.diff(one, other)
    >>> report.equal, report.same, report.different[0].name, report.different[0].differing
    (False, 1, 'w', 16)
    """
    begin = time.perf_counter()
    workers = thread_count(threads)
    one, other = Checkpoint(a), Checkpoint(b)
    every = list(dict.fromkeys([*one.weight_map, *other.weight_map]))
    wanted = set(every if names is None else chosen(names, every))
    pairs = {name: _Pair.of(name, one, other) for name in _in_order(one, other, wanted)}
    compared = {name: pair for name, pair in pairs.items() if pair.is_comparable}
    for files, group in _by_files(one, other, compared).items():
        _Comparison(one, other, files, progress).run(group, workers)
    found = {name: pair.result(name) for name, pair in compared.items()}
    different = tuple(row for row in found.values() if row.differing or not pairs[row.name].alike)
    shapes = {n: p.shapes for n, p in pairs.items() if p.shapes[0] != p.shapes[1]}
    return DiffReport(
        one.path,
        other.path,
        len(compared) - len(different),
        different,
        shapes,
        tuple(sorted(wanted - other.weight_map.keys())),
        tuple(sorted(wanted - one.weight_map.keys())),
        {n: p.codes for n, p in pairs.items() if n not in compared and n not in shapes},
        sum(pair.stored[0].size for pair in compared.values()),
        time.perf_counter() - begin,
    )


@dataclass
class _Pair:
    """A tensor of both: where it is, and what was found in its pieces."""

    stored: tuple[Stored, Stored]
    arrays: tuple[np.dtype[Any] | None, np.dtype[Any] | None]
    found: list[_Found] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, one: Checkpoint, other: Checkpoint) -> _Pair:
        stored = _stored(one, name), _stored(other, name)
        return cls(
            stored,
            (array_type(one.form, stored[0].dtype), array_type(other.form, stored[1].dtype)),
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.stored[0].shape, self.stored[1].shape

    @property
    def codes(self) -> tuple[str, str]:
        return self.stored[0].dtype, self.stored[1].dtype

    @property
    def alike(self) -> bool:
        """Whether both have the same dtype, so that bits are compared."""
        if self.is_readable:
            return self.arrays[0] == self.arrays[1]
        return self.codes[0] == self.codes[1]

    @property
    def is_readable(self) -> bool:
        """Whether both hold numbers; NumPy takes None for float64, so it is not compared."""
        return self.arrays[0] is not None and self.arrays[1] is not None

    @property
    def is_comparable(self) -> bool:
        return self.shapes[0] == self.shapes[1] and (self.alike or self.is_readable)

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of an element of either; of packed elements, which are compared by bytes, 1."""
        return self.arrays[0].itemsize if self.arrays[0] else 1, (
            self.arrays[1].itemsize if self.arrays[1] else 1
        )

    def result(self, name: str) -> TensorDiff:
        """What was found in all pieces."""
        count = math.prod(self.shapes[0])
        whole = TensorDiff(name, self.shapes[0], self.codes, count)
        if not self.found:
            return whole
        differing = sum(found.differing for found in self.found)
        if self.arrays[0] is None:
            return replace(whole, count=self.stored[0].size, differing=differing)
        first = min(self.found, key=lambda found: found.first)
        largest = max(found.largest for found in self.found)
        shares = [found.squares * _share(found.largest, largest) ** 2 for found in self.found]
        return replace(
            whole,
            differing=differing,
            first=first.first,
            position=_position(first.first, self.shapes[0]),
            values=first.values,
            largest=largest,
            relative=max(found.relative for found in self.found),
            rms=largest * math.sqrt(math.fsum(shares) / whole.count) if largest else 0.0,
            not_finite=sum(found.not_finite for found in self.found),
        )


def _share(part: float, whole: float) -> float:
    return 1.0 if part == whole else part / whole


def _position(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(place) for place in np.unravel_index(index, shape))


def _stored(checkpoint: Checkpoint, name: str) -> Stored:
    file = checkpoint.weight_map[name]
    tensors = checkpoint.header(file).tensors
    if name not in tensors:
        raise InvalidCheckpointError(
            f"{printable(checkpoint.folder / file)} has no tensor {quoted(name)}, which the index "
            "says is there"
        )
    return tensors[name]


def _in_order(one: Checkpoint, other: Checkpoint, wanted: set[str]) -> Iterator[str]:
    """The names that both have, in the order of the files of `one` and of the tensors in them."""
    both = wanted & one.weight_map.keys() & other.weight_map.keys()
    for file in one.files:
        yield from (name for name in one.header(file).tensors if name in both)


def _by_files(
    one: Checkpoint, other: Checkpoint, pairs: dict[str, _Pair]
) -> dict[tuple[str, str], list[_Pair]]:
    """The tensors that lie in the same two files."""
    groups = defaultdict[tuple[str, str], list[_Pair]](list)
    for name, pair in pairs.items():
        groups[one.weight_map[name], other.weight_map[name]].append(pair)
    return groups


class _Found(NamedTuple):
    """What differs in some elements; `squares` are in units of the largest difference."""

    first: int
    values: tuple[float, float]
    differing: int
    largest: float
    relative: float
    squares: float
    not_finite: int


class _Comparison:
    """Two files being compared."""

    def __init__(
        self,
        one: Checkpoint,
        other: Checkpoint,
        files: tuple[str, str],
        progress: Callable[[int], None] | None,
    ) -> None:
        self.checkpoints = one, other
        self.files = files
        self.paths = one.folder / files[0], other.folder / files[1]
        self.progress = progress
        self.lock = threading.Lock()
        self.local = threading.local()

    def run(self, pairs: list[_Pair], workers: int) -> None:
        with OpenFile() as first, OpenFile() as second:
            self.descriptors = (
                self.checkpoints[0].open_file(first, self.files[0])[0],
                self.checkpoints[1].open_file(second, self.files[1])[0],
            )
            rows = ((pair, pair.stored[0].size) for pair in pairs)
            run(whole_chunks(rows, CHUNK, PIECES), self.work, workers, self.prepare)

    def prepare(self) -> None:
        """Allocate what a thread reads into; elements of b may be 8 times as wide."""
        self.local.buffers = np.empty(CHUNK, np.uint8), np.empty(8 * CHUNK, np.uint8)

    def work(self, pieces: list[Piece[_Pair]]) -> None:
        for pair, start, size in pieces:
            element = start // pair.sizes[0]
            ends = size, size // pair.sizes[0] * pair.sizes[1]
            places = start, element * pair.sizes[1]
            bytes_of = [buffer[:end] for buffer, end in zip(self.local.buffers, ends, strict=True)]
            for n, found in enumerate(bytes_of):
                offset = pair.stored[n].start + places[n]
                read_exactly(self.descriptors[n], found.data, offset, self.paths[n])
            pair.found.extend(list(self.compare(pair, element, bytes_of[0], bytes_of[1])))
        if self.progress:
            with self.lock:
                self.progress(sum(piece.size for piece in pieces))

    def compare(self, pair: _Pair, start: int, a: Elements, b: Elements) -> Iterator[_Found]:
        """What differs in the elements from `start` on, step by step."""
        if pair.alike and _same(a, b):
            return
        types = pair.arrays[0] or np.dtype(np.uint8), pair.arrays[1] or np.dtype(np.uint8)
        one, other = a.view(types[0]), b.view(types[1])
        for first in range(0, one.size, COMPARED_AT_ONCE):
            part = slice(first, first + COMPARED_AT_ONCE)
            found = _differences(one[part], other[part], start + first, alike=pair.alike)
            if found is not None:
                yield found


def _same(a: Elements, b: Elements) -> bool:
    """Whether two runs of bytes are the same: eight at a time."""
    whole = len(a) // 8 * 8
    words = a[:whole].view(np.uint64), b[:whole].view(np.uint64)
    return np.array_equal(*words) and np.array_equal(a[whole:], b[whole:])


def _differences(one: Elements, other: Elements, start: int, *, alike: bool) -> _Found | None:
    """What differs, with the numbers of elements from `start` on."""
    with np.errstate(all="ignore"):
        x, y = one.astype(np.float64), other.astype(np.float64)
        if alike:
            words = np.dtype(f"u{one.itemsize}")
            differ = one.view(words) != other.view(words)
        else:
            differ = ~((x == y) | (np.isnan(x) & np.isnan(y)))
        places = np.flatnonzero(differ)
        if places.size == 0:
            return None
        values = float(x[places[0]]), float(y[places[0]])
        finite = places[np.isfinite(x[places]) & np.isfinite(y[places])]
        x, y = x[finite], y[finite]
        apart, size = np.abs(x - y), np.maximum(np.abs(x), np.abs(y))
        largest = float(apart.max(initial=0.0))
        relative = float(np.abs(x / size - y / size)[size > 0].max(initial=0.0))
        shares = np.where(apart == largest, 1.0, apart / largest)
        squares = float((shares**2).sum()) if largest else 0.0
    first, lost = start + int(places[0]), places.size - finite.size
    return _Found(first, values, places.size, largest, relative, squares, lost)
