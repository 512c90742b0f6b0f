# SPDX-License-Identifier: MIT
"""`init` and `plan`: the arrays that an init function would make, filled by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import jax
import numpy as np

from fastinit import schemes as all_schemes
from fastinit.docstrings import shares
from fastinit.jax import arrays, blocks, computing, leaves
from fastinit.jax.leaves import Leaf
from fastinit.jax.tracing import Traced, traced
from fastinit.machine.state import in_default_floats
from fastinit.memory.arrays import workers_for
from fastinit.memory.regions import region_of
from fastinit.numerics.dtypes import resolve
from fastinit.plans import Plan, Tensor
from fastinit.plans.rules import Rows, Rules
from fastinit.schemes.sampling import sampler
from fastinit.texts import quoted
from fastinit.values.stream import checked

INSTEAD = (
    "Give them a scheme by rules=[(name, scheme)], or change the code that makes them.  Nothing "
    "was allocated."
)


@dataclass(frozen=True)
class TreeRecipe:
    """What is to be made: the leaves of a tree, and the program for those that are computed."""

    tree: Any
    leaves: list[Leaf]
    program: Traced | None = None
    args: tuple[Any, ...] = ()

    def checked(self) -> TreeRecipe:
        """Itself.

        Raises:
            ModuleError: a leaf cannot be made.
        """
        found = []
        for leaf in self.leaves:
            problem = computing.problem_of(leaf, self.args) if leaves.is_computed(leaf) else ""
            found.append(leaf.failing(problem) if problem else leaf)
        leaves.check(found, "fastinit cannot make", INSTEAD)
        return self

    def of_dtypes(self, dtypes: Iterable[Any]) -> TreeRecipe:
        """The recipe with these dtypes of what is drawn, one per leaf."""
        found = [
            leaf if leaf.scheme is None else replace(leaf, dtype=dtype)
            for leaf, dtype in zip(self.leaves, dtypes, strict=True)
        ]
        return replace(self, leaves=found)


def recipe_of(
    source: Any,
    args: Sequence[Any],
    *,
    rules: Rules | Rows | None,
    schemes: Any,
    prefix: str,
) -> TreeRecipe:
    """The recipe of an init function or of an abstract tree.

    Raises:
        TypeError, ValueError: as `init` does.
        ModuleError: a leaf cannot be made.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix is {quoted(prefix)}: need a text, such as 'generator/'")
    program = traced(source, tuple(args)) if _is_function(source) else None
    if program is None and args:
        raise TypeError(
            f"source is a tree of arrays, but {len(args)} arguments for a function are given too"
        )
    tree = source if program is None else program.tree
    ruled = leaves.with_rules(leaves.named(tree, prefix), rules)
    found = leaves.with_schemes(ruled, tree, schemes)
    if program is None:
        why = "it is in a tree without a function: no initializer is known"
        found = [leaf if leaf.scheme else leaf.failing(why) for leaf in found]
    else:
        found = leaves.understood(program, leaves.tied(program, ruled, found))
    return TreeRecipe(tree, found, program, tuple(jax.tree.leaves(tuple(args)))).checked()


def _is_function(source: Any) -> bool:
    """Whether `source` is a function; raises if it is a module of Flax."""
    if isinstance(source, jax.tree_util.Partial):
        return True
    if not callable(source) or not jax.tree_util.all_leaves([source]):
        return False
    if not isinstance(source, type) and callable(getattr(source, "init", None)):
        raise TypeError(
            f"source is a {type(source).__name__}: pass its init function, as in "
            "init(module.init, key, inputs, seed=0)"
        )
    return True


