# SPDX-License-Identifier: MIT
"""`distribution`: makes a scheme function of a user's function of draws.

How the function is compiled is in loops.py, and what its draws are in values/draws.py.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pickle import PicklingError
from types import FunctionType, MappingProxyType
from typing import Any, overload

from numba.core.compiler_lock import global_compiler_lock

from fastinit.machine.floats import default_floats
from fastinit.numba import audit
from fastinit.numba.casts import COMPILED_CASTS
from fastinit.numba.code import all_functions_of, digest_of, plain_function
from fastinit.numba.loops import WIDTHS, MapLoop, compiled_function
from fastinit.numba.signatures import check_options, check_shared, moment_of, signature_of
from fastinit.numerics.checks import check_finite
from fastinit.numerics.dtypes import DType
from fastinit.properties import cached_property
from fastinit.schemes.custom import OWN_MODULES
from fastinit.schemes.scheme import Scheme
from fastinit.values.custom import Custom, DrawFunction
from fastinit.values.draws import DrawArray
from fastinit.values.shared_draws import law_of

Moment = float | Callable[..., float] | None
NOTHING: Mapping[str, Any] = MappingProxyType({})


class CustomDistribution(DrawFunction):
    """What `distribution` makes of a function: call it with its numbers to get a scheme.

    `portable` says whether its values have the same bits on every machine, and
    `not_portable_because` why not.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        mean: Moment = None,
        std: Moment = None,
        check: Callable[..., None] | None = None,
        derived: Mapping[str, Callable[..., float]] = NOTHING,
        shared: Mapping[str, tuple[str, str]] = NOTHING,
    ) -> None:
        check_options(check, derived, shared)
        self._signature = signature_of(function, derived)
        check_shared(function.__name__, self._signature, shared)
        plain = plain_function(function)
        assert plain is not None
        functools.update_wrapper(self, plain, updated=())  # its attributes could hide ours
        module = _public_module(plain.__module__)
        self.label = f"{module}:{plain.__qualname__}"
        self.draws = self._signature.draws
        self.names = tuple(self._signature.numbers)
        self.shared = dict(shared)
        self.own = module in OWN_MODULES
        self._check = check
        self._derived = dict(derived)
        self._plain = plain
        # Now, as the file may be edited later; ours is not.
        self._digest = "" if self.own else digest_of(plain, self._more)
        self._compiled = compiled_function(function)
        self._stated = {"mean": mean, "std": std}
        for which, stated in self._stated.items():
            if not callable(stated):
                moment_of(which, stated, self.label, {})
        self._loops: dict[str, MapLoop] = {}
        self._reasons: dict[str, tuple[str, ...]] = {}
        self._made = lru_cache(maxsize=64)(self._scheme)
        self.__signature__ = _public_signature(function, self.names)
        if not self.own:  # those take seconds together, and nobody uses all of them
            for width in WIDTHS:
                self._loop(width)

    @property
    def digest(self) -> str:
        """SHA-256 of its source; code.py says what that covers."""
        return digest_of(self._plain, self._more) if self.own else self._digest

    @property
    def _more(self) -> list[FunctionType]:
        """The functions that derive numbers: no code of the function itself names them."""
        found = map(plain_function, self._derived.values())
        return [each for each in found if each is not None]

    @default_floats
    def __call__(self, /, *positional: Any, **numbers: Any) -> Scheme:
        """The scheme for these numbers.

        Raises:
            TypeError: a number is missing, unknown, or not a number, or has no name.
            ValueError: a number is not finite, or out of its range.
        """
        return self._made(tuple(self._signature.given(self.label, positional, numbers)))

    def _scheme(self, given: tuple[float, ...]) -> Scheme:
        self._check_numbers(given)
        law = Custom(self, given)
        rows = zip(self._signature.numbers.items(), given, strict=True)
        kept = tuple((name, value) for (name, default), value in rows if value != default)
        return Scheme(self.label, kept, functools.partial(law_of, law), function=self)

    def _check_numbers(self, given: Sequence[float]) -> None:
        """Raise a ValueError for numbers out of their ranges."""
        named = dict(zip(self.names, given, strict=True))
        for name in {name for sizes in self.shared.values() for name in sizes}:
            if not (named[name] >= 1 and named[name].is_integer() and named[name] < 2**24):
                raise ValueError(
                    f"{self.label}: {name} is {named[name]!r}: the size of a block is a whole "
                    "number, 1 <= size < 2**24"
                )
        if self._check is not None:
            try:
                self._check(**named)
            except ValueError as error:
                raise ValueError(f"{self.label}: {error}") from None

    def derived(self, numbers: tuple[float, ...]) -> tuple[float, ...]:
        """What it takes after its numbers."""
        return _derived(self, numbers) if self._derived else ()

    def __repr__(self) -> str:
        return f"<custom distribution {self.label}>"

    # ---- compiled -------------------------------------------------------------------------------

    def _loop(self, width: DType) -> MapLoop:
        """Compiled once; Numba's own lock is the one that a fork waits for."""
        return self._loops.get(width.name) or self._compile(width)

    @default_floats
    def _compile(self, width: DType) -> MapLoop:
        """LLVM computes constants, so it needs the floating-point state that values need."""
        if width.name not in self._loops:
            with global_compiler_lock:
                if width.name not in self._loops:
                    self._loops[width.name] = MapLoop(
                        self.label,
                        self._compiled,
                        self.kinds,
                        len(self.names),
                        width,
                        len(self._derived),
                    )
        return self._loops[width.name]

    def map(
        self,
        out: DrawArray,
        draws: Sequence[DrawArray],
        numbers: Sequence[Any],
        limits: Sequence[Any],
    ) -> bool:
        """Put its values for a tile of draws into `out`."""
        width = next(width for width in WIDTHS if width.numpy == out.dtype)
        return self._loop(width)(out, draws, numbers, limits)

    def round(self, out: DrawArray, values: DrawArray, dtype: DType) -> None:
        """Round float32 values to a narrower dtype."""
        COMPILED_CASTS[dtype.name](out, values)

    @property
    def portable(self) -> bool:
        """Whether its values have the same bits on every machine."""
        return not self.not_portable_because

    @cached_property
    def not_portable_because(self) -> tuple[str, ...]:
        """The C library's functions that it calls, and "fast-math"; nothing if it is portable."""
        return tuple(sorted({reason for width in WIDTHS for reason in self.reasons(width)}))

    def reasons(self, width: DType) -> tuple[str, ...]:
        """The same for tensors that are computed in float32, or in float64."""
        if width.name not in self._reasons:
            functions = all_functions_of(self._plain, self._more)
            self._reasons[width.name] = audit.reasons(self._loop(width).llvm(), functions)
        return self._reasons[width.name]

    @default_floats
    def given_moment(self, which: str, numbers: tuple[float, ...]) -> float | None:
        """The mean or the std that was stated at decoration."""
        named = dict(zip(self.names, numbers, strict=True))
        return moment_of(which, self._stated[which], self.label, named)

    # ---- where it is found ----------------------------------------------------------------------

    def check_nameable(self) -> None:
        """Raise a ValueError if a recipe could not be followed to it."""
        if problem := self._problem():
            raise ValueError(f"a recipe cannot name {self.label}: {problem}")

    def _problem(self) -> str:
        module, name = self.label.split(":")
        if module == "__main__":
            return (
                "it is defined in the program that runs, which nothing can import: move it to a "
                "module, and import it from there"
            )
        if not name.isidentifier():
            return "it is defined in a function or a class: move it to the top of its module"
        if not self.digest:
            return "its source cannot be found: write it into a .py file"
        if not (module + name).isascii():
            return "its name is not ASCII: rename it"
        return ""

    def __reduce__(self) -> tuple[Callable[..., CustomDistribution], tuple[str, str]]:
        module, name = self.label.split(":")
        found = _attribute(module, name)
        if found is not self:
            raise PicklingError(
                f"{self.label} cannot be pickled: {module} has "
                f"{'nothing' if found is None else 'something else'} of this name; define it at "
                "the top of a module"
            )
        return imported, (self.label, self.digest)

    def __copy__(self) -> CustomDistribution:
        return self

    def __deepcopy__(self, _: object) -> CustomDistribution:
        return self


