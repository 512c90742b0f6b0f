# SPDX-License-Identifier: MIT
"""Linear algebra: orthogonality, an explicit reference, Haar's distribution, the spectral norm.

The bounds of 6 standard errors fail for one seed in 5 x 10^8, the Kolmogorov-Smirnov tests for one
in 10^6. All seeds are literals, so nothing here fails now and then.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastinit.numerics import linalg
from fastinit.numerics.linalg import CHECK, PANEL, haar, spectral_norm

EMPTY = [(0, 0), (0, 3), (3, 0)]
SHAPES = [
    *[(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (2, 3), (1, 1000), (1000, 1), (17, 17), (64, 64)],
    *[(PANEL - 1, PANEL - 1), (PANEL, PANEL), (PANEL + 1, PANEL), (PANEL, PANEL + 1)],
    *[(PANEL + 1, PANEL + 1), (1100, 100), (100, 1100), (600, 513), (513, 600), (1024, 1024)],
]
NORM_SHAPES = [s for s in SHAPES if s != (1024, 1024)] + [(n, n) for n in (CHECK, CHECK + 1)]
DTYPES = ["float32", "float64"]
ORTHOGONAL = {"float32": 2e-6, "float64": 1e-14}
NORM = {"float32": 1e-6, "float64": 1e-10}
SAMPLES = 5_000


def gaussian(shape, dtype="float64", seed=7):
    """The same normals for both dtypes: rounded to float32."""
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32).astype(dtype)


def from_identity(q):
    """The largest element of |Q'Q - I|, or of |QQ' - I| for a wide Q, in float64."""
    q = q.astype(np.float64)
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    return abs(gram - np.eye(len(gram))).max(initial=0)


def reflection(x, below):
    """The reflection that turns x into a multiple of the first axis, the sign opposite to x_0's."""
    unit = x / np.linalg.norm(x)
    target = np.zeros(len(x))
    target[0] = -np.copysign(1, x[0])
    normal = unit - target
    whole = np.eye(below + len(x))
    whole[below:, below:] -= 2 * np.outer(normal, normal) / (normal @ normal)
    return whole, target[0]


def reference(normals):
    """H_0 H_1 ... [I; 0] times the signs, each reflection written out as a square matrix."""
    if normals.shape[0] < normals.shape[1]:
        return reference(normals.T).T
    rows, columns = normals.shape
    product = np.eye(rows)
    signs = []
    for k in range(columns):
        matrix, sign = reflection(normals[k:, k], k)
        product = product @ matrix
        signs.append(sign)
    return product[:, :columns] * np.array(signs)


# ---- Haar: the matrix ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + EMPTY)
def test_the_shorter_side_is_orthonormal(shape, dtype):
    q = haar(gaussian(shape, dtype))
    assert q.shape == shape
    assert q.dtype == dtype
    assert from_identity(q) <= ORTHOGONAL[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("size", [4096, pytest.param(8192, marks=pytest.mark.long)])
def test_large_matrices_are_orthogonal(size):
    q = haar(gaussian((size, size), "float32"))
    assert from_identity(q) <= ORTHOGONAL["float32"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 2), (7, 7), (40, 23), (23, 40)])
def test_it_is_the_product_of_the_reflections(shape):
    normals = gaussian(shape)
    np.testing.assert_allclose(haar(normals), reference(normals), rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(24, 24), (25, 24), (24, 25), (60, 31), (31, 60), (33, 33)])
def test_blocks_are_the_product_of_the_reflections_too(shape, monkeypatch):
    monkeypatch.setattr(linalg, "PANEL", 8)
    monkeypatch.setattr(linalg, "PANEL_ROWS", 6)
    normals = gaussian(shape)
    np.testing.assert_allclose(haar(normals), reference(normals), rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(600, 513), (513, 600)])
def test_the_size_of_a_block_only_changes_the_rounding(shape, monkeypatch):
    expected = haar(gaussian(shape))
    monkeypatch.setattr(linalg, "PANEL", 100)
    np.testing.assert_allclose(haar(gaussian(shape)), expected, rtol=0, atol=1e-14)


