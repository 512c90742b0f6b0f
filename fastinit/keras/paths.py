# SPDX-License-Identifier: MIT
"""Which variable an initializer is called for: its path is the name of the tensor.

Keras passes an initializer the shape and the dtype alone, and its public interface has no way to
ask further.  The variable is the `self` of the function that calls the initializer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any

import keras

from fastinit.numerics.checks import Shape
from fastinit.texts import quoted

PLACEHOLDER = "value"
"""The property of a variable that asks for values while the variable has none, to trace shapes."""


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
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.Variable):
            return Caller(owner, frame.f_code.co_name == PLACEHOLDER)
        frame = frame.f_back
    return None


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
