# SPDX-License-Identifier: MIT
"""What is left of a checkpoint: which files are whole, which are lost, what the index says.

It changes nothing, and does not decide what can be made again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fastinit.checkpoints.advice import explained, given
from fastinit.checkpoints.families import Recipes, check_family, recipe_in
from fastinit.checkpoints.formats import DEFAULT, FORMATS, format_of
from fastinit.checkpoints.formats.base import Format, Header, Index
from fastinit.checkpoints.read import Checkpoint, form_of, read_index
from fastinit.checkpoints.recipe import Recipe
from fastinit.checkpoints.renewal.renewals import check_format
from fastinit.errors import InvalidCheckpointError
from fastinit.texts import printable

NOT_THERE = "it is missing"


@dataclass(frozen=True)
class Survey:
    """A checkpoint as it is.

    `opened` has the files that are whole, each opened alone, and `recipes` theirs; `lost` says of
    the others why.  `index` is what the index says, or else None and `index_lost` says why.
    """

    path: Path
    folder: Path
    form: Format
    opened: Mapping[str, Checkpoint]
    recipes: Recipes
    lost: Mapping[str, str]
    index: Index | None = None
    index_lost: str = ""

    @property
    def files(self) -> list[str]:
        """All files that there should be."""
        return sorted({*self.opened, *self.lost})

    def header(self, file: str) -> Header:
        """The header of a whole file."""
        return self.opened[file].header(file)

    @property
    def call(self) -> Recipe | None:
        """A recipe with the seed and the plan of all files, if `write` made them."""
        planned = (recipe for recipe in self.recipes.values() if recipe and recipe.has_plan)
        return next(planned, None)

    def without(self, lost: Mapping[str, str]) -> Survey:
        """The same, with more files lost."""
        opened = {file: own for file, own in self.opened.items() if file not in lost}
        recipes = {file: self.recipes[file] for file in opened}
        return replace(self, opened=opened, recipes=recipes, lost={**self.lost, **lost})


def survey(path: str | os.PathLike[str]) -> Survey:
    """Look at a folder, or at one file.

    Raises:
        VerifyError: its files come from several calls.
        CheckpointError: nothing of a safetensors checkpoint is there, or it cannot be read.
    """
    place, form = given(path), format_of(DEFAULT)
    if not os.path.isdir(place):
        check_format(place, form_of(place))
        return _of_files(Survey(place, place.parent, form, {}, {}, {}), [place.name])
    with explained(place, "list", reader=True):
        names = set(os.listdir(place))
    empty = Survey(place, place, form, {}, {}, {})
    if form.index in names and form.single not in names:
        try:
            index = read_index(place / form.index, form)
            return _of_files(replace(empty, index=index), sorted(set(index.weight_map.values())))
        except InvalidCheckpointError as error:
            empty = replace(empty, index_lost=str(error))
    if form.single in names and form.index not in names:
        return _of_files(empty, [form.single])
    families = {form.family(name) for name in names if form.is_shard(name)}
    if len(families) != 1 or not names.isdisjoint(_other_marks(form)):
        check_format(place, Checkpoint(place).form)  # one of them says what is wrong
    lost = empty.index_lost or f"{printable(place / form.index)} is missing"
    return _of_files(replace(empty, index_lost=lost), *families)


def _other_marks(form: Format) -> set[str]:
    """The files that make a folder a checkpoint without an index of this format."""
    return {mark for other in FORMATS.values() for mark in other.marks} - {form.index}


def _of_files(empty: Survey, files: list[str] | tuple[str, ...]) -> Survey:
    opened: dict[str, Checkpoint] = {}
    recipes: Recipes = {}
    lost: dict[str, str] = {}
    for file in files:
        if empty.path != empty.folder / file and not os.path.lexists(empty.folder / file):
            lost[file] = NOT_THERE
            continue
        try:
            found = Checkpoint(empty.folder / file)
            recipes[file] = recipe_in(file, found.header(file))
            opened[file] = found
        except InvalidCheckpointError as error:
            lost[file] = str(error)
    check_family(recipes)
    found_all = replace(empty, opened=opened, recipes=recipes, lost=lost)
    if found_all.call is None:
        return found_all
    bare = [file for file, recipe in recipes.items() if recipe is None]
    return found_all.without(dict.fromkeys(bare, "it has no recipe"))
