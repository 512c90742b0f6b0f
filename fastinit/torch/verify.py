# SPDX-License-Identifier: MIT
"""`verify`: whether the tensors of a live module are what a seed makes of them."""

from __future__ import annotations

from typing import SupportsIndex

import torch

from fastinit.errors import ModuleError
from fastinit.plans.rules import Rows, Rules
from fastinit.texts import problem_lines
from fastinit.torch import comparison, filling
from fastinit.torch.gathered import check_sharded
from fastinit.torch.initialize import own_recipes
from fastinit.torch.recipes import Clones
from fastinit.torch.slots import check_module
from fastinit.values.stream import checked


def verify(
    module: torch.nn.Module,
    *,
    seed: SupportsIndex,
    rules: Rules | Rows | None = None,
    clones: Clones = "distinct",
    prefix: str = "",
    threads: int | None = None,
) -> int:
    """Check that the tensors of a module are those that `materialize` or `initialize_` makes.

    Each process checks the part that it holds, without communication, and draws it again in pieces
    of a few MiB.  Only drawn and computed tensors are compared: buffers that change in training
    differ after it.

    Args:
        module: whose tensors have memory, on any device.
        seed, rules, clones, prefix, threads: those of the call that made the module.

    Returns:
        How many elements were compared.

    Raises:
        ModuleError: some tensors differ; `problems` says where each differs first.
        TypeError, ValueError: as for `initialize_`.

    >>> import torch
    >>> import fastinit.torch as ft
    >>> layer = torch.nn.Linear(64, 64)
    >>> report = ft.initialize_(layer, seed=0)
    >>> ft.verify(layer, seed=0)
    4160
    """
    check_module(module, prefix)
    check_sharded(module)
    checked(seed, "name")
    recipes = filling.with_rules(own_recipes(module, clones=clones, prefix=prefix), rules)
    count, problems = 0, {}
    for recipe in recipes:
        if recipe.problem:
            continue
        compared, where = comparison.compare(recipe, int(seed), threads)
        count += compared
        if where:
            problems[recipe.name] = where
    if problems:
        raise ModuleError(
            "\n".join([f"seed {int(seed)} does not make", *problem_lines(problems)]), problems
        )
    return count
