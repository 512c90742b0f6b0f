# SPDX-License-Identifier: MIT
"""The tensors of a checkpoint as a plan: names, shapes, dtypes, and the schemes of its recipe.

It reads headers and no value.  plans/sources.py calls it for a path that is a checkpoint's.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastinit.checkpoints.advice import given
from fastinit.checkpoints.formats import FORMATS, MARKS
from fastinit.checkpoints.read import Checkpoint
from fastinit.checkpoints.recipe import Recipe, StreamVersionError
from fastinit.errors import CheckpointError, InvalidCheckpointError, PlanError
from fastinit.plans import Plan, Rules, Tensor, presets
from fastinit.plans.reading import CONFIG_FILE, json_of
from fastinit.plans.rules import Assignment
from fastinit.schemes import Scheme, scheme
from fastinit.schemes.custom import Trusted
from fastinit.texts import listed, printable, quoted


def plan(
    path: Path, *, rules: Rules | None = None, custom: Trusted = (), index: str | None = None
) -> Plan:
    """The tensors of a checkpoint, in the order of its files.

    The dtype that most elements have is the plan's, and tensors of another one have their own.  The
    plan has the name that the recipe says, and of a folder the config.json.  Refilled tensors have
    the schemes of now; seeds, which may differ between them, are no part of a plan.

    Args:
        path: of a folder or of one file.
        rules: decide before the recipe; other tensors have its schemes.
        custom: the custom distributions that the recipe may name.
        index: the name of the folder's index, if it is not the usual one.

    Raises:
        PlanError: a tensor has no scheme, or a dtype that no scheme draws; config.json cannot be
            read.
        ValueError: a rule decides no tensor, or its scheme does not suit a tensor.
        UntrustedError: a scheme names a custom distribution that was not given.
        CheckpointError: the path is not a checkpoint's, or it cannot be read.
    """
    checkpoint = Checkpoint(path, index=index)
    found = list(_found(checkpoint))
    _check_dtypes(path, found)
    schemes = _schemes(checkpoint, found, rules, custom)
    config = _config(checkpoint)
    dtype = _most_common(found)
    names = {row.recipe.plan for row in found if row.recipe is not None}
    name = names.pop() if len(names) == 1 else ""
    try:
        tensors = [
            Tensor(row.name, row.shape, made, None if row.dtype == dtype else row.dtype)
            for row, made in zip(found, schemes, strict=True)
        ]
        return Plan(tensors, name, dtype, config)
    except ValueError as error:
        raise PlanError(f"{printable(path)}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Found:
    """A tensor as a file describes it; `code` is the format's word for its dtype."""

    name: str
    shape: tuple[int, ...]
    code: str
    dtype: str | None
    recipe: Recipe | None

    @property
    def init(self) -> str | None:
        """The text of its scheme, if the recipe has it."""
        return None if self.recipe is None else self.recipe.init.get(self.name)


def _found(checkpoint: Checkpoint) -> Iterator[_Found]:
    """The tensors of each file; where there is an index, those that it says to be there."""
    dtypes = {code: name for name, code in checkpoint.form.codes.items()}
    index = checkpoint.index
    whole = _recipe(checkpoint.form.index, index.recipe) if index and index.recipe else None
    said = defaultdict[str, set[str]](set)
    for name, file in checkpoint.weight_map.items():
        said[file].add(name)
    for file in checkpoint.files:
        header = checkpoint.header(file)
        for name in sorted(said[file] - header.tensors.keys()):
            raise InvalidCheckpointError(
                f"{printable(checkpoint.folder / file)} has no tensor {quoted(name)}, which the "
                "index says is there"
            )
        recipe = _recipe(file, header.recipe) if header.recipe else whole
        for name, stored in header.tensors.items():
            if name in said[file]:
                yield _Found(name, stored.shape, stored.dtype, dtypes.get(stored.dtype), recipe)


def _recipe(file: str, text: str) -> Recipe:
    try:
        return Recipe.parse(text)
    except StreamVersionError as error:
        raise CheckpointError(f"{printable(file)} cannot be a source of a plan: {error}") from error
    except ValueError as error:
        what = f"{printable(file)}: its recipe is not valid: {error}"
        raise InvalidCheckpointError(what) from error


