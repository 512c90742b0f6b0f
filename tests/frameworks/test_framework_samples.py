# SPDX-License-Identifier: MIT
"""A million values of every random function of the three frameworks beside a million of ours.

Each comparison is a two-sample Kolmogorov-Smirnov test and two-sample tests of the first, second
and fourth moment, in float32, at ALPHA = 1e-6 each.  Some 450 tests in all: if every distribution
is right, one of them fails with probability 5e-4.  Each row has seeds of its own, because a rank
test says the same of every scaling of one sample; they are fixed, so what passed once passes always
with the same framework.

What they can see of 2 * 10**6 values: a distance of 0.0038 between distribution functions; of
normals, means 0.007 sigma and variances 1 % apart.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from scipy import stats

import fastinit as fi

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

SEED = 20_26
SHAPE = (1000, 1000)
ALPHA = 1e-6
STANDARD_ERRORS = 4.9
"""What a normal exceeds in size with probability 0.96e-6."""


def assert_alike(ours, theirs):
    """Two samples of independent values of one distribution; four tests, each of ALPHA."""
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape) == (np.float32, ours.shape)
    ours, theirs = np.float64(ours).ravel(), np.float64(theirs).ravel()
    assert stats.ks_2samp(ours, theirs, method="asymp").pvalue > ALPHA
    scale = theirs.std()
    for power in (1, 2, 4):
        mine, other = (ours / scale) ** power, (theirs / scale) ** power
        error = math.sqrt((mine.var() + other.var()) / ours.size)
        assert abs(mine.mean() - other.mean()) <= STANDARD_ERRORS * error


def made(scheme, shape=SHAPE):
    """Our values; the scheme is also the tensor's name, so that each has a stream of its own."""
    return fi.array(shape, scheme, seed=SEED, name=str(scheme))


def seed_of(name, given):
    """A seed for each row of a table."""
    return zlib.crc32(f"{name} {given}".encode()) >> 1


# --- torch.nn.init ---------------------------------------------------------------------------

TORCH = [
    ("uniform_", {}, fi.uniform(0, 1)),
    ("uniform_", {"a": -0.3, "b": 0.7}, fi.uniform(-0.3, 0.7)),
    ("normal_", {}, fi.normal()),
    ("normal_", {"mean": 0.5, "std": 0.02}, fi.normal(0.02, mean=0.5)),
    ("trunc_normal_", {}, fi.truncated_normal()),
    ("trunc_normal_", {"std": 0.02}, fi.truncated_normal(0.02, low=-100, high=100)),
    ("trunc_normal_", {"std": 0.02, "a": -0.04, "b": 0.06}, fi.truncated_normal(0.02, high=3)),
    (
        "trunc_normal_",
        {"mean": 0.5, "a": -0.5, "b": 3.5},
        fi.truncated_normal(mean=0.5, low=-1, high=3),
    ),
    ("trunc_normal_", {"a": 1, "b": 3}, fi.truncated_normal(low=1, high=3)),  # another method
    ("xavier_uniform_", {"gain": 5 / 3}, fi.xavier_uniform(5 / 3)),
    ("xavier_normal_", {}, fi.xavier_normal()),
    ("kaiming_uniform_", {"a": math.sqrt(5)}, fi.kaiming_uniform(math.sqrt(5))),
    ("kaiming_normal_", {"nonlinearity": "relu"}, fi.kaiming_normal(nonlinearity="relu")),
]


def torch_values(torch, name, shape=SHAPE, **given):
    generator = torch.Generator().manual_seed(seed_of(name, given))
    return getattr(torch.nn.init, name)(torch.empty(shape), **given, generator=generator).numpy()


@pytest.mark.parametrize(("name", "given", "scheme"), TORCH)
def test_a_million_values_are_alike_torchs(torch, name, given, scheme):
    assert_alike(made(scheme), torch_values(torch, name, **given))


