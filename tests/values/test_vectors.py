# SPDX-License-Identifier: MIT
"""The vectors of docs/stream.md, section 11: the reference makes them, and the library agrees.

streams.json is in test_stream.py and test_bits.py.
"""

from __future__ import annotations

import json
import math
import re
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
from reference_calls import SIGNATURES, call
from reference_json import canonical, digest, plan_form
from reference_places import TO_ROUNDING, values_of
from test_bits import distribution_from
from twins import bits, library_map, scheme_of

import fastinit as fi
from fastinit.numerics import gaussian, roots
from fastinit.values import distributions
from fastinit.values.matrices import Blocks

DATA = Path(__file__).parents[1] / "data"
MADE_BY = {
    "edges.json": "make_edges.py",
    "exact.json": "make_edges.py",
    "schemes.json": "make_schemes.py",
    "texts.json": "make_texts.py",
    "recipes.json": "make_texts.py",
    "logarithms.json": "make_logarithms.py",
    "draws.json": "make_draws.py",
    "exponentials.json": "make_exponentials.py",
    "gallery.json": "make_gallery.py",
}
FILES = {name: json.loads((DATA / name).read_text("ascii")) for name in MADE_BY}
EDGES, EXACT, SCHEMES, TEXTS, RECIPES, *_ = (FILES[name] for name in MADE_BY)


@cache
def remade(generator: str) -> dict[str, str]:
    texts: dict[str, str] = runpy.run_path(str(DATA / generator))["files"]()
    return texts


def hexadecimal(values: Any) -> str:
    return " ".join(f"{pattern:0{2 * values.itemsize}x}" for pattern in bits(values).tolist())


def float_of(pattern: str) -> float:
    found: float = np.array([int(pattern, 16)], np.uint64).view(np.float64)[0]
    return float(found)


# ---- the reference ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MADE_BY if name != "schemes.json"])
def test_the_committed_vectors_are_what_the_reference_makes(name):
    assert remade(MADE_BY[name])[name] == (DATA / name).read_text("ascii")


@pytest.mark.slow
def test_the_vectors_of_schemes_are_what_the_reference_makes():
    """To the bit, but for what linear algebra made, whose last digits depend on the library."""
    again = json.loads(remade("make_schemes.py")["schemes.json"])["schemes"]
    assert len(again) == len(SCHEMES["schemes"]) > 150
    for made, vector in zip(again, SCHEMES["schemes"], strict=True):
        exactly = isinstance(vector["values"], str)
        values, expected = made.pop("values"), vector["values"]
        assert values == (expected if exactly else pytest.approx(expected, rel=0, abs=1e-13))
        assert made == {key: value for key, value in vector.items() if key != "values"}


# ---- edges.json ---------------------------------------------------------------------------------


def test_names_stand_for_their_golden_subsequences():
    for vector in EDGES["names"]:
        assert fi.stream(0, vector["name"]).subsequence == int(vector["subsequence"], 16)
    assert len({vector["subsequence"] for vector in EDGES["names"]}) == len(EDGES["names"])


def test_names_without_utf8_are_errors():
    assert len(EDGES["invalid_names"]) == 3
    for vector in EDGES["invalid_names"]:
        with pytest.raises(ValueError, match="lone surrogate"):
            fi.stream(0, vector["name"])
        with pytest.raises(UnicodeEncodeError):
            ref.subsequence(vector["name"])


def golden_words(dtype: str) -> ref.Array:
    row = EDGES["words"][dtype != "float64"]
    assert row["dtypes"] == ("float64" if dtype == "float64" else "all others")
    return np.array([int(word, 16) for word in row["words"].split()], np.uint32)


def library_edge(distribution: ref.Distribution, dtype: str) -> ref.Array:
    """The values of the golden words; a constant has no kernel that takes words."""
    words = golden_words(dtype)
    if isinstance(distribution, ref.Constant):
        count = len(words) // (2 if dtype == "float64" else 1)
        return fi.array((count,), scheme_of(distribution), seed=0, name="w", dtype=dtype)
    return library_map(words, distribution, dtype)


def test_values_at_the_edges_are_the_golden_values(isa):
    for vector in EDGES["values"]:
        found = library_edge(distribution_from(vector["distribution"]), vector["dtype"])
        assert hexadecimal(found) == vector["values"], vector["why"]


