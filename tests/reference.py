# SPDX-License-Identifier: MIT
"""The stream a second time, in plain NumPy, written from docs/stream.md and from nothing else.

It is slow, and it is not the library: it shares no code and no constant with fastinit. The octave
table and the coefficients of AS 241 are read out of the page itself, so the page is what is tested.
"""

import hashlib
import math
import re
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from reference_exact import ONE, clipped_deviation, tail, truncated_deviation

Array = np.ndarray[Any, Any]

PAGE = (Path(__file__).parent.parent / "docs" / "stream.md").read_text(encoding="utf-8")
MASK = 2**32 - 1

DTYPES = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
}


@dataclass(frozen=True)
class Uniform:
    low: float
    high: float


@dataclass(frozen=True)
class Normal:
    std: float = 1.0
    mean: float = 0.0


@dataclass(frozen=True)
class Clipped:
    std: float = 1.0
    mean: float = 0.0
    low: float = -2.0
    high: float = 2.0
    corrected: bool = False


@dataclass(frozen=True)
class Truncated(Clipped):
    pass


@dataclass(frozen=True)
class Constant:
    value: float


Distribution = Uniform | Normal | Clipped | Truncated | Constant


# ---- section 2: words ---------------------------------------------------------------------------


def philox4x32(counter: list[Array], key: tuple[int, int]) -> list[Array]:
    """Ten rounds on four columns of counter words, held in uint64."""
    c0, c1, c2, c3 = (c.astype(np.uint64) for c in counter)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        hi0, lo0 = p0 >> np.uint64(32), p0 & np.uint64(MASK)
        hi1, lo1 = p1 >> np.uint64(32), p1 & np.uint64(MASK)
        c0, c1, c2, c3 = hi1 ^ c1 ^ np.uint64(k0), lo1, hi0 ^ c3 ^ np.uint64(k1), lo0
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return [c.astype(np.uint32) for c in (c0, c1, c2, c3)]


def subsequence(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest(), "little")


def words(seed: int, name: str, start: int, count: int) -> Array:
    """Words start to start + count of the stream, as uint32 of shape (count,)."""
    first, last = start >> 2, (start + count + 3) >> 2
    block = np.uint64(first) + np.arange(last - first, dtype=np.uint64)
    sub = subsequence(name)
    upper = [np.full(block.shape, part, np.uint64) for part in (sub & MASK, sub >> 32)]
    counter = [block & np.uint64(MASK), block >> np.uint64(32), *upper]
    columns = philox4x32(counter, (seed & MASK, seed >> 32))
    return np.stack(columns, axis=1).reshape(-1)[start - 4 * first :][:count]


# ---- section 15: exact parameters ---------------------------------------------------------------


def spread(d: Clipped) -> float:
    """v, the standard deviation of a standard normal truncated or clipped to [low, high]."""
    deviation = truncated_deviation if isinstance(d, Truncated) else clipped_deviation
    return deviation(d.low, d.high)


# ---- section 1: float32 arithmetic --------------------------------------------------------------