def init(
    source: Callable[..., Any] | Any,
    *args: Any,
    seed: SupportsIndex,
    rules: Rules | Rows | None = None,
    schemes: Any = None,
    shardings: Any = None,
    dtype: Any = None,
    prefix: str = "",
    threads: int | None = None,
) -> Any:
    """The arrays that an init function would return, each filled by its path in the tree.

    The function is traced, as by ``jax.eval_shape``: it draws and allocates nothing.  What it asks
    of jax.nn.initializers and of ``jax.random.normal``, ``uniform`` and ``truncated_normal`` is
    read from its program, through ``jit``, ``vmap``, ``scan``, casts, reshapes and arithmetic with
    numbers.  Each array gets exactly that distribution; in stacked layers, fans are those of one
    layer.  What is not understood is an error that names the path, never a guess.  Arrays that
    depend on no draw, such as tables and counters, are computed as the function computes them.

    The name of an array is its path, as in "params/Dense_0/kernel".

    Args:
        source: a function that returns a tree of arrays, such as ``module.init`` of Flax; or such a
            tree, abstract or not, whose shapes and dtypes count.
        args: of the function: arrays, or trees of arrays, which may be ``jax.ShapeDtypeStruct``.
            For other arguments, use ``functools.partial``.
        seed: 0 <= seed < 2**64.
        rules: patterns of names with schemes (`fastinit.Rules`), which decide first.
        schemes: a scheme for all floating arrays that no rule decides, such as
            ``fastinit.auto(layout="jax")``; or a tree of schemes, whose structure is that of the
            arrays or of its beginning, with None for what the function decides.
        shardings: a ``jax.sharding.Sharding`` for all, or a tree of them, likewise.  By default
            arrays are on JAX's default device; those of an abstract tree keep the sharding that
            they have.
        dtype: of all floating arrays, by default the dtype that each has.
        prefix: put before all names, as in "generator/".
        threads: number of threads, >= 1; by default FASTINIT_THREADS, or else the number of CPUs
            that this process may use.

    Returns:
        A tree of arrays, of the same structure.  Each process has filled only the blocks that its
        devices hold, each distinct block once.  What the function draws once and returns twice is
        one array, or two equal ones if their shardings differ; its scheme is the first that a rule
        gives one of its names, or else `schemes`.

    Raises:
        ModuleError: some arrays cannot be made; all are listed, and nothing was allocated.
        TypeError: an argument is of the wrong type.
        ValueError: a seed or number of threads out of range; an unknown dtype, or float64 without
            ``jax_enable_x64``; a rule that decides nothing, or whose scheme does not suit an array;
            a sharding that does not divide a shape, as JAX says.

    >>> import jax
    >>> import fastinit.jax as fj
    >>> def model(key):
    ...     up, down = jax.random.split(key)
    ...     he = jax.nn.initializers.he_normal()
    ...     return {"up": he(up, (256, 1024)), "down": he(down, (1024, 256))}
    >>> params = fj.init(model, jax.random.key(0), seed=0)
    >>> params["up"].shape
    (256, 1024)
    >>> print(fj.plan(model, jax.random.key(0))["up"].scheme)
    he_normal(layout='jax')
    """
    recipe = recipe_of(source, args, rules=rules, schemes=schemes, prefix=prefix)
    made = values_of(recipe, seed=seed, shardings=shardings, dtype=dtype, threads=threads)
    return jax.tree.unflatten(jax.tree.structure(recipe.tree), made)


def values_of(
    recipe: TreeRecipe, *, seed: SupportsIndex, shardings: Any, dtype: Any, threads: int | None
) -> list[jax.Array]:
    """The arrays of a recipe, in the order of its leaves.

    Raises:
        TypeError, ValueError: as `init` does, before anything is allocated.
    """
    kind = None if dtype is None else arrays.checked_dtype(dtype)
    places = _shardings(recipe, shardings)
    jobs = []
    for leaf, place in zip(recipe.leaves, places, strict=True):
        blocks.check(leaf.shape, place, leaf.name)
        if leaf.scheme is None or _shares(leaf, places):
            continue
        drawn = arrays.checked_dtype(leaf.dtype, leaf.name) if kind is None else kind
        part = region_of(leaf.shape, None)
        workers_for(part, threads)
        stream = checked(seed, leaf.name if leaf.tied is None else recipe.leaves[leaf.tied].name)
        arguments = (leaf.scheme, leaf.shape, stream, drawn)
        try:
            source = in_default_floats(sampler, arguments, {})
        except ValueError as error:
            raise ValueError(f"{quoted(leaf.name)}: {error}") from None
        jobs.append((leaf.number, source, part, place))
    checked(seed, "name")
    values: dict[int, jax.Array] = _computed(recipe, places, kind)
    for number, source, part, place in jobs:
        values[number] = arrays.drawn(source, part, place, threads)
    for leaf in recipe.leaves:
        if leaf.tied is not None and leaf.number not in values:
            values[leaf.number] = values[leaf.tied]
    return [values[leaf.number] for leaf in recipe.leaves]


def _shares(leaf: Leaf, places: Sequence[Any]) -> bool:
    """Whether a leaf is the very array of another one, on the same devices."""
    return leaf.tied is not None and places[leaf.number] == places[leaf.tied]


