# SPDX-License-Identifier: MIT
"""Linear algebra for initialisers of a whole matrix: Haar-distributed bases, the spectral norm.

Pure functions on NumPy arrays, with the BLAS and LAPACK that NumPy was built with.  Nothing here
knows of streams, distributions or schemes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]

PANEL = 256
"""Reflectors that are applied together; 192 to 384 are as fast, 128 and 512 slower."""

PANEL_ROWS = 512
"""Rows that are updated, or looked at in float64, together: they stay in the cache."""

COLUMNS = 2048
"""Columns whose products with the reflectors are taken together, so that none takes long."""

SMALLEST = float(np.sqrt(np.finfo(np.float64).tiny))
"""A column whose norm is no larger counts as zero: its square is subnormal in float64."""

CHECK = 5
"""Lanczos steps from one look at the eigenvalues to the next."""

TOLERANCE = {"float32": 1e-8, "float64": 1e-12}
"""Up to what relative error of its square, as estimated, a spectral norm is sought."""


def _check(what: str, matrix: Floats) -> None:
    if matrix.ndim != 2:
        raise ValueError(f"{what} is of shape {matrix.shape}: need two axes")
    if matrix.dtype.name not in TOLERANCE:
        raise TypeError(f"{what} is of dtype {matrix.dtype}: need float32 or float64")


# ---- Haar ---------------------------------------------------------------------------------------


def _nothing() -> None:
    """What is called between steps if nobody asks for anything."""


def haar(
    normals: Floats, *, out: Floats | None = None, between: Callable[[], None] = _nothing
) -> Floats:
    """A Haar-distributed matrix made of independent standard normals.

    For an m x n matrix A with m >= n, column k gives a Householder reflector by itself: H_k maps
    x = A[k:, k] to a multiple of the first unit vector, and leaves the first k elements of what it
    is applied to.  With s_k = -sign(x_0), the sign of that multiple, and 0-based k,

        Q = H_0 H_1 ... H_{n-1} [I; 0] diag(s_0, ..., s_{n-1}).

    The factorisation of a Gaussian matrix would find reflectors of the same distribution, because
    what remains of it after k steps is Gaussian again (Stewart 1980, "The efficient generation of
    random orthogonal matrices with an application to condition estimators", SIAM J. Numer. Anal.
    17(3), 403-409).  So Q is the orthogonal factor of some Gaussian matrix, with a positive
    diagonal in the other factor, which makes it exactly Haar distributed (Mezzadri 2007,
    arXiv:math-ph/0609050).  It is not the factor of `normals`, for which NumPy, torch and JAX do
    twice the work.  That one's last columns depend on what is left of the matrix when all others
    are taken from it, which is now and then next to nothing: rounding moves its elements by up to
    100 times as much.

    A wide matrix is made as the transpose of a tall one.  A column that is zero from k on gives
    H_k = I and s_k = 1.

    Beside `out`, memory is needed for PANEL rows and PANEL columns of it and PANEL_ROWS rows.  With
    another build of BLAS, or another number of its threads, results agree to rounding.

    Args:
        normals: of shape (m, n), float32 or float64, finite.
        out: where the result goes, of the same shape and dtype; may be `normals` itself, which
            saves a copy.
        between: called between steps, some tenths of a second apart at most; may raise, to end it.

    Returns:
        `out`, or a new array: orthonormal columns if m >= n, orthonormal rows if m < n.

    Raises:
        ValueError: `normals` has other than two axes, or `out` is of another shape.
        TypeError: `normals` has another dtype, or `out` has not the dtype of `normals`.

    >>> haar(np.array([[3.0], [4.0]]))
    array([[0.6],
           [0.8]])
    """
    _check("normals", normals)
    if out is None:
        out = np.empty(normals.shape, normals.dtype)
    elif out.shape != normals.shape:
        raise ValueError(f"out is of shape {out.shape}, normals of {normals.shape}: need the same")
    elif out.dtype != normals.dtype:
        raise TypeError(f"out is of dtype {out.dtype}, normals of {normals.dtype}: need the same")
    if out is not normals:
        np.copyto(out, normals)
    _accumulate(out if out.shape[0] >= out.shape[1] else out.T, between)
    return out


def _accumulate(q: Floats, between: Callable[[], None]) -> None:
    """Overwrite the tall matrix `q` of normals with the product of its reflectors.

    From the last block of columns to the first, so that what is left of a block is still normals,
    and what is right of it the product of the later reflectors, zero above their first row.
    """
    columns = q.shape[1]
    scratch = np.empty_like(q, shape=(PANEL_ROWS, columns))  # laid out as q is
    for start in reversed(range(0, columns, PANEL)):
        between()
        v, signs = _reflectors(q[start:, start : start + PANEL])
        t = _triangle(v)
        _apply(v, t, q[start:, start + PANEL :], scratch, between)
        _first_columns(v, t, signs, q[start:, start : start + PANEL])


def _reflectors(panel: Floats) -> tuple[Floats, Floats]:
    """V and the signs s_k of a panel: column k of V is v with H_k = I - 2 v v', |v| = 1.

    v is proportional to x + sign(x_0) |x| e_0, which nothing cancels in; its squared norm is
    2 |x| (|x| + |x_0|).  All in float64, and rounded once.
    """
    v = np.tril(panel).astype(np.float64, copy=False)
    first = v.diagonal().copy()
    norm = np.sqrt(np.einsum("ij,ij->j", v, v))
    side = np.where(first < 0, -1.0, 1.0)
    there = norm > SMALLEST
    length = np.sqrt(2 * norm * (norm + np.abs(first)))
    np.fill_diagonal(v, first + side * norm)
    v *= np.divide(1.0, length, out=np.zeros_like(norm), where=there)
    dtype = panel.dtype
    return v.astype(dtype, copy=False), np.where(there, -side, 1.0).astype(dtype, copy=False)


def _triangle(v: Floats) -> Floats:
    """The upper triangular T for which the product of the reflectors of V is I - V T V'.

    inv(T) is the part of V'V above the diagonal, and half of its diagonal, which is 1 (Joffrain,
    Low, Quintana-Orti, van de Geijn, Van Zee 2006, "Accumulating Householder transformations,
    revisited", ACM Trans. Math. Softw. 32(2)).  Where a column of V is zero, any diagonal does.
    """
    inverse = np.triu(v.T @ v, 1).astype(np.float64, copy=False)
    np.fill_diagonal(inverse, 0.5)
    return np.linalg.inv(inverse).astype(v.dtype, copy=False)


def _apply(v: Floats, t: Floats, q: Floats, scratch: Floats, between: Callable[[], None]) -> None:
    """Subtract V T V' q from `q`, whose first rows, one for each reflector, become defined here."""
    block = v.shape[1]
    weights = np.empty((block, q.shape[1]), q.dtype)
    for column in range(0, q.shape[1], COLUMNS):
        between()
        some = slice(column, column + COLUMNS)
        np.matmul(t, v[block:].T @ q[block:, some], out=weights[:, some])
    q[:block] = 0
    for row in range(0, len(q), PANEL_ROWS):
        between()
        part = q[row : row + PANEL_ROWS]
        product = scratch[: len(part), : q.shape[1]]
        np.matmul(v[row : row + PANEL_ROWS], weights, out=product)
        part -= product


