# SPDX-License-Identifier: MIT
"""What a scheme is, and its text form.  The schemes themselves are in the files beside this one."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, ParamSpec, SupportsIndex, cast

import numpy as np

from fastinit.distributions import Distribution
from fastinit.expressions import MAX_TEXT, parse_call, suggestion
from fastinit.fans import check_shape, plain_axes, spelled_out
from fastinit.floats import default_floats

Rule = Callable[[tuple[int, ...]], Distribution]
P = ParamSpec("P")

EXACT = frozenset({bool, int, float, str, type(None)})
"""Types whose equal values are the same argument; in a tuple, say, 1 equals True."""

_MAKERS: dict[str, Callable[..., Scheme]] = {}


@dataclass(frozen=True)
class Scheme:
    """A named rule from a tensor's shape to the distribution of its values.

    `reason` says why it was chosen, where something chose it; no text, file or comparison has it.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...]
    _rule: Rule = field(repr=False, compare=False)
    reason: str = field(default="", repr=False, compare=False)

    def distribution(self, shape: tuple[int, ...]) -> Distribution:
        """The distribution of the values of a whole tensor of `shape`.

        >>> import fastinit as fi
        >>> fi.he_normal().distribution((1024, 512)).std
        0.0625
        """
        return self._distribution_of(check_shape(shape))

    @cached_property
    def _distribution_of(self) -> Callable[[tuple[int, ...]], Distribution]:
        """The rule, remembering its answers: a model has many tensors of few shapes."""
        return lru_cache(maxsize=64)(default_floats(self._rule))

    def for_tensor(self, name: str, shape: tuple[int, ...]) -> Scheme:
        """The scheme for one tensor: this one, unless its rule is a `Choice`, as `auto`'s is."""
        if isinstance(self._rule, Choice):
            return self._rule.scheme(name, check_shape(shape))
        return self

    def __str__(self) -> str:
        return self._as_text

    @cached_property
    @default_floats
    def _as_text(self) -> str:
        inside = ", ".join(f"{name}={_text(value)}" for name, value in self.arguments)
        return f"{self.name}({inside})"

    def __repr__(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[Callable[[str, str], Scheme], tuple[str, str]]:
        return _with_reason, (str(self), self.reason)


@dataclass(frozen=True)
class Choice:
    """A rule that chooses another scheme for each tensor; that scheme's `reason` says why.

    `choose` takes a tensor's name, or None where only the shape is known, and its shape.
    """

    choose: Callable[[str | None, tuple[int, ...]], Scheme]

    @default_floats
    def scheme(self, name: str | None, shape: tuple[int, ...]) -> Scheme:
        """What is chosen for a tensor."""
        return self.choose(name, shape)

    def __call__(self, shape: tuple[int, ...]) -> Distribution:
        """The distribution, where the shape alone settles the choice."""
        return self.scheme(None, shape).distribution(shape)


def _with_reason(text: str, reason: str) -> Scheme:
    return replace(scheme(text), reason=reason)


def _text(value: Any) -> str:
    """`value` as it is written: whole floats without their .0, everything else as Python's."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ValueError(
            f"{text[:60]}... has {len(text)} characters as text: at most {MAX_TEXT} can be read "
            "back from a file"
        )


def plain_number(name: str, value: Any) -> float:
    """`value` as a float, -0 as 0; the error names `name`."""
    if not isinstance(value, (bool, np.bool_, str, bytes)):
        try:
            return float(value) + 0.0
        except OverflowError:
            raise ValueError(f"{name} is {value!r}: need a finite number") from None
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{name} is {value!r}: need a number")


def check_factor(name: str, factor: float) -> None:
    """Raise unless `factor` is a finite number and not negative."""
    if not (math.isfinite(factor) and factor >= 0):
        raise ValueError(f"{name} is {factor!r}: need a finite number >= 0")


def check_multiplier(name: str, multiplier: float) -> None:
    """Raise unless `multiplier` is a finite number above 0."""
    if not (math.isfinite(multiplier) and multiplier > 0):
        raise ValueError(f"{name} is {multiplier!r}: need a finite number > 0")


def check_count(name: str, count: int, least: int = 1) -> None:
    """Raise unless `count` is `least` or more, and no more than a shape could have."""
    if count < least:
        raise ValueError(f"{name} is {count}: need a whole number of {least} or more")
    if count >= 2**63:
        raise ValueError(f"{name} is {count}: need less than 2**63")


def check_flag(name: str, flag: bool) -> None:
    """Raise unless `flag` is True or False."""
    if not isinstance(flag, bool):
        raise TypeError(f"{name} is {flag!r}: need True or False")


def whole_number(name: str, value: Any) -> int:
    """`value` as an int; the error names `name`."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        return operator.index(value)
    raise TypeError(f"{name} is {value!r}: need a whole number")


def _plain(name: str, value: Any, kind: str, optional: str) -> Any:
    """`value` as the plain Python object that the text form gives back."""
    if optional == "None" and value is None:
        return None
    if kind == "float":
        return plain_number(name, value)
    if kind == "int":
        return whole_number(name, value)
    if kind == "Axes":
        return plain_axes(name, value)
    return str(value) if isinstance(value, str) else value


def maker(rule_of: Callable[P, Rule]) -> Callable[P, Scheme]:
    """Make a public scheme function of one that checks its arguments and returns the rule.

    A function that ends in ``**options: Unpack[FanOptions]`` takes all that `fans` takes.
    """
    name = rule_of.__name__
    signature = spelled_out(inspect.signature(rule_of))
    parameters = signature.parameters
    plain = [p.replace(annotation=p.empty) for p in parameters.values()]
    shown = str(inspect.Signature(plain))
    kinds = {key: str(p.annotation).partition(" | ")[::2] for key, p in parameters.items()}

    @default_floats
    def checked(*args: P.args, **kwargs: P.kwargs) -> Scheme:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}{shown}: {error}") from None
        bound.apply_defaults()
        given = {key: _plain(key, value, *kinds[key]) for key, value in bound.arguments.items()}
        kept = tuple(
            (key, value) for key, value in given.items() if value != parameters[key].default
        )
        call: Callable[..., Rule] = rule_of
        made = Scheme(name, kept, call(**given))
        if any(isinstance(value, tuple) for _, value in kept):
            _check_text(str(made))
        return made

    remembered = cast("Callable[P, Scheme]", lru_cache(maxsize=64, typed=True)(checked))

    @functools.wraps(rule_of)
    def make(*args: P.args, **kwargs: P.kwargs) -> Scheme:
        for value in (*args, *kwargs.values()):
            if type(value) not in EXACT:
                return checked(*args, **kwargs)
        return remembered(*args, **kwargs)

    made: Any = make
    made.__signature__ = signature.replace(return_annotation="Scheme")
    _MAKERS[name] = make
    return make


@default_floats
def scheme(text: str, names: Mapping[str, float] = {}) -> Scheme:
    """The scheme that `text` describes: a scheme function's name and its arguments.

    Args:
        text: such as ``"he_normal"`` or ``"normal(std=0.02 / sqrt(2 * layers))"``: numbers,
            strings, tuples of them, arithmetic and sqrt.  Nothing is evaluated as code.
        names: what other words in `text` stand for; `inf` always stands for infinity.

    Raises:
        ValueError: not a call of a known scheme; the message lists the near ones.

    >>> print(scheme("normal(0.02 / sqrt(2 * layers))", {"layers": 50}))
    normal(std=0.002)
    """
    if isinstance(text, Scheme):
        return text
    if not isinstance(text, str):
        raise TypeError(f"init is {text!r}: need a text, such as 'normal(std=0.02)', or a Scheme")
    name, args, kwargs = parse_call(text, {**names, "inf": math.inf})
    if name not in _MAKERS:
        hint = suggestion(name, _MAKERS) or f": choose from {', '.join(sorted(_MAKERS))}"
        raise ValueError(f"init {text!r}: no scheme is named {name!r}{hint}")
    try:
        return _MAKERS[name](*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"init {text!r}: {error}") from None
