# SPDX-License-Identifier: MIT
"""Runs the part of a traced program that computes what nobody draws: tables, counters, keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from fastinit.jax.leaves import Leaf
from fastinit.jax.nodes import ComputedNode
from fastinit.jax.reading import needed
from fastinit.jax.tracing import Traced


def problem_of(leaf: Leaf, args: Sequence[Any]) -> str:
    """Why a leaf cannot be computed: it needs an argument that is abstract; or ""."""
    inputs = leaf.node.inputs if isinstance(leaf.node, ComputedNode) else ()
    for number in sorted(inputs):
        if isinstance(args[number], jax.ShapeDtypeStruct):
            return f"it is computed from argument leaf {number}, which is abstract: give an array"
    return ""


def computed(
    traced: Traced, leaves: Sequence[Leaf], args: Sequence[Any], sharding: Any
) -> list[jax.Array]:
    """The values of leaves that are computed.

    Args:
        leaves: without a problem.
        args: the leaves of the function's arguments.
        sharding: of each leaf; None for JAX's default.
    """
    if not leaves:
        return []
    jaxpr = traced.program.jaxpr
    numbers = [leaf.number for leaf in leaves]
    eqns, outputs = needed(jaxpr, set(numbers)), [jaxpr.outvars[number] for number in numbers]
    used = {id(var) for eqn in eqns for var in eqn.invars} | set(map(id, outputs))
    kept = [number for number, var in enumerate(jaxpr.invars) if id(var) in used]
    part = jaxpr.replace(
        invars=[jaxpr.invars[number] for number in kept],
        outvars=outputs,
        eqns=eqns,
        debug_info=jaxpr.debug_info._replace(
            arg_names=("",) * len(kept), result_paths=("",) * len(outputs)
        ),
    )
    run = jax.jit(jaxpr_as_fun(ClosedJaxpr(part, traced.program.consts)), out_shardings=sharding)
    made: list[jax.Array] = run(*(args[number] for number in kept))
    return made
