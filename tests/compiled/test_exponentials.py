# SPDX-License-Identifier: MIT
"""exp, expm1, cos_turns, sin_turns, arctan and sign_and_tail: the page's bits, and how accurate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mpmath import atan, expm1, mp, mpf
from mpmath import exp as exact_exp

pytestmark = pytest.mark.frameworks
numba = pytest.importorskip("numba")

import numba_loops as loops  # noqa: E402 - only with Numba
from reference_exponentials import FUNCTIONS, sign_and_tail  # noqa: E402
from twins import assert_same_bits  # noqa: E402

import fastinit.numba as fn  # noqa: E402

VECTORS = json.loads((Path(__file__).parents[1] / "data/exponentials.json").read_text("ascii"))
ROWS = VECTORS["rows"]
WIDTH = {"float32": 4, "float64": 8}


def floats_of(text, dtype):
    return np.array([int(word, 16) for word in text.split()], f"u{WIDTH[dtype]}").view(dtype)


def mapped(name, x, **options):
    """The function over an array, in a loop with these options."""
    function = getattr(fn, name)

    @numba.njit(**options)
    def run(out, x):
        for i in range(x.size):
            out[i] = function(x[i])

    out = np.empty_like(x)
    run(out, x)
    return out


@pytest.mark.parametrize("options", [None, *loops.HOSTILE])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['function']}-{row['dtype']}")
def test_values_are_the_golden_ones(row, options):
    """Whatever the options of the caller; NaNs have any bits."""
    if row["function"] in ("sign", "tail"):
        w = floats_of(row["numbers"], row["dtype"]).view(f"u{WIDTH[row['dtype']]}")
        found = np.array(
            [fn.sign_and_tail(each)[row["function"] == "tail"] for each in w], row["dtype"]
        )
        assert_same_bits(found, floats_of(row["values"], row["dtype"]))
        return
    x, golden = (floats_of(row[key], row["dtype"]) for key in ("numbers", "values"))
    assert x.size > 100
    found = mapped(row["function"], x, **(loops.HOSTILE[options] if options else {}))
    nan = np.isnan(golden)
    assert_same_bits(found[~nan], golden[~nan])
    assert np.isnan(found[nan]).all()


@pytest.mark.parametrize("dtype", WIDTH)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_the_references_for_any_bits(name, dtype):
    random = np.random.default_rng(7)
    x = np.frombuffer(random.bytes(2**19), dtype)
    more = random.normal(0, [[1.0], [30.0]], (2, 2**15)).reshape(-1).astype(dtype)
    x = np.concatenate([x, more])
    ours, theirs = mapped(name, x), FUNCTIONS[name](x)
    nan = np.isnan(theirs)
    assert nan.any()
    assert_same_bits(ours[~nan], theirs[~nan])
    assert np.isnan(ours[nan]).all()


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_signs_and_tails_are_the_references(kind):
    w = np.frombuffer(np.random.default_rng(7).bytes(2**18), kind)

    @numba.njit(fastmath=True)
    def run(sign, tail, w):
        for i in range(w.size):
            sign[i], tail[i] = fn.sign_and_tail(w[i])

    real = f"f{w.itemsize}"
    sign, tail = np.empty(w.size, real), np.empty(w.size, real)
    run(sign, tail, w)
    for ours, theirs in zip((sign, tail), sign_and_tail(w), strict=True):
        assert_same_bits(ours, theirs)
    assert tail.min() > 0
    assert tail.max() < 1


LARGEST = 709.78
SWEEPS = {
    "exp": (exact_exp, np.linspace(-708, LARGEST, 4001), 1.0),
    "expm1": (expm1, np.linspace(-45, LARGEST, 4001), 2.0),
    "cos_turns": (lambda v: mp.cospi(2 * v), np.linspace(-1.3, 1.3, 4001), 2.0),
    "sin_turns": (lambda v: mp.sinpi(2 * v), np.linspace(-1.3, 1.3, 4001), 2.0),
    "arctan": (atan, np.linspace(-3, 3, 4001), 2.5),
}
SMALL = np.concatenate([sign * 10.0 ** np.linspace(-30, 0, 800) for sign in (1, -1)])


@pytest.mark.parametrize("dtype", WIDTH)
@pytest.mark.parametrize("name", SWEEPS)
def test_values_are_as_near_as_their_help_says(name, dtype):
    exact, sweep, places = SWEEPS[name]
    x = np.concatenate([sweep, SMALL]).astype(dtype)
    if dtype == "float32":
        x, places = x[np.abs(x) < 80], 0.5001
    ours = mapped(name, x)
    mp.prec = 160
    for number, value in zip(x.tolist(), ours.tolist(), strict=True):
        right = exact(mpf(number))
        place = mpf(float(np.spacing(np.dtype(dtype).type(abs(float(right))))))
        assert abs(mpf(value) - right) <= places * place, number


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_numbers_of_every_size_are_within_half_a_place(name):
    """Against NumPy's float64 functions, which are right to 2 of float64's places."""
    twins = {
        "exp": np.exp,
        "expm1": np.expm1,
        "arctan": np.arctan,
        "cos_turns": lambda v: np.cos(2 * np.pi * (v - np.rint(v))),
        "sin_turns": lambda v: np.sin(2 * np.pi * (v - np.rint(v))),
    }
    for part in range(2**7):
        bits = np.arange(part << 25, (part + 1) << 25, 61, dtype=np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        x = x[np.isfinite(x)]
        with np.errstate(all="ignore"):
            right = twins[name](x.astype(np.float64))
            ours = mapped_once(name, x)
            finite = np.isfinite(ours) & (np.abs(right) < 3.4e38)
            error = np.abs(ours[finite].astype(np.float64) - right[finite])
            place = np.spacing(np.abs(right[finite]).astype(np.float32)).astype(np.float64)
        assert (error <= 0.5001 * place + 4e-16).all()


_COMPILED = {}


def mapped_once(name, x):
    """As `mapped`, compiled once."""
    if name not in _COMPILED:
        function = getattr(fn, name)

        @numba.njit
        def run(out, x):
            for i in range(x.size):
                out[i] = function(x[i])

        _COMPILED[name] = run
    out = np.empty_like(x)
    _COMPILED[name](out, x)
    return out


def test_float32_stays_float32_and_whole_numbers_are_taken():
    narrow = np.float32(0.3)
    for name in FUNCTIONS:
        function = getattr(fn, name)
        assert function(narrow) == float(np.float32(function(float(narrow))))
        assert function(1) == function(1.0)
