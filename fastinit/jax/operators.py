# SPDX-License-Identifier: MIT
"""What operators of JAX make of constants, computed arrays and draws.

An operator that is not here makes of a draw something that is not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from fastinit.jax.nodes import (
    NO_LOOPS,
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

ELEMENTWISE = {
    *("abs", "add", "add_any", "ceil", "convert_element_type", "cos", "div", "erf", "erf_inv"),
    *("exp", "exp2", "expm1", "floor", "integer_pow", "log", "log1p", "logistic", "max", "min"),
    *("mul", "neg", "pow", "rsqrt", "sign", "sin", "sqrt", "square", "sub", "tanh"),
}
"""Operators that make the same number everywhere of operands that are the same number everywhere."""

PASSED_ON = {
    *("copy", "copy_p", "device_put", "mesh_cast", "optimization_barrier", "reshard"),
    *("sharding_constraint", "stop_gradient", "pvary", "layout_constraint"),
}
"""Operators whose outputs have the values of their operands, one by one."""

ORDERS = {"dynamic_slice", "rev", "reshape"}
"""Operators that give each element of the first operand at most once, in another order."""


def outputs(eqn: Any, nodes: Sequence[Node], place: str) -> list[Node]:
    """What the outputs of an operator are.

    Args:
        place: where the code is that calls it, for messages.
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
        why = f"it is computed from a draw by JAX's {name}{place}, and no scheme does that"
        return [UnknownNode(why, loops)] * count
    inputs = frozenset[int]().union(
        *(node.inputs for node in nodes if isinstance(node, ComputedNode))
    )
    return [ComputedNode(inputs, loops)] * count


def _constant(eqn: Any, nodes: Sequence[Node]) -> FilledNode | None:
    """The number that an operator makes of numbers."""
    name = eqn.primitive.name
    values = [node.value for node in nodes if isinstance(node, FilledNode)]
    if name in ("broadcast_in_dim", "reshape", "squeeze", "transpose", "slice", "expand_dims"):
        return FilledNode(values[0])
    if name not in ELEMENTWISE:
        return None
    with jax.ensure_compile_time_eval():
        made = eqn.primitive.bind(*map(jax.numpy.asarray, values), **eqn.params)
    return FilledNode(np.asarray(made)[()])


def _of_draws(eqn: Any, nodes: Sequence[Node]) -> Node | None:
    """What an operator makes of draws; None if nothing is known."""
    name = eqn.primitive.name
    first, shape = nodes[0], eqn.outvars[0].aval.shape
    if name == "concatenate":
        return _joined(nodes)
    if name.startswith("scatter") and isinstance(nodes[-1], DrawnNode):
        zeros = isinstance(first, FilledNode) and first.value == 0
        return nodes[-1].placed(shape) if zeros else None
    if name in ("mul", "add") and isinstance(nodes[1], DrawnNode) and isinstance(first, FilledNode):
        first, nodes = nodes[1], (nodes[1], first)
    if not isinstance(first, DrawnNode):
        return None
    if name in _ARITHMETIC and isinstance(nodes[1], FilledNode):
        return _ARITHMETIC[name](first, number(nodes[1].value), shape)
    if name == "neg":
        return first.times(-1.0, shape)
    if name == "convert_element_type":
        dtype = np.dtype(eqn.params["new_dtype"])
        return first.cast(dtype) if jax.numpy.issubdtype(dtype, np.floating) else None
    if name in _MOVES:
        return _moved(first, _MOVES[name](eqn))
    if name == "slice":
        return first.cut(tuple(zip(eqn.params["start_indices"], eqn.params["limit_indices"])))
    if name in ORDERS:
        same = name == "reshape" and shape == eqn.invars[0].aval.shape
        return first if same else first.rearranged()
    return None


_ARITHMETIC: dict[str, Callable[[DrawnNode, float, Any], Node]] = {
    "mul": lambda drawn, value, shape: drawn.times(value, shape),
    "div": lambda drawn, value, shape: drawn.times(1 / value, shape) if value else drawn.plus(0),
    "add": lambda drawn, value, shape: drawn.plus(value),
    "sub": lambda drawn, value, shape: drawn.plus(-value),
}


def _joined(nodes: Sequence[Node]) -> Node | None:
    """Draws side by side: of one law they are one draw."""
    drawn = [node.rearranged() for node in nodes if isinstance(node, DrawnNode)]
    parts: Parts = frozenset()
    for node in drawn:
        if not isinstance(node, DrawnNode) or overlap(parts, node.parts):
            return None
        parts |= node.parts
    joined = {replace(node, parts=parts) for node in drawn if isinstance(node, DrawnNode)}
    return joined.pop() if len(drawn) == len(nodes) and len(joined) == 1 else None


def _split(eqn: Any) -> Iterator[Corners]:
    """The boxes of the outputs of ``lax.split``."""
    axis, start = eqn.params["axis"], 0
    for size in eqn.params["sizes"]:
        whole = [(0, dim) for dim in eqn.invars[0].aval.shape]
        whole[axis] = start, start + size
        start += size
        yield tuple(whole)


def _broadcast(eqn: Any) -> dict[int, int] | None:
    """Where the axes of the operand go; None if an element comes more than once."""
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    if np.prod(before) != np.prod(after):
        return None
    return dict(enumerate(eqn.params["broadcast_dimensions"]))


def _transpose(eqn: Any) -> dict[int, int]:
    return {axis: place for place, axis in enumerate(eqn.params["permutation"])}


def _squeeze(eqn: Any) -> dict[int, int]:
    dropped = eqn.params["dimensions"]
    kept = [n for n in range(len(eqn.invars[0].aval.shape)) if n not in dropped]
    return {axis: place for place, axis in enumerate(kept)}


_MOVES: dict[str, Callable[[Any], dict[int, int] | None]] = {
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "squeeze": _squeeze,
}
"""Operators that give axes another place: from old places to those of the output."""


def _moved(drawn: DrawnNode, places: dict[int, int] | None) -> Node:
    if places is None:
        return UnknownNode("one draw is repeated over several elements", drawn.loops)
    axes = drawn.axes
    if axes is None or any(axis not in places for axis in axes):
        return drawn.rearranged()
    return drawn.rearranged(tuple(places[axis] for axis in axes))
