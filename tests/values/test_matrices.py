# SPDX-License-Identifier: MIT
"""Distributions of a whole tensor: constants in places, packed matrices, and all moments.

Random matrices are in test_random_matrices.py, mistakes in test_matrix_mistakes.py, regions,
strides and threads in test_matrix_regions.py, files in test_matrix_checkpoints.py.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import reference as ref
import reference_matrices as matrices
from fills import DTYPES, SEED, made, same

import fastinit as fi
from fastinit.numerics.dtypes import DTYPES as DTYPE_TABLE
from fastinit.values.matrices import Matrix, Points

STREAM = (SEED, "w")


def flipped(shape):
    """The shape (out, in, *kernel) in JAX's and Keras's layout."""
    return (*shape[2:], shape[1], shape[0])


LAYOUTS = [("torch", tuple), ("jax", flipped), ("keras", flipped)]

# --- identity, dirac, zero_hadamard ----------------------------------------------------------

IDENTITIES = [
    ((0, 0), ()),
    ((0, 3), ()),
    ((1, 7), ()),
    ((7, 1), ()),
    ((13, 11), ()),
    ((11, 13), ()),
    ((3, 4, 5), (0,)),
    ((4, 3, 5), (1,)),
    ((4, 5, 3), (2,)),
    ((2, 4, 3, 5), (2, 0)),
    ((4, 4, 0), (2,)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "batch"), IDENTITIES)
def test_identity_is_the_references(shape, batch, dtype):
    for gain in (1.0, -0.1, 3):
        found = made(shape, fi.identity(gain, batch_axis=batch), dtype=dtype)
        assert same(found, matrices.identity(shape, gain, batch, dtype))


def test_a_negative_batch_axis_counts_from_the_end():
    shape = (4, 5, 3)
    for scheme in (fi.identity, fi.orthogonal):
        assert same(made(shape, scheme(batch_axis=-1)), made(shape, scheme(batch_axis=2)))


def test_points_are_equal_if_their_places_and_values_are():
    def identity(shape, gain=1.0):
        return fi.identity(gain).distribution(shape)

    assert identity((3, 4)) == identity((3, 4))
    assert identity((3, 4)) != identity((3, 4), 2.0)
    assert fi.dirac(1).distribution((4, 2, 3)) != fi.dirac(2).distribution((4, 2, 3))
    assert fi.dirac(3).distribution((3, 1, 3)) == fi.dirac(3).distribution((3, 1, 3))
    assert len({identity((3, 4)), identity((3, 4)), identity((4, 4))}) == 2


def test_points_in_any_order_of_their_loops_are_the_same():
    loops = ((1, 3), (20, 1), (10, 2), (4, 2))
    expected = np.zeros(20)
    expected[[i + 4 * j + 10 * k + 2 for i in range(3) for j in range(2) for k in range(2)]] = 0.5
    for order in itertools.permutations(loops):
        found = Points((4, 5), 2, order, 0.5)
        assert found == Points((4, 5), 2, loops, 0.5)
        assert found.mean == expected.mean()
        assert found.std == pytest.approx(expected.std())
        sampler = found.sampler(DTYPE_TABLE["float64"], None, None)
        for start, stop in itertools.combinations(range(21), 2):
            out = np.full(stop - start, 7.0)
            sampler.draw(out.view(np.uint8), start)
            np.testing.assert_array_equal(out, expected[start:stop])


@pytest.mark.parametrize("loops", [((2, 3), (4, 2)), ((1, 3), (2, 2)), ((5, 2), (5, 2))])
def test_points_that_interleave_are_refused(loops):
    with pytest.raises(ValueError, match=r"the points of one lie among those of another; need "):
        Points((4, 4), 0, loops, 1.0)


CONVOLUTIONS = [
    ((4, 2, 3), 1),
    ((2, 4, 4), 1),
    ((6, 3, 4), 2),
    ((7, 1, 2), 7),
    ((5, 5, 1), 5),
    ((8, 3, 2, 5), 4),
    ((9, 2, 4, 3), 3),
    ((3, 3, 4, 4), 1),
    ((5, 7, 3, 2, 4), 1),
    ((4, 3, 2, 1, 2), 2),
    ((0, 3, 3), 1),
    ((5, 0, 3), 1),
    ((4, 2, 0), 2),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "groups"), CONVOLUTIONS)
def test_dirac_is_the_references(shape, groups, dtype):
    for layout, turned in LAYOUTS:
        found = made(turned(shape), fi.dirac(groups, layout=layout), dtype=dtype)
        assert same(found, matrices.dirac(turned(shape), groups, layout, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [
        *((4, 4), (3, 7), (7, 3), (8, 2), (9, 8), (1, 1), (5, 1), (1, 5), (17, 13), (33, 20)),
        *((0, 3), (3, 0), (7, 3, 4), (3, 7, 5), (6, 2, 3, 2), (9, 8, 2, 1, 4), (5, 3, 0)),
    ],
)
def test_zero_hadamard_is_the_references(shape, dtype):
    for layout, turned in LAYOUTS:
        found = made(turned(shape), fi.schemes.zero_hadamard(layout=layout), dtype=dtype)
        assert same(found, matrices.zero_hadamard(turned(shape), layout, dtype))


def test_a_square_power_of_two_of_zero_hadamard_keeps_lengths():
    w = made((64, 32), fi.schemes.zero_hadamard(), dtype="float64")
    np.testing.assert_array_equal(w.T @ w, np.eye(32))


@pytest.mark.frameworks
def test_eye_dirac_and_the_counts_of_sparse_are_torchs(torch):
    init = torch.nn.init
    for shape in ((3, 5), (5, 3), (1, 4)):
        assert same(made(shape, fi.identity()), init.eye_(torch.empty(shape)).numpy())
    for shape, groups in CONVOLUTIONS:
        if math.prod(shape):
            theirs = init.dirac_(torch.empty(shape), groups).numpy()
            assert same(made(shape, fi.dirac(groups)), theirs)
    for rows in (1, 3, 7, 10, 30, 100):
        for sparsity in (0.0, 0.1, 0.29, 0.3, 1 / 3, 0.57, 0.7, 0.9, 1 - 1e-12, 1.0):
            theirs = (init.sparse_(torch.empty(rows, 4), sparsity, std=1) == 0).sum(0).numpy()
            ours = (made((rows, 4), fi.sparse(sparsity, std=1)) == 0).sum(axis=0)
            np.testing.assert_array_equal(ours, theirs)


# --- packed ----------------------------------------------------------------------------------


def xavier(fan_in, fan_out):
    return fi.xavier_normal, ref.Normal(math.sqrt(1 / ((fan_in + fan_out) / 2)))


def he_uniform(fan_in, fan_out):
    bound = math.sqrt(3 * (2 / fan_out))
    options = {"scale": 2, "mode": "fan_out", "distribution": "uniform"}
    return (lambda **rest: fi.variance_scaling(**options, **rest)), ref.Uniform(-bound, bound)


# Shape, the output axis, the options that name it, fan_in and places of the kernel.
PACKED = [
    ((24, 5), 0, {}, 5, 1),
    ((5, 24), 1, {"layout": "jax"}, 5, 1),
    ((24, 3, 2), 0, {}, 6, 2),
    ((2, 24, 3), 1, {"batch_axis": 0}, 3, 1),
    ((3, 24, 2), 1, {"in_axis": 2, "out_axis": 1}, 6, 3),
    ((3, 1, 24), 2, {"layout": "keras"}, 3, 3),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(16, 4, 4), (1, 23), (5, 7, 11, 1), (24,), (8, 8, 8)])
@pytest.mark.parametrize(("shape", "axis", "options", "fan_in", "kernel"), PACKED)
def test_packed_parts_are_the_references(shape, axis, options, fan_in, kernel, sizes, dtype):
    for formula in (xavier, he_uniform):
        parts = [(size, formula(fan_in, size * kernel)[1]) for size in sizes]
        scheme = formula(1, 1)[0](packed=sizes, **options)
        expected = matrices.packed(STREAM, shape, axis, parts, dtype)
        assert same(made(shape, scheme, dtype=dtype), expected)


def test_parts_of_one_scale_are_one_distribution():
    together = fi.lecun_normal(packed=(5, 1)).distribution((6, 4))
    assert together == fi.lecun_normal().distribution((6, 4))


# --- moments ---------------------------------------------------------------------------------

EXACT = [
    (fi.identity(0.7), (5, 9)),
    (fi.identity(-2, batch_axis=1), (4, 3, 4)),
    (fi.dirac(2), (6, 2, 3, 3)),
    (fi.dirac(layout="jax"), (3, 5, 4)),
    (fi.schemes.zero_hadamard(), (3, 8)),
    (fi.schemes.zero_hadamard(), (23, 9)),
    (fi.schemes.zero_hadamard(), (1, 1)),
    (fi.schemes.zero_hadamard(), (64, 33)),
    (fi.schemes.zero_hadamard(), (7, 5, 2, 3)),
    (fi.identity(), (0, 4)),
    (fi.dirac(), (4, 4, 0)),
    (fi.schemes.zero_hadamard(), (4, 2, 0)),
    (fi.schemes.zero_hadamard(), (4, 0)),
]


@pytest.mark.parametrize(("scheme", "shape"), EXACT)
def test_the_moments_of_fixed_values_are_theirs(scheme, shape):
    found = scheme.distribution(shape)
    values = made(shape, scheme, dtype="float64")
    assert isinstance(found, Matrix)
    assert found.mean == pytest.approx(values.mean() if values.size else 0.0, abs=1e-15)
    assert found.std == pytest.approx(values.std() if values.size else 0.0, abs=1e-15)


def test_the_std_of_a_constant_hadamard_column_is_no_nan():
    for rows in range(1, 200):
        assert fi.schemes.zero_hadamard().distribution((rows, 1)).std == pytest.approx(
            0.0, abs=1e-8
        )


def test_the_moments_of_a_large_hadamard_matrix_are_known_at_once():
    found = fi.schemes.zero_hadamard().distribution((2**20, 2**19 - 1))
    # Over all 2^20 rows every column but the first adds up to 0.
    assert found.mean == pytest.approx(2.0**-10 / (2**19 - 1))


@pytest.mark.parametrize(
    ("scheme", "shape"),
    [
        (fi.sparse(0.3, std=0.5), (500, 400)),
        (fi.sparse(1), (50, 40)),
        (fi.xavier_normal(packed=(400, 50, 50)), (500, 400)),
        (fi.he_uniform(packed=(400, 50, 50)), (500, 400)),
        (fi.orthogonal(3), (500, 400)),
        (fi.orthogonal(batch_axis=0), (5, 70, 90)),
        (fi.schemes.delta_orthogonal(2), (200, 200, 3, 3)),
        (fi.schemes.spectral_normalised(2), (500, 400)),
    ],
)
def test_the_moments_of_random_values_are_theirs_on_average(scheme, shape):
    """Within 5 standard errors of the mean; the spectral norm is within 3 % of its limit."""
    found = scheme.distribution(shape)
    values = made(shape, scheme, dtype="float64")
    assert abs(values.mean() - found.mean) <= 5 * found.std / math.sqrt(values.size)
    assert values.std() == pytest.approx(found.std, rel=0.03 if "spectral" in str(scheme) else 0.01)