def test_the_first_column_is_that_of_the_normals():
    normals = gaussian((300, 290))
    first = normals[:, 0] / np.linalg.norm(normals[:, 0])
    np.testing.assert_allclose(haar(normals)[:, 0], first, rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_float64_rounded_a_few_times(shape):
    wide = haar(gaussian(shape, "float64"))
    np.testing.assert_allclose(haar(gaussian(shape, "float32")), wide, rtol=0, atol=1e-6)


@pytest.mark.parametrize("number", [-2.0, 3.0, 1e-30])
def test_a_single_number_leaves_its_sign(number):
    assert haar(np.array([[number]])) == np.sign(number)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_normals_give_the_same_bits(dtype):
    normals = gaussian((300, 270), dtype)
    kept = normals.copy()
    q = haar(normals)
    assert np.array_equal(normals, kept)
    assert np.array_equal(haar(np.asfortranarray(normals)), q)
    assert np.array_equal(haar(normals[::-1][::-1]), q)


@pytest.mark.parametrize("shape", [(300, 270), (270, 300)])
def test_a_result_may_take_the_place_of_the_normals(shape):
    normals = gaussian(shape)
    q, out = haar(normals), np.empty_like(normals)
    assert haar(normals, out=out) is out
    assert haar(normals, out=normals) is normals
    assert np.array_equal(out, q)
    assert np.array_equal(normals, q)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (300, 300)])
