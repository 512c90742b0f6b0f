# SPDX-License-Identifier: MIT
"""Reads a traced program: what is each of its outputs?

Only equations that an output needs are read, in their order.  operators.py has those that do
arithmetic or move elements; here are programs inside programs, draws and loops.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from fastinit.jax import operators
from fastinit.jax.nodes import (
    NO_LOOPS,
    REPEATED_DRAW,
    ComputedNode,
    DrawLaw,
    DrawnNode,
    FilledNode,
    LoopNumbers,
    Node,
    Parts,
    UnknownNode,
    own_law,
)
from fastinit.jax.primitives import draw_p, mark_p
from fastinit.jax.requests import DeltaOrthogonalRequest, OrthogonalRequest, number

GENERATORS = {"threefry2x32", "rng_bit_generator", "rng_uniform", draw_p.name}
"""Primitives that make random bits of plain integers; others take a key."""

BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Under which names equations hold a program that they run once, with their own operands."""

CALL_PRIMITIVES = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
"""Primitives that run a program once."""


def read(program: Any, wanted: Iterable[int]) -> dict[int, Node]:
    """What the wanted outputs of a ``ClosedJaxpr`` are, by their numbers."""
    jaxpr = program.jaxpr
    inputs = [ComputedNode(frozenset({number})) for number in range(len(jaxpr.invars))]
    nodes = _Reader().nodes(jaxpr, program.consts, inputs, set(wanted))
    return {number: node for number, node in enumerate(nodes) if node is not None}


def needed(jaxpr: Any, wanted: set[int]) -> list[Any]:
    """The equations that the wanted outputs of a program need, in their order."""
    variables = {var for n, var in enumerate(jaxpr.outvars) if n in wanted and _is_variable(var)}
    found = []
    for eqn in reversed(jaxpr.eqns):
        if not variables.isdisjoint(eqn.outvars):
            found.append(eqn)
            variables.update(filter(_is_variable, eqn.invars))
    return found[::-1]


def _is_variable(var: Any) -> bool:
    return not isinstance(var, Literal)


