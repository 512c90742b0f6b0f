# SPDX-License-Identifier: MIT
"""Tables that a constructor computed, as schemes: constants, formulas, or the values themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from fastinit import schemes
from fastinit.memory.arrays import array
from fastinit.numerics.dtypes import resolve
from fastinit.schemes import Scheme
from fastinit.torch.recipes import TensorRecipe

MOST_VALUES = 256
"""Values that are tried as a literal; what counts in the end is the limit of a text."""

STEP = 2.0**-23
"""Relative distance of neighbouring float32 numbers."""

Numbers64 = npt.NDArray[np.float64]


def as_scheme(recipe: TensorRecipe) -> TensorRecipe:
    """The recipe with a scheme in place of its table, or with the reason why there is none."""
    if recipe.table is None and not recipe.kept:
        return recipe
    values = recipe.values()
    if not bool(values.isfinite().all()):
        return recipe.without("some of its values are not finite, which no scheme makes")
    found = scheme_for(values)
    if found is not None:
        scheme, difference = found
        rounding = f", up to rounding: {difference:.1e}" if difference else ""
        return recipe.by(scheme, f"computed by the constructor{rounding}")
    return recipe.without(
        f"it is a table of {values.numel():,} values, which are too many for a scheme's text and "
        "follow no formula that fastinit knows"
    )


def scheme_for(values: torch.Tensor) -> tuple[Scheme, float] | None:
    """The scheme of a table, and the largest difference of its values, or None.

    There is a difference only where PyTorch's arithmetic rounds, and a formula does not: in
    logarithms, sines, and steps between two ends.  A table of a narrow type is compared with the
    formula's values of that type.
    """
    flat = values.reshape(-1)
    if flat.numel() == 0:
        return schemes.zeros(), 0.0
    if bool((flat == flat[0]).all()):
        return constant(float(flat[0])), 0.0
    near: list[tuple[float, Scheme]] = []
    numbers = values.double().numpy()
    narrow = max(torch.finfo(values.dtype).eps - STEP, 0.0) * np.abs(numbers)
    dtype = resolve(values.dtype).name
    for scheme, tolerance in _formulas(numbers, 2 if narrow.any() else 6):
        made = array(tuple(values.shape), scheme, seed=0, name="table", dtype=dtype)
        difference = np.abs(made.astype(np.float64) - numbers)
        if not difference.any():
            return scheme, 0.0
        if (difference <= tolerance + narrow).all():
            near.append((float(difference.max()), scheme))
    literal = _literal(values)
    if literal is not None:
        return literal, 0.0
    if near:
        difference, scheme = min(near, key=lambda pair: pair[0])
        return scheme, difference
    return None


def constant(value: float) -> Scheme:
    """The scheme of one value everywhere."""
    return {0.0: schemes.zeros(), 1.0: schemes.ones()}.get(value) or schemes.constant(value)


def _literal(values: torch.Tensor) -> Scheme | None:
    if values.numel() > MOST_VALUES:
        return None
    try:
        return schemes.literal(values.tolist() if values.ndim else float(values))
    except ValueError:  # too long for a text
        return None


def _formulas(numbers: Numbers64, digits: int) -> Iterator[tuple[Scheme, Numbers64]]:
    """Schemes that the table may follow, each with the rounding that PyTorch may have made.

    `digits` is how many of a number under a logarithm are exact.
    """
    rounding = np.full(numbers.shape, 2 * STEP * np.abs(numbers).max())
    for axis in range(numbers.ndim):
        line = np.moveaxis(numbers, axis, 0).reshape(numbers.shape[axis], -1)
        if (line == line[:, :1]).all():
            yield from ((scheme, rounding) for scheme in _lines(line[:, 0], axis, digits))
    if numbers.ndim == 2 and numbers.shape[0] == numbers.shape[1]:
        yield schemes.identity(), np.zeros(numbers.shape)
    if numbers.ndim == 3:
        yield schemes.table(CENTRAL_IDENTITIES), np.zeros(numbers.shape)
    if numbers.ndim == 1:
        yield from ((scheme, 8 * rounding) for scheme in _of_one_axis(numbers))
    if numbers.ndim >= 2 and numbers.shape[-1] >= 4 and np.abs(numbers).max() <= 1:
        angles = 8 * STEP * (1 + np.arange(numbers.shape[-2], dtype=np.float64))[:, np.newaxis]
        for scheme in _sinusoids(numbers.shape[-2]):
            yield scheme, np.broadcast_to(angles, numbers.shape)


def _lines(line: Numbers64, axis: int, digits: int) -> Iterator[Scheme]:
    """Tables that depend on one axis alone."""
    yield schemes.linspace(line[0], line[-1], axis=axis)
    if len(line) > 1 and line[1] < 700 and line[0] > -700:
        start, after = math.exp(line[0]), math.exp(line[1])
        first, step = (float(f"{number:.{digits}g}") for number in (start, after - start))
        if first > 0 and step > 0:
            yield schemes.log_arange(first, step, axis=axis)


CENTRAL_IDENTITIES = "maximum(0, 1 - abs(i0 % n1 - i1)) * maximum(0, 1 - abs(i2 - n2 // 2))"
"""Identities one below the other in the middle of a kernel: Nemotron 3 Diarization's upsampler."""


def _of_one_axis(line: Numbers64) -> Iterator[Scheme]:
    """Tables of tensors of one axis: frequencies, and the offsets of deformable attention."""
    base = float(f"{line[1] ** -len(line):.6g}") if len(line) > 1 and 1e-9 < line[1] < 1 else 0
    if 1 < base < 1e9:
        yield schemes.table(f"{base!r} ** -(i0 / n0)")
    sines = line[1::2]
    if len(line) % 2 == 0 and line[0] == 1 and np.abs(sines).max() > 0.1:
        pairs = int(np.argmax(np.abs(sines) > 0.1))
        if pairs > 0 and len(sines) % pairs == 0:
            yield _offsets(pairs, len(sines) // pairs, round(line[: 2 * pairs].max()))


def _offsets(pairs: int, heads: int, points: int) -> Scheme:
    """Where the points of deformable attention start: on rays, one for each head.

    ``sampling_offsets.bias`` of Zhu et al. (2020), "Deformable DETR", arXiv:2010.04159.
    """
    angle = f"(2 * pi * (i0 // {2 * pairs}) / {heads})"
    side = f"((1 - i0 % 2) * cos{angle} + i0 % 2 * sin{angle})"
    return schemes.table(
        f"(1 + i0 // 2 % {points}) * {side} / maximum(abs(cos{angle}), abs(sin{angle}))"
    )


def _sinusoids(rows: int) -> Iterator[Scheme]:
    yield schemes.sinusoid("halves")
    yield schemes.sinusoid("interleaved")
    yield schemes.sinusoid("halves", endpoint=True)
    if rows > 1:
        yield schemes.sinusoid("halves", endpoint=True, padding=1)
