# SPDX-License-Identifier: MIT
"""`initialize_`: the tensors of a module that exists are drawn anew, by its own rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, SupportsIndex

import torch

from fastinit.plans.rules import Rows, Rules
from fastinit.torch import filling
from fastinit.torch.devices import Batch
from fastinit.torch.gathered import check_sharded
from fastinit.torch.recipes import Clones, TensorRecipe, recipes_of
from fastinit.torch.recordings import RECORDED, Recorded
from fastinit.torch.report import Report
from fastinit.torch.signatures import signature_of
from fastinit.torch.slots import Slot, check_module, slots_of
from fastinit.torch.twins import record
from fastinit.values.stream import checked

MOST_KNOWN = 64
"""Recordings that are remembered."""

NO_SLOT = Slot("", "parameter", torch.empty(0))
_known: dict[Any, list[TensorRecipe]] = {}

_INSTEAD = (
    "Give them a scheme by rules=[(name, scheme)], construct the module under "
    "fastinit.torch.deferred(), or leave them as they are by strict=False.  Nothing was changed."
)

_MAKE_REAL = (
    "Call fastinit.torch.materialize(module, seed=), or module.to_empty(device=) before.  Nothing "
    "was changed."
)


def initialize_(
    module: torch.nn.Module,
    *,
    seed: SupportsIndex,
    rules: Rules | Rows | None = None,
    strict: bool = True,
    clones: Clones = "distinct",
    prefix: str = "",
    threads: int | None = None,
) -> Report:
    """Draw the tensors of a module anew in place, by what the module itself says they are.

    The module may be built, loaded, moved by ``to_empty``, or sharded: each process fills the part
    that it holds, without communication.  A module that was made under `deferred` has what was
    recorded then.  For any other, its own functions are recorded on a twin of it on the meta
    device, as PyTorch's and most libraries' modules have them: ``reset_parameters()`` or
    ``_reset_parameters()`` of each module, inner ones first, and then ``_init_weights(module)`` of
    the nearest module around it.  What a constructor alone does is not seen then.

    Names are those of ``module.named_parameters()``, without what wrappers put into them
    (``module.``, ``_orig_mod.``, ``_checkpoint_wrapped_module.``, ``_fsdp_wrapped_module.``).

    Args:
        module: whose tensors have memory.
        seed: 0 <= seed < 2**64.
        rules: patterns of names with schemes (`fastinit.Rules`), which decide before the module.
        strict: whether a parameter that is not reached is an error.  Buffers that no function
            resets stay as they are.
        clones: as for `materialize`.
        prefix: put before all names.
        threads: as for `fastinit.fill`.

    Returns:
        A report, in which ``left`` names the tensors that were left as they were.

    Raises:
        ModuleError: a parameter is not reached, or what would be done to it has no scheme; all are
            listed.  Nothing was changed.
        TypeError, ValueError, BackendError: as for `materialize`.

    >>> import torch
    >>> import fastinit.torch as ft
    >>> mlp = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    >>> report = ft.initialize_(mlp, seed=0)
    >>> report["0.weight"].scheme
    'kaiming_uniform(a=2.23606797749979)'
    """
    check_module(module, prefix)
    check_sharded(module)
    checked(seed, "name")
    recipes = filling.with_rules(own_recipes(module, clones=clones, prefix=prefix), rules)
    parameters = [r for r in recipes if r.slot.kind == "parameter"]
    _check_real(recipes)
    if strict:
        filling.check(parameters, "fastinit cannot draw", _INSTEAD)
    drawn = [r for r in recipes if r.scheme is not None and not r.problem]
    filling.check_devices(recipe.slot.tensor.device for recipe in drawn)
    with Batch() as batch:
        for recipe in recipes:
            if not recipe.problem:
                filling.fill(batch, recipe, recipe.slot.tensor, int(seed), threads)
    return filling.report(recipes)


def _check_real(recipes: list[TensorRecipe]) -> None:
    why = "it is on the meta device"
    meta = [r.without(why) for r in recipes if not r.problem and r.slot.tensor.is_meta]
    filling.check(meta, "there is no memory to write to for", _MAKE_REAL)


def own_recipes(
    module: torch.nn.Module, *, clones: Clones = "distinct", prefix: str = ""
) -> list[TensorRecipe]:
    """What was recorded of a module's constructor, or else of a twin."""
    if any(RECORDED in owner.__dict__ for owner in module.modules()):
        return recipes_of(module, clones=clones, prefix=prefix)
    signature = signature_of(module)
    if signature is None:
        return _of_twin(module, clones, prefix)
    key = signature, clones, prefix
    slots = slots_of(module, prefix=prefix)
    known = _known.get(key)
    if known is None:
        known = _of_twin(module, clones, prefix)
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = [replace(recipe, slot=NO_SLOT) for recipe in known]
    return [replace(recipe, slot=slot) for recipe, slot in zip(known, slots, strict=True)]


def _of_twin(module: torch.nn.Module, clones: Clones, prefix: str) -> list[TensorRecipe]:
    found = record(module)

    def recorded(owner: torch.nn.Module) -> Recorded | None:
        return found.get(id(owner))

    return recipes_of(module, clones=clones, prefix=prefix, recorded=recorded)
