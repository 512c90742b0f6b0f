# SPDX-License-Identifier: MIT
"""`maker`: arguments are checked by what their annotations mean, however these are spelt."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal, Optional, Union, Unpack

import numpy as np
import pytest
from scheme_calls import scheme_from

from fastinit.schemes.fans import Axes, FanOptions
from fastinit.schemes.maker import converter_of, maker
from fastinit.schemes.registry import SCHEMES
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Constant

Std = float
Depth = Optional[int]  # noqa: UP045 - the older spelling is what is tested
Side = Literal["left", "right"]
OneSide = Annotated[Side, "both() takes the rest"]


@pytest.fixture
def schemes():
    """The register of schemes, put back at the end."""
    before = dict(SCHEMES)
    yield SCHEMES
    SCHEMES.clear()
    SCHEMES.update(before)


def rule(shape: tuple[int, ...]) -> Constant:
    return Constant(0.0)


def by_alias(
    std: Std, depth: Depth = None, *, side: Side = "left", other: OneSide | None = None
) -> Rule:
    return rule


def by_name(
    std: float, count: int = 1, *, flag: bool = False, text: str = "", axes: Axes = ()
) -> Rule:
    return rule


MISTAKES = [
    (by_alias, {"std": "1"}, TypeError, "^std is '1': need a number, without quotes: std=1$"),
    (by_alias, {"std": True}, TypeError, "^std is True: need a number$"),
    (by_alias, {"std": None}, TypeError, "^std is None: need a number$"),
    (by_alias, {"std": 1, "depth": 2.0}, TypeError, "^depth is 2.0: need a whole number$"),
    (by_alias, {"std": 1, "side": "up"}, ValueError, "^side 'up' is unknown: .* left, right$"),
    (by_alias, {"std": 1, "side": None}, ValueError, "^side None is unknown: .* left, right$"),
    (by_alias, {"std": 1, "other": "up"}, ValueError, r", right; both\(\) takes the rest$"),
    (by_name, {"std": 1, "count": None}, TypeError, "^count is None: need a whole number$"),
    (by_name, {"std": 1, "count": np.ones(2)}, TypeError, "^count is array"),
    (by_name, {"std": 1, "flag": 0}, TypeError, "^flag is 0: need True or False$"),
    (by_name, {"std": 1, "flag": np.True_}, TypeError, "^flag is np.True_: need True or False$"),
    (by_name, {"std": 1, "axes": None}, TypeError, "^axes is None: need an integer, or a tuple"),
    (by_name, {"std": 1, "axes": (0, "1")}, TypeError, "^axes is .0, '1'.: need an integer, or a"),
    (by_name, {"std": (4, 4)}, TypeError, r"a scheme takes no shape: .*array\(shape, scheme"),
    (by_name, {"std": np.ones(2)}, TypeError, r"a scheme takes no array: .*fill\(out, scheme"),
]


@pytest.mark.parametrize(("function", "arguments", "error", "words"), MISTAKES)
def test_an_argument_is_checked_by_the_type_its_annotation_stands_for(
    schemes, function, arguments, error, words
):
    with pytest.raises(error, match=words):
        maker(function)(**arguments)


def test_arguments_become_plain_objects_whatever_they_were(schemes):
    made = maker(by_name)(np.float32(0.5), np.int8(3), text=np.str_("x"), axes=[np.int64(1)])
    assert made.arguments == (("std", 0.5), ("count", 3), ("text", "x"), ("axes", (1,)))
    assert [type(value) for _, value in made.arguments] == [float, int, str, tuple]
    made = maker(by_alias)(1, np.int8(3), side=np.str_("right"), other="left")
    assert str(made) == "by_alias(std=1, depth=3, side='right', other='left')"
    assert str(maker(by_alias)(1, None, other=None)) == "by_alias(std=1)"


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (complex, "complex"),
        ("list[int]", "list"),
        (Any, "Any"),
        ("tuple[float, ...]", "tuple"),
        ("float | int", "float"),
        (Literal["a", 1], "Literal"),
        ("Annotated[float, 'metres']", "Annotated"),
        (None, "None"),
        (inspect.Parameter.empty, "missing"),
    ],
    ids=str,
)
def test_an_annotation_that_is_not_known_is_an_error_of_the_function(schemes, annotation, shown):
    def unreadable(std: float, other: float = 1.0) -> Rule:
        return rule

    if annotation is inspect.Parameter.empty:
        del unreadable.__annotations__["other"]
    else:
        unreadable.__annotations__["other"] = annotation
    words = f"^unreadable: the annotation of other is .*{shown}.*: need float, int, bool, str, "
    with pytest.raises(TypeError, match=words):
        maker(unreadable)
    assert "unreadable" not in schemes


def test_options_need_the_annotation_that_lists_them(schemes):
    def with_options(std: float = 1.0, **options: Unpack[FanOptions]) -> Rule:
        return rule

    with pytest.raises(TypeError, match=r"^groups is 2.0: need a whole number$"):
        maker(with_options)(groups=2.0)
    with_options.__annotations__["options"] = "float"
    with pytest.raises(TypeError, match=r"^with_options: the annotation of layout is missing"):
        maker(with_options)


def test_a_type_is_one_however_it_is_spelt():
    for spelling in (Optional[int], Union[int, None], int | None, None | int):  # noqa: UP007, UP045
        assert converter_of(spelling)("n", np.int8(3)) == 3
        assert converter_of(spelling)("n", None) is None
    for spelling in (Axes, Union[tuple[int, ...], int], tuple[int, ...] | int):  # noqa: UP007
        assert converter_of(spelling)("n", [3]) == (3,)


class Foreign:
    """What no scheme takes."""

    def __repr__(self):
        return "<foreign>"


NEEDED = {
    "init": SCHEMES["normal"](),
    "expression": "1",
    "of": "v",
    "region": "0",
    "kind": "halves",
    "pairs": ("", SCHEMES["ones"]()),
}

ARGUMENTS = [
    (name, key)
    for name, function in sorted(SCHEMES.items())
    for key in inspect.signature(function).parameters
]


@pytest.mark.parametrize(("name", "key"), ARGUMENTS)
def test_every_argument_of_every_scheme_is_checked(name, key):
    parameters = inspect.signature(SCHEMES[name]).parameters
    needed = {p.name: NEEDED.get(p.name, 1) for p in parameters.values() if p.default is p.empty}
    if "base_shape" in parameters:
        needed["base_shape"] = (4, 4)
    if "encoder_layers" in parameters:
        needed["encoder_layers"] = 1
    with pytest.raises((TypeError, ValueError), match=f"^{key} .*<foreign>.*(need|choose from) "):
        scheme_from(name, needed | {key: Foreign()})
