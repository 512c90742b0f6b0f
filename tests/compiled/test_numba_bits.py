# SPDX-License-Identifier: MIT
"""Bits of compiled functions: the reference's, for every hard word and any caller's options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import numba_loops as loops  # noqa: E402 - only with Numba
import reference as ref  # noqa: E402
from twins import assert_same_bits, bits, words_for  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.numba as fn  # noqa: E402
from fastinit.machine.floats import default_floats  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "streams.json").read_text("ascii"))
DTYPES = list(ref.DTYPES)
INFINITY = float("inf")
WIDE = ("float64", "float32", "bfloat16")
SATURATING = ("float8_e4m3fn", "float8_e5m2")
FEW = [
    ref.Uniform(-0.1, 0.7),
    ref.Normal(0.02),
    ref.Clipped(1.0, 0.0, -2.0, 2.0),
    ref.Truncated(1.0, 0.0, -2.0, 2.0),
    ref.Truncated(1.0, 0.0, -1.0, 3.0),
    ref.Truncated(1.0, 0.0, -8.0, -6.0),
    ref.Constant(-0.1),
]
CASES = [
    *((distribution, tuple(DTYPES)) for distribution in FEW),
    (ref.Uniform(-1e-44, 1e-42), tuple(DTYPES)),
    (ref.Uniform(-3e38, 3e38), WIDE),
    (ref.Uniform(-1e39, 1e39), SATURATING),
    (ref.Normal(1e-42), tuple(DTYPES)),
    (ref.Normal(1e-310), tuple(DTYPES)),
    (ref.Normal(1e39, -1e39), SATURATING),
    (ref.Normal(1e-3, -0.3), tuple(DTYPES)),
    (ref.Clipped(0.3, 10.0, -INFINITY, 0.5, corrected=True), tuple(DTYPES)),
    (ref.Truncated(1e-42, 0.0, -1.0, 2.0), tuple(DTYPES)),
    (ref.Truncated(1.0, 0.0, -(2.0**-11), 2.0**-11), tuple(DTYPES)),
    (ref.Truncated(1.0, 0.0, -INFINITY, 0.5), tuple(DTYPES)),
    (ref.Truncated(1.0, 0.0, -1.0, 0.0), tuple(DTYPES)),
    (ref.Truncated(1.0, 0.0, 6.0, INFINITY), tuple(DTYPES)),
    (ref.Truncated(1.0, 0.0, 13.0, 40.0), tuple(DTYPES)),
    (ref.Constant(-0.0), tuple(DTYPES)),
]


def test_known_answers_of_philox():
    rows = (DATA / "philox4x32_kat.txt").read_text().splitlines()[1:]
    assert len(rows) == 3
    for row in rows:
        c = [int(word, 16) for word in row.split()[2:]]
        assert list(fn.philox4x32(tuple(c[:4]), tuple(c[4:6]))) == c[6:]


def test_words_are_the_golden_words():
    for vector in VECTORS["words"]:
        key, subsequence = fn.stream(vector["seed"], vector["name"])
        start, golden = vector["start"], [int(word, 16) for word in vector["words"].split()]
        places = [np.uint64(start + i) for i in range(len(golden))]
        assert [fn.word(key, subsequence, w) for w in places] == golden
        first = -(-start // 4)
        block = fn.block(key, subsequence, np.uint64(first))
        assert list(block) == golden[4 * first - start :][:4]
        i = np.uint64(-(-start // 2))
        low, high = golden[2 * int(i) - start :][:2]
        assert fn.word64(key, subsequence, i) == low + (high << 32)


def test_elements_are_the_golden_values():
    for vector in VECTORS["values"]:
        entry = dict(vector["distribution"])
        kind = getattr(ref, entry.pop("kind"))
        given = {k: v if isinstance(v, bool) else float(v) for k, v in entry.items()}
        where = (vector["seed"], vector["name"], kind(**given), vector["start"], 13)
        values = loops.drawn(*where, vector["dtype"])
        width = 2 * values.itemsize
        text = " ".join(f"{pattern:0{width}x}" for pattern in bits(values).tolist())
        assert text == vector["values"], vector


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_the_references_over_extreme_words(dtype):
    words = words_for(dtype)
    for distribution, dtypes in CASES:
        if dtype in dtypes:
            theirs = ref.map_words(words, distribution, dtype)
            ours = loops.mapped(words, distribution, dtype)
            np.testing.assert_array_equal(bits(ours), bits(theirs), str(distribution))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", loops.HOSTILE)
def test_the_options_of_a_caller_change_no_bit(options, dtype):
    values, words = loops.under(options, loops._values), words_for(dtype)
    elements = loops.under(options, loops._elements)
    for distribution in FEW:
        theirs = ref.map_words(words, distribution, dtype)
        assert_same_bits(loops.mapped(words, distribution, dtype, values), theirs)
        where = (2**64 - 1, "w", distribution, 2**34 - 40, 100, dtype)
        assert_same_bits(loops.drawn(*where, elements), ref.values(*where))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parallel_loop_draws_the_same(dtype):
    where = (5, "w", ref.Truncated(1.0, 0.0, -1.0, 3.0), 7, 5000, dtype)
    ours = loops.drawn(*where, loops.fast_parallel_elements)
    assert_same_bits(ours, ref.values(*where))


@pytest.mark.parametrize("start", [0, 2**32 - 3, 2**34 - 700, 2**61 - 5, 2**61 + 1, 2**62])
@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_far_out_are_the_libraries(dtype, start):
    distribution = ref.Normal(0.5, 0.1)
    ours = loops.drawn(3, "h.0.bias", distribution, start, 1500, dtype)
    assert_same_bits(ours, ref.values(3, "h.0.bias", distribution, start, 1500, dtype))


def test_a_loop_over_blocks_makes_the_elements():
    out = np.empty(4000, np.float32)
    loops.blocks(out, fn.numbers("he_normal", (100, 40)), *fn.stream(9, "w"))
    assert_same_bits(out, fi.array((100, 40), "he_normal", seed=9, name="w").ravel())


@pytest.mark.parametrize(
    ("function", "distribution"),
    [
        (fn.uniform, ref.Uniform(-0.1, 0.7)),
        (fn.normal, ref.Normal(0.02)),
        (fn.clipped_normal, ref.Clipped(1.0, 0.0, -2.0, 2.0)),
        (fn.truncated_normal, ref.Truncated(1.0, 0.0, -1.0, 3.0)),
    ],
    ids=["uniform", "normal", "clipped", "truncated"],
)
def test_a_distribution_by_its_name_is_the_distribution(function, distribution):
    words = words_for("float32")[::97].copy()
    wide = words_for("float64").view(np.uint64)[::997].copy()
    for dtype, some in (("float32", words), ("float64", wide)):
        numbers = fn.numbers(loops.scheme_of(distribution), (8,), dtype=dtype)
        ours = np.array([function(numbers, w) for w in some], dtype)
        assert_same_bits(ours, ref.map_words(some.view(np.uint32), distribution, dtype))


def test_standard_draws_are_those_of_standard_distributions():
    for w in words_for("float32")[::97]:
        one = np.array([w])
        unit, bell = ref.Uniform(-1.0, 1.0), ref.Normal()
        assert fn.signed_uniform(w) == ref.map_words(one, unit, "float32")[0]
        assert fn.standard_normal(w) == ref.map_words(one, bell, "float32")[0]
    for w in words_for("float64").view(np.uint64)[::997]:
        pair = np.array([w]).view(np.uint32)
        assert fn.signed_uniform64(w) == ref.map_words(pair, unit, "float64")[0]
        assert fn.standard_normal64(w) == ref.map_words(pair, bell, "float64")[0]


def test_default_floats_is_the_one_that_fills_use():
    """Its effect is in test_numba_targets.py."""
    assert fn.default_floats is default_floats
