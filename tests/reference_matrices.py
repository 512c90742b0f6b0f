# SPDX-License-Identifier: MIT
"""Distributions of a whole tensor a second time, in plain NumPy, from docs/stream.md alone.

Slow, and not the library: words and normals come from reference.py, everything else is loops over
indices.  What linear algebra makes is returned in float64, to be compared to rounding; the rest is
compared to the bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import reference as ref
from reference import Array

Shape = tuple[int, ...]


def number(value: float, dtype: str) -> Array:
    """A constant rounded to `dtype`, of shape (1,)."""
    return ref.map_words(np.zeros(2, np.uint32), ref.Constant(value), dtype)[:1]


def zeros(shape: Shape, dtype: str) -> Array:
    return np.zeros(shape, ref.DTYPES[dtype])


def indices(*sizes: int) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, sizes))


# ---- places -------------------------------------------------------------------------------------


def identity(shape: Shape, gain: float, batch: Sequence[int], dtype: str) -> Array:
    out = zeros(shape, dtype)
    for index in indices(*shape):
        row, column = (i for axis, i in enumerate(index) if axis not in batch)
        if row == column:
            out[index] = number(gain, dtype)[0]
    return out


def tap(shape: Shape, layout: str, before: int, outputs: int, inputs: int) -> tuple[int, ...]:
    """The index of an element of the tap (k - before) // 2."""
    if layout == "torch":
        return outputs, inputs, *((k - before) // 2 for k in shape[2:])
    return *((k - before) // 2 for k in shape[:-2]), inputs, outputs


def sizes(shape: Shape, layout: str) -> tuple[int, int]:
    """How many outputs, how many inputs."""
    return (shape[0], shape[1]) if layout == "torch" else (shape[-1], shape[-2])


def dirac(shape: Shape, groups: int, layout: str, dtype: str) -> Array:
    out = zeros(shape, dtype)
    outputs, inputs = sizes(shape, layout)
    each = outputs // groups
    for group, d in indices(groups, each):
        if d < inputs and out.size:
            out[tap(shape, layout, 0, group * each + d, d)] = number(1.0, dtype)[0]
    return out


def hadamard(log2: int) -> Array:
    """Sylvester's matrix of 2^log2 rows."""
    found = np.ones((1, 1))
    for _ in range(log2):
        found = np.block([[found, found], [found, -found]])
    return found


def zero_matrix(outputs: int, inputs: int) -> Array:
    """Algorithm 1 of arXiv:2110.12661, with the factor of the authors' code."""
    if outputs <= inputs:
        return np.eye(outputs, inputs)
    log2 = next(n for n in range(64) if 2**n >= outputs)
    square = math.sqrt(2.0**-log2) * hadamard(log2)
    return np.eye(outputs, 2**log2) @ square @ np.eye(2**log2, inputs)


def zero_hadamard(shape: Shape, layout: str, dtype: str) -> Array:
    out = zeros(shape, dtype)
    outputs, inputs = sizes(shape, layout)
    matrix = zero_matrix(outputs, inputs)
    for i, j in indices(outputs, inputs):
        if out.size:
            out[tap(shape, layout, 0, i, j)] = number(matrix[i, j], dtype)[0]
    return out


def at_the_earlier_middle(shape: Shape, layout: str, matrix: Array) -> Array:
    """delta_orthogonal: `matrix` at the tap (k - 1) // 2 of a tensor of zeros."""
    out = np.zeros(shape, matrix.dtype)
    outputs, inputs = sizes(shape, layout)
    for i, j in indices(outputs, inputs):
        if out.size:
            there = (i, j) if layout == "torch" else (j, i)
            out[tap(shape, layout, 1, i, j)] = matrix[there]
    return out


def packed(
    stream: tuple[int, str],
    shape: Shape,
    axis: int,
    parts: Sequence[tuple[int, ref.Distribution]],
    dtype: str,
) -> Array:
    """Each part is (how many indices of `axis`, their distribution)."""
    wholes = [ref.values(*stream, d, 0, math.prod(shape), dtype).reshape(shape) for _, d in parts]
    which = [n for n, (size, _) in enumerate(parts) for _ in range(size)]
    out = zeros(shape, dtype)
    for index in indices(*shape):
        out[index] = wholes[which[index[axis]]][index]
    return out


# ---- sparse -------------------------------------------------------------------------------------


def sparse_zeros(stream: tuple[int, str], shape: Shape, sparsity: float) -> Array:
    """Where the zeros are, as booleans."""
    rows, columns = shape
    words = ref.words(*stream, 2**63, rows * columns).reshape(shape)
    out = np.zeros(shape, bool)
    for column in range(columns):
        keys = [(int(words[row, column]), row) for row in range(rows)]
        for _, row in sorted(keys)[: math.ceil(sparsity * rows)]:
            out[row, column] = True
    return out


def sparse(stream: tuple[int, str], shape: Shape, sparsity: float, std: float, dtype: str) -> Array:
    out = ref.values(*stream, ref.Normal(std), 0, math.prod(shape), dtype).reshape(shape)
    out[sparse_zeros(stream, shape, sparsity)] = 0
    return out


# ---- linear algebra -----------------------------------------------------------------------------


def normals(stream: tuple[int, str], shape: Shape, dtype: str) -> Array:
    """The standard normals that a matrix of `dtype` is made of, in float64."""
    made_in = "float64" if dtype == "float64" else "float32"
    drawn = ref.values(*stream, ref.Normal(), 0, math.prod(shape), made_in)
    return drawn.astype(np.float64).reshape(shape)


def stewart(matrix: Array) -> Array:
    """H_0 H_1 ... H_{n-1} [I; 0] diag(s), one reflector after the other."""
    rows, columns = matrix.shape
    if rows < columns:
        return stewart(matrix.T).T
    q, signs = np.eye(rows, columns), np.ones(columns)
    for k in reversed(range(columns)):
        v = matrix[k:, k].copy()
        if not v.any():
            continue
        sign = -1.0 if v[0] < 0 else 1.0
        v[0] += sign * math.sqrt(v @ v)
        q[k:] -= np.outer(v, 2 * (v @ q[k:]) / (v @ v))
        signs[k] = -sign
    return q * signs


def orthogonal(
    stream: tuple[int, str], shape: Shape, axis: int, batch: Sequence[int], dtype: str
) -> Array:
    values, out = normals(stream, shape, dtype), np.zeros(shape)
    for index in indices(*(shape[a] for a in batch)):
        where = [slice(None)] * len(shape)
        for a, i in zip(batch, index, strict=True):
            where[a] = slice(i, i + 1)
        part = np.moveaxis(values[tuple(where)], axis, 0)
        made = stewart(part.reshape(shape[axis], -1)) if part.size else part
        out[tuple(where)] = np.moveaxis(made.reshape(part.shape), 0, axis)
    return out


def spectral_normalised(
    stream: tuple[int, str], shape: Shape, axis: int, stacked: int, norm: float, dtype: str
) -> Array:
    values, out = normals(stream, shape, dtype), np.zeros(shape)
    for index in indices(*shape[:stacked]):
        if values[index].size:
            matrix = np.moveaxis(values[index], axis - stacked, 0).reshape(shape[axis], -1)
            out[index] = values[index] * (norm / np.linalg.svd(matrix, compute_uv=False)[0])
    return out