def test_a_million_sparse_values_are_alike_torchs(torch):
    """As many zeros in every column, at any row; the others normal."""
    torch.manual_seed(SEED)  # where its zeros lie does not follow the generator
    theirs = torch_values(torch, "sparse_", sparsity=0.3, std=0.02)
    ours = made(fi.sparse(0.3, 0.02))
    for values in (ours, theirs):
        np.testing.assert_array_equal((values == 0).sum(axis=0), 300)
    assert_alike(ours[ours != 0], theirs[theirs != 0])
    rows, other_rows = (np.nonzero(values == 0)[0] for values in (ours, theirs))
    assert stats.ks_2samp(rows, other_rows, method="asymp").pvalue > ALPHA
    # zeros of a row, over independent columns: binomial, of 1000 columns with 0.3 each
    for values in (ours, theirs):
        counts = (values == 0).sum(axis=1)
        assert abs(counts - 300).max() <= 6.5 * math.sqrt(1000 * 0.3 * 0.7)  # once in 10**7


# --- jax.nn.initializers ---------------------------------------------------------------------

JAX = [
    ("uniform", {"scale": 0.5}, fi.uniform(0, 0.5)),
    ("normal", {}, fi.normal(0.01)),
    ("truncated_normal", {}, fi.truncated_normal(0.01)),
    (
        "truncated_normal",
        {"stddev": 0.02, "lower": -1.0, "upper": 3.0},
        fi.truncated_normal(0.02, low=-1, high=3),
    ),
    *(
        (
            "variance_scaling",
            {"scale": 2.0, "mode": "fan_geo_avg", "distribution": name},
            fi.variance_scaling(2.0, "fan_geo_avg", name, layout="jax"),
        )
        for name in ("truncated_normal", "normal", "uniform")
    ),
    *(
        (f"{name}_{kind}", {}, getattr(fi.schemes, f"{name}_{kind}")(layout="jax"))
        for name in ("glorot", "he", "lecun")
        for kind in ("normal", "uniform")
    ),
]


@pytest.mark.parametrize(("name", "given", "scheme"), JAX)
def test_a_million_values_are_alike_jaxs(jax, name, given, scheme):
    key = jax.random.key(seed_of(name, given))
    theirs = getattr(jax.nn.initializers, name)(**given)(key, SHAPE)
    assert_alike(made(scheme), np.asarray(theirs))


# --- keras.initializers ----------------------------------------------------------------------

KERAS = [
    ("RandomNormal", {}, fi.normal(0.05)),
    ("RandomUniform", {}, fi.uniform(-0.05, 0.05)),
    ("TruncatedNormal", {"mean": 0.5}, fi.truncated_normal(0.05, mean=0.5)),
    *(
        (
            "VarianceScaling",
            {"scale": 0.3, "mode": "fan_avg", "distribution": name},
            fi.variance_scaling(0.3, "fan_avg", name, layout="keras"),
        )
        for name in ("truncated_normal", "untruncated_normal", "uniform")
    ),
    *(
        (f"{name}{kind}", {}, getattr(fi.schemes, f"{name}_{kind}".lower())(layout="keras"))
        for name in ("Glorot", "He", "Lecun")
        for kind in ("Normal", "Uniform")
    ),
]


@pytest.mark.parametrize(("name", "given", "scheme"), KERAS)
def test_a_million_values_are_alike_kerass(keras, name, given, scheme):
    theirs = getattr(keras.initializers, name)(**given, seed=seed_of(name, given))(SHAPE)
    assert_alike(made(scheme), np.asarray(theirs))


# --- orthogonal matrices ---------------------------------------------------------------------

SMALL = (4, 4)
MATRICES = 20_000
"""Values of one matrix depend on each other, so each place is tested alone, over many."""


@pytest.fixture(scope="module")
def matrices():
    return made(fi.orthogonal(batch_axis=0), (MATRICES, *SMALL))