def test_there_are_zeros_of_either_sign_among_them():
    """Or nothing above would see a sign that is lost."""
    zeros = {
        pattern
        for vector in EDGES["values"]
        if vector["dtype"] == "float32"
        for pattern in vector["values"].split()
        if int(pattern, 16) % 2**31 == 0
    }
    assert zeros == {"00000000", "80000000"}


def test_what_is_an_error_on_the_page_is_one():
    assert len(EDGES["errors"]) > 20
    for vector in EDGES["errors"]:
        distribution = distribution_from(vector["distribution"])
        with pytest.raises(ValueError):  # noqa: PT011 - the words are tested where they are raised
            library_edge(distribution, vector["dtype"])


# ---- exact.json ---------------------------------------------------------------------------------


def test_exact_numbers_are_the_golden_numbers():
    for vector in EXACT["Q"]:
        assert gaussian.tail(float(vector["x"])) == float_of(vector["Q"]), vector
    for vector in EXACT["Z"]:
        low, high = float(vector["low"]), float(vector["high"])
        assert gaussian.mass(low, high) == float_of(vector["Z"]), vector
    for vector in EXACT["v"]:
        low, high = float(vector["low"]), float(vector["high"])
        assert gaussian.truncated_moments(low, high)[1] == float_of(vector["truncated"]), vector
        assert gaussian.clipped_moments(low, high)[1] == float_of(vector["clipped"]), vector
    for vector in EXACT["ln"]:
        assert roots.logarithm(vector["n"]) == float_of(vector["ln"]), vector
    for vector in EXACT["root"]:
        assert roots.root(vector["x"], vector["k"]) == float_of(vector["root"]), vector


# ---- schemes.json -------------------------------------------------------------------------------


def drawn(vector: dict[str, Any], count: int) -> ref.Array:
    start = vector["start"]
    return fi.array(
        vector["shape"],
        fi.scheme(vector["text"]),
        seed=vector["seed"],
        name=vector["name"],
        dtype=vector["dtype"],
        region=range(start, start + count),
    )


@pytest.mark.parametrize("exactly", [True, False], ids=["to the bit", "to rounding"])
def test_schemes_make_the_golden_values(exactly):
    vectors = [v for v in SCHEMES["schemes"] if isinstance(v["values"], str) == exactly]
    assert vectors
    for vector in vectors:
        if exactly:
            expected = vector["values"].split()
            assert hexadecimal(drawn(vector, len(expected))).split() == expected, vector
        else:
            error = 2e-6 if vector["dtype"] == "float32" else 1e-12
            found = drawn(vector, len(vector["values"])).astype(float)
            np.testing.assert_allclose(
                found, vector["values"], rtol=0, atol=error, err_msg=str(vector)
            )


def test_the_vectors_of_schemes_hold_every_scheme_and_dtype():
    assert {call(vector["text"])[0] for vector in SCHEMES["schemes"]} == set(SIGNATURES)
    assert {vector["dtype"] for vector in SCHEMES["schemes"]} == set(ref.DTYPES)
    rounded = {call(v["text"])[0] for v in SCHEMES["schemes"] if not isinstance(v["values"], str)}
    assert rounded == set(TO_ROUNDING)


def numbers_of(distribution: distributions.Distribution) -> list[float]:
    """The library's parameters of a distribution of independent elements."""
    match distribution:
        case distributions.Uniform(low, high):
            return [low, high]
        case distributions.Constant(value):
            return [value]
        case distributions.Normal(sigma, centre):
            return [sigma, centre]
        case distributions.ClippedNormal(sigma, centre, low, high):
            return [sigma, centre, low, high]
        case distributions.TruncatedNormal(sigma, centre, low, high):
            return [sigma, centre, low, high]
    raise TypeError(distribution)


def golden_numbers(entry: dict[str, Any]) -> list[float]:
    found = distribution_from(entry)
    if isinstance(found, ref.Clipped):
        return [ref.effective_std(found), found.mean, found.low, found.high]
    return [float(number) for key, number in entry.items() if key != "kind"]


