# SPDX-License-Identifier: MIT
"""What a scheme is, and its text form.

Scheme functions are made by maker.py; the schemes themselves are in the files beside this one.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from fastinit.errors import UntrustedError
from fastinit.machine.floats import default_floats
from fastinit.numerics.checks import check_shape
from fastinit.properties import cached_property
from fastinit.schemes.custom import Trusted, function_of, trusted
from fastinit.schemes.expressions import MAX_TEXT, SchemeCall, parse_call
from fastinit.schemes.registry import SCHEMES
from fastinit.suggestions import suggestion
from fastinit.texts import quoted
from fastinit.values.custom import DrawFunction
from fastinit.values.distributions import Distribution

Rule = Callable[[tuple[int, ...]], Distribution]


@dataclass(frozen=True)
class Scheme:
    """A named rule from a tensor's shape to the distribution of its values.

    The name of an argument that takes any number of values begins with ``*``.

    `reason` says why it was chosen, where something chose it; no text, file or comparison has it.
    `function` is that of a custom distribution; two of one name are not equal.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...]
    _rule: Rule = field(repr=False, compare=False)
    reason: str = field(default="", repr=False, compare=False)
    function: DrawFunction | None = field(default=None, repr=False)

    def distribution(self, shape: tuple[int, ...]) -> Distribution:
        """The distribution of the values of a whole tensor of `shape`.

        >>> import fastinit as fi
        >>> fi.he_normal().distribution((1024, 512)).std
        0.0625
        """
        return self.distribution_of(check_shape(shape))

    @cached_property
    def distribution_of(self) -> Callable[[tuple[int, ...]], Distribution]:
        """`distribution` for shapes that are checked already.

        It caches its results, because a model has many tensors of few shapes.
        """
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
        return f"{self.name}({', '.join(self._argument_texts())})"

    def _argument_texts(self) -> Iterator[str]:
        """Each with its name, but for any number of arguments, and those before them."""
        named = not any(name.startswith("*") for name, _ in self.arguments)
        for name, value in self.arguments:
            if name.startswith("*"):
                yield from map(_text, value)
            else:
                yield f"{name}={_text(value)}" if named else _text(value)

    def __repr__(self) -> str:
        return str(self)

    @cached_property
    def functions(self) -> tuple[DrawFunction, ...]:
        """The custom functions that it and the schemes in its arguments are made of, each once.

        Two may have one label, as in a notebook whose cell ran again; then no text can stand for
        the scheme.
        """
        found = {} if self.function is None else {self.function: None}
        for _, value in self.arguments:
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Scheme):
                    found |= dict.fromkeys(inner.functions)
        return tuple(found)

    def __reduce__(self) -> tuple[Callable[..., Scheme], tuple[Any, ...]]:
        if self.function is not None:
            return _called, (self.function, dict(self.arguments), self.reason)
        return _with_reason, (str(self), self.reason, *([self.functions] if self.functions else ()))

    def __copy__(self) -> Scheme:
        return self

    def __deepcopy__(self, _: object) -> Scheme:
        return self


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


def _with_reason(text: str, reason: str, functions: Trusted = ()) -> Scheme:
    return replace(scheme(text, custom=functions), reason=reason)


def _called(function: DrawFunction, numbers: dict[str, float], reason: str) -> Scheme:
    made: Scheme = function(**numbers)
    return replace(made, reason=reason)


def _text(value: Any) -> str:
    """`value` as it is written: whole floats without their .0, everything else as Python's."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    return repr(value)


def check_text(text: str) -> None:
    """Raise for a scheme's text that is too long to be read back."""
    if len(text) > MAX_TEXT:
        raise ValueError(
            f"{text[:60]}... has {len(text)} characters as text: at most {MAX_TEXT} can be read "
            "back from a file"
        )


def instead_of_scheme(value: object, otherwise: str) -> str:
    """What to write if `value` is passed where a scheme is needed, or else `otherwise`.

    It knows distributions, scheme functions that were not called, and initialisers of frameworks
    whose name is a scheme's.
    """
    if isinstance(value, DrawFunction):
        call = f"{value.label.partition(':')[2]}({', '.join(f'{n}=...' for n in value.names)})"
        return f"call it, {call}"
    if isinstance(value, Distribution):
        return "a distribution belongs to one shape: give the scheme, such as fastinit.normal(0.02)"
    name = str(getattr(value, "__name__", type(value).__name__)).rstrip("_")
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()
    if name not in SCHEMES:
        return otherwise
    parameters = inspect.signature(SCHEMES[name]).parameters.values()
    call = f"{name}({', '.join(f'{p.name}=...' for p in parameters if p.default is p.empty)})"
    return (
        f"call it, {call}" if value is SCHEMES[name] else f"fastinit's is fastinit.schemes.{call}"
    )


@default_floats
def scheme(
    text: str, names: Mapping[str, float] = {}, *, custom: Iterable[DrawFunction] = ()
) -> Scheme:
    """The scheme that `text` describes: a scheme function's name and its arguments.

    Args:
        text: such as ``"he_normal"`` or ``"normal(std=0.02 / sqrt(2 * layers))"``: numbers,
            strings, tuples of them, other schemes, arithmetic and sqrt.  Nothing is evaluated as
            code.
        names: what other words in `text` stand for; `inf` always stands for infinity.
        custom: custom distributions that `text` may name, as ``my.module:laplace(scale=2)``: what
            `fastinit.numba.distribution` made.  Nothing is imported for a text.

    Raises:
        TypeError: `text` is not a string, or `custom` holds what is not a custom distribution.
        ValueError: `text` is not a call of a known scheme; the message lists similar names.
        UntrustedError: it names a custom distribution that was not given; it is a ValueError.

    >>> print(scheme("normal(0.02 / sqrt(2 * layers))", {"layers": 50}))
    normal(std=0.002)
    """
    if isinstance(text, Scheme):
        return text
    if not isinstance(text, str):
        need = instead_of_scheme(text, "need a text, such as 'normal(std=0.02)', or a Scheme")
        raise TypeError(f"init is {quoted(text)}: {need}")
    known = trusted(custom)
    call = parse_call(text, {**names, "inf": math.inf})
    try:
        return _made(call, known)
    except UntrustedError:
        raise
    except (TypeError, ValueError) as error:
        raise ValueError(f"init {text!r}: {error}") from None


def _made(call: SchemeCall, known: Trusted) -> Scheme:
    """The scheme of a call, once those in its arguments are made."""
    positional = [_argument(value, known) for value in call.positional]
    named = {key: _argument(value, known) for key, value in call.named.items()}
    if ":" in call.name:
        made: Scheme = function_of(call.name, known)(*positional, **named)
        return made
    if call.name not in SCHEMES:
        hint = suggestion(call.name, SCHEMES) or f": choose from {', '.join(sorted(SCHEMES))}"
        raise ValueError(f"no scheme is named {call.name!r}{hint}")
    return SCHEMES[call.name](*positional, **named)


def _argument(value: Any, known: Trusted) -> Any:
    if isinstance(value, SchemeCall):
        return _made(value, known)
    return tuple(_argument(item, known) for item in value) if isinstance(value, tuple) else value
