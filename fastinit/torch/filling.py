# SPDX-License-Identifier: MIT
"""Fills the tensors of a module by their recipes, and of each only the part that is here.

Where recipes come from is in recipes.py and twins.py; new memory is made in materialize.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from fastinit.errors import ModuleError
from fastinit.plans.rules import Assignment, Rows, Rules
from fastinit.texts import problem_lines
from fastinit.torch import devices, memory, shards
from fastinit.torch.devices import Batch
from fastinit.torch.recipes import TensorRecipe
from fastinit.torch.report import Report, ReportRow
from fastinit.torch.tensors import is_named


def with_rules(recipes: Sequence[TensorRecipe], rules: Rules | Rows | None) -> list[TensorRecipe]:
    """The recipes, those of drawn tensors replaced by the first rule that matches the name.

    Raises:
        ValueError: a rule that decides no tensor, or whose scheme does not suit a tensor.
    """
    if rules is None:
        return list(recipes)
    rules = rules if isinstance(rules, Rules) else Rules(rules)
    rules.check_count(len(recipes))
    assignment = Assignment(rules)
    made = [_by_rule(recipe, assignment) for recipe in recipes]
    assignment.check_used(recipe.name for recipe in recipes)
    return made


def _by_rule(recipe: TensorRecipe, assignment: Assignment) -> TensorRecipe:
    scheme = assignment.find_scheme(recipe.name, recipe.shape)
    if scheme is None:
        return recipe
    if not recipe.dtype.is_floating_point:
        raise ValueError(f"a rule gives {recipe.name} {scheme}, but its dtype is {recipe.dtype}")
    scheme.distribution(recipe.shape)
    return recipe.by(scheme, scheme.reason)


def check(recipes: Iterable[TensorRecipe], what: str, instead: str) -> None:
    """Raise a ModuleError that names every tensor that cannot be made.

    Raises:
        ModuleError: a recipe has a problem.
    """
    problems = {recipe.name: recipe.problem for recipe in recipes if recipe.problem}
    if not problems:
        return
    raise ModuleError("\n".join([what, *problem_lines(problems), instead]), problems)


def check_devices(places: Iterable[torch.device]) -> None:
    """Raise, before anything is written, if a device does not draw that was asked to.

    Raises:
        BackendError: FASTINIT_CUDA asks for kernels that cannot run there, or for nothing known.
    """
    for place in dict.fromkeys(places):
        devices.draws(place)


def fill(
    batch: Batch, recipe: TensorRecipe, tensor: torch.Tensor, seed: int, threads: int | None
) -> None:
    """Give a tensor, or the part of it that is here, the values of its recipe.

    `tensor` is that of the recipe's slot, or a new one in its place.  What a CUDA device draws is
    added to `batch`, which draws it later.
    """
    if recipe.kept and tensor is recipe.slot.tensor:
        return
    flat = recipe.slot.flat
    if recipe.scheme is not None and flat is None:
        scheme, name = recipe.scheme, recipe.name
        memory.fill_with(batch, tensor, scheme, seed=seed, name=name, threads=threads)
        return
    parts = flat.parts if flat else shards.parts_of(tensor)
    values = None if recipe.scheme is not None else recipe.values()
    for part in parts:
        if values is not None:
            with torch.no_grad():
                part.local.copy_(part_of(values, part.region))
        elif recipe.scheme is not None:
            memory.fill_with(
                batch,
                part.local,
                recipe.scheme,
                seed=seed,
                name=recipe.name,
                shape=recipe.shape,
                region=part.region,
                threads=threads,
            )
    if not is_named(tensor, "DTensor"):
        torch.autograd.graph.increment_version(tensor)


def part_of(values: torch.Tensor, region: tuple[slice, ...] | range) -> torch.Tensor:
    """The elements of a whole tensor in a region."""
    if isinstance(region, range):
        return values.reshape(-1)[region.start : region.stop : region.step]
    return values[region]


def report(recipes: Iterable[TensorRecipe]) -> Report:
    """What was done with each recipe, ties included."""
    rows = []
    for recipe in recipes:
        shape, dtype = recipe.shape, str(recipe.dtype)
        if recipe.problem:
            rows.append(ReportRow(recipe.name, shape, dtype, "left", why=recipe.problem))
        elif recipe.scheme is not None:
            text, why = str(recipe.scheme), recipe.scheme.reason
            rows.append(ReportRow(recipe.name, shape, dtype, "drawn", text, why))
        else:
            rows.append(ReportRow(recipe.name, shape, dtype, "computed"))
        rows += (ReportRow(name, shape, dtype, "tied", recipe.name) for name in recipe.slot.tied)
    return Report(tuple(rows))
