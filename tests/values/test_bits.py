# SPDX-License-Identifier: MIT
"""Bits: the library equals the reference, on every instruction set, over every hard word."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference as ref
from twins import (
    INFINITY,
    assert_same_bits,
    bits,
    library_map,
    library_values,
    words_for,
)

import fastinit as fi
from fastinit.values import distributions

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "streams.json").read_text("ascii"))
DTYPES = list(ref.DTYPES)


def distribution_from(entry):
    numbers = {k: v if isinstance(v, bool) else float(v) for k, v in entry.items() if k != "kind"}
    return getattr(ref, entry["kind"])(**numbers)


def test_values_are_the_golden_values(isa):
    for vector in VECTORS["values"]:
        distribution = distribution_from(vector["distribution"])
        where = (vector["seed"], vector["name"], distribution, vector["start"], 13)
        values = library_values(*where, vector["dtype"])
        width = 2 * values.itemsize
        text = " ".join(f"{pattern:0{width}x}" for pattern in bits(values).tolist())
        assert text == vector["values"], vector


def test_the_golden_values_cover_every_dtype_and_kind():
    seen = {(v["dtype"], v["distribution"]["kind"]) for v in VECTORS["values"]}
    kinds = ["Uniform", "Normal", "Clipped", "Truncated", "Constant"]
    assert seen == {(dtype, kind) for dtype in DTYPES for kind in kinds}


ALL = tuple(DTYPES)
WIDE = ("float64", "float32", "bfloat16")  # the exponents of float32
SATURATING = ("float8_e4m3fn", "float8_e5m2")
WIDE_OR_SATURATING = (*WIDE, *SATURATING)

CASES: list[tuple[ref.Distribution, tuple[str, ...]]] = [
    (ref.Uniform(-1.0, 1.0), ALL),
    (ref.Uniform(0.0, 1.0), ALL),
    (ref.Uniform(-0.0, 0.0), ALL),
    (ref.Uniform(-0.1, 0.7), ALL),
    (ref.Uniform(1.0, 1.0 + 1e-6), ALL),
    (ref.Uniform(0.25, 0.25), ALL),
    (ref.Uniform(-1e-44, 1e-42), ALL),
    (ref.Uniform(-3e38, 3e38), WIDE),
    (ref.Uniform(-1.7e308, 1.7e308), ("float64",)),
    (ref.Normal(), ALL),
    (ref.Normal(0.02), ALL),
    (ref.Normal(0.0, 0.1), ALL),
    (ref.Normal(0.0, 0.0), ALL),
    (ref.Normal(1e-30), ALL),
    (ref.Normal(1e-42), ALL),
    (ref.Normal(1e-310), ALL),
    (ref.Normal(1e30), WIDE_OR_SATURATING),
    (ref.Normal(1e39, -1e39), SATURATING),
    (ref.Uniform(-1e39, 1e39), SATURATING),
    (ref.Uniform(-1e300, 1.0), SATURATING),
    (ref.Clipped(1e39, -1e39, -2.0, 2.0), SATURATING),
    (ref.Truncated(1e39, 1e39, -2.0, 2.5), SATURATING),
    (ref.Normal(1e-6, 100.0), ALL),
    (ref.Normal(1e-3, -0.3), ALL),
    (ref.Normal(2.0**-8, 2.0**-9), ALL),
    (ref.Clipped(1.0, 0.0, -2.0, 2.0), ALL),
    (ref.Clipped(1.0, 0.0, -2.0, 2.0, corrected=True), ALL),
    (ref.Clipped(0.0, 0.5, -2.0, 2.0), ALL),
    (ref.Clipped(1e-42, 0.0, -1.0, 1.0), ALL),
    (ref.Clipped(1e30, 0.0, -0.1, 5.0), WIDE_OR_SATURATING),
    (ref.Clipped(1.0, -0.7, 0.7, INFINITY), ALL),
    (ref.Clipped(0.3, 10.0, -INFINITY, 0.5, corrected=True), ALL),
    (ref.Clipped(1.0, 0.0, -INFINITY, INFINITY), ALL),
    (ref.Truncated(1.0, 0.0, -2.0, 2.0), ALL),
    (ref.Truncated(0.02, 0.0, -2.0, 2.0, corrected=True), ALL),
    (ref.Truncated(1.0, 0.0, -(2.0**-11), 2.0**-11), ALL),
    (ref.Truncated(1.0, 0.0, -13.0, 13.0), ALL),
    (ref.Truncated(1.0, 0.0, -INFINITY, INFINITY), ALL),
    (ref.Truncated(0.0, 0.5, -1.0, 2.0), ALL),
    (ref.Truncated(1e-42, 0.0, -1.0, 2.0), ALL),
    (ref.Truncated(1e30, 0.0, -1.0, 2.0), WIDE_OR_SATURATING),
    (ref.Truncated(1e-6, 100.0, -1.0, 2.0), (*WIDE, "float16")),
    (ref.Truncated(1.0, 0.0, -1.0, 3.0), ALL),
    (ref.Truncated(1.0, 0.0, -3.0, 1.0, corrected=True), ALL),
    (ref.Truncated(1.0, 0.0, -1e-5, 8.0), ALL),
    (ref.Truncated(1.0, 0.0, -30.0, 13.0), ALL),
    (ref.Truncated(1.0, 0.0, -INFINITY, 0.5), ALL),
    (ref.Truncated(1.0, 0.0, 0.0, 1.0), ALL),
    (ref.Truncated(1.0, 0.0, -1.0, 0.0), ALL),
    (ref.Truncated(1.0, 0.0, 1.0, 1.0 + 2.0**-10), ("float64", "float32", "float16")),
    (ref.Truncated(1.0, 0.0, 3.0, 5.0), ALL),
    (ref.Truncated(0.5, 0.1, -5.0, -3.0, corrected=True), ALL),
    (ref.Truncated(1.0, 0.0, 6.0, 8.0), ALL),
    (ref.Truncated(1.0, 0.0, -8.0, -6.0), ALL),
    (ref.Truncated(1.0, 0.0, 6.0, INFINITY), ALL),
    (ref.Truncated(1.0, 0.0, -INFINITY, -6.0), ALL),
    (ref.Truncated(1.0, 0.0, 13.0, 40.0), ALL),
]


@functools.cache
def expected(distribution, dtype):
    values = ref.map_words(words_for(dtype), distribution, dtype)
    values.setflags(write=False)
    return values


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_library_is_the_reference_over_extreme_words(isa, dtype):
    for distribution, dtypes in CASES:
        if dtype in dtypes:
            values = library_map(words_for(dtype), distribution, dtype)
            np.testing.assert_array_equal(
                bits(values), bits(expected(distribution, dtype)), str(distribution)
            )


@pytest.mark.parametrize(
    "distribution",
    [
        ref.Uniform(-0.1, 0.7),
        ref.Normal(0.02),
        ref.Clipped(1.0, 0.0, -2.0, 2.0),
        ref.Truncated(1.0, 0.0, -2.0, 2.0),
        ref.Truncated(1.0, 0.0, -1.0, 3.0),
        ref.Truncated(1.0, 0.0, -8.0, -6.0),
    ],
    ids=lambda d: str(d),
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_drawn_stream_is_the_mapped_stream(isa, dtype, distribution):
    """The kernels that draw are others than those that map chosen words."""
    for start, count in [(0, 1), (5, 300), (2**34 - 700, 1500)]:
        values = library_values(3, "h.0.bias", distribution, start, count, dtype)
        assert_same_bits(values, ref.values(3, "h.0.bias", distribution, start, count, dtype))


ZEROS = """
import fastinit as fi
from fastinit.values.distributions import Constant, Normal
draw = lambda recipe: fi.array((1,), recipe, seed=0, name="w").view("u4").tolist()
print(draw(Constant(-0.0)), draw(fi.constant(-0.0)), draw(fi.zeros()))
print(draw(Normal(0.0, -0.0)), draw(fi.normal(0.0, mean=-0.0)), draw(fi.normal(0.0)))
"""


def test_minus_zero_as_a_parameter_is_zero_whatever_was_drawn_before():
    """-0.0 == 0.0, so a cache takes one for the other: a new process, where none is filled."""
    run = subprocess.run([sys.executable, "-c", ZEROS], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["[0]"] * 6


def octave_words(low: float) -> ref.Array:
    """Words whose tail probability, truncated to [low, inf), lies at each edge of its octaves."""
    nearer = ref.tail(low) / ref.ONE
    whole = math.ldexp(nearer, 32 + max(0, -1 - math.frexp(nearer)[1]))  # 2^30 <= whole < 2^31
    edges = []
    for exponent in range(-1, 32):
        t = round(2.0**exponent * 2.0**32 / whole)
        far = [t + d for d in range(-3, 4)]
        near = [2**32 - t + d for d in range(-3, 4)]
        edges += [x for x in far + near if 0 <= x < 2**31]
    both = [e | sign for e in edges for sign in (0, 2**31)]
    return np.array(both, np.uint32)


FAR_BOUNDS = [x / 2 for x in range(27)]


def test_every_octave_edge_gives_the_references_bits(isa):
    for low in FAR_BOUNDS:
        words = octave_words(low)
        for distribution in (
            ref.Truncated(1.0, 0.0, low, INFINITY),
            ref.Truncated(1.0, 0.0, -INFINITY, -low),
            ref.Truncated(1.0, 0.0, low, low + 1.0),
        ):
            assert_same_bits(
                library_map(words, distribution, "float32"),
                ref.map_words(words, distribution, "float32"),
            )


def test_those_words_reach_every_row_of_the_octave_table(monkeypatch):
    """All but the last three of 160 rows: a truncation begins at 13 sigma at most."""
    rows = set()

    def quantile(f, shift):
        rows.update((30 - (np.frexp(f)[1] - 1) + shift).tolist())
        return np.ones_like(f)

    monkeypatch.setattr(ref, "quantile", quantile)
    for low in FAR_BOUNDS:
        ref.standard32(ref.Truncated(1.0, 0.0, low, INFINITY), octave_words(low))
    assert rows == set(range(157))


def test_the_page_tells_the_truth_about_its_extremes():
    z = ref.map_words(np.array([0, 2**31 - 1], np.uint32), ref.Normal(), "float32")
    assert f"{z[0]:.4f}" == "6.3380"
    assert f"{z[1]:.1e}" == "1.6e-08"
    assert f"{ref.map_words(np.zeros(2, np.uint32), ref.Normal(), 'float64')[0]:.2f}" == "9.16"


def test_a_distribution_of_numpy_numbers_is_that_of_its_floats():
    """Equal and of equal hash, so they share what is cached: it must not matter which was first."""
    ours = [
        distributions.Uniform(np.float32(-0.1), np.float32(0.3)),
        distributions.TruncatedNormal(np.float32(1), 0, np.float32(-2), np.float32(2)),
        distributions.Normal(np.float32(0.1), np.float32(0.3)),
    ]
    for first in ours:
        numbers = [float(getattr(first, field.name)) for field in dataclasses.fields(first)]
        twin = type(first)(*numbers)
        assert all(type(getattr(first, f.name)) is float for f in dataclasses.fields(first))
        for dtype in ("float64", "bfloat16"):
            drawn = [
                fi.array((100,), each, seed=0, name="w", dtype=dtype) for each in (first, twin)
            ]
            assert drawn[0].tobytes() == drawn[1].tobytes()
