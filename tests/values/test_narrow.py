# SPDX-License-Identifier: MIT
"""Narrow types: the float32 value rounded once, inside its interval, whatever the process set."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import reference as ref
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twins import (
    EXTREME_WORDS,
    INFINITY,
    assert_same_bits,
    library_map,
    map_numbers,
    scheme_of,
    words_for,
)

import fastinit as fi
from fastinit.numerics import dtypes
from fastinit.values.numbers import Numbers

NARROW = ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


def rounded(values, dtype):
    """float32 values as ml_dtypes or NumPy rounds them, float8 after clipping to its range."""
    if dtype.startswith("float8"):
        largest = float(ml_dtypes.finfo(ref.DTYPES[dtype]).max)
        values = np.clip(values, np.float32(-largest), np.float32(largest))
    return values.astype(ref.DTYPES[dtype])


def put_through(values, dtype):
    """Nonzero float32 values as the kernels round them; returns them in the same order.

    A uniform kernel makes x = s x scale of the word s x 2^7, where s is odd and below 2^24. Every
    float32 number but 0 is an odd s times a power of two: one call for each power.
    """
    significand, exponent = np.frexp(values)
    s = (significand * np.float32(2**24)).astype(np.int64)
    zeros = np.zeros(s.shape, np.int64)
    for shift in (16, 8, 4, 2, 1):
        even = (s & (2**shift - 1)) == 0
        s, zeros = np.where(even, s >> shift, s), zeros + np.where(even, shift, 0)
    power = exponent - 24 + zeros
    out = np.zeros(values.shape, ref.DTYPES[dtype])
    kind = dtypes.resolve(dtype)
    for one in np.unique(power):
        here = power == one
        scale, low, high = 2.0 ** int(one), -kind.largest, kind.largest
        numbers = Numbers("uniform", scale=scale, low=low, high=high)
        out[here] = map_numbers(numbers, dtype, (s[here] << 7).astype(np.uint32))
    return out


def around_every_rounding(dtype):
    """All finite numbers of a dtype, the midpoints between them, and their float32 neighbours."""
    numbers = ref.finite_numbers(dtype)
    middles = (numbers[1:] + numbers[:-1]) / 2
    exact = np.concatenate([numbers, middles]).astype(np.float32)
    near = [np.nextafter(exact, np.float32(side)) for side in (-np.inf, np.inf)]
    values = np.concatenate([exact, *near])
    return values[np.isfinite(values) & (values != 0)]


def test_the_helper_passes_float32_numbers_through_unharmed():
    values = np.concatenate([around_every_rounding("float8_e5m2"), [1e-45, -1e-40, 3e38]])
    assert_same_bits(put_through(values.astype(np.float32), "float32"), values.astype(np.float32))


@pytest.mark.parametrize("dtype", NARROW)
def test_every_number_tie_and_neighbour_rounds_to_nearest_even(isa, dtype):
    values = around_every_rounding(dtype)
    assert_same_bits(put_through(values, dtype), rounded(values, dtype))


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_saturates(isa, dtype):
    largest = float(ml_dtypes.finfo(ref.DTYPES[dtype]).max)
    values = np.float32([largest * x for x in (1.01, 1.0625, 1.07, 1.2, 2, 1e30)] + [3e38])
    values = np.concatenate([values, -values])
    assert (np.abs(put_through(values, dtype).astype(np.float64)) == largest).all()
    wide = library_map(EXTREME_WORDS, ref.Normal(largest), dtype).astype(np.float64)
    assert np.isfinite(wide).all()
    assert np.abs(wide).max() == largest


def smallest(dtype):
    return float(ref.finite_numbers(dtype)[ref.finite_numbers(dtype) > 0][0])


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_values_are_float32_values_rounded_once(isa, dtype):
    """Scales that make denormals and ties, means that sweep across the type's spacing."""
    words = np.concatenate([EXTREME_WORDS, ref.words(5, "narrow", 0, 2000)])
    least = smallest(dtype)
    stds = [least * x for x in (0.05, 0.3, 1.0, 7.0, 300.0)] + [0.02, 1.0, 50.0]
    means = [0.0, least * 0.5, -least * 1.5, 0.1, -1.0, 1.0 + 2.0**-9, 24.5]
    for std in stds:
        for mean in means:
            wide = library_map(words, ref.Normal(std, mean), "float32")
            narrow = library_map(words, ref.Normal(std, mean), dtype)
            assert_same_bits(narrow, rounded(wide, dtype))


