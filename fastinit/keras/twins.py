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

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras.src.backend.common import global_state

MOST_TEXT = 200
"""Characters of an error of Keras's, which may show a whole configuration."""


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
        found = {id(weight.variable): weight for weight in _weights(model)}
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
        whole = _of_twin(layer, lambda owner: owner.weights)
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
    return _of_twin(layer, _own_variables)


def _of_twin(layer: Any, variables_of: Callable[[Any], list[Any]]) -> list[Weight]:
    """Some weights of a layer, with the initializers that the same ones of a twin have."""
    variables = variables_of(layer)
    if not variables:
        return []
    try:
        twin = variables_of(_twin(layer))
    except Exception as error:  # noqa: BLE001 - whatever a layer of the user's may raise
        first = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        why = f"{_kind(layer)}, cannot be made again from its configuration: {first[:MOST_TEXT]}"
        return [Weight(variable, layer, problem=why) for variable in variables]
    if [_look(variable) for variable in variables] != [_look(variable) for variable in twin]:
        why = f"{_kind(layer)}, made again from its configuration, has other weights"
        return [Weight(variable, layer, problem=why) for variable in variables]
    pairs = zip(variables, twin, strict=True)
    return [Weight(variable, layer, other._initializer) for variable, other in pairs]


def _own_variables(layer: Any) -> list[Any]:
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _twin(layer: Any) -> Any:
    """The layer again, with variables that have no values."""
    with keras.StatelessScope(initialize_variables=False):
        twin = type(layer).from_config(layer.get_config())
        twin.build_from_config(layer.get_build_config())
    return twin


def _look(variable: Any) -> tuple[Any, ...]:
    return variable.name, tuple(variable.shape), variable.dtype


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
