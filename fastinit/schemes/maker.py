# SPDX-License-Identifier: MIT
"""`maker`: makes scheme functions, which check their arguments by their annotations.

What a scheme is, and its text form, is in scheme.py.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from functools import lru_cache, partial
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    Union,
    Unpack,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from fastinit.machine.floats import default_floats
from fastinit.numerics.checks import (
    check_axes,
    check_choice,
    check_flag,
    check_number,
    check_whole,
)
from fastinit.schemes.arguments import CONVERTERS_OF_COMPOUNDS
from fastinit.schemes.descriptions import described
from fastinit.schemes.fans import Axes, spelled_out
from fastinit.schemes.registry import SCHEMES
from fastinit.schemes.scheme import Rule, Scheme, check_text
from fastinit.texts import quoted

P = ParamSpec("P")
Converter = Callable[[str, Any], Any]
"""From an argument's name and value to the plain Python object that the text form gives back."""

EXACT = frozenset({bool, int, float, str, NoneType})
"""Types whose equal values are the same argument; in a tuple, say, 1 equals True."""

LONG = frozenset({tuple, str, Scheme})
"""Types whose texts may be longer than can be read back."""

LEAST_CACHED = 2.0**-1022
"""The least normal float64.  A processor that treats denormals as zeros finds them all equal."""


def _number(what: str, value: Any) -> float:
    try:
        return check_number(what, value)
    except TypeError as error:
        raise TypeError(f"{error}{_instead(value)}") from None


def _instead(value: object) -> str:
    """What to write where the tensor's shape, or the tensor itself, is given as a number."""
    if isinstance(value, tuple):
        return "; a scheme takes no shape: give both to fastinit.array(shape, scheme, ...)"
    if getattr(value, "shape", ()):
        return "; a scheme takes no array: give both to fastinit.fill(out, scheme, ...)"
    return ""


def _text(what: str, value: Any) -> Any:
    """A text of any type as a plain one; which texts are known, the scheme says itself."""
    return str(value) if isinstance(value, str) else value


CONVERTERS: dict[Any, Converter] = {
    float: _number,
    int: check_whole,
    bool: check_flag,
    str: _text,
    Axes: check_axes,
    **CONVERTERS_OF_COMPOUNDS,
}
"""The converter for each type; `converter_of` adds choices, remarks on them, and None."""


@lru_cache(maxsize=256)
def converter_of(annotation: Any) -> Converter:
    """How an argument of this type is checked and made plain.

    Args:
        annotation: a key of `CONVERTERS`; a ``Literal`` of texts, or ``Annotated[Literal[...],
            remark]``, whose remark ends the message for other texts; or one of them or None.

    Raises:
        TypeError: another type.
    """
    if annotation in CONVERTERS:
        return CONVERTERS[annotation]
    origin, parts = get_origin(annotation), get_args(annotation)
    if choices := _choices(annotation):
        return partial(check_choice, choices=choices)
    if origin is Annotated and (choices := _choices(parts[0])):
        return partial(check_choice, choices=choices, remark=f"; {parts[1]}")
    if origin in (Union, UnionType) and NoneType in parts:
        others = functools.reduce(operator.or_, (part for part in parts if part is not NoneType))
        return partial(_unless_none, converter_of(others))
    known = ", ".join(key.__name__ if isinstance(key, type) else str(key) for key in CONVERTERS)
    raise TypeError(f"need {known}, a Literal of texts, or one of these or None")


def _choices(annotation: Any) -> tuple[str, ...]:
    """The texts of a ``Literal``; none for any other type."""
    texts = get_args(annotation) if get_origin(annotation) is Literal else ()
    return texts if all(isinstance(text, str) for text in texts) else ()


def _unless_none(convert: Converter, what: str, value: Any) -> Any:
    return None if value is None else convert(what, value)


@lru_cache(maxsize=8)
def _types_of(options: type) -> dict[str, Any]:
    """The types of what a TypedDict describes."""
    return get_type_hints(options, include_extras=True)


def _converters(rule_of: Callable[..., Rule], signature: inspect.Signature) -> dict[str, Converter]:
    """The converter of each argument in `signature`, which has the options of `rule_of` in it."""
    types = inspect.get_annotations(rule_of, eval_str=True)  # half of get_type_hints' time
    for annotation in list(types.values()):
        if get_origin(annotation) is Unpack:
            types |= _types_of(*get_args(annotation))
    converters = {}
    for key in signature.parameters:
        try:
            converters[key] = converter_of(types.get(key, inspect.Parameter.empty))
        except TypeError as error:
            written = rule_of.__annotations__.get(key, "missing")
            raise TypeError(
                f"{rule_of.__name__}: the annotation of {key} is {written}: {error}"
            ) from None
    return converters


def maker(rule_of: Callable[P, Rule]) -> Callable[P, Scheme]:
    """Make a public scheme function of one that returns the rule.

    It checks its arguments and makes them plain; `converter_of` says how for each type.  A
    function that ends in ``**options: Unpack[FanOptions]`` takes all options of `fans`.

    Raises:
        TypeError: an annotation that `converter_of` does not know.
    """
    name = rule_of.__name__
    signature = spelled_out(inspect.signature(rule_of))
    parameters = signature.parameters
    converters = _converters(rule_of, signature)

    @default_floats
    def checked(*args: P.args, **kwargs: P.kwargs) -> Scheme:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            hint = _mean_first(signature, args)
            raise TypeError(f"{name}{_without_types(signature)}: {error}{hint}") from None
        bound.apply_defaults()
        for key, value in bound.arguments.items():
            bound.arguments[key] = converters[key](key, value)
        kept = tuple(
            (_written_name(parameters[key]), value)
            for key, value in bound.arguments.items()
            if value != parameters[key].default
        )
        made = Scheme(name, kept, rule_of(*bound.args, **bound.kwargs))
        if any(type(value) in LONG for _, value in kept):
            check_text(str(made))
        return made

    remembered = cast("Callable[P, Scheme]", lru_cache(maxsize=64, typed=True)(checked))

    @functools.wraps(rule_of)
    def make(*args: P.args, **kwargs: P.kwargs) -> Scheme:
        for value in (*args, *kwargs.values()):
            if type(value) not in EXACT or (type(value) is float and abs(value) < LEAST_CACHED):
                return checked(*args, **kwargs)
        return remembered(*args, **kwargs)

    made: Any = make
    made.__doc__ = described(rule_of.__doc__)
    made.__signature__ = signature.replace(return_annotation="Scheme")
    SCHEMES[name] = make
    return make


def _written_name(parameter: inspect.Parameter) -> str:
    """The name that a scheme gives the argument: with a star if it takes any number of values."""
    return "*" * (parameter.kind is parameter.VAR_POSITIONAL) + parameter.name


def _without_types(signature: inspect.Signature) -> str:
    """The signature as a user reads it."""
    parameters = signature.parameters.values()
    return str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))


def _mean_first(signature: inspect.Signature, args: tuple[Any, ...]) -> str:
    """What to write where mean and std were given in the order of PyTorch and NumPy."""
    names = list(signature.parameters)
    if names[:2] != ["std", "mean"] or len(args) < 2:
        return ""
    bounds = ", and low and high by name, in sigmas" if len(args) > 2 else ""
    mean, std = map(quoted, args[:2])
    return f"; PyTorch and NumPy take the mean first: here write std={std}, mean={mean}{bounds}"
