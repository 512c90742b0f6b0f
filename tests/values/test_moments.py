# SPDX-License-Identifier: MIT
"""Measuring elements: against sums in exact or long arithmetic, on every dtype and odd content."""

from __future__ import annotations

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinit.backends import instruction_sets
from fastinit.backends.selection import active
from fastinit.numerics.dtypes import DTYPES
from fastinit.numerics.moments import PART, joined, measure_array, unit_for

NAMES = list(DTYPES)
BLOCK = 2**12  # MEASURE_BLOCK of src_c/kernels/measure.h
SIZES = [1, 2, 31, 32, 33, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]
OTHER_FLOATS = ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e8m0fnu
# Sums of narrow types are float32 over 128 elements.
TOLERANCE = dict.fromkeys(NAMES, 3e-6) | {"float64": 1e-12}


def part_of(values, unit=1.0):
    """What the backend in force finds in an array of one of our dtypes."""
    part = np.zeros(1, PART)
    part["unit"] = unit
    dtype = DTYPES[values.dtype.name]
    active().measure(part["measured"], values.view(np.uint8), dtype, unit)
    return part


def scaled_part(values):
    """The same in the unit that its extremes ask for."""
    part = part_of(values)
    found = part["measured"][0]
    unit = unit_for(float(found["low"]), float(found["high"])) if found["finite"] else 1.0
    return part if unit == 1.0 else part_of(values, unit)


def exact(values):
    """Mean, variance, kurtosis and norm in long double, in units of the largest magnitude."""
    unit = float(np.abs(values).max()) or 1.0
    x = values.astype(np.longdouble) / np.longdouble(unit)
    mean = x.sum() / x.size
    d = x - mean
    variance = (d**2).sum() / x.size
    kurtosis = (d**4).sum() / x.size / variance**2 if variance > 0 else math.nan
    norm = np.sqrt((x**2).sum())
    return float(mean) * unit, float(np.sqrt(variance)) * unit, float(kurtosis), float(norm) * unit


