# SPDX-License-Identifier: MIT
"""Compound schemes and tables a second time, element by element: docs/stream.md, 18 and 19.

What a plain scheme makes is asked of the function `values`, reference_places.py's.  Nothing is
shared with the library.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import reference as ref
import reference_formulas as formulas
import reference_functions as functions
from reference import Array
from reference_calls import Made
from reference_functions import log, wave
from reference_schemes import FIXED, OF_SHAPE, SCALED, Parts, Shape, distribution_of

Stream = tuple[int, str]
Values = Callable[[Made, Shape, Stream, int, int, str], Array]
"""From a scheme, a shape, a stream, a start, a count and a dtype to elements."""

ELEMENTWISE = ("mapped", "log_uniform", "inverse_softplus_log_uniform")
COMPOUNDS = (*ELEMENTWISE, "parts", "same_as", "norms_of", "slice_of")
TABLES = ("linspace", "log_arange", "sinusoid", "literal", "table")


def rounded(numbers: list[float], dtype: str) -> Array:
    """float64 numbers rounded to float32 and then to the dtype; float8 saturates."""
    wide = np.array(numbers, np.float64)
    if dtype == "float64":
        return wide
    values = ref.f32(wide)
    if dtype.startswith("float8"):
        largest = ref.finite_numbers(dtype)[-1]
        values = np.clip(values, -largest, largest)
    return values.astype(ref.DTYPES[dtype])


def wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


# ---- 18: compound schemes -----------------------------------------------------------------------


def compound(
    made: Made, shape: Shape, stream: Stream, start: int, count: int, dtype: str, values: Values
) -> Array:
    name, a = made
    if name in ELEMENTWISE:
        base, text = _mapping(made)
        drawn = values(base, shape, stream, start, count, wide(dtype)).astype(np.float64)
        formula = formulas.parse(text, "x")
        return rounded([formulas.value(formula, {"x": x}) for x in drawn.tolist()], dtype)
    if name == "same_as":
        return values(a["init"], shape, (stream[0], a["of"]), start, count, dtype)
    if name == "norms_of":
        return _norms(a, stream, start, count, dtype, values)
    if name == "slice_of":
        return _slice(a, shape, stream, start, count, dtype, values)
    return _parts(a, shape, stream, start, count, dtype, values)


def _mapping(made: Made) -> tuple[Made, str]:
    """The scheme that is mapped, and the formula."""
    name, a = made
    if name == "mapped":
        return a["init"], a["expression"]
    base = Made("uniform", {"low": log(a["low"]), "high": log(a["high"])})
    if name == "log_uniform":
        return base, f"maximum(minimum(exp(x), {a['high']!r}), {a['low']!r})"
    t = f"maximum(minimum(exp(x), {a['high']!r}), {max(a['low'], a['floor'])!r})"
    return base, f"{t} + log(-expm1(-{t}))"


def independent(made: Made, shape: Shape) -> bool:
    """Whether every element has the same distribution, of its own word."""
    name, a = made
    if name == "mapped":
        return independent(a["init"], shape)
    if name in ELEMENTWISE or name in FIXED:
        return True
    if name not in SCALED and name not in OF_SHAPE:
        return False
    found = distribution_of(name, a, shape)
    return not isinstance(found, Parts) or len(set(found.distributions)) == 1


def _indices(text: str, shape: Shape) -> list[tuple[bool, list[int]]]:
    """For each axis whether it is dropped, and its indices."""
    items = [item for item in text.split(",") if item.strip()]
    found = []
    for axis, dim in enumerate(shape):
        item = items[axis] if axis < len(items) else ":"
        numbers = [int(piece) if piece.strip() else None for piece in item.split(":")]
        if len(numbers) == 1:
            found.append((True, [range(dim)[numbers[0]]]))
        else:
            found.append((False, list(range(dim)[slice(*numbers)])))
    return found


def _box_name(box: list[tuple[bool, list[int]]], text: str, shape: Shape) -> str:
    names = []
    for axis, (dropped, indices) in enumerate(box):
        if dropped:
            names.append(str(indices[0]))
            continue
        items = [item for item in text.split(",") if item.strip()]
        item = items[axis] if axis < len(items) else ":"
        first = slice(*(int(p) if p.strip() else None for p in item.split(":"))).indices(
            shape[axis]
        )[0]
        step = indices[1] - indices[0] if len(indices) > 1 else 1
        last = indices[-1] + 1 if indices else first
        names.append(f"{first}:{last}" + (f":{step}" if step > 1 else ""))
    return f"[{','.join(names)}]"


def _parts(
    a: dict[str, Any],
    shape: Shape,
    stream: Stream,
    start: int,
    count: int,
    dtype: str,
    values: Values,
) -> Array:
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    out = values(a["init"], shape, stream, start, count, dtype).copy()
    for text, scheme in zip(a["pairs"][::2], a["pairs"][1::2], strict=True):
        box = _indices(text, shape)
        part = tuple(len(indices) for dropped, indices in box if not dropped)
        own = independent(scheme, part)
        name = stream if own else (stream[0], stream[1] + _box_name(box, text, shape))
        for number, index in enumerate(itertools.product(*(indices for _, indices in box))):
            element = sum(i * s for i, s in zip(index, strides, strict=True))
            if start <= element < start + count:
                at = element if own else number
                out[element - start] = _one(scheme, part, name, at, dtype, values)
    return out


def _slice(
    a: dict[str, Any],
    shape: Shape,
    stream: Stream,
    start: int,
    count: int,
    dtype: str,
    values: Values,
) -> Array:
    """Some elements of a region: all of the other tensor, of which some are taken."""
    whole = _tuple(a["shape"])
    box = _indices(a["region"], whole)
    assert shape == tuple(len(indices) for dropped, indices in box if not dropped)
    w = values(a["init"], whole, (stream[0], a["of"]), 0, math.prod(whole), dtype)
    strides = [math.prod(whole[axis + 1 :]) for axis in range(len(whole))]
    every = itertools.product(*(indices for _, indices in box))
    some = itertools.islice(every, start, start + count)
    return w[[sum(i * s for i, s in zip(index, strides, strict=True)) for index in some]]


def _one(made: Made, shape: Shape, stream: Stream, at: int, dtype: str, values: Values) -> Any:
    return values(made, shape, stream, at, 1, dtype)[0]


def _norms(
    a: dict[str, Any], stream: Stream, start: int, count: int, dtype: str, values: Values
) -> Array:
    whole = _tuple(a["shape"])
    kept = sorted(axis % len(whole) for axis in _tuple(a["axes"]))
    v = values(a["init"], whole, (stream[0], a["of"]), 0, math.prod(whole), dtype)
    v = np.moveaxis(v.astype(np.float64).reshape(whole), kept, range(len(kept)))
    slices = v.reshape(math.prod(whole[axis] for axis in kept), -1) if v.size else v
    found = [functions.norm(slices[n].tolist()) for n in range(start, start + count)]
    return rounded(found, dtype)


def _tuple(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


# ---- 19: tables ---------------------------------------------------------------------------------


def table(name: str, a: dict[str, Any], shape: Shape, start: int, count: int, dtype: str) -> Array:
    elements = [_index(n, shape) for n in range(start, start + count)]
    return rounded([_entry(name, a, shape, index) for index in elements], dtype)


def _index(element: int, shape: Shape) -> Shape:
    found: list[int] = []
    for size in reversed(shape):
        element, index = divmod(element, size)
        found.append(index)
    return tuple(reversed(found))


def _entry(name: str, a: dict[str, Any], shape: Shape, index: Shape) -> float:
    if name == "literal":
        value = a["values"]
        for i in index:
            value = value[i]
        return float(value)
    if name == "sinusoid":
        return _wave(a, shape, index)
    if name == "table":
        formula = formulas.parse(a["expression"], formulas.INDEX)
        sizes = {f"n{axis}": float(size) for axis, size in enumerate(shape)}
        return formulas.value(
            formula, sizes | {f"i{axis}": float(i) for axis, i in enumerate(index)}
        )
    i, n = index[a["axis"]], shape[a["axis"]]
    if name == "log_arange":
        return log(a["start"] + a["step"] * i)
    if n == 1:
        return float(a["start"])
    start, end = Fraction(a["start"]), Fraction(a["end"])
    return functions.rounded(start + (end - start) * i / (n - 1))


def _wave(a: dict[str, Any], shape: Shape, index: Shape) -> float:
    (rows, d), (p, column) = shape[-2:], index[-2:]
    h = d // 2
    if a["padding"] is not None and p == a["padding"] % rows:
        return 0.0
    sines = h if a["endpoint"] else d - h
    if column >= sines + h:
        return 0.0
    if a["kind"] == "halves":
        cosine, j = divmod(column, sines)
    else:
        j, cosine = divmod(column, 2)
    exponent = Fraction(j, h - 1) if a["endpoint"] else Fraction(2 * j, d)
    return wave(p, a["base"], exponent, cosine)