@pytest.mark.parametrize("dtype", NARROW)
def test_a_constant_is_its_float32_value_rounded(dtype):
    middles = ref.finite_numbers(dtype)
    middles = ((middles[1:] + middles[:-1]) / 2)[:: max(1, len(middles) // 500)]
    for value in (*middles, *(middles * (1 + 2.0**-40)), 0.1, -1e-50, 0.0):
        filled = fi.array((3,), fi.constant(value), seed=0, name="w", dtype=dtype)
        twin = ref.map_words(np.zeros(3, np.uint32), ref.Constant(value), dtype)
        assert_same_bits(filled, twin)


# ---- intervals ----------------------------------------------------------------------------------

BOUNDS = st.one_of(
    st.floats(-400.0, 400.0),
    st.floats(-1e-5, 1e-5),
    st.integers(-40, 40).map(lambda n: n / 8),
)


def distribution_over(kind, low, high):
    """A distribution of `kind` whose interval is [low, high], or a little another by rounding."""
    if kind is ref.Uniform:
        return ref.Uniform(low, high)
    std = max((high - low) / 3, 1e-30)
    mean = low + std
    return kind(std, mean, (low - mean) / std, (high - mean) / std)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from([ref.Uniform, ref.Truncated, ref.Clipped]),
    st.sampled_from(list(ref.DTYPES)),
    BOUNDS,
    BOUNDS | st.floats(0, 1e-3),
)
def test_no_value_leaves_its_interval_by_rounding(kind, dtype, low, other):
    high = low + abs(other - low) if kind is ref.Uniform else low + abs(other)
    assume(low < high)
    distribution = distribution_over(kind, low, high)
    if kind is not ref.Uniform:
        assume(-5 < distribution.low < distribution.high < 5)
        assume(distribution.high - distribution.low > 0.01)
        low, high = (
            distribution.mean + b * distribution.std for b in (distribution.low, distribution.high)
        )
    try:
        ref.interval(distribution, dtype)
    except ValueError:
        with pytest.raises(ValueError, match=rf"no {dtype} number lies between .* or take a wider"):
            library_map(EXTREME_WORDS, distribution, dtype)
        return
    values = library_map(words_for(dtype), distribution, dtype)
    wide = values.astype(np.float64)
    assert wide.min() >= low
    assert wide.max() <= high
    assert_same_bits(values, ref.map_words(words_for(dtype), distribution, dtype))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", 1.0 + 2.0**-25, 1.0 + 2.0**-24),
        ("float16", 1.0001, 1.0002),
        ("bfloat16", 1.001, 1.002),
        ("float8_e4m3fn", 1.01, 1.1),
        ("float8_e5m2", 0.9, 0.99),
        ("float8_e5m2", 1e-9, 2e-9),
    ],
)
def test_an_interval_without_a_number_is_an_error(dtype, low, high):
    message = rf"^no {dtype} number lies between {low!r} and {high!r}: widen the interval"
    with pytest.raises(ValueError, match=message):
        fi.array((3,), fi.uniform(low, high), seed=0, name="w", dtype=dtype)
    scheme = fi.truncated_normal(std=1.0, low=low, high=high) if high - low > 2**-10 else None
    if scheme is not None:
        with pytest.raises(ValueError, match=rf"^no {dtype} number lies between"):
            fi.array((3,), scheme, seed=0, name="w", dtype=dtype)


