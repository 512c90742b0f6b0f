# SPDX-License-Identifier: MIT
"""What must hold of fastinit.numba in CUDA kernels, wherever they run.  No test; imports Numba.

Each check takes `launch(kernel, out, *arguments)`, which runs a plain function as a kernel: the
simulator's or that of `ptx.py`; and `step`, which thins out the words for a slow one.
"""

from __future__ import annotations

import json
from pathlib import Path

import cuda_kernels as kernels
import numba_loops as loops
import numpy as np
import reference as ref
from reference_logarithms import minus_log
from twins import assert_same_bits, bits, scheme_of, words_for

import fastinit as fi
import fastinit.numba as fn

DATA = Path(__file__).parent / "data"
INFINITY = float("inf")
FEW = [
    ref.Uniform(-0.1, 0.7),
    ref.Normal(0.02, 0.3),
    ref.Clipped(1.0, 0.0, -2.0, 2.0),
    ref.Truncated(1.0, 0.0, -2.0, 2.0),
    ref.Truncated(1.0, 0.0, -1.0, 3.0),
    ref.Constant(-0.1),
]
CASES = [
    *FEW,
    ref.Uniform(-1e-44, 1e-42),
    ref.Normal(1e-42),
    ref.Normal(1e-310),
    ref.Clipped(0.3, 10.0, -INFINITY, 0.5, corrected=True),
    ref.Truncated(1e-42, 0.0, -1.0, 2.0),
    ref.Truncated(1.0, 0.0, -8.0, -6.0),
    ref.Truncated(1.0, 0.0, -(2.0**-11), 2.0**-11),
    ref.Truncated(1.0, 0.0, -INFINITY, 0.5),
    ref.Truncated(1.0, 0.0, 13.0, 40.0),
    ref.Constant(-0.0),
]
"""Every kind, with scales, ends and results that are denormal."""


def _numbers(distribution, dtype):
    return fn.numbers(scheme_of(distribution), (8,), dtype=dtype)


def _storage(dtype):
    """The dtype in which a kernel stores: bits, for the narrow ones."""
    return f"u{ref.DTYPES[dtype].itemsize}" if dtype in loops.ROUNDINGS else dtype


def _thinned(dtype, step):
    """Words for `dtype`, and the same as kernels take them."""
    words = words_for(dtype)
    if dtype != "float64":
        few = np.ascontiguousarray(words[::step])
        return few, few
    wide = np.ascontiguousarray(words.view(np.uint64)[:: 8 * step])
    return wide.view(np.uint32), wide


def philox_has_the_known_answers(launch, step):
    for row in (DATA / "philox4x32_kat.txt").read_text().splitlines()[1:]:
        c = np.array([int(word, 16) for word in row.split()[2:]], np.uint32)
        out = np.zeros(4, np.uint32)
        launch(kernels.philox, out, c[:4].copy(), c[4:6].copy())
        assert_same_bits(out, c[6:])


