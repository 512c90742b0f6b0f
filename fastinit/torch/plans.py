# SPDX-License-Identifier: MIT
"""`plan`: the tensors of a module as a plan, to look at, to change by rules, or to write."""

from __future__ import annotations

from typing import Any

import torch

from fastinit.numerics.dtypes import resolve
from fastinit.plans import Plan, Tensor
from fastinit.plans.rules import Rows, Rules
from fastinit.torch import filling, tables
from fastinit.torch.initialize import own_recipes
from fastinit.torch.recipes import TensorRecipe
from fastinit.torch.slots import check_module

_INSTEAD = "Give them a scheme by rules=[(name, scheme)], or change the lines above."


def plan(
    module: torch.nn.Module,
    *,
    rules: Rules | Rows | None = None,
    name: str = "",
    dtype: Any = None,
    config: Any = None,
    prefix: str = "",
) -> Plan:
    """The floating-point tensors of a module as a `fastinit.Plan`.

    It holds what ``module.state_dict()`` holds: parameters and persistent buffers, tied ones once,
    by the name that comes first.  Each scheme's ``reason`` says which line of code it comes from.
    Buffers of integers, such as ``num_batches_tracked``, are not in it: plans have none.

    Args:
        module: made under `deferred`, or any other module, as for `initialize_`.
        rules: patterns of names with schemes, which decide before the module.
        name, config: of the plan, as for `fastinit.Plan`.
        dtype: of tensors whose constructor asked for no dtype, by default the dtype that they have.
        prefix: put before all names.

    Raises:
        ModuleError: some tensors have no scheme; all are listed.
        TypeError, ValueError: as for `fastinit.Plan` and `materialize`.

    >>> import torch
    >>> import fastinit.torch as ft
    >>> with ft.deferred():
    ...     layer = torch.nn.Linear(4096, 1024)
    >>> plan = ft.plan(layer)
    >>> plan.parameters, plan["weight"].scheme
    (4195328, kaiming_uniform(a=2.23606797749979))
    """
    check_module(module, prefix)
    recipes = filling.with_rules(own_recipes(module, prefix=prefix), rules)
    recipes = [recipe for recipe in recipes if recipe.dtype.is_floating_point and _kept(recipe)]
    recipes = [tables.as_scheme(recipe) for recipe in recipes]
    filling.check(recipes, "a plan cannot hold", _INSTEAD)
    tensors = [_tensor(recipe, dtype) for recipe in recipes]
    return Plan(tensors, name, config=config)


def _kept(recipe: TensorRecipe) -> bool:
    """Whether a state_dict has the tensor."""
    if recipe.slot.kind == "parameter":
        return True
    return any(
        holder.kind == "buffer" and holder.key not in holder.module._non_persistent_buffers_set
        for holder in recipe.slot.places
    )


def _tensor(recipe: TensorRecipe, dtype: Any) -> Tensor:
    assert recipe.scheme is not None
    asked = dtype if dtype is not None and recipe.default_dtype else recipe.dtype
    return Tensor(recipe.name, recipe.shape, recipe.scheme, resolve(asked).name)
