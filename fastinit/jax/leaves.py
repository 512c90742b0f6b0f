# SPDX-License-Identifier: MIT
"""The leaves of a tree of arrays by name, and the scheme of each.

Which schemes a function asked for is read by reading.py; nothing here allocates.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from fastinit import schemes
from fastinit.errors import ModuleError
from fastinit.jax import reading
from fastinit.jax.nodes import (
    ComputedNode,
    DrawnNode,
    FilledNode,
    Node,
    UnknownNode,
    overlap,
    scheme_of,
)
from fastinit.jax.requests import number
from fastinit.jax.tracing import Traced
from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import DTYPES
from fastinit.plans.rules import Assignment, Rows, Rules
from fastinit.schemes import Scheme, scheme
from fastinit.texts import problem_lines, quoted

BOXES = {
    "flax.core.meta": "AxisMetadata",
    "flax.nnx": "Variable",
}
"""By module, where it is imported: Flax's classes that hold one array, which names leave out."""


@dataclass(frozen=True)
class Leaf:
    """One array of a tree.

    Attributes:
        name: its path, such as "params/Dense_0/kernel".
        number: in the order of the tree.
        shape, dtype: of the whole array.
        scheme: how it is drawn; None if it is computed or not understood.
        node: what was read of it; None in an abstract tree.
        problem: why it cannot be made; "" otherwise.
        tied: the number of the leaf that is the same array.
    """

    name: str
    number: int
    shape: Shape
    dtype: Any
    scheme: Scheme | None = None
    node: Node | None = field(default=None, repr=False)
    problem: str = ""
    tied: int | None = None

    @property
    def floating(self) -> bool:
        """Whether fastinit can draw its dtype."""
        return any(self.dtype == row.numpy for row in DTYPES.values())

    def failing(self, problem: str) -> Leaf:
        """The leaf with a reason why it cannot be made."""
        return replace(self, scheme=None, problem=problem)

    def by(self, scheme: Scheme) -> Leaf:
        """The leaf drawn by another scheme.

        Raises:
            ValueError: the scheme does not suit it.
        """
        if not self.floating:
            raise ValueError(f"a rule gives {self.name} {scheme}, but its dtype is {self.dtype}")
        try:
            scheme.distribution(self.shape)
        except ValueError as error:
            raise ValueError(f"{quoted(self.name)} by {scheme}: {error}") from None
        return replace(self, scheme=scheme, node=None, problem="", tied=None)


def named(tree: Any, prefix: str = "") -> list[Leaf]:
    """The leaves of a tree of arrays, which may be abstract.

    Raises:
        TypeError: a leaf has no shape and dtype.
        ValueError: two leaves have one name.
    """
    found: list[Leaf] = []
    for name, value in _paths(tree):
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            raise TypeError(
                f"{quoted(name)} is a {type(value).__name__}: need arrays, or what jax.eval_shape "
                "returns"
            )
        found.append(Leaf(prefix + name, len(found), tuple(value.shape), value.dtype))
    names = [leaf.name for leaf in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two leaves are named {quoted(twice)}: rename a key of the tree")
    return found


def _paths(tree: Any) -> Iterator[tuple[str, Any]]:
    """Each leaf with its path; what holds one array is not in the path."""
    boxes = tuple(
        getattr(sys.modules[module], name)
        for module, name in BOXES.items()
        if hasattr(sys.modules.get(module), name)
    )

    def is_box(value: Any) -> bool:
        return isinstance(value, boxes)

    for path, value in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_box)[0]:
        inner = jax.tree_util.tree_flatten_with_path(value)[0]
        for place, leaf in inner:
            whole = path if len(inner) == 1 and place and is_box(value) else (*path, *place)
            yield jax.tree_util.keystr(whole, simple=True, separator="/"), leaf


def tied(traced: Traced, ruled: list[Leaf], leaves: list[Leaf]) -> list[Leaf]:
    """The leaves, those that are one drawn array by one scheme.

    Args:
        ruled: the leaves by rules alone, which come first.
        leaves: by rules and other schemes.
    """
    groups: dict[int, list[int]] = {}
    for leaf in leaves:
        groups.setdefault(id(traced.program.jaxpr.outvars[leaf.number]), []).append(leaf.number)
    shared = [group for group in groups.values() if len(group) > 1]
    nodes = reading.read(traced.program, (number for group in shared for number in group))
    found = list(leaves)
    for first, *others in shared:
        if isinstance(nodes[first], DrawnNode | UnknownNode):
            given = (each[number].scheme for each in (ruled, leaves) for number in (first, *others))
            chosen = next(filter(None, given), None)
            found[first] = replace(found[first], scheme=chosen)
            for number in others:
                found[number] = replace(found[number], scheme=chosen, tied=first)
    return found


