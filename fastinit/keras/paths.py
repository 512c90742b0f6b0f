# SPDX-License-Identifier: MIT
"""Which variable an initializer is called for: its path is the name of the tensor.

Keras passes an initializer the shape and the dtype alone, and its public interface has no way to
ask further.  The variable is the `self` of the function that calls the initializer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any
from weakref import WeakValueDictionary

import keras
from keras.src.backend.common.stateless_scope import in_stateless_scope

from fastinit.numerics.checks import Shape
from fastinit.texts import quoted

PLACEHOLDER = "value"
"""The property of a variable that asks for values while the variable has none.

Keras traces shapes so, in a stateless scope.  Outside of one the values count: Keras catches errors
of a model that is built by its first call, and goes on with the variables that got no values.
"""


_drawn: WeakValueDictionary[tuple[int, str], Any] = WeakValueDictionary()
"""By seed and name: the variable that was drawn last, if it is still there."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The variable that an initializer is called for.

    Attributes:
        variable: it has a path and a shape, and no value yet.
        placeholder: whether Keras traces shapes, and drops the values.
    """

    variable: Any
    placeholder: bool


def caller() -> Caller | None:
    """The variable that the initializer above this function is called for, or None."""
    for owner, function in _owners(sys._getframe(1)):
        if isinstance(owner, keras.Variable):
            return Caller(owner, function == PLACEHOLDER and in_stateless_scope())
    return None


def _owners(frame: FrameType | None) -> Iterator[tuple[Any, str]]:
    """The `self` of each function of the call stack, from the last call outwards, and its name."""
    while frame is not None:
        yield frame.f_locals.get("self"), frame.f_code.co_name
        frame = frame.f_back


def check_only_one(found: Caller, seed: int, name: str, what: str) -> None:
    """Refuse a second variable of one path in a layer: it would have the values of the first.

    Other models may have such variables: those of a clone have the values of the original.

    Args:
        found: the variable that is to be drawn.
        seed, name: by which it is drawn.
        what: the initializer, for messages.

    Raises:
        ValueError: its layer has another, or that of another layer beside it with the same name.
    """
    first = _drawn.get((seed, name))
    if first is not None and first is not found.variable and _are_together(first):
        raise ValueError(
            f"{what} is called for a second variable of the path {quoted(found.variable.path)}, "
            "which would have the values of the first: give the variables, or their layers, "
            "different names"
        )
    _drawn[seed, name] = found.variable


def _are_together(first: Any) -> bool:
    """Whether the layer that is being built has this variable, or one of its name beside it."""
    inner: Any = None
    for layer, _ in _owners(sys._getframe(1)):
        if not isinstance(layer, keras.Layer) or layer is inner:
            continue
        beside = [layer] if inner is None else layer._layers
        if inner is not None and not any(each is inner for each in beside):
            return False  # Keras clones `layer`, or its constructor builds a part it has not yet
        alike = [each for each in beside if inner is None or each.name == inner.name]
        if any(variable is first for each in alike for variable in each.variables):
            return True
        inner = layer
    return False


def tensor_name(found: Caller | None, shape: Shape, name: str | None, what: str) -> str:
    """The name of the tensor that an initializer is to draw.

    Args:
        found: the variable that it is called for, if there is one.
        shape: that it is asked for.
        name: the initializer's own: before the path of a variable, or else the whole name.
        what: the initializer, for messages.

    Raises:
        ValueError: there is neither a variable nor a name; or the shape is not the variable's.
    """
    if found is None:
        if name is None:
            raise ValueError(
                f"{what} is called outside of a variable, and values follow from a name: give it "
                f"one, such as {what}(name='w'), or make the variable by keras.Variable(initializer"
                ", shape=shape, name='w') or layer.add_weight"
            )
        return name
    path, whole = found.variable.path, tuple(found.variable.shape or shape)
    if shape != whole:
        raise ValueError(
            f"{what} is called for shape {shape} inside of the variable {quoted(path)} of shape "
            f"{whole}, and which part that is cannot be known: in an LSTM, leave bias_initializer "
            "at 'zeros', or pass unit_forget_bias=False; elsewhere, call the initializer for the "
            "whole shape"
        )
    return joined(name, path)


def joined(name: str | None, path: str) -> str:
    """The path of a variable, after ``name/`` if there is a name.

    >>> joined(None, "dense/kernel"), joined("critic", "dense/kernel")
    ('dense/kernel', 'critic/dense/kernel')
    """
    return f"{name}/{path}" if name else path