def imported(label: str, digest: str) -> CustomDistribution:
    """The custom distribution of a label, by import: for pickles, which are code anyway.

    Raises:
        ValueError: it is not there, or has another source than when it was pickled.
    """
    module, name = label.split(":")
    import_module(module)
    found = _attribute(module, name)
    if not isinstance(found, CustomDistribution):
        raise ValueError(f"{label} was pickled, but {module} here has no such distribution")
    if found.digest != digest:
        raise ValueError(
            f"{label} was pickled with a source of SHA-256 {digest}, but here it has "
            f"{found.digest}: use the same version of {module}"
        )
    return found


def _public_module(module: str | None) -> str:
    """Where others import it from: the file for most, but the package for those of our own."""
    if module is None:  # the text of the function was executed without a name
        return "__main__"
    for own in OWN_MODULES:
        if module.startswith(f"{own}."):
            return own
    return "__main__" if module == "__mp_main__" else module


@functools.lru_cache(maxsize=256)
@default_floats
def _derived(law: CustomDistribution, numbers: tuple[float, ...]) -> tuple[float, ...]:
    named = dict(zip(law.names, numbers, strict=True))
    return tuple(
        check_finite(f"{name} of {law.label}", function(**named))
        for name, function in law._derived.items()
    )


def _attribute(module: str, name: str) -> Any:
    import sys

    try:
        return operator.attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        return None


