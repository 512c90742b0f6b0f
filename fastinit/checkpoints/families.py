# SPDX-License-Identifier: MIT
"""Which recipes the files of a checkpoint have, and whether the files belong together.

It reads headers and the index, and no value.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from fastinit.checkpoints.advice import explained
from fastinit.checkpoints.formats.base import Format, Header
from fastinit.checkpoints.read import Checkpoint
from fastinit.checkpoints.recipe import Recipe, SourceError, StreamVersionError
from fastinit.errors import CheckpointError, VerifyError
from fastinit.schemes.custom import Trusted
from fastinit.texts import printable, quoted

Headers = Mapping[str, Header]
"""File name -> its header."""

Recipes = dict[str, Recipe | None]
"""File name -> its recipe; None for a file of strangers in which nothing was refilled."""


def header_of(checkpoint: Checkpoint, file: str) -> Header:
    """The header of a file; raises VerifyError if the index names it in vain."""
    if checkpoint.is_missing(file):
        raise VerifyError("the file is missing, but the index names it: write it again", file)
    return checkpoint.header(file)


def recipes_of(checkpoint: Checkpoint, headers: Headers) -> Recipes:
    """The recipe of each file, from its header or from the index.

    Raises:
        VerifyError: a recipe is not valid, or does not fit its file.
        CheckpointError: one is of a stream version that this fastinit does not know.
    """
    index = checkpoint.index
    if index is None or index.recipe is None:
        return {file: recipe_in(file, header) for file, header in headers.items()}
    whole = parsed(checkpoint.form.index, index.recipe)
    return {file: whole.of_tensors(header.tensors) for file, header in headers.items()}


def recipe_in(file: str, header: Header) -> Recipe | None:
    """The recipe in a header, which must cover all tensors there if the file is from a plan."""
    if header.recipe is None:
        return None
    recipe = parsed(file, header.recipe)
    missing = header.tensors.keys() - recipe.init.keys() if recipe.has_plan else set[str]()
    for name in sorted(missing | (recipe.init.keys() - header.tensors.keys())):
        where = "the recipe" if name in missing else "the file"
        raise VerifyError(f"tensor {quoted(name)} is missing from {where}", file, name)
    return recipe


def parsed(file: str, text: str) -> Recipe:
    """The recipe with this text; raises as `recipes_of` does."""
    try:
        return Recipe.parse(text)
    except StreamVersionError as error:
        raise CheckpointError(f"{printable(file)} cannot be verified: {error}") from error
    except ValueError as error:
        raise VerifyError(f"its recipe is not valid: {error}", file) from error


def check_family(recipes: Recipes) -> None:
    """Raise VerifyError unless the files come from one call: same seed, same plan.

    Files of strangers, which have neither, may lack a recipe: nothing was refilled there.
    """
    known = [(file, recipe) for file, recipe in recipes.items() if recipe is not None]
    if not known:
        return
    (first, recipe), *others = known
    for file, other in others:
        if (other.seed, other.digest) != (recipe.seed, recipe.digest):
            raise VerifyError(
                f"has seed {other.seed} and plan {other.digest or 'none'}, but {printable(first)} "
                f"has seed {recipe.seed} and plan {recipe.digest or 'none'}: the files do not "
                "belong together",
                file,
            )


def check_recipes(recipes: Recipes, headers: Headers) -> None:
    """Raise VerifyError for a file without a recipe, unless another program wrote all of them."""
    known = [recipe for recipe in recipes.values() if recipe is not None]
    for file, recipe in recipes.items():
        if recipe is None and (not known or any(other.has_plan for other in known)):
            none = "" if headers[file].tensors else "has no tensors and "
            raise VerifyError(
                f"{none}has no recipe: fastinit did not write it, or another program dropped the "
                "metadata, so there is nothing to verify against",
                file,
            )


def trusting(file: str, recipe: Recipe, functions: Trusted) -> Recipe:
    """The recipe with the functions that it names; raises VerifyError for another source."""
    try:
        return recipe.trusting(functions)
    except SourceError as error:
        raise VerifyError(str(error), file) from error


def check_folder(checkpoint: Checkpoint, headers: Headers, *, ours: bool) -> None:
    """The index must say where each tensor is, once; no shard is spare.

    If it is `ours`, it must say how large all tensors are, too: other programs count otherwise.
    """
    if checkpoint.index is None:
        return
    check_places(checkpoint, headers)
    if ours:
        check_totals(checkpoint, headers)
    check_spare(checkpoint.folder, checkpoint.form, headers)


def check_spare(folder: Path, form: Format, files: Collection[str]) -> None:
    """Raise VerifyError for a shard that is none of the `files` which the index names."""
    with explained(folder, "list", reader=True):
        names = sorted(os.listdir(folder))
    for name in names:
        if form.is_shard(name) and name not in files:
            raise VerifyError("is a shard that the index does not name: remove it", name)


def check_places(checkpoint: Checkpoint, headers: Headers) -> None:
    """Raise VerifyError unless the index says where each tensor is, once."""
    said: dict[str, set[str]] = {file: set() for file in headers}
    for name, file in checkpoint.weight_map.items():
        said[file].add(name)
    for file, header in headers.items():
        for name in sorted(header.tensors.keys() ^ said[file]):
            what = f"tensor {quoted(name)}"
            if name in said[file]:
                raise VerifyError(f"{what} is not in it, but the index says that it is", file, name)
            place = printable(checkpoint.weight_map.get(name, "no file"))
            raise VerifyError(f"{what} is in it, but the index says {place}", file, name)


def check_totals(checkpoint: Checkpoint, headers: Headers) -> None:
    """Raise VerifyError unless the index says how large all tensors are."""
    assert checkpoint.index is not None
    stored = [stored for header in headers.values() for stored in header.tensors.values()]
    try:
        checkpoint.form.check_totals(checkpoint.index.totals, stored)
    except ValueError as error:
        raise VerifyError(str(error), "index") from error
