# SPDX-License-Identifier: MIT
"""Mean and standard deviation of custom distributions: computed, stated, or an error that asks."""

from __future__ import annotations

import math

import pytest

pytestmark = pytest.mark.frameworks
numba = pytest.importorskip("numba")

import custom_laws as laws  # noqa: E402 - only with Numba
from made_up import defined  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.numba as fn  # noqa: E402


def moments(law):
    found = law.distribution((8,))
    return found.mean, found.std


@pytest.mark.parametrize(
    ("law", "mean", "std"),
    [
        (laws.laplace(scale=0.02), 0.0, 0.02 * math.sqrt(2)),
        (laws.ternary(scale=0.1), 0.0, 0.1 * math.sqrt(2 / 3)),
        (laws.exponential(rate=2), 0.5, 0.5),
        (laws.scaled(std=3), 0.0, 3.0),
        (laws.logarithmic(scale=5), 0.0, 5 * math.sqrt(2)),
        (laws.pareto(a=3), 1.5, math.sqrt(0.75)),
        (laws.pareto(a=2.6), 1.625, math.sqrt(2.6 / (1.6**2 * 0.6))),
        (laws.signs(size=0.25), 0.0, 0.25),
    ],
    ids=str,
)
def test_moments_are_exact(law, mean, std):
    """Those of ternary have the number 1/3 of the code, which float32 rounds: 3e-8."""
    found = moments(law)
    assert found[0] == pytest.approx(mean, rel=1e-6, abs=1e-12 * std)
    assert found[1] == pytest.approx(std, rel=1e-6 if "pareto" in str(law) else 3e-8)


def test_moments_of_smooth_functions_have_twelve_digits():
    assert moments(laws.laplace())[1] == pytest.approx(math.sqrt(2), rel=1e-12)
    assert moments(laws.exponential())[0] == pytest.approx(1.0, rel=1e-12)
    lognormal = fn.distribution(defined("def f(z, a=1.0): return math.exp(z * a)"))
    assert moments(lognormal(a=1))[0] == pytest.approx(math.exp(0.5), rel=1e-12)
    spread = math.sqrt((math.exp(1) - 1) * math.exp(1))
    assert moments(lognormal(a=1))[1] == pytest.approx(spread, rel=1e-12)


INFINITE = {
    "def f(u): return 1.0 / u": ("mean", "std"),
    "def f(s): return math.tan(s * (math.pi / 2))": ("mean", "std"),
    "def f(z): return math.exp(z * z * 0.3)": ("std",),
    "def f(z): return math.exp(z * z * 0.6)": ("mean", "std"),
    "def f(u): return u ** -0.6": ("std",),
    "def f(u): return (1.0 - u) ** -0.6": ("std",),
    "def f(u): return u ** -0.495": ("std",),
    "def f(u): return 1.0 / (u * math.log(u / 8.0))": ("mean", "std"),
    "def f(s): return 1.0 / s": ("mean", "std"),
    "def f(z): return 1.0 / z": ("mean", "std"),
    "def f(u): return 1.0 / (u - 0.3)": ("mean", "std"),
}
"""Functions, and the moments that are infinite, undefined, or in tails too heavy to be counted."""


@pytest.mark.parametrize("text", INFINITE)
def test_moments_that_do_not_exist_have_to_be_stated(text):
    law = fn.distribution(defined(text))().distribution((8,))
    for which in ("mean", "std"):
        if which in INFINITE[text]:
            words = (
                rf"^the {which} of made_up:f\(\) is not known: .*; state it, .*\({which}=\.\.\.\)$"
            )
            with pytest.raises(ValueError, match=words):
                getattr(law, which)
        else:
            assert math.isfinite(getattr(law, which))


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (laws.student(), "it has 2 draws, and quadrature takes one"),
        (fn.distribution(defined("def f(w): return w & 1"))(), "its draw is a raw word"),
        (laws.nowhere(), "some of its values are not finite"),
    ],
    ids=str,
)
def test_moments_that_quadrature_cannot_find_have_to_be_stated(law, words):
    with pytest.raises(ValueError, match=words):
        moments(law)


def test_stated_moments_are_numbers_or_functions_of_the_numbers():
    f = defined("def f(z, u, a=1.0, b=2.0): return z")
    law = fn.distribution(mean=3, std=lambda a, b: a * b)(f)
    assert moments(law(b=5)) == (3.0, 5.0)
    assert fn.distribution(f, std=math.inf)().distribution((8,)).std == math.inf
    for stated, error, words in (
        ("x", TypeError, "the mean stated for made_up:f is 'x': need a number"),
        ("0.5", TypeError, "the mean stated for made_up:f is '0.5': need a number"),
        (True, TypeError, "the mean stated for made_up:f is True: need a number"),
        (10**400, ValueError, "the mean stated for made_up:f is 10+.*: need a finite number"),
        (math.nan, ValueError, "the mean stated for made_up:f is nan"),
    ):
        with pytest.raises(error, match=words):
            fn.distribution(f, mean=stated)
        with pytest.raises(error, match=words):
            moments(fn.distribution(f, mean=lambda stated=stated, **_: stated)())
    for stated, error, words in ((lambda a: a, TypeError, "unexpected keyword"),):
        with pytest.raises(error, match=words):
            moments(fn.distribution(f, mean=stated)())
    with pytest.raises(ValueError, match=r"the std stated for made_up:f is -1\.0"):
        moments(fn.distribution(f, mean=0, std=-1)())


def test_moments_of_mapped_ones_follow():
    law = fi.schemes.mapped(laws.laplace(scale=2), "minimum(maximum(x, -1), 1)").distribution((3,))
    assert law.mean == pytest.approx(0, abs=1e-12)
    assert law.std == pytest.approx(math.sqrt(8 - 12 * math.exp(-0.5)), rel=1e-9)