def _first_columns(v: Floats, t: Floats, signs: Floats, q: Floats) -> None:
    """Set `q` to the first columns of I - V T V', one for each reflector, times their signs."""
    block = v.shape[1]
    np.matmul(v, t @ v[:block].T * -signs, out=q)
    diagonal = np.einsum("ii->i", q[:block])
    diagonal += signs


# ---- spectral norm ------------------------------------------------------------------------------


def spectral_norm(matrix: Floats, *, between: Callable[[], None] = _nothing) -> float:
    """The largest singular value of a matrix.

    Lanczos's method on A'A, or AA' where that is smaller, with full reorthogonalisation and a fixed
    first vector (Golub, Van Loan 2013, "Matrix computations", 4th edition, section 10.1): about 70
    products with A for the square Gaussian matrix of 8192 rows, whose largest singular values lie
    close together.  The vector it finds, x, then gives |A x| / |x| in float64, whose error is of
    second order in that of x.

    It ends when the residual r of the largest eigenvalue, at distance g from the next, promises an
    error r^2 / g of at most TOLERANCE times itself.  Beside `matrix`, memory is needed for as many
    float64 vectors of its shorter side as there are products.

    Args:
        matrix: of shape (m, n), float32 or float64, finite.
        between: as for `haar`.

    Returns:
        The norm, relative error below 1e-6 for float32 and 1e-10 for float64, unless its square
        leaves the range of float64; 0 if there are no elements.  The same for every run of one
        build with as many threads.

    Raises:
        ValueError: `matrix` has other than two axes.
        TypeError: `matrix` has another dtype.

    >>> spectral_norm(np.array([[3.0], [4.0]]))
    5.0
    """
    _check("matrix", matrix)
    if not matrix.size:
        return 0.0
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    x = _leading(tall, between)
    return float(np.linalg.norm(_product(tall, x)) / np.linalg.norm(x))


