# SPDX-License-Identifier: MIT
"""From a mapped draw to the simplest scheme of the same distribution.

A normal that is scaled, shifted or clamped is a normal, uniforms likewise, and the inverse error
function of a uniform is a truncated normal.  What nothing simpler equals becomes `mapped`.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, TypeAlias

from fastinit import schemes
from fastinit.numerics.dtypes import DType
from fastinit.schemes import Scheme
from fastinit.torch.recording.formulas import DrawnElement, RecordedFormula, text_of

ROOT_HALF = math.sqrt(0.5)


def scheme_of(drawn: DrawnElement, dtype: DType) -> Scheme:
    """The scheme of a draw and its map, as PyTorch computes it in `dtype`.

    Raises:
        ValueError: the map has a function that no scheme has.
    """
    scheme, formula = drawn.scheme, drawn.formula
    if formula == "x":
        return scheme
    scheme = drawn.numbers or scheme
    outside, clamped = _affine(formula)
    clamp, inner = _clamp(clamped)
    inside, core = _affine(inner)
    if core == "x" and (outside == UNCHANGED or clamp == UNBOUNDED):
        made = _affine_of(scheme, *_after(outside, inside), *clamp, dtype)
        if made is not None:
            return made
    if isinstance(core, tuple) and core[0] == "erfinv" and scheme.name == "uniform":
        made = _truncated(scheme, _affine(core[1]), inside, clamp)
        if made is not None:
            return _affine_of(made, *outside, *UNBOUNDED, dtype) or made
    if "erfinv" in text_of(formula):
        raise ValueError(f"no scheme has the inverse error function in {text_of(formula)}")
    return schemes.mapped(scheme, text_of(formula))


Affine: TypeAlias = tuple[float, float]
"""Factor and offset."""
UNCHANGED: Affine = (1.0, 0.0)
UNBOUNDED = (-math.inf, math.inf)


def _after(outer: Affine, inner: Affine) -> Affine:
    """One affine function of another."""
    return outer[0] * inner[0], outer[0] * inner[1] + outer[1]


def _clamp(formula: RecordedFormula) -> tuple[tuple[float, float], RecordedFormula]:
    """The bounds of the outermost clamps, and what is inside."""
    low, high = -math.inf, math.inf
    while isinstance(formula, tuple) and formula[0] in ("minimum", "maximum"):
        name, inner, bound = formula
        if not isinstance(bound, float):
            break
        if name == "maximum":  # applied before the bounds outside it
            low = max(low, min(bound, high))
        else:
            high = min(high, max(bound, low))
        formula = inner
    return (low, high), formula


def _affine(formula: RecordedFormula) -> tuple[Affine, RecordedFormula]:
    """Factor and offset, and the formula that they are applied to."""
    found: Affine = UNCHANGED
    while isinstance(formula, tuple):
        match formula:
            case ("neg", inner):
                step = -1.0, 0.0
            case ("+", inner, float(number)) | ("+", float(number), inner):
                step = 1.0, number
            case ("-", inner, float(number)):
                step = 1.0, -number
            case ("-", float(number), inner):
                step = -1.0, number
            case ("*", inner, float(number)) | ("*", float(number), inner):
                step = number, 0.0
            case ("/", inner, float(number)) if number:
                found, formula = (found[0] / number, found[1]), inner
                continue
            case _:
                break
        found, formula = _after(found, step), inner
    return found, formula


def _affine_of(
    scheme: Scheme, factor: float, offset: float, low: float, high: float, dtype: DType
) -> Scheme | None:
    """factor * x + offset, clamped; None if only `mapped` can say it."""
    arguments: dict[str, Any] = dict(scheme.arguments)
    bounded = low > -math.inf or high < math.inf
    if scheme.name == "uniform" and not bounded:
        ends = [arguments[key] * factor + offset for key in ("low", "high")]
        return schemes.uniform(min(ends), max(ends))
    if scheme.name == "normal":
        std, mean = arguments.get("std", 1.0), arguments.get("mean", 0.0)
        std, mean = abs(factor) * std, factor * mean + offset
        if not bounded:
            return schemes.normal(std, mean=mean)
        if std > 0:
            least = _in_sigmas(low, mean, std, dtype, -math.inf)
            most = _in_sigmas(high, mean, std, dtype, math.inf)
            return schemes.clipped_normal(std, mean=mean, low=least, high=most)
    if scheme.name == "truncated_normal" and not bounded and not arguments.get("corrected"):
        std, mean = arguments.get("std", 1.0), arguments.get("mean", 0.0)
        least, most = arguments.get("low", -2.0), arguments.get("high", 2.0)
        if factor < 0:
            least, most = -most, -least
        std, mean = abs(factor) * std, factor * mean + offset
        return schemes.truncated_normal(std, mean=mean, low=least, high=most)
    return None


def _in_sigmas(bound: float, mean: float, std: float, dtype: DType, outwards: float) -> float:
    """A clamp's bound in sigmas, such that the values that sit on it have PyTorch's bits.

    PyTorch rounds the bound to the dtype, and a clipped normal never leaves its interval: so the
    interval has to end at the rounded bound or just outside it.
    """
    if math.isinf(bound):
        return bound
    target = dtype.round(bound)
    sigmas = (target - mean) / std
    step = math.copysign(math.ulp(sigmas), outwards)
    while (mean + sigmas * std - target) * outwards < 0:
        sigmas, step = sigmas + step, 2 * step
    return sigmas


def _truncated(
    scheme: Scheme, inner: tuple[Affine, RecordedFormula], outer: Affine, clamp: Affine
) -> Scheme | None:
    """The truncated normal that libraries make of a uniform, by the inverse of its distribution.

    erfinv(u) * (std * sqrt(2)) + mean with u over [2 Phi(l) - 1, 2 Phi(h) - 1] has bounds l and h
    in sigmas; a clamp after it, by which they are known more exactly, changes only rounding.
    """
    (factor, offset), core = inner
    std, mean = outer[0] * ROOT_HALF, outer[1]
    if core != "x" or std <= 0 or factor <= 0:
        return None
    arguments = dict(scheme.arguments)
    bounds = []
    for end, limit in zip(("low", "high"), clamp, strict=True):
        probability = factor * arguments[end] + offset
        bound = (limit - mean) / std
        if math.isinf(bound):
            bound = _inverse_erf(probability) / ROOT_HALF
        elif abs(math.erf(bound * ROOT_HALF) - probability) > 1e-6:
            raise ValueError("the clamp after the inverse error function is not that of its bounds")
        bounds.append(bound)
    return schemes.truncated_normal(std, mean=mean, low=bounds[0], high=bounds[1])


def _inverse_erf(probability: float) -> float:
    if abs(probability) >= 1:
        return math.copysign(math.inf, probability)
    return NormalDist().inv_cdf((probability + 1) / 2) * ROOT_HALF
