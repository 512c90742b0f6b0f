# SPDX-License-Identifier: MIT
"""Constants, patterns and matrices against the frameworks: values, norms and shape rules.

What is certain is compared to the bit: constants, identity, dirac, where the zeros lie and how
many.  Orthogonal matrices must have the framework's Gram matrix on the framework's side, to
rounding in float32.  A shape that a framework refuses we refuse, but for those listed.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from intercepts import jax_asks, keras_asks, torch_asks

import fastinit as fi

pytestmark = pytest.mark.frameworks

SEED = 20
ROUNDING = 1e-5
"""For sums of at most a few hundred products of float32."""


def made(scheme, shape):
    """Our float32 values."""
    return fi.array(shape, scheme, seed=SEED, name="w")


def accepts(make):
    """Whether a framework makes a tensor of this shape: False for any error of its own."""
    try:
        make()
    except (ValueError, RuntimeError, ZeroDivisionError, IndexError, TypeError):
        return False
    return True


# --- constants -------------------------------------------------------------------------------

CONSTANTS = [fi.constant(0.3), fi.ones(), fi.zeros()]
CONSTANT_SHAPES = [(), (5,), (64, 32), (2, 3, 0), (2, 1, 3, 2, 2, 1)]


@pytest.mark.parametrize("shape", CONSTANT_SHAPES)
def test_our_constants_are_torchs(torch, shape):
    init, empty = torch.nn.init, torch.empty
    theirs = [
        init.constant_(empty(shape), 0.3),
        init.ones_(empty(shape)),
        init.zeros_(empty(shape)),
    ]
    for scheme, their in zip(CONSTANTS, theirs, strict=True):
        np.testing.assert_array_equal(made(scheme, shape), their.numpy(), strict=True)


@pytest.mark.parametrize("shape", CONSTANT_SHAPES)
def test_our_constants_are_jaxs(jax, shape):
    init, key = jax.nn.initializers, jax.random.key(0)
    for scheme, their in zip(CONSTANTS, [init.constant(0.3), init.ones, init.zeros], strict=True):
        np.testing.assert_array_equal(
            made(scheme, shape), np.asarray(their(key, shape)), strict=True
        )


@pytest.mark.parametrize("shape", CONSTANT_SHAPES)
def test_our_constants_are_kerass(keras, shape):
    init = keras.initializers
    for scheme, their in zip(
        CONSTANTS, [init.Constant(0.3), init.Ones(), init.Zeros()], strict=True
    ):
        np.testing.assert_array_equal(made(scheme, shape), np.asarray(their(shape)), strict=True)


# --- identity and dirac ----------------------------------------------------------------------

MATRICES = [(64, 32), (32, 64), (7, 5), (5, 5), (1, 1), (1, 9), (0, 3), (3, 0)]
CONVOLUTIONS = [
    *((64, 3, 7), (64, 3, 4), (3, 64, 1), (8, 8, 2)),
    *((32, 16, 3, 3), (16, 32, 2, 4), (64, 8, 3, 3), (6, 6, 1, 5)),
    *((6, 4, 2, 3, 5), (4, 6, 1, 2, 3), (8, 96, 64)),
]


@pytest.mark.parametrize("shape", MATRICES)
def test_our_identity_is_torchs(torch, shape):
    theirs = torch.nn.init.eye_(torch.empty(shape)).numpy()
    np.testing.assert_array_equal(made(fi.identity(), shape), theirs, strict=True)


@pytest.mark.parametrize("gain", [1.0, 0.3, -2.0])
@pytest.mark.parametrize("shape", MATRICES)
def test_our_identity_is_kerass(keras, shape, gain):
    theirs = np.asarray(keras.initializers.Identity(gain)(shape))
    np.testing.assert_array_equal(made(fi.identity(gain), shape), theirs, strict=True)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("shape", CONVOLUTIONS)
def test_our_dirac_is_torchs(torch, shape, groups):
    if shape[0] % groups:
        with pytest.raises(ValueError, match="divisible by groups"):
            torch.nn.init.dirac_(torch.empty(shape), groups)
        with pytest.raises(ValueError, match=f"groups={groups} does not divide"):
            made(fi.dirac(groups), shape)
        return
    theirs = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    np.testing.assert_array_equal(made(fi.dirac(groups), shape), theirs, strict=True)


# --- orthogonal ------------------------------------------------------------------------------

GAINS = [1.0, math.sqrt(2), 0.1]
DELTA_SHAPES = [(3, 4, 8), (4, 5, 5), (3, 2, 4, 8), (2, 4, 1, 6, 6)]
COMPILED = [(64, 32), (5, 7), (3, 4, 6), (3, 3, 8, 16), (2, 3, 1, 4, 5)]
"""Few, because JAX compiles for each."""
TENSORS = [*(shape for shape in MATRICES if 0 not in shape), *CONVOLUTIONS]


def gram(values, axis):
    """W Wᵀ or WᵀW, whichever is smaller, of the matrix with `axis` on one side."""
    matrix = np.moveaxis(np.float64(values), axis, 0).reshape(values.shape[axis], -1)
    return matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix


def assert_orthogonal(ours, theirs, axis, gain):
    """Both are `gain` times a matrix with orthonormal rows or columns; no value is shared."""
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    for values in (ours, theirs):
        found = gram(values, axis)
        np.testing.assert_allclose(found, gain**2 * np.eye(len(found)), atol=ROUNDING * gain**2)
    assert ours.size == 1 or not np.array_equal(ours, theirs)


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("shape", TENSORS)
def test_our_orthogonal_has_orthonormal_sides_where_torchs_has(torch, shape, gain):
    theirs = torch.nn.init.orthogonal_(torch.empty(shape), gain).numpy()
    assert_orthogonal(made(fi.orthogonal(gain), shape), theirs, 0, gain)


@pytest.mark.parametrize("shape", COMPILED)
def test_our_orthogonal_has_orthonormal_sides_where_jaxs_has(jax, shape):
    for axis in (-1, 0, 1):
        theirs = jax.nn.initializers.orthogonal(0.5, column_axis=axis)
        scheme = fi.orthogonal(0.5, column_axis=axis)
        values = np.asarray(theirs(jax.random.key(SEED), shape))
        assert_orthogonal(made(scheme, shape), values, axis, 0.5)
    default = fi.orthogonal(layout="jax")
    np.testing.assert_array_equal(made(default, shape), made(fi.orthogonal(column_axis=-1), shape))


@pytest.mark.parametrize("shape", COMPILED)
def test_our_orthogonal_has_orthonormal_sides_where_kerass_has(keras, shape):
    theirs = np.asarray(keras.initializers.Orthogonal(0.5, seed=SEED)(shape))
    assert_orthogonal(made(fi.orthogonal(0.5, layout="keras"), shape), theirs, -1, 0.5)


@pytest.mark.parametrize(
    "shape", [(3, 4, 8), (4, 5, 5), (3, 2, 4, 8), (2, 4, 1, 6, 6), (1, 2, 3, 1, 9)]
)
def test_our_delta_orthogonal_has_its_matrix_where_jaxs_has(jax, shape):
    for gain in (1.0, 0.3):
        for axis in (-1, -2):  # the matrix is as random on either side
            theirs = jax.nn.initializers.delta_orthogonal(gain, column_axis=axis)
            theirs = np.asarray(theirs(jax.random.key(SEED), shape))
            ours = made(fi.schemes.delta_orthogonal(gain, layout="jax"), shape)
            np.testing.assert_array_equal(ours != 0, theirs != 0)
            taps = [values[values != 0].reshape(shape[-2:]) for values in (ours, theirs)]
            assert_orthogonal(*taps, 0, gain)


# --- sparse ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.25, 1 / 3, 0.7, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(64, 32), (32, 64), (7, 5), (1, 9), (100, 3), (10, 1)])
def test_our_sparse_has_as_many_zeros_in_each_column_as_torchs(torch, shape, sparsity):
    theirs = torch.nn.init.sparse_(torch.empty(shape), sparsity).numpy()
    ours = made(fi.sparse(sparsity), shape)
    expected = (theirs == 0).sum(axis=0)
    assert set(expected) == {math.ceil(sparsity * shape[0])}
    np.testing.assert_array_equal((ours == 0).sum(axis=0), expected)


def test_our_sparse_has_torchs_std(torch):
    for given in ({}, {"std": 0.5}):
        asked = torch_asks(torch, torch.nn.init.sparse_, (64, 32), 0.1, **given)
        found = fi.sparse(0.1, **given).distribution((64, 32)).normal
        assert asked == ("normal", found.centre, found.sigma)


# --- which shapes ----------------------------------------------------------------------------

RULES = [(), (5,), (4, 6), (6, 4), (4, 6, 3), (6, 4, 3), (3, 4, 6), (2, 3, 4, 6), (6, 4, 3, 2)]
RULES += [(2, 2, 3, 4, 6), (6, 4, 3, 2, 2), (6, 4, 3, 2, 2, 2), (0, 4), (4, 0), (4, 0, 3)]
TORCH_RULES = {
    "xavier_uniform_": fi.xavier_uniform(),
    "xavier_normal_": fi.xavier_normal(),
    "kaiming_uniform_": fi.kaiming_uniform(),
    "kaiming_normal_": fi.kaiming_normal(),
    "eye_": fi.identity(),
    "dirac_": fi.dirac(),
    "orthogonal_": fi.orthogonal(),
    "sparse_": fi.sparse(0.1),
}
JAX_RULES = {
    **{name: getattr(fi.schemes, name)(layout="jax") for name in ("glorot_normal", "he_uniform")},
    "orthogonal": fi.orthogonal(layout="jax"),
    "delta_orthogonal": fi.schemes.delta_orthogonal(layout="jax"),
}
KERAS_RULES = {
    "GlorotUniform": fi.glorot_uniform(layout="keras"),
    "HeNormal": fi.he_normal(layout="keras"),
    "Orthogonal": fi.orthogonal(layout="keras"),
    "Identity": fi.identity(),
}
# A tensor of no elements has a scale, so it needs no error.
WE_ALSO_TAKE = {
    ("jax", "glorot_normal"): {(0, 4), (4, 0), (4, 0, 3)},
    ("jax", "he_uniform"): {(0, 4), (4, 0), (4, 0, 3)},
}


def assert_same_shapes(framework, name, scheme, make):
    """Shapes of 0 to 6 axes: we take what the framework takes, and no other but those listed."""
    taken = {shape for shape in RULES if accepts(lambda shape=shape: make(shape))}
    found = {shape for shape in RULES if accepts(lambda shape=shape: made(scheme, shape))}
    assert found - taken == WE_ALSO_TAKE.get((framework, name), set())
    assert not taken - found


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", TORCH_RULES)
def test_we_take_the_shapes_that_torch_takes(torch, name):
    initialiser, more = getattr(torch.nn.init, name), (0.1,) * (name == "sparse_")
    assert_same_shapes(
        "torch", name, TORCH_RULES[name], lambda shape: initialiser(torch.empty(shape), *more)
    )


@pytest.mark.parametrize("name", JAX_RULES)
def test_we_take_the_shapes_that_jax_takes(jax, name):
    initialiser, key = getattr(jax.nn.initializers, name)(), jax.random.key(0)
    whole = "orthogonal" in name  # the others need not draw
    make = (lambda shape: initialiser(key, shape)) if whole else partial(jax_asks, jax, initialiser)
    assert_same_shapes("jax", name, JAX_RULES[name], make)


@pytest.mark.parametrize("name", KERAS_RULES)
def test_we_take_the_shapes_that_keras_takes(keras, name):
    initialiser = getattr(keras.initializers, name)()
    whole = name in ("Orthogonal", "Identity")
    make = initialiser if whole else partial(keras_asks, keras, initialiser)
    assert_same_shapes("keras", name, KERAS_RULES[name], make)
