# SPDX-License-Identifier: MIT
"""Statistics of the tensors of any checkpoint, beside what its recipe plans.  Changes nothing.

measuring.py reads and sums, judging.py compares; values/expected.py knows what rounded values are
like.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastinit.checkpoints.analysis.judging import Scores, broken, differences, scores, threshold
from fastinit.checkpoints.analysis.measuring import array_type, dtype_of, measured
from fastinit.checkpoints.formats.base import Stored
from fastinit.checkpoints.read import Checkpoint
from fastinit.checkpoints.recipe import Recipe
from fastinit.errors import InvalidCheckpointError
from fastinit.machine.floats import default_floats
from fastinit.machine.parallel import thread_count
from fastinit.numerics.dtypes import DType
from fastinit.numerics.moments import ElementMoments
from fastinit.plans.rules import chosen
from fastinit.schemes import Scheme, scheme
from fastinit.schemes.custom import Trusted, trusted
from fastinit.texts import printable, quoted
from fastinit.values.custom import DrawFunction
from fastinit.values.distributions import Distribution
from fastinit.values.expected import Expected, expected
from fastinit.values.matrices import Matrix


@dataclass(frozen=True)
class TensorStats:
    """One tensor: what was measured, what is planned, and how far apart they are.

    Attributes:
        name, file, shape: which tensor it is.
        dtype: fastinit's name of its dtype, or the format's code of one that it does not draw.
        init: the text of its scheme, or "" without a recipe.
        moments: what was measured.
        planned: what independent values of its scheme are like, rounded to the dtype; None if
            nothing is known of them, and `note` says why.
        scores: z of mean and standard deviation; None where none can be given.
        differs: what is not as planned, or never right: NaN and infinities.
        note: why it is not, or only in part, compared with a plan.
    """

    name: str
    file: str
    shape: tuple[int, ...]
    dtype: str
    init: str
    moments: ElementMoments
    planned: Expected | None = None
    scores: Scores | None = None
    differs: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class StatsReport:
    """What `stats` measured.

    Attributes:
        path, files: what was read.
        tensors: in the order of the files and of the tensors in them.
        unreadable: names and codes of tensors whose elements are packed or complex.
        threshold: the distance of z from 0 above which a tensor is said to differ.
        size: bytes of values that were read.
        seconds: how long it took.
    """

    path: Path
    files: tuple[str, ...]
    tensors: tuple[TensorStats, ...]
    unreadable: dict[str, str] = field(default_factory=dict)
    threshold: float = 0.0
    size: int = 0
    seconds: float = 0.0

    @property
    def differing(self) -> tuple[TensorStats, ...]:
        """The tensors that differ from what is planned, or hold NaN or infinities."""
        return tuple(tensor for tensor in self.tensors if tensor.differs)

    def __getitem__(self, name: str) -> TensorStats:
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)


@default_floats
def stats(
    path: str | os.PathLike[str],
    names: str | Iterable[str] | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    custom: Iterable[DrawFunction] = (),
) -> StatsReport:
    """Measure the tensors of a checkpoint, and compare them with what its recipe plans.

    Each tensor's mean, standard deviation, extremes, l2 norm, kurtosis, zeros, NaNs and infinities;
    those of independent values also beside the exact moments of their scheme, rounded to the dtype.
    A tensor differs if it has NaN or infinities, leaves the planned interval, or has a z further
    from 0 than the report's `threshold`: chance alone makes a checkpoint differ once in a million.

    Sums of 16- and 8-bit floats and of float32 are float32 over 128 elements and float64 beyond, so
    a standard deviation is right to 3e-6 of itself, usually to 1e-7.  The result does not depend on
    the number of threads, the instruction set, or how tensors are spread over files.

    Args:
        path: a folder or a file, of any program.
        names: patterns of names as in `Rules`, each of which must match; by default all tensors.
        threads: number of threads, >= 1; by default FASTINIT_THREADS, or else the number of CPUs
            that this process may use.
        progress: called with the number of bytes read since its last call.
        custom: the custom distributions that the recipe may name.

    Raises:
        TypeError: `path` is neither a string nor a path object, or `names` are no patterns.
        ValueError: the path is empty, a pattern matches nothing, or the number of threads is out of
            range.
        InvalidCheckpointError: a file, or the set of files, does not follow the format.
        CheckpointError: there is no checkpoint, or the system refuses to read it.

    >>> import fastinit as fi
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     report = fi.write(fi.Plan([fi.Tensor("w", (64, 64), fi.normal(0.02))]), folder, seed=1)
    ...     found = fi.stats(folder)["w"]
    >>> f"{found.moments.std:.4f} {found.planned.std:.4f} {found.scores.std:+.1f} {found.differs}"
    '0.0199 0.0200 -0.5 ()'
    """
    begin = time.perf_counter()
    workers = thread_count(threads)
    checkpoint, functions = Checkpoint(path), trusted(custom)
    unread = {name: code for name, code in _codes(checkpoint) if not _readable(checkpoint, code)}
    wanted = None if names is None else set(chosen(names, list(checkpoint.weight_map)))
    found: list[TensorStats] = []
    size = 0
    for file in checkpoint.files:
        stored = _stored(checkpoint, file, wanted)
        read = [name for name in stored if name not in unread]
        moments = measured(checkpoint, file, read, workers, progress)
        plans = Plans(checkpoint, file, functions)
        found += [plans.compare(name, stored[name], moments[name]) for name in read]
        size += sum(stored[name].size for name in read)
    limit = threshold(2 * sum(tensor.scores is not None for tensor in found))
    return StatsReport(
        checkpoint.path,
        checkpoint.files,
        tuple(_judged(tensor, limit) for tensor in found),
        {name: code for name, code in unread.items() if wanted is None or name in wanted},
        limit,
        size,
        time.perf_counter() - begin,
    )


def _codes(checkpoint: Checkpoint) -> Iterable[tuple[str, str]]:
    for file in checkpoint.files:
        for name, stored in checkpoint.header(file).tensors.items():
            yield name, stored.dtype


def _readable(checkpoint: Checkpoint, code: str) -> bool:
    return array_type(checkpoint.form, code) is not None


def _stored(checkpoint: Checkpoint, file: str, wanted: set[str] | None) -> dict[str, Stored]:
    """The tensors of a file that are wanted, in its order."""
    tensors = checkpoint.header(file).tensors
    said = {name for name, place in checkpoint.weight_map.items() if place == file}
    if missing := sorted(said - tensors.keys()):
        raise InvalidCheckpointError(
            f"{printable(checkpoint.folder / file)} has no tensor {quoted(missing[0])}, which the "
            "index says is there"
        )
    here = said if wanted is None else said & wanted
    return {name: stored for name, stored in tensors.items() if name in here}


def _judged(tensor: TensorStats, limit: float) -> TensorStats:
    """A tensor with what differs, now that the number of tests is known."""
    texts = broken(tensor.moments)
    if tensor.planned is not None:
        texts += differences(tensor.moments, tensor.planned, tensor.scores, limit)
    return replace(tensor, differs=tuple(texts))


class Plans:
    """What the recipe of one file says of its tensors."""

    def __init__(self, checkpoint: Checkpoint, file: str, functions: Trusted) -> None:
        self.form = checkpoint.form
        self.file = file
        self.functions = functions
        self.recipe: Recipe | None = None
        self.problem = "no recipe"
        self.known: dict[str, Scheme] = {}
        header, index = checkpoint.header(file), checkpoint.index
        text = header.recipe or (index.recipe if index else None)
        if text is not None:
            try:
                self.recipe = Recipe.parse(text)
            except ValueError as error:
                self.problem = f"its recipe cannot be read: {error}"

    def compare(self, name: str, stored: Stored, moments: ElementMoments) -> TensorStats:
        """A tensor with what is planned and the scores of that."""
        kind = dtype_of(self.form, stored.dtype)
        dtype = kind.name if kind else stored.dtype
        init = self.recipe.init.get(name, "") if self.recipe else ""
        planned, note = self.planned(name, init, stored, kind)
        scored = None
        if planned is not None and moments.finite:
            scored = scores(moments, planned)
            if scored is None and planned.std > 0:
                note = "too few elements to judge its moments"
        return TensorStats(
            name, self.file, stored.shape, dtype, init, moments, planned, scored, (), note
        )

    def planned(
        self, name: str, init: str, stored: Stored, kind: DType | None
    ) -> tuple[Expected | None, str]:
        """What its values are like, or why that is not known."""
        if self.recipe is None:
            return None, self.problem
        if not init:
            return None, "not in the recipe"
        if kind is None:
            return None, "no recipe draws its dtype"
        try:
            law = self.distribution(name, init, stored.shape)
            found = expected(law, kind)
        except ValueError as error:
            return None, f"{error}"
        return found, "" if found is not None else _no_law(law)

    def distribution(self, name: str, init: str, shape: tuple[int, ...]) -> Distribution:
        """The distribution of a tensor; a scheme is read once."""
        assert self.recipe is not None
        if self.recipe.custom:
            self.recipe.of_tensors([name]).trusting(self.functions)
        if init not in self.known:
            self.known[init] = scheme(init, custom=self.functions)
        return self.known[init].for_tensor(name, shape).distribution(shape)


def _no_law(distribution: Distribution) -> str:
    """Why nothing is known of the moments of a sample."""
    if isinstance(distribution, Matrix):
        return "no law: its elements depend on their places or on each other"
    return "no law: a formula or a custom distribution, whose tails may be heavy"