def _check_dtypes(path: Path, found: Iterable[_Found]) -> None:
    """Raise PlanError for dtypes that no scheme draws: left out, they would be missed silently."""
    names = defaultdict[str, list[str]](list)
    for tensor in found:
        if tensor.dtype is None:
            names[tensor.code].append(tensor.name)
    if names:
        held = "; ".join(f"{code}: {listed(tensors)}" for code, tensors in names.items())
        raise PlanError(
            f"{printable(path)} holds tensors of dtypes that no scheme draws ({held}), and a plan "
            "without them would be that of another checkpoint: give the config.json of the model, "
            "or list the tensors that you want in a .toml plan"
        )


def _schemes(
    checkpoint: Checkpoint, found: list[_Found], rules: Rules | None, custom: Trusted
) -> list[Scheme]:
    """The scheme of each tensor: that of the first rule that matches, or else of the recipe."""
    assignment = Assignment(rules or Rules([]))
    assignment.rules.check_count(len(found))
    ruled = [assignment.find_scheme(tensor.name, tensor.shape) for tensor in found]
    kept = [tensor for tensor, made in zip(found, ruled, strict=True) if made is None]
    assignment.check_used(tensor.name for tensor in kept)
    if missing := [tensor.name for tensor in kept if tensor.init is None]:
        raise PlanError(_without_scheme(checkpoint, missing))
    known: dict[str, Scheme] = {}
    return [made or _own(row, custom, known) for row, made in zip(found, ruled, strict=True)]


def _own(tensor: _Found, custom: Trusted, known: dict[str, Scheme]) -> Scheme:
    """The scheme that the recipe says; `known` has those that were read before, by their texts."""
    assert tensor.recipe is not None
    text = tensor.recipe.init[tensor.name]
    if tensor.recipe.custom:
        tensor.recipe.of_tensors([tensor.name]).trusting(custom)
    if text not in known:
        known[text] = scheme(text, custom=custom)
    return known[text]


def _without_scheme(checkpoint: Checkpoint, names: list[str]) -> str:
    """What to do about tensors that no rule and no recipe decides."""
    config = checkpoint.folder / CONFIG_FILE
    begin = f", or give {printable(config)}, to begin as its model does" if config.exists() else ""
    return (
        f"{printable(checkpoint.path)}: nothing says how {len(names):,} of its tensors are drawn "
        f"({listed(names)}), because they have no recipe: add a rule, such as ('*', 'auto()') in "
        f"rules=[...], or names = '*' and init = 'auto()' under [[rule]] in the file for --rules"
        f"{begin}"
    )


def _most_common(found: Iterable[_Found]) -> str | None:
    """The dtype that most elements have."""
    counts = Counter[str | None]()
    for tensor in found:
        counts[tensor.dtype] += math.prod(tensor.shape)
    return max(counts, key=counts.__getitem__, default=None)


def _config(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """What the config.json of a folder holds."""
    path = checkpoint.folder / CONFIG_FILE
    if not checkpoint.is_folder or not os.path.lexists(path):
        return None
    config = json_of(path)
    if not isinstance(config, Mapping):
        raise PlanError(f"{printable(path)}: not a JSON object, but a {type(config).__name__}")
    return config


def check_apart(source: Any, folder: str | os.PathLike[str]) -> None:
    """Raise if a source is the checkpoint in a folder, which is to be replaced.

    Should the last step of that be interrupted, the same call would not find its plan again.

    Raises:
        ValueError: it is.
    """
    if not isinstance(source, str | os.PathLike) or source in presets():
        return
    path, target = Path(os.fsdecode(source)), given(folder)
    replaced = any(form.may_write(path.name) for form in FORMATS.values())
    within = path if os.path.isdir(path) else path.parent if replaced else None
    if within is None or not any(os.path.lexists(target / mark) for mark in MARKS):
        return
    if os.path.exists(within) and os.path.samefile(within, target):
        raise ValueError(
            f"{quoted(str(path))} is the checkpoint that is to be replaced, and an interruption "
            "could take its plan away: save the plan first, as fastinit plan SOURCE --json prints "
            "it, and give that file as the source"
        )
