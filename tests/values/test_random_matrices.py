# SPDX-License-Identifier: MIT
"""Random matrices: sparse, orthogonal and spectral ones against the reference, and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference as ref
import reference_matrices as matrices
from fills import DTYPES, SEED, made, same, sampler_of
from scipy import stats

import fastinit as fi
from fastinit.backends import selection

STREAM = (SEED, "w")
NARROW = [dtype for dtype in DTYPES if dtype not in ("float32", "float64")]
RELATIVE = {"float32": 1e-5, "float64": 1e-12}  # how well linear algebra is met, of the gain


def flipped(shape):
    """The shape (out, in, *kernel) in JAX's and Keras's layout."""
    return (*shape[2:], shape[1], shape[0])


LAYOUTS = [("torch", tuple), ("jax", flipped), ("keras", flipped)]

# --- sparse ----------------------------------------------------------------------------------

SPARSE_SHAPES = [(0, 5), (5, 0), (1, 1), (1, 9), (9, 1), (13, 7), (61, 30)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SPARSE_SHAPES)
def test_sparse_is_the_references(shape, dtype):
    for sparsity in (0, 0.1, 1 / 3, 0.9, 1):
        found = made(shape, fi.sparse(sparsity, std=0.5), dtype=dtype)
        assert same(found, matrices.sparse(STREAM, shape, sparsity, 0.5, dtype))


def test_the_zeros_of_sparse_are_those_of_every_dtype_and_the_rest_are_normals():
    zeros = matrices.sparse_zeros(STREAM, (61, 30), 0.3)
    for dtype in DTYPES:
        found = made((61, 30), fi.sparse(0.3, std=0.5), dtype=dtype)
        assert not found[zeros].astype(float).any()
        assert same(found[~zeros], made((61, 30), fi.normal(0.5), dtype=dtype)[~zeros])


@pytest.mark.parametrize("drawn", [1, 50, 10**6])
@pytest.mark.parametrize("near", [1, 23, 4096])
@pytest.mark.parametrize("block", [1, 50, 200, 10**6])
def test_the_number_of_words_looked_at_together_leaves_no_trace(monkeypatch, block, near, drawn):
    expected = made((41, 23), fi.sparse(0.4))
    for name, number in [("TOGETHER", block), ("NEAR", near), ("DRAWN", drawn)]:
        monkeypatch.setattr(f"fastinit.values.matrices.sparse.{name}", number)
    assert same(made((41, 23), fi.sparse(0.4)), expected)
    assert same(made((41, 23), fi.sparse(0.4), region=np.s_[1:, 3:5]), expected[1:, 3:5])


@pytest.mark.parametrize("different", [1, 2, 5])
def test_among_equal_words_of_a_column_the_upper_rows_are_zero(monkeypatch, different):
    def few_words(out, start):
        i = start - 2**63 + np.arange(out.size)
        out[:] = i * i // 7 % different * 1000

    def the_same_words(seed, name, start, count):
        out = np.empty(count, np.uint32)
        few_words(out, start)
        return out

    backend = type(selection.active())
    monkeypatch.setattr(backend, "words", lambda self, out, start, stream: few_words(out, start))
    monkeypatch.setattr("fastinit.values.matrices.sparse.TOGETHER", 100)
    monkeypatch.setattr(ref, "words", the_same_words)
    for zeros in (1, 8, 22, 23):
        expected = matrices.sparse_zeros(STREAM, (23, 11), zeros / 23)
        scheme = fi.sparse(zeros / 23, std=1)
        np.testing.assert_array_equal(made((23, 11), scheme) == 0, expected)
        part = made((23, 11), scheme, region=range(70, 150))
        np.testing.assert_array_equal(part == 0, expected.reshape(-1)[70:150])
        for columns in (np.s_[:, 4], np.s_[::-2, 2:5]):
            part = made((23, 11), scheme, region=columns)
            np.testing.assert_array_equal(part == 0, expected[columns])


def test_every_row_is_as_likely_to_be_zero():
    """Zeros in 20,000 columns of 20 rows, 5 in each; fails for one seed in a million."""
    rows, columns, zeros = 20, 20_000, 5
    counts = (made((rows, columns), fi.sparse(zeros / rows)) == 0).sum(axis=1)
    expected = columns * zeros / rows
    # Without replacement: the variance of a count is (1 - zeros / rows) rows / (rows - 1) times
    # that of independent draws.
    square = ((counts - expected) ** 2).sum() / expected * (rows - 1) / (rows - zeros)
    assert 1e-6 < stats.chi2.sf(square, rows - 1) < 1 - 1e-6


def test_the_rows_chosen_in_neighbouring_columns_are_independent():
    """One zero in each of 20,001 columns of 10 rows; fails for one seed in a million."""
    found = made((10, 20_001), fi.sparse(0.1))
    where = np.argmin(found != 0, axis=0)
    table = np.zeros((10, 10))
    np.add.at(table, (where[:-1], where[1:]), 1)
    square = ((table - 200) ** 2 / 200).sum()
    assert 1e-6 < stats.chi2.sf(square, 90) < 1 - 1e-6  # 81 to 99 degrees of freedom


def test_whether_a_value_is_kept_does_not_depend_on_it():
    """2 x 10^5 values, half of them kept; fails for one seed in a million."""
    normal, found = (made((400, 500), s) for s in (fi.normal(1), fi.sparse(0.5, std=1)))
    share = stats.ks_2samp(normal[found != 0], normal[found == 0]).pvalue
    assert share > 1e-6


# --- orthogonal ------------------------------------------------------------------------------

# Shape, column axis, batch axes.
ORTHOGONALS = [
    ((1, 1), 0, ()),
    ((1, 9), 0, ()),
    ((9, 1), 0, ()),
    ((7, 7), 0, ()),
    ((13, 5), 1, ()),
    ((5, 13), 0, ()),
    ((300, 270), 0, ()),
    ((6, 5, 4), 1, ()),
    ((6, 5, 2, 3), 0, ()),
    ((3, 5, 4), 1, (0,)),
    ((5, 3, 4), 2, (1,)),
    ((5, 4, 3), 0, (2,)),
    ((2, 5, 3, 4), 3, (0, 2)),
    ((2, 5, 3, 4), 1, (2, 0)),
    ((0, 4), 0, ()),
    ((4, 0), 0, ()),
    ((0, 4, 4), 1, (0,)),
]


def orthogonal(axis, batch, gain=1.0):
    return fi.orthogonal(gain, column_axis=axis, batch_axis=batch)


@pytest.mark.parametrize(("shape", "axis", "batch"), ORTHOGONALS)
def test_orthogonal_is_stewarts_product_of_reflectors_to_rounding(shape, axis, batch):
    for dtype, error in RELATIVE.items():
        expected = matrices.orthogonal(STREAM, shape, axis, batch, dtype)
        for gain in (1.0, 0.3, 5.0):
            found = made(shape, orthogonal(axis, batch, gain), dtype=dtype)
            np.testing.assert_allclose(found, gain * expected, rtol=0, atol=gain * error)


def slices(w, axis, batch):
    """The matrices stacked in `w`, with `axis` as rows."""
    turned = np.moveaxis(w.astype(np.float64), (*batch, axis), range(len(batch) + 1))
    rows = w.shape[axis]
    return turned.reshape(-1, rows, w.size // rows // math.prod(w.shape[a] for a in batch))


@pytest.mark.parametrize(("shape", "axis", "batch"), [c for c in ORTHOGONALS if math.prod(c[0])])
def test_every_slice_is_orthogonal_and_no_two_are_alike(shape, axis, batch):
    for dtype, error in RELATIVE.items():
        for gain in (1.0, 0.3):
            w = made(shape, orthogonal(axis, batch, gain), dtype=dtype)
            stack = slices(w, axis, batch)
            for q in stack:
                gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
                np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=error)
            assert len({q.tobytes() for q in stack}) == len(stack)


@pytest.mark.parametrize("dtype", NARROW)
def test_a_narrow_orthogonal_matrix_is_the_rounded_float32_one(dtype):
    for shape, axis, batch in ORTHOGONALS[:6] + ORTHOGONALS[7:]:
        for gain in (1.0, 0.3, 400.0):
            wide, narrow = (made(shape, orthogonal(axis, batch, gain), dtype=t) for t in
                            ("float32", dtype))  # fmt: skip
            assert same(narrow, wide.astype(ref.DTYPES[dtype]))


def test_an_entry_that_rounds_beyond_float8_saturates():
    """At gain 464 an entry of a 1 x 1 matrix would round to 480, which e4m3fn does not have."""
    values = made((1, 1), fi.orthogonal(448.0), dtype="float8_e4m3fn")
    assert abs(float(values[0, 0])) == 448
    with pytest.raises(ValueError, match=r"^gain 465.0 is not a float8_e4m3fn number: the largest"):
        made((1, 1), fi.orthogonal(465.0), dtype="float8_e4m3fn")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gain_of_zero_gives_plain_zeros(dtype):
    for scheme in (fi.orthogonal(0), fi.identity(0), fi.schemes.spectral_normalised(0)):
        assert same(made((6, 4), scheme, dtype=dtype), made((6, 4), fi.zeros(), dtype=dtype))
    shape = (6, 4, 3)
    assert same(made(shape, fi.schemes.delta_orthogonal(0)), made(shape, fi.zeros()))


def test_the_layout_names_the_column_axis():
    for shape in ((5, 4), (3, 5, 4)):
        last = fi.orthogonal(column_axis=-1)
        assert same(made(shape, fi.orthogonal(layout="jax")), made(shape, last))
        assert same(made(shape, fi.orthogonal(layout="keras")), made(shape, last))
        assert same(made(shape, fi.orthogonal()), made(shape, fi.orthogonal(column_axis=0)))


def test_an_orthogonal_matrix_has_no_preferred_direction():
    """Every entry of 1000 matrices of 3 rows is uniform on [-1, 1] (Archimedes), and both signs
    of the determinant are as likely.  Fails for one seed in 20,000."""
    for shape in ((1000, 3, 3), (1000, 3, 2), (1000, 2, 3)):
        w = made(shape, fi.orthogonal(batch_axis=0))
        for entry in np.moveaxis(w, 0, -1).reshape(-1, 1000):
            assert stats.kstest(entry, stats.uniform(-1, 2).cdf).pvalue > 1e-6
        if shape == (1000, 3, 3):
            assert abs((np.linalg.det(w) > 0).sum() - 500) < 5 * math.sqrt(250)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 4, 3), (4, 4, 2, 4), (3, 1, 1, 2, 5), (3, 0, 3), (3, 2, 0)])
def test_delta_orthogonal_is_an_orthogonal_matrix_at_the_earlier_middle(shape, dtype):
    for layout, turned in LAYOUTS:
        matrix = made(shape[:2] if layout == "torch" else shape[1::-1],
                      fi.orthogonal(0.5, layout=layout), dtype=dtype)  # fmt: skip
        found = made(turned(shape), fi.schemes.delta_orthogonal(0.5, layout=layout), dtype=dtype)
        assert same(found, matrices.at_the_earlier_middle(turned(shape), layout, matrix))


# --- spectral_normalised ---------------------------------------------------------------------

# Shape, options, output axis, how many first axes stack, fan_out / fan_in.
SPECTRALS = [
    ((32, 8), {}, 0, 0, 4),
    ((8, 32), {}, 0, 0, 1 / 4),
    ((8, 32), {"layout": "jax"}, 1, 0, 4),
    ((1, 1), {}, 0, 0, 1),
    ((1, 7), {}, 0, 0, 1 / 7),
    ((12, 6, 3), {}, 0, 0, 2),
    ((3, 6, 12), {"layout": "keras"}, 2, 0, 2),
    ((4, 12, 6), {"batch_axis": 0}, 1, 1, 2),
    ((2, 3, 5, 4, 10), {"batch_axis": (1, 0), "layout": "jax"}, 4, 2, 2.5),
    ((0, 5), {}, 0, 0, 1),
    ((5, 0), {}, 0, 0, 1),
    ((0, 5, 5), {"batch_axis": 0}, 1, 1, 1),
]


@pytest.mark.parametrize(("shape", "options", "axis", "stacked", "ratio"), SPECTRALS)
def test_every_spectral_norm_is_the_one_asked_for(shape, options, axis, stacked, ratio):
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        gain, norm = 0.5, 0.5 * math.sqrt(ratio)
        w = made(shape, fi.schemes.spectral_normalised(gain, **options), dtype=dtype)
        error = norm * RELATIVE.get(dtype, float(np.finfo(np.float16).eps) * 8)
        expected = matrices.spectral_normalised(STREAM, shape, axis, stacked, norm, dtype)
        np.testing.assert_allclose(w.astype(float), expected, rtol=0, atol=error)
        if w.size:
            found = np.linalg.svd(slices(w, axis, tuple(range(stacked))), compute_uv=False)[:, 0]
            np.testing.assert_allclose(found, norm, rtol=0, atol=4 * error)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_norm_that_fits_is_made_however_small_the_normals(dtype):
    """A matrix of one element is +- the norm, even if its normal is 10^-3."""
    for number in range(300):
        w = fi.array(
            (1, 1), fi.schemes.spectral_normalised(100), seed=number, name="w", dtype=dtype
        ).astype(float)
        assert abs(w[0, 0]) == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize(("dtype", "norm"), [("float32", 5e30), ("float64", 9e291)])
def test_the_largest_norm_is_made_of_the_smallest_normal(monkeypatch, dtype, norm):
    """No matrix has a smaller norm than the normal nearest to 0."""
    source = sampler_of(fi.schemes.spectral_normalised(norm), (1, 1), dtype)
    least = {"float32": 1.6e-8, "float64": 2.0**-53}[dtype]
    monkeypatch.setattr(
        "fastinit.values.matrices.spectral.spectral_norm", lambda matrix, between: least
    )
    out = np.zeros(1, dtype)
    source.draw(out.view(np.uint8), 0)
    assert abs(out[0]) == pytest.approx(norm)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (1, 4, 2)])
def test_the_std_of_one_row_or_column_scaled_to_a_norm_is_exact(shape):
    scheme = fi.schemes.spectral_normalised(2.0)
    values = made(shape, scheme, dtype="float64")
    assert scheme.distribution(shape).std == pytest.approx(math.sqrt((values**2).mean()))
