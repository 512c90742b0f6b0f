# SPDX-License-Identifier: MIT
"""Which initializer each weight of a model has: asked of a twin of each layer.

Keras forgets an initializer once a variable has its values.  So each layer that has weights is made
a second time from its own configuration, in a scope in which variables keep their initializers and
get no values: nothing is drawn, and nothing of the size of a weight is allocated.

No public function of Keras tells what is used here: the lists of a layer's own weights and of its
layers, the initializer that a variable keeps, and the counters of names and the list of variables
without values, which are put back as they were.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

import keras
from keras.src.backend.common import global_state

MOST_TEXT = 200
"""Characters of an error of Keras's, which may show a whole configuration."""


COMMON_ARGUMENTS = inspect.signature(keras.Layer.__init__).parameters.keys()
"""Arguments that all layers take, and that tell nothing of initializers."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight of a model.

    Attributes:
        variable: with path, shape, dtype and values.
        layer: the layer whose own it is.
        initializer: that the layer makes it with, or None.
        problem: why there is no initializer, or "".
    """

    variable: Any
    layer: Any
    initializer: Any = None
    problem: str = ""


def weights_of(model: Any) -> list[Weight]:
    """The weights of a model or layer, each once, in the order of ``model.weights``."""
    with _undisturbed():
        weights = sorted(_weights(model), key=lambda weight: not weight.problem)
    found = {id(weight.variable): weight for weight in weights}  # without a problem, if one is
    return [found[id(variable)] for variable in model.weights]


def _weights(layer: Any) -> list[Weight]:
    """The weights of a layer and of those in it; some may be there twice.

    A layer that cannot be made again alone, such as one without a `get_config`, is made with the
    layer around it, whose constructor knows its arguments.
    """
    found = _own(layer)
    for inner in layer._layers:
        found += _weights(inner)
    if any(weight.problem for weight in found) and layer._layers:
        whole = _of_twin(layer, _all_of)
        known = {id(weight.variable): weight for weight in whole if not weight.problem}
        found = [
            replace(known[id(weight.variable)], layer=weight.layer)
            if weight.problem and id(weight.variable) in known
            else weight
            for weight in found
        ]
    return found


def _own(layer: Any) -> list[Weight]:
    """The weights that belong to a layer itself, and not to a layer in it."""
    return _of_twin(layer, _alone)


def _alone(layer: Any) -> tuple[list[Any], list[Any]]:
    """A layer, and its own variables in an order that does not depend on when each was made."""
    variables = [*layer._trainable_variables, *layer._non_trainable_variables]
    return [layer], sorted(variables, key=_look)


def _all_of(layer: Any) -> tuple[list[Any], list[Any]]:
    """A layer and those in it, and their weights."""
    return list(layer._flatten_layers()), layer.weights


def _of_twin(layer: Any, parts: Callable[[Any], tuple[list[Any], list[Any]]]) -> list[Weight]:
    """Some weights of a layer, with the initializers that the same ones of a twin have."""
    layers, variables = parts(layer)
    if not variables:
        return []

    def refused(why: str) -> list[Weight]:
        return [Weight(variable, layer, problem=f"{_kind(layer)}, {why}") for variable in variables]

    scope = keras.StatelessScope(initialize_variables=False)
    try:
        with scope:
            twins, others = parts(_twin(layer))
    except Exception as error:  # noqa: BLE001 - whatever a layer of the user's may raise
        return refused(f"cannot be made again from its configuration: {_reason(error)}")
    if [_look(variable) for variable in variables] != [_look(variable) for variable in others]:
        return refused("made again from its configuration, has other weights")
    for one, other in zip(layers, twins, strict=False):
        if difference := _difference(one, other):
            return refused(f"made again from its configuration, has another {difference}")
    return [
        Weight(variable, layer, other._initializer)
        if scope.get_current_value(other) is None
        else Weight(variable, layer, problem=f"{_kind(layer)}, assigns it values when it is built")
        for variable, other in zip(variables, others, strict=True)
    ]


def _twin(layer: Any) -> Any:
    """The layer again, in a scope in which variables get no values."""
    twin = type(layer).from_config(layer.get_config())
    twin.build_from_config(layer.get_build_config())
    return twin


def _difference(layer: Any, twin: Any) -> str:
    """The first argument that differs between a layer and its twin, or "".

    If `get_config` leaves an argument out, the twin has its default.  By convention, a layer keeps
    an argument in an attribute of the same name.
    """
    arguments = inspect.signature(type(layer).__init__).parameters.keys() - COMMON_ARGUMENTS
    for name in sorted({*arguments, *(f"_{argument}" for argument in arguments)}):
        if _plain(vars(layer).get(name)) != _plain(vars(twin).get(name)):
            return name
    return ""


def _plain(value: Any) -> Any:
    """A number or a text; of an initializer, all that it holds but seeds; else None."""
    if isinstance(value, keras.initializers.Initializer):
        held = {key: _plain(each) for key, each in vars(value).items() if "seed" not in key}
        return type(value), held
    return value if isinstance(value, (Number, str)) else None


def _look(variable: Any) -> tuple[Any, ...]:
    return variable.name, tuple(variable.shape), variable.dtype


def _reason(error: Exception) -> str:
    """The first line of an error, or of the cause, which Keras quotes after a configuration."""
    text = str(error).rpartition("Exception encountered:")[2]
    first = next(filter(None, map(str.strip, text.splitlines())), type(error).__name__)
    return first[:MOST_TEXT]


def _kind(layer: Any) -> str:
    return f"its layer, {type(layer).__name__}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep what making layers changes: Python's random state, and two lists of Keras's.

    A layer with a dropout, or an initializer without a seed, asks Python for a seed.
    """
    state = random.getstate()
    names = global_state.get_global_attribute("object_name_uids")
    names = None if names is None else names.copy()
    waiting = global_state.get_global_attribute("uninitialized_variables", [])
    waiting = list(waiting)
    try:
        yield
    finally:
        random.setstate(state)
        global_state.set_global_attribute("object_name_uids", names)
        global_state.set_global_attribute("uninitialized_variables", waiting)
