# SPDX-License-Identifier: MIT
"""Makes again what is lost or damaged of a checkpoint, from its recipes and its plan.

Everything is decided before anything is written: what cannot be made again is an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastinit import plans
from fastinit.checkpoints.entries import Entry
from fastinit.checkpoints.families import check_folder, check_spare, trusting
from fastinit.checkpoints.files import Folder
from fastinit.checkpoints.formats.base import Stored
from fastinit.checkpoints.layout import Shard, whole_shard
from fastinit.checkpoints.outputs import Progress, fill
from fastinit.checkpoints.read import Checkpoint
from fastinit.checkpoints.recipe import Recipe
from fastinit.checkpoints.renewal.refill import prepare, renewal_of
from fastinit.checkpoints.renewal.renewals import (
    Renewal,
    check_replaceable,
    make,
    space_for,
)
from fastinit.checkpoints.renewal.survey import NOT_THERE, Survey, survey
from fastinit.checkpoints.verify import ComparedFile
from fastinit.checkpoints.writable import Durability, check_durability
from fastinit.checkpoints.write import write
from fastinit.docstrings import shares
from fastinit.errors import InvalidCheckpointError, VerifyError
from fastinit.machine.descriptors import OpenFiles
from fastinit.machine.floats import default_floats
from fastinit.machine.parallel import thread_count
from fastinit.plans import Plan, presets
from fastinit.schemes.custom import Trusted, trusted
from fastinit.texts import listed, printable, quoted
from fastinit.values.custom import DrawFunction


@dataclass(frozen=True)
class RegenerateReport:
    """What `regenerate` made again, or would in a dry run, and why.

    `tensors` has those whose values differed, `files` those that were lost as a whole, and `index`
    is empty if the index was right.  Of the tensors in `files` nothing tells whether they had been
    refilled: they are again as `write` drew them.
    """

    path: Path
    tensors: Mapping[str, str]
    files: Mapping[str, str]
    index: str
    size: int
    seconds: float
    durability: Durability
    dry_run: bool


@shares(write)
@default_floats
def regenerate(
    path: str | os.PathLike[str],
    *,
    plan: Any = None,
    dtype: str | None = None,
    threads: int | None = None,
    durability: str = "full",
    dry_run: bool = False,
    progress: Progress | None = None,
    custom: Iterable[DrawFunction] = (),
) -> RegenerateReport:
    """Make again what is lost or damaged of a safetensors checkpoint, byte for byte.

    Tensors that are not what their recipe says are drawn again.  A file that is missing, cut short
    or has a broken header is written again from the plan: that of the preset which the recipe
    names, or `plan`.  An index that is missing or wrong is made again from the files.  What was
    made is verified.

    Args:
        path: a folder that `write` made; or a file, of which only values can be made again.
        plan: what the checkpoint was written from: a `Plan`, or what `fastinit.plan` makes one of.
            It is only needed for lost files, and where no preset has the plan.
        dtype: as it was given to `write`; only needed where no file that is left shows it.
        threads, durability: as for `write`.
        dry_run: only report what would be made.
        progress: called with the number of bytes compared or made since its last call.
        custom: the custom distributions that the recipes and the plan may name.

    Raises:
        TypeError: `path` is neither a string nor a path object.
        ValueError: the plan is not the one that the recipes name, or an argument cannot work.
        UntrustedError: a custom distribution is named that was not given; a ValueError.
        InvalidCheckpointError: something cannot be made again, such as files without a recipe;
            nothing is changed then.  Or the checkpoint is still wrong afterwards.
        CheckpointError: there is no safetensors checkpoint, or the folder or the disk refuses.
    """
    begin = time.perf_counter()
    level, workers = check_durability(durability), thread_count(threads)
    request = Request(plan, dtype, trusted(custom), workers, progress)
    found = survey(path)
    if dry_run:
        work = work_for(found, request)
    else:
        with OpenFiles() as opened, Folder(found.folder, opened, durability=level) as target:
            prepare(target)
            work = work_for(survey(path), request)
            do(target, work, request)
            check(work, request)
    return RegenerateReport(
        path=found.path,
        tensors=work.tensors,
        files=work.survey.lost,
        index=work.index_lost,
        size=work.size,
        seconds=time.perf_counter() - begin,
        durability=level,
        dry_run=dry_run,
    )


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    plan: Any
    dtype: str | None
    functions: Trusted
    workers: int
    progress: Progress | None


@dataclass(frozen=True)
class Work:
    """What there is to do: renewals of damaged files, shards for lost ones, and the index."""

    survey: Survey
    tensors: Mapping[str, str]
    renewals: Sequence[Renewal]
    shards: Sequence[Shard]
    index: bytes | None = field(repr=False, default=None)
    index_lost: str = ""

    @property
    def size(self) -> int:
        """Bytes of values that are drawn."""
        drawn = sum(renewal.drawn for renewal in self.renewals)
        return drawn + sum(shard.data_size for shard in self.shards)


def work_for(found: Survey, request: Request) -> Work:
    """What there is to do; raises as `regenerate` does for what cannot be made again."""
    if not any(found.recipes.values()):
        raise InvalidCheckpointError(_nothing_left(found))
    if found.index or found.index_lost:
        check_spare(found.folder, found.form, found.files)
    recipes = {
        file: trusting(file, recipe, request.functions)
        for file, recipe in found.recipes.items()
        if recipe is not None
    }
    shards: list[Shard] = []
    if found.lost:
        shards = shards_for(found, request)  # without a plan it ends here
    elif request.plan is not None and found.call is not None:
        plan_of(found, found.call, request)  # one that is not the checkpoint's is refused
    wrong = {file: _differences(found, file, own, request) for file, own in recipes.items()}
    if undrawable := dict(filter(None, map(_undrawable, wrong.items()))):
        found = found.without(undrawable)
        shards = shards_for(found, request)
    renewals: list[Renewal] = []
    tensors: dict[str, str] = {}
    for file, errors in wrong.items():
        if errors and file in found.opened:
            named = {error.tensor: str(error) for error in errors if error.tensor is not None}
            renewals.append(renewal_of(found.opened[file], file, recipes[file], named))
            tensors |= named
    check_replaceable(found.folder, [r.file for r in renewals] + [s.file for s in shards])
    index, index_lost = index_for(found, shards)
    return Work(found, tensors, renewals, shards, index, index_lost)


def _undrawable(found: tuple[str, list[VerifyError]]) -> tuple[str, str] | None:
    """A file and why it is lost, if its recipe cannot draw one of the tensors that differ."""
    file, errors = found
    return next(((file, str(error)) for error in errors if error.index is None), None)


def _differences(found: Survey, file: str, recipe: Recipe, request: Request) -> list[VerifyError]:
    compared = ComparedFile(found.opened[file], file, recipe, request.progress, every=True)
    return compared.run(request.workers)


def _nothing_left(found: Survey) -> str:
    """What to do where no file has a recipe."""
    why = listed(found.lost.values()) if found.lost else "no file has a recipe"
    return (
        f"{printable(found.path)}: nothing says from which plan and seed it was made ({why}): if "
        "you know them, write it again, as fastinit write SOURCE DIR --seed N --overwrite does"
    )


# --- lost files ----------------------------------------------------------------------------------


def shards_for(found: Survey, request: Request) -> list[Shard]:
    """What the lost files are to hold."""
    call = found.call
    if call is None or found.path != found.folder:
        raise InvalidCheckpointError(
            f"{printable(found.path)}: nothing says what was in {_lost(found)}: fetch it again"
        )
    plan = plan_of(found, call, request)
    whole = whole_shard(plan, seed=call.seed, dtype=dtype_of(found, plan, request))
    return [
        replace(whole, file=file, entries=tuple(e for e in whole.entries if e.name in names))
        for file, names in names_in(found, whole).items()
    ]


def _lost(found: Survey) -> str:
    return listed([f"{file} ({why})" for file, why in found.lost.items()])


def plan_of(found: Survey, call: Recipe, request: Request) -> Plan:
    """The plan that was given, or that of the preset which the recipe names."""
    if request.plan is not None:
        plan = plans.plan_for(request.plan, custom=request.functions, dtype=request.dtype)
        if plan.digest != call.digest:
            raise ValueError(
                f"the plan has digest {plan.digest}, but the recipes say {call.digest} (plan "
                f"{quoted(call.plan)}): give the plan that the checkpoint was written from, with "
                "the same rules"
            )
        return plan
    if call.plan in presets():
        plan = plans.plan_for(call.plan)
        if plan.digest == call.digest:
            return plan
    raise InvalidCheckpointError(
        f"{printable(found.path)}: {_lost(found)} can be made again from the plan "
        f"{quoted(call.plan)} of digest {call.digest}, which is no preset's: pass plan= (--plan)"
    )


def dtype_of(found: Survey, plan: Plan, request: Request) -> str | None:
    """The dtype that was given to `write`, as a tensor shows it for which the plan sets none."""
    names = {code: name for name, code in found.form.codes.items()}
    own = {tensor.name for tensor in plan if tensor.dtype is None}
    shown = {
        names[stored.dtype]
        for file in found.opened
        for name, stored in found.header(file).tensors.items()
        if name in own and stored.dtype in names
    }
    if request.dtype is not None and shown <= {request.dtype}:
        return request.dtype
    if len(shown) == 1 and request.dtype is None:
        return shown.pop()
    if not own:
        return None
    raise InvalidCheckpointError(
        f"{printable(found.path)}: where the plan sets no dtype, the files that are left show "
        f"{listed(sorted(shown)) or 'none'}, and dtype is {quoted(request.dtype)}: pass the dtype= "
        "(--dtype) that the checkpoint was written with"
    )


def names_in(found: Survey, whole: Shard) -> dict[str, set[str]]:
    """The tensors of each lost file: those that the index says, or all that are nowhere else."""
    there = {name for file in found.opened for name in found.header(file).tensors}
    missing = {entry.name for entry in whole.entries} - there
    if len(found.lost) == 1 and missing:
        return dict.fromkeys(found.lost, missing)
    said: dict[str, set[str]] = {file: set() for file in found.lost}
    for name, file in (found.index.weight_map if found.index else {}).items():
        if file in said:
            said[file].add(name)
    if sorted(name for names in said.values() for name in names) != sorted(missing):
        raise InvalidCheckpointError(
            f"{printable(found.path)}: nothing says which tensors were in which of "
            f"{_lost(found)}, as the index {'does not fit' if found.index else 'is lost, too'}: "
            "write the checkpoint again, as fastinit write SOURCE DIR --overwrite does with "
            f"--seed {whole.seed} and the --max-shard-size of then"
        )
    return said


# --- the index -----------------------------------------------------------------------------------


def index_for(found: Survey, shards: Sequence[Shard]) -> tuple[bytes | None, str]:
    """The content of a new index, and why there is to be one; nothing if the old one is right."""
    if found.path != found.folder or (found.index is None and not found.index_lost):
        return None, ""
    call = found.call
    if call is None:
        if found.index_lost:
            raise InvalidCheckpointError(f"{found.index_lost}: fetch it again")
        return None, ""
    made = {shard.file: shard.entries for shard in shards}
    files = {file: made.get(file) or _entries(found, file) for file in found.files}
    index = found.form.make_index(files, call)
    why = found.index_lost or _index_error(found, files)
    return (index, why) if why else (None, "")


def _entries(found: Survey, file: str) -> tuple[Entry, ...]:
    names = {code: name for name, code in found.form.codes.items()}
    return tuple(
        Entry(name, stored.shape, names[stored.dtype], "")
        for name, stored in found.header(file).tensors.items()
    )


def _index_error(found: Survey, files: Mapping[str, Sequence[Entry]]) -> str:
    """What is wrong with the index that is there."""
    assert found.index is not None
    places = {entry.name: file for file, entries in files.items() for entry in entries}
    if places != found.index.weight_map:
        return "the index says otherwise than the files where tensors are"
    stored = [Stored("", e.shape, 0, e.size) for entries in files.values() for e in entries]
    try:
        found.form.check_totals(found.index.totals, stored)
    except ValueError as error:
        return str(error)
    return ""


# --- making --------------------------------------------------------------------------------------


def do(target: Folder, work: Work, request: Request) -> None:
    """Make everything; the index comes last."""
    new = sum(shard.file_size for shard in work.shards)
    target.check_space(new + space_for(work.renewals))
    for renewal in work.renewals:
        make(target, renewal, request.workers, request.progress)
    target.imitate(list(work.survey.opened))
    fill(target, work.shards, request.workers, request.progress, publish=True)
    if work.index is not None:
        target.put(work.survey.form.index, work.index)


def check(work: Work, request: Request) -> None:
    """Raise VerifyError unless what was made is right, and the files belong together."""
    again = survey(work.survey.path)
    for file in (*(r.file for r in work.renewals), *(s.file for s in work.shards)):
        recipe = again.recipes.get(file)
        if recipe is None:
            raise VerifyError(again.lost.get(file, NOT_THERE), file)
        for error in _differences(again, file, trusting(file, recipe, request.functions), request):
            raise error
    if again.path == again.folder:
        checkpoint = Checkpoint(again.path)
        headers = {file: checkpoint.header(file) for file in checkpoint.files}
        check_folder(checkpoint, headers, ours=again.call is not None)
