# SPDX-License-Identifier: MIT
"""What operators of JAX make of constants, computed arrays and draws.

An operator that is not here makes of a draw something that is not understood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from fastinit.jax.nodes import (
    NO_LOOPS,
    REPEATED_DRAW,
    ComputedNode,
    Corners,
    DrawnNode,
    FilledNode,
    Node,
    Parts,
    UnknownNode,
    overlap,
)
from fastinit.jax.requests import number
from fastinit.numerics.checks import Shape

ELEMENTWISE = {
    *("abs", "add", "add_any", "ceil", "convert_element_type", "cos", "div", "erf", "erf_inv"),
    *("exp", "exp2", "expm1", "floor", "integer_pow", "log", "log1p", "logistic", "max", "min"),
    *("mul", "neg", "pow", "rsqrt", "sign", "sin", "sqrt", "square", "sub", "tanh"),
}
"""Operators whose output is one number everywhere if each operand is."""

PASSED_ON = {
    *("copy", "copy_p", "device_put", "mesh_cast", "optimization_barrier", "reshard"),
    *("sharding_constraint", "stop_gradient", "pvary", "layout_constraint"),
}
"""Operators whose outputs have the values of their operands, one by one."""

ORDERS = {"dynamic_slice", "rev"}
"""Operators that give each element of the first operand at most once, in another order."""

ARITHMETIC = {"mul", "div", "add", "sub"}

KEY_MOVES = {"broadcast_in_dim", "random_unwrap", "random_wrap", "reshape", "squeeze", "transpose"}
"""Operators that keep all rows of keys as they are, if there are no more of them."""


def outputs(eqn: Any, nodes: Sequence[Node], place: Callable[[], str]) -> list[Node]:
    """What the outputs of an operator are.

    Args:
        place: where the code is that calls it, for messages; it is asked if there is one.
    """
    name, count = eqn.primitive.name, len(eqn.outvars)
    if name in PASSED_ON and len(nodes) == count:
        return list(nodes)
    if all(isinstance(node, FilledNode) for node in nodes) and nodes:
        constant = _constant(eqn, nodes)
        if constant is not None:
            return [constant] * count
    if name == "split" and isinstance(nodes[0], DrawnNode):
        return [nodes[0].cut(box) for box in _split(eqn)]
    drawn = [node for node in nodes if isinstance(node, DrawnNode)]
    if drawn and not any(isinstance(node, UnknownNode) for node in nodes):
        found = _of_draws(eqn, nodes)
        if found is not None:
            return [found] * count
    loops = NO_LOOPS.union(*(node.loops for node in nodes))
    for node in nodes:
        if isinstance(node, UnknownNode):
            return [UnknownNode(node.why, loops)] * count
    if drawn:
        why = f"it is computed from a draw by JAX's {name}{place()}, and no scheme does that"
        return [UnknownNode(why, loops)] * count
    return _computed(eqn, nodes)


def _computed(eqn: Any, nodes: Sequence[Node]) -> list[Node]:
    """What the outputs of an operator are without operands that are drawn."""
    name = eqn.primitive.name
    more = name in ("broadcast_in_dim", "tile") and (
        eqn.outvars[0].aval.size > eqn.invars[0].aval.size
    )
    if name in KEY_MOVES and not more and isinstance(nodes[0], ComputedNode):
        return [nodes[0]]
    twice = name in ("concatenate", "stack") and len(set(map(id, nodes))) < len(nodes)
    loops = NO_LOOPS.union(*(node.loops for node in nodes))
    inputs = frozenset[int]().union(
        *(node.inputs for node in nodes if isinstance(node, ComputedNode))
    )
    return [ComputedNode(inputs, loops, more or twice) for _ in eqn.outvars]


def _constant(eqn: Any, nodes: Sequence[Node]) -> FilledNode | None:
    """The number that an operator makes of numbers."""
    name = eqn.primitive.name
    values = [node.value for node in nodes if isinstance(node, FilledNode)]
    if name in ("broadcast_in_dim", "reshape", "squeeze", "transpose", "slice", "expand_dims"):
        return FilledNode(values[0])
    if name not in ELEMENTWISE:
        return None
    with jax.ensure_compile_time_eval():
        made = eqn.primitive.bind(*jax.device_put(values), **eqn.params)
    return FilledNode(jax.device_get(made)[()])


def _of_draws(eqn: Any, nodes: Sequence[Node]) -> Node | None:
    """What an operator makes of draws; None if nothing is known."""
    name = eqn.primitive.name
    first, shape = nodes[0], eqn.outvars[0].aval.shape
    if name in ("concatenate", "stack"):
        return _joined(eqn, nodes)
    if name.startswith("scatter") and isinstance(nodes[-1], DrawnNode):
        zeros = isinstance(first, FilledNode) and first.value == 0
        return nodes[-1].placed(shape) if zeros else None
    if name in ARITHMETIC:
        return _with_number(eqn, nodes)
    if not isinstance(first, DrawnNode):
        return None
    if name == "neg":
        return first.times(-1.0, shape)
    if name == "convert_element_type":
        dtype = np.dtype(eqn.params["new_dtype"])
        return first.cast(dtype) if jax.numpy.issubdtype(dtype, np.floating) else None
    if name in _MOVES:
        return _moved(first, eqn)
    if name == "slice":
        bounds = zip(eqn.params["start_indices"], eqn.params["limit_indices"], strict=True)
        return first.cut(tuple(bounds))
    if name in ORDERS:
        return first.moved(None).rearranged()
    return None


def _with_number(eqn: Any, nodes: Sequence[Node]) -> Node | None:
    """What arithmetic makes of a draw and a number, in either order."""
    name, shape = eqn.primitive.name, eqn.outvars[0].aval.shape
    place = 0 if isinstance(nodes[0], DrawnNode) else 1
    drawn, other = nodes[place], nodes[1 - place]
    if not isinstance(drawn, DrawnNode) or not isinstance(other, FilledNode):
        return None
    if math.prod(eqn.invars[place].aval.shape) != math.prod(shape):
        return UnknownNode(REPEATED_DRAW, drawn.loops)  # axes of one element are broadcast
    value = number(other.value)
    if name == "mul":
        return drawn.times(value, shape)
    if name == "div":
        return drawn.times(1 / value, shape) if place == 0 and value else None
    if name == "add":
        return drawn.plus(value)
    if place == 0:
        return drawn.plus(-value)
    negative = drawn.times(-1.0, shape)
    return negative.plus(value) if isinstance(negative, DrawnNode) else negative


def _joined(eqn: Any, nodes: Sequence[Node]) -> Node | None:
    """Draws side by side: of one law they are one draw, and layers of one stack keep their fans."""
    stacks = eqn.primitive.name == "stack"
    axis = eqn.params["axis" if stacks else "dimension"]
    parts: Parts = frozenset()
    drawn = []
    for node, var in zip(nodes, eqn.invars, strict=True):
        if isinstance(node, DrawnNode) and stacks:
            node = node.rearranged({old: (old + (old >= axis),) for old in range(var.aval.ndim)})
        elif isinstance(node, DrawnNode) and node.uses(axis):
            node = node.rearranged()
        if not isinstance(node, DrawnNode) or overlap(parts, node.parts):
            return None
        parts |= node.parts
        drawn.append(node)
    known = all(node.frame is not None for node in drawn)
    places = tuple((node.frame, node.parts) for node in drawn)
    move = (eqn.primitive.name, axis, places) if known else None
    joined = {replace(node, parts=parts, frame=()).moved(move) for node in drawn}
    return joined.pop() if len(joined) == 1 else None


def _split(eqn: Any) -> Iterator[Corners]:
    """The boxes of the outputs of ``lax.split``."""
    axis, start = eqn.params["axis"], 0
    for size in eqn.params["sizes"]:
        whole = [(0, dim) for dim in eqn.invars[0].aval.shape]
        whole[axis] = start, start + size
        start += size
        yield tuple(whole)


Moves = dict[int, Shape]
"""From each axis of an operand to those of the output that it becomes."""


def _broadcast(eqn: Any) -> Moves | None:
    """None if an element comes more than once."""
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    if math.prod(before) != math.prod(after):
        return None
    return {axis: (place,) for axis, place in enumerate(eqn.params["broadcast_dimensions"])}


def _transpose(eqn: Any) -> Moves:
    return {axis: (place,) for place, axis in enumerate(eqn.params["permutation"])}


def _squeeze(eqn: Any) -> Moves:
    axes, dropped = range(len(eqn.invars[0].aval.shape)), eqn.params["dimensions"]
    kept = [axis for axis in axes if axis not in dropped]
    return {axis: (kept.index(axis),) if axis in kept else () for axis in axes}


def _reshape(eqn: Any) -> Moves | None:
    """None if axes are merged."""
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    moves: Moves = {}
    place = 0
    for axis, dim in enumerate(before):
        last = len(after) if axis == len(before) - 1 else place
        while math.prod(after[place:last]) < dim and last < len(after):
            last += 1
        if math.prod(after[place:last]) != dim:
            return None
        moves[axis] = tuple(range(place, last))
        place = last
    return moves if place == len(after) else None


_MOVES: dict[str, Callable[[Any], Moves | None]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "transpose": _transpose,
}
"""Operators that give axes other places."""


def _moved(drawn: DrawnNode, eqn: Any) -> Node:
    """A draw whose axes an operator gives other places."""
    moves = _MOVES[eqn.primitive.name](eqn)
    if moves is None and eqn.primitive.name == "broadcast_in_dim":
        return UnknownNode(REPEATED_DRAW, drawn.loops)
    move = eqn.primitive.name, eqn.outvars[0].aval.shape, moves and tuple(sorted(moves.items()))
    return drawn.moved(move).rearranged(moves)
