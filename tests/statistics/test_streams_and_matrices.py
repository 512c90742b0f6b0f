# SPDX-License-Identifier: MIT
"""Correlations of many streams and singular values: fastinit's, and planted defects.

A test fails once in 10**7 for values that are as they should be; all seeds are fixed.
"""

from __future__ import annotations

import cases
import correlations
import numpy as np
import pytest
import spectra
from run import RATE
from scipy import stats

import fastinit as fi
from fastinit.values.draws import stream_of
from fastinit.values.stream import Stream

SIDE = 200


def normals(*shape):
    return np.random.default_rng(16).standard_normal(shape)


def failed(results):
    return {one.test for one in results if one.fails(RATE)}


# ---- correlations of streams --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", correlations.FAMILIES)
def test_a_thousand_streams_are_uncorrelated(family):
    rows = correlations.FAMILIES[family]()
    assert rows.shape == (correlations.STREAMS, correlations.VALUES)
    assert not failed(correlations.judged(rows))


def test_the_rows_of_a_family_are_its_streams():
    streams = [Stream(3, "w"), stream_of(Stream(3, "w"), 2)]
    rows = correlations.normals(streams, [0, 4], 6)
    np.testing.assert_array_equal(rows[0], fi.array((6,), fi.normal(std=1), seed=3, name="w"))
    again = correlations.normals([stream_of(Stream(3, "w"), 2)], [0], 10)[0]
    np.testing.assert_array_equal(rows[1], again[4:])
    assert not np.any(rows[0] == rows[1])


def test_streams_without_a_defect_pass():
    assert not failed(correlations.judged(normals(100, 1024)))


def two_that_agree(rows):
    rows[7] += 0.4 * rows[12]


def a_common_part(rows):
    rows += 0.08 * rows[0].copy()


def mixed_pairs(rows):
    """Many small correlations of either sign."""
    rows[:] += 0.05 * normals(len(rows), len(rows)) @ rows / np.sqrt(len(rows)) * 3


def orthogonal(rows):
    rows[:] = np.linalg.qr(rows.T)[0].T


@pytest.mark.parametrize(
    ("test", "plant"),
    [
        ("greatest correlation", two_that_agree),
        ("mean", a_common_part),
        ("mean square", mixed_pairs),
        ("greatest correlation", orthogonal),
    ],
)
def test_a_correlation_is_noticed(test, plant):
    rows = normals(100, 1024)
    plant(rows)
    assert test in failed(correlations.judged(rows))


# ---- singular values ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_singular_values_follow_marchenko_and_pastur(dtype):
    assert not failed(spectra.judged(cases.CASES[f"fastinit normal {dtype}"], 1024))


def test_a_matrix_without_a_defect_passes():
    assert not failed(spectra.spectrum(normals(SIDE, SIDE)))


def a_row_twice(x):
    x[5] = x[77]


def one_direction(x):
    x += 3 / np.sqrt(SIDE)


def a_wrong_scale(x):
    x *= 1.06


def rows_of_two_scales(x):
    x[::2] *= 1.2
    x[1::2] *= np.sqrt(2 - 1.2**2)


def near_rows(x):
    x[1::2] = 0.7 * x[::2] + np.sqrt(1 - 0.7**2) * x[1::2]


def flat(x):
    x[:] = np.linalg.qr(x)[0] * np.sqrt(SIDE)


@pytest.mark.parametrize(
    ("test", "plant"),
    [
        ("smallest", a_row_twice),
        ("largest", one_direction),
        ("moments", a_wrong_scale),
        ("moments", rows_of_two_scales),
        ("log det", near_rows),
        ("n D", near_rows),
        ("smallest", flat),
        ("n D", flat),
    ],
)
def test_a_structure_is_noticed(test, plant):
    x = normals(SIDE, SIDE)
    plant(x)
    assert test in failed(spectra.spectrum(x))


@pytest.mark.slow
def test_p_values_are_uniform_for_independent_elements():
    generator, found = np.random.default_rng(17), {}
    for _ in range(100):
        for one in spectra.spectrum(generator.standard_normal((200, 200))):
            found.setdefault(one.test, []).append(one.p)
    del found["n D"]
    for test, p in found.items():
        assert stats.kstest(p, "uniform").pvalue > 1e-5, test
