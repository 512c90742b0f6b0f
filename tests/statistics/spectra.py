# SPDX-License-Identifier: MIT
"""The singular values of a large square matrix of normals, against random matrix theory.

With X of shape (n, n), the eigenvalues of X X^T / n follow Marchenko and Pastur's law on [0, 4].
How far they may be from it is known: sums over all eigenvalues are normal, and the extreme ones
have limit distributions.
"""

from __future__ import annotations

import math

import numpy as np
from cases import PIECE, Case
from laws import Array
from p_values import Result, upper_tail
from scipy import special, stats

DEGREES = 8
"""Chebyshev polynomials whose sums over the eigenvalues are tested."""

GREATEST_DISTANCE = 8.0

TRACY_WIDOM = stats.gamma(46.446, loc=-9.84801, scale=0.186054)
"""Tracy and Widom's distribution of order 1, as Chiani approximates it (2014, arXiv:1209.3394)."""


def matrix(case: Case, side: int) -> Array:
    """A matrix of values in standard units, of shape (side, side)."""
    pieces = range(-(-(side**2) // PIECE))
    values = np.concatenate([case.draw(case, piece).astype(np.float64) for piece in pieces])
    return ((values[: side**2] - case.expected.mean) / case.expected.std).reshape(side, side)


def judged(case: Case, side: int) -> list[Result]:
    """Tests of one matrix."""
    return spectrum(matrix(case, side))


def spectrum(x: Array) -> list[Result]:
    """Tests of the singular values of a matrix whose elements have mean 0 and variance 1."""
    eigenvalues = np.linalg.eigvalsh(x @ x.T / len(x)).clip(1e-300)
    return [
        shape(eigenvalues),
        distance(eigenvalues),
        largest(eigenvalues),
        smallest(eigenvalues),
        determinant(eigenvalues),
    ]


def shape(eigenvalues: Array) -> Result:
    """Sums of Chebyshev polynomials T_k(lambda / 2 - 1), each asymptotically normal.

    Their means are -n / 2 for k = 1, and 0 for others, plus (1 + (-1)^k) / 4; their variances are
    k / 2 (Bai and Silverstein, Annals of Probability 32, 2004).
    """
    k = np.arange(1, DEGREES + 1)
    angles = np.arccos(np.clip(eigenvalues / 2 - 1, -1, 1))
    beyond = np.arccosh(np.maximum(eigenvalues / 2 - 1, 1))
    values = np.cos(np.outer(k, angles)) * np.cosh(np.outer(k, beyond))
    mean = np.where(k == 1, -len(eigenvalues) / 2, 0) + (1 + (-1.0) ** k) / 4
    statistic = float(np.sum((values.sum(axis=1) - mean) ** 2 / (k / 2)))
    return Result("moments", statistic, float(stats.chi2.sf(statistic, DEGREES)))


def distance(eigenvalues: Array) -> Result:
    """n times the largest difference from Marchenko and Pastur's distribution function.

    Eigenvalues repel each other: it grows as log n only.  The bound is twice the largest of 400
    matrices of 128 rows and not a quantile, so this test has no known failure rate.
    """
    n, angle = len(eigenvalues), np.arccos(np.clip(eigenvalues / 2 - 1, -1, 1))
    f = 1 - (angle - np.sin(angle)) / math.pi
    after = np.arange(1, n + 1)
    statistic = float(max(np.max(after - n * f), np.max(n * f - after + 1)))
    return Result("n D", statistic, float(statistic < GREATEST_DISTANCE), both_sides=False)


def largest(eigenvalues: Array) -> Result:
    """The largest eigenvalue, scaled (Johnstone, Annals of Statistics 29, 2001)."""
    n = len(eigenvalues)
    root = math.sqrt(n - 1) + math.sqrt(n)
    scale = root * (1 / math.sqrt(n - 1) + 1 / math.sqrt(n)) ** (1 / 3)
    statistic = float((n * eigenvalues[-1] - root**2) / scale)
    return Result("largest", statistic, float(TRACY_WIDOM.sf(statistic)))


def smallest(eigenvalues: Array) -> Result:
    """n^2 times the smallest eigenvalue (Edelman, SIAM J. Matrix Anal. Appl. 9, 1988)."""
    statistic = float(len(eigenvalues) ** 2 * eigenvalues[0])
    return Result("smallest", statistic, math.exp(-(statistic / 2 + math.sqrt(statistic))))


def determinant(eigenvalues: Array) -> Result:
    """log det X X^T: a sum of logs of independent chi-squares, 1 to n degrees (Bartlett)."""
    n = len(eigenvalues)
    half = np.arange(1, n + 1) / 2
    mean = float(np.sum(special.digamma(half)) + n * math.log(2))
    spread = math.sqrt(np.sum(special.polygamma(1, half)))
    statistic = float(np.sum(np.log(eigenvalues)) + n * math.log(n)) - mean

    def log_characteristic(t: Array) -> Array:
        total = np.zeros(t.shape, complex)
        for one in half:
            total += special.loggamma(one + 1j * t) - special.loggamma(one)
        return total + 1j * t * (n * math.log(2) - mean)

    return Result("log det", statistic / spread, upper_tail(statistic, log_characteristic, spread))