def _leading(matrix: Floats, between: Callable[[], None]) -> Doubles:
    """An approximate right singular vector of the largest singular value of a tall matrix."""
    columns = matrix.shape[1]
    # RandomState's numbers never change (NEP 19), and chance makes them orthogonal to nothing.
    vector: Doubles = np.random.RandomState(0).standard_normal((columns,))
    basis = np.empty((0, columns))
    diagonal: list[float] = []
    beside = [float(np.linalg.norm(vector))]  # the diagonal; [0] is the first vector's length
    while True:
        between()
        basis = np.vstack([basis, vector / beside[-1]])
        vector = _gram(matrix, basis[-1])
        diagonal.append(float(vector @ basis[-1]))
        for _ in range(2):  # the second time removes what rounding left
            vector -= (basis @ vector) @ basis
        beside.append(float(np.linalg.norm(vector)))
        last = len(basis) == columns or beside[-1] <= _noise(matrix, diagonal[0])
        if last or len(basis) % CHECK == 0:
            weights, bound = _ritz(diagonal, beside[1:])
            if last or bound <= TOLERANCE[matrix.dtype.name]:
                return weights @ basis


def _gram(matrix: Floats, vector: Doubles) -> Doubles:
    """A'A times a vector; A times the vector is scaled to length 1 between."""
    image = (matrix @ vector.astype(matrix.dtype)).astype(np.float64)
    length = float(np.linalg.norm(image)) or 1.0
    back = (image / length).astype(matrix.dtype) @ matrix
    return back.astype(np.float64) * length


def _noise(matrix: Floats, size: float) -> float:
    """Up to what length a residual beside an eigenvalue of `size` is rounding alone."""
    return 4 * float(np.finfo(matrix.dtype).eps) * size


def _ritz(diagonal: list[float], beside: list[float]) -> tuple[Doubles, float]:
    """The largest eigenvalue of Lanczos's tridiagonal matrix: its vector, its relative error.

    The error is estimated as r^2 / g, see `spectral_norm`.
    """
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], -1))
    top, weights = values[-1], vectors[:, -1]
    residual = beside[-1] * abs(weights[-1])
    gap = top - values[-2] if len(values) > 1 else 0.0
    return weights, residual**2 / (gap * top) if gap > 0 else np.inf


def _product(matrix: Floats, vector: Doubles) -> Doubles:
    """A x in float64."""
    steps = range(0, len(matrix), PANEL_ROWS)
    return np.concatenate(
        [matrix[row : row + PANEL_ROWS].astype(np.float64) @ vector for row in steps]
    )
