# SPDX-License-Identifier: MIT
"""The gallery against SciPy: Kolmogorov and Smirnov's distance, Pearson's chi-square, moments.

Each test fails by chance once in 1 / ALPHA = 10**6 seeds; the seeds are fixed.  FASTINIT_SAMPLES
says how many values each takes; 10**8 take most of an hour.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

from gallery_laws import CONTINUOUS, DISCRETE  # noqa: E402 - only with Numba
from scipy import special, stats  # noqa: E402

import fastinit as fi  # noqa: E402
from fastinit.numba import gallery  # noqa: E402

ALPHA = 1e-6
EDGES = 2**10
PART = 2**22
COUNT = int(os.environ.get("FASTINIT_SAMPLES", 10**6))
DTYPES = ("float32", "float64")


def parts(law, count, dtype):
    """The values of a tensor of `count` elements, a part at a time."""
    for start in range(0, count, PART):
        region = range(start, min(start + PART, count))
        yield fi.array((count,), law, seed=12, name="w", dtype=dtype, region=region)


def counts_between(edges, law, count, dtype):
    """How many values lie below the first edge, between it and the next, and so on."""
    found = np.zeros(len(edges) + 1, np.int64)
    for part in parts(law, count, dtype):
        found += np.bincount(np.searchsorted(edges, part), minlength=len(found))
    return found


def distance_p(law, theirs, count, dtype):
    """Kolmogorov and Smirnov's p, of the largest distance at any of many quantiles."""
    edges = theirs.ppf(np.arange(1, EDGES) / EDGES).astype(dtype)
    found = np.cumsum(counts_between(edges, law, count, dtype))[:-1] / count
    distance = np.abs(found - theirs.cdf(edges.astype(np.float64))).max()
    return float(special.kolmogorov(distance * math.sqrt(count)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_values_have_the_distribution_of_scipy(name, dtype, record_property):
    law, theirs = CONTINUOUS[name]
    p = distance_p(law, theirs, COUNT, dtype)
    record_property("p", p)
    assert p > ALPHA


def test_the_distance_finds_another_distribution():
    for name, other in [("laplace", 0.51), ("exponential", 0.255)]:
        law, theirs = CONTINUOUS[name]
        wrong = getattr(stats, theirs.dist.name)(scale=other)
        assert distance_p(law, wrong, 4 * 10**6, "float32") < ALPHA
        assert distance_p(law, theirs, 4 * 10**6, "float32") > ALPHA


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", DISCRETE)
def test_values_have_their_probabilities(name, dtype, record_property):
    law, rows = DISCRETE[name]
    values, chances = map(np.array, zip(*rows, strict=True))
    found = np.zeros(len(rows), np.int64)
    for part in parts(law, COUNT, dtype):
        places = np.searchsorted((values[1:] + values[:-1]) / 2, part)
        assert (np.abs(part - values.astype(dtype)[places]) <= 1e-7).all()
        found += np.bincount(places, minlength=len(rows))
    p = float(stats.chisquare(found, COUNT * chances).pvalue)
    record_property("p", p)
    assert p > ALPHA


MOMENTS = {
    **{name: law for name, (law, _) in CONTINUOUS.items() if name not in ("cauchy",)},
    **{name: law for name, (law, _) in DISCRETE.items()},
    "block_normal": gallery.block_normal(rows=1, columns=1, density=0.25, std=0.5),
    "sparse": gallery.spike_and_slab(share=0.125),
}
HEAVY = {"student_t 2.5"}  # no fourth moment: the sample's std does not settle


@pytest.mark.parametrize("name", MOMENTS)
def test_mean_and_std_are_those_of_the_values(name):
    """The mean within 5 standard errors; the std within 5, by the sample's fourth moment."""
    law = MOMENTS[name].distribution((10**6,))
    values = fi.array((10**6,), MOMENTS[name], seed=5, name="w", dtype="float64")
    assert abs(values.mean() - law.mean) < 5 * law.std / 1000
    if name not in HEAVY:
        squares = (values - law.mean) ** 2
        assert abs(squares.mean() - law.std**2) <= 5 * squares.std() / 1000


@pytest.mark.parametrize(
    ("law", "mean", "std"),
    [
        (gallery.laplace(scale=0.5), 0, math.sqrt(0.5)),
        (gallery.logistic(scale=3), 0, stats.logistic(scale=3).std()),
        (gallery.student_t(nu=3, scale=2), 0, stats.t(3, scale=2).std()),
        (gallery.exponential(scale=0.25), 0.25, 0.25),
        (gallery.lognormal(mu=-1, sigma=0.5), *(
            getattr(stats.lognorm(0.5, scale=math.exp(-1)), each)() for each in ("mean", "std")
        )),
        (gallery.kumaraswamy(a=2, b=5), 5 * special.beta(1.5, 5), math.sqrt(
            5 * special.beta(2, 5) - (5 * special.beta(1.5, 5)) ** 2
        )),
        (gallery.kumaraswamy(a=0.5, b=0.5), 0.5 * special.beta(3, 0.5), math.sqrt(
            0.5 * special.beta(5, 0.5) - (0.5 * special.beta(3, 0.5)) ** 2
        )),
        (gallery.normal_mixture(std=3, std2=4), 0, math.sqrt(12.5)),
        (gallery.spike_and_slab(std=2, share=0.25), 0, 1),
        (gallery.ternary(scale=2, threshold=0), 0, 2),
        (gallery.sign(scale=2), 0, 2),
        (gallery.quantised_uniform(low=0, high=3, levels=4), 1.5, math.sqrt(1.25)),
        (gallery.von_mises(kappa=0), 0, math.pi / math.sqrt(3)),
        (gallery.von_mises(kappa=1e4), 0, math.sqrt(1.0000500062528 / 1e4)),
        (gallery.block_mask(density=0.2, scale=5), 1, 2),
        (gallery.block_normal(density=0.25, std=2), 0, 1),
    ],
    ids=str,
)  # fmt: skip
def test_moments_are_those_of_the_formula(law, mean, std):
    found = law.distribution((64, 64))
    assert found.mean == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert found.std == pytest.approx(std, rel=1e-8)


@pytest.mark.parametrize("kappa", [0.3, 1, 7, 200])
def test_the_std_of_an_angle_is_the_integral(kappa):
    x = (np.arange(20_000) + 0.5) * math.pi / 20_000
    density = np.exp(kappa * (np.cos(x) - 1))
    square = (x * x * density).sum() / density.sum()
    found = gallery.von_mises(kappa=kappa).distribution((4,)).std
    assert found == pytest.approx(math.sqrt(square), rel=1e-8)


@pytest.mark.parametrize("nu", [0.5, 1, 2])
def test_moments_that_do_not_exist_are_errors(nu):
    law = gallery.student_t(nu=nu).distribution((4,))
    with pytest.raises(ValueError, match=rf"^with nu = {nu} it has no standard .* takes nu > 2$"):
        _ = law.std
    if nu <= 1:
        with pytest.raises(ValueError, match=rf"^with nu = {nu} it has no mean: that takes nu > 1"):
            _ = law.mean
    else:
        assert law.mean == 0
