# SPDX-License-Identifier: MIT
"""What the arguments of compound schemes and tables may be: formulas, regions, names, schemes.

Plain numbers, texts and axes are checked by numerics/checks.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias

import numpy as np

from fastinit.numerics.checks import check_finite
from fastinit.schemes.formulas import INDEX_OR_SIZE, X, plain_formula
from fastinit.schemes.regions import plain_region
from fastinit.schemes.scheme import Choice, Scheme, instead_of_scheme
from fastinit.texts import quoted

FormulaOfX: TypeAlias = Annotated[str, "a formula of x"]
FormulaOfIndices: TypeAlias = Annotated[str, "a formula of indices"]
TensorName: TypeAlias = Annotated[str, "a tensor's name"]
RegionText: TypeAlias = Annotated[str, "a region"]
Pairs: TypeAlias = Annotated[Any, "regions and schemes in turn"]
NumberTable: TypeAlias = Annotated[Any, "a number, or a tuple of such"]

_WRITABLE = re.compile(r"[ !#-&(-\[\]-~]+")
"""What a text in single quotes can hold."""


def check_scheme(what: str, value: Any) -> Scheme:
    """`value` itself, if it is a scheme that does not choose another."""
    if not isinstance(value, Scheme):
        need = instead_of_scheme(value, "need a scheme, such as fastinit.normal(std=0.02)")
        raise TypeError(f"{what} is {quoted(value)}: {need}")
    if isinstance(value._rule, Choice):
        raise ValueError(
            f"{what} is {value}: a scheme inside another cannot choose by the tensor's name; need "
            "the scheme that it should choose"
        )
    return value


def check_name(what: str, value: Any) -> str:
    """`value` as the name of a tensor that a text can hold."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is {quoted(value)}: need a tensor's name, such as 'conv.weight_v'")
    if not _WRITABLE.fullmatch(value):
        raise ValueError(
            f"{what} is {quoted(value)}: a scheme's text cannot hold this name; need characters "
            "from space to ~, without quotes and backslashes"
        )
    return str(value)


def check_pairs(what: str, value: tuple[Any, ...]) -> tuple[Any, ...]:
    """`value` as texts of regions and schemes in turn."""
    checks = (plain_region, check_scheme)
    found = tuple(
        checks[number % 2](f"{what} (item {number + 1})", item) for number, item in enumerate(value)
    )
    if not found or len(found) % 2:
        raise ValueError(
            f"{what} has {len(found)} items: need regions and schemes in turn, such as "
            "'0:768', fastinit.xavier_uniform()"
        )
    return found


def check_numbers(what: str, value: Any) -> Any:
    """`value` as a finite float, or as a tuple of such, and so on."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return tuple(check_numbers(what, item) for item in value)
    return check_finite(what, value)


CONVERTERS_OF_COMPOUNDS: dict[Any, Any] = {
    FormulaOfX: partial(plain_formula, variables=X),
    FormulaOfIndices: partial(plain_formula, variables=INDEX_OR_SIZE),
    TensorName: check_name,
    RegionText: plain_region,
    Pairs: check_pairs,
    NumberTable: check_numbers,
    Scheme: check_scheme,
}
"""How an argument of each type is checked and made plain."""
