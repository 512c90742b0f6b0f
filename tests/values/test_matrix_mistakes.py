# SPDX-License-Identifier: MIT
"""Distributions of a whole tensor, asked for what cannot be: the message, and nothing written."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import reference as ref
from fills import filled, made, sampler_of

import fastinit as fi

SHAPE = (4, 6)
MISTAKES = [
    (lambda: fi.identity(math.nan), SHAPE, r"^gain is nan: need a finite number$"),
    (lambda: fi.identity(), (2, 3, 4), r"has 3 axes: identity needs two beside the batch axes; .*"),
    (lambda: fi.identity(batch_axis=0), SHAPE, r"shape \(4, 6\) has no fans: need an input and"),
    (lambda: fi.identity(batch_axis=5), SHAPE, r"axis 5 does not exist in shape \(4, 6\)"),
    (lambda: fi.dirac(3), (4, 2, 3), r"^groups=3 does not divide the 4 outputs of \(4, 2, 3\)$"),
    (lambda: fi.dirac(0), SHAPE, r"^groups is 0: need a whole number of 1 or more$"),
    (lambda: fi.dirac(layout="flax"), SHAPE, r"^layout 'flax' is unknown: choose from torch, "),
    (
        lambda: fi.dirac(),
        SHAPE,
        r"has 2 axes: dirac needs the 3, 4 or 5 of a convolution; for a matrix take",
    ),
    (lambda: fi.dirac(), (1, 2, 3, 4, 5, 6), r"has 6 axes: dirac needs the 3, 4 or 5 of a conv"),
    (lambda: fi.schemes.zero_hadamard(), (5,), r"^shape \(5,\) has no fans"),
    (
        lambda: fi.schemes.zero_hadamard(),
        (1,) * 6,
        r"has 6 axes: zero_hadamard needs the 3, 4 or 5",
    ),
    (lambda: fi.schemes.zero_hadamard(layout=""), SHAPE, r"^layout '' is unknown: choose from"),
    (lambda: fi.orthogonal(-1), SHAPE, r"^gain is -1.0: need a finite number >= 0$"),
    (lambda: fi.orthogonal(math.nan), SHAPE, r"^gain is nan: need a finite number >= 0$"),
    (lambda: fi.orthogonal(math.inf), SHAPE, r"^gain is inf: need a finite number >= 0$"),
    (lambda: fi.orthogonal(), (4,), r"^shape \(4,\) has no fans"),
    (lambda: fi.orthogonal(), (), r"^shape \(\) has no fans"),
    (
        lambda: fi.orthogonal(column_axis=2),
        SHAPE,
        r"^column_axis 2 does not exist in shape \(4, 6\): choose from -2 to 1$",
    ),
    (
        lambda: fi.orthogonal(column_axis=-3),
        SHAPE,
        r"^column_axis -3 does not exist in shape \(4, 6\): choose from -2 to 1$",
    ),
    (
        lambda: fi.orthogonal(column_axis=-3, batch_axis=0),
        (4, 3, 2),
        r"^column_axis -3 of shape \(4, 3, 2\) is a batch axis: choose from 1, 2$",
    ),
    (
        lambda: fi.schemes.delta_orthogonal(-0.5),
        (4, 3, 2),
        r"^gain is -0.5: need a finite number >= 0$",
    ),
    (
        lambda: fi.schemes.delta_orthogonal(),
        (3, 4, 2),
        r"has 4 inputs and 3 outputs in layout 'torch': delta_orthogonal needs at least as many",
    ),
    (
        lambda: fi.schemes.delta_orthogonal(layout="jax"),
        (3, 3, 8, 4),
        r"has 8 inputs and 4 outputs in layout 'jax': .* or the other layout if the axes lie",
    ),
    (
        lambda: fi.schemes.delta_orthogonal(),
        SHAPE,
        r"has 2 axes: delta_orthogonal needs the 3, 4 or 5 of",
    ),
    (lambda: fi.sparse(-0.1), SHAPE, r"^sparsity is -0.1: need 0 <= sparsity <= 1, the share of"),
    (lambda: fi.sparse(1.5), SHAPE, r"^sparsity is 1.5: need 0 <= sparsity <= 1"),
    (lambda: fi.sparse(math.nan), SHAPE, r"^sparsity is nan: need 0 <= sparsity <= 1"),
    (lambda: fi.sparse(0.5, std=-1), SHAPE, r"^std is -1.0: need std >= 0$"),
    (lambda: fi.sparse(0.5), (4, 3, 2), r"has 3 axes: sparse needs \(rows, columns\)$"),
    (
        lambda: fi.sparse(0.5),
        (2**32, 3),
        r"has an axis of 4294967296: sparse takes axes below 2\*\*32$",
    ),
    (lambda: fi.sparse(0.5), (2**33, 4), r"has an axis of 8589934592: sparse takes axes below"),
    (
        lambda: fi.sparse(0.5),
        (2**31, 2**31),
        r"has 4611686018427387904 elements: sparse takes less",
    ),
    (
        lambda: fi.schemes.spectral_normalised(-1),
        SHAPE,
        r"^gain is -1.0: need a finite number >= 0$",
    ),
    (lambda: fi.schemes.spectral_normalised(), (4,), r"^shape \(4,\) has no fans"),
    (
        lambda: fi.schemes.spectral_normalised(batch_axis=1),
        (4, 3, 2),
        r"^batch_axis=1 of shape \(4, 3, 2\): must be the first axes; take a tensor whose ",
    ),
    (
        lambda: fi.he_normal(packed=(1, 2)),
        SHAPE,
        r"^packed=\(1, 2\) makes 3 outputs, but shape \(4, 6\) has \[4\]: the numbers must be",
    ),
    (
        lambda: fi.he_normal(packed=(4, 2), in_axis=0, out_axis=(1, 2)),
        (2, 3, 2),
        r"^packed=\(4, 2\) makes 6 outputs, but shape \(2, 3, 2\) has \[3, 2\]",
    ),
    (
        lambda: fi.identity(batch_axis=0).distribution((2, 4, 6)),
        SHAPE,
        r"^the distribution has shape \(2, 4, 6\), but the tensor has \(4, 6\)$",
    ),
]


@pytest.mark.parametrize(("scheme", "shape", "words"), MISTAKES)
def test_a_mistake_is_explained_and_nothing_is_written(scheme, shape, words):
    out = np.full(1, 7.0, np.float32)
    with pytest.raises(ValueError, match=words):
        filled(out, scheme(), shape=shape, region=range(1))
    assert (out == 7.0).all()
    with pytest.raises(ValueError, match=words):
        made(shape, scheme(), region=range(1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: fi.sparse("0.5"),
            r"^sparsity is '0.5': need a number, without quotes: sparsity=0.5$",
        ),
        (lambda: fi.sparse(), r"^sparse\(sparsity, std=0.01\): missing a required argument"),
        (lambda: fi.orthogonal("1"), r"^gain is '1': need a number, without quotes: gain=1$"),
        (lambda: fi.orthogonal(column_axis=0.5), r"^column_axis is 0.5: need a whole number$"),
        (lambda: fi.orthogonal(batch_axis="x"), r"^batch_axis is 'x': need an integer, or a tuple"),
        (lambda: fi.dirac(groups=True), r"^groups is True: need a whole number$"),
        (lambda: fi.identity(True), r"^gain is True: need a number$"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_explained(call, words):
    with pytest.raises(TypeError, match=words):
        call()


TOO_LARGE = {
    "float32": 1e39,
    "float16": 7e4,
    "bfloat16": 3.4e38,
    "float8_e4m3fn": 500.0,
    "float8_e5m2": 7e4,
}


@pytest.mark.parametrize(("dtype", "gain"), TOO_LARGE.items())
def test_a_gain_that_the_dtype_does_not_have_is_explained(dtype, gain):
    shown = re.escape(repr(gain))
    for scheme, what in [
        (fi.identity(gain, batch_axis=2), "gain"),
        (fi.orthogonal(gain), "gain"),
        (fi.schemes.delta_orthogonal(gain), "gain"),
        (fi.schemes.spectral_normalised(gain), "spectral norm"),
    ]:
        out = np.full((2, 2, 1), 7.0, ref.DTYPES[dtype])
        with pytest.raises(ValueError, match=rf"^{what} {shown} is not a {dtype} number: the larg"):
            filled(out, scheme)
        assert (out == 7).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_std_of_sparse_that_may_overflow_is_explained(dtype):
    out = np.full((2, 2), 7.0, ref.DTYPES[dtype])
    with pytest.raises(ValueError, match=rf"^normal can reach .*, beyond {dtype}'s largest numb"):
        filled(out, fi.sparse(0.5, std=TOO_LARGE[dtype]))
    assert (out == 7).all()


def test_a_norm_beyond_float64_is_explained():
    with pytest.raises(ValueError, match=r"^spectral norm inf is not a float64 number"):
        made((4, 1), fi.schemes.spectral_normalised(1e308), dtype="float64")


@pytest.mark.parametrize(("dtype", "gain"), [("float64", 1.7e308), ("bfloat16", 1e38)])
def test_a_norm_that_scaled_normals_may_overflow_on_the_way_to_is_explained(dtype, gain):
    out = np.full((1, 1), 7.0, ref.DTYPES[dtype])
    with pytest.raises(ValueError, match=r"^spectral norm 1.* is too large: .*; need at most "):
        sampler_of(fi.schemes.spectral_normalised(gain), (1, 1), dtype)
    with pytest.raises(ValueError, match=r"^spectral norm 1.* is too large: .*; need at most "):
        filled(out, fi.schemes.spectral_normalised(gain))
    assert (out == 7).all()


def test_a_norm_of_zero_looks_at_no_normals(monkeypatch):
    monkeypatch.delattr("fastinit.values.matrices.spectral.normals")
    assert not made((6, 4), fi.schemes.spectral_normalised(0)).any()
