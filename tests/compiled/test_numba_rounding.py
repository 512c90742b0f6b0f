# SPDX-License-Identifier: MIT
"""Roundings to the narrow dtypes and logarithms, over the whole range of their arguments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import numba_loops as loops  # noqa: E402 - only with Numba
import reference as ref  # noqa: E402
from mpmath import mp, mpf  # noqa: E402
from reference_logarithms import minus_log  # noqa: E402
from twins import assert_same_bits, bits  # noqa: E402

import fastinit.numba as fn  # noqa: E402

VECTORS = Path(__file__).parents[1] / "data" / "logarithms.json"
LOGARITHMS = json.loads(VECTORS.read_text("ascii"))["minus_log"]


def float32_numbers():
    """All upper halves, each with the lower halves at which some rounding decides."""
    upper = np.arange(2**16, dtype=np.uint32) << np.uint32(16)
    lower = [0, 1, 2**11, 2**12 - 1, 2**12, 2**12 + 1, 2**13, 2**15 - 1, 2**15, 2**15 + 1, 0xFFFF]
    return (upper[:, None] | np.array(lower, np.uint32)).ravel().view(np.float32)


@pytest.mark.parametrize("dtype", loops.ROUNDINGS)
def test_roundings_are_those_of_ml_dtypes_and_numpy(dtype):
    x = float32_numbers()
    ours = loops.rounded(x, dtype)
    with np.errstate(all="ignore"):
        theirs = x.astype(ref.DTYPES[dtype])
    nan = np.isnan(theirs.astype(np.float32))
    assert 0 < nan.sum() < x.size / 2
    np.testing.assert_array_equal(bits(ours)[~nan], bits(theirs)[~nan])
    assert np.isnan(ours[nan].astype(np.float32)).all()


def test_a_fastmath_caller_rounds_alike():
    x = float32_numbers()
    fast = loops.numba.njit(fastmath=True)(loops.rounding_loop(fn.to_float8_e5m2).py_func)
    out = np.empty(x.size, np.uint8)
    fast(out, x)
    np.testing.assert_array_equal(out, bits(loops.rounded(x, "float8_e5m2")))


def floats_of(text, dtype):
    width = np.dtype(dtype).itemsize
    return np.array([int(word, 16) for word in text.split()], f"u{width}").view(dtype)


@pytest.mark.parametrize("vector", LOGARITHMS, ids=lambda vector: vector["dtype"])
@pytest.mark.parametrize("options", [None, *loops.HOSTILE])
def test_minus_log_is_the_golden_one(vector, options):
    x, golden = (floats_of(vector[key], vector["dtype"]) for key in ("numbers", "values"))
    assert x.size > 200
    run = loops.under(options, loops._logarithms) if options else loops.logarithms
    out = np.empty_like(x)
    run(out, x)
    assert_same_bits(out, golden)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_minus_log_is_the_references_for_any_bits(dtype):
    random = np.random.default_rng(7)
    x = np.frombuffer(random.bytes(2**20), dtype)
    x = np.concatenate([x, random.random(2**16).astype(dtype)])
    ours, theirs = np.empty_like(x), minus_log(x)
    loops.logarithms(ours, x)
    nan = np.isnan(theirs)
    assert nan.any()
    assert_same_bits(ours[~nan], theirs[~nan])
    assert np.isnan(ours[nan]).all()


@pytest.mark.parametrize(("dtype", "places"), [("float32", 0.94), ("float64", 3.0)])
def test_minus_log_is_the_logarithm_within_what_its_help_says(dtype, places):
    x = np.concatenate([np.linspace(2.0**-20, 2.0, 3001), 2.0 ** np.linspace(-120, 120, 999)])
    x = x.astype(dtype)
    ours = np.empty_like(x)
    loops.logarithms(ours, x)
    mp.prec = 120
    for number, value in zip(x.tolist(), ours.tolist(), strict=True):
        exact = -mp.log(mpf(number))
        place = float(np.spacing(np.dtype(dtype).type(abs(exact))))
        assert abs(mpf(value) - exact) <= places * place


def test_minus_log_takes_whole_numbers_and_has_the_type_of_its_argument():
    assert fn.minus_log(1) == 0.0
    assert fn.minus_log(3) == fn.minus_log(3.0) < -1.09
    narrow = np.float32(0.3)
    assert fn.minus_log(narrow) == float(np.float32(fn.minus_log(narrow)))
    assert fn.minus_log(narrow) != fn.minus_log(float(narrow))