def assert_matrices_alike(ours, theirs):
    """Every entry, the trace, and the products that show how entries depend on each other."""
    for row in range(SMALL[0]):
        for column in range(SMALL[1]):
            assert_alike(ours[: len(theirs), row, column], theirs[:, row, column])
    ours = ours[: len(theirs)]
    for statistic in (
        lambda stack: np.trace(stack, axis1=1, axis2=2),
        lambda stack: np.trace(stack @ stack, axis1=1, axis2=2),  # of pairs of angles
        lambda stack: stack[:, 0, 0] * stack[:, 1, 1],
        lambda stack: stack[:, 0, 0] * stack[:, 0, 1],
    ):
        mine, other = statistic(np.float64(ours)), statistic(np.float64(theirs))
        assert stats.ks_2samp(mine, other, method="asymp").pvalue > ALPHA
    signs = [np.count_nonzero(np.linalg.det(stack) > 0) for stack in (ours, theirs)]
    assert abs(signs[0] - signs[1]) <= STANDARD_ERRORS * math.sqrt(len(theirs) / 2)


def test_orthogonal_matrices_are_alike_torchs(torch, matrices):
    """Fewer, because it makes one at a time."""
    generator = torch.Generator().manual_seed(SEED)
    stack = torch.empty((MATRICES // 4, *SMALL))
    for matrix in stack:
        torch.nn.init.orthogonal_(matrix, generator=generator)
    assert_matrices_alike(matrices, stack.numpy())


@pytest.mark.parametrize("name", ["orthogonal", "delta_orthogonal"])
def test_orthogonal_matrices_are_alike_jaxs(jax, matrices, name):
    """A kernel of one tap is an orthogonal matrix; its place is in test_framework_shapes.py."""
    initialiser = getattr(jax.nn.initializers, name)()
    shape = (1, *SMALL) if name == "delta_orthogonal" else SMALL
    keys = jax.random.split(jax.random.key(seed_of(name, {})), MATRICES)
    theirs = jax.jit(jax.vmap(lambda key: initialiser(key, shape)))(keys)
    assert_matrices_alike(matrices, np.asarray(theirs).reshape(matrices.shape))


def test_orthogonal_matrices_are_alike_kerass(keras, matrices):
    """Fewer, because it makes one at a time."""
    seed = keras.random.SeedGenerator(SEED)
    initialiser = keras.initializers.Orthogonal(seed=seed)
    theirs = np.stack([np.asarray(initialiser(SMALL)) for _ in range(MATRICES // 10)])
    assert_matrices_alike(matrices, theirs)


def test_our_delta_orthogonal_is_the_orthogonal_matrix_of_its_tap():
    """So the tests of `orthogonal` are tests of it, too."""
    given = {"seed": SEED, "name": "w"}
    tap = fi.array((1, 64, 96), fi.schemes.delta_orthogonal(layout="jax"), **given)
    np.testing.assert_array_equal(tap[0], fi.array((64, 96), fi.orthogonal(layout="jax"), **given))


# Entries of a large matrix hardly depend on each other, and what dependence there is (each row or
# column has length 1) brings samples closer: these tests fail more rarely than ALPHA says.
WIDE, TALL = (500, 2000), (2000, 500)


@pytest.mark.parametrize("shape", [WIDE, TALL])
def test_a_million_values_of_an_orthogonal_matrix_are_alike_torchs(torch, shape):
    theirs = torch_values(torch, "orthogonal_", shape, gain=math.sqrt(2))
    assert_alike(made(fi.orthogonal(math.sqrt(2)), shape), theirs)


@pytest.mark.parametrize("axis", [0, -1])
def test_a_million_values_of_an_orthogonal_matrix_are_alike_jaxs(jax, axis):
    initialiser = jax.nn.initializers.orthogonal(0.5, column_axis=axis)
    theirs = np.asarray(initialiser(jax.random.key(SEED), WIDE))
    assert_alike(made(fi.orthogonal(0.5, column_axis=axis), WIDE), theirs)


def test_a_million_values_of_an_orthogonal_matrix_are_alike_kerass(keras):
    theirs = np.asarray(keras.initializers.Orthogonal(0.5, seed=SEED)(TALL))
    assert_alike(made(fi.orthogonal(0.5, layout="keras"), TALL), theirs)
