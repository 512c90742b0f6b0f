# SPDX-License-Identifier: MIT
"""Which scheme an initializer of Keras stands for, and the layout of schemes in Keras.

Nothing here draws, or knows which variable an initializer is for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from fastinit import schemes
from fastinit.numerics.checks import Shape
from fastinit.schemes import Scheme
from fastinit.schemes.registry import SCHEMES

LAYOUT = "keras"
ARGUMENTS_OF_AXES = {"layout", "in_axis", "column_axis"}
"""Arguments of a scheme that say where its axes lie."""


def _fans(initializer: Any, shape: Shape) -> dict[str, Any]:
    """The options of `fastinit.fans` for an initializer that counts them.

    If both kinds of axes are given, Keras leaves all others out of the fans.
    """
    inputs, outputs = initializer.input_axes, initializer.output_axes
    if inputs is None or outputs is None:
        return {"layout": LAYOUT}
    named = {axis % len(shape) for axis in (*inputs, *outputs)}
    others = tuple(axis for axis in range(len(shape)) if axis not in named)
    return {"in_axis": tuple(inputs), "out_axis": tuple(outputs), "batch_axis": others}


def _scaled(scheme: Callable[..., Scheme], *scaling: float | str) -> Callable[[Any, Shape], Scheme]:
    """`scheme`, unless a subclass set another scale, mode or distribution than the class's own."""

    def found(initializer: Any, shape: Shape) -> Scheme:
        asked = initializer.scale, initializer.mode, initializer.distribution
        fans = _fans(initializer, shape)
        return scheme(**fans) if asked == scaling else schemes.variance_scaling(*asked, **fans)

    return found


SCHEME_OF_INITIALIZER: dict[type, Callable[[Any, Shape], Scheme]] = {
    keras.initializers.Zeros: lambda i, _: schemes.zeros(),
    keras.initializers.Ones: lambda i, _: schemes.ones(),
    keras.initializers.Constant: lambda i, _: schemes.constant(i.value),
    keras.initializers.Identity: lambda i, _: schemes.identity(i.gain),
    keras.initializers.RandomNormal: lambda i, _: schemes.normal(i.stddev, mean=i.mean),
    keras.initializers.RandomUniform: lambda i, _: schemes.uniform(i.minval, i.maxval),
    keras.initializers.TruncatedNormal: lambda i, _: schemes.truncated_normal(
        i.stddev, mean=i.mean
    ),
    keras.initializers.VarianceScaling: lambda i, shape: schemes.variance_scaling(
        i.scale, i.mode, i.distribution, **_fans(i, shape)
    ),
    keras.initializers.GlorotNormal: _scaled(
        schemes.glorot_normal, 1.0, "fan_avg", "truncated_normal"
    ),
    keras.initializers.GlorotUniform: _scaled(schemes.glorot_uniform, 1.0, "fan_avg", "uniform"),
    keras.initializers.HeNormal: _scaled(schemes.he_normal, 2.0, "fan_in", "truncated_normal"),
    keras.initializers.HeUniform: _scaled(schemes.he_uniform, 2.0, "fan_in", "uniform"),
    keras.initializers.LecunNormal: _scaled(
        schemes.lecun_normal, 1.0, "fan_in", "truncated_normal"
    ),
    keras.initializers.LecunUniform: _scaled(schemes.lecun_uniform, 1.0, "fan_in", "uniform"),
    keras.initializers.Orthogonal: lambda i, _: schemes.orthogonal(i.gain, layout=LAYOUT),
}
"""By class of Keras: from an initializer and a shape to the scheme of the same distribution."""


def scheme_of(original: type, initializer: Any, shape: Shape) -> Scheme:
    """The scheme that draws what Keras's class `original` draws.

    Args:
        original: a key of `SCHEME_OF_INITIALIZER`.
        initializer: with the attributes of one of that class.
        shape: of the whole tensor.

    >>> import keras
    >>> scheme_of(keras.initializers.HeNormal, keras.initializers.HeNormal(), (64, 10))
    he_normal(layout='keras')
    """
    return SCHEME_OF_INITIALIZER[original](initializer, shape)


def in_keras_layout(scheme: Scheme) -> Scheme:
    """The scheme with ``layout="keras"``, wherever one in it looks at a layout and names none.

    Keras's weights are (\\*kernel, in, out), and schemes count fans as of (out, in, \\*kernel) if
    they are not told.

    >>> import fastinit as fi
    >>> in_keras_layout(fi.he_normal()), in_keras_layout(fi.he_normal(in_axis=1, out_axis=0))
    (he_normal(layout='keras'), he_normal(in_axis=1, out_axis=0))
    >>> in_keras_layout(fi.schemes.parts(fi.orthogonal(), "0:1, :", fi.zeros()))
    parts(orthogonal(layout='keras'), '0:1, :', zeros())
    """
    if scheme.function is not None:
        return scheme
    positional: list[Any] = []
    named: dict[str, Any] = {}
    any_number = any(key.startswith("*") for key, _ in scheme.arguments)
    for key, value in scheme.arguments:
        if key.startswith("*"):
            positional += map(_inner, value)
        elif any_number:
            positional.append(_inner(value))
        else:
            named[key] = _inner(value)
    parameters = inspect.signature(SCHEMES[scheme.name]).parameters
    if "layout" in parameters and not named.keys() & ARGUMENTS_OF_AXES:
        named["layout"] = LAYOUT
    return replace(SCHEMES[scheme.name](*positional, **named), reason=scheme.reason)


def _inner(value: Any) -> Any:
    return in_keras_layout(value) if isinstance(value, Scheme) else value
