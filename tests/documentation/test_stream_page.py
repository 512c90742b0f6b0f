# SPDX-License-Identifier: MIT
"""docs/stream.md against the library: signatures, what arguments take, dtypes, fans, random plans.

Bits are in test_vectors.py, test_bits.py and test_random_matrices.py.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference as ref
import reference_schemes as schemes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import PAGE
from reference_calls import KINDS, NEED, SIGNATURES, call
from reference_json import digest, plan_form
from scheme_calls import COMPOUNDS, EVERY_CALL, TABLES, every_call, scheme_from, text_of

import fastinit as fi
from fastinit.checkpoints.formats.safetensors.dtypes import SAFETENSORS_CODES
from fastinit.numerics.dtypes import DTYPES
from fastinit.plans import presets
from fastinit.schemes.gains import NONLINEARITIES
from fastinit.schemes.registry import SCHEMES
from fastinit.values import distributions
from fastinit.values.matrices import Blocks

# ---- arguments ----------------------------------------------------------------------------------

PLAIN = {
    "float": "number",
    "int": "a whole number",
    "bool": "True or False",
    "str": "a string, one that section 13 names",
    "DistributionName": "a string, one that section 13 names",
    "Mode": "a string, one that section 13 names",
    "OneFan": "a string, one that section 13 names",
    "Part": "a string, one that section 13 names",
    "Axes": "a whole number, or a tuple of whole numbers",
    "SinusoidKind": "a string, one that section 19 names",
    "FormulaOfX": "a string, a formula of section 17",
    "FormulaOfIndices": "a string, a formula of section 17",
    "TensorName": "a string, the name of a tensor",
    "RegionText": "a string, a region of section 18.2",
    "Scheme": "a scheme",
    "Pairs": "strings and schemes in turn",
    "NumberTable": "numbers, in tuples",
}


def test_every_scheme_is_on_the_page_and_no_other():
    assert set(SIGNATURES) == set(SCHEMES) - {"auto"}


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_the_signature_on_the_page_is_the_librarys(name):
    parameters = inspect.signature(SCHEMES[name]).parameters
    signature = SIGNATURES[name]
    rest = [key for key, p in parameters.items() if p.kind is p.VAR_POSITIONAL]
    assert rest == [signature.rest] * bool(signature.rest)
    assert [*signature.defaults, *rest] == list(parameters)
    named = [key for key, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert named == list(parameters)[: signature.positional]
    for key, parameter in parameters.items():
        default = NEED if parameter.default is parameter.empty else parameter.default
        assert key in rest or signature.defaults[key] == default
        kind, _, optional = str(parameter.annotation).partition(" | ")
        assert KINDS.get(key, "number") == PLAIN[kind]
        assert bool(optional) == (default is None)


WRONG: dict[str, list[Any]] = {
    "number": [True, "1", None, (1,), math.nan],
    "a whole number": [1.0, True, "1", (1,), math.inf],
    "True or False": [1, 0, None, "True"],
    "a string, one that section 13 names": ["fan", "", "Torch", 1, True],
    "a whole number, or a tuple of whole numbers": [1.0, True, "1", (1.0,), (True,), ((1,),)],
    "a string, one that section 19 names": ["halve", "", 1, None],
    "a string, a region of section 18.2": ["x", "0:1:0:", 1, None],
    "a string, a formula of section 17": ["", "y", "x +", 1, None, ("x",)],
    "a string, the name of a tensor": ["", "é", "a'", '"', "\\", "a\n", 1, None],
    "a scheme": ["normal()", None, 1, fi.normal, fi.auto(), fi.normal().distribution((2,))],
    "numbers, in tuples": [True, "1", None, (1, None), ((1,), 1), math.nan],
}


@settings(max_examples=200, deadline=None)
@given(every_call, st.data())
def test_an_argument_takes_what_the_page_says_and_nothing_else(made, data):
    name, arguments = made
    if name == "auto" or not SIGNATURES[name].defaults:
        return
    key = data.draw(st.sampled_from(sorted(SIGNATURES[name].defaults)))
    wrong = data.draw(st.sampled_from(WRONG[KINDS.get(key, "number")]))
    if wrong is None and SIGNATURES[name].defaults[key] is None:
        return
    with pytest.raises((TypeError, ValueError)):
        scheme_from(name, {**arguments, key: wrong})


def ranges() -> dict[str, str]:
    """What the second table of section 14.2 says of each argument."""
    table = PAGE.split("| arguments | values |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (.*`.*) \| (.*) \|$", table, re.M)
    return {name: said for names, said in rows for name in re.findall(r"`(\w+)`", names)}


BELOW = float(np.nextafter(0, -1))
OUTSIDE: dict[str, tuple[Any, ...]] = {
    ">= 0": (BELOW, -1, math.inf),
    "> 0": (0, BELOW, math.inf),
    "from 0 to 1": (BELOW, float(np.nextafter(1, 2))),
    "from 1 to 2^63 - 1": (0, -1, 2**63),
    "from 0 to 2^63 - 1": (-1, 2**63),
    "from 2 to 2^63 - 1": (1, 0, 2**63),
    ">= 1": (0, -1),
}
INSIDE: dict[str, tuple[Any, ...]] = {
    ">= 0": (0, 5e-324, 1e300),
    "> 0": (5e-324, 1e300),
    "from 0 to 1": (0, 1),
    "from 1 to 2^63 - 1": (1, 2**63 - 1),
    "from 0 to 2^63 - 1": (0, 2**63 - 1),
    "from 2 to 2^63 - 1": (2, 2**63 - 1),
    ">= 1": (1, 4),
}
OTHERS = {"cutoff": "needs 2^-10 sigma", "std": "torchtitan's bounds are absolute"}
"""Arguments whose smallest or largest number meets another limit."""

NEEDED: dict[str, Any] = dict(
    **dict.fromkeys(("layers", "layer", "width", "hidden", "fan_in"), 2),
    **dict.fromkeys(("width_multiplier", "bound", "high", "value", "sparsity"), 0.5),
    base_shape=(8, 4),
    low=-1.0,
    kind="halves",
)


def with_range() -> list[tuple[str, str, str]]:
    """(scheme, argument, range) of every argument with one; identity's gain has none."""
    return [
        (name, key, ranges()[key])
        for name, signature in SIGNATURES.items()
        for key in signature.defaults
        if key in ranges() and (name, key) != ("identity", "gain") and key != "a"
    ]


