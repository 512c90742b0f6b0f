# SPDX-License-Identifier: MIT
"""`plan`: the weights of a model as a plan, with the distribution that each layer gives its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import keras

from fastinit.errors import ModuleError
from fastinit.keras.named import NamedInitializer, checked_name
from fastinit.keras.paths import joined
from fastinit.keras.schemes import SCHEME_OF_INITIALIZER, in_keras_layout, scheme_of
from fastinit.keras.twins import Weight, weights_of
from fastinit.numerics.checks import Shape
from fastinit.numerics.dtypes import DTYPES, resolve
from fastinit.plans import Plan, Tensor
from fastinit.plans.rules import Assignment, NamedScheme, Rows, Rules
from fastinit.schemes import Scheme, keras_lstm_bias, ones, zeros
from fastinit.schemes.sampling import sampler
from fastinit.texts import problem_lines, quoted
from fastinit.values.stream import checked

_INSTEAD = "Give them a scheme by rules=[(name, scheme)]."


BESIDE_INTEGERS = ("_scale", "_scales", "_zero", "g_idx")
"""Ends of the names of what Keras's quantised layers hold beside integers."""


@dataclass(frozen=True, slots=True)
class WeightScheme:
    """A weight, the name it is drawn by, and its scheme, or why there is none.

    Attributes:
        left: why the weight keeps its values: it is no weight that is drawn.
    """

    weight: Weight
    name: str
    scheme: Scheme | None = None
    problem: str = ""
    left: str = ""

    @property
    def shape(self) -> Shape:
        """Of the weight."""
        return tuple(self.weight.variable.shape)


def plan(
    model: Any,
    *,
    rules: Rules | Rows | None = None,
    name: str | None = None,
    dtype: Any = None,
) -> Plan:
    """The weights of a model of Keras as a `fastinit.Plan`, by their paths.

    Each layer is made again from its own configuration, without values, to see which initializer
    it gives each of its weights; nothing is drawn.  The ``reason`` of a scheme names both.
    Weights that are no floating-point numbers, with the scales of a quantised layer, and the
    statistics of a ``Normalization`` layer, which ``adapt`` computes, are not in the plan.

    Args:
        model: a model or a layer that was built.
        rules: patterns of names with schemes (`fastinit.Rules`), which decide before the layers.
            Their schemes count fans in Keras's layout, unless they say otherwise.
        name: put before all paths, as ``name/path``, in place of the initializers' own names.
        dtype: of all tensors of the plan, by default that of each variable.

    Raises:
        ModuleError: weights have no scheme: a layer cannot be made again as it is, or gives them
            an initializer that is none of Keras's or fastinit's; a scheme does not suit the shape
            or the dtype; or two weights have one path.  All are listed.
        TypeError: the model is not one of Keras.
        ValueError: the model is not built; a rule decides no weight; an unsupported dtype.

    >>> import keras
    >>> import fastinit.keras as fk
    >>> model = keras.Sequential([keras.layers.Dense(64, name="up")], name="mlp")
    >>> model.build((None, 128))
    >>> found = fk.plan(model)
    >>> found.parameters, found["mlp/up/kernel"].scheme
    (8256, glorot_uniform(layout='keras'))
    """
    rows = with_rules(weight_schemes(model, name), rules)
    check(rows, "a plan cannot hold", _INSTEAD, dtype)
    tensors = [
        Tensor(row.name, row.shape, row.scheme, resolve(dtype or row.weight.variable.dtype).name)
        for row in rows
        if row.scheme is not None
    ]
    return Plan(tensors, model.name)


def weight_schemes(model: Any, name: str | None) -> list[WeightScheme]:
    """The weights of a model, each with its scheme.

    Raises:
        TypeError: the model is not one of Keras.
        ValueError: the model is not built.
    """
    if not isinstance(model, keras.Layer):
        raise TypeError(f"model is a {type(model).__name__}: need a model or a layer of Keras")
    if not model.built:
        raise ValueError(
            f"{quoted(model.name)} is not built, so its weights have no shapes: call it, or "
            "model.build(input_shape), before"
        )
    checked_name(name)
    return [_weight_scheme(weight, name) for weight in weights_of(model)]


def _weight_scheme(weight: Weight, name: str | None) -> WeightScheme:
    own = weight.initializer.name if isinstance(weight.initializer, NamedInitializer) else None
    found = WeightScheme(weight, joined(name or own, weight.variable.path))
    if weight.variable.dtype not in DTYPES:
        return replace(found, left=f"its dtype is {weight.variable.dtype}")
    if isinstance(weight.layer, keras.layers.Normalization):
        return replace(found, left="adapt computes it from data")
    if _belongs_to_integers(weight):
        return replace(found, left="it belongs to a quantised weight")
    if weight.problem:
        return replace(found, problem=weight.problem)
    maker = f"{_name_of(weight.initializer)} of {type(weight.layer).__name__}"
    try:
        scheme = _known_scheme(weight)
        if scheme is None:
            return replace(found, problem=_not_known(weight))
        chosen = replace(scheme, reason=maker).for_tensor(found.name, found.shape)
    except (TypeError, ValueError) as error:
        return replace(found, problem=f"{maker} has no scheme: {error}")
    return replace(found, scheme=chosen)