def words_are_the_streams(launch, step):
    for seed, name, start in ((0, "w", 0), (2**64 - 1, "h.0.ü", 2**34 - 4), (3, "w", 2**61 + 8)):
        key, subsequence = fn.stream(seed, name)
        expected = ref.words(seed, name, start, 96)
        out = np.zeros(96, np.uint32)
        launch(kernels.words, out, key, subsequence, np.uint64(start))
        assert_same_bits(out, expected)
        launch(kernels.blocks, out, key, subsequence, np.uint64(start // 4))
        assert_same_bits(out, expected)
        wide = np.zeros(48, np.uint64)
        launch(kernels.wide_words, wide, key, subsequence, np.uint64(start // 2))
        assert_same_bits(wide.view(np.uint32), expected)


def values_of_extreme_words_are_the_references(launch, step, dtypes=tuple(ref.DTYPES)):
    for dtype in dtypes:
        words, given = _thinned(dtype, step)
        kernel = kernels.of_words(fn.value, loops.ROUNDINGS.get(dtype, kernels.same))
        for distribution in CASES:
            out = np.zeros(given.size, _storage(dtype))
            launch(kernel, out, _numbers(distribution, dtype), given)
            theirs = ref.map_words(words, distribution, dtype)
            np.testing.assert_array_equal(bits(out), bits(theirs), f"{distribution} {dtype}")


def elements_are_those_of_array(launch, step):
    shape = (20, 40)
    for dtype in ("float32", "float64"):
        for distribution in FEW:
            scheme = scheme_of(distribution)
            whole = fi.array(shape, scheme, seed=7, name="w", dtype=dtype).ravel()
            out = np.zeros(whole.size, dtype)
            given = fn.numbers(scheme, shape, dtype=dtype), *fn.stream(7, "w")
            launch(kernels.elements, out, *given, np.uint64(0))
            assert_same_bits(out, whole)


def elements_far_out_are_the_references(launch, step):
    for dtype in ("float32", "float64"):
        for start in (2**32 - 3, 2**34 - 70, 2**61 + 1, 2**62):
            distribution, seed, name = ref.Normal(0.5, 0.1), 3, "h.0.bias"
            out = np.zeros(150, dtype)
            given = _numbers(distribution, dtype), *fn.stream(seed, name), np.uint64(start)
            launch(kernels.elements, out, *given)
            assert_same_bits(out, ref.values(seed, name, distribution, start, 150, dtype))


def a_distribution_by_its_name_is_the_distribution(launch, step):
    functions = fn.uniform, fn.normal, fn.clipped_normal, fn.truncated_normal
    for dtype in ("float32", "float64"):
        words, given = _thinned(dtype, 8 * step)
        for function, distribution in zip(functions, FEW, strict=False):
            out = np.zeros(given.size, dtype)
            launch(kernels.of_words(function), out, _numbers(distribution, dtype), given)
            assert_same_bits(out, ref.map_words(words, distribution, dtype))


def standard_draws_are_those_of_standard_distributions(launch, step):
    unit, bell = ref.Uniform(-1.0, 1.0), ref.Normal()
    pairs = {
        "float32": ((fn.signed_uniform, unit), (fn.standard_normal, bell)),
        "float64": ((fn.signed_uniform64, unit), (fn.standard_normal64, bell)),
    }
    for dtype, several in pairs.items():
        words, given = _thinned(dtype, step)
        for function, distribution in several:
            out = np.zeros(given.size, dtype)
            launch(kernels.of_one(function), out, given)
            # A z of -0 becomes 0 in a tensor, where the mean is added.
            np.testing.assert_array_equal(out, ref.map_words(words, distribution, dtype))


def logarithms_are_the_references(launch, step):
    for dtype in ("float32", "float64"):
        x = np.frombuffer(np.random.default_rng(7).bytes(2**15), dtype)[::step]
        hard = [0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, float("nan"), 5e-324, 1e-310, 1e-40]
        x = np.concatenate([x, np.array(hard, dtype)])
        out, theirs = np.zeros_like(x), minus_log(x)
        launch(kernels.of_one(fn.minus_log), out, x)
        nan = np.isnan(theirs)
        assert nan.any()
        assert_same_bits(out[~nan], theirs[~nan])
        assert np.isnan(out[nan]).all()


def golden_logarithms(launch, step):
    for vector in json.loads((DATA / "logarithms.json").read_text("ascii"))["minus_log"]:
        dtype = np.dtype(vector["dtype"])
        x, golden = (
            np.array([int(word, 16) for word in vector[key].split()], f"u{dtype.itemsize}")
            for key in ("numbers", "values")
        )
        out = np.zeros(x.size, dtype)
        launch(kernels.of_one(fn.minus_log), out, x.view(dtype))
        np.testing.assert_array_equal(bits(out), golden)


def roundings_are_those_of_ml_dtypes_and_numpy(launch, step):
    upper = np.arange(2**16, dtype=np.uint32)[:: 3 * step] << np.uint32(16)
    lower = np.array([0, 1, 2**12, 2**13, 2**15 - 1, 2**15, 2**15 + 1, 0xFFFF], np.uint32)
    x = (upper[:, None] | lower).ravel().view(np.float32)
    for dtype, function in loops.ROUNDINGS.items():
        with np.errstate(all="ignore"):
            theirs = x.astype(ref.DTYPES[dtype])
        nan = np.isnan(theirs.astype(np.float32))
        out = np.zeros(x.size, _storage(dtype))
        launch(kernels.of_one(function), out, x)
        np.testing.assert_array_equal(out[~nan], bits(theirs)[~nan])
        assert np.isnan(out[nan].view(theirs.dtype).astype(np.float32)).all()


def float64_numbers_are_rounded_to_float32_first(launch, step):
    x = np.array([1.00390625, 1e-40, 1e-45, 1e-46, 3.5e38, 65520.0, 1 + 2.0**-9 + 2.0**-40])
    for dtype, function in loops.ROUNDINGS.items():
        with np.errstate(all="ignore"):
            theirs = x.astype(np.float32).astype(ref.DTYPES[dtype])
        nan = np.isnan(theirs.astype(np.float32))
        out = np.zeros(x.size, _storage(dtype))
        launch(kernels.of_one(function), out, x)
        np.testing.assert_array_equal(out[~nan], bits(theirs)[~nan])


CHECKS = [
    philox_has_the_known_answers,
    words_are_the_streams,
    values_of_extreme_words_are_the_references,
    elements_are_those_of_array,
    elements_far_out_are_the_references,
    a_distribution_by_its_name_is_the_distribution,
    standard_draws_are_those_of_standard_distributions,
    logarithms_are_the_references,
    golden_logarithms,
    roundings_are_those_of_ml_dtypes_and_numpy,
    float64_numbers_are_rounded_to_float32_first,
]