def _public_signature(function: Callable[..., Any], names: tuple[str, ...]) -> inspect.Signature:
    parameters = inspect.signature(function).parameters
    numbers = [parameters[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in names]
    return inspect.Signature(numbers, return_annotation="Scheme")


@overload
def distribution(function: Callable[..., Any]) -> CustomDistribution: ...


@overload
def distribution(
    *,
    mean: Moment = None,
    std: Moment = None,
    check: Callable[..., None] | None = None,
    derived: Mapping[str, Callable[..., float]] = NOTHING,
    shared: Mapping[str, tuple[str, str]] = NOTHING,
) -> Callable[[Callable[..., Any]], CustomDistribution]: ...


def distribution(
    function: Callable[..., Any] | None = None,
    *,
    mean: Moment = None,
    std: Moment = None,
    check: Callable[..., None] | None = None,
    derived: Mapping[str, Callable[..., float]] = NOTHING,
    shared: Mapping[str, tuple[str, str]] = NOTHING,
) -> CustomDistribution | Callable[[Callable[..., Any]], CustomDistribution]:
    r"""Decorator: make a scheme function of a scalar function of draws and numbers.

    .. math:: w_i = f(d_i^{(0)}, d_i^{(1)}, \ldots; \text{numbers})

    The names of its first parameters say what is drawn for each element; a digit may follow:

    - z: a standard normal;
    - s: a uniform number in (-1, 1), an odd multiple of 2**-24, for float64 tensors of 2**-53;
    - u: a uniform number in (0, 1), in float64;
    - w: the raw word, a uint32, for float64 tensors a uint64.

    The others are numbers, which are given by name: in float32, for float64 tensors in float64.
    What the function returns is rounded to that, checked, and rounded once to the tensor's dtype.
    A value that is not finite is a ValueError when it is drawn, and so is one beyond the dtype;
    the float8 types saturate.

    Args:
        function: what Numba can compile: arithmetic, `fastinit.numba`'s functions, other compiled
            functions.  In it a literal such as 1.0 is float64; ``np.float32(1.0)`` is faster.
        mean, std: of its values, as a number or as a function of its numbers by name.  Where one
            is not given, it is found by quadrature if there is one draw that is not w, and its
            tails are not too heavy.
        check: called with the numbers by name when a scheme is made; it raises a ValueError for
            those out of range.
        derived: the last parameters, each with a function from the numbers by name to a float64
            number.  It is called once a tensor.
        shared: draws that all elements of a block share, each with the names of the two numbers
            that are the block's rows and columns, along the last two axes:
            ``{"u": ("rows", "columns")}``.  Blocks begin at the tensor's first element.

    Returns:
        A function of the numbers that makes a scheme; `portable` says whether its values have the
        same bits on every machine, as they do without functions of the C library.

    Raises:
        TypeError: a parameter is neither, `derived` or `shared` name something else, or Numba
            cannot compile the function; the message has the line.

    >>> import fastinit as fi
    >>> import fastinit.numba as fn
    >>> import numpy as np
    >>> @fn.distribution
    ... def laplace(s, scale=1.0):
    ...     magnitude = fn.minus_log(np.float32(1.0) - abs(s)) * scale
    ...     return magnitude if s > 0 else -magnitude
    >>> laplace.portable
    True
    >>> round(laplace(scale=0.5).distribution((8, 8)).std, 9)  # sqrt(2) / 2
    0.707106781
    >>> fi.array((8, 8), laplace(scale=0.02), seed=0, name="w", dtype="bfloat16").shape
    (8, 8)
    """
    if function is None:
        return functools.partial(
            CustomDistribution, mean=mean, std=std, check=check, derived=derived, shared=shared
        )
    return CustomDistribution(function, mean, std, check, derived, shared)