def test_zeros_give_the_identity(shape, dtype):
    assert np.array_equal(haar(np.zeros(shape, dtype)), np.eye(*shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tiny", [0.0, -0.0, 1e-40, -1e-200, 5e-324])
def test_columns_of_next_to_nothing_do_no_harm(tiny, dtype):
    normals = gaussian((300, 290), dtype)
    normals[:, 3] = tiny
    normals[270:, 270] = tiny
    assert from_identity(haar(normals)) <= ORTHOGONAL[dtype]


def test_what_haar_cannot_take_is_refused():
    with pytest.raises(ValueError, match=r"normals is of shape \(3,\): need two axes"):
        haar(np.zeros(3))
    with pytest.raises(TypeError, match="normals is of dtype float16: need float32 or float64"):
        haar(np.zeros((3, 3), np.float16))
    with pytest.raises(ValueError, match=r"out is of shape \(3, 2\), normals of \(2, 3\)"):
        haar(np.zeros((2, 3)), out=np.zeros((3, 2)))
    with pytest.raises(TypeError, match="out is of dtype float32, normals of float64"):
        haar(np.zeros((2, 3)), out=np.zeros((2, 3), np.float32))


# ---- Haar: the distribution ---------------------------------------------------------------------


def many(shape, seed):
    return np.array([haar(normals) for normals in gaussian((SAMPLES, *shape), seed=seed)])


@pytest.fixture(scope="module")
def square():
    return many((4, 4), seed=2024)


def mean_is(values, expected):
    return abs(values.mean() - expected) < 6 * values.std() / np.sqrt(len(values))


def entry(size):
    """An element of a Haar-distributed matrix: 2 x - 1, x of Beta((size - 1)/2, (size - 1)/2)."""
    half = (size - 1) / 2
    return stats.beta(half, half, loc=-1, scale=2)


def test_every_element_has_the_distribution_of_a_coordinate_on_the_sphere(square):
    for values in square.reshape(SAMPLES, -1).T:
        assert stats.kstest(values, entry(4).cdf).pvalue > 1e-6


@pytest.mark.parametrize("shape", [(5, 2), (2, 5)])
def test_elements_of_rectangles_have_it_too(shape):
    for values in many(shape, seed=5).reshape(SAMPLES, -1).T:
        assert stats.kstest(values, entry(5).cdf).pvalue > 1e-6


def test_products_of_elements_have_their_moments(square):
    """n = 4: E a^2 b^2 is 1/24 within a row, 5/72 for neither row nor column shared; E a b = 0."""
    a, b, c, d = square[:, 2, 1], square[:, 2, 3], square[:, 0, 3], square[:, 0, 1]
    assert mean_is(a * b, 0)
    assert mean_is(a * c, 0)
    assert mean_is(a**2 * b**2, 1 / 24)
    assert mean_is(a**2 * c**2, 5 / 72)
    assert mean_is(a * b * c * d, -1 / 72)


def test_traces_have_the_moments_of_a_normal(square):
    """E tr = 0, E tr^2 = 1, E tr^4 = 3 and E tr(Q^2) = 1 (Diaconis, Shahshahani 1994)."""
    traces = np.trace(square, axis1=1, axis2=2)
    assert mean_is(traces, 0)
    assert mean_is(traces**2, 1)
    assert mean_is(traces**4, 3)
    assert mean_is(np.trace(square @ square, axis1=1, axis2=2), 1)


def test_half_of_them_are_rotations(square):
    determinants = np.linalg.det(square)
    np.testing.assert_allclose(abs(determinants), 1, atol=1e-12)
    assert mean_is(np.sign(determinants), 0)


def test_a_rotated_one_is_as_likely(square):
    fixed = stats.ortho_group.rvs(4, random_state=3)
    first, second = square[: SAMPLES // 2], square[SAMPLES // 2 :]
    for turned in (fixed @ second, second @ fixed):
        for q, p in zip(first.reshape(-1, 16).T, turned.reshape(-1, 16).T, strict=True):
            assert stats.ks_2samp(q, p).pvalue > 1e-6


def test_eigenangles_are_spread_as_those_of_scipy():
    ours = np.angle(np.linalg.eigvals(many((6, 6), seed=11)))
    peer = np.angle(np.linalg.eigvals(stats.ortho_group.rvs(6, size=SAMPLES, random_state=12)))
    for statistic in (lambda x: abs(x).min(axis=1), lambda x: np.median(abs(x), axis=1)):
        assert stats.ks_2samp(statistic(ours), statistic(peer)).pvalue > 1e-6


# ---- spectral norm ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", NORM_SHAPES)
def test_the_spectral_norm_is_the_largest_singular_value(shape, dtype):
    matrix = gaussian(shape, dtype)
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[0]
    assert spectral_norm(matrix) == pytest.approx(expected, rel=NORM[dtype], abs=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(4))
def test_the_spectral_norm_of_larger_matrices(seed, dtype):
    matrix = gaussian((2048, 2048), dtype, seed)
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[0]
    assert spectral_norm(matrix) == pytest.approx(expected, rel=NORM[dtype], abs=0)


def test_many_small_spectral_norms():
    for seed in range(100):
        matrix = gaussian((30, 20), seed=seed)
        assert spectral_norm(matrix) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-10, abs=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*EMPTY, (1, 1), (1, 9), (9, 1), (300, 200)])
def test_the_spectral_norm_of_nothing_is_zero(shape, dtype):
    assert spectral_norm(np.zeros(shape, dtype)) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_spectral_norm_of_special_matrices(dtype):
    column, row = gaussian((300, 1), dtype), gaussian((1, 200), dtype, seed=8)
    rank_one = np.linalg.norm(column) * np.linalg.norm(row)
    assert spectral_norm(column * row) == pytest.approx(rank_one, rel=NORM["float32"])
    assert spectral_norm(np.eye(50, dtype=dtype)) == pytest.approx(1, rel=1e-10)
    assert spectral_norm(haar(gaussian((200, 100), dtype))) == pytest.approx(1, rel=1e-6)
    twice = np.diag(np.minimum(np.arange(300), 290)).astype(dtype)
    assert spectral_norm(twice) == pytest.approx(290, rel=NORM[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_spectral_norm_scales(scale, dtype):
    matrix = gaussian((200, 150), dtype)
    scaled = spectral_norm(matrix * np.dtype(dtype).type(scale))
    assert scaled == pytest.approx(spectral_norm(matrix) * scale, rel=NORM[dtype], abs=0)


def test_the_spectral_norm_is_that_of_the_transpose_and_the_same_each_time():
    matrix = gaussian((500, 300))
    assert spectral_norm(matrix) == spectral_norm(matrix)
    assert spectral_norm(matrix.T) == pytest.approx(spectral_norm(matrix), rel=1e-12)
    assert spectral_norm(matrix[::2, ::3]) == pytest.approx(np.linalg.norm(matrix[::2, ::3], 2))


def test_what_the_spectral_norm_cannot_take_is_refused():
    with pytest.raises(ValueError, match=r"matrix is of shape \(2, 2, 2\): need two axes"):
        spectral_norm(np.zeros((2, 2, 2)))
    with pytest.raises(TypeError, match="matrix is of dtype int64: need float32 or float64"):
        spectral_norm(np.zeros((3, 3), np.int64))
