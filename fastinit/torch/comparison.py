# SPDX-License-Identifier: MIT
"""Compares the part of a tensor that is here with what its recipe makes, a few MiB at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from fastinit.memory.arrays import array
from fastinit.numerics.dtypes import resolve, wide
from fastinit.schemes.sampling import sampler
from fastinit.torch.filling import part_of
from fastinit.torch.memory import array_of
from fastinit.torch.recipes import TensorRecipe
from fastinit.values.samplers import Sampler
from fastinit.values.stream import checked

MOST_COMPARED = 2**22
"""Elements that are drawn again at a time."""

Cut = tuple[slice, ...]


def compare(recipe: TensorRecipe, seed: int, threads: int | None) -> tuple[int, str]:
    """How many elements were compared, and where the first difference is, if there is one."""
    count = 0
    for part in recipe.slot.parts():
        for cut in _cuts(tuple(part.local.shape)):
            here = part.local[cut].detach().cpu()
            there = _inside(part.region, cut)
            count += here.numel()
            index = _first_difference(recipe, here, there, seed, threads)
            if index is not None:
                return count, f"it differs from its recipe first at {_place(there, index)}"
    return count, ""


def _inside(region: tuple[slice, ...] | range, cut: Cut) -> tuple[slice, ...] | range:
    """A piece of a part, as a region of the whole tensor."""
    if isinstance(region, range):
        return region[cut[0]]
    return tuple(
        slice(whole.start + piece.start, whole.start + piece.stop)
        for whole, piece in zip(region, cut, strict=True)
    )


def _place(there: tuple[slice, ...] | range, index: tuple[int, ...]) -> str:
    if isinstance(there, range):
        return f"element {there[index[0]]}"
    place = tuple(axis.start + int(i) for axis, i in zip(there, index, strict=True))
    return f"index {place}"


def _cuts(shape: tuple[int, ...]) -> Iterator[Cut]:
    """Pieces of at most `MOST_COMPARED` elements."""
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    if inner > MOST_COMPARED:
        for row in range(shape[0]):
            yield from ((slice(row, row + 1), *rest) for rest in _cuts(shape[1:]))
        return
    step = max(1, MOST_COMPARED // max(inner, 1))
    whole = tuple(slice(0, size) for size in shape[1:])
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0])), *whole


def _first_difference(
    recipe: TensorRecipe,
    here: torch.Tensor,
    there: tuple[slice, ...] | range,
    seed: int,
    threads: int | None,
) -> tuple[int, ...] | None:
    if recipe.scheme is None:
        wanted = part_of(recipe.values(), there).to(here.dtype)
        same = (here == wanted) | ((here != here) & (wanted != wanted))
        return None if bool(same.all()) else tuple((~same).nonzero()[0].tolist())
    dtype = resolve(here.dtype)
    values = array_of(here)
    again = array(
        recipe.shape,
        recipe.scheme,
        seed=seed,
        name=recipe.name,
        dtype=dtype.name,
        region=there if isinstance(there, range) else there or None,
        threads=threads,
    )
    different = values.view(dtype.words) != again.view(dtype.words)
    stream = checked(seed, recipe.name)
    tolerance = sampler(recipe.scheme, recipe.shape, stream, dtype).tolerance
    if tolerance and different.any():
        source = sampler(recipe.scheme, recipe.shape, stream, wide(dtype))
        different = _beyond(values, source, recipe.shape, there, different)
    return tuple(np.argwhere(different)[0]) if different.any() else None


def _beyond(
    values: np.ndarray[Any, Any],
    source: Sampler,
    shape: tuple[int, ...],
    there: tuple[slice, ...] | range,
    different: np.ndarray[Any, np.dtype[np.bool_]],
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the elements that differ no other machine would have made.

    Lines along the last axis are compared, as their elements are consecutive in the whole tensor.
    """
    dtype, found = resolve(values.dtype), different.copy()
    for line in np.ndindex(values.shape[:-1]):
        if not different[line].any():
            continue
        if isinstance(there, range):
            start = there.start
        else:
            place = (*(a.start + i for a, i in zip(there, line, strict=False)), *there[-1:])
            first = tuple(a.start if isinstance(a, slice) else a for a in place)
            start = int(np.ravel_multi_index(first, shape)) if shape else 0
        possible = source.possible(np.reshape(values[line], -1), start, dtype)
        found[line] &= ~possible.reshape(found[line].shape)
    return found