@pytest.mark.parametrize(("name", "key", "said"), with_range(), ids=lambda text: text)
def test_the_range_of_an_argument_is_the_pages(name, key, said):
    defaults = SIGNATURES[name].defaults
    needed = {k: NEEDED[k] for k, default in defaults.items() if default is NEED}
    if name == "inverse_softplus_log_uniform":
        needed["low"] = 0.1
    if name in ("deepnorm", "sub_ln", "t_fixup", "t_fixup_embedding"):
        needed |= {"encoder_layers": 3} if key != "decoder_layers" else {}
    for value in OUTSIDE[said]:
        with pytest.raises(ValueError):  # noqa: PT011 - the words are tested where they are raised
            getattr(fi.schemes, name)(**{**needed, key: value})
    for value in INSIDE[said]:
        if key not in OTHERS:
            assert getattr(fi.schemes, name)(**{**needed, key: value})


def test_every_word_that_an_argument_takes_is_on_the_page():
    section = PAGE.split("## 13 Schemes")[1].split("### 13.1")[0]
    quoted = set(re.findall(r"'(\w+)'", section))
    modes = {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
    kinds = {"uniform", "normal", "truncated_normal", "untruncated_normal"}
    assert quoted == {*modes, *kinds, *NONLINEARITIES, "torch", "keras", "jax"}


@pytest.mark.parametrize("word", NONLINEARITIES)
def test_the_gain_of_a_nonlinearity_is_the_pages(word):
    assert schemes.gain({"a": 0.3, "nonlinearity": word}) == fi.schemes.gain(
        word, 0.3 if word == "leaky_relu" else None
    )


# ---- dtypes -------------------------------------------------------------------------------------


def test_the_table_of_dtypes_is_right():
    rows = re.findall(
        r"^\| (\w+) \| (\w+) \| (\d+), (\d+) \| (\d+) \| (\S+) \| ?(.*?) ?\|$", PAGE, re.M
    )
    assert [row[0] for row in rows] == ["float64", *(name for name in DTYPES if name != "float64")]
    for name, code, exponent, fraction, bias, largest, limit in rows:
        info = ml_dtypes.finfo(DTYPES[name].numpy)
        assert SAFETENSORS_CODES[name] == code
        assert (info.nexp, info.nmant) == (int(exponent), int(fraction))
        assert float(info.smallest_normal) == 2.0 ** (1 - int(bias))
        assert DTYPES[name].largest == float.fromhex(largest) if "x" in largest else float(largest)
        if name != "float64":
            _check_limit(name, limit)


def _check_limit(name: str, limit: str) -> None:
    """`limit` is the first number that is not finite in the dtype, or the last that is."""
    word, number = limit.split(" ", 1)
    first = 2.0**128 - 2.0**103 if "^" in number else float.fromhex(number)
    if "x" not in number and "^" not in number:
        first = float(number)
    kind = np.float64 if name == "float32" else np.float32  # what is rounded from
    before, after = (float(np.nextafter(kind(first), kind(to))) for to in (0, math.inf))
    assert word in ("from", "beyond")
    assert DTYPES[name].fits(first) == (word == "beyond")
    assert DTYPES[name].fits(before)
    assert not DTYPES[name].fits(after)


def test_the_example_of_rounding_twice_is_right():
    assert "the constant 1 + 2^-11 + 2^-30 is 1 in float16" in PAGE
    value = 1 + 2.0**-11 + 2.0**-30
    assert fi.array((1,), fi.constant(value), seed=0, name="w", dtype="float16")[0] == 1
    assert np.float16(value) > 1


# ---- schemes ------------------------------------------------------------------------------------

WHOLE = ("identity", "dirac", "zero_hadamard", "sparse", "orthogonal", "delta_orthogonal")
INDEPENDENT = sorted(set(EVERY_CALL) - {"auto", "spectral_normalised", *WHOLE, *COMPOUNDS, *TABLES})

sizes = st.integers(1, 9) | st.sampled_from([12, 24, 36, 60, 2**26 + 1, 2**31 + 3])
shapes = st.lists(sizes, max_size=5).map(tuple)


def numbers_of(found: distributions.Distribution) -> Any:
    """What the library draws, as nested tuples."""
    match found:
        case distributions.Uniform(low, high):
            return "Uniform", low, high
        case distributions.Normal(sigma, centre):
            return "Normal", sigma, centre
        case distributions.TruncatedNormal(sigma, centre, low, high):
            return "Truncated", sigma, centre, low, high
        case distributions.ClippedNormal(sigma, centre, low, high):
            return "Clipped", sigma, centre, low, high
        case distributions.Constant(value):
            return "Constant", value
        case Blocks():
            return found.axis, found.sizes, tuple(map(numbers_of, found.parts))
    raise TypeError(found)


def reference_numbers(found: ref.Distribution | schemes.Parts) -> Any:
    """The same of the reference; parts that are all alike are one distribution."""
    match found:
        case schemes.Parts(axis, counts, parts):
            each = tuple(map(reference_numbers, parts))
            return each[0] if len(set(each)) == 1 else (axis, counts, each)
        case ref.Clipped(_, mean, low, high, _):
            return type(found).__name__, ref.effective_std(found), mean, low, high
        case ref.Uniform(low, high):
            return "Uniform", low, high
        case ref.Normal(std, mean):
            return "Normal", std, mean
    assert isinstance(found, ref.Constant)
    return "Constant", found.value


@st.composite
def fitting(draw: Any) -> tuple[str, dict[str, Any], tuple[int, ...]]:
    """A scheme and a shape, which often suit each other."""
    name, arguments = draw(st.sampled_from(INDEPENDENT).flatmap(EVERY_CALL.__getitem__))
    shape = draw(shapes)
    base = arguments.get("base_shape", ())
    if len(base) > 1:
        first = 0 if arguments.get("layout", "torch") == "torch" else len(base) - 2
        wider = [n * draw(st.integers(1, 5)) for n in base[first : first + 2]]
        shape = (*base[:first], *wider, *base[first + 2 :])
    if isinstance(arguments.get("packed"), tuple) and len(shape) > 1:
        shape = (sum(arguments["packed"]), *shape[1:])
    return name, arguments, shape


def _check_scheme(made: tuple[str, dict[str, Any], tuple[int, ...]]) -> bool:
    """Whether the library takes scheme and shape; if so, the reference makes the same of them."""
    name, arguments, shape = made
    scheme = scheme_from(name, arguments)
    try:
        theirs = numbers_of(scheme.distribution(shape))
    except ValueError:
        return False
    again, full = call(text_of(scheme))
    assert reference_numbers(schemes.distribution_of(again, full, shape)) == theirs
    return True


SLOW_OR_NOT = pytest.mark.parametrize(
    "examples", [300, pytest.param(10_000, marks=pytest.mark.slow)]
)


@SLOW_OR_NOT
def test_a_scheme_has_the_parameters_of_the_page_to_the_last_bit(examples):
    taken = 0

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(fitting())
    def check(made):
        nonlocal taken
        taken += _check_scheme(made)

    check()
    assert taken > examples / 3


# ---- digests ------------------------------------------------------------------------------------


def form_of(plan: fi.Plan) -> dict[str, Any]:
    """The JSON form, by the page."""
    rows = [(t.name, t.shape, str(t.scheme), t.dtype) for t in plan]
    return plan_form(rows, plan.name, plan.dtype, plan.config)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if "deepseek" in name else ())
        for name in presets()
    ],
)
def test_the_digest_of_a_preset_is_the_pages(name):
    plan = fi.plan(name)
    form = form_of(plan)
    assert plan.digest == digest(form)
    assert json.loads(json.dumps(form)) == json.loads(json.dumps(plan.to_json()))


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=9)
titles = st.text(max_size=9).filter(str.isprintable)
dtypes = st.none() | st.sampled_from(sorted(DTYPES))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
)
lists = st.lists(scalars, max_size=4)
objects = st.dictionaries(st.text(max_size=9), scalars | lists, max_size=3)
tensors = st.tuples(names, st.lists(st.integers(0, 9), max_size=4).map(tuple), every_call, dtypes)
configs = st.none() | st.dictionaries(
    st.text(max_size=9), scalars | lists | objects | st.lists(objects, max_size=2), max_size=5
)


@settings(max_examples=100, deadline=None)
@given(st.lists(tensors, max_size=4, unique_by=lambda row: row[0]), titles, dtypes, configs)
def test_the_digest_of_a_plan_is_the_pages(rows, title, dtype, config):
    kept = [row for row in rows if row[2][0] != "auto" and row[0] != "__metadata__"]
    plan = fi.Plan(
        [fi.Tensor(name, shape, scheme_from(s, a), own) for name, shape, (s, a), own in kept],
        title,
        dtype,
        config,
    )
    assert plan.digest == digest(form_of(plan))
    texts = {tensor.name: tensor for tensor in plan}
    assert all(texts[name].shape == shape for name, shape, _, _ in kept)