def _shardings(recipe: TreeRecipe, given: Any) -> list[Any]:
    if given is not None:
        return leaves.spread(given, recipe.tree, "shardings")
    if recipe.program is not None:
        return [None] * len(recipe.leaves)
    return places_of(recipe.tree)


def places_of(tree: Any) -> list[Any]:
    """The shardings of the leaves of a tree; None where JAX may move the array."""
    return [
        value.sharding if getattr(value, "committed", True) and hasattr(value, "sharding") else None
        for value in jax.tree.leaves(tree)
    ]


def shapes_of(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the leaves of a tree by name."""
    return {leaf.name: leaf.shape for leaf in leaves.named(tree)}


def _computed(recipe: TreeRecipe, places: Sequence[Any], kind: Any) -> dict[int, jax.Array]:
    """The arrays that are computed, by their numbers."""
    wanted = [leaf for leaf in recipe.leaves if leaves.is_computed(leaf)]
    if not wanted or recipe.program is None:
        return {}
    by_place: dict[Any, list[Leaf]] = {}  # one program has one set of devices
    for leaf in wanted:
        by_place.setdefault(places[leaf.number], []).append(leaf)
    found = {}
    for place, group in by_place.items():
        made = computing.computed(recipe.program, group, recipe.args, place)
        for leaf, value in zip(group, made, strict=True):
            found[leaf.number] = value.astype(kind.numpy) if kind and leaf.floating else value
    return found


@shares(init)
def plan(
    source: Callable[..., Any] | Any,
    *args: Any,
    rules: Rules | Rows | None = None,
    schemes: Any = None,
    dtype: Any = None,
    name: str = "",
    config: Any = None,
    prefix: str = "",
) -> Plan:
    """The floating arrays that an init function would return, as a `fastinit.Plan`.

    `fastinit.write` makes a checkpoint of it, with the values that `init` gives.  Arrays that the
    function returns twice are in it once, by the name that comes first.  Arrays of other dtypes,
    such as counters and keys, are not in it.

    Args:
        source, args, rules, schemes: as for `init`.
        dtype: as for `init`.
        name: of the plan: at most 256 printable characters.
        config: the content of `config.json`: anything that JSON can hold.
        prefix: as for `init`.

    Raises:
        ModuleError: some arrays have no scheme; all are listed.
        TypeError: an argument is of the wrong type.
        ValueError: an unknown dtype; a rule that decides nothing, or whose scheme does not suit an
            array; a name that a checkpoint cannot hold.

    >>> import jax
    >>> import fastinit.jax as fj
    >>> shapes = {"kernel": jax.ShapeDtypeStruct((4096, 1024), "bfloat16")}
    >>> fj.plan(shapes, rules={"kernel": "lecun_normal(layout='jax')"}).parameters
    4194304
    """
    recipe = recipe_of(source, args, rules=rules, schemes=schemes, prefix=prefix)
    found = [leaf for leaf in recipe.leaves if leaf.floating and leaf.tied is None]
    found = _with_tables(recipe, found)
    leaves.check(found, "a plan cannot hold", INSTEAD)
    kind = None if dtype is None else resolve(dtype).name
    return Plan(
        [
            Tensor(leaf.name, leaf.shape, leaf.scheme, kind or resolve(leaf.dtype).name)
            for leaf in found
            if leaf.scheme is not None
        ],
        name,
        config=config,
    )


def _with_tables(recipe: TreeRecipe, found: list[Leaf]) -> list[Leaf]:
    """The leaves, those that are computed with the scheme of their values, or with a problem."""
    tables = [leaf for leaf in found if leaves.is_computed(leaf)]
    if not tables or recipe.program is None:
        return found
    values = computing.computed(recipe.program, tables, recipe.args, None)
    made = {leaf.name: _table(leaf, np.asarray(v)) for leaf, v in zip(tables, values, strict=True)}
    return [made.get(leaf.name, leaf) for leaf in found]


def _table(leaf: Leaf, values: Any) -> Leaf:
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        return leaf.failing("some of its values are not finite, which no scheme makes")
    if wide.size and (wide == wide.flat[0]).all():
        return leaf.by(leaves.constant(float(wide.flat[0])))
    try:
        return leaf.by(all_schemes.literal(wide.tolist()))
    except ValueError:  # too long for a text
        return leaf.failing(
            f"it is a table of {wide.size:,} values, which are too many for a scheme's text"
        )
