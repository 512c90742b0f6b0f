# SPDX-License-Identifier: MIT
"""Draws named tensors of a checkpoint anew, whoever wrote it.  It does not make the files.

It decides what each file's recipe says afterwards; renewals.py makes the files.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

from fastinit.checkpoints import replace as replacing
from fastinit.checkpoints.families import check_family, header_of, recipes_of
from fastinit.checkpoints.files import Folder
from fastinit.checkpoints.formats.base import Header
from fastinit.checkpoints.read import Checkpoint
from fastinit.checkpoints.recipe import Recipe, labels_of
from fastinit.checkpoints.renewal.renewals import (
    Renewal,
    check_format,
    check_replaceable,
    head_of,
    make,
    space_for,
)
from fastinit.checkpoints.writable import Durability, check_durability
from fastinit.checkpoints.write import write
from fastinit.docstrings import shares
from fastinit.errors import InvalidCheckpointError
from fastinit.machine.descriptors import OpenFiles
from fastinit.machine.floats import default_floats
from fastinit.machine.parallel import thread_count
from fastinit.plans.rules import chosen
from fastinit.schemes import Scheme
from fastinit.schemes import scheme as scheme_of
from fastinit.schemes.custom import Trusted, function_of, trusted
from fastinit.texts import listed, printable
from fastinit.values.custom import DrawFunction
from fastinit.values.stream import check_seed


@dataclass(frozen=True)
class Refilled:
    """A tensor that is drawn anew: where it is in the new file, and how it was and is drawn.

    `old_init` and `old_seed` are None where no recipe said it.
    """

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int
    old_init: str | None
    old_seed: int | None
    init: str
    seed: int


@dataclass(frozen=True)
class RefillReport:
    """What `refill` did, or would do in a dry run.

    `size` counts bytes of values that were drawn, `copied` those that were not; `space` is what
    must be free meanwhile.
    """

    path: Path
    files: tuple[str, ...]
    tensors: tuple[Refilled, ...]
    size: int
    copied: int
    space: int
    seconds: float
    durability: Durability
    dry_run: bool


@shares(write)
@default_floats
def refill(
    path: str | os.PathLike[str],
    names: str | Iterable[str],
    *,
    scheme: Scheme | str | None = None,
    seed: SupportsIndex | None = None,
    threads: int | None = None,
    durability: str = "full",
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
    custom: Iterable[DrawFunction] = (),
) -> RefillReport:
    """Draw some tensors of a safetensors checkpoint anew, and leave all others as they are.

    The checkpoint may be any program's.  Each file with such a tensor is made again beside the old
    one, which gives it its name when it is complete; so whatever happens, a file is wholly old or
    wholly new, and the same call finishes the work.  The recipe in the file says what was drawn.

    Args:
        path: a folder, or one file.
        names: names of tensors, or patterns as in a shell: `*` matches any characters, dots
            included, `?` one character, `[ab]` one of those.  Each must match a tensor.
        scheme: how to draw them; None: as the recipe of their file says.
        seed: 0 <= seed < 2**64; None: that of the recipe.  So without both, damaged tensors are
            repaired.
        threads, durability: as for `write`.
        dry_run: only report what would be done.
        progress: called with the number of bytes of values done since its last call.
        custom: the custom distributions that `scheme` and the recipes may name.

    Raises:
        TypeError: `names` or `path` are of the wrong type.
        ValueError: a pattern that matches nothing, a dtype that no scheme draws, no scheme or seed
            where no recipe has one, or an argument that cannot work; nothing is written.
        UntrustedError: a scheme names a custom distribution that `custom` lacks; a ValueError.
        InvalidCheckpointError: a file is not valid, or its recipe is not, or does not fit.
        CheckpointError: there is no safetensors checkpoint, or the folder or the disk refuses the
            work.  No temporary file is left, and files that were finished stay so.
    """
    begin = time.perf_counter()
    level, workers = check_durability(durability), thread_count(threads)
    how = How.of(scheme, seed, custom)
    checkpoint = Checkpoint(path)
    renewals = renewals_for(checkpoint, names, how)
    if not dry_run:
        with OpenFiles() as opened, Folder(checkpoint.folder, opened, durability=level) as target:
            prepare(target)
            checkpoint = Checkpoint(path)  # as it is now that nobody else writes
            renewals = renewals_for(checkpoint, names, how)
            target.check_space(space_for(renewals))
            for renewal in renewals:
                make(target, renewal, workers, progress)
    return RefillReport(
        path=checkpoint.path,
        files=tuple(renewal.file for renewal in renewals),
        tensors=tuple(one for renewal in renewals for one in _refilled(renewal, checkpoint)),
        size=sum(renewal.drawn for renewal in renewals),
        copied=sum(renewal.values - renewal.drawn for renewal in renewals),
        space=space_for(renewals),
        seconds=time.perf_counter() - begin,
        durability=level,
        dry_run=dry_run,
    )


def prepare(target: Folder) -> None:
    """Remove what killed writers left; raises CheckpointError if an overwrite is unfinished."""
    target.sweep()
    replacing.check_unbegun(target, target.names())


@dataclass(frozen=True)
class How:
    """How tensors are to be drawn: by which scheme and seed, where not as their recipe says."""

    scheme: Scheme | None = None
    seed: int | None = None
    functions: Trusted = ()

    @classmethod
    def of(
        cls,
        scheme: Any,
        seed: SupportsIndex | None,
        custom: Iterable[DrawFunction],
    ) -> How:
        """What the arguments of `refill` say; raises as it does."""
        known = trusted(custom)
        drawn = scheme_of(scheme, custom=known) if scheme is not None else None
        functions = trusted((*known, *(drawn.functions if drawn else ())))
        for function in drawn.functions if drawn else ():
            function.check_nameable()
        return cls(drawn, None if seed is None else check_seed(seed), functions)

    def init_of(self, name: str, shape: tuple[int, ...], recipe: Recipe | None) -> str:
        """The text of the scheme of a tensor."""
        if self.scheme is not None:
            return str(self.scheme.for_tensor(name, shape))
        if recipe is None or name not in recipe.init:
            raise ValueError(
                f"no recipe says how tensor {printable(name)!r} is drawn: pass scheme= "
                "(--scheme), such as 'auto()', which goes by its name"
            )
        return recipe.init[name]

    def seed_of(self, name: str, recipe: Recipe | None) -> int:
        """The seed of a tensor."""
        if self.seed is not None:
            return self.seed
        if recipe is None or name not in recipe.init:
            raise ValueError(
                f"no recipe says with which seed tensor {printable(name)!r} is drawn: pass seed= "
                "(--seed)"
            )
        return recipe.seed_of(name)

    def recipe(self, recipe: Recipe | None, header: Header, names: Sequence[str]) -> Recipe:
        """The recipe of a file whose tensors `names` are drawn so; all others keep theirs."""
        init = dict(recipe.init) if recipe else {}
        refilled = dict(recipe.refilled) if recipe else {}
        for name in names:
            text = self.init_of(name, header.tensors[name].shape, recipe)
            seed = self.seed_of(name, recipe)
            if recipe is None or (init.get(name), recipe.seed_of(name)) != (text, seed):
                init[name], refilled[name] = text, seed
        kept = labels_of(init[name] for name in init.keys() - set(names))
        digests = self.digests(init, kept, recipe.custom if recipe else {})
        if recipe:
            renewed = replace(recipe, init=init, refilled=refilled, custom=digests)
        else:
            renewed = Recipe(0, "", "", init, digests, refilled=refilled)
        renewed.of_tensors(names).trusting(self.functions)
        return replace(renewed, trusted=self.functions)

    def digests(
        self, init: Mapping[str, str], kept: Set[str], recorded: Mapping[str, str]
    ) -> dict[str, str]:
        """The digests of the custom distributions that schemes name, sorted by label.

        Those of the labels in `kept` are the recorded ones: tensors that stay have them.
        """
        found: dict[str, str] = {}
        for label in sorted(labels_of(init.values())):
            if self.scheme is None or label in kept:
                found[label] = recorded[label]
            else:
                found[label] = function_of(label, self.functions).digest
        return found


def renewals_for(checkpoint: Checkpoint, names: str | Iterable[str], how: How) -> list[Renewal]:
    """The files that have one of the tensors, in order, each with its recipe as it will be.

    Raises:
        ValueError, CheckpointError: as `refill` does.
    """
    check_format(checkpoint.path, checkpoint.form)
    wanted: dict[str, list[str]] = defaultdict(list)
    for name in chosen(names, checkpoint.weight_map):
        wanted[checkpoint.weight_map[name]].append(name)
    headers = {file: header_of(checkpoint, file) for file in checkpoint.files}
    recipes = recipes_of(checkpoint, headers)
    check_family(recipes)
    without = [file for file, recipe in recipes.items() if recipe is None]
    if without and any(recipe.has_plan for recipe in recipes.values() if recipe):
        raise InvalidCheckpointError(
            f"{printable(checkpoint.path)}: {listed(without)} lacks the recipe that the other "
            "files have, so another program has changed it: fetch or write it again"
        )
    renewals = []
    for file, ours in sorted(wanted.items()):
        _check_there(checkpoint, headers[file], file, ours)
        recipe = how.recipe(recipes[file], headers[file], ours)
        renewals.append(renewal_of(checkpoint, file, recipe, ours))
    check_replaceable(checkpoint.folder, [renewal.file for renewal in renewals])
    return renewals


def renewal_of(checkpoint: Checkpoint, file: str, recipe: Recipe, names: Iterable[str]) -> Renewal:
    """How one file is made anew; raises ValueError for what cannot be drawn."""
    head, header = head_of(checkpoint, file), checkpoint.header(file)
    renewal = Renewal(checkpoint.form, file, head, header, recipe, frozenset(names))
    renewal.check()
    return renewal


def _check_there(checkpoint: Checkpoint, header: Header, file: str, names: list[str]) -> None:
    if missing := [name for name in names if name not in header.tensors]:
        raise InvalidCheckpointError(
            f"{printable(checkpoint.folder / file)} lacks tensors which the index says are there: "
            f"{listed(missing)}"
        )


def _refilled(renewal: Renewal, checkpoint: Checkpoint) -> list[Refilled]:
    """What happens to each tensor of a file, in the order of its values."""
    text = renewal.found.recipe
    old = None if text is None else Recipe.parse(text)
    return [
        Refilled(
            name=name,
            file=renewal.file,
            dtype=renewal.kind(name).name,
            shape=stored.shape,
            start=renewal.start(name),
            size=stored.size,
            old_init=old.init.get(name) if old else None,
            old_seed=old.seed_of(name) if old and name in old.init else None,
            init=renewal.recipe.init[name],
            seed=renewal.recipe.seed_of(name),
        )
        for name, stored in renewal.found.tensors.items()
        if name in renewal.names
    ]