class _Reader:
    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.around: list[Any] = []
        """The equations that run the program that is read, from the outermost on."""

    def nodes(
        self, jaxpr: Any, consts: Iterable[Any], inputs: Sequence[Node], wanted: set[int]
    ) -> list[Node | None]:
        """What each wanted output of a program is; None for the others."""
        found: dict[Any, Node] = dict(zip(jaxpr.invars, inputs, strict=True))
        found |= {var: _of_value(value) for var, value in zip(jaxpr.constvars, consts, strict=True)}
        eqns = needed(jaxpr, wanted)
        uses = {var for eqn in eqns for var in eqn.invars if _is_variable(var)}
        uses |= {var for n, var in enumerate(jaxpr.outvars) if n in wanted and _is_variable(var)}

        def node_of(var: Any) -> Node:
            return found[var] if _is_variable(var) else _of_value(var.val)

        for eqn in eqns:
            asked = {n for n, var in enumerate(eqn.outvars) if var in uses}
            made = self.equation(eqn, [node_of(var) for var in eqn.invars], asked)
            found |= {v: n for v, n in zip(eqn.outvars, made, strict=True) if n is not None}
        return [node_of(v) if n in wanted else None for n, v in enumerate(jaxpr.outvars)]

    def equation(self, eqn: Any, nodes: list[Node], wanted: set[int]) -> Sequence[Node | None]:
        """What each wanted output of an equation is."""
        name = eqn.primitive.name
        if name in CALL_PRIMITIVES:
            drawn = self.drawn(eqn, nodes)
            return [drawn] if drawn else self.call(eqn, nodes, wanted)
        if name == "scan":
            return self.scan(eqn, nodes, wanted)
        if eqn.primitive is mark_p:
            return [self.marked(eqn, nodes[0])]
        if eqn.primitive is draw_p:
            return [_repeated(nodes[0]) or self.drawn_here(eqn, nodes[0])]
        if _draws(eqn):
            loops = _all_loops(nodes)
            why = (
                f"it is drawn{self.place(eqn)} by a function of jax.random that no scheme describes"
            )
            return [UnknownNode(why, loops)] * len(eqn.outvars)
        return operators.outputs(eqn, nodes, lambda: self.place(eqn))

    def call(self, eqn: Any, nodes: list[Node], wanted: set[int]) -> Sequence[Node | None]:
        """Read the program that an equation runs."""
        body = next(eqn.params[key] for key in BODIES if key in eqn.params)
        jaxpr, consts = getattr(body, "jaxpr", body), getattr(body, "consts", ())
        self.around.append(eqn)
        found = self.nodes(jaxpr, consts, nodes, wanted)
        self.around.pop()
        return found

    def place(self, eqn: Any) -> str:
        """Where the code is that made an equation, or the program around it."""
        return next(filter(None, map(_place, [eqn, *reversed(self.around)])), "")

    def scan(self, eqn: Any, nodes: list[Node], wanted: set[int]) -> Sequence[Node | None]:
        """Read the body of a loop, whose outputs are carried on or stacked.

        If what is carried depends on a draw after one round, everything that uses it does.
        """
        loop, body = next(self.numbers), eqn.params["jaxpr"]
        first, count = eqn.params["num_consts"], eqn.params["num_carry"]
        inputs = list(nodes)
        for n, node in enumerate(nodes[first:], first):
            inputs[n] = _in_loop(node, loop, carried=n < first + count)
        carries = set(range(count))
        while True:
            made = self.nodes(body.jaxpr, body.consts, inputs, wanted | carries)
            drawn = [n for n in carries if isinstance(made[n], DrawnNode | UnknownNode)]
            stale = [n for n in drawn if not isinstance(inputs[first + n], UnknownNode)]
            if not stale:
                break
            for n in stale:
                inputs[first + n] = UnknownNode("it goes through a loop", frozenset({loop}))
        return [
            None if node is None else _after_loop(node, loop, n < count, eqn.params["length"])
            for n, node in enumerate(made)
        ]

    def drawn(self, eqn: Any, nodes: list[Node]) -> Node | None:
        """What a call of jax.random draws; None if it is another call."""
        if not eqn.invars or len(eqn.outvars) != 1 or not _is_key(eqn.invars[0]):
            return None
        kind = _functions().get(_identity(eqn))
        if kind is None:
            return None
        key, *others = nodes
        if repeated := _repeated(key):
            return repeated
        out = eqn.outvars[0].aval
        bounds = [node.value for node in others if isinstance(node, FilledNode)]
        if len(bounds) != len(others) or not jax.dtypes.issubdtype(out.dtype, np.floating):
            return None
        loops, dtype = key.loops, np.dtype(out.dtype)
        if kind == "normal" and not bounds:
            return DrawnNode(DrawLaw("normal"), dtype, self.part(), loops=loops)
        if kind == "normal" or len(bounds) != 2:
            return None
        low, high = map(number, bounds)
        if _information(eqn, "arg_names")[1:2] == ("maxval",):  # keywords come by the alphabet
            low, high = high, low
        if not low <= high:
            why = f"it is drawn{self.place(eqn)} between {low:g} and {high:g}, where nothing lies"
            return UnknownNode(why, loops)
        return DrawnNode(DrawLaw(kind, low, high), dtype, self.part(), loops=loops)  # type: ignore[arg-type]

    def marked(self, eqn: Any, node: Node) -> Node:
        """What a marked array is."""
        request, shape, axes = (eqn.params[key] for key in ("request", "shape", "axes"))
        dtype = np.dtype(eqn.outvars[0].aval.dtype)
        if isinstance(node, UnknownNode) and node.why == REPEATED_DRAW:
            return node
        if isinstance(request, OrthogonalRequest | DeltaOrthogonalRequest):
            left = ("scale", "place") if isinstance(request, DeltaOrthogonalRequest) else ("scale",)
            return DrawnNode(None, dtype, self.part(), request, shape, None, left, node.loops)
        places = tuple((axis,) for axis in axes)
        if isinstance(node, DrawnNode) and node.law is not None:
            return replace(node, request=request, shape=shape, places=places, left=("scale",))
        return node

    def drawn_here(self, eqn: Any, key: Node) -> Node:
        """What an initializer of fastinit draws."""
        request, shape, dtype = (eqn.params[name] for name in ("request", "shape", "dtype"))
        stack = len(eqn.outvars[0].aval.shape) - len(shape)
        places = tuple((axis + stack,) for axis in range(len(shape)))
        law = own_law(request, shape)
        return DrawnNode(law, dtype, self.part(), request, shape, places, loops=key.loops)

    def part(self) -> Parts:
        """All of a draw that was not met before."""
        return frozenset({(next(self.numbers), None)})


