# SPDX-License-Identifier: MIT
"""`deferred`, `materialize`, `accelerate`: modules whose constructors drew nothing become real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, SupportsIndex, TypeVar

import torch

from fastinit.errors import ModuleError
from fastinit.plans.rules import Rows, Rules
from fastinit.texts import quoted
from fastinit.torch import filling, installation
from fastinit.torch.devices import Batch
from fastinit.torch.dtypes import torch_dtype
from fastinit.torch.recipes import Clones, recipes_of
from fastinit.torch.recording.calls import active
from fastinit.torch.recording.constructed import Modules
from fastinit.torch.recordings import recording
from fastinit.torch.slots import check_module
from fastinit.values.stream import checked

Module = TypeVar("Module", bound=torch.nn.Module)

_INSTEAD = (
    "Give them a scheme by rules=[(name, scheme)], or change the lines above.  Nothing was "
    "allocated."
)


@contextmanager
def deferred() -> Iterator[None]:
    """Run constructors of modules without drawing or allocating anything.

    Inside, tensors are made on the meta device, and what each constructor does to them is
    recorded: functions of ``torch.nn.init``, operators, tensors made of numbers.  `materialize`
    then gives each tensor the distribution that its constructor would have given it, and `plan`
    shows it.

    The module can be changed in between, on the meta device: parallelised, sharded, put into a
    larger module.  What was recorded stays with the module that holds the tensor.

    What is done to values in between, as by ``model.apply(init)``, has to be done inside.  Tensors
    that were made outside, as those of a trained part, are kept as they are.  Models of Hugging
    Face's transformers initialise themselves as on a CPU, although they are on meta.

    Nested contexts are one recording, and a later one goes on with what an earlier one recorded.
    Other threads are not affected.

    >>> import torch
    >>> import fastinit.torch as ft
    >>> with ft.deferred():
    ...     layer = torch.nn.Linear(4096, 4096)
    >>> layer.weight.is_meta
    True
    >>> ft.materialize(layer, seed=0).weight.std().item() < 1 / 64
    True
    """
    with recording():
        yield


def materialize(
    module: Module,
    *,
    seed: SupportsIndex,
    device: Any = None,
    dtype: Any = None,
    rules: Rules | Rows | None = None,
    clones: Clones = "distinct",
    prefix: str = "",
    threads: int | None = None,
) -> Module:
    """Make a module real whose constructor ran under `deferred`, and return it.

    Each parameter is allocated and drawn once, by its full name in `module`; tied parameters are
    one tensor, drawn by the name that comes first.  Buffers, persistent or not, get the values that
    their constructors computed.  A DTensor gets the part that this process holds.  A tensor that
    has memory already, because the module was moved by ``to_empty``, is filled where it is.

    Args:
        module: made under `deferred`.
        seed: 0 <= seed < 2**64.
        device: where to allocate, by default the CPU, or for a DTensor the device of its mesh.
        dtype: of tensors whose constructor asked for no dtype, by default the dtype they were
            recorded with.  Tensors for which the constructor asked for one keep it.
        rules: patterns of names with schemes (`fastinit.Rules`), which decide before what was
            recorded.
        clones: "distinct", or "equal" to give the copies that ``copy.deepcopy`` made, such as the
            layers of ``torch.nn.TransformerEncoder``, equal values, as PyTorch does.
        prefix: put before all names, as in "generator".
        threads: as for `fastinit.fill`.

    Returns:
        `module`.

    Raises:
        ModuleError: what was recorded of some tensors has no scheme, or nothing was recorded, or
            something was written to them since then; the message lists them with the lines that
            made them.  Nothing was allocated.  Or it is called inside `deferred`.
        TypeError, ValueError: an argument is of the wrong type or out of range, or a rule decides
            no tensor.
        BackendError: as for `fastinit.torch.fill`.
    """
    check_module(module, prefix)
    checked(seed, "name")
    if active() is not None:
        raise ModuleError(
            "fastinit.torch.materialize is called while constructors are recorded: call it after "
            "the block of deferred(), or leave out the accelerate() that is inside another",
            {},
        )
    kind = None if dtype is None else torch_dtype(dtype)
    recipes = recipes_of(module, clones=clones, prefix=prefix)
    recipes = [recipe.cast(kind) for recipe in filling.with_rules(recipes, rules)]
    recipes = [r for r in recipes if not (r.problem and r.slot.kind == "attribute")]
    filling.check(recipes, "fastinit cannot make", _INSTEAD)
    filling.check_devices(
        installation.device_for(recipe, device) for recipe in recipes if recipe.scheme is not None
    )
    with Batch() as batch:
        for recipe in recipes:
            tensor = installation.allocated(recipe, device)
            filling.fill(batch, recipe, tensor, int(seed), threads)
            installation.install(recipe.slot, tensor)
    installation.notify(module)
    return module


Named = Callable[[str, Module], Module]


@contextmanager
def accelerate(
    *,
    seed: SupportsIndex,
    device: Any = None,
    dtype: Any = None,
    rules: Rules | Rows | None = None,
    clones: Clones = "distinct",
    threads: int | None = None,
) -> Iterator[Named[Any]]:
    """Run constructors under `deferred`, and materialise the model at the end of the block.

    What the block made and holds as one model has names from its root.  Several models are
    several roots, whose tensors could have the same names: give each a name by calling what the
    context returns.

    Args:
        seed, device, dtype, rules, clones, threads: as for `materialize`.

    Raises:
        ModuleError: several modules without a name are left at the end of the block; and as
            `materialize`.

    >>> import torch
    >>> import fastinit.torch as ft
    >>> with ft.accelerate(seed=0):
    ...     model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU())
    >>> with ft.accelerate(seed=0) as named:
    ...     generator = named("generator", torch.nn.Linear(8, 8))
    ...     critic = named("critic", torch.nn.Linear(8, 1))
    """
    names: dict[int, tuple[str, torch.nn.Module]] = {}

    def named(name: str, module: Module) -> Module:
        check_module(module)
        if not isinstance(name, str) or not name:
            raise ValueError(f"the name of a model is {quoted(name)}: need a text such as 'critic'")
        if any(name == other for other, _ in names.values()):
            raise ValueError(f"two models have the name {quoted(name)}: give each another name")
        names[id(module)] = name, module
        return module

    with recording() as modules:
        yield named
    for prefix, root in _roots(modules, names):
        options = {"device": device, "dtype": dtype, "rules": rules, "clones": clones}
        materialize(root, seed=seed, prefix=prefix, threads=threads, **options)


def _roots(
    modules: Modules, names: dict[int, tuple[str, torch.nn.Module]]
) -> list[tuple[str, torch.nn.Module]]:
    """The models to make real, each with its name."""
    inside = {id(child) for _, module in names.values() for child in module.modules()}
    others = [root for root in modules.roots() if id(root) not in inside]
    if (names and others) or len(others) > 1:
        kinds = ", ".join(type(root).__name__ for root in others[:5])
        raise ModuleError(
            f"{len(others)} models without a name were made ({kinds}): their tensors could have "
            "the same names.  Name each: with accelerate(seed=0) as named: "
            "critic = named('critic', Critic())",
            {},
        )
    return [*names.values(), *(("", root) for root in others)]
