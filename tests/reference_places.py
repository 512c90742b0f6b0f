# SPDX-License-Identifier: MIT
"""Tensors a second time: from a scheme's text to values, docs/stream.md 13.1 to 13.5 among them.

Element by element where it can be, by reference_matrices.py where linear algebra or a whole column
is looked at.  What each element's own word makes is in reference_schemes.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import reference as ref
import reference_compounds as compounds
import reference_matrices as matrices
from reference import Array
from reference_calls import SIGNATURES, Made, call
from reference_schemes import Arguments, Parts, Shape, axes_of, distribution_of, fans_of, listed

Stream = tuple[int, str]

PLACES = ("identity", "dirac", "zero_hadamard")
TO_ROUNDING = ("orthogonal", "delta_orthogonal", "spectral_normalised")
"""Schemes whose values linear algebra makes: float64 numbers before the last rounding."""


def values_of(text: str, shape: Shape, stream: Stream, start: int, count: int, dtype: str) -> Array:
    """Elements start to start + count of a tensor, of shape (count,)."""
    return values_of_made(call(text), shape, stream, start, count, dtype)


def values_of_made(
    made: Made, shape: Shape, stream: Stream, start: int, count: int, dtype: str
) -> Array:
    """The same of a scheme that was read."""
    name, a = made
    if name in compounds.COMPOUNDS:
        return compounds.compound(made, shape, stream, start, count, dtype, values_of_made)
    if name in compounds.TABLES:
        return compounds.table(name, a, shape, start, count, dtype)
    if name in PLACES:
        each = [_place(name, a, shape, start + n) for n in range(count)]
        return np.concatenate([matrices.number(value, dtype) for value in each])
    if name == "sparse":
        whole = matrices.sparse(stream, shape, a["sparsity"], a["std"], dtype)
    elif name in TO_ROUNDING:
        whole = _by_linear_algebra(name, a, shape, stream, dtype)
    else:
        return _drawn(distribution_of(name, a, shape), shape, stream, start, count, dtype)
    return whole.reshape(-1)[start : start + count]


def _drawn(
    found: ref.Distribution | Parts,
    shape: Shape,
    stream: Stream,
    start: int,
    count: int,
    dtype: str,
) -> Array:
    if not isinstance(found, Parts):
        return ref.values(*stream, found, start, count, dtype)
    each = [
        ref.values(*stream, _part(found, _index(start + n, shape)), start + n, 1, dtype)
        for n in range(count)
    ]
    return np.concatenate(each)


def _part(parts: Parts, index: Shape) -> ref.Distribution:
    place = index[parts.axis]
    for size, distribution in zip(parts.sizes, parts.distributions, strict=True):
        if place < size:
            return distribution
        place -= size
    raise IndexError(f"{index} is in no part")


def _index(element: int, shape: Shape) -> Shape:
    """The indices of an element, in row-major order."""
    found: list[int] = []
    for size in reversed(shape):
        element, index = divmod(element, size)
        found.append(index)
    return tuple(reversed(found))


# ---- 13.1: constants in places ------------------------------------------------------------------


def _place(name: str, a: Arguments, shape: Shape, element: int) -> float:
    index = _index(element, shape)
    if name == "identity":
        batch = [axis % len(shape) for axis in listed(a["batch_axis"])]
        row, column = (i for axis, i in enumerate(index) if axis not in batch)
        return float(a["gain"]) if row == column else 0.0
    (input_axis,), (output_axis,), _ = axes_of(shape, a)
    kernel = [axis for axis in range(len(shape)) if axis not in (input_axis, output_axis)]
    if any(index[axis] != shape[axis] // 2 for axis in kernel):
        return 0.0
    inputs, outputs = shape[input_axis], shape[output_axis]
    i, o = index[input_axis], index[output_axis]
    if name == "dirac":
        n = outputs // a["groups"]
        return float(i == o % n and i < min(n, inputs))
    if outputs <= inputs:
        return float(i == o)
    c = math.sqrt(2.0 ** -(outputs - 1).bit_length())
    return -c if (i & o).bit_count() % 2 else c


# ---- 13.4, 13.5: linear algebra -----------------------------------------------------------------


def _orthogonal(a: Arguments, shape: Shape, stream: Stream, dtype: str) -> Array:
    """`orthogonal`, in float64."""
    full = {**_defaults("orthogonal"), **a}
    _, (output,), batch = axes_of(shape, full)
    axis = output if full["column_axis"] is None else full["column_axis"] % len(shape)
    return matrices.orthogonal(stream, shape, axis, batch, dtype) * full["gain"]


def _defaults(name: str) -> dict[str, Any]:
    return dict(SIGNATURES[name].defaults)


def _by_linear_algebra(name: str, a: Arguments, shape: Shape, stream: Stream, dtype: str) -> Array:
    if name == "orthogonal":
        return _orthogonal(a, shape, stream, dtype)
    _, (output,), batch = axes_of(shape, a)
    if name == "delta_orthogonal":
        outputs, inputs = matrices.sizes(shape, a["layout"])
        tap = (outputs, inputs) if a["layout"] == "torch" else (inputs, outputs)
        matrix = _orthogonal(a, tap, stream, dtype)
        return matrices.at_the_earlier_middle(shape, a["layout"], matrix)
    fan_in, fan_out = fans_of(shape, a)
    norm = a["gain"] * math.sqrt(fan_out / fan_in)
    return matrices.spectral_normalised(stream, shape, output, len(batch), norm, dtype)