@pytest.mark.parametrize("dtype", list(ref.DTYPES))
def test_bounds_go_to_the_outermost_numbers_inside(dtype):
    """Numbers, midpoints and their float64 neighbours, which float32 cannot tell from them."""
    numbers = np.concatenate([ref.finite_numbers("float8_e5m2"), [1e-46, 1e-40, 0.1, 1 / 3]])
    if dtype in NARROW:
        numbers = ref.finite_numbers(dtype)
    edges = np.concatenate([numbers, (numbers[1:] + numbers[:-1]) / 2])
    edges = edges[:: max(1, len(edges) // 4000)]
    bounds = [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)]
    kind, (least, largest) = dtypes.resolve(dtype), ref.inner(-INFINITY, INFINITY, dtype)
    for bound in np.concatenate(bounds):
        if least <= bound <= largest:
            assert kind.at_most(float(bound)) == ref.inner(-INFINITY, float(bound), dtype)[1]
            assert kind.at_least(float(bound)) == ref.inner(float(bound), INFINITY, dtype)[0]


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_a_float8_interval_saturates_unless_all_of_it_lies_beyond(isa, dtype):
    largest = ref.inner(-INFINITY, INFINITY, dtype)[1]
    for low, high in [(-2 * largest, 1.0), (largest, 3 * largest), (0.5, 1.01 * largest)]:
        values = library_map(EXTREME_WORDS, ref.Uniform(low, high), dtype)
        assert_same_bits(values, ref.map_words(EXTREME_WORDS, ref.Uniform(low, high), dtype))
        assert np.abs(values.astype(np.float64)).max() == largest
    for low, high in [(1.01 * largest, 2 * largest), (-3 * largest, -1.1 * largest)]:
        for distribution in (ref.Uniform(low, high), ref.Clipped(1.0, 0.0, low, high)):
            with pytest.raises(ValueError, match=rf"^no {dtype} number lies between"):
                library_map(EXTREME_WORDS, distribution, dtype)
            with pytest.raises(ValueError, match="in its interval"):
                ref.map_words(EXTREME_WORDS, distribution, dtype)


@pytest.mark.parametrize(
    ("dtype", "scheme", "message"),
    [
        (
            "float16",
            fi.normal(std=1e5),
            "normal can reach 640000, beyond float16's largest number 65504",
        ),
        (
            "float16",
            fi.normal(std=1.0, mean=7e4),
            "normal can reach 70006.4, beyond float16's largest number 65504",
        ),
        (
            "float16",
            fi.uniform(-1e5, 1.0),
            "uniform can reach 100000, beyond float16's largest number 65504",
        ),
        ("float16", fi.constant(7e4), "constant 70000.0 is not a float16 number"),
        (
            "float16",
            fi.truncated_normal(std=1e5, low=-1.0, high=1.0),
            "normal can reach 100000, beyond float16's largest number 65504",
        ),
        ("bfloat16", fi.normal(std=1e38), "normal can reach 6.4e+38, beyond bfloat16's"),
        ("float32", fi.normal(std=1e38), "normal can reach 6.4e+38, beyond float32's"),
        ("float64", fi.normal(std=1e308), "normal can reach inf, beyond float64's"),
        ("float8_e4m3fn", fi.constant(500.0), "constant 500.0 is not a float8_e4m3fn number"),
        ("float8_e5m2", fi.constant(1e6), "constant 1000000.0 is not a float8_e5m2 number"),
    ],
)
def test_values_beyond_the_largest_number_are_an_error(dtype, scheme, message):
    out = np.zeros(4, ref.DTYPES[dtype])
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        fi.fill(out, scheme, seed=0, name="w")
    assert str(raised.value).startswith(message)
    assert not out.view(np.uint8).any()


@pytest.mark.parametrize("dtype", list(ref.DTYPES))
@pytest.mark.parametrize("low", [6.5, 9.0, 9.5, 13.0])
def test_a_far_tail_without_end_can_be_drawn(dtype, low):
    """Its values reach as far as the words do, and no bound is infinite for them."""
    for bounds in [(low, INFINITY), (-INFINITY, -low)]:
        distribution = ref.Truncated(0.5, 0.0, *bounds)
        values = library_map(words_for(dtype), distribution, dtype)
        assert_same_bits(values, ref.map_words(words_for(dtype), distribution, dtype))


# ---- the floating-point environment -------------------------------------------------------------

HELPER = """
#include <fenv.h>
#include <xmmintrin.h>
void flush_denormals(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }
int round_upward(void) { return fesetround(FE_UPWARD); }
int round_to_zero(void) { return fesetround(FE_TOWARDZERO); }
int round_to_nearest(void) { return fesetround(FE_TONEAREST); }
unsigned state(void) { return _mm_getcsr() & 0xFFC0; }
"""

PROGRAM = """
import ctypes, hashlib, struct, sys, tempfile
import numpy as np
import fastinit as fi
from fastinit.backends.selection import active
from fastinit.numerics.dtypes import DTYPES
from fastinit.schemes.sampling import sampler

def isas():
    # Each instruction set in force, one after the other; Numba has one.
    if active().name != "native":
        yield active().name
        return
    from fastinit.backends import instruction_sets
    for isa in instruction_sets.available():
        yield instruction_sets.select(isa)
from fastinit.values.stream import Stream

helper, mode, scales = ctypes.CDLL(sys.argv[1]), sys.argv[2], sys.argv[3]
schemes = [
    fi.normal(std=1e-39), fi.normal(std=1e-42), fi.normal(std=0.1, mean=0.3),
    fi.uniform(-1e-40, 2e-40), fi.uniform(-0.1, 0.7), fi.constant(1e-40), fi.constant(0.1),
    fi.truncated_normal(std=1e-39, low=-1.0, high=2.0), fi.truncated_normal(std=0.1),
    fi.truncated_normal(std=0.1, low=6.0, high=8.0), fi.clipped_normal(std=0.1, corrected=True),
    fi.truncated_normal(std=0.1, low=-1.3, high=2.7, corrected=True), fi.he_normal(),
]
dtypes = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


def set_mode():
    if mode != "as_it_was":
        getattr(helper, mode)()


def samplers():
    for scheme in schemes:
        for dtype in dtypes:
            yield scheme, sampler(scheme, (50, 61), Stream(1, "w"), DTYPES[dtype])


def texts():
    names = ["normal(std=1/3)", "normal(std=0.02/sqrt(2*12))", "normal(std=1e-310)", "normal(0.1)"]
    for name in names:
        scheme = fi.scheme(name)
        yield scheme, [struct.pack("d", value) for _, value in scheme.arguments]
        yield struct.pack("d", scheme.distribution((3, 5)).std)
    yield fi.plan("gpt2").digest, [str(tensor.scheme) for tensor in fi.plan("gpt2")]
    plan = fi.Plan([fi.Tensor(f"w{n}", (7, n), fi.he_normal(), "float64") for n in range(1, 60)])
    with tempfile.TemporaryDirectory() as folder:
        fi.write(plan, folder, seed=1)
        fi.verify(folder)
        yield hashlib.sha256(open(folder + "/model.safetensors", "rb").read()).hexdigest()


if scales == "made before":
    made = list(samplers())
    set_mode()
else:
    set_mode()
    made = list(samplers())
before = helper.state()
for text in texts():
    print(text)
for scheme, source in made:
    for isa in isas():
        out = np.empty(50 * 61 * source.dtype.size, np.uint8)
        source.draw(out, 0)
        print(scheme, source.dtype.name, isa, hashlib.sha256(out.tobytes()).hexdigest())
assert helper.state() == before, "fastinit changed the floating-point environment"
"""


@pytest.fixture(scope="module")
def helper(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("cc: no C compiler to make the helper with")
    folder = tmp_path_factory.mktemp("helper")
    (folder / "helper.c").write_text(HELPER)
    build = [compiler, "-O1", "-shared", "-fPIC", "-o", folder / "helper.so", folder / "helper.c"]
    subprocess.run([*build, "-lm"], check=True)
    return folder / "helper.so"


def digests(helper, mode, scales="made before"):
    command = [sys.executable, "-c", PROGRAM, str(helper), mode, scales]
    root = Path(__file__).parents[2]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.fixture(scope="module")
def undisturbed(helper):
    return digests(helper, "as_it_was")


MODES = ["flush_denormals", "round_upward", "round_to_zero"]


@pytest.mark.parametrize("mode", MODES)
def test_no_floating_point_mode_changes_a_bit_that_is_drawn(helper, undisturbed, mode):
    assert digests(helper, mode) == undisturbed


@pytest.mark.parametrize("mode", MODES)
def test_no_floating_point_mode_changes_a_scale(helper, undisturbed, mode):
    assert digests(helper, mode, "made after") == undisturbed


def test_scales_below_the_least_denormal_make_zeros_with_a_sign(isa):
    values = library_map(EXTREME_WORDS, ref.Normal(1e-60), "float32")
    assert not values.any()
    assert math.copysign(1, values[-1]) == 1.0  # 0 x z + 0 is +0
    assert scheme_of(ref.Normal(1e-60)).distribution((2,)).std == 1e-60