def understood(traced: Traced, leaves: list[Leaf]) -> list[Leaf]:
    """The leaves, those without a scheme with what their function asked for."""
    wanted = [leaf for leaf in leaves if leaf.scheme is None]
    nodes = reading.read(traced.program, (leaf.number for leaf in wanted))
    found = list(leaves)
    for leaf in wanted:
        if leaf.tied is None:
            found[leaf.number] = _understood(leaf, nodes[leaf.number])
        else:
            same = found[leaf.tied]
            found[leaf.number] = replace(same, name=leaf.name, number=leaf.number, tied=leaf.tied)
    return _apart(found)


def _understood(leaf: Leaf, node: Node) -> Leaf:
    """A leaf with the scheme of what was read, or with the reason why there is none."""
    if isinstance(node, UnknownNode):
        return replace(leaf, node=node, problem=node.why)
    if isinstance(node, FilledNode) and leaf.floating and np.isfinite(node.value):
        return replace(leaf, node=node, scheme=constant(number(node.value)))
    if not isinstance(node, DrawnNode):
        return replace(leaf, node=node)
    if not leaf.floating:
        return replace(leaf, node=node, problem=f"fastinit does not draw {leaf.dtype}")
    try:
        drawn = scheme_of(node, leaf.shape, np.dtype(leaf.dtype))
        drawn.distribution(leaf.shape)
    except ValueError as error:
        return replace(leaf, node=node, problem=str(error))
    return replace(leaf, node=node, scheme=drawn)


def _apart(leaves: list[Leaf]) -> list[Leaf]:
    """The leaves, of which no two may have elements of one draw, unless they are one array."""
    seen: dict[int, list[Leaf]] = {}
    found = []
    for leaf in leaves:
        node = leaf.node
        if isinstance(node, DrawnNode) and leaf.tied is None and not leaf.problem:
            for number, _ in node.parts:
                for other in seen.setdefault(number, []):
                    if isinstance(other.node, DrawnNode) and overlap(node.parts, other.node.parts):
                        why = f"it has values of {quoted(other.name)}, and no scheme does that"
                        leaf = replace(leaf, scheme=None, problem=why)
                seen[number].append(leaf)
        found.append(leaf)
    return found


def constant(value: float) -> Scheme:
    """The scheme of one value everywhere."""
    return {0.0: schemes.zeros(), 1.0: schemes.ones()}.get(value) or schemes.constant(value)


def with_rules(leaves: list[Leaf], rules: Rules | Rows | None) -> list[Leaf]:
    """The leaves, those that a rule matches with its scheme.

    Raises:
        ValueError: a rule that decides no leaf, or whose scheme does not suit one.
    """
    if rules is None:
        return leaves
    rules = rules if isinstance(rules, Rules) else Rules(rules)
    rules.check_count(len(leaves))
    assignment = Assignment(rules)
    found = []
    for leaf in leaves:
        chosen = assignment.find_scheme(leaf.name, leaf.shape)
        found.append(leaf if chosen is None else leaf.by(chosen))
    assignment.check_used(leaf.name for leaf in leaves)
    return found


def with_schemes(leaves: list[Leaf], tree: Any, given: Any) -> list[Leaf]:
    """The leaves, those that have no rule with the scheme that is given for them.

    Args:
        tree: of the leaves.
        given: a scheme, or a tree of schemes whose structure is that of `tree` or of its beginning;
            None leaves a leaf, or what is below, as it is.
    """
    if given is None:
        return leaves
    chosen = spread(given, tree, "schemes")
    found = []
    for leaf, each in zip(leaves, chosen, strict=True):
        if each is None or leaf.scheme is not None or not leaf.floating:
            found.append(leaf)
        else:
            found.append(leaf.by(scheme(each).for_tensor(leaf.name, leaf.shape)))
    return found


def spread(prefix: Any, tree: Any, what: str) -> list[Any]:
    """One of `prefix` for each leaf of `tree`, whose structure it has, or that of its beginning.

    Raises:
        ValueError: the structures differ.
    """

    def is_leaf(value: Any) -> bool:
        return value is None or isinstance(value, Scheme | str | jax.sharding.Sharding)

    if is_leaf(prefix):
        return [prefix] * len(jax.tree.leaves(tree))
    try:
        whole = jax.tree.broadcast(prefix, tree, is_leaf=is_leaf)
    except ValueError as error:
        raise ValueError(f"{what} has another structure than the arrays: {error}") from None
    return jax.tree.leaves(whole, is_leaf=is_leaf)


def check(leaves: list[Leaf], what: str, instead: str) -> None:
    """Raise a ModuleError that names every leaf that cannot be made.

    Raises:
        ModuleError: a leaf has a problem.
    """
    problems = {leaf.name: leaf.problem for leaf in leaves if leaf.problem}
    if problems:
        raise ModuleError("\n".join([what, *problem_lines(problems, "array"), instead]), problems)


def is_computed(leaf: Leaf) -> bool:
    """Whether a leaf has neither a scheme nor a problem: its own code computes it."""
    return (
        leaf.scheme is None
        and not leaf.problem
        and isinstance(leaf.node, ComputedNode | FilledNode)
    )
