# SPDX-License-Identifier: MIT
"""Statistics: moments, distributions, tails and independence, for fixed seeds.

A bound of 6 standard errors fails for one seed in 5 x 10^8; the Kolmogorov-Smirnov tests fail for
one in 10^6. All seeds are literals, so nothing here fails now and then.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import reference as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr
from twins import INFINITY, bits, scheme_of

import fastinit as fi
from fastinit.numerics import gaussian

COUNT = 4_000_000


def sample(distribution, *, count=COUNT, seed=2024, name="statistics", dtype="float32"):
    scheme = scheme_of(distribution)
    return fi.array((count,), scheme, seed=seed, name=name, dtype=dtype).astype(np.float64)


# ---- what is expected ---------------------------------------------------------------------------


def between(low, high):
    """The chance of a standard normal between two arrays of bounds, from the smaller tails."""
    above = low > 0
    return ndtr(np.where(above, -low, high)) - ndtr(np.where(above, -high, low))


def masses(d, edges):
    """The chance that a value before rounding lies between neighbouring edges."""
    if isinstance(d, ref.Uniform):
        return np.diff(np.clip((edges - d.low) / (d.high - d.low), 0, 1))
    z = (edges - d.mean) / d.std
    if not isinstance(d, ref.Truncated):
        return between(z[:-1], z[1:])
    z = np.clip(z, d.low, d.high)
    return between(z[:-1], z[1:]) / between(np.float64(d.low), np.float64(d.high))


def support(d):
    if isinstance(d, ref.Uniform):
        return d.low, d.high
    low, high = (d.low, d.high) if isinstance(d, ref.Clipped) else (-9.0, 9.0)
    return d.mean + low * d.std, d.mean + high * d.std


def expected_points(d, dtype):
    """(value, chance) of every value: exact for narrow types, 2^18 cells stand for the others."""
    low, high = support(d)
    if dtype in ("float32", "float64"):
        values = np.linspace(low, high, 2**18 + 1)
    else:
        values = ref.finite_numbers(dtype)
        low, high = ref.inner(low, high, dtype)
        values = values[(values >= low) & (values <= high)]
    edges = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    return values, masses(d, edges)


DISTRIBUTIONS = [
    ref.Uniform(-0.3, 0.5),
    ref.Normal(1.0, 0.25),
    ref.Clipped(1.0, 0.25, -1.5, 1.0),
    ref.Truncated(1.0, 0.0, -2.0, 2.0),
    ref.Truncated(0.5, 0.0, -1.0, 3.0),
    ref.Truncated(1.0, 0.0, 3.0, 5.0),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
@pytest.mark.parametrize("dtype", list(ref.DTYPES))
def test_mean_variance_skewness_and_kurtosis_are_the_exact_ones(dtype, distribution):
    values, chances = expected_points(distribution, dtype)
    assert math.isclose(chances.sum(), 1.0, rel_tol=1e-9)
    mean = chances @ values
    std = math.sqrt(chances @ (values - mean) ** 2)
    moments = [chances @ ((values - mean) / std) ** n for n in range(9)]
    z = (sample(distribution, dtype=dtype) - mean) / std
    power = np.ones_like(z)
    for n in range(1, 5):
        power *= z
        error = math.sqrt((moments[2 * n] - moments[n] ** 2) / COUNT)
        assert abs(power.mean() - moments[n]) <= 6 * error, f"moment {n}"


@pytest.mark.parametrize(
    ("distribution", "theirs"),
    [
        (ref.Normal(0.02, 0.0), stats.norm(0.0, 0.02)),
        (ref.Normal(2.0, -1.0), stats.norm(-1.0, 2.0)),
        (ref.Uniform(-0.1, 0.3), stats.uniform(-0.1, 0.4)),
        (ref.Truncated(0.5, 0.0, -2.0, 2.0), stats.truncnorm(-2, 2, 0, 0.5)),
        (ref.Truncated(1.0, 0.5, -1.0, 3.0), stats.truncnorm(-1, 3, 0.5, 1.0)),
        (ref.Truncated(1.0, 0.0, 0.0, 1.0), stats.truncnorm(0, 1)),
        (ref.Truncated(1.0, 0.0, -8.0, -6.0), stats.truncnorm(-8, -6)),
        (ref.Truncated(1.0, 0.0, 3.0, INFINITY), stats.truncnorm(3, np.inf)),
    ],
    ids=lambda d: str(d) if isinstance(d, ref.Distribution) else "",
)
def test_values_pass_the_kolmogorov_smirnov_test(distribution, theirs):
    for dtype in ("float32", "float64"):
        values = sample(distribution, count=200_000, dtype=dtype)
        assert stats.kstest(values, theirs.cdf, method="asymp").pvalue > 1e-6


def test_as_many_values_lie_beyond_3_4_and_5_sigma_as_should():
    count = 2**26
    z = fi.array((count,), fi.normal(), seed=9, name="tails")
    for bound in (3.0, 4.0, 5.0):
        chance = stats.norm.sf(bound)
        for beyond in (np.count_nonzero(z > bound), np.count_nonzero(z < -bound)):
            assert abs(beyond - count * chance) <= 6 * math.sqrt(count * chance)


def correlation(x, y):
    """In standard errors."""
    return np.mean(x * y) * math.sqrt(len(x))


def test_streams_of_other_names_and_seeds_are_uncorrelated():
    places = [
        (0, "w"),
        (0, "w2"),
        (0, "W"),
        (0, ""),
        (1, "w"),
        (2, "w"),
        (2**32, "w"),
        (2**63, "w"),
    ]
    streams = [sample(ref.Normal(), count=500_000, seed=s, name=n) for s, n in places]
    for x, y in itertools.combinations(streams, 2):
        assert abs(correlation(x, y)) < 6
        assert abs(correlation((x**2 - 1) / math.sqrt(2), (y**2 - 1) / math.sqrt(2))) < 6


def test_neighbours_in_a_stream_are_uncorrelated():
    x = sample(ref.Normal(), count=2_000_000, name="lags")
    for lag in [*range(1, 9), 16, 64, 128, 512, 1024]:
        y, z = x[lag:], x[:-lag]
        assert abs(correlation(y, z)) < 6
        assert abs(correlation((y**2 - 1) / math.sqrt(2), (z**2 - 1) / math.sqrt(2))) < 6


# ---- scales -------------------------------------------------------------------------------------

BOUNDS = [(-2.0, 2.0), (-1.0, 3.0), (-3.0, 0.5), (0.0, 1.0), (1.0, INFINITY), (-8.0, -6.0)]


def std_error(values):
    """The standard error of a sample's standard deviation."""
    centred = values - values.mean()
    return math.sqrt((np.mean(centred**4) / values.var() - values.var()) / len(values)) / 2


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    # Clipped to [-8, -6] nearly every value is -6, and no sample tells the std.
    [(ref.Truncated, *bounds) for bounds in BOUNDS] + [(ref.Clipped, *b) for b in BOUNDS[:-1]],
)
def test_corrected_reaches_the_std_asked_for(kind, low, high):
    values = sample(kind(0.02, 0.0, low, high, corrected=True), count=1_000_000)
    assert abs(values.std() - 0.02) <= 6 * std_error(values)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_uncorrected_has_the_std_that_the_moments_say(low, high):
    mean, std = gaussian.truncated_moments(low, high)
    values = sample(ref.Truncated(1.0, 0.0, low, high), count=1_000_000)
    assert abs(values.std() - std) <= 6 * std_error(values)
    assert abs(values.mean() - mean) <= 6 * std / 1000
    drawn = fi.truncated_normal(0.5, mean=3.0, low=low, high=high).distribution((4,))
    assert math.isclose(drawn.mean, 3.0 + 0.5 * mean, rel_tol=1e-15)
    assert math.isclose(drawn.std, 0.5 * std, rel_tol=1e-15)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.floats(-39.5, 39.5))