def _in_loop(node: Node, loop: int, *, carried: bool) -> Node:
    """What one round of a loop sees of an array that is carried, or whose rows it runs over."""
    if isinstance(node, FilledNode) and not carried:
        return node
    if isinstance(node, DrawnNode | UnknownNode):
        return UnknownNode("a draw goes through a loop", node.loops | {loop})
    computed = node if isinstance(node, ComputedNode) else ComputedNode()
    return replace(computed, loops=node.loops | {loop})


def _repeated(key: Node) -> UnknownNode | None:
    """What is drawn from keys of which some are equal; None if it is not known that any are."""
    if isinstance(key, ComputedNode) and key.repeated:
        return UnknownNode(REPEATED_DRAW, key.loops)
    return None


def _after_loop(node: Node, loop: int, carried: bool, rounds: int) -> Node:
    """What an output of a loop is: what is carried at the end, or the rows of all rounds."""
    outside = replace(node, loops=node.loops - {loop})
    if not isinstance(outside, DrawnNode):
        return outside
    if carried:
        return UnknownNode("it goes through a loop", outside.loops)
    if loop not in node.loops and rounds != 1:
        return UnknownNode(REPEATED_DRAW, outside.loops)
    return outside.stacked()


def _of_value(value: Any) -> Node:
    if np.size(value) == 1 and not jax.dtypes.issubdtype(
        getattr(value, "dtype", float), jax.dtypes.extended
    ):
        return FilledNode(np.asarray(value).reshape(())[()])
    return ComputedNode()


def _all_loops(nodes: Iterable[Node]) -> LoopNumbers:
    return NO_LOOPS.union(*(node.loops for node in nodes))


# --- draws --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _functions() -> dict[tuple[str, str], str]:
    """By name and place in JAX, the functions inside jax.random's normal, uniform and so on."""
    calls: dict[str, Callable[[Any], Any]] = {
        "normal": lambda key: jax.random.normal(key, (2,)),
        "uniform": lambda key: jax.random.uniform(key, (2,)),
        "truncated": lambda key: jax.random.truncated_normal(key, -2, 2, (2,)),
    }
    found = {}
    for kind, call in calls.items():
        with jax.disable_jit(False):
            eqns = jax.make_jaxpr(call)(jax.random.key(0)).jaxpr.eqns
        inner = [
            eqn for eqn in eqns if eqn.primitive.name in CALL_PRIMITIVES and _is_key(eqn.invars[0])
        ]
        if len(inner) == 1:
            found[_identity(inner[0])] = kind
    return found


def _is_key(var: Any) -> bool:
    return bool(jax.dtypes.issubdtype(var.aval.dtype, jax.dtypes.prng_key))


def _identity(eqn: Any) -> tuple[str, str]:
    """The name of the function that an equation calls, and where it is written."""
    return str(eqn.params.get("name")), str(_information(eqn, "func_src_info"))


def _information(eqn: Any, kind: str) -> Any:
    """What JAX notes of the function that an equation calls, for its own messages."""
    body = next((eqn.params[key] for key in BODIES if key in eqn.params), None)
    information = getattr(getattr(body, "jaxpr", body), "debug_info", None)
    return getattr(information, kind, None) or ()


def _bodies(eqn: Any) -> Iterator[Any]:
    """The programs inside an equation."""
    for value in eqn.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            body = getattr(each, "jaxpr", each)
            if hasattr(body, "eqns"):
                yield body


def _draws(eqn: Any) -> bool:
    """Whether an equation makes random bits, or runs a program that does."""
    if eqn.primitive.name in GENERATORS:
        return True
    bodies = list(_bodies(eqn))
    if bodies:
        return any(_draws(inner) for body in bodies for inner in body.eqns)
    takes_keys = any(_is_key(var) for var in eqn.invars)
    gives_others = not all(_is_key(var) for var in eqn.outvars)
    return takes_keys and gives_others and eqn.primitive.name != "random_unwrap"


def _place(eqn: Any) -> str:
    """The line of the code that made an equation, outside of JAX: " (model.py:12 in __call__)"."""
    frames = getattr(getattr(eqn.source_info, "traceback", None), "frames", ())
    for frame in frames:
        path = frame.file_name.replace("\\", "/")
        if "/jax/" not in path and "/flax/" not in path and "/fastinit/" not in path:
            line = getattr(frame, "line_num", 0)
            return f" ({path.rpartition('/')[2]}:{line} in {frame.function_name})"
    return ""