def test_schemes_have_the_golden_parameters():
    seen = 0
    for vector in SCHEMES["schemes"]:
        entries = vector.get("parts") or [vector.get("distribution")]
        if entries == [None]:
            continue
        found = fi.scheme(vector["text"]).distribution(tuple(vector["shape"]))
        if isinstance(found, Blocks):
            assert (found.axis, list(found.sizes)) == (vector["axis"], vector["sizes"]), vector
        parts = found.parts if isinstance(found, Blocks) else [found] * len(entries)
        for part, entry in zip(parts, entries, strict=True):
            assert type(part).__name__.removesuffix("Normal") == entry["kind"].removesuffix(
                "Normal"
            )
            assert numbers_of(part) == golden_numbers(entry), vector
            seen += 1
    assert seen > 150


# ---- texts.json, recipes.json -------------------------------------------------------------------


def argument_json(value: Any) -> Any:
    """An argument as texts.json writes it."""
    if isinstance(value, float):
        return str(value) if math.isinf(value) else value.hex()
    if isinstance(value, fi.Scheme):
        return {"scheme": str(value)}
    return list(map(argument_json, value)) if isinstance(value, tuple) else value


def test_texts_have_their_golden_arguments_and_are_written_so():
    assert len(TEXTS["texts"]) > 60
    for vector in TEXTS["texts"]:
        found = fi.scheme(vector["text"])
        assert (found.name, str(found)) == (vector["scheme"], vector["written"])
        given = {key.lstrip("*"): argument_json(value) for key, value in found.arguments}
        assert given.items() <= vector["arguments"].items(), vector
        assert str(fi.scheme(vector["written"])) == vector["written"]


def test_invalid_texts_are_errors():
    assert len(TEXTS["invalid"]) > 60
    for vector in TEXTS["invalid"]:
        with pytest.raises(ValueError):  # noqa: PT011 - the words are tested where they are raised
            fi.scheme(vector["text"])


def test_plans_have_their_golden_digests():
    assert len(RECIPES["plans"]) > 3
    for vector in RECIPES["plans"]:
        form = vector["plan"]
        assert json.dumps(form, sort_keys=True, separators=(",", ":")) == vector["json"]
        plan = fi.Plan.from_json(form)
        assert plan.to_json() == form
        assert plan.digest == vector["digest"] == digest(form)
        assert canonical(plan.to_json()) == vector["json"]


# ---- a whole file -------------------------------------------------------------------------------

CODES = dict(re.findall(r"^\| (float\w+|bfloat16) \| (\w+) \|", ref.PAGE, re.M))
"""The page's name of each dtype in files."""

WRITTEN = [
    ("wte.weight", (30, 8), "normal(std=0.02)", None),
    ("größe 🎲", (6, 4, 3), "he_normal(groups=2)", "float64"),
    ("h.0.qkv", (24, 8), "glorot_uniform(packed=(16, 4, 4))", "float16"),
    ("h.0.ln", (8,), "ones()", "float8_e5m2"),
    ("h.0.bias", (), "uniform(low=-0.1, high=0.1)", "float8_e4m3fn"),
    ("h.0.gate", (8, 8), "sparse(sparsity=0.3)", "bfloat16"),
    ("empty", (0, 3), "zeros()", None),
]


def test_a_file_can_be_made_again_from_the_page_alone(tmp_path):
    """What section 14 says is enough: recipe, header, and nothing of the library."""
    tensors = [fi.Tensor(name, shape, text, dtype) for name, shape, text, dtype in WRITTEN]
    plan = fi.Plan(tensors, "small", "bfloat16", {"n": 1e-05})
    fi.write(plan, tmp_path, seed=2**64 - 1)
    content = (tmp_path / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    recipe = json.loads(header.pop("__metadata__")["fastinit"])
    form = plan_form(WRITTEN, "small", "bfloat16", {"n": 1e-05})
    assert recipe == {
        "stream": 1,
        "seed": 2**64 - 1,
        "plan": "small",
        "digest": digest(form),
        "init": {name: text for name, _, text, _ in WRITTEN},
    }
    assert header.keys() == recipe["init"].keys()
    names = {code: name for name, code in CODES.items()}
    for name, row in header.items():
        shape, stream, dtype = row["shape"], (recipe["seed"], name), names[row["dtype"]]
        values = values_of(recipe["init"][name], shape, stream, 0, math.prod(shape), dtype)
        start, end = (8 + size + offset for offset in row["data_offsets"])
        assert values.tobytes() == content[start:end], name