def test_tails_are_the_references_to_the_last_bit(x):
    assert gaussian.tail(x) == ref.tail(x) / ref.ONE


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.floats(-14.0, 14.0), st.floats(2.0**-10, 20.0))
def test_masses_and_moments_are_the_references_to_the_last_bit(low, width):
    high = low + width
    assert gaussian.mass(low, high) == (ref.tail(low) - ref.tail(high)) / ref.ONE
    truncated, clipped = (kind(1.0, 0.0, low, high) for kind in (ref.Truncated, ref.Clipped))
    assert gaussian.truncated_moments(low, high)[1] == ref.spread(truncated)
    assert gaussian.clipped_moments(low, high)[1] == ref.spread(clipped)


@pytest.mark.parametrize(("low", "high"), [(-2, 2), (-1, 3), (-3, 0.5), (0, 1), (-0.1, 0.2)])
def test_moments_are_scipys_where_scipy_is_accurate(low, high):
    mean, std = gaussian.truncated_moments(low, high)
    theirs = stats.truncnorm(low, high)
    assert math.isclose(mean, theirs.mean(), rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(std, theirs.std(), rel_tol=1e-9)


@pytest.mark.parametrize("low", [3.0, 6.0, 9.0, 13.0])
@pytest.mark.parametrize("width", [2.0**-10, 0.1, 1.0, 4.0])
def test_moments_in_far_tails_are_those_of_a_quadrature(low, width):
    """With x = low + u the density is proportional to exp(-low u - u^2 / 2): nothing cancels."""
    nodes, weights = np.polynomial.legendre.leggauss(120)
    u = (nodes + 1) * width / 2
    chances = weights * np.exp(-low * u - u * u / 2)
    chances /= chances.sum()
    mean = chances @ u
    std = math.sqrt(chances @ (u - mean) ** 2)
    for sign, bounds in [(1, (low, low + width)), (-1, (-low - width, -low))]:
        ours = gaussian.truncated_moments(*bounds)
        assert math.isclose(ours[0], sign * (low + mean), rel_tol=1e-13)
        assert math.isclose(ours[1], std, rel_tol=1e-11)


def test_a_sample_of_every_dtype_is_the_float32_sample_rounded():
    wide = fi.array((1000,), fi.normal(), seed=1, name="w")
    half = fi.array((1000,), fi.normal(), seed=1, name="w", dtype="float16")
    np.testing.assert_array_equal(bits(half), bits(wide.astype(np.float16)))
