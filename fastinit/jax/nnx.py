# SPDX-License-Identifier: MIT
"""Flax's nnx: `init` makes a model with its weights, `update` gives a model new ones.

The state of a model is a tree of arrays, which initialize.py fills.  It knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar

import jax

from fastinit.docstrings import shares
from fastinit.errors import ModuleError
from fastinit.jax import initialize, requirement
from fastinit.plans import Plan
from fastinit.plans.rules import Rows, Rules
from fastinit.texts import problem_lines

requirement.check_flax()

# isort: split
from flax import nnx  # noqa: E402 - only now

__all__ = ["init", "plan", "update"]

Model = TypeVar("Model")


@shares(initialize.init)
def init(
    model_fn: Callable[[], Model],
    *,
    seed: SupportsIndex,
    rules: Rules | Rows | None = None,
    schemes: Any = None,
    shardings: Any = None,
    dtype: Any = None,
    prefix: str = "",
    threads: int | None = None,
) -> Model:
    """Make a model of nnx whose constructor draws nothing and allocates nothing.

    Every variable gets the distribution that its constructor asked for, and its values by its path
    in the state, as in "layers/0/kernel".  Random state, such as the keys and counts of a dropout,
    is what the constructor makes.

    Args:
        model_fn: makes the model, as in ``lambda: Model(rngs=nnx.Rngs(0))``.
        seed, rules: as for `init`.
        schemes, shardings: one for all variables, or a tree of them, like ``nnx.state(model)``;
            shardings may be what ``nnx.get_named_sharding`` returns.
        dtype, prefix, threads: as for `init`.

    Returns:
        The model.

    Raises:
        all: as for `init`.

    >>> from flax import nnx
    >>> import fastinit.jax as fj
    >>> model = fj.nnx.init(lambda: nnx.Linear(256, 1024, rngs=nnx.Rngs(0)), seed=0)
    >>> model.kernel[...].shape
    (256, 1024)
    """
    definitions: list[Any] = []

    def state_of_model() -> Any:
        definition, state = nnx.split(_traced_model(model_fn))
        definitions.append(definition)
        return state

    recipe = initialize.recipe_of(state_of_model, (), rules=rules, schemes=schemes, prefix=prefix)
    structure = jax.tree.structure(recipe.tree)
    if isinstance(shardings, nnx.State):
        shardings = jax.tree.unflatten(structure, _shardings_in(shardings))
    made = initialize.values_of(
        recipe, seed=seed, shardings=shardings, dtype=dtype, threads=threads
    )
    model: Model = nnx.merge(definitions[-1], jax.tree.unflatten(structure, made))
    return model


def _traced_model(model_fn: Callable[[], Model]) -> Model:
    """What a function makes while it is traced.

    Raises:
        ModuleError: it keeps an array where nnx, in a function that is traced, does not find it.
    """
    model = model_fn()
    found = {path for path, _ in nnx.to_flat_state(nnx.state(model))}
    why = "it is a plain attribute, which nnx does not find while the constructor is traced"
    lost = {
        "/".join(map(str, path)): why
        for path, value in nnx.iter_graph(model)
        if isinstance(value, jax.core.Tracer) and path not in found
    }
    if lost:
        lines = problem_lines(lost, "array")
        instead = "Keep them in an nnx.Variable, or mark them by nnx.data(array)."
        raise ModuleError("\n".join(["fastinit cannot make", *lines, instead]), lost)
    return model


def _shardings_in(state: Any) -> list[Any]:
    def is_leaf(value: Any) -> bool:
        return value is None or isinstance(value, jax.sharding.Sharding)

    return jax.tree.leaves(state, is_leaf=is_leaf)


@shares(initialize.init)
def update(
    model: Model,
    model_fn: Callable[[], Model] | None = None,
    *,
    seed: SupportsIndex,
    only: Any = nnx.Param,
    rules: Rules | Rows | None = None,
    schemes: Any = None,
    prefix: str = "",
    threads: int | None = None,
) -> Model:
    """Draw the variables of a model anew, and return it; each keeps its dtype and its sharding.

    A model that is there does not say how it was initialised: give the function that makes it, or
    rules or schemes.  All else, such as random state, stays as it is.

    Args:
        model: a model of nnx, sharded or not.
        model_fn: makes such a model; it is traced.
        seed, rules: as for `init`.
        only: which variables are drawn, a filter of nnx.
        schemes: one for all variables, or a tree of them, like ``nnx.state(model, only)``.
        prefix, threads: as for `init`.

    Returns:
        `model`.

    Raises:
        ValueError: `only` chooses no variable; `model_fn` makes a model of other shapes or names;
            and what `init` finds wrong.
        ModuleError, TypeError: as for `init`.

    >>> from flax import nnx
    >>> import fastinit.jax as fj
    >>> make = lambda: nnx.Linear(256, 1024, rngs=nnx.Rngs(0))
    >>> model, other = make(), fj.nnx.init(make, seed=3)
    >>> bool((fj.nnx.update(model, make, seed=3).kernel[...] == other.kernel[...]).all())
    True
    """
    _, state, _ = nnx.split(model, only, ...)
    if not jax.tree.leaves(state):
        raise ValueError(f"only={only!r} chooses no variable of the model, so none can be drawn")

    def state_of_model() -> Any:
        assert model_fn is not None
        return nnx.split(model_fn(), only, ...)[1]

    source = state if model_fn is None else state_of_model
    recipe = initialize.recipe_of(source, (), rules=rules, schemes=schemes, prefix=prefix)
    _check_same(initialize.shapes_of(state), initialize.shapes_of(recipe.tree))
    places = initialize.places_of(state)
    structure = jax.tree.structure(recipe.tree)
    old = jax.tree.leaves(state)
    made = initialize.values_of(
        recipe.of_dtypes(value.dtype for value in old),
        seed=seed,
        shardings=jax.tree.unflatten(structure, places),
        dtype=None,
        threads=threads,
    )
    cast = [value.astype(before.dtype) for value, before in zip(made, old, strict=True)]
    nnx.update(model, jax.tree.unflatten(jax.tree.structure(state), cast))
    return model


def _check_same(ours: dict[str, tuple[int, ...]], theirs: dict[str, tuple[int, ...]]) -> None:
    """Raise if the function makes another model."""
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            raise ValueError(
                f"model_fn makes {name!r} with shape {theirs.get(name)}, but the model has "
                f"{ours.get(name)}: give the function that made this model"
            )


@shares(initialize.init, initialize.plan)
def plan(
    model_fn: Callable[[], Any],
    *,
    rules: Rules | Rows | None = None,
    schemes: Any = None,
    dtype: Any = None,
    name: str = "",
    config: Any = None,
    prefix: str = "",
) -> Plan:
    """The floating variables of a model of nnx, as a `fastinit.Plan`.

    Args:
        model_fn: makes the model.
        rules: as for `init`.
        schemes: one for all variables, or a tree of them, like ``nnx.state(model)``.
        dtype, prefix: as for `init`.
        name, config: as for `plan`.

    Raises:
        all: as for `plan`.

    >>> from flax import nnx
    >>> import fastinit.jax as fj
    >>> fj.nnx.plan(lambda: nnx.Linear(256, 1024, rngs=nnx.Rngs(0)))["kernel"].scheme
    lecun_normal(layout='jax')
    """
    return initialize.plan(
        lambda: nnx.split(_traced_model(model_fn))[1],
        rules=rules,
        schemes=schemes,
        dtype=dtype,
        name=name,
        config=config,
        prefix=prefix,
    )
