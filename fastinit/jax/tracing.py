# SPDX-License-Identifier: MIT
"""Traces an init function to a program of JAX in which the draws of initializers are marked.

Nothing is drawn and nothing allocated.  The functions of jax.nn.initializers are closures, which
models keep as defaults and attributes long before they are traced here.  All of them draw through
one name of their module, ``random``; while a function is traced, a stand-in for it marks what they
draw, by the variables of the closure that called it.  Other threads are not affected.  Where a
JAX of another version has other names, draws stay without a mark, and reading.py reads them from
the program alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import jax

from fastinit.jax.primitives import mark
from fastinit.jax.requests import own, request_of

_context = jax.make_user_context(default_value=None)
"""Is a part of the key under which JAX keeps the programs that it traced.

Without it, JAX would use programs again here that it traced before, without marks, or these later.
"""


@dataclass(frozen=True)
class Traced:
    """The program of a function, and the tree that it returns."""

    program: Any
    """A ``ClosedJaxpr``, whose outputs are the leaves of `tree`."""

    tree: Any
    """What ``jax.eval_shape`` returns."""


def traced(function: Callable[..., Any], args: tuple[Any, ...]) -> Traced:
    """Trace a function of arrays, which may be abstract.

    Raises:
        Exception: what the function raises.
    """
    with _marking(), _context("fastinit"), jax.disable_jit(False):
        program, tree = jax.make_jaxpr(function, return_shape=True)(*args)
    return Traced(program, tree)


_active = threading.local()
_lock = threading.Lock()
_users = 0


@contextmanager
def _marking() -> Iterator[None]:
    """Put the stand-in in the place of ``random``, for as long as any thread traces."""
    global _users
    names = jax.nn.initializers.normal.__globals__
    with _lock:
        if not _users and "random" in names:
            names["random"] = _Marking(names["random"])
        _users += 1
    before = getattr(_active, "here", False)
    _active.here = True
    try:
        yield
    finally:
        _active.here = before
        with _lock:
            _users -= 1
            if not _users and isinstance(names.get("random"), _Marking):
                names["random"] = names["random"].real


class _Marking:
    """Stands for the module ``random`` in that of the initializers, and marks what it draws."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def normal(self, *args: Any, **kwargs: Any) -> Any:
        return _marked(self.real.normal(*args, **kwargs), sys._getframe(1))

    def uniform(self, *args: Any, **kwargs: Any) -> Any:
        return _marked(self.real.uniform(*args, **kwargs), sys._getframe(1))

    def truncated_normal(self, *args: Any, **kwargs: Any) -> Any:
        return _marked(self.real.truncated_normal(*args, **kwargs), sys._getframe(1))

    def orthogonal(self, *args: Any, **kwargs: Any) -> Any:
        return _marked(self.real.orthogonal(*args, **kwargs), sys._getframe(1))


def _codes() -> dict[CodeType, str]:
    """By the code of its closure, the name of each factory that draws."""
    inits = jax.nn.initializers
    made = {
        "uniform": inits.uniform(),
        "normal": inits.normal(),
        "truncated_normal": inits.truncated_normal(),
        "variance_scaling": inits.variance_scaling(1.0, "fan_in", "normal"),
        "orthogonal": inits.orthogonal(),
        "delta_orthogonal": inits.delta_orthogonal(),
    }
    return {init.__code__: name for name, init in made.items()}


FACTORY_CODES = _codes()


def _marked(values: Any, frame: FrameType) -> Any:
    """`values`, marked as what the initializer in a frame asked for."""
    if not getattr(_active, "here", False):
        return values
    name, outer = FACTORY_CODES.get(frame.f_code), frame.f_back
    if name == "orthogonal" and outer and FACTORY_CODES.get(outer.f_code) == "delta_orthogonal":
        name, frame = "delta_orthogonal", outer
    if name is None:
        return values
    variables = frame.f_locals
    try:
        request = request_of(name, variables)
        shape = tuple(int(dim) for dim in variables["shape"])
        request.scheme(shape, shape, own(shape)).distribution(shape)
    except (KeyError, TypeError, ValueError):  # such as a scale that is computed
        return values
    return mark(values, request, shape)