def _belongs_to_integers(weight: Weight) -> bool:
    """Whether it is a scale or the like, by which a layer reads a weight that holds integers."""
    mode = getattr(weight.layer.dtype_policy, "quantization_mode", None)
    return mode not in (None, "float8") and weight.variable.name.endswith(BESIDE_INTEGERS)


def _known_scheme(weight: Weight) -> Scheme | None:
    """The scheme of a weight's initializer, or None."""
    scheme = _scheme_of(weight.initializer, tuple(weight.variable.shape))
    return scheme or _computed_by_a_layer(weight.layer, weight.variable.name)


def _scheme_of(initializer: Any, shape: Shape) -> Scheme | None:
    """The scheme of an initializer, unless its class, or one that it derives from, is not known."""
    call = getattr(type(initializer), "__call__", None)  # noqa: B004 - which function it is
    if isinstance(initializer, NamedInitializer) and call is NamedInitializer.__call__:
        return initializer.scheme(shape)
    for original in (type(initializer), *type(initializer).__bases__):
        if original in SCHEME_OF_INITIALIZER and call is original.__call__:
            return scheme_of(original, initializer, shape)
    return None


def _computed_by_a_layer(layer: Any, name: str) -> Scheme | None:
    """The scheme of a weight that a layer of Keras's makes with a function of its own, or None."""
    if not type(layer).__module__.startswith("keras.src.layers."):
        return None
    if name == "bias" and getattr(layer, "unit_forget_bias", False):
        others = _scheme_of(layer.bias_initializer, (1,))
        return keras_lstm_bias() if others == zeros() else None
    if name in ("moving_stddev", "renorm_stddev"):
        variance = _scheme_of(layer.moving_variance_initializer, (1,))
        return ones() if variance == ones() else None
    return None


def _name_of(initializer: Any) -> str:
    return str(getattr(initializer, "__name__", type(initializer).__name__))


def _not_known(weight: Weight) -> str:
    return (
        f"{type(weight.layer).__name__} makes it with {_name_of(weight.initializer)}, which is no "
        "initializer of Keras's or fastinit's"
    )


def with_rules(rows: list[WeightScheme], rules: Rules | Rows | None) -> list[WeightScheme]:
    """The weights, those that a rule matches with its scheme.

    Raises:
        ValueError: a rule decides no weight.
    """
    if rules is None:
        return rows
    rules = rules if isinstance(rules, Rules) else Rules(rules)
    rules.check_count(len(rows))
    assignment = Assignment(
        Rules(NamedScheme.of((r.names, in_keras_layout(r.scheme))) for r in rules.rules)
    )
    ruled = [row if row.left else _by_rule(row, assignment) for row in rows]
    assignment.check_used(row.name for row in rows)
    return ruled


def _by_rule(row: WeightScheme, assignment: Assignment) -> WeightScheme:
    scheme = assignment.find_scheme(row.name, row.shape)
    return row if scheme is None else replace(row, scheme=scheme, problem="")


def check(rows: list[WeightScheme], what: str, instead: str, dtype: Any = None) -> None:
    """Raise a ModuleError that names every weight that cannot be drawn, and every path of two.

    Args:
        rows: the weights.
        what, instead: the first and the last line of the message.
        dtype: to draw them in, by default that of each variable.

    Raises:
        ModuleError: there are any.
    """
    problems = {row.name: row.problem or _unsuitable(row, dtype) for row in rows}
    problems = {name: problem for name, problem in problems.items() if problem}
    counts = Counter(row.name for row in rows if not row.left)
    problems |= {
        name: f"{count} weights have this path, and would have the same values: give their layers "
        "different names"
        for name, count in counts.items()
        if count > 1
    }
    if not problems:
        return
    lines = problem_lines(problems, "weight")
    raise ModuleError("\n".join([what, *lines, instead]), problems)


def _unsuitable(row: WeightScheme, dtype: Any) -> str:
    """Why the scheme of a weight does not suit its shape or dtype, or ""."""
    if row.scheme is None:
        return ""
    kind = resolve(dtype or row.weight.variable.dtype)
    try:
        sampler(row.scheme, row.shape, checked(0, row.name), kind)
    except ValueError as error:
        return f"{row.scheme} does not suit it: {error}"
    return ""