def f32(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.float32(x) if np.ndim(x) == 0 else x.astype(np.float32)


def fused(a: Any, b: Any, c: Any) -> Array:
    """a b + c in float32, rounded once.

    The product is exact in float64. The sum is rounded to odd (the last bit is set if anything was
    lost), so that the second rounding, to float32, sees on which side of a tie it stands.
    """
    with np.errstate(invalid="ignore"):
        product, addend = np.asarray(np.float64(a) * np.float64(b)), np.float64(c)
        total = product + addend
        part = total - product
        lost = (product - (total - part)) + (addend - part)  # two-sum: exact
    even = (total.view(np.int64) & 1) == 0
    nudge = even & (lost != 0) & np.isfinite(total)
    rounded: Array = f32(np.where(nudge, np.nextafter(total, np.copysign(np.inf, lost)), total))
    return rounded


# ---- sections 4 to 7: float32 -------------------------------------------------------------------

TOP = np.float32(float.fromhex("0x1.fffffep+30"))
_ROWS = re.findall(r"^ *(\d+)((?: [0-9a-f]{8}){8})$", PAGE, re.MULTILINE)
OCTAVES = np.array([[int(c, 16) for c in row.split()] for _, row in _ROWS], np.uint32).view("f4")
assert [int(k) for k, _ in _ROWS] == list(range(160)), "the octave table of docs/stream.md"


def quantile(f: Array, shift: int) -> Array:
    mantissa, exponent = np.frexp(f)  # f = 2^exponent mantissa, 1/2 <= mantissa < 1
    d = np.float32(2) * mantissa - np.float32(1.5)
    row = OCTAVES[30 - (exponent - 1) + shift]
    r: Array = row[:, 7]
    for column in range(6, -1, -1):
        r = fused(r, d, row[:, column])
    return r


def nearer_tail(g: Array) -> Array:
    return np.minimum(np.maximum(np.minimum(g, np.float32(2**32) - g), np.float32(0.5)), TOP)


def standard32(d: Normal | Clipped, w: Array) -> Array:
    """z, of `w` of shape (n,)."""
    negative, t = (w >> 31) == 1, w & 0x7FFFFFFF
    big_t = t.astype(np.float32) + np.float32(0.5)
    if not isinstance(d, Truncated):
        z = quantile(np.minimum(big_t, TOP), 0)
        return np.where(negative, -z, z)
    low, high = d.low, d.high
    if low == -high:  # (a)
        chance = (ONE - 2 * tail(high)) / ONE
        f = fused(big_t, f32(chance), f32(tail(high) / ONE * 2.0**32))
        z = quantile(np.minimum(f, TOP), 0)
        return np.where(negative, -z, z)
    if low < 0 < high:  # (b)
        chance, shift = (tail(low) - tail(high)) / ONE, 0
        base = np.where(negative, *(f32(tail(x) / ONE * 2.0**32) for x in (-low, high)))
        g = fused(big_t, f32(chance), base)
    else:  # (c)
        a, b = (low, high) if low >= 0 else (-high, -low)
        chance = (tail(a) - tail(b)) / ONE
        shift = max(0, -1 - math.frexp(tail(a) / ONE)[1])
        far = ~negative if low >= 0 else negative
        base = np.where(far, *(f32(tail(x) / ONE * 2.0 ** (32 + shift)) for x in (b, a)))
        slope = np.where(far, f32(chance * 2.0**shift), f32(-chance * 2.0**shift))
        g = fused(big_t, slope, base)
        negative = np.full(w.shape, low < 0)
    negative = negative ^ (np.float32(2**31) - g < 0)
    z = quantile(nearer_tail(g), shift)
    return np.where(negative, -z, z)


def effective_std(d: Normal | Clipped) -> float:
    return d.std / spread(d) if isinstance(d, Clipped) and d.corrected else d.std


def map32(d: Distribution, w: Array) -> Array:
    if isinstance(d, Uniform):
        half, mid = d.high / 2 - d.low / 2, d.low / 2 + d.high / 2
        s = (w.view(np.int32) >> 7) | 1
        return fused(s.astype(np.float32), f32(half * 2.0**-24), f32(mid))
    assert not isinstance(d, Constant)
    return fused(standard32(d, w), f32(effective_std(d)), f32(d.mean))


# ---- section 10: float64 ------------------------------------------------------------------------

_LINES = re.findall(r"^\| ([0-7]) \|((?: [0-9.e+-]+ \|){6})$", PAGE, re.MULTILINE)
AS241 = np.array([[float(x) for x in line.split("|")[:6]] for _, line in _LINES])
assert AS241.shape == (8, 6), "the coefficients of AS 241 in docs/stream.md"


def polynomial(letter: str, r: Array) -> Array:
    total = np.full_like(r, AS241[7, "ABCDEF".index(letter)])
    for n in range(6, -1, -1):
        total = total * r + AS241[n, "ABCDEF".index(letter)]
    return total


def minus_log(p: Array) -> Array:
    v = p.view(np.int64) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    k = (v >> 52) - 1023
    m = ((v & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).view(np.float64)
    s = (m - 1) / (m + 1)
    y = s * s
    a = np.full_like(p, 1 / 21)
    for n in range(19, 0, -2):
        a = a * y + 1 / n
    return (0 - k).astype(np.float64) * float.fromhex("0x1.62e42fefa39efp-1") - (s + s) * a


def quantile64(p: Array) -> Array:
    q = 0.5 - p
    r = 0.180625 - q * q
    middle = q * (polynomial("A", r) / polynomial("B", r))
    r = np.sqrt(minus_log(p))
    near = polynomial("C", r - 1.6) / polynomial("D", r - 1.6)
    far = polynomial("E", r - 5) / polynomial("F", r - 5)
    return np.where(q <= 0.425, middle, np.where(r <= 5, near, far))


def map64(d: Distribution, w: Array) -> Array:
    wide = w[0::2].astype(np.uint64) | (w[1::2].astype(np.uint64) << np.uint64(32))
    if isinstance(d, Uniform):
        half, mid = d.high / 2 - d.low / 2, d.low / 2 + d.high / 2
        s = (wide.view(np.int64) >> 10) | 1
        return s.astype(np.float64) * (half * 2.0**-53) + mid
    assert not isinstance(d, Constant)
    negative, t = (wide >> np.uint64(63)) == 1, wide & np.uint64(2**63 - 1)
    count = t.astype(np.float64) + 0.5
    if not isinstance(d, Truncated):
        g = count * 2.0**-64
    elif d.low < 0 < d.high:
        chance = (tail(d.low) - tail(d.high)) / ONE
        base = np.where(negative, tail(-d.low) / ONE, tail(d.high) / ONE)
        g = count * (chance * 2.0**-64) + base
    else:
        a, b = (d.low, d.high) if d.low >= 0 else (-d.high, -d.low)
        slope = (tail(a) - tail(b)) / ONE * 2.0**-64
        far = ~negative if d.low >= 0 else negative
        g = count * np.where(far, slope, -slope) + np.where(far, tail(b) / ONE, tail(a) / ONE)
        negative = np.full(g.shape, d.low < 0)
    z = quantile64(np.minimum(g, 1 - g))
    return np.where(negative ^ (0.5 - g < 0), -z, z) * effective_std(d) + d.mean


# ---- section 9: rounding and intervals ----------------------------------------------------------


@cache
def finite_numbers(dtype: str) -> Array:
    """All finite numbers of a dtype of 8 or 16 bits, ascending, in float64, with one zero."""
    bits = np.arange(2 ** (8 * DTYPES[dtype].itemsize))
    numbers = bits.astype(f"u{DTYPES[dtype].itemsize}").view(DTYPES[dtype])
    with np.errstate(invalid="ignore"):  # signalling NaNs
        wide = numbers.astype(np.float64)
    return np.unique(wide[np.isfinite(wide)] + 0.0)


def inner(low: float, high: float, dtype: str) -> tuple[float, float]:
    """L' and H': the outermost finite numbers of dtype within [low, high]; L' > H' if none."""
    if DTYPES[dtype].itemsize <= 2:
        numbers = finite_numbers(dtype)
        inside = numbers[(numbers >= low) & (numbers <= high)]
        return (float(inside[0]), float(inside[-1])) if len(inside) else (1.0, -1.0)
    kind, greatest = DTYPES[dtype].type, float(np.finfo(DTYPES[dtype]).max)
    if low > greatest or high < -greatest:
        return 1.0, -1.0
    least, most = kind(max(low, -greatest)), kind(min(high, greatest))
    if float(least) < low:
        least = np.nextafter(least, kind(np.inf))
    if float(most) > high:
        most = np.nextafter(most, kind(-np.inf))
    return float(least) + 0.0, float(most) + 0.0


def interval(d: Distribution, dtype: str) -> tuple[float, float] | None:
    if isinstance(d, Uniform):
        low, high = d.low, d.high
    elif isinstance(d, Clipped):
        std = effective_std(d)
        low, high = (d.mean + bound * std if std else d.mean for bound in (d.low, d.high))
    elif dtype.startswith("float8"):
        low, high = -math.inf, math.inf
    else:
        return None
    if low == high:
        with np.errstate(over="ignore"):
            only = float(np.float64(low if dtype == "float64" else f32(low)).astype(DTYPES[dtype]))
        if math.isfinite(only):
            return only, only
    low, high = inner(low, high, dtype)
    if low > high:
        raise ValueError(f"{d} has no {dtype} number in its interval")
    return low, high


def map_words(w: Array, distribution: Distribution, dtype: str) -> Array:
    """The values of chosen words (two for each float64 value), of shape (count,) and of dtype."""
    count = len(w) // 2 if dtype == "float64" else len(w)
    distribution = type(distribution)(*(p + 0.0 for p in astuple(distribution)))  # no -0
    if isinstance(distribution, Constant):
        value = np.float64(distribution.value)
        with np.errstate(over="ignore"):
            only = (value if dtype == "float64" else f32(value)).astype(DTYPES[dtype])
        if not np.isfinite(only):
            raise ValueError(f"{distribution} is no finite {dtype} number")
        return np.full(count, only)
    x = map64(distribution, w) if dtype == "float64" else map32(distribution, w)
    bounds = interval(distribution, dtype)
    if bounds is not None:
        low, high = x.dtype.type(bounds[0]), x.dtype.type(bounds[1])
        x = np.where(x > low, x, low)
        x = np.where(x < high, x, high)
    return x.astype(DTYPES[dtype])


def values(
    seed: int, name: str, distribution: Distribution, start: int, count: int, dtype: str
) -> Array:
    """Elements start to start + count of a tensor, of shape (count,) and of dtype."""
    each = 2 if dtype == "float64" else 1
    return map_words(words(seed, name, each * start, each * count), distribution, dtype)