def check(found, values, tolerance):
    """Compare moments with those of an array that may hold anything."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    assert found.count == wide.size
    assert found.nans == np.isnan(wide).sum()
    assert found.infinities == np.isinf(wide).sum()
    assert found.zeros == (wide == 0).sum()
    if finite.size == 0:
        numbers = found.mean, found.std, found.low, found.high, found.norm, found.kurtosis
        assert all(map(math.isnan, numbers))
        return
    assert (found.low, found.high) == (finite.min(), finite.max())
    mean, std, kurtosis, norm = exact(finite)
    size = norm / math.sqrt(finite.size)
    assert found.mean == pytest.approx(mean, rel=tolerance, abs=tolerance * size)
    assert found.norm == pytest.approx(norm, rel=tolerance)
    if finite.min() == finite.max():
        assert found.std == 0
        assert math.isnan(found.kurtosis)
    else:
        assert found.std == pytest.approx(std, rel=tolerance)
        assert found.kurtosis == pytest.approx(kurtosis, rel=100 * tolerance)


def normals(count, mean=0.0, std=1.0):
    return np.random.default_rng(count).normal(mean, std, count)


CONTENTS = {
    "normal": lambda n: normals(n),
    "small": lambda n: normals(n, 0, 0.02),
    "far from 0": lambda n: normals(n, 100, 3),
    "near 1": lambda n: normals(n, 1, 0.01),
    "negative": lambda n: -np.abs(normals(n)) - 0.5,
    "positive": lambda n: np.abs(normals(n)) + 0.5,
    "heavy tails": lambda n: normals(n) ** 5,
    "sparse": lambda n: normals(n) * (np.arange(n) % 3 == 0),
    "two values": lambda n: np.where(np.arange(n) % 7, 0.25, -2.0),
    "a jump": lambda n: np.where(np.arange(n) < 300, 0.0, normals(n, 3, 0.1)),
    "zeros": np.zeros,
    "negative zeros": lambda n: -np.zeros(n),
    "constant": lambda n: np.full(n, 0.3),
    "one outlier": lambda n: np.where(np.arange(n) == n // 2, 40.0, normals(n, 0, 0.01)),
    "NaN": lambda n: np.full(n, math.nan),
    "some NaN": lambda n: np.where(np.arange(n) % 5, normals(n), math.nan),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", CONTENTS)
def test_moments_are_those_of_long_arithmetic(name, content):
    for size in SIZES:
        values = CONTENTS[content](size).astype(DTYPES[name].numpy)
        check(joined(scaled_part(values)), values, TOLERANCE[name])


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("exponent", [-1074, -1040, -600, -149, -133, -60, -24, 24, 60, 127, 700])
def test_no_power_overflows_or_vanishes(name, exponent):
    dtype = DTYPES[name]
    largest, least = dtype.largest, dtype.least
    if not least <= 2.0**exponent < largest / 16:
        return
    wide = np.ldexp(normals(5000).clip(-8, 8), exponent)
    values = wide.astype(dtype.numpy)
    check(joined(scaled_part(values)), values, TOLERANCE[name])


@pytest.mark.parametrize("name", [name for name in NAMES if DTYPES[name].size <= 2])
@pytest.mark.parametrize("repeats", [1, 9])
def test_every_code_is_read_as_its_number(name, repeats):
    dtype = DTYPES[name]
    codes = np.tile(np.arange(2 ** (8 * dtype.size)), repeats).astype(dtype.words)
    check(joined(scaled_part(codes.view(dtype.numpy))), codes.view(dtype.numpy), 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_infinities_of_both_signs_are_counted_apart(name):
    values = normals(5000).astype(DTYPES[name].numpy)
    if name == "float8_e4m3fn":  # has none
        return
    values[::7], values[1::5] = math.inf, -math.inf
    part = part_of(values)["measured"][0]
    wide = values.astype(np.float64)
    assert list(part["infinities"]) == [(wide == math.inf).sum(), (wide == -math.inf).sum()]
    check(joined(part_of(values)), values, TOLERANCE[name])


def test_the_largest_numbers_have_a_standard_deviation():
    """A rounding up would be beyond float64, and no element is so far away."""
    largest = np.finfo(np.float64).max
    found = joined(scaled_part(np.tile([largest, -largest], 500)))
    assert (found.mean, found.std) == (0.0, largest)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_element_counts_wherever_it_lies_in_a_block(name, sign):
    values = np.full(BLOCK, sign * 0.5).astype(DTYPES[name].numpy)
    for place in range(BLOCK):
        odd = values.copy()
        odd[place], odd[place - 1111], odd[place - 2222] = -2, 4, -sign * 0.0
        found = part_of(odd)["measured"][0]
        assert (found["low"], found["high"], found["zeros"]) == (-2, 4, 1)
        odd = values.copy()
        odd[place], odd[place - 1111] = sign * 0.25, sign
        found = part_of(odd)["measured"][0]
        assert (found["low"], found["high"]) == tuple(sorted([sign * 0.25, sign * 1.0]))
        odd[place] = math.nan
        assert list(part_of(odd)["measured"][0])[:3] == [BLOCK - 1, 0, 1]


def test_nothing_has_no_moments():
    found = joined(np.zeros(0, PART))
    assert (found.count, found.zeros, found.finite) == (0, 0, 0)
    assert math.isnan(found.mean)
    assert math.isnan(found.norm)


@pytest.mark.native
@pytest.mark.parametrize("name", NAMES)
def test_every_instruction_set_gives_the_same_bits(name):
    now = instruction_sets.active()
    values = [make(70_001).astype(DTYPES[name].numpy) for make in CONTENTS.values()]
    found = {}
    try:
        for isa in instruction_sets.available():
            instruction_sets.select(isa)
            found[isa] = [part_of(array).tobytes() for array in values]
    finally:
        instruction_sets.select(now)
    assert len(set(map(tuple, found.values()))) == 1


@pytest.mark.native
@pytest.mark.parametrize("name", NAMES)
def test_numpy_finds_the_same_to_rounding(name):
    for make in CONTENTS.values():
        values = make(9001).astype(DTYPES[name].numpy)
        part = np.zeros(1, PART)
        part["unit"] = 1.0
        measure_array(values, 1.0, part["measured"])
        check(joined(part), values, 1e-12)


@settings(deadline=None)
@given(
    cuts=st.lists(st.integers(0, 9000), max_size=6),
    name=st.sampled_from(NAMES),
    content=st.sampled_from(list(CONTENTS)),
)
def test_parts_of_any_size_join_to_the_whole(cuts, name, content):
    values = CONTENTS[content](9000).astype(DTYPES[name].numpy)
    edges = sorted({0, 9000, *cuts})
    parts = [scaled_part(values[a:b]) for a, b in itertools.pairwise(edges)]
    check(joined(np.concatenate(parts)), values, TOLERANCE[name])
    texts = {str(joined(np.concatenate(rows))) for rows in (parts, parts[::-1])}  # NaN is not NaN
    assert len(texts) == 1


def test_parts_in_other_units_are_joined():
    tiny, large = np.array([1e-300, 3e-300]), np.array([1e300, 2e300])
    parts = np.concatenate([scaled_part(tiny), scaled_part(large)])
    assert len(set(parts["unit"])) == 2
    check(joined(parts), np.concatenate([tiny, large]), 1e-12)


@pytest.mark.parametrize(
    "kind",
    [
        np.bool_,
        np.int8,
        np.uint8,
        np.int16,
        np.uint32,
        np.int64,
        np.uint64,
        ml_dtypes.float8_e4m3fnuz,
        ml_dtypes.float8_e5m2fnuz,
        ml_dtypes.float8_e8m0fnu,
    ],
)
def test_numpy_measures_other_numbers(kind):
    values = np.random.default_rng(0).integers(0, 255, 70_000).astype(np.uint8)
    values = values.view(kind) if np.dtype(kind).itemsize == 1 else values.astype(kind)
    values = (values != 0) if kind is np.bool_ else values
    part = np.zeros(1, PART)
    part["unit"] = 1.0
    measure_array(values, 1.0, part["measured"])
    check(joined(part), values, 1e-12)


@pytest.mark.native
def test_the_border_refuses_what_does_not_fit():
    from fastinit.backends import _native

    room = np.zeros(1, PART)["measured"]
    for wrong in ((room, bytes(6), 0), (room, bytes(8), 99), (np.zeros(8, np.uint8), bytes(8), 0)):
        with pytest.raises(ValueError, match="bytes are not elements of dtype code"):
            _native.measure(*wrong)
    with pytest.raises(ValueError, match="argument outside its range"):
        _native.measure(room, bytes(8), 0, -1.0)
