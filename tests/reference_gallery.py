# SPDX-License-Identifier: MIT
"""The gallery in plain NumPy, written from docs/stream.md, sections 21.5 and 23, alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import reference as ref
from reference import Array
from reference_draws import drawn
from reference_exact import nearest, tail
from reference_exponentials import arctan, cos_turns, exp, expm1, sign_and_tail
from reference_logarithms import minus_log

F64 = np.float64


def _sqrt(x: Array) -> Array:
    result: Array = np.sqrt(x)
    return result


def laplace(w: Array, scale: Array) -> Array:
    sign, p = sign_and_tail(w)
    return sign * (minus_log(p) * scale)


def logistic(w: Array, scale: Array) -> Array:
    sign, tail = sign_and_tail(w)
    p = tail.astype(F64)
    return sign.astype(F64) * (minus_log(p / (2 - p)) * F64(scale))


def student_t(u: Array, u2: Array, nu: Array, scale: Array) -> Array:
    nu = F64(nu)
    return (_sqrt(nu * expm1((2 / nu) * minus_log(u))) * cos_turns(u2)) * F64(scale)


def exponential(u: Array, scale: Array) -> Array:
    return minus_log(u) * F64(scale)


def lognormal(z: Array, mu: Array, sigma: Array) -> Array:
    return exp(F64(sigma) * z.astype(F64) + F64(mu))


def kumaraswamy(u: Array, a: Array, b: Array) -> Array:
    y = -expm1(-minus_log(u) / F64(b))
    return exp(-minus_log(y) / F64(a))


def normal_mixture(
    z: Array, u: Array, std: Array, std2: Array, share2: Array, std3: Array, share3: Array
) -> Array:
    rows = [u < share2, u < F64(share2) + F64(share3)]
    return z * np.select(rows, [std2, std3], std).astype(z.dtype) + z.dtype.type(0)


def spike_and_slab(z: Array, u: Array, std: Array, spike: Array, share: Array) -> Array:
    return z * np.where(u < share, std, spike) + z.dtype.type(0)


def ternary(w: Array, scale: Array, threshold: Array, share: float) -> Array:
    side, p = sign_and_tail(w)
    return np.where(p < p.dtype.type(share), side * scale, p.dtype.type(0))


def sign(w: Array, scale: Array) -> Array:
    return sign_and_tail(w)[0] * scale


def quantised_uniform(u: Array, low: Array, high: Array, levels: Array) -> Array:
    m = F64(levels) - 1
    j = np.minimum(np.floor(u * F64(levels)), m)
    return (F64(low) * (m - j) + F64(high) * j) / m


def powers(u: Array, kappa: float, mode: float, chance: float) -> Array:
    """The n of von_mises, all elements at once: each goes on while its rest is not negative."""
    n = np.full_like(u, mode)
    up = down = mode
    rise = fall = chance
    rest = u - chance
    going = rest >= 0
    while going.any():
        rise = rise * (kappa * (2 * up + 1) / ((up + 1) * (up + 1)))
        up += 1
        rest = np.where(going, rest - rise, rest)
        n = np.where(going, up, n)
        going = going & (rest >= 0)
        fall = fall * (down * down / (kappa * (2 * down - 1)))
        down = max(down - 1, 0.0)
        rest = np.where(going, rest - fall, rest)
        n = np.where(going, down, n)
        going = going & (rest >= 0)
        if rise + fall < 2.0**-64:
            return np.where(going, mode, n)
    return n


def von_mises(
    u: Array, u2: Array, u3: Array, kappa: Array, exact: float, mode: float, chance: float
) -> Array:
    n = powers(u, exact, mode, chance)
    return 2 * arctan(_sqrt(expm1((2 / (2 * n + 1)) * minus_log(u2))) * cos_turns(u3))


def mode_chance(kappa: float) -> float:
    mode = float(math.floor(2 * kappa))
    total, c, n = 1.0, 1.0, mode
    while c >= 2.0**-64:
        c = c * (kappa * (2 * n + 1) / ((n + 1) * (n + 1)))
        total, n = total + c, n + 1
    c, n = 1.0, mode
    while n > 0 and c >= 2.0**-64:
        c = c * (n * n / (kappa * (2 * n - 1)))
        total, n = total + c, n - 1
    return 1 / total


def block_mask(u: Array, rows: Array, columns: Array, density: Array, scale: Array) -> Array:
    return np.where(u < density, scale, type(scale)(0))


def block_normal(
    z: Array, u: Array, rows: Array, columns: Array, density: Array, std: Array
) -> Array:
    return z * np.where(u < density, std, type(std)(0)) + z.dtype.type(0)


@dataclass(frozen=True)
class Entry:
    """A function, the kinds of its draws, which of them are shared, and what is derived."""

    call: Callable[..., Array]
    kinds: str
    defaults: dict[str, float]
    derived: Callable[..., tuple[float, ...]] = lambda **numbers: ()
    shared: tuple[int, ...] = ()


BLOCK = {"rows": 32.0, "columns": 32.0, "density": 0.5}
MIXTURE = {"std": 1.0, "std2": 0.1, "share2": 0.5, "std3": 0.0, "share3": 0.0}
ROOT_OF_TWO_OVER_PI = float.fromhex("0x1.9884533d43651p-1")

ENTRIES = {
    "laplace": Entry(laplace, "w", {"scale": 1.0}),
    "logistic": Entry(logistic, "w", {"scale": 1.0}),
    "student_t": Entry(student_t, "uu", {"nu": 5.0, "scale": 1.0}),
    "exponential": Entry(exponential, "u", {"scale": 1.0}),
    "lognormal": Entry(lognormal, "z", {"mu": 0.0, "sigma": 1.0}),
    "kumaraswamy": Entry(kumaraswamy, "u", {"a": 1.0, "b": 1.0}),
    "normal_mixture": Entry(normal_mixture, "zu", MIXTURE),
    "spike_and_slab": Entry(spike_and_slab, "zu", {"std": 1.0, "spike": 0.0, "share": 0.5}),
    "ternary": Entry(
        ternary,
        "w",
        {"scale": 1.0, "threshold": 0.5},
        lambda scale, threshold: (2 * nearest(tail(threshold * ROOT_OF_TWO_OVER_PI)),),
    ),
    "sign": Entry(sign, "w", {"scale": 1.0}),
    "quantised_uniform": Entry(quantised_uniform, "u", {"low": -1.0, "high": 1.0, "levels": 16.0}),
    "von_mises": Entry(
        von_mises,
        "uuu",
        {"kappa": 1.0},
        lambda kappa: (kappa, float(math.floor(2 * kappa)), mode_chance(kappa)),
    ),
    "block_mask": Entry(block_mask, "u", {**BLOCK, "scale": 1.0}, shared=(0,)),
    "block_normal": Entry(block_normal, "zu", {**BLOCK, "std": 1.0}, shared=(1,)),
}


def block_of(i: int, shape: tuple[int, ...], r: int, c: int) -> int:
    """The element of whose draw a shared draw of element i is."""
    m, n = (1, 1, *shape)[-2:]
    row, column = divmod(i, n)
    matrix, inside = divmod(row, m)
    return (matrix * -(-m // r) + inside // r) * -(-n // c) + column // c


def _shared(kind: str, draw: int, at: tuple[int, str], which: list[int], wide: bool) -> Array:
    """A draw of the elements `which`, in any order; each block is drawn once."""
    once = {b: drawn(kind, *at, draw, b, 1, wide)[0] for b in sorted(set(which))}
    return np.array([once[b] for b in which])


def values(
    name: str,
    given: dict[str, float],
    seed: int,
    tensor: str,
    shape: tuple[int, ...],
    start: int,
    count: int,
    dtype: str,
) -> Array:
    """Elements start to start + count of a tensor of `shape`."""
    entry = ENTRIES[name]
    numbers = {**entry.defaults, **given}
    wide = dtype == "float64"
    real = np.float64 if wide else np.float32
    draws = []
    for draw, kind in enumerate(entry.kinds):
        if draw in entry.shared:
            sizes = int(numbers["rows"]), int(numbers["columns"])
            blocks = [block_of(i, shape, *sizes) for i in range(start, start + count)]
            draws.append(_shared(kind, draw, (seed, tensor), blocks, wide))
        else:
            draws.append(drawn(kind, seed, tensor, draw, start, count, wide))
    derived = map(np.float64, entry.derived(**numbers))
    x = np.asarray(entry.call(*draws, *map(real, numbers.values()), *derived)).astype(real)
    if dtype.startswith("float8"):
        x = np.clip(x, *(np.float32(way * ref.finite_numbers(dtype)[-1]) for way in (-1, 1)))
    return x.astype(ref.DTYPES[dtype])
